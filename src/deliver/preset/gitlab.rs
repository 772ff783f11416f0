//! GitLab CI: a pipeline by its trigger token.

use crate::deliver::provider::{Auth, Confirm, Encoding, Of, Provider, RunFrom, Setting};
use crate::deliver::rules::Rules;

/// A bad token looks like a project that is not there.
pub(super) static TRIGGER: Provider = Provider {
    home: Some("https://gitlab.com"),
    url: "{{webhook}}/api/v4/projects/{{with.project}}/trigger/pipeline",
    headers: &[("content-type", "application/x-www-form-urlencoded")],
    standard_headers: false,
    body: r#"{"ref": "{{with.ref}}", "{{with.pass_as}}": "{{parameters}}"}"#,
    encoding: Encoding::Form,
    settings: &[
        Setting::required("project", "ml/fraud", "the project's path or number"),
        Setting::or("ref", "main", "branch or tag that it runs on"),
        Setting::or("pass_as", "variables", "`variables`, or `inputs` from GitLab 17.11 on"),
    ],
    parameters: &[
        ("DRIFTD_EVENT_ID", "{{id}}"),
        ("DRIFTD_MODEL", "{{model}}"),
        ("DRIFTD_TRAIN_FROM", "{{training_window.from}}"),
        ("DRIFTD_TRAIN_TO", "{{training_window.to}}"),
        ("DRIFTD_REPORT_URL", "{{report_url}}"),
    ],
    texts_only: true,
    auth: Auth::Field("token"),
    rules: &Rules {
        hints: &[
            (
                400..=400,
                "",
                "GitLab refuses the pipeline: does `with.ref` exist, with a CI file for it?",
            ),
            (
                401..=404,
                "",
                "no such project, or not its trigger token: `token_file` holds a pipeline trigger token \
                 (glptt-...), no access token",
            ),
        ],
        ..Rules::PLAIN
    },
    // A trigger token may not read, so that reading needs one that may.
    confirm: Some(Confirm {
        by_default: true,
        own_token: Some("private-token"),
        url: "{{webhook}}/api/v4/projects/{{with.project}}/pipelines/{{run}}",
        run: RunFrom::Body("/id"),
        of: Of::Itself,
        then: None,
        state: &["/status"],
        succeeded: &["success"],
        failed: &["failed", "canceled", "skipped"],
        page: Some("/web_url"),
    }),
    ..Provider::PLAIN
};
