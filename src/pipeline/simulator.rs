//! The protocol by which replicas count and decide, simulated: the real states, partials, folds, merge,
//! decision and ledger, with a simulated log, simulated stores and replicas, one thread and no clock.
//!
//! A schedule follows from its seed. `DRIFTD_SIM_SCHEDULES` is how many are run, `DRIFTD_SIM_SEED` the
//! first one.

use std::env;

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
const SHOWN: u64 = 10;
/// A mutation must be caught within so many.
const CAUGHT_WITHIN: u64 = 3_000;

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn whatever_the_schedule_counts_incidents_and_ids_are_those_of_an_undisturbed_run() {
    let first = number("DRIFTD_SIM_SEED").unwrap_or(0);
    let n = number("DRIFTD_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let mut sum = Outcome::default();
    let mut failed = 0;
    for seed in first..first + n {
        let outcome = run(seed, Mutation::None);
        if !outcome.faults.is_empty() {
            failed += 1;
            println!("seed {seed}: {:#?}", outcome.faults);
            println!("again: DRIFTD_SIM_SEED={seed} DRIFTD_SIM_SCHEDULES=1 cargo test --lib simulator::");
        }
        assert!(failed < SHOWN, "{failed} of {} schedules failed", seed + 1 - first);
        sum.kills += outcome.kills;
        sum.panes += outcome.panes;
        sum.seals += outcome.seals;
        sum.incidents += outcome.incidents;
    }
    assert_eq!(failed, 0, "of {n} schedules from seed {first}");
    println!("{n} schedules from seed {first}: {sum:?}");
}

#[test]
fn every_simplification_of_the_protocol_is_found_out() {
    let mut told = String::new();
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        let caught = (0..CAUGHT_WITHIN)
            .find_map(|seed| Some((seed, run(seed, mutation).faults.into_iter().next()?)));
        match caught {
            Some((seed, fault)) => told += &format!("{mutation:?}: seed {seed}: {fault}\n"),
            None => missed.push(mutation),
        }
    }
    println!("{told}");
    assert!(missed.is_empty(), "not caught within {CAUGHT_WITHIN} schedules: {missed:?}\n{told}");
}
