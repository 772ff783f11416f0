//! The families of a model's faults, each kind by its name.

use crate::decide::fault::FaultKind;
use crate::decide::view::ModelView;
use crate::metrics::drift::{Named, flag};
use crate::metrics::text::{Families, Kind};

const FAULTS: Named = (
    "driftd_model_fault",
    Kind::Gauge,
    "1 while a fault of this kind is open, of the whole feed or of some feature; 0 without one.",
);
const FAULTY: Named = (
    "driftd_model_faulty_features",
    Kind::Gauge,
    "Features whose values can't be trusted at present.",
);

/// All of the above.
pub(super) const ALL: [Named; 2] = [FAULTS, FAULTY];

/// One that a person has taken for drift is none.
pub(super) fn render(out: &mut Families, model: &ModelView) {
    let name = ("model", model.model.as_str());
    let open = || model.faults.iter().filter(|fault| !fault.accepted);
    for kind in FaultKind::ALL {
        let is_open = open().any(|fault| fault.kind == kind);
        out.set(FAULTS, &[name, ("kind", kind.as_str())], flag(is_open));
    }
    out.set(FAULTY, &[name], open().filter(|fault| fault.feature.is_some()).count() as f64);
}
