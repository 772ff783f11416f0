//! One schedule: replicas that come, go, sleep and wake, as the dice fall; then all that is wrong is mended,
//! and what must hold is asked.

use crate::dice::Dice;
use crate::pipeline::simulator::counter::{Counter, MODEL};
use crate::pipeline::simulator::incidents::PATIENCE;
use crate::pipeline::simulator::judge::Judge;
use crate::pipeline::simulator::mutation::Mutation;
use crate::pipeline::simulator::referee::Referee;
use crate::pipeline::simulator::stream::{LATENESS, PANE, Stream, rules};
use crate::pipeline::simulator::topics::{Fault, Store};
use crate::pipeline::simulator::verdicts;
use crate::window::Rules;

/// Rounds in which a schedule must have healed.
const ROUNDS: usize = 80;

struct Replica {
    counter: Counter,
    judge: Judge,
}

/// What a schedule was.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub faults: Vec<String>,
    pub kills: usize,
    pub panes: usize,
    pub seals: usize,
    pub incidents: usize,
}

impl Outcome {
    pub(super) fn add(&mut self, other: &Outcome) {
        self.kills += other.kills;
        self.panes += other.panes;
        self.seals += other.seals;
        self.incidents += other.incidents;
    }
}

pub(super) struct World {
    dice: Dice,
    stream: Stream,
    store: Store,
    rules: Rules,
    referee: Referee,
    replicas: Vec<Replica>,
    /// Who has a partition by the word of the group, by writer.
    assigned: Vec<u64>,
    /// Who evaluates by the word of the group.
    judge: u64,
    writers: u64,
    kills: usize,
}

/// Runs the schedule of a seed.
pub(super) fn run(seed: u64, mutation: Mutation) -> Outcome {
    let mut dice = Dice::new(seed);
    let stream = Stream::new(1 + dice.below(3));
    let shared = match mutation {
        Mutation::TornTailStays => false,
        _ => dice.in_hundred(85),
    };
    let refused = if dice.in_hundred(40) { 4 } else { 0 };
    let mut world = World {
        referee: Referee::new(&stream),
        assigned: vec![0; stream.len()],
        store: Store::new(shared, refused, mutation),
        rules: rules(),
        replicas: Vec::new(),
        judge: 0,
        writers: 0,
        kills: 0,
        dice,
        stream,
    };
    let phases = 1 + world.dice.below(2);
    for _ in 0..phases {
        world.phase();
        if !world.referee.faults.is_empty() {
            break;
        }
    }
    Outcome {
        faults: std::mem::take(&mut world.referee.faults),
        kills: world.kills,
        panes: world.referee.n_panes(),
        seals: world.referee.n_seals(),
        incidents: world.referee.n_incidents(),
    }
}

/// How many partitions there are, and how far clocks let anything be sealed.
fn extent(stream: &Stream) -> (usize, i64) {
    (stream.len(), stream.now() - LATENESS)
}

impl World {
    fn phase(&mut self) {
        let calm = 2 + self.dice.up_to(2);
        if self.referee.n_panes() > 0 && self.dice.in_hundred(40) {
            self.stream.pause(&mut self.dice);
        }
        let onset = self.stream.now() + calm * PANE;
        self.stream.extend(&mut self.dice, calm + 7, onset);
        self.referee.look_at(&self.stream);
        let steps = 30 + self.dice.below(60);
        let wanted = if self.store.shared { 2 + self.dice.below(2) } else { 1 };
        while self.replicas.len() < wanted {
            self.spawn();
        }
        let begins = self.replicas.iter().all(|replica| replica.counter.held().is_empty());
        // Else what is known of partitions is from before the records that have come.
        if begins || self.store.shared && self.dice.in_hundred(40) {
            (0..self.stream.len()).for_each(|n| self.rebalance(n));
        }
        if begins {
            self.move_judge();
        }
        for _ in 0..steps {
            self.step();
        }
        self.heal();
    }

    /// A process starts.
    fn spawn(&mut self) {
        self.writers += 1;
        let (counter, judge) = (Counter::new(self.writers), Judge::new(self.writers));
        self.store.open();
        self.replicas.push(Replica { counter, judge });
    }

