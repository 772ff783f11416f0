//! What an answer means, as data: each kind of receiver is one table of rules.
//!
//! A generic "2xx good, 4xx permanent, 5xx again" is wrong somewhere for every receiver: Argo says
//! 500 for "already exists", tokens that rotate make a 401 that heals, and Slack's 404 never does.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which receiver a trigger talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Any URL that takes JSON and follows the Standard Webhooks conventions.
    StandardWebhook,
    /// The event endpoint of Argo Workflows.
    ArgoWorkflows,
}

impl Preset {
    pub(crate) fn rules(self) -> &'static Rules {
        match self {
            Preset::StandardWebhook => &STANDARD_WEBHOOK,
            Preset::ArgoWorkflows => &ARGO_WORKFLOWS,
        }
    }
}

/// How one kind of receiver is talked to and understood.
pub(crate) struct Rules {
    /// A header that repeats the id, where the receiver cannot see `webhook-id`.
    pub(crate) id_header: Option<&'static str>,
    /// `(status, text in the body)` of "I have that one already".
    already: &'static [(u16, &'static str)],
    /// Answers that no later attempt will change.
    stop: &'static [u16],
    /// `(status, n)`: an answer after which something may have been started in part, so that the
    /// receiver is asked at most n times.
    pub(crate) cap: Option<(u16, u32)>,
    /// `(statuses, text in the body, what to do)`; the first that matches is told.
    hints: &'static [(RangeInclusive<u16>, &'static str, &'static str)],
}

const MOVED: (RangeInclusive<u16>, &str, &str) =
    (300..=399, "", "the URL has moved; redirects are not followed, so configure the new one");

static STANDARD_WEBHOOK: Rules = Rules {
    id_header: None,
    already: &[],
    stop: &[410],
    cap: None,
    hints: &[
        MOVED,
        (401..=401, "", "the token was not accepted; `token_file` is read again at every attempt"),
        (403..=403, "", "the token is known but may not do this"),
        (404..=405, "", "nothing takes POST there; is the URL right, and the receiver deployed?"),
        (410..=410, "", "the receiver says it is gone for good"),
    ],
};

/// `dispatch` wraps every error with `%v`, so all but a forbidden list of bindings is a 500. With
/// several bindings a repeat submits again those that had succeeded: hence the cap.
static ARGO_WORKFLOWS: Rules = Rules {
    // Only x-* headers reach a binding.
    id_header: Some("x-driftd-event-id"),
    already: &[(500, "already exists")],
    stop: &[410],
    cap: Some((500, 8)),
    hints: &[
        MOVED,
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
        (
            403..=403,
            "",
            "the service account's Role needs: list workfloweventbindings, get workflowtemplates, \
             create workflows",
        ),
        (404..=405, "", "the path is /api/v1/events/{namespace}/{discriminator}"),
        (
            500..=500,
            "forbidden",
            "the service account's Role needs: list workfloweventbindings, get workflowtemplates, \
             create workflows",
        ),
        (
            500..=500,
            "failed to dispatch event",
            "a binding matched, but its workflow was not created: check its template and its \
             parameter expressions",
        ),
        (503..=503, "", "Argo's event queue is full"),
    ],
};

/// The same message can only fail in the same way after 400 and 413.
pub(crate) static SLACK: Rules = Rules {
    id_header: None,
    already: &[],
    stop: &[400, 403, 404, 410, 413],
    cap: None,
    hints: &[
        MOVED,
        (403..=403, "", "the webhook or its app was switched off; make a new webhook URL"),
        (404..=404, "", "the webhook or its channel does not exist; make a new webhook URL"),
        (410..=410, "", "the channel is archived"),
    ],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Accepted,
    AlreadyThere,
    /// Passes by itself.
    Retry,
    /// Someone has to act, and may: tokens get renewed, receivers deployed.
    Slow,
    Stop,
}

impl Rules {
    /// What the answer means; `also_success` are statuses that the operator counts as success.
    pub(crate) fn judge(&self, also_success: &[u16], status: u16, body: &str) -> Judgement {
        let matches = |(code, text): &(u16, &str)| *code == status && body.contains(text);
        if self.already.iter().any(matches) {
            return Judgement::AlreadyThere;
        }
        if also_success.contains(&status) {
            let conflict = status == 409;
            return if conflict { Judgement::AlreadyThere } else { Judgement::Accepted };
        }
        if self.stop.contains(&status) {
            return Judgement::Stop;
        }
        match status {
            200..=299 => Judgement::Accepted,
            408 | 425 | 429 => Judgement::Retry,
            300..=499 => Judgement::Slow,
            _ => Judgement::Retry,
        }
    }

    pub(crate) fn hint(&self, status: u16, body: &str) -> Option<&'static str> {
        let matches = |statuses: &RangeInclusive<u16>, text: &str| {
            statuses.contains(&status) && body.contains(text)
        };
        let found = self.hints.iter().find(|(statuses, text, _)| matches(statuses, text));
        found.map(|(_, _, hint)| *hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(rules: &Rules, status: u16, body: &str) -> Judgement {
        rules.judge(&[], status, body)
    }

    #[test]
    fn answers_are_judged_as_the_receivers_mean_them() {
        use Judgement::{Accepted, AlreadyThere, Retry, Slow, Stop};
        let exists = r#"{"message":"failed to dispatch event: [workflows \"x\" already exists]"}"#;
        for (rules, status, body, expected) in [
            (&STANDARD_WEBHOOK, 200, "", Accepted),
            (&STANDARD_WEBHOOK, 204, "", Accepted),
            (&STANDARD_WEBHOOK, 302, "", Slow),
            (&STANDARD_WEBHOOK, 409, "", Slow),
            (&STANDARD_WEBHOOK, 410, "", Stop),
            (&STANDARD_WEBHOOK, 500, exists, Retry),
            (&ARGO_WORKFLOWS, 200, "{}", Accepted),
            (&ARGO_WORKFLOWS, 500, exists, AlreadyThere),
            (&ARGO_WORKFLOWS, 500, "forbidden", Retry),
            (&ARGO_WORKFLOWS, 503, "", Retry),
            (&SLACK, 200, "ok", Accepted),
            (&SLACK, 400, "invalid_payload", Stop),
            (&SLACK, 429, "", Retry),
        ] {
            assert_eq!(judge(rules, status, body), expected, "{status} {body}");
        }
        for status in [400, 401, 403, 404, 405, 422] {
            assert_eq!(judge(&STANDARD_WEBHOOK, status, ""), Slow, "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(judge(&STANDARD_WEBHOOK, status, ""), Retry, "{status}");
        }
        for status in [403, 404, 410] {
            assert_eq!(judge(&SLACK, status, ""), Stop, "{status}");
        }
    }

    #[test]
    fn an_operator_can_count_more_answers_as_success() {
        assert_eq!(STANDARD_WEBHOOK.judge(&[409], 409, ""), Judgement::AlreadyThere);
        assert_eq!(STANDARD_WEBHOOK.judge(&[302], 302, ""), Judgement::Accepted);
    }

    #[test]
    fn argos_refusals_say_what_is_missing() {
        let hint = |status, body| ARGO_WORKFLOWS.hint(status, body).unwrap();
        assert!(hint(403, "failed to process webhook request").contains("no bearer token"));
        assert!(hint(403, "cannot list").contains("list workfloweventbindings"));
        assert!(hint(401, "").contains("token_file"));
        assert!(hint(307, "").contains("moved"));
    }
}
