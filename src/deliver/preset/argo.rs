//! Argo: the event endpoint of Argo Workflows, and a webhook event source of Argo Events.

use url::Url;

use crate::deliver::provider::{Auth, Confirm, Of, Provider, RunFrom};
use crate::deliver::rules::Rules;

/// What precedes namespace and discriminator; a server may live under a base path.
const EVENTS_PATH: &str = "/api/v1/events/";

const ROLE: &str = "the service account's Role needs: list workfloweventbindings, get workflowtemplates, \
                    create workflows";

/// What follows `/api/v1/events/`.
pub(crate) fn tail(url: &Url) -> Option<&str> {
    url.path().split_once(EVENTS_PATH).map(|(_, tail)| tail)
}

/// Where the workflows of the binding's namespace are.
fn derive(url: &Url) -> Vec<(&'static str, String)> {
    let Some((base, tail)) = url.path().split_once(EVENTS_PATH) else { return Vec::new() };
    let namespace = tail.split('/').next().unwrap_or_default();
    vec![("base", base.to_owned()), ("namespace", namespace.to_owned())]
}

/// `dispatch` wraps every error with `%v`, so all but a forbidden list of bindings is a 500. With
/// several bindings a repeat submits again those that had succeeded: hence the cap. A 200 is given
/// whether a binding matched or not, and no answer names the workflow: its label is asked for.
pub(super) static WORKFLOWS: Provider = Provider {
    // Only x-* headers reach a binding.
    headers: &[("content-type", "application/json"), ("x-driftd-event-id", "{{id}}")],
    rules: &Rules {
        already: &[(500, "already exists")],
        cap: Some((500, 8)),
        hints: &[
            (
                401..=401,
                "",
                "the token was not accepted; `token_file` (or DRIFTD_WEBHOOK_TOKEN_FILE) must hold a \
                 service account's token, and is read again at every attempt",
            ),
            (
                403..=403,
                "failed to process webhook request",
                "Argo saw no bearer token; set `token_file` or DRIFTD_WEBHOOK_TOKEN_FILE",
            ),
            (403..=403, "", ROLE),
            (404..=405, "", "the path is /api/v1/events/{namespace}/{discriminator}"),
            (500..=500, "forbidden", ROLE),
            (
                500..=500,
                "failed to dispatch event",
                "a binding matched, but its workflow was not created: check its template and its \
                 parameter expressions",
            ),
            (503..=503, "queue full", "Argo's event queue is full"),
        ],
        ..Rules::PLAIN
    },
    derive,
    confirm: Some(Confirm {
        by_default: false,
        own_token: None,
        url: "{{origin}}{{with.base}}/api/v1/workflows/{{with.namespace}}?listOptions.labelSelector=\
              driftd.io/event-id={{id}}&fields=items.metadata.name,items.status.phase,\
              items.status.message",
        run: RunFrom::Id,
        of: Of::First("/items"),
        then: None,
        state: &["/status/phase"],
        succeeded: &["Succeeded"],
        failed: &["Failed", "Error"],
        page: None,
    }),
    ..Provider::PLAIN
};

/// 200 `success` comes after the event has reached the bus; a route that is not up yet is a 400.
pub(super) static EVENTS: Provider = Provider {
    headers: &[
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "{{id}}"),
        ("ce-source", "/driftd"),
        ("ce-type", "io.{{type}}.v1"),
        ("ce-subject", "{{model}}"),
    ],
    auth: Auth::Optional,
    // The default of `maxPayloadSize`.
    most: Some(1024 * 1024),
    rules: &Rules {
        passing: &[(400, "")],
        hints: &[
            (400..=400, "", "the event source's route is not active yet, or takes no POST"),
            (401..=401, "", "the token is not the one in the event source's `authSecret`"),
        ],
        ..Rules::PLAIN
    },
    ..Provider::PLAIN
};
