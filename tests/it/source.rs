//! The Kafka source on librdkafka's own mock cluster.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails where it is called"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use driftd::kafka;
use driftd::kafka::Config;
use driftd::kafka::mock::MockBroker;
use driftd::kafka::mock::Producer;
use driftd::offsets::{Lineage, TopicPartition};
use driftd::source::Assigned;
use driftd::source::Event;
use driftd::source::LossCause;
use driftd::source::Start;
use driftd::source::StartsFn;
use driftd::source::kafka::KafkaSource;

const TOPIC: &str = "inferences";
const TICK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);
/// Calls of `next` before a test gives up; with `TICK` about a minute.
const TURNS: usize = 1200;

fn cluster(partitions: i32) -> (MockBroker, Config, Producer) {
    let broker = MockBroker::start().unwrap();
    broker.create_topic(TOPIC, partitions).unwrap();
    let config = config(&broker, &[]);
    let producer = Producer::connect(&broker.bootstrap_servers()).unwrap();
    (broker, config, producer)
}

fn config(broker: &MockBroker, options: &[(&str, &str)]) -> Config {
    let mut config = Config::new([broker.bootstrap_servers()]);
    let ours = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
    let is_new = options.contains(&("group.protocol", "consumer"));
    let all = options.iter().chain(ours.iter().filter(|_| !is_new));
    config.options = all.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    config
}

/// Record `i` of a partition says so.
fn fill(producer: &Producer, partitions: i32, records: std::ops::Range<i64>) {
    for i in records {
        for partition in 0..partitions {
            let payload = format!("{partition}:{i}");
            producer.produce(TOPIC, partition, None, 1_000 + i, Some(payload.as_bytes())).unwrap();
        }
    }
    producer.flush(PATIENCE).unwrap();
}

/// An offset of whatever log is there.
fn at(offset: i64) -> Start {
    Start::Offset(offset, Lineage::default())
}

fn starting(start: Start) -> StartsFn {
    Box::new(move |_| Some(vec![start]))
}

fn connect(config: &Config, starts: StartsFn) -> KafkaSource {
    KafkaSource::connect(config, &[TOPIC.to_owned()], starts).unwrap()
}

/// What a source said, as far as the tests look at it.
#[derive(Default)]
struct Heard {
    /// Offsets handed out, in order, since the partition was last assigned or lost something.
    read: BTreeMap<i32, Vec<i64>>,
    assigned: Vec<Assigned>,
    revoked: Vec<TopicPartition>,
    lost: Vec<(i32, i64, i64, LossCause)>,
    records: usize,
}

impl Heard {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Batch(batch) => {
                self.records += batch.len();
                let mut counted = 0;
                for (partition, records) in batch.groups() {
                    let read = self.read.entry(partition.partition).or_default();
                    for record in records {
                        counted += 1;
                        let text = format!("{}:{}", partition.partition, record.offset);
                        assert_eq!(record.payload, Some(text.as_bytes()));
                        assert_eq!(record.timestamp_ms, 1_000 + record.offset);
                        read.push(record.offset);
                    }
                }
                assert_eq!(counted, batch.len());
            }
            Event::Assigned(assigned) => self.assigned.extend(assigned),
            Event::Revoked(revoked) => self.revoked.extend(revoked),
            Event::Lost { partition, from, to, cause } => {
                self.lost.push((partition.partition, from, to, cause));
            }
            Event::Failed(error) => panic!("{error}"),
            Event::Idle => {}
        }
    }

    fn until(source: &mut KafkaSource, done: impl Fn(&Heard) -> bool) -> Heard {
        let mut heard = Heard::default();
        heard.more(source, done);
        heard
    }

    fn more(&mut self, source: &mut KafkaSource, done: impl Fn(&Heard) -> bool) {
        for _ in 0..TURNS {
            if done(self) {
                return;
            }
            self.hear(source.next(TICK));
        }
        let read: Vec<_> = self.read.iter().map(|(p, read)| (p, read.len())).collect();
        panic!("waited in vain: {read:?}, {:?}, {:?}", self.assigned, source.trouble());
    }
}

