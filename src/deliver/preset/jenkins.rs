//! Jenkins: a build with parameters, asked after from its place in the queue on.

use crate::deliver::provider::{Auth, Confirm, Encoding, Lookup, Of, Provider, RunFrom};
use crate::deliver::rules::Rules;

/// API tokens need no crumb. A redirect leads to the page for logging in.
pub(super) static BUILD: Provider = Provider {
    url: "{{webhook}}/buildWithParameters",
    headers: &[("content-type", "application/x-www-form-urlencoded")],
    standard_headers: false,
    body: "\"{{parameters}}\"",
    encoding: Encoding::Form,
    parameters: &[
        ("DRIFTD_EVENT_ID", "{{id}}"),
        ("DRIFTD_MODEL", "{{model}}"),
        ("DRIFTD_TRAIN_FROM", "{{training_window.from}}"),
        ("DRIFTD_TRAIN_TO", "{{training_window.to}}"),
        ("DRIFTD_REPORT_URL", "{{report_url}}"),
    ],
    texts_only: true,
    auth: Auth::Basic,
    rules: &Rules {
        hints: &[
            (
                300..=399,
                "",
                "Jenkins wants a log-in: `user` and a `token_file` with that user's API token",
            ),
            (401..=401, "", "`user` or the API token was not accepted"),
            (403..=403, "crumb", "Jenkins wants a crumb, which a password needs: use an API token"),
            (403..=403, "", "the user may not build this job"),
            (
                404..=404,
                "",
                "`webhook` is the job's page, such as https://jenkins/job/ml/job/retrain",
            ),
            (
                400..=500,
                "not parameterized",
                "tick `This project is parameterized` and add the parameters",
            ),
        ],
        ..Rules::PLAIN
    },
    lookup: Some(Lookup {
        url: "{{webhook}}/api/json?tree=builds[url,actions[parameters[name,value]]]{0,30}",
        always: false,
        items: "/builds",
        run: "/url",
        equals: None,
    }),
    confirm: Some(Confirm {
        by_default: true,
        own_token: None,
        url: "{{run}}api/json",
        run: RunFrom::Location,
        of: Of::Itself,
        then: Some("/executable/url"),
        state: &["/result"],
        succeeded: &["SUCCESS"],
        failed: &["FAILURE", "ABORTED", "UNSTABLE", "NOT_BUILT"],
        page: Some("/url"),
    }),
    ..Provider::PLAIN
};
