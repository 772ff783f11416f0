//! Checks: that the baseline has the feature, that it is of the right kind, and what its cells can tell.

use crate::baseline::FeatureBaseline;
use crate::config::fault::did_you_mean;
use crate::config::fit::{Fit, Misfit, shown};
use crate::decide::check::{Check, Condition, NUMBERS_MAX, is_exact, numbers};
use crate::feature::Kind;
use crate::histogram::Cells;

impl Fit<'_> {
    pub(super) fn checks(&mut self) {
        for (at, check) in self.model.checks.iter().enumerate() {
            let Some((key, message, fatal)) = self.check(check) else { continue };
            self.found.push(Misfit { key: format!("checks.{at}.{key}"), message, fatal });
        }
    }

    /// The key, what does not fit, and whether it can never be measured.
    fn check(&self, check: &Check) -> Option<(&'static str, String, bool)> {
        let (name, condition) = (check.feature.as_ref()?, check.condition()?);
        let Some(feature) = self.baseline.features.iter().find(|feature| feature.name == *name)
        else {
            let ignored = self.baseline.ignored.iter().find(|ignored| ignored.column == *name);
            if let Some(ignored) = ignored {
                let message = format!("`{name}` is not watched: {}", ignored.reason);
                return Some(("feature", message, false));
            }
            let columns: Vec<&str> =
                self.baseline.features.iter().map(|feature| feature.name.as_str()).collect();
            let near = did_you_mean(name, columns.iter().copied());
            let has = shown(&columns);
            let message = format!("the baseline has no feature `{name}`{near}; it has {has}");
            return Some(("feature", message, true));
        };
        if let Some(unusable) = feature.unusable {
            let message =
                format!("is never measured: `{name}` is not watched: {}", unusable.reason());
            return Some(("feature", message, false));
        }
        let key = condition.key();
        if condition.needs_number() && feature.kind == Kind::Categorical {
            let message = format!(
                "`{name}` is categories, and `{key}` is of a number; write `in`, or `missing`"
            );
            return Some((key, message, true));
        }
        if let (Kind::Numeric, Condition::In(list) | Condition::NotIn(list)) =
            (feature.kind, condition)
        {
            let Some(numbers) = numbers(list) else {
                let message = format!(
                    "`{name}` is a number, and not all of the values are; write numbers, or declare it by \
                     `features: {{{name}: {{kind: categorical}}}}`"
                );
                return Some((key, message, true));
            };
            if numbers.len() > NUMBERS_MAX {
                let message = format!(
                    "{} values of a number, and {NUMBERS_MAX} are the most; write `between`, or declare it by \
                     `features: {{{name}: {{kind: categorical}}}}`",
                    numbers.len()
                );
                return Some((key, message, true));
            }
        }
        (!is_exact(check, feature)).then(|| (key, inexact(feature, condition), false))
    }
}

/// What is known of a share that the cells do not tell.
fn inexact(feature: &FeatureBaseline, condition: Condition<'_>) -> String {
    let certain = "only what certainly violates it is counted";
    match (&feature.cells, condition) {
        (Cells::Categorical(cells), Condition::In(list) | Condition::NotIn(list)) => {
            let apart = |value: &&String| {
                cells.cell(value).is_none_or(|cell| cell >= cells.categories.len())
            };
            let unknown: Vec<&str> = list.iter().filter(apart).map(String::as_str).collect();
            format!(
                "the baseline does not keep {} apart from other categories (too rare there, or never seen), \
                 so {certain}; leave them out, or use a baseline that has them",
                shown(&unknown)
            )
        }
        _ => format!(
            "the profile has no edges there, so {certain}; use the data in place of the profile, and the share \
             is exact"
        ),
    }
}