fn is_range(read: &[i64], range: std::ops::Range<i64>) -> bool {
    read.iter().copied().eq(range)
}

fn everything_is_read_once_in_order(options: &[(&str, &str)]) {
    let (broker, _, producer) = cluster(3);
    fill(&producer, 3, 0..20_000);
    let mut source = connect(&config(&broker, options), starting(Start::Earliest));
    let mut heard = Heard::until(&mut source, |heard| heard.records >= 60_000);
    for _ in 0..5 {
        heard.hear(source.next(TICK));
    }
    assert_eq!(heard.records, 60_000);
    for partition in 0..3 {
        assert!(is_range(&heard.read[&partition], 0..20_000), "partition {partition}");
        let name = TopicPartition::new(TOPIC, partition);
        assert_eq!(source.watermarks(&name).map(|(_, high)| high), Some(20_000));
    }
    assert_eq!((source.assigned(), source.lost(), source.stalls()), (3, 0, 0));
    source.commit(&[(TopicPartition::new(TOPIC, 0), 20_000)]).unwrap();
    source.close(PATIENCE).unwrap();
}

#[test]
fn every_record_is_read_once_in_order() {
    everything_is_read_once_in_order(&[]);
}

#[test]
fn every_record_is_read_once_in_order_with_eager_rebalances() {
    everything_is_read_once_in_order(&[("partition.assignment.strategy", "range")]);
}

#[test]
fn every_record_is_read_once_in_order_with_the_new_group_protocol() {
    everything_is_read_once_in_order(&[("group.protocol", "consumer")]);
}

#[test]
fn each_partition_resumes_where_its_models_want_it() {
    let (_broker, config, producer) = cluster(4);
    fill(&producer, 4, 0..100);
    let starts: StartsFn = Box::new(|partition| {
        Some(match partition.partition {
            0 => vec![at(70), at(40)],
            1 => vec![at(100)],
            2 => vec![Start::Latest, Start::Earliest],
            // The mock answers every time with the end.
            _ => vec![Start::Time(1_050)],
        })
    });
    let mut source = connect(&config, starts);
    let mut heard = Heard::until(&mut source, |heard| heard.assigned.len() == 4);
    let starts: Vec<_> = heard.assigned.iter().map(|a| a.starts.clone()).collect();
    assert_eq!(starts, [vec![70, 40], vec![100], vec![100, 0], vec![100]]);
    assert!(heard.assigned.iter().all(|a| (a.low, a.high) == (0, 100)));
    fill(&producer, 4, 100..110);
    heard.more(&mut source, |heard| heard.records >= 70 + 10 + 110 + 10);
    for (partition, from) in [(0, 40), (1, 100), (2, 0), (3, 100)] {
        assert!(is_range(&heard.read[&partition], from..110), "partition {partition}");
    }
    assert!(heard.lost.is_empty());
}

#[test]
fn a_partition_waits_until_it_is_known_where_to_start() {
    let (_broker, config, producer) = cluster(2);
    fill(&producer, 2, 0..100);
    let mut asked = [0; 2];
    let starts: StartsFn = Box::new(move |partition| {
        let asked = &mut asked[usize::try_from(partition.partition).unwrap()];
        *asked += 1;
        (*asked > 3).then(|| vec![at(40)])
    });
    let mut source = connect(&config, starts);
    let heard = Heard::until(&mut source, |heard| heard.records == 120);
    assert_eq!(heard.assigned.len(), 2);
    assert!((0..2).all(|partition| is_range(&heard.read[&partition], 40..100)));
}

