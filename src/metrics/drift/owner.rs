//! Which models this process evaluates; of the others it shows nothing, or two would show the same.

use crate::decide::view::{ModelView, View};
use crate::metrics::drift::flag;
use crate::metrics::names::Named;
use crate::metrics::text::{Families, Kind};

pub(super) const EVALUATED: Named = (
    "driftd_model_evaluated",
    Kind::Gauge,
    "1 when this process evaluates the model, 0 when another replica does.",
);

/// The models that are evaluated here.
pub(super) fn here(view: &View) -> impl Iterator<Item = &ModelView> {
    view.models.iter().map(AsRef::as_ref).filter(|model| model.elsewhere.is_none())
}

pub(super) fn render(out: &mut Families, view: &View) {
    for model in &view.models {
        let here = model.elsewhere.is_none();
        out.set(EVALUATED, &[("model", model.model.as_str())], flag(here));
    }
}
