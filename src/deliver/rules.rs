//! What an answer means, as data: each kind of receiver is one table of rules.
//!
//! A generic "2xx good, 4xx permanent, 5xx again" is wrong somewhere for every receiver: Argo says
//! 500 for "already exists", tokens that rotate make a 401 that heals, and Slack's 404 never does.

use std::ops::RangeInclusive;

/// `(statuses, text in the body, what to do)`.
pub(crate) type Hint = (RangeInclusive<u16>, &'static str, &'static str);

/// How the answers of one kind of receiver are understood.
#[derive(Debug)]
pub(crate) struct Rules {
    /// `(status, text in the body)` of "I have that one already".
    pub(crate) already: &'static [(u16, &'static str)],
    /// Answers that no later attempt will change.
    pub(crate) stop: &'static [u16],
    /// `(status, text in the body)` of what passes by itself although its class does not.
    pub(crate) passing: &'static [(u16, &'static str)],
    /// `(status, n)`: an answer after which something may have been started in part, so that the
    /// receiver is asked at most n times.
    pub(crate) cap: Option<(u16, u32)>,
    /// The first that matches is told; those of `COMMON` come after them.
    pub(crate) hints: &'static [Hint],
}

impl Rules {
    /// What HTTP itself says, and 410 for "never again".
    pub(crate) const PLAIN: Rules =
        Rules { already: &[], stop: &[410], passing: &[], cap: None, hints: &[] };
}

const COMMON: [Hint; 5] = [
    (300..=399, "", "the URL has moved; redirects are not followed, so configure the new one"),
    (401..=401, "", "the token was not accepted; `token_file` is read again at every attempt"),
    (403..=403, "", "the token is known but may not do this"),
    (404..=405, "", "nothing takes this there; is the URL right, and the receiver deployed?"),
    (410..=410, "", "the receiver says it is gone for good"),
];

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

/// What the operator counts otherwise than the receiver's table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) success: Vec<u16>,
    pub(crate) permanent: Vec<u16>,
    pub(crate) already: Vec<(u16, String)>,
}

impl Rules {
    /// What the answer means; the operator's word comes before the table's.
    pub(crate) fn judge(&self, own: &Overrides, status: u16, body: &str) -> Judgement {
        let said = |code: u16, text: &str| code == status && body.contains(text);
        if own.already.iter().any(|(code, text)| said(*code, text)) {
            return Judgement::AlreadyThere;
        }
        if own.permanent.contains(&status) {
            return Judgement::Stop;
        }
        if self.already.iter().any(|(code, text)| said(*code, text)) {
            return Judgement::AlreadyThere;
        }
        if own.success.contains(&status) {
            let conflict = status == 409;
            return if conflict { Judgement::AlreadyThere } else { Judgement::Accepted };
        }
        if self.passing.iter().any(|(code, text)| said(*code, text)) {
            return Judgement::Retry;
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
        let matches =
            |(statuses, text, _): &&Hint| statuses.contains(&status) && body.contains(text);
        let found = self.hints.iter().chain(&COMMON).find(matches);
        found.map(|(_, _, hint)| *hint)
    }
}