/// Nobody says where one partition starts: the others are read, and other members come and go.
fn one_that_waits_holds_nothing_up(options: &[(&str, &str)]) {
    let (broker, _, producer) = cluster(4);
    fill(&producer, 4, 0..100);
    let config = config(&broker, options);
    let known = Arc::new(AtomicBool::new(false));
    let starts = || -> StartsFn {
        let known = known.clone();
        let is_known = move |p: i32| p != 1 || known.load(Ordering::SeqCst);
        Box::new(move |partition| is_known(partition.partition).then(|| vec![at(40)]))
    };
    let mut source = connect(&config, starts());
    let mut heard = Heard::until(&mut source, |heard| heard.records == 180);
    assert_eq!((source.assigned(), heard.assigned.len()), (3, 3));
    let (mut other, mut theirs) = (connect(&config, starts()), Heard::default());
    for _ in 0..TURNS {
        heard.hear(source.next(TICK));
        theirs.hear(other.next(TICK));
        if !theirs.assigned.is_empty() {
            break;
        }
    }
    assert!(!theirs.assigned.is_empty(), "{:?}", other.trouble());
    other.close(PATIENCE).unwrap();
    for _ in 0..TURNS {
        heard.hear(source.next(TICK));
        if source.assigned() == 3 {
            break;
        }
    }
    assert!(!heard.read.contains_key(&1), "{:?}", heard.assigned);
    known.store(true, Ordering::SeqCst);
    heard.more(&mut source, |heard| heard.read.get(&1).is_some_and(|read| read.len() == 60));
    let taken = heard.assigned.len();
    fill(&producer, 4, 100..110);
    let came = |heard: &Heard| heard.read.values().all(|read| read.last() == Some(&109));
    heard.more(&mut source, came);
    assert_eq!((source.assigned(), heard.assigned.len()), (4, taken));
    assert!(is_range(&heard.read[&1], 40..110));
    // Those that were taken again were read again, from where they start.
    for read in heard.read.values() {
        assert!(read.windows(2).all(|two| two[1] == two[0] + 1 || two[1] == 40), "{read:?}");
    }
    assert_eq!((source.lost(), source.stalls()), (0, 0));
    source.close(PATIENCE).unwrap();
}

#[test]
fn a_partition_that_waits_holds_no_other_and_no_member_up() {
    one_that_waits_holds_nothing_up(&[]);
}

#[test]
fn a_partition_that_waits_holds_no_other_and_no_member_up_with_eager_rebalances() {
    one_that_waits_holds_nothing_up(&[("partition.assignment.strategy", "range")]);
}

#[test]
fn a_partition_that_waits_holds_no_other_and_no_member_up_with_the_new_group_protocol() {
    one_that_waits_holds_nothing_up(&[("group.protocol", "consumer")]);
}

/// A member of a group whose state (next offset per partition) outlives its owners, as ours does.
struct Member {
    source: KafkaSource,
    heard: Heard,
}

type State = Arc<Mutex<BTreeMap<i32, i64>>>;

impl Member {
    fn join(config: &Config, state: &State) -> Self {
        let state = Arc::clone(state);
        let starts: StartsFn = Box::new(move |partition| {
            let next = state.lock().unwrap().get(&partition.partition).copied();
            Some(vec![next.map_or(Start::Earliest, at)])
        });
        Self { source: connect(config, starts), heard: Heard::default() }
    }

    /// One turn. What is read must follow on what was asked for, without a gap.
    fn turn(&mut self, state: &State) {
        let taken = self.heard.assigned.len();
        self.heard.hear(self.source.next(TICK));
        for assigned in &self.heard.assigned[taken..] {
            self.heard.read.insert(assigned.partition.partition, vec![assigned.starts[0] - 1]);
        }
        let mut state = state.lock().unwrap();
        for (partition, read) in &mut self.heard.read {
            let first = read[0];
            assert!(
                read.iter().copied().eq(first..first + read.len() as i64),
                "{partition}: {read:?}"
            );
            let last = *read.last().unwrap();
            read.drain(..read.len() - 1);
            let next = state.entry(*partition).or_default();
            *next = (*next).max(last + 1);
        }
    }
}

