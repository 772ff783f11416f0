//! The same records in other orders, twice, and from writers that come late.

use super::*;
use crate::store::kafka::record::Pane;

fn owner(writer: u64) -> Record {
    Record { writer, body: Body::Owner(Owner::default()) }
}

fn incident(writer: u64, fact: bool) -> Record {
    let incident = Incident { model: "m".to_owned(), fact, version: 1, json: Vec::new() };
    Record { writer, body: Body::Incident(incident) }
}

fn pane(rules: u64, start: i64, body: u8) -> Pane {
    let record = PaneRecord { kind: 1, pane_start_ms: start, body: vec![body] };
    Pane { model: "m".to_owned(), rules, of: "t-0".to_owned(), record }
}

fn state(rules: u64, epoch: u64, next_offset: i64) -> State {
    State {
        partition: TopicPartition::new("t", 0),
        model: "m".to_owned(),
        rules,
        epoch,
        next_offset,
        version: 1,
        state: Vec::new(),
    }
}

#[test]
fn a_decision_counts_until_another_has_taken_over_and_facts_always() {
    let mut journal = Journal::default();
    let log = [
        (owner(1), false),
        (incident(1, false), true),
        (incident(2, false), false),
        (owner(2), false),
        (incident(1, false), false),
        (incident(1, true), true),
        (incident(2, false), true),
    ];
    for (at, (record, counts)) in log.into_iter().enumerate() {
        assert_eq!(journal.apply(0, record).is_some(), counts, "record {at}");
    }
    assert_eq!(journal.owner(0).map(|(writer, _)| *writer), Some(2));
    // Each partition has an owner of its own.
    assert!(journal.apply(1, incident(7, false)).is_some());
}

#[test]
fn of_specs_that_follow_the_same_one_the_first_is_in_force() {
    let spec = |seq, rules| Spec {
        model: "m".to_owned(),
        seq,
        rules,
        partitions: 12,
        version: 1,
        profile: Vec::new(),
    };
    let mut specs = Specs::default();
    let taken: Vec<bool> = [spec(1, 10), spec(1, 11), spec(2, 20), spec(1, 12), spec(2, 21)]
        .into_iter()
        .map(|spec| specs.apply(spec))
        .collect();
    assert_eq!(taken, [true, false, true, false, false]);
    assert_eq!(specs.get("m").map(|spec| spec.rules), Some(20));
}

#[test]
fn the_state_that_is_furthest_on_counts_whatever_order_they_come_in() {
    let partition = TopicPartition::new("t", 0);
    let all = [state(9, 0, 500), state(9, 0, 700), state(8, 0, 900), state(9, 1, 20)];
    for turn in 0..all.len() {
        let mut states = States::default();
        for at in 0..all.len() {
            states.apply(all[(at + turn) % all.len()].clone());
        }
        let chosen =
            |rules| states.choose(&partition, "m", rules).map(|s| (s.rules, s.next_offset));
        // The log has begun anew, so 20 is further than 700; and 8 is another way of counting.
        assert_eq!(chosen(9), Some((9, 20)));
        assert_eq!(chosen(8), Some((8, 900)));
        assert_eq!(chosen(7), Some((9, 20)));
        assert_eq!(states.epoch(&partition), 1);
    }
}

#[test]
fn an_evaluator_finds_what_owners_left_and_nothing_of_those_who_came_late() {
    let mut assembly = Assembly::new(BTreeMap::from([("m".to_owned(), 9)]));
    let test = |rules, state: u8| {
        Body::Test(Test { model: "m".to_owned(), rules, version: 3, state: vec![state] })
    };
    let log = [
        owner(1),
        Record { writer: 5, body: Body::Pane(pane(9, 0, 1)) },
        Record { writer: 6, body: Body::Pane(pane(9, 0, 2)) },
        Record { writer: 5, body: Body::Pane(pane(9, 0, 3)) },
        Record { writer: 5, body: Body::Pane(pane(8, 0, 4)) },
        Record { writer: 1, body: Body::Seal(pane(9, 60, 5)) },
        Record { writer: 1, body: test(9, 6) },
        Record { writer: 1, body: test(8, 9) },
        owner(2),
        Record { writer: 1, body: Body::Seal(pane(9, 120, 7)) },
        Record { writer: 1, body: test(9, 8) },
    ];
    log.into_iter().for_each(|record| assembly.apply(record));
    let mut model = assembly.models.remove("m").unwrap();
    let mut bodies: Vec<u8> = model.take_panes().iter().map(|r| r.body[0]).collect();
    assert_eq!(bodies.remove(0), 5, "seals come first");
    bodies.sort_unstable();
    assert_eq!(bodies, [2, 3], "the last of each writer");
    assert_eq!(model.test.map(|test| test.state), Some(vec![6]));
}

#[test]
fn where_a_late_owner_has_written_over_what_counted_its_last_word_does_until_another_decides() {
    let test = |writer, state: u8| {
        let test = Test { model: "m".to_owned(), rules: 9, version: 3, state: vec![state] };
        Record { writer, body: Body::Test(test) }
    };
    let found = |log: Vec<Record>| {
        let mut assembly = Assembly::new(BTreeMap::from([("m".to_owned(), 9)]));
        log.into_iter().for_each(|record| assembly.apply(record));
        assembly.models.remove("m").unwrap().test.map(|test| test.state[0])
    };
    // The test that writer 1 left as an owner had the key of the later one, and is gone by compaction.
    assert_eq!(found(vec![owner(1), owner(2), test(1, 5)]), Some(5));
    assert_eq!(found(vec![owner(1), owner(2), test(1, 5), test(2, 6), test(1, 7)]), Some(6));
}
