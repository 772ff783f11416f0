//! The share of records that have come before.

use crate::decide::view::ModelView;
use crate::metrics::names::Named;
use crate::metrics::text::{Families, Kind};

pub(super) const DUPLICATES: Named = (
    "driftd_duplicate_ratio",
    Kind::Gauge,
    "Share of the window's records that had come before, byte for byte, of those that were sampled.",
);

/// Absent while nothing was sampled.
pub(super) fn render(out: &mut Families, model: &ModelView) {
    let window = model.panes.iter().filter(|pane| pane.start_ms >= model.window.start_ms);
    let (sampled, repeated) = window.fold((0u64, 0u64), |(sampled, repeated), pane| {
        (sampled + pane.sampled, repeated + pane.repeated)
    });
    if sampled > 0 {
        out.set(DUPLICATES, &[("model", &model.model)], repeated as f64 / sampled as f64);
    }
}