fn a_member_comes_and_goes(options: &[(&str, &str)]) {
    let (broker, _, producer) = cluster(4);
    let config = config(&broker, options);
    let state = State::default();
    let mut produced = 0;
    let mut more = |upto: i64| {
        fill(&producer, 4, produced..upto);
        produced = upto;
    };
    let all = |next: i64| {
        let state = state.lock().unwrap();
        (0..4).all(|partition| state.get(&partition) == Some(&next))
    };
    more(500);
    let mut first = Member::join(&config, &state);
    let mut turns = 0;
    let mut go = |members: &mut [&mut Member], done: &dyn Fn(&[&mut Member]) -> bool| {
        while !done(members) {
            turns += 1;
            assert!(turns < TURNS, "waited in vain: {:?}", state.lock().unwrap());
            members.iter_mut().for_each(|member| member.turn(&state));
        }
    };
    go(&mut [&mut first], &|_| all(500));
    let mut second = Member::join(&config, &state);
    more(700);
    go(&mut [&mut first, &mut second], &|members| {
        members.iter().all(|member| member.source.assigned() == 2)
    });
    more(1_000);
    go(&mut [&mut first, &mut second], &|_| all(1_000));
    assert!(first.heard.revoked.len() >= 2);
    second.source.close(PATIENCE).unwrap();
    more(1_200);
    go(&mut [&mut first], &|members| members[0].source.assigned() == 4);
    more(1_500);
    go(&mut [&mut first], &|_| all(1_500));
    assert!(first.heard.assigned.len() >= 6, "it regained what it gave");
    assert!(first.source.rebalances() >= 2);
    assert!(first.heard.lost.is_empty());
    first.source.close(PATIENCE).unwrap();
}

#[test]
fn nothing_is_skipped_while_a_second_member_joins_and_leaves() {
    a_member_comes_and_goes(&[]);
}

#[test]
fn nothing_is_skipped_while_a_second_member_joins_and_leaves_eagerly() {
    a_member_comes_and_goes(&[("partition.assignment.strategy", "roundrobin")]);
}

#[test]
fn nothing_is_skipped_while_a_second_member_joins_and_leaves_with_the_new_protocol() {
    a_member_comes_and_goes(&[("group.protocol", "consumer")]);
}

/// Pushes the log's head out: the mock keeps 5 MiB of a partition.
fn overflow(producer: &Producer, records: i64) {
    let payload = vec![b'x'; 64 << 10];
    for i in 0..records {
        producer.produce(TOPIC, 0, None, i, Some(&payload)).unwrap();
        // Batches of one, or the mock would drop a hundred at once.
        producer.flush(PATIENCE).unwrap();
    }
}

type Losses = Vec<(i64, i64, LossCause)>;

/// Offsets only: for records that `Heard` would not recognise.
fn offsets(
    source: &mut KafkaSource,
    mut done: impl FnMut(&[i64]) -> bool,
) -> (Vec<i64>, Losses, Vec<Assigned>) {
    let (mut read, mut lost, mut assigned) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        if done(&read) {
            return (read, lost, assigned);
        }
        match source.next(TICK) {
            Event::Batch(batch) => {
                for (_, records) in batch.groups() {
                    read.extend(records.map(|record| record.offset));
                }
            }
            Event::Lost { from, to, cause, .. } => lost.push((from, to, cause)),
            Event::Assigned(partitions) => assigned.extend(partitions),
            Event::Revoked(_) | Event::Idle => {}
            Event::Failed(error) => panic!("{error}"),
        }
    }
    panic!("waited in vain: {} read, {lost:?}, {:?}", read.len(), source.trouble());
}

#[test]
fn what_retention_took_before_the_start_is_counted_exactly() {
    let (_broker, config, producer) = cluster(1);
    overflow(&producer, 200);
    let mut source = connect(&config, Box::new(|_| Some(vec![at(150), at(3)])));
    let (read, lost, assigned) = offsets(&mut source, |read| read.last() == Some(&199));
    let low = assigned[0].low;
    assert!(low > 3 && low < 200, "{assigned:?}");
    assert_eq!(assigned[0].starts, [150, low]);
    assert_eq!(lost, [(3, low, LossCause::Retention)]);
    assert!(is_range(&read, low..200));
    assert_eq!(source.lost(), u64::try_from(low - 3).unwrap());
}

