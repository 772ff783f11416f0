//! A model's faults from pane to pane, and what of them is told, stored and left out.

use crate::baseline::FeatureBaseline;
use crate::codec::Reader;
use crate::codec::Truncated;
use crate::codec::Writer;
use crate::decide::fault::Fault;
use crate::decide::fault::FaultKind;
use crate::decide::fault::LOOK;
use crate::decide::fault::OLD_MS;
use crate::decide::fault::examine::Noise;
use crate::decide::fault::feed::Feed;
use crate::decide::fault::nats;
use crate::decide::fault::newcomers::Newcomers;
use crate::decide::fault::share::Part;
use crate::decide::fault::track::Look;
use crate::decide::fault::track::Step;
use crate::decide::fault::track::Track;
use crate::decide::view::Onset;
use crate::decode::strangers::Strangers;
use crate::histogram::Counts;

/// The faults of a model's features. Bounded: some hundred bytes a feature in the state, and two counts
/// a feature in memory, which `refill` builds again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    tracks: Vec<Track>,
    /// Of the feed as a whole.
    feed: Feed,
    newcomers: Newcomers,
    /// Panes that wait until they hold enough for a look.
    look: Vec<Counts>,
    look_from_ms: Option<i64>,
    /// Start of the look before.
    before_ms: Option<i64>,
    /// Per feature, what single looks are too small to show.
    block: Vec<Counts>,
    /// Whether each feature's last pane is no evidence of drift, and where that pane begins.
    last: Vec<bool>,
    last_ms: i64,
    /// How many faulty features would be over `retrain` if they were believed; not stored.
    disbelieved: usize,
    /// Features that can be watched; not stored.
    usable: Vec<bool>,
}

/// A closed pane and what it is looked at with.
#[derive(Clone, Copy)]
pub struct PaneCounts<'a> {
    pub features: &'a [FeatureBaseline],
    /// One per feature, in its cells.
    pub counts: &'a [Counts],
    /// Records that were looked at for whether they had come before, and those that had.
    pub sampled: u64,
    pub repeated: u64,
    /// Names that the model does not know, of a sample.
    pub strangers: &'a Strangers,
    pub start_ms: i64,
    pub pane_ms: i64,
    /// How much more the counts of the feature at an index, over so many ms, vary than those of independent
    /// records: it grows with the time that is looked at together.
    pub design_effect: &'a dyn Fn(usize, i64) -> f64,
    /// Length of the window.
    pub window_ms: i64,
    /// The slots of a feature's season that a stretch of time covers, one for each hour; none without.
    pub slots: &'a dyn Fn(usize, i64, i64) -> Vec<usize>,
    /// Panes before this are forgotten: their faults, too.
    pub kept_from_ms: i64,
}

/// What changed with a pane, by the index of the feature; `None` is the whole feed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Panes from `from_ms` on are no evidence of this feature's drift (of any feature's), those included that have been
    /// decided already. It comes again when the fault turns out to be of another kind.
    Began { feature: Option<usize>, from_ms: i64 },
    /// Panes from `to_ms` on count again.
    Ended { feature: Option<usize>, kind: FaultKind, since_ms: i64, to_ms: i64, told: bool },
}

impl Change {
    fn of(feature: Option<usize>, step: &Step) -> Option<Self> {
        match *step {
            Step::Nothing => None,
            Step::Began(from_ms) => Some(Change::Began { feature, from_ms }),
            Step::Ended { kind, since_ms, to_ms, told } => {
                Some(Change::Ended { feature, kind, since_ms, to_ms, told })
            }
        }
    }
}

/// What people are to be told of one fault, by the index of its feature; `None` is the whole feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold {
    pub feature: Option<usize>,
    pub kind: FaultKind,
    pub since_ms: i64,
    /// It has lasted for a day: now the people of the model are told.
    pub old: bool,
}

impl Faults {
    /// Takes in the pane that has just closed.
    pub fn push(&mut self, pane: &PaneCounts<'_>) -> Vec<Change> {
        let new = Track::starting(pane.start_ms);
        self.tracks.resize(pane.features.len(), new);
        self.fit(pane.features);
        let end_ms = pane.start_ms + pane.pane_ms;
        for track in self.tracks.iter_mut().chain([&mut self.feed.track]) {
            track.forget(pane.kept_from_ms);
        }
        let from_ms = *self.look_from_ms.get_or_insert(pane.start_ms);
        for ((look, block), counts) in self.look.iter_mut().zip(&mut self.block).zip(pane.counts) {
            look.add(counts);
            block.add(counts);
        }
        let records = self.look.iter().map(Counts::records).max().unwrap_or(0);
        self.newcomers.note(pane.strangers);
        let sampled = Part { k: pane.repeated, n: pane.sampled };
        let of_feed = self.feed.push(sampled, pane.start_ms, end_ms, nats(pane.features.len()));
        let mut changes: Vec<Change> = Change::of(None, &of_feed).into_iter().collect();
        if records >= LOOK {
            changes.extend(self.look_at(pane, from_ms, end_ms));
            self.newcomers.look(self.tracks.iter().any(Track::is_gone));
            self.before_ms = Some(from_ms);
            self.look_from_ms = None;
            self.look.iter_mut().for_each(clear);
        }
        self.note_last(pane.start_ms);
        changes
    }

