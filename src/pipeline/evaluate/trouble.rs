//! Troubles that come and go: by which message people hear of one, and whether it is time for that.

use crate::decide::Audience;
use crate::decide::ledger::incident_id;
use crate::pipeline::evaluate::Evaluate;
use crate::pipeline::evaluate::deliveries::AGAIN;

/// One trouble that comes back is told at most once in so long, or in a window's length where that is
/// shorter.
const PERIOD_MS: i64 = 4 * 3_600_000;
/// Messages about checks have a story of their own.
pub(super) const CHECKS: &str = "checks";

/// How a message stands with the people whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Somebody has yet to hear of it.
    Untold,
    /// Everybody who wants to has heard of it.
    Told,
    /// They were told, and then that it is over; or the log takes nothing just now.
    Waits,
}

impl Evaluate {
    /// The id of the message that tells these people of a trouble: while they know of it the one that they
    /// have, else one for the present period. So one that flaps has one in a period, and one that
    /// lasts is told in the next, whatever was said last.
    pub(super) fn trouble_id(
        &self,
        model: usize,
        (about, suffix): (&str, &str),
        audience: Audience,
        now_ms: i64,
    ) -> String {
        let story = self.trouble_story(model, suffix, audience);
        let began = self.log.ledger().began(&story);
        let known =
            began.map(|told| (self.period_id(model, (about, suffix), told.queued_at_ms), told));
        match known {
            Some((id, told)) if id == told.delivery.id => id,
            Some(_) | None => self.period_id(model, (about, suffix), now_ms),
        }
    }

    pub(super) fn trouble_story(&self, model: usize, suffix: &str, audience: Audience) -> String {
        let name = self.specs[model].name();
        match suffix {
            CHECKS => format!("driftd/{name}/checks"),
            _ => format!("driftd/{name}/data_quality/{}", audience.as_str()),
        }
    }

    fn period_id(&self, model: usize, (about, suffix): (&str, &str), now_ms: i64) -> String {
        let (name, policy) = (self.specs[model].name(), &self.specs[model].policy);
        let window_ms = i64::try_from(policy.window_panes).unwrap_or(i64::MAX) * policy.pane_ms;
        let period = (now_ms / window_ms.clamp(1, PERIOD_MS)).cast_unsigned();
        format!("{}.{suffix}", incident_id(name, about, period))
    }

    pub(super) fn news(&self, model: usize, id: &str, audience: Audience) -> News {
        let ledger = self.log.ledger();
        if self.is_refused(model) || ledger.has_ended(id) {
            return News::Waits;
        }
        let mut people = self.specs[model].people.iter().filter(|reader| reader.hears(audience));
        match people.any(|reader| ledger.outgoing(id, &reader.name()).is_none()) {
            true => News::Untold,
            false => News::Told,
        }
    }

    /// The log has only just refused a message of the model: what lasts is told a little later.
    pub(super) fn is_refused(&self, model: usize) -> bool {
        self.models[model].refused.is_some_and(|since| since.elapsed() < AGAIN)
    }
}
