//! One model as evaluation sees it: its partitions, its panes, its window, its levels.

use std::collections::BTreeMap;

use tokio::time::Instant;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
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
use crate::decide::sequential::SequentialState;
use crate::histogram::Counts;
use crate::metrics::Metrics;
use crate::offsets::TopicPartition;
use crate::pipeline::evaluate::faults::Withheld;
use crate::pipeline::panes;
use crate::pipeline::panes::Logged;
use crate::pipeline::spec::Spec;
use crate::pipeline::spec::Watched;
use crate::store;
use crate::store::Kept;
use crate::store::Loaded;
use crate::store::PaneRecord;
use crate::store::Store;
use crate::window::ClosedPane;
use crate::window::Merge;
use crate::window::Ring;

mod behind;
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
    /// Whether it is evaluated in this process.
    pub owned: bool,
    /// Its partitions are counted by others, who give signs of life.
    pub remote: bool,
    /// A trigger that is not in the log yet, and the end of its pane: nothing else is decided before.
    pub unopened: Option<(Decision, i64)>,
    /// More panes may be ready than had their turn.
    pub cut_short: bool,
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

/// What was stored of a model's levels.
enum Found {
    Levels(Box<ModelState>, Vec<u8>),
    /// Levels of panes that were counted otherwise.
    OtherRules,
    Nothing,
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
            owned: true,
            remote: false,
            unopened: None,
            cut_short: false,
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
        self.merge = Merge::new(shape.clone(), policy.pane_ms);
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
        self.unopened = None;
        self.cut_short = false;
        self.sealing = None;
        self.watch_history(&watched.baseline);
        self.watched = Some(watched);
        self.sequential = self.rule();
        self.loaded_ms = Some(now_ms);
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

    /// Takes up what an earlier process left: panes, seals and levels of the same rules. `first`: the
    /// baseline is new, so there need not be anything.
    pub(crate) fn restore(
        &mut self,
        kept: Kept,
        metrics: &Metrics,
        first: bool,
    ) -> Result<(), store::Error> {
        let Some(watched) = self.watched.clone() else { return Ok(()) };
        let name = self.spec.name().to_owned();
        let (rules, shape) = (watched.rules.hash, watched.rules.shape());
        let mut damaged = 0;
        let (mut partials, seals): (Vec<_>, Vec<_>) =
            kept.panes.into_iter().partition(panes::is_partial);
        for record in seals {
            match panes::read(&record, rules, &shape) {
                Ok(Some(Logged::Seal(seal))) => self.merge.sealed(seal),
                Ok(Some(Logged::Sum(seal, sum))) => self.merge.freeze(seal, sum),
                Ok(Some(Logged::Partial(_)) | None) => {}
                Err(Truncated) => damaged += 1,
            }
        }
        partials.sort_by_key(|record| record.pane_start_ms);
        let first_ms = partials.first().map(|record| record.pane_start_ms);
        let decided = match self.stored_state(&kept.test, rules)? {
            Found::Levels(state, remembered) => {
                self.state = *state;
                self.sequential = self.rule();
                self.state.sequential = self.sequential.as_ref().and_then(|rule| {
                    SequentialState::decode(&mut Reader::new(&remembered), rule).ok()
                });
                if !remembered.is_empty() && self.state.sequential.is_none() {
                    info!(
                        model = name,
                        "what the sequential test remembers is of other features or slots; it starts anew"
                    );
                }
                self.state.decided_end_ms
            }
            Found::OtherRules => {
                info!(model = name, "the counting rules have changed; the window starts anew");
                None
            }
            Found::Nothing if first => None,
            // The levels are lost: what has closed is history, and nothing is decided about it again.
            Found::Nothing => {
                warn!(
                    model = name,
                    "the model's state is lost; its window stays, its levels start anew"
                );
                damaged += self.refill(std::mem::take(&mut partials), i64::MIN);
                self.merge.newest_end_ms()
            }
        };
        damaged += self.refill(partials, decided.unwrap_or(i64::MIN));
        if damaged + kept.rejected > 0 {
            warn!(
                model = name,
                damaged,
                torn = kept.rejected,
                "parts of the pane log can't be read"
            );
            metrics.state_rejected("panes", (damaged + kept.rejected) as u64);
        }
        if let Some(end_ms) = decided {
            for pane in self.merge.resume(end_ms) {
                self.resume_pane(pane, first_ms.unwrap_or(end_ms), end_ms);
            }
            self.state.decided_end_ms = Some(end_ms);
            self.refill_faults();
            self.score();
            info!(
                model = name,
                panes = self.ring.len(),
                records = self.ring.records(),
                "window restored"
            );
        }
        Ok(())
    }

