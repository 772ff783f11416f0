//! One feature from look to look: a fault begins, goes on, goes quiet and is over.

use crate::baseline::FeatureBaseline;
use crate::decide::fault::BLOCK;
use crate::decide::fault::FORGOTTEN_MS;
use crate::decide::fault::FaultKind;
use crate::decide::fault::Finding;
use crate::decide::fault::constant;
use crate::decide::fault::examine;
use crate::decide::fault::examine::Noise;
use crate::decide::fault::share;
use crate::decide::fault::share::Part;
use crate::histogram::Counts;

mod stored;

/// Stretches of withheld panes that are remembered; of more the two oldest become one.
const STRETCHES: usize = 32;
/// Looks in which a feature must have varied before one value in a row means anything.
const VARIED: u64 = 10;
/// Of so many looks one may have held a single value, and the feature still varies as a rule.
const RARELY: u64 = 10;
/// Looks at which both counters are halved: what a feature did a year ago says little.
const REMEMBERED: u64 = 4096;

/// What is known of one feature's faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Track {
    /// A record has had its key.
    pub(super) seen: bool,
    /// Looks with several values, and with one only.
    varied: u64,
    still: u64,
    run: Option<Run>,
    /// Panes from here on are in the block of many looks.
    pub(super) block_from_ms: i64,
    pub(super) active: Option<Active>,
    /// Evidence of drift after the last pane.
    pub(super) log_evidence: f64,
    /// Event time `[from, to)` of faults that are over.
    stretches: Vec<(i64, i64)>,
}

/// Looks in a row with one and the same value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    cell: usize,
    value: Option<f64>,
    values: u64,
    looks: u64,
    from_ms: i64,
}

/// A fault that is there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Active {
    pub(super) finding: Finding,
    pub(super) since_ms: i64,
    /// Panes from here on are withheld: the look before may hold the beginning.
    from_ms: i64,
    /// Looks that it has been there for.
    pub(super) looks: u64,
    pub(super) accepted: bool,
    /// People have been told; those of the model, too.
    pub(super) told: bool,
    pub(super) told_old: bool,
    /// What the last look found, where it is of another kind.
    other: Option<FaultKind>,
    quiet: Option<Quiet>,
}

/// Looks without the fault, which may have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Quiet {
    looks: u64,
    part: Part,
    /// End of the first of them: it may still hold some of the fault.
    first_end_ms: i64,
}

/// One look: counts of some panes in a row.
pub(super) struct Look<'a> {
    pub(super) feature: &'a FeatureBaseline,
    pub(super) counts: &'a Counts,
    /// Counts since the block began, this look included.
    pub(super) block: &'a Counts,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// Start of the look before.
    pub(super) before_ms: i64,
    /// Noise of what is counted over so many ms.
    pub(super) noise: &'a dyn Fn(i64) -> Noise,
    /// One value for nearly so long, from the first pane on, is a fault, too.
    pub(super) window_ms: i64,
    /// The slots of the feature's season that a stretch of time covers, one for each hour; none without.
    pub(super) slots: &'a dyn Fn(i64, i64) -> Vec<usize>,
}

/// When a look was taken.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// Start of the look before.
    pub(super) before_ms: i64,
}

/// How much of an active fault a look holds, and how noisy that is; `None`: the look cannot tell.
type Hear<'a> = &'a dyn Fn(&Finding) -> (Option<Part>, f64);

/// What a look has changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Nothing,
    /// Panes from here on are withheld; or the fault turns out to be of another kind.
    Began(i64),
    /// Panes from `to_ms` on count again.
    Ended {
        kind: FaultKind,
        since_ms: i64,
        to_ms: i64,
        told: bool,
    },
}

impl Track {
    /// Nothing is known yet; the first pane begins at `start_ms`.
    pub(super) fn starting(start_ms: i64) -> Self {
        Self { block_from_ms: start_ms, ..Self::default() }
    }

    /// Takes in one look.
    pub(super) fn step(&mut self, look: &Look<'_>) -> Step {
        let counts = look.counts;
        self.seen |= counts.records() > counts.missing;
        let finding = self.constant(look).or_else(|| self.find(look));
        let idle = finding.is_none() && self.active.is_none();
        if !idle || look.block.records() >= BLOCK {
            self.block_from_ms = look.end_ms;
        }
        let Look { start_ms, end_ms, before_ms, noise, .. } = *look;
        self.follow(finding, Times { start_ms, end_ms, before_ms }, &|finding| {
            (heard(finding, look), noise(end_ms - start_ms).design_effect)
        })
    }

