//! One model as evaluation sees it: its partitions, its panes, its window, its levels.

use std::collections::BTreeMap;

use tokio::time::Instant;
use tracing::error;
use tracing::info;

use crate::decide::Audience;
use crate::decide::FeatureVerdict;
use crate::decide::Quality;
use crate::decide::Rule;
use crate::decide::Suppression;
use crate::decide::effects;
use crate::decide::fault::Lag;
use crate::decide::history::History;
use crate::decide::model::Decision;
use crate::decide::model::ModelState;
use crate::decide::sequential::Sequential;
use crate::histogram::Counts;
use crate::offsets::TopicPartition;
use crate::pipeline::evaluate::dry::Unsent;
use crate::pipeline::evaluate::faults::Withheld;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::store::PaneRecord;
use crate::window::ClosedPane;
use crate::window::Merge;
use crate::window::Ring;

mod behind;
mod kept;
mod partitions;

use partitions::Seen;

/// Version of the stored state; written by this binary, and the highest that it reads.
pub(crate) const VERSION: u8 = 3;

pub(crate) struct ModelEvaluator {
    pub spec: Spec,
    pub watched: Option<Watched>,
    /// When the baseline in force was taken up, by the wall clock.
    pub loaded_ms: Option<i64>,
    pub merge: Merge,
    pub ring: Ring,
    pub state: ModelState,
    pub withheld: Withheld,
    /// The sequential test, once the design effects are known.
    pub sequential: Option<Sequential>,
    pub verdicts: Vec<FeatureVerdict>,
    /// What each feature of a season was compared with; `None` is all of its reference.
    pub references: Vec<Option<Counts>>,
    pub decision: Option<Decision>,
    /// What readers see of the past.
    pub history: History,
    /// The next pane is the first of a baseline that replaced another.
    pub replaced: bool,
    pub suppressed: BTreeMap<Suppression, u64>,
    /// The quality that was last acted on.
    pub quality: Quality,
    /// Kinds of trouble that people know of by one story.
    pub told_qualities: Vec<Quality>,
    /// Since when its data can be trusted, by the clock of this process.
    pub trusted_since: Option<Instant>,
    /// When the log last refused a message about it.
    pub refused: Option<Instant>,
    /// Nothing has come for three panes of wall clock.
    pub stale: bool,
    /// So much is unread that what is decided is about the past.
    pub lag: Option<Lag>,
    /// Who has been told of it.
    pub lag_told: Option<Audience>,
    /// What a dry run has not sent.
    pub unsent: Unsent,
    /// Whether it is evaluated in this process.
    pub owned: bool,
    /// Its partitions are counted by others, who give signs of life.
    pub remote: bool,
    /// Start of the first pane that was decided by the baseline in force.
    pub began_ms: Option<i64>,
    /// More panes are ready than close in one go: what is decided is not about the present yet.
    pub overdue: bool,
    /// A trigger that is not in the log yet, and the end of its pane: nothing else is decided before.
    pub unopened: Option<(Decision, i64)>,
    /// A seal on its way through the log: until it is read back nothing closes.
    pub sealing: Option<Sealing>,
    partitions: BTreeMap<TopicPartition, Seen>,
    /// How many its topic has.
    in_topic: usize,
    /// Since when some of them are not ours.
    short_since: Option<Instant>,
    /// They are still waited for, so no pane closes without them.
    holding: bool,
    last_record: Instant,
}

/// A seal that is not read back yet.
pub(crate) struct Sealing {
    pub record: PaneRecord,
    /// The brokers have acknowledged it.
    pub written: bool,
}

