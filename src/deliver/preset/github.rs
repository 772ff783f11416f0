//! GitHub Actions: one workflow by `workflow_dispatch`, or whichever listens to `repository_dispatch`.

use crate::deliver::provider::{Auth, Confirm, Lookup, Of, Provider, RunFrom, Setting};
use crate::deliver::rules::{Hint, Rules};

const HOME: Option<&str> = Some("https://api.github.com");

const HEADERS: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("accept", "application/vnd.github+json"),
    ("x-github-api-version", "2022-11-28"),
];

const REPOSITORY_NAME: Setting =
    Setting::required("repository", "acme/fraud", "owner and name").with_slashes();

/// A spent limit is a 403 too.
const PASSING: &[(u16, &str)] = &[(403, "rate limit"), (403, "abuse")];

const NOT_FOUND: Hint = (
    404..=404,
    "",
    "no such repository or workflow, or the token may not see it: a private one is not found then",
);

/// Runs of workflows whose `run-name` holds the id.
const LOOKUP: Lookup =
    Lookup { url: "", always: false, items: "/workflow_runs", run: "/url", equals: None };

const STATES: Confirm = Confirm {
    by_default: true,
    own_token: None,
    url: "{{run}}",
    run: RunFrom::Body("/run_url"),
    of: Of::Itself,
    then: None,
    state: &["/conclusion", "/status"],
    succeeded: &["success"],
    failed: &["failure", "cancelled", "timed_out", "startup_failure", "stale", "skipped"],
    page: Some("/html_url"),
};

/// Where runs of all workflows that listen are.
const LISTENERS: &str = "{{webhook}}/repos/{{with.repository}}/actions/runs?event=repository_dispatch&\
                         per_page=100";

pub(super) static WORKFLOW: Provider = Provider {
    home: HOME,
    url: "{{webhook}}/repos/{{with.repository}}/actions/workflows/{{with.workflow}}/dispatches",
    headers: HEADERS,
    standard_headers: false,
    body: r#"{
        "ref": "{{with.ref}}",
        "inputs": "{{parameters}}",
        "return_run_details": "{{with.return_run_details}}"
    }"#,
    lately: Some((422, "return_run_details")),
    settings: &[
        REPOSITORY_NAME,
        Setting::required("workflow", "retrain.yml", "the workflow's file name or id"),
        Setting::or("ref", "main", "branch or tag that it runs on"),
        Setting::or(
            "return_run_details",
            "true",
            "ask for the run's id; a GitHub Enterprise Server that does not know that is asked again without",
        ),
    ],
    parameters: &[
        ("event_id", "{{id}}"),
        ("model", "{{model}}"),
        ("train_from", "{{training_window.from}}"),
        ("train_to", "{{training_window.to}}"),
        ("report_url", "{{report_url}}"),
    ],
    // Ten on older GitHub Enterprise Servers, which say so.
    most_parameters: Some(25),
    texts_only: true,
    auth: Auth::Installation("actions"),
    rules: &Rules {
        passing: PASSING,
        hints: &[
            (
                403..=403,
                "by integration",
                "the app needs the permission Actions: write, accepted by the owner of its installation",
            ),
            (403..=403, "", "the token needs the permission Actions: write"),
            NOT_FOUND,
            (
                422..=422,
                "",
                "the workflow must have `workflow_dispatch` with exactly these inputs: list them under \
                 `parameters`; or `with.ref` does not exist",
            ),
        ],
        ..Rules::PLAIN
    },
    lookup: Some(Lookup {
        url: "{{webhook}}/repos/{{with.repository}}/actions/workflows/{{with.workflow}}/runs?event=\
              workflow_dispatch&per_page=30",
        ..LOOKUP
    }),
    confirm: Some(STATES),
    ..Provider::PLAIN
};

/// A 204 says that GitHub has it, not that any workflow listens.
pub(super) static REPOSITORY: Provider = Provider {
    home: HOME,
    url: "{{webhook}}/repos/{{with.repository}}/dispatches",
    headers: HEADERS,
    standard_headers: false,
    // At most ten properties at the top of `client_payload`.
    body: r#"{"event_type": "{{with.event_type}}", "client_payload": "{{parameters}}"}"#,
    most: Some(64 * 1024 - 1),
    settings: &[
        REPOSITORY_NAME,
        Setting::or("event_type", "driftd-retrain", "what the workflow's `types` lists"),
    ],
    parameters: &[
        ("event_id", "{{id}}"),
        ("model", "{{model}}"),
        ("train_from", "{{training_window.from}}"),
        ("train_to", "{{training_window.to}}"),
        ("report_url", "{{report_url}}"),
        ("driftd", "{{data}}"),
    ],
    most_parameters: Some(10),
    auth: Auth::Installation("contents"),
    rules: &Rules {
        passing: PASSING,
        hints: &[
            (
                403..=403,
                "by integration",
                "the app needs the permission Contents: write, accepted by the owner of its installation",
            ),
            (403..=403, "", "the token needs the permission Contents: write"),
            NOT_FOUND,
            (422..=422, "", "GitHub does not take the body: at most 10 parameters and 64 KB"),
        ],
        ..Rules::PLAIN
    },
    // Nothing is found where the token may not read Actions, or no `run-name` holds the id.
    lookup: Some(Lookup { url: LISTENERS, ..LOOKUP }),
    confirm: Some(Confirm {
        by_default: false,
        url: LISTENERS,
        run: RunFrom::Id,
        of: Of::Ours("/workflow_runs"),
        ..STATES
    }),
    ..Provider::PLAIN
};