    /// A look found a fault that began at a time, or none.
    pub(super) fn follow(
        &mut self,
        finding: Option<(Finding, i64)>,
        look: Times,
        hear: Hear<'_>,
    ) -> Step {
        match (finding, self.active.take()) {
            (Some((finding, _)), Some(active)) => self.go_on(active, finding, look),
            (Some((finding, since_ms)), None) => {
                // The look before may hold the beginning.
                self.begin(finding, since_ms, since_ms - (look.start_ms - look.before_ms))
            }
            (None, Some(active)) => self.quieten(active, look, hear),
            (None, None) => Step::Nothing,
        }
    }

    fn find(&self, look: &Look<'_>) -> Option<(Finding, i64)> {
        let Look { feature, counts, block, .. } = *look;
        let noise = (look.noise)(look.end_ms - look.start_ms);
        let settled = (look.noise)(FORGOTTEN_MS.max(look.end_ms - look.start_ms));
        examine::shares(feature, counts, self.seen, noise)
            .or_else(|| examine::unit(feature, counts, noise, settled))
            .map(|finding| (finding, look.start_ms))
            .or_else(|| {
                let noise = (look.noise)(look.end_ms - self.block_from_ms);
                let of_block = examine::shares(feature, block, self.seen, noise)?;
                // A share of the whole block is told of the block; single looks say when it is over.
                (self.active.is_none()).then_some((of_block, self.block_from_ms))
            })
    }

    fn begin(&mut self, finding: Finding, since_ms: i64, from_ms: i64) -> Step {
        self.active = Some(Active {
            finding,
            since_ms,
            from_ms,
            looks: 1,
            accepted: false,
            told: false,
            told_old: false,
            other: None,
            quiet: None,
        });
        Step::Began(from_ms)
    }

    /// The first look may have been half of this and half of that: the second names the kind. Later on,
    /// another kind is believed when it comes twice: a single look may be the end of the fault.
    fn go_on(&mut self, mut active: Active, finding: Finding, look: Times) -> Step {
        active.looks += 1;
        active.quiet = None;
        let another = finding.kind != active.finding.kind;
        if another && active.accepted {
            let since_ms = look.start_ms;
            return self.begin(finding, since_ms, since_ms);
        }
        let from_ms = active.from_ms;
        let is_sure = active.looks == 2 || active.other == Some(finding.kind);
        active.other = another.then_some(finding.kind);
        if another && !is_sure {
            self.active = Some(active);
            return Step::Nothing;
        }
        active.told &= !another;
        active.finding = finding;
        self.active = Some(active);
        if another { Step::Began(from_ms) } else { Step::Nothing }
    }

    /// A look without a finding. Two in a row are the end if they hold enough to tell the fault from what
    /// is expected by three standard errors of their share.
    fn quieten(&mut self, mut active: Active, look: Times, hear: Hear<'_>) -> Step {
        let (Some(heard), design_effect) = hear(&active.finding) else {
            self.active = Some(active);
            return Step::Nothing;
        };
        let mut quiet =
            active.quiet.unwrap_or(Quiet { first_end_ms: look.end_ms, ..Quiet::default() });
        quiet.looks += 1;
        quiet.part = Part { k: quiet.part.k + heard.k, n: quiet.part.n + heard.n };
        let Finding { share, expected, .. } = active.finding;
        let middle = (share + expected) / 2.0;
        let needed = 36.0 * middle * (1.0 - middle) * design_effect / (share - expected).powi(2);
        let is_enough = quiet.looks >= 2 && quiet.part.n as f64 >= needed;
        let is_loud = quiet.part.share() >= middle;
        if is_loud && (is_enough || quiet.looks == 1) {
            active.quiet = None;
        } else if is_enough {
            self.withhold(active.from_ms, quiet.first_end_ms, active.accepted);
            let (kind, since_ms) = (active.finding.kind, active.since_ms);
            let told = active.told && !active.accepted;
            return Step::Ended { kind, since_ms, to_ms: quiet.first_end_ms, told };
        } else {
            active.quiet = Some(quiet);
        }
        self.active = Some(active);
        Step::Nothing
    }