#[test]
fn what_retention_takes_while_reading_is_counted_exactly() {
    let (broker, _, producer) = cluster(1);
    let config = config(
        &broker,
        &[
            ("queued.max.messages.kbytes", "256"),
            ("queued.min.messages", "1"),
            ("fetch.max.bytes", "1000000"),
            ("fetch.message.max.bytes", "100000"),
        ],
    );
    overflow(&producer, 10);
    let mut source = connect(&config, starting(Start::Earliest));
    let (mut read, lost, _) = offsets(&mut source, |read| !read.is_empty());
    assert!(lost.is_empty());
    overflow(&producer, 300);
    let (after, lost, _) = offsets(&mut source, |read| read.last() == Some(&309));
    read.extend(after);
    let [(from, to, LossCause::Retention)] = lost[..] else { panic!("{lost:?}") };
    assert!(from < to, "{lost:?}");
    let expected: Vec<i64> = (0..from).chain(to..310).collect();
    assert_eq!(read, expected);
    assert_eq!(source.lost(), u64::try_from(to - from).unwrap());
    source.close(PATIENCE).unwrap();
}

#[test]
fn an_offset_beyond_the_end_starts_over_and_says_so() {
    let (_broker, config, producer) = cluster(1);
    fill(&producer, 1, 0..10);
    let mut source = connect(&config, starting(at(1_000)));
    let heard = Heard::until(&mut source, |heard| heard.records >= 10);
    assert_eq!(heard.lost, [(0, 1_000, 0, LossCause::BeyondEnd)]);
    assert!(is_range(&heard.read[&0], 0..10));
}

