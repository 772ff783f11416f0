//! Airflow: a run of a DAG whose id is ours, so that a repeat is a 409.

use crate::deliver::provider::{Auth, Confirm, Of, Provider, RunFrom, Setting};
use crate::deliver::rules::Rules;

const SETTINGS: &[Setting] = &[Setting::required("dag_id", "retrain_fraud", "the DAG to run")];

/// What the DAG finds in `dag_run.conf`.
const CONF: &[(&str, &str)] = &[
    ("event_id", "{{id}}"),
    ("model", "{{model}}"),
    ("train_from", "{{training_window.from}}"),
    ("train_to", "{{training_window.to}}"),
    ("report_url", "{{report_url}}"),
    ("driftd", "{{data}}"),
];

static RULES: Rules = Rules {
    already: &[(409, "")],
    hints: &[
        (400..=400, "", "Airflow refuses the run: is the DAG free of import errors?"),
        (
            401..=401,
            "",
            "the token or password was not accepted, and is read again at every attempt",
        ),
        (403..=403, "oken", "the token was not accepted, and is read again at every attempt"),
        (403..=403, "", "the user may not create runs of this DAG"),
        (404..=404, "", "there is no such DAG: check `with.dag_id`, and that it is parsed"),
        (
            422..=422,
            "",
            "Airflow does not take the body: is it another major version than the preset?",
        ),
    ],
    ..Rules::PLAIN
};

const STATES: Confirm = Confirm {
    by_default: true,
    own_token: None,
    url: "",
    run: RunFrom::Id,
    of: Of::Itself,
    then: None,
    state: &["/state"],
    succeeded: &["success"],
    failed: &["failed"],
    page: None,
};

pub(super) static AIRFLOW_3: Provider = Provider {
    url: "{{webhook}}/api/v2/dags/{{with.dag_id}}/dagRuns",
    // `logical_date` is a required key, and null is what a run that stands for no interval has.
    body: r#"{
        "dag_run_id": "{{id}}",
        "logical_date": null,
        "conf": "{{parameters}}",
        "note": "driftd: {{model}} has drifted"
    }"#,
    standard_headers: false,
    settings: SETTINGS,
    parameters: CONF,
    auth: Auth::Login("/auth/token"),
    rules: &RULES,
    confirm: Some(Confirm {
        url: "{{webhook}}/api/v2/dags/{{with.dag_id}}/dagRuns/{{id}}",
        ..STATES
    }),
    ..Provider::PLAIN
};

pub(super) static AIRFLOW_2: Provider = Provider {
    url: "{{webhook}}/api/v1/dags/{{with.dag_id}}/dagRuns",
    body: r#"{"dag_run_id": "{{id}}", "conf": "{{parameters}}", "note": "driftd: {{model}} has drifted"}"#,
    standard_headers: false,
    settings: SETTINGS,
    parameters: CONF,
    auth: Auth::Token,
    rules: &RULES,
    confirm: Some(Confirm {
        url: "{{webhook}}/api/v1/dags/{{with.dag_id}}/dagRuns/{{id}}",
        ..STATES
    }),
    ..Provider::PLAIN
};
