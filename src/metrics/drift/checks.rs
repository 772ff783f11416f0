//! The family of the checks that a configuration lists.

use crate::decide::check::CheckState;
use crate::decide::view::ModelView;
use crate::metrics::drift::{Named, flag};
use crate::metrics::text::{Families, Kind};

pub(super) const PASSED: Named = (
    "driftd_check_passed",
    Kind::Gauge,
    "1 while what the check asks of live values is so, 0 while it is violated; absent before a complete window.",
);

/// One series for each check that has been measured; the configuration bounds them.
pub(super) fn render(out: &mut Families, model: &ModelView) {
    for check in &model.checks {
        let labels = [
            ("model", model.model.as_str()),
            ("check", check.check.as_str()),
            ("severity", check.severity.as_str()),
        ];
        match check.state {
            CheckState::Unknown => {}
            CheckState::Passed => out.set(PASSED, &labels, 1.0),
            CheckState::Violated => out.set(PASSED, &labels, flag(false)),
        }
    }
}
