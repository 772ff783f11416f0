//! One feature's counts, looked at once: which fault they show.

use crate::baseline::FeatureBaseline;
use crate::decide::fault::FaultKind;
use crate::decide::fault::Finding;
use crate::decide::fault::GONE;
use crate::decide::fault::UNSEEN;
use crate::decide::fault::UNUSABLE;
use crate::decide::fault::share;
use crate::decide::fault::unit;
use crate::histogram::Cells;
use crate::histogram::Counts;

/// What noise is measured by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    pub(super) design_effect: f64,
    /// Evidence that a finding needs.
    pub(super) nats: f64,
}

/// The fault of shares that is the largest part of the records: gone, wrong type, no value, unseen.
/// `seen`: the feature has been in the records before, else a missing key is no news.
pub(super) fn shares(
    feature: &FeatureBaseline,
    live: &Counts,
    seen: bool,
    noise: Noise,
) -> Option<Finding> {
    let found = |kind: FaultKind, least: f64| {
        let (live, reference) = (share::of(kind, live)?, share::expected(kind, feature)?);
        let (share, expected) = (live.share(), reference.share());
        let certain = share::evidence(live, reference, noise.design_effect) > noise.nats;
        (certain && share - expected >= least).then_some(Finding {
            kind,
            records: live.n,
            share,
            expected,
            number: None,
        })
    };
    if !seen {
        return None;
    }
    let gone = found(FaultKind::SchemaChange, UNUSABLE).filter(|finding| finding.share >= GONE);
    let wrong = found(FaultKind::TypeChange, UNUSABLE);
    let none = found(FaultKind::NullSurge, UNUSABLE);
    let worse = match (wrong, none) {
        (Some(wrong), Some(none)) if none.share > wrong.share => Some(none),
        (wrong, none) => wrong.or(none),
    };
    gone.or(worse).or_else(|| found(FaultKind::UnseenSurge, UNSEEN))
}

/// A change of unit. Values that have grown leave the reference's range, which no chance does to them; that
/// all have shrunk may be a stretch near zero of a stream that remembers, so it is asked of `settled`, too.
pub(super) fn unit(
    feature: &FeatureBaseline,
    live: &Counts,
    noise: Noise,
    settled: Noise,
) -> Option<Finding> {
    let factor_at = |noise: Noise| unit::factor(feature, live, noise.design_effect, noise.nats);
    let factor = factor_at(noise)?;
    if factor.abs() < 1.0 {
        factor_at(settled)?;
    }
    Some(Finding {
        kind: FaultKind::UnitChange,
        records: live.in_cells(),
        share: 1.0,
        expected: 0.0,
        number: Some(factor),
    })
}

/// How far the standard deviation is from the reference's, as a factor.
pub(super) fn spread(feature: &FeatureBaseline, live: &Counts) -> Option<f64> {
    let sd = feature.sd.filter(|sd| *sd > 0.0)?;
    match &feature.cells {
        Cells::Numeric(cells) if live.in_cells() > 1 => cells.scale.sd(live).map(|live| live / sd),
        Cells::Numeric(_) | Cells::Categorical(_) => None,
    }
}