    fn note_last(&mut self, start_ms: i64) {
        self.last_ms = start_ms;
        self.last = (0..self.tracks.len()).map(|at| self.is_withheld(at, start_ms)).collect();
    }

    fn look_at(&mut self, pane: &PaneCounts<'_>, from_ms: i64, end_ms: i64) -> Vec<Change> {
        let usable = pane.features.iter().filter(|f| f.unusable.is_none()).count();
        let nats = nats(usable);
        let mut changes = Vec::new();
        for (at, track) in self.tracks.iter_mut().enumerate() {
            let feature = &pane.features[at];
            if feature.unusable.is_some() {
                continue;
            }
            let noise = |span_ms: i64| Noise {
                design_effect: (pane.design_effect)(at, span_ms).max(1.0),
                nats,
            };
            let look = Look {
                feature,
                counts: &self.look[at],
                block: &self.block[at],
                start_ms: from_ms,
                end_ms,
                before_ms: self.before_ms.unwrap_or(from_ms),
                noise: &noise,
                window_ms: pane.window_ms,
                slots: &|from_ms, to_ms| (pane.slots)(at, from_ms, to_ms),
            };
            changes.extend(Change::of(Some(at), &track.step(&look)));
            if track.block_from_ms >= end_ms {
                clear(&mut self.block[at]);
            }
        }
        changes
    }

    fn fit(&mut self, features: &[FeatureBaseline]) {
        if self.usable.len() != features.len() {
            self.usable = features.iter().map(|f| f.unusable.is_none()).collect();
        }
        if self.look.len() != features.len() {
            let zero = || features.iter().map(|f| Counts::zero(f.cells.len())).collect();
            self.look = zero();
            self.block = zero();
        }
    }

    /// After a restart: the counts of the panes that were being looked at together, in order.
    pub fn refill(&mut self, features: &[FeatureBaseline], start_ms: i64, counts: &[Counts]) {
        self.fit(features);
        let looked_at = self.look_from_ms.is_some_and(|from| start_ms >= from);
        for (at, counts) in counts.iter().enumerate().take(self.tracks.len()) {
            if looked_at {
                self.look[at].add(counts);
            }
            if start_ms >= self.tracks[at].block_from_ms {
                self.block[at].add(counts);
            }
        }
        self.note_last(start_ms);
    }

    /// Panes from here on are needed by `refill`.
    pub fn refill_from_ms(&self) -> Option<i64> {
        self.tracks.iter().map(|track| track.block_from_ms).chain(self.look_from_ms).min()
    }

    /// Whether each feature's last pane is no evidence of drift: one per feature.
    pub fn last_pane(&self) -> &[bool] {
        &self.last
    }

    /// Whether the pane that begins at `start_ms` is no evidence of this feature's drift.
    pub fn is_withheld(&self, feature: usize, start_ms: i64) -> bool {
        self.feed.track.is_withheld(start_ms)
            || self.tracks.get(feature).is_some_and(|track| track.is_withheld(start_ms))
    }

    /// Some pane of some feature is, or was not long ago.
    pub fn withholds(&self) -> bool {
        self.feed.track.withholds() || self.tracks.iter().any(Track::withholds)
    }

    /// Whether what has just been learnt of this feature is to wait: it has a fault, or one pane alone
    /// has brought most of the evidence that the budget asks for, in which a fault may have begun half
    /// way. The next pane tells: then it is a fault, or it is believed.
    pub fn doubts(&mut self, feature: usize, onset: Option<&Onset>) -> bool {
        let Some(track) = self.tracks.get_mut(feature) else { return false };
        let jumped = onset.is_some_and(|onset| {
            let before = std::mem::replace(&mut track.log_evidence, onset.log_evidence);
            onset.log_evidence >= onset.log_needed
                && before < onset.log_needed
                && onset.log_evidence - before > onset.log_needed / 2.0
        });
        jumped || track.is_faulty() || self.feed.track.is_faulty()
    }

    /// There is a fault in this feature that nobody has taken for drift.
    pub fn is_faulty(&self, feature: usize) -> bool {
        self.tracks.get(feature).is_some_and(Track::is_faulty)
    }

    pub fn any(&self) -> bool {
        self.feed.track.is_faulty() || self.tracks.iter().any(Track::is_faulty)
    }