    /// Takes in partials, sorted by their panes. Those up to `decided_end_ms` are closed one after the
    /// other, so that no more than one of them is held decoded. Says how many can't be read.
    fn refill(&mut self, partials: Vec<PaneRecord>, decided_end_ms: i64) -> usize {
        let Some(rules) = self.watched.as_ref().map(|watched| watched.rules.clone()) else {
            return 0;
        };
        let (shape, pane_ms) = (rules.shape(), self.spec.policy.pane_ms);
        let mut damaged = 0;
        let first_ms = partials.first().map_or(decided_end_ms, |record| record.pane_start_ms);
        let mut records = partials.into_iter().peekable();
        while let Some(record) = records.next() {
            match panes::read(&record, rules.hash, &shape) {
                Ok(Some(Logged::Partial(partial))) => self.merge.add(partial),
                Ok(Some(Logged::Seal(_) | Logged::Sum(..)) | None) => {}
                Err(Truncated) => damaged += 1,
            }
            let end_ms = record.pane_start_ms + pane_ms;
            let more = records.peek().is_some_and(|r| r.pane_start_ms == record.pane_start_ms);
            if !more && end_ms <= decided_end_ms && self.merge.reaches(end_ms) {
                for pane in self.merge.resume(end_ms) {
                    self.resume_pane(pane, first_ms, decided_end_ms);
                }
            }
        }
        damaged
    }

    fn stored_state(&self, loaded: &Loaded, rules: u64) -> Result<Found, store::Error> {
        let Some((version, body)) = loaded.supported(VERSION)? else { return Ok(Found::Nothing) };
        let mut input = Reader::new(body);
        let n_features = self.watched.as_ref().map_or(0, |w| w.features.len());
        let read = |input: &mut Reader<'_>| -> Result<Found, Truncated> {
            if input.u64()? != rules {
                return Ok(Found::OtherRules);
            }
            let mut state = ModelState::decode(version, input.bytes()?, n_features)?;
            state.checks.align(&self.spec.model.checks);
            let remembered = if version < 2 { &[][..] } else { input.bytes()? };
            Ok(Found::Levels(Box::new(state), remembered.to_vec()))
        };
        Ok(read(&mut input).unwrap_or(Found::Nothing))
    }

    /// Stores the levels; they belong to the panes up to `decided_end_ms`.
    pub(crate) fn save(&self, store: &Store) {
        if let Some(watched) = &self.watched {
            self.save_state(store, watched.rules.hash, &self.state);
        }
    }

    /// Stores that nothing has been decided by a baseline.
    pub(crate) fn begin(&self, store: &Store, watched: &Watched) {
        self.save_state(store, watched.rules.hash, &ModelState::default());
    }

    fn save_state(&self, store: &Store, rules: u64, state: &ModelState) {
        let mut out = Writer::default();
        out.u64(rules);
        out.bytes(&state.encode());
        let mut remembered = Writer::default();
        state.sequential.iter().for_each(|state| state.encode(&mut remembered));
        out.bytes(&remembered.into_bytes());
        let name = self.spec.name();
        if let Err(error) = store.save_test(name, rules, VERSION, out.into_bytes()) {
            error!(model = self.spec.name(), %error, "the model's state can't be written; a restart decides its last panes again");
        }
    }

    /// Appends a closed pane to the window.
    pub(crate) fn push(&mut self, pane: ClosedPane) {
        if self.ring.push(pane).is_err() {
            error!(model = self.spec.name(), "a closed pane can't be read back; this is a bug");
        }
    }
}