impl ModelEvaluator {
    pub(crate) fn new(spec: Spec, now: Instant) -> Self {
        let pane_ms = spec.policy.pane_ms;
        let ring = Ring::new(Vec::new(), pane_ms, 1, 1, 0);
        Self {
            spec,
            watched: None,
            loaded_ms: None,
            merge: Merge::new(Vec::new(), pane_ms),
            ring,
            state: ModelState::default(),
            withheld: Withheld::default(),
            sequential: None,
            verdicts: Vec::new(),
            references: Vec::new(),
            decision: None,
            history: History::default(),
            replaced: false,
            suppressed: BTreeMap::new(),
            quality: Quality::default(),
            told_qualities: Vec::new(),
            trusted_since: None,
            refused: None,
            stale: false,
            lag: None,
            lag_told: None,
            unsent: Unsent::default(),
            owned: true,
            remote: false,
            began_ms: None,
            overdue: false,
            unopened: None,
            sealing: None,
            partitions: BTreeMap::new(),
            in_topic: 0,
            short_since: None,
            holding: false,
            last_record: now,
        }
    }

    /// Starts anew with a baseline: empty window, no levels.
    pub(crate) fn watch(&mut self, watched: Watched, now_ms: i64) {
        let policy = &self.spec.policy;
        let shape = watched.rules.shape();
        self.merge = Merge::new(shape.clone(), policy.pane_ms).with_silence(self.kept_panes());
        self.ring = Ring::new(
            shape,
            policy.pane_ms,
            policy.window_panes,
            policy.max_age_panes,
            policy.min_records,
        )
        .with_calendars(watched.baseline.calendars());
        self.state = ModelState::default();
        self.withheld = Withheld::default();
        self.verdicts = Vec::new();
        self.references = Vec::new();
        self.decision = None;
        self.partitions.clear();
        self.began_ms = None;
        self.unopened = None;
        self.sealing = None;
        self.watch_history(&watched.baseline);
        self.watched = Some(watched);
        self.sequential = self.rule();
        self.loaded_ms = Some(now_ms);
    }

    /// How many panes are kept.
    pub(crate) fn kept_panes(&self) -> usize {
        self.spec.policy.max_age_panes.max(self.spec.policy.window_panes)
    }

    pub(crate) fn kept_ms(&self) -> i64 {
        let panes = i64::try_from(self.kept_panes()).unwrap_or(i64::MAX / 2);
        panes.saturating_mul(self.spec.policy.pane_ms)
    }

    /// The sequential test, if the design effects are known.
    fn rule(&self) -> Option<Sequential> {
        let (baseline, policy) = (&self.watched.as_ref()?.baseline, &self.spec.policy);
        if policy.rule == Rule::Window {
            return None;
        }
        let learnt = self.state.learnt_effects.as_deref();
        let effects = effects::known(baseline, policy, learnt)?;
        Sequential::new(baseline, policy, &effects)
    }

    /// Learns the design effects from live panes, where nothing else tells them.
    pub(crate) fn calibrate(&mut self) {
        let (Some(watched), None, None) =
            (&self.watched, &self.sequential, &self.state.learnt_effects)
        else {
            return;
        };
        if self.spec.policy.rule == Rule::Window {
            return;
        }
        let (shape, pane_ms) = (watched.rules.shape(), self.spec.policy.pane_ms);
        let learnt = effects::learn(&watched.baseline, &self.ring.panes(), &shape, pane_ms);
        if learnt.is_none() {
            return;
        }
        self.state.learnt_effects = learnt;
        self.sequential = self.rule();
        info!(
            model = self.spec.name(),
            "three days of panes tell the design effects: the sequential test decides from here on"
        );
    }

    /// What a pane counted, a feature each.
    pub(crate) fn counts(&self, pane: &ClosedPane) -> Vec<Counts> {
        let shape = self.watched.as_ref().map_or_else(Vec::new, |w| w.rules.shape());
        pane.counts(&shape).unwrap_or_default()
    }

    /// Appends a closed pane to the window.
    pub(crate) fn push(&mut self, pane: ClosedPane) {
        if self.ring.push(pane).is_err() {
            error!(model = self.spec.name(), "a closed pane can't be read back; this is a bug");
        }
    }
}