    /// Something of a replica that may end in its death.
    fn act(&mut self, at: usize, what: impl FnOnce(&mut Self, &mut Replica) -> Result<(), Fault>) {
        if at >= self.replicas.len() {
            return;
        }
        let mut replica = self.replicas.swap_remove(at);
        let acted = what(self, &mut replica);
        if acted.is_ok() {
            self.replicas.push(replica);
            let last = self.replicas.len() - 1;
            self.replicas.swap(at, last);
        } else {
            self.died(&replica);
        }
    }

    /// Its partitions go to others, at once or when the group has noticed.
    fn died(&mut self, replica: &Replica) {
        self.kills += 1;
        self.store.fuse = None;
        self.spawn();
        let writer = replica.counter.writer;
        for n in 0..self.stream.len() {
            if self.assigned[n] == writer {
                self.rebalance(n);
            }
        }
        if writer == self.judge {
            self.move_judge();
        }
    }

    /// The group gives a partition to somebody; whoever had it is not told yet.
    fn rebalance(&mut self, n: usize) {
        let to = self.dice.below(self.replicas.len());
        self.give(n, to);
    }

    fn give(&mut self, n: usize, to: usize) {
        self.assigned[n] = self.replicas[to].counter.writer;
        self.act(to, |world, replica| {
            let with = (&mut world.store, &world.stream, &world.rules);
            let back = replica.counter.take(n, with, &mut world.dice)?;
            if let Some(back) = back {
                world.referee.fault(back.0);
            }
            Ok(())
        });
    }

    fn move_judge(&mut self) {
        let to = self.dice.below(self.replicas.len());
        self.give_judge(to);
    }

    /// `Event::Assigned`: it is taken anew, also by one that had it before.
    fn give_judge(&mut self, to: usize) {
        let judge = &mut self.replicas[to].judge;
        self.judge = judge.writer;
        judge.assigned = true;
        judge.release();
    }

    fn step(&mut self) {
        self.store.now += 1;
        let at = self.dice.below(self.replicas.len());
        self.store.fuse = self.dice.in_hundred(5).then(|| self.dice.below(4));
        match self.dice.below(100) {
            0..52 => self.count_something(at),
            52..82 => self.judge_something(at),
            82..86 if self.store.shared => {
                let n = self.dice.below(self.stream.len());
                self.rebalance(n);
            }
            86..90 if self.store.shared => self.move_judge(),
            90..92 => self.tell(at),
            92..94 => self.act(at, |_, _| Err(Fault::Killed)),
            94..97 if self.store.shared => match self.dice.below(3) {
                0 => self.store.state.compact(&mut self.dice),
                1 => self.store.partials.compact(&mut self.dice),
                _ => self.store.incidents.compact(&mut self.dice),
            },
            97.. => self.expire(),
            _ => {}
        }
        self.store.fuse = None;
    }

    fn count_something(&mut self, at: usize) {
        self.act(at, |world, replica| {
            let World { dice, store, stream, rules, replicas, .. } = world;
            let counter = &mut replica.counter;
            let held = counter.held();
            if held.is_empty() {
                return Ok(());
            }
            match dice.below(10) {
                0..4 => {
                    let n = held[dice.below(held.len())];
                    let others = replicas.iter().filter_map(|other| other.counter.highest());
                    let shared = others.chain(counter.highest()).max();
                    let most = 1 + dice.below(12);
                    counter.count(n, (store, stream, rules), (most, shared));
                    Ok(())
                }
                4 => counter.publish(store, dice),
                5..7 => counter.snapshot(store, dice),
                _ => counter.beat((store, stream), dice),
            }
        });
    }

    fn judge_something(&mut self, at: usize) {
        // Mostly the one that the group has chosen.
        let chosen = self.replicas.iter().position(|replica| replica.judge.writer == self.judge);
        let sends = self.replicas.iter().position(|replica| replica.judge.flight.is_some());
        let at = match self.dice.below(10) {
            0..6 => chosen.unwrap_or(at),
            6 => sends.unwrap_or(at),
            _ => at,
        };
        self.act(at, |world, replica| {
            let World { dice, store, stream, referee, .. } = world;
            let judge = &mut replica.judge;
            if judge.flight.is_some() && dice.in_hundred(25) {
                return judge.deliver((store, referee), dice);
            }
            if !judge.is_owner() {
                return judge.advance((store, referee), dice);
            }
            match dice.below(10) {
                0..3 => judge.follow(1 + dice.below(12), store),
                3 => judge.follow_log(store),
                4 => {
                    judge.look_at_clock(dice);
                    return judge.close(extent(stream), (store, referee), dice).map(|_| ());
                }
                5..8 => return judge.close(extent(stream), (store, referee), dice).map(|_| ()),
                _ => return judge.deliver((store, referee), dice),
            }
            Ok(())
        });
    }