    /// The whole feed is faulty, or more than half of the features that are watched: their number is their
    /// weight.
    pub fn bars(&self) -> bool {
        let usable = |at: usize| self.usable.get(at).copied().unwrap_or(true);
        let watched = self.tracks.iter().enumerate();
        let watched = watched.filter(|(at, track)| usable(*at) && track.seen).count();
        let faulty = self.tracks.iter().filter(|track| track.is_faulty()).count();
        self.feed.track.is_faulty() || 2 * faulty > watched
    }

    /// So many faulty features would be over `retrain` if their values were believed.
    pub fn disbelieve(&mut self, features: usize) {
        self.disbelieved = features;
    }

    pub fn disbelieved(&self) -> usize {
        self.disbelieved
    }

    /// The fault of the feature at `feature`, called `name`, at `now_ms` (event time), accepted or not.
    pub fn fault(&self, feature: usize, name: &str, now_ms: i64) -> Option<Fault> {
        let active = self.tracks.get(feature)?.active.as_ref()?;
        let fault =
            Fault::found(Some(name), active.finding, active.since_ms, now_ms, active.accepted);
        Some(fault.with_names(self.newcomers.came()))
    }

    /// The fault of the whole feed at `now_ms` (event time), accepted or not.
    pub fn fault_of_feed(&self, now_ms: i64) -> Option<Fault> {
        let active = self.feed.track.active.as_ref()?;
        Some(Fault::found(None, active.finding, active.since_ms, now_ms, active.accepted))
    }

    /// The feed's, then every feature's.
    fn all(&self) -> impl Iterator<Item = (Option<usize>, &Track)> {
        let features = self.tracks.iter().enumerate().map(|(at, track)| (Some(at), track));
        std::iter::once((None, &self.feed.track)).chain(features)
    }

    /// Faults to tell people of: those seen in two looks, whose kind is certain then, and once more
    /// those that have grown old.
    pub fn untold(&self, now_ms: i64) -> Vec<Untold> {
        let mut untold = Vec::new();
        for (feature, track) in self.all() {
            let Some(active) = track.active.as_ref().filter(|active| !active.accepted) else {
                continue;
            };
            let (kind, since_ms) = (active.finding.kind, active.since_ms);
            let old = now_ms - since_ms > OLD_MS;
            if !active.told && active.looks >= 2 {
                untold.push(Untold { feature, kind, since_ms, old: false });
            }
            if old && !active.told_old {
                untold.push(Untold { feature, kind, since_ms, old });
            }
        }
        untold
    }

    /// People have been told of it.
    pub fn told(&mut self, untold: Untold) {
        let track = match untold.feature {
            Some(feature) => self.tracks.get_mut(feature),
            None => Some(&mut self.feed.track),
        };
        if let Some(active) = track.and_then(|track| track.active.as_mut()) {
            match untold.old {
                true => active.told_old = true,
                false => active.told = true,
            }
        }
    }

    /// Every present fault is drift after all; which features (`None` is the whole feed), and of what kind.
    pub fn accept(&mut self) -> Vec<(Option<usize>, FaultKind)> {
        let of_feed = self.feed.track.accept().map(|kind| (None, kind));
        let features = self.tracks.iter_mut().enumerate();
        let of_features = features.filter_map(|(at, track)| Some((Some(at), track.accept()?)));
        let accepted = of_feed.into_iter().chain(of_features).collect();
        self.note_last(self.last_ms);
        accepted
    }

    pub fn encode(&self, out: &mut Writer) {
        out.u64(self.tracks.len() as u64);
        for ms in [self.look_from_ms, self.before_ms] {
            out.u64(u64::from(ms.is_some()));
            out.i64(ms.unwrap_or_default());
        }
        self.tracks.iter().for_each(|track| track.encode(out));
        self.feed.encode(out);
        self.newcomers.encode(out);
    }

    /// Reads what `encode` wrote, or an earlier release that knew no faults of the feed.
    pub fn decode(input: &mut Reader<'_>, n_features: usize) -> Result<Self, Truncated> {
        let n = input.len_at_most(n_features)?;
        let mut ms = || -> Result<Option<i64>, Truncated> {
            let is_some = input.u64()? != 0;
            let ms = input.i64()?;
            Ok(is_some.then_some(ms))
        };
        let (look_from_ms, before_ms) = (ms()?, ms()?);
        let tracks = (0..n).map(|_| Track::decode(input)).collect::<Result<_, _>>()?;
        let (mut feed, mut newcomers) = (Feed::default(), Newcomers::default());
        if !input.is_empty() {
            (feed, newcomers) = (Feed::decode(input)?, Newcomers::decode(input)?);
        }
        Ok(Self { tracks, feed, newcomers, look_from_ms, before_ms, ..Self::default() })
    }
}

fn clear(counts: &mut Counts) {
    *counts = Counts::zero(counts.cells.len());
}
