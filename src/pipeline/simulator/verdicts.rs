//! The real decision, by rule `window`, on scores that are shares of drifted values.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::compare::Statistic;
use crate::decide::announcement::{Announcement, Data};
use crate::decide::incident::Evidence;
use crate::decide::ledger::{Ledger, incident_id};
use crate::decide::model::{Decision, ModelState, Situation};
use crate::decide::record::{DeliveryResult, Record as Told};
use crate::decide::view::VerdictScore;
use crate::decide::{
    Audience, CloseReason, Delivery, FeatureVerdict, Incident, IncidentState, Kind, Level, Policy,
    Rule, Verdict,
};
use crate::feature::{Kind as FeatureKind, Role};
use crate::pipeline::simulator::counter::MODEL;
use crate::pipeline::simulator::stream::{PANE, SHAPE};
use crate::window::Ring;

pub(super) const DIGEST: &str = "digest";
/// Version of a model's stored state.
pub(super) const STATE_VERSION: u8 = 3;
const WINDOW: usize = 2;
/// Empty panes in a row that close: as many as are kept.
pub(super) const SILENCE: i64 = WINDOW as i64;

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    thresholds: vec![(Statistic::Psi, Level::Warning, 0.4), (Statistic::Psi, Level::Retrain, 0.6)],
    psi_tolerance: 0.1,
    output_p_values: BTreeMap::new(),
    window_panes: WINDOW,
    pane_ms: PANE,
    max_age_panes: WINDOW,
    min_records: 1,
    max_reject_ratio: 0.05,
    min_features: 1,
    min_share: 0.0,
    max_retrains: 100,
    retrain_period_ms: 1000 * PANE,
    design_effect: None,
    rule: Rule::Window,
    importance: BTreeMap::new(),
    log_panes_allowed: 9.0,
    expire_after_ms: 10_000 * PANE,
    dry_run: false,
    has_trigger: true,
});

pub(super) fn ring() -> Ring {
    Ring::new(SHAPE.to_vec(), PANE, WINDOW, WINDOW, 1)
}

/// Decides the pane that has just entered the ring.
pub(super) fn decide(
    state: &mut ModelState,
    ring: &Ring,
    ledger: &Ledger,
    pane_end_ms: i64,
) -> Decision {
    let cells = &ring.live()[0].cells;
    let records = cells[0] + cells[1];
    let value = if records == 0 { 0.0 } else { cells[1] as f64 / records as f64 };
    let score = VerdictScore { value, noise_floor: Some(0.0), p_value: None, threshold: None };
    let mut verdicts = [FeatureVerdict {
        feature: String::new(),
        kind: FeatureKind::Numeric,
        role: Role::Feature,
        verdict: Verdict::Stable,
        reference_count: 1000,
        live_count: records,
        scores: BTreeMap::from([(Statistic::Psi, score)]),
        reason: None,
        records_needed: None,
        onset: None,
        season: None,
    }];
    let situation = Situation {
        policy: &POLICY,
        sequential: None,
        ring,
        ledger,
        model: MODEL,
        pane_end_ms,
        unreadable_incidents: false,
        tested: Vec::new(),
    };
    state.decide(&mut verdicts, &[], &situation)
}

pub(super) fn baseline() -> Told {
    Told::Baseline {
        model: MODEL.to_owned(),
        digest: DIGEST.to_owned(),
        source: String::new(),
        active_from_ms: 0,
        at_ms: 0,
    }
}

/// The next incident; `drawn` spoils its id.
pub(super) fn opened(ledger: &Ledger, event_ms: i64, drawn: Option<u64>) -> Told {
    let ordinal = ledger.next_ordinal(MODEL, DIGEST);
    let id = match drawn {
        Some(drawn) => format!("drawn-{drawn}"),
        None => incident_id(MODEL, DIGEST, ordinal),
    };
    let delivery = Delivery {
        id: id.clone(),
        target: "retraining_trigger".to_owned(),
        channel: None,
        model: MODEL.to_owned(),
        kind: Kind::Trigger,
        audience: Audience::Ml,
        announcement: Announcement {
            event_type: String::new(),
            id: id.clone(),
            timestamp: String::new(),
            data: Data::default(),
        },
    };
    let incident = Incident {
        id,
        model: MODEL.to_owned(),
        ordinal,
        state: IncidentState::Triggered,
        opened: String::new(),
        onset: None,
        closed: None,
        closed_as: None,
        attempts: Vec::new(),
        run: None,
        evidence: Evidence {
            baseline_digest: DIGEST.to_owned(),
            window_start: String::new(),
            window_end: String::new(),
            records: 0,
            explanation: String::new(),
            features: Vec::new(),
            more_features: 0,
        },
    };
    Told::Opened {
        incident: Box::new(incident),
        digest: DIGEST.to_owned(),
        event_ms,
        at_ms: 0,
        held: false,
        deliveries: vec![delivery],
    }
}

pub(super) fn outcome(delivery: String, target: String, n: u32, result: DeliveryResult) -> Told {
    let (status, detail, reference) = (None, String::new(), None);
    Told::Outcome { delivery, target, n, at_ms: 0, status, result, detail, reference }
}

pub(super) fn closed(incident: String, event_ms: i64) -> Told {
    let (closed_as, by) = (CloseReason::Rejected, String::new());
    Told::Closed { incident, closed_as, event_ms, at_ms: 0, by }
}