#[test]
fn a_tombstone_is_not_an_empty_payload() {
    let (_broker, config, producer) = cluster(1);
    for payload in [None, Some(&b""[..]), Some(&b"x"[..])] {
        producer.produce(TOPIC, 0, Some(b"key"), 7, payload).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let mut source = connect(&config, starting(Start::Earliest));
    let mut payloads: Vec<Option<Vec<u8>>> = Vec::new();
    for _ in 0..TURNS {
        if let Event::Batch(batch) = source.next(TICK) {
            let records = batch.groups().flat_map(|(_, records)| records);
            payloads.extend(records.map(|record| record.payload.map(<[u8]>::to_vec)));
        }
        if payloads.len() == 3 {
            break;
        }
    }
    assert_eq!(payloads, [None, Some(vec![]), Some(b"x".to_vec())]);
}

#[test]
fn the_batch_path_reads_what_the_safe_client_reads() {
    let (_broker, config, producer) = cluster(2);
    for i in 0..2_000_i64 {
        let payload = vec![b'a' + u8::try_from(i % 26).unwrap(); usize::try_from(i % 97).unwrap()];
        let payload = (i % 13 != 0).then_some(payload.as_slice());
        producer.produce(TOPIC, i32::from(i % 3 == 0), None, 7 * i, payload).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let twin = kafka::sample(&config, TOPIC, 5_000, PATIENCE).unwrap();
    assert_eq!(twin.len(), 2_000);
    let mut source = connect(&config, starting(Start::Earliest));
    let mut read = Vec::new();
    for _ in 0..TURNS {
        if read.len() >= twin.len() {
            break;
        }
        if let Event::Batch(batch) = source.next(TICK) {
            for (partition, records) in batch.groups() {
                read.extend(records.map(|record| kafka::Sampled {
                    partition: partition.partition,
                    offset: record.offset,
                    timestamp_ms: record.timestamp_ms,
                    payload: record.payload.map(<[u8]>::to_vec),
                }));
            }
        }
    }
    read.sort_by_key(|record| (record.partition, record.offset));
    assert!(read == twin, "{} and {} records", read.len(), twin.len());
}

#[test]
fn a_batch_outlives_its_source() {
    let (_broker, config, producer) = cluster(1);
    fill(&producer, 1, 0..10);
    let mut source = connect(&config, starting(Start::Earliest));
    let batch = (0..TURNS).find_map(|_| match source.next(TICK) {
        Event::Batch(batch) => Some(batch),
        _ => None,
    });
    source.close(PATIENCE).unwrap();
    let batch = batch.unwrap();
    let mut heard = Heard::default();
    heard.hear(Event::Batch(batch));
    assert!(heard.records > 0);
}

#[test]
fn a_source_runs_on_the_thread_that_it_is_given() {
    let (_broker, config, producer) = cluster(1);
    fill(&producer, 1, 0..10);
    let mut source = connect(&config, starting(Start::Earliest));
    let reader = std::thread::spawn(move || {
        let heard = Heard::until(&mut source, |heard| heard.records >= 10);
        source.close(PATIENCE).unwrap();
        heard.records
    });
    assert_eq!(reader.join().unwrap(), 10);
}

#[test]
fn closing_ends_although_no_broker_answers() {
    let (broker, config, producer) = cluster(1);
    fill(&producer, 1, 0..10);
    let mut source = connect(&config, starting(Start::Earliest));
    Heard::until(&mut source, |heard| heard.records >= 10);
    broker.sleep().unwrap();
    let closed = source.close(Duration::from_secs(2));
    assert!(matches!(closed, Ok(()) | Err(kafka::Error::CloseTimedOut(_))), "{closed:?}");
}

#[test]
fn reading_goes_on_when_the_broker_is_back() {
    let (broker, config, producer) = cluster(2);
    fill(&producer, 2, 0..10);
    let mut source = connect(&config, starting(Start::Earliest));
    let mut heard = Heard::until(&mut source, |heard| heard.records >= 20);
    broker.sleep().unwrap();
    for _ in 0..20 {
        heard.hear(source.next(TICK));
    }
    assert!(source.trouble().is_some());
    broker.wake().unwrap();
    fill(&producer, 2, 10..20);
    heard.more(&mut source, |heard| heard.records >= 40);
    assert!(is_range(&heard.read[&0], 0..20) && is_range(&heard.read[&1], 0..20));
    assert_eq!(source.trouble(), None);
}

#[test]
fn a_topic_that_does_not_exist_is_named_and_read_once_it_does() {
    let broker = MockBroker::start().unwrap();
    let config = config(&broker, &[("topic.metadata.refresh.interval.ms", "500")]);
    let mut source = connect(&config, starting(Start::Earliest));
    for _ in 0..TURNS {
        if source.trouble().is_some() {
            break;
        }
        assert!(matches!(source.next(TICK), Event::Idle));
    }
    assert!(
        source.trouble().is_some_and(|trouble| trouble.contains(TOPIC)),
        "{:?}",
        source.trouble()
    );
    broker.create_topic(TOPIC, 2).unwrap();
    fill(&Producer::connect(&broker.bootstrap_servers()).unwrap(), 2, 0..10);
    Heard::until(&mut source, |heard| heard.records >= 20);
}

#[test]
fn a_sample_is_the_newest_records() {
    let (_broker, config, producer) = cluster(3);
    fill(&producer, 2, 0..100);
    producer.produce(TOPIC, 2, None, 5, None).unwrap();
    producer.flush(PATIENCE).unwrap();
    let records = kafka::sample(&config, TOPIC, 21, PATIENCE).unwrap();
    let offsets: Vec<_> = records.iter().map(|r| (r.partition, r.offset)).collect();
    let expected = (0..2).flat_map(|p| (90..100).map(move |o| (p, o)));
    assert_eq!(offsets, expected.chain([(2, 0)]).collect::<Vec<_>>());
    assert_eq!(records[0].payload.as_deref(), Some(&b"0:90"[..]));
    assert_eq!((records[0].timestamp_ms, &records[20].payload), (1_090, &None));
}

#[test]
fn a_sample_of_an_empty_topic_is_empty() {
    let (_broker, config, _producer) = cluster(3);
    assert_eq!(kafka::sample(&config, TOPIC, 100, PATIENCE).unwrap(), []);
}

#[test]
fn a_sample_says_what_is_wrong() {
    let wait = Duration::from_secs(2);
    let nobody = Config::new(["127.0.0.1:1"]);
    let error = kafka::sample(&nobody, TOPIC, 1, wait).unwrap_err();
    assert!(matches!(error, kafka::Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    let (broker, config, _producer) = cluster(1);
    let error = kafka::sample(&config, "elsewhere", 1, wait).unwrap_err();
    assert!(matches!(error, kafka::Error::UnknownTopic { .. }), "{error}");
    drop(broker);
    assert!(kafka::sample(&config, TOPIC, 1, wait).is_err());
    let error = kafka::sample(&config, "no such topic", 1, wait).unwrap_err();
    assert!(matches!(error, kafka::Error::BadTopic(_)), "{error}");
}
