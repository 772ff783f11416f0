//! The protocol by which replicas count and decide, simulated: the real states, partials, folds, merge,
//! decision and ledger, with a simulated log, simulated stores and replicas, one thread and no clock.
//!
//! A schedule follows from its seed. `DRIFTD_SIM_SCHEDULES` is how many are run, `DRIFTD_SIM_SEED` the
//! first one.

use std::env;
use std::thread;

use crate::pipeline::simulator::mutation::Mutation;
use crate::pipeline::simulator::world::{Outcome, run};

mod counter;
mod dice;
mod follow;
mod incidents;
mod judge;
mod mutation;
mod referee;
mod stream;
mod topics;
mod verdicts;
mod world;

/// Hash of the rules that everything is counted by.
const RULES: u64 = 7;
/// Schedules of an ordinary run.
const SCHEDULES: u64 = 3_000;
/// So many failures are told before it ends.
const SHOWN: usize = 5;
/// A mutation must be caught within so many.
const CAUGHT_WITHIN: u64 = 100_000;

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Runs schedules, shared out over the cores; each of them is one thread's alone.
fn run_all(first: u64, n: u64) -> (Outcome, Vec<String>) {
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let share = move |at: u64| {
        let mut sum = Outcome::default();
        let mut failed = Vec::new();
        for seed in (first + at..first + n).step_by(usize::try_from(threads).unwrap()) {
            let outcome = run(seed, Mutation::None);
            if !outcome.faults.is_empty() && failed.len() < SHOWN {
                let again = format!("just simulate-again {seed}");
                failed.push(format!("seed {seed} ({again}): {:#?}", outcome.faults));
            }
            sum.add(&outcome);
        }
        (sum, failed)
    };
    let mut all = (Outcome::default(), Vec::new());
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|at| scope.spawn(move || share(at))).collect();
        for thread in running {
            let (sum, failed) = thread.join().unwrap();
            all.0.add(&sum);
            all.1.extend(failed);
        }
    });
    all
}

#[test]
fn whatever_the_schedule_counts_and_incidents_are_those_of_an_undisturbed_run() {
    let first = number("DRIFTD_SIM_SEED").unwrap_or(0);
    let n = number("DRIFTD_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let (sum, failed) = run_all(first, n);
    println!("{n} schedules from seed {first}: {sum:?}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // What never happens is not tested.
    let all_happened = sum.kills.min(sum.seals).min(sum.panes).min(sum.incidents) > 0;
    assert!(all_happened || n < 100, "{sum:?}");
}

#[test]
fn every_simplification_of_the_protocol_is_found_out() {
    let mut told = String::new();
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let caught = (0..CAUGHT_WITHIN)
            .find_map(|seed| Some((seed, run(seed, mutation).faults.into_iter().next()?)));
        match caught {
            Some((seed, fault)) => {
                // At once: some take a while.
                println!("{mutation:?}: seed {seed}: {fault}");
                told += &format!("{mutation:?}: seed {seed}: {fault}\n");
            }
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not caught within {CAUGHT_WITHIN} schedules: {missed:?}\n{told}");
}
