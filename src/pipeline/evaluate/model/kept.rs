//! What is stored of a model's evaluation: taken up by the next process, and saved.

use tracing::error;
use tracing::info;
use tracing::warn;

use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::decide::model::ModelState;
use crate::decide::sequential::SequentialState;
use crate::metrics::Metrics;
use crate::pipeline::evaluate::model::ModelEvaluator;
use crate::pipeline::evaluate::model::VERSION;
use crate::pipeline::panes;
use crate::pipeline::panes::Logged;
use crate::pipeline::spec::Watched;
use crate::store;
use crate::store::Kept;
use crate::store::Loaded;
use crate::store::PaneRecord;
use crate::store::Store;
use crate::window::pane_start;
use crate::window::watermark::believable;

/// What was stored of a model's levels.
enum Found {
    Levels {
        state: Box<ModelState>,
        remembered: Vec<u8>,
        history: Option<Span>,
    },
    /// Levels of panes that were counted otherwise.
    OtherRules,
    Nothing,
}

/// What was decided by a baseline: start of the first pane, and end of the last one that had something.
struct Span {
    began_ms: i64,
    filled_end_ms: i64,
}

impl ModelEvaluator {
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
        let newest = kept.panes.iter().map(|record| record.pane_start_ms).max();
        let newest = newest.filter(|_| kept.rejected == 0);
        let (mut partials, seals): (Vec<_>, Vec<_>) =
            kept.panes.into_iter().partition(panes::is_partial);
        let mut damaged = self.take_seals(&seals, rules, &shape);
        partials.sort_by_key(|record| record.pane_start_ms);
        let mut first_ms = partials.first().map(|record| record.pane_start_ms);
        let decided = match self.stored_state(&kept.test, rules, metrics)? {
            Found::Levels { state, remembered, history } => {
                self.state = *state;
                first_ms = self.begin_again(history, newest).or(first_ms);
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
                damaged += self.refill(std::mem::take(&mut partials), (i64::MIN, i64::MIN));
                self.newest_end_ms()
            }
        };
        let span = (first_ms.unwrap_or(i64::MIN), decided.unwrap_or(i64::MIN));
        damaged += self.refill(partials, span);
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
            self.resume(first_ms.unwrap_or(end_ms), end_ms);
        }
        Ok(())
    }

    /// Takes in what the clock has closed; how many can't be read.
    fn take_seals(&mut self, seals: &[PaneRecord], rules: u64, shape: &[usize]) -> usize {
        let mut damaged = 0;
        for record in seals {
            match panes::read(record, rules, shape) {
                Ok(Some(Logged::Seal(seal))) => self.merge.sealed(seal),
                Ok(Some(Logged::Sum(seal, sum))) => self.merge.freeze(seal, sum),
                Ok(Some(Logged::Partial(_)) | None) => {}
                Err(Truncated) => damaged += 1,
            }
        }
        damaged
    }

    /// Fills the window with what had closed up to `end_ms`.
    fn resume(&mut self, first_ms: i64, end_ms: i64) {
        for pane in self.merge.resume(end_ms) {
            self.resume_pane(pane, first_ms, end_ms);
        }
        self.state.decided_end_ms = Some(end_ms);
        let oldest = self.ring.panes().first().map(|pane| pane.start_ms);
        self.began_ms = self.began_ms.or(oldest);
        self.refill_faults();
        self.score();
        info!(
            model = self.spec.name(),
            panes = self.ring.len(),
            records = self.ring.records(),
            "window restored"
        );
    }

    /// The oldest pane that an undisturbed process would have: those before the first that is stored were
    /// empty. Where `newest`, the newest that is stored, tells that some are lost, the window begins with
    /// what there is.
    fn begin_again(&mut self, history: Option<Span>, newest: Option<i64>) -> Option<i64> {
        let (history, end_ms) = history.zip(self.state.decided_end_ms)?;
        let from_ms = history.began_ms.max(end_ms - self.kept_ms());
        let newest_end_ms = newest.map(|ms| ms + self.spec.policy.pane_ms);
        if history.filled_end_ms > from_ms && newest_end_ms < Some(history.filled_end_ms) {
            return None;
        }
        self.began_ms = Some(history.began_ms);
        self.merge.begin(from_ms);
        Some(from_ms)
    }

    /// End of the newest pane that is stored. One that lies ahead of the clock is a liar's: nothing of it
    /// has closed.
    fn newest_end_ms(&self) -> Option<i64> {
        let now_ms = self.loaded_ms.unwrap_or(i64::MAX);
        let end_ms = |end_ms| pane_start(believable(end_ms, now_ms), self.spec.policy.pane_ms);
        self.merge.newest_end_ms().map(end_ms)
    }

    /// Takes in partials, sorted by their panes, the first of which begins at `first_ms`. Those up to
    /// `decided_end_ms` are closed one after the other, so that no more than one of them is held decoded.
    /// Says how many can't be read.
    fn refill(
        &mut self,
        partials: Vec<PaneRecord>,
        (first_ms, decided_end_ms): (i64, i64),
    ) -> usize {
        let Some(rules) = self.watched.as_ref().map(|watched| watched.rules.clone()) else {
            return 0;
        };
        let (shape, pane_ms) = (rules.shape(), self.spec.policy.pane_ms);
        let mut damaged = 0;
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

    fn stored_state(
        &self,
        loaded: &Loaded,
        rules: u64,
        metrics: &Metrics,
    ) -> Result<Found, store::Error> {
        let Some((version, body)) = loaded.supported(VERSION)? else { return Ok(Found::Nothing) };
        let mut input = Reader::new(body);
        let n_features = self.watched.as_ref().map_or(0, |w| w.features.len());
        let read = |input: &mut Reader<'_>| -> Result<Found, Truncated> {
            if input.u64()? != rules {
                return Ok(Found::OtherRules);
            }
            let mut state = ModelState::decode(version, input.bytes()?, n_features)?;
            state.checks.align(&self.spec.model.checks);
            let remembered = if version < 2 { &[][..] } else { input.bytes()? }.to_vec();
            // An earlier release did not keep it.
            let known = !input.is_empty() && input.u64()? != 0;
            let history = match known {
                true => Some(Span { began_ms: input.i64()?, filled_end_ms: input.i64()? }),
                false => None,
            };
            Ok(Found::Levels { state: Box::new(state), remembered, history })
        };
        Ok(read(&mut input).unwrap_or_else(|Truncated| {
            error!(model = self.spec.name(), "what deciding had come to makes no sense");
            metrics.state_rejected("test", 1);
            Found::Nothing
        }))
    }

    /// Stores the levels; they belong to the panes up to `decided_end_ms`.
    pub(crate) fn save(&self, store: &Store) {
        let history = self.began_ms.zip(self.merge.filled_end_ms());
        let history = history.map(|(began_ms, filled_end_ms)| Span { began_ms, filled_end_ms });
        if let Some(watched) = &self.watched {
            self.save_state(store, watched.rules.hash, (&self.state, history));
        }
    }

    /// Stores that nothing has been decided by a baseline.
    pub(crate) fn begin(&self, store: &Store, watched: &Watched) {
        self.save_state(store, watched.rules.hash, (&ModelState::default(), None));
    }

    fn save_state(&self, store: &Store, rules: u64, (state, history): (&ModelState, Option<Span>)) {
        let mut out = Writer::default();
        out.u64(rules);
        out.bytes(&state.encode());
        let mut remembered = Writer::default();
        state.sequential.iter().for_each(|state| state.encode(&mut remembered));
        out.bytes(&remembered.into_bytes());
        out.u64(u64::from(history.is_some()));
        if let Some(history) = history {
            out.i64(history.began_ms);
            out.i64(history.filled_end_ms);
        }
        let name = self.spec.name();
        if let Err(error) = store.save_test(name, rules, VERSION, out.into_bytes()) {
            error!(model = self.spec.name(), %error, "the model's state can't be written; a restart decides its last panes again");
        }
    }
}