    /// Whether the feature is stuck at one value, and since when.
    ///
    /// Where it varied in nearly every look before, that the run is no chance is enough; a feature like
    /// the hour or the day of the week, whose looks are constant as a rule, is never judged by this. One
    /// that never varied since the start is when a window has nearly gone by.
    fn constant(&mut self, look: &Look<'_>) -> Option<(Finding, i64)> {
        let Look { feature, counts, .. } = *look;
        let values = counts.in_cells();
        if values < 2 {
            return None;
        }
        let Some(cell) = constant::only_cell(feature, counts) else {
            self.varied += 1;
            self.run = None;
            if self.varied + self.still > REMEMBERED {
                self.varied /= 2;
                self.still /= 2;
            }
            return None;
        };
        self.still += 1;
        let value = constant::value(feature, counts);
        let same = |run: &Run| run.cell == cell && run.value == value;
        let mut run = self.run.filter(same).unwrap_or(Run {
            cell,
            value,
            values: 0,
            looks: 0,
            from_ms: look.start_ms,
        });
        run.values += values;
        run.looks += 1;
        self.run = Some(run);
        let before = self.still - run.looks.min(self.still);
        let varies = self.varied >= VARIED && self.varied >= RARELY * before;
        let never = self.varied == 0
            && before == 0
            && look.end_ms - run.from_ms >= look.window_ms - 2 * (look.end_ms - look.start_ms);
        // A stream that remembers may stay at one rare value for as long as it does: the run is one draw.
        let noise = (look.noise)(FORGOTTEN_MS.max(look.end_ms - run.from_ms));
        let slots = (look.slots)(run.from_ms, look.end_ms);
        let values = (run.values, &slots[..]);
        let evidence = constant::evidence(feature, cell, values, noise.design_effect);
        let finding = Finding {
            kind: FaultKind::Constant,
            records: run.values,
            share: 1.0,
            expected: 0.0,
            number: value,
        };
        ((varies || never) && evidence > noise.nats).then_some((finding, run.from_ms))
    }

    fn withhold(&mut self, from_ms: i64, to_ms: i64, accepted: bool) {
        if accepted || to_ms <= from_ms {
            return;
        }
        self.stretches.push((from_ms, to_ms));
        if self.stretches.len() > STRETCHES {
            let (from_ms, _) = self.stretches.remove(0);
            self.stretches[0].0 = from_ms;
        }
    }

    /// A person says that it is drift: its panes count again, and so do those to come.
    pub(super) fn accept(&mut self) -> Option<FaultKind> {
        let active = self.active.as_mut().filter(|active| !active.accepted)?;
        active.accepted = true;
        Some(active.finding.kind)
    }

    /// There is a fault that nobody has taken for drift.
    pub(super) fn is_faulty(&self) -> bool {
        self.active.as_ref().is_some_and(|active| !active.accepted)
    }

    /// Its key has gone.
    pub(super) fn is_gone(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.finding.kind == FaultKind::SchemaChange)
    }

    /// Whether the pane that begins at `start_ms` is no evidence of drift.
    pub(super) fn is_withheld(&self, start_ms: i64) -> bool {
        let open = self.active.as_ref().filter(|active| !active.accepted);
        open.is_some_and(|active| start_ms >= active.from_ms)
            || self.stretches.iter().any(|(from, to)| (*from..*to).contains(&start_ms))
    }

    /// Some pane is, or was.
    pub(super) fn withholds(&self) -> bool {
        self.is_faulty() || !self.stretches.is_empty()
    }

    /// Forgets stretches that end at or before `before_ms`.
    pub(super) fn forget(&mut self, before_ms: i64) {
        self.stretches.retain(|(_, to)| *to > before_ms);
    }
}

/// How much of an active fault a look holds: the part of its share; for units and constants all or
/// nothing. `None`: the look cannot tell.
fn heard(finding: &Finding, look: &Look<'_>) -> Option<Part> {
    let Look { feature, counts, .. } = *look;
    let all =
        |faulty: bool| Part { k: if faulty { counts.in_cells() } else { 0 }, n: counts.in_cells() };
    match (finding.kind, finding.number) {
        (FaultKind::UnitChange, Some(factor)) => {
            let spread = examine::spread(feature, counts).filter(|spread| *spread > 0.0)?;
            // Nearer to the factor than to 1 in proportion.
            let part = spread.ln() / factor.ln();
            Some(all(part >= 0.5))
        }
        (FaultKind::Constant, _) => {
            (counts.in_cells() > 1).then(|| all(constant::only_cell(feature, counts).is_some()))
        }
        (kind, _) => share::of(kind, counts).filter(|part| part.n > 0),
    }
}
