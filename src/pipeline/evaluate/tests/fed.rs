//! Evaluation that a test feeds, event by event.

use super::*;
use crate::pipeline::panes;

/// Evaluation with one model, fed by one partition that only this test knows.
pub(super) struct Fed {
    pub(super) evaluate: Evaluate,
    pub(super) watched: Watched,
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) panes: i64,
    /// How many had closed before the baseline in force.
    pub(super) before: i64,
    /// Records that lie in the topic behind what was read.
    pub(super) unread: i64,
    /// The end of the topic is known to be reached.
    pub(super) at_end: bool,
    /// Records of a pane that lack the feature.
    pub(super) missing: u64,
    /// Records of a pane that can't be used, beside those that can.
    pub(super) rejects: u64,
    /// The wall clock, which goes on with every event, and by how much the other one is ahead.
    pub(super) now_ms: i64,
    pub(super) later: Duration,
}

impl Fed {
    /// A process that starts in a state directory; its topic ends behind `backlog` panes.
    pub(super) fn start(dir: &Path, panes: i64, backlog: i64) -> Self {
        Self::start_by(spec(), dir, panes, backlog)
    }

    pub(super) fn start_by(spec: Spec, dir: &Path, panes: i64, backlog: i64) -> Self {
        let mut fed = Self::boot(spec, dir, panes);
        fed.adopt("first", i64::MIN, backlog);
        fed
    }

    /// The same before there is a baseline.
    pub(super) fn boot(spec: Spec, dir: &Path, panes: i64) -> Self {
        let first = watched(&spec, "first", i64::MIN);
        let store = Arc::new(Store::File(Box::new(FileStore::open(dir).unwrap())));
        let (view, views) = watch::channel(Arc::new(View::default()));
        let (events, _) = mpsc::channel(1);
        let client = Client::new(&ClientConfig::default()).unwrap();
        let targets = spec.people.iter().map(Reader::name).chain(spec.trigger.clone());
        let targets = targets.map(|name| Target::named(name, &client).unwrap()).collect();
        let evaluate = Evaluate::new(Parts {
            specs: Arc::new(vec![spec]),
            store: store.clone(),
            metrics: Metrics::new(),
            health: Arc::new(Health::default()),
            deliverer: Deliverer::start(targets, events, || 0),
            view,
            log: IncidentLog::open(store).unwrap(),
        });
        Self {
            evaluate,
            watched: first,
            view: views,
            panes,
            before: 0,
            unread: 0,
            at_end: false,
            missing: 0,
            rejects: 0,
            now_ms: 100 * panes,
            later: Duration::ZERO,
        }
    }

    pub(super) fn adopt(&mut self, digest: &str, active_from_ms: i64, backlog: i64) {
        self.watched = watched(&self.evaluate.specs[0], digest, active_from_ms);
        self.tell(Counted::Adopted { model: 0, watched: self.watched.clone() });
        let partitions = vec![(self.progress(), backlog * RECORDS.cast_signed())];
        self.tell(Counted::Assigned { model: 0, partitions, in_topic: Some(1) });
    }

    pub(super) fn tell(&mut self, counted: Counted) {
        self.now_ms += 1;
        self.evaluate.apply(Event::Counted(counted), (self.now(), self.now_ms));
    }

    pub(super) fn now(&self) -> Instant {
        Instant::now() + self.later
    }