    /// A replica hears what the group has taken from it.
    fn tell(&mut self, at: usize) {
        let assigned = self.assigned.clone();
        let judge = self.judge;
        self.act(at, |world, replica| {
            for n in replica.counter.held() {
                if assigned[n] != replica.counter.writer {
                    replica.counter.give_up(n, &mut world.store, &mut world.dice)?;
                }
            }
            if replica.judge.assigned && replica.judge.writer != judge {
                replica.judge.assigned = false;
                replica.judge.release();
            }
            Ok(())
        });
    }

    /// Retention takes records that every snapshot's reader and every counter is past.
    fn expire(&mut self) {
        let n = self.dice.below(self.stream.len());
        let counters = self.replicas.iter().filter_map(|replica| replica.counter.next(n));
        if let Some(stored) = Counter::stored(n, &self.store) {
            let below = counters.chain([stored]).min().unwrap();
            self.stream.expire(n, below);
        }
    }

    fn heal(&mut self) {
        self.store.refused = 0;
        self.store.now += PATIENCE;
        // Some that have slept wake up once more, and say what they know.
        for at in (0..self.replicas.len()).rev() {
            if self.dice.in_hundred(50) {
                self.act(at, |world, replica| {
                    replica.counter.snapshot(&mut world.store, &mut world.dice)?;
                    replica.counter.beat((&mut world.store, &world.stream), &mut world.dice)
                });
            }
        }
        let survivor = self.dice.below(self.replicas.len());
        self.replicas.swap(0, survivor);
        self.replicas.truncate(1);
        if self.dice.in_hundred(30) {
            self.spawn();
            self.replicas.swap_remove(0);
        }
        let writer = self.replicas[0].counter.writer;
        if self.judge != writer {
            self.give_judge(0);
        }
        for n in 0..self.stream.len() {
            if self.assigned[n] != writer || !self.replicas[0].counter.holds(n) {
                self.give(n, 0);
            }
        }
        let clock = self.dice.in_hundred(50);
        let healed = (0..ROUNDS).any(|_| self.mend(clock).expect("nobody is killed any more"));
        if !healed {
            self.referee.fault(format!("not healed after {ROUNDS} rounds"));
            return;
        }
        let World { replicas, referee, store, dice, .. } = self;
        let judge = &mut replicas[0].judge;
        referee.healed(judge.state.decided_end_ms, &judge.ledger);
        // The incident's run fails, or somebody closes it: from here on the next one may come.
        if let Some(open) = judge.ledger.open(MODEL) {
            let end_ms = judge.state.decided_end_ms.unwrap();
            let closed = verdicts::closed(open.incident.id.clone(), end_ms);
            referee.over(&closed);
            assert_eq!(judge.append(&closed, store, dice), Ok(true), "{}", store.shared);
        }
    }

    /// One undisturbed round; true when nothing is left to do.
    fn mend(&mut self, clock: bool) -> Result<bool, Fault> {
        let World { dice, stream, store, rules, referee, replicas, .. } = self;
        store.now += 1;
        let Replica { counter, judge } = &mut replicas[0];
        for n in 0..stream.len() {
            counter.count(n, (store, stream, rules), (50, None));
        }
        counter.snapshot(store, dice)?;
        counter.beat((store, stream), dice)?;
        judge.advance((store, referee), dice)?;
        judge.follow(usize::MAX, store);
        judge.follow_log(store);
        if clock {
            judge.look_at_clock(dice);
        }
        let closed = judge.close(extent(stream), (store, referee), dice)?;
        judge.deliver((store, referee), dice)?;
        let is_read = (0..stream.len()).all(|n| counter.is_through(n, stream));
        Ok(is_read && closed == 0 && judge.is_at_rest(store))
    }
}