    pub(super) fn next_offset(&self) -> i64 {
        self.panes * RECORDS.cast_signed()
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            partition: TopicPartition::new("inferences", 0),
            next_offset: self.next_offset(),
            frontier_ms: (self.panes > 0).then(|| START + self.panes * PANE),
            first_pane_ms: (self.panes > self.before).then_some(START + self.before * PANE),
            caught_up: self.at_end,
        }
    }

    /// Panes that close one after the other.
    pub(super) fn panes(&mut self, panes: i64, drifted: bool) {
        let (low, high) = if drifted { (2, 38) } else { (20, 20) };
        self.panes_of(panes, |_| (low, high));
    }

    /// Panes with so many records in each of the lower and of the upper five cells, by their start.
    pub(super) fn panes_of(&mut self, panes: i64, of: impl Fn(i64) -> (u64, u64)) {
        for _ in 0..panes {
            self.pane_of(&of);
            self.progresses();
        }
    }

    pub(super) fn progresses(&mut self) {
        let progress = vec![(self.progress(), self.next_offset() + self.unread)];
        let (open, quiet) = (Vec::new(), Vec::new());
        self.tell(Counted::Progress { model: 0, progress, open, quiet });
    }

    /// A pane that is counted, in a partition that has not said yet how far it is.
    pub(super) fn pane_of(&mut self, of: impl Fn(i64) -> (u64, u64)) {
        let mut pane = Pane::empty(START + self.panes * PANE, &self.watched.rules.shape());
        (pane.records, pane.rejects) = (RECORDS, self.rejects);
        let (low, high) = of(pane.start_ms);
        pane.features[0].cells = [vec![low; 5], vec![high; 5]].concat();
        pane.features[0].missing = self.missing;
        if let Some(prediction) = pane.features.get_mut(1) {
            let Cells::Numeric(cells) = &self.watched.rules.cells[1] else { unreachable!() };
            let above = if high > low { RECORDS } else { RECORDS / 2 };
            prediction.cells[cells.cell(0.25)] = RECORDS - above;
            prediction.cells[cells.cell(0.75)] = above;
        }
        self.panes += 1;
        let partial = Partial {
            partition: TopicPartition::new("inferences", 0),
            rules: self.watched.rules.hash,
            applied_through: self.next_offset(),
            pane,
        };
        let record = panes::partial(&partial);
        let records = vec![(partial.partition.clone(), record)];
        self.evaluate.store.append_panes("fraud", partial.rules, records).unwrap();
        self.tell(Counted::Partials { model: 0, partials: vec![partial] });
    }

    pub(super) fn tick(&mut self) -> Arc<View> {
        self.tick_at(self.now())
    }

    pub(super) fn tick_at(&mut self, now: Instant) -> Arc<View> {
        self.now_ms += 1;
        self.tick_by(now, self.now_ms)
    }

    pub(super) fn close(&mut self, id: &str) -> Closing {
        let (reply, mut closing) = oneshot::channel();
        let (id, by) = (id.to_owned(), "someone".to_owned());
        self.now_ms += 1;
        let request = Request::Close { id, closed_as: CloseReason::Dismissed, by, reply };
        self.evaluate.apply(Event::Asked(request), (self.now(), self.now_ms));
        closing.try_recv().unwrap()
    }

    /// What anybody was told of, in order: the kind, the verdict, and to which story it belongs.
    pub(super) fn told(&self) -> Vec<(Told, String, String)> {
        let pending = self.evaluate.log.ledger().pending();
        let people = pending.iter().filter(|o| o.delivery.kind != Told::Trigger);
        people
            .map(|o| {
                let verdict = o.delivery.announcement.data.verdict.clone();
                (o.delivery.kind, verdict, o.delivery.story().unwrap().0)
            })
            .collect()
    }

    /// The verdicts of what people were told of one story.
    pub(super) fn verdicts(&self, of: &str) -> Vec<String> {
        let told = self.told().into_iter();
        told.filter(|(_, _, story)| story == of).map(|(_, verdict, _)| verdict).collect()
    }

    pub(super) fn tick_by(&mut self, now: Instant, now_ms: i64) -> Arc<View> {
        self.evaluate.apply(Event::Tick, (now, now_ms));
        self.view.borrow().clone()
    }

    /// State, how it was closed, and whether its trigger is due to be sent.
    pub(super) fn incident(&self) -> Option<(IncidentState, Option<CloseReason>, bool)> {
        let ledger = self.evaluate.log.ledger();
        let incident = ledger.incidents().into_iter().next()?;
        let due = ledger.pending().iter().any(|o| o.delivery.id == incident.id);
        Some((incident.state, incident.closed_as, due))
    }
}
