//! The process that reads: request on standard input, what it comes to on standard output, its memory
//! limited once it is connected.

use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio::time::Instant;

use crate::codec::Writer;
use crate::kafka::consumer;
use crate::kafka::consumer::{Consumer, Signal};
use crate::kafka::probe::{How, Request, Stretch, write_optional};

/// Longest wait for one answer of a broker.
const ASK: Duration = Duration::from_secs(2);
/// So long nothing may come before the reader gives up.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// Queued ahead, in KiB: what lies in the queue is not yet told of.
const QUEUE_KIB: &str = "4096";

/// Runs as the reader, the hidden command `topic-reader`. `confine(parent, room)` is called once
/// connected: from then on the process may take so many bytes more, and does not outlive `parent`.
pub fn main(confine: impl FnOnce(u32, u64) -> io::Result<()>) -> ExitCode {
    let mut out = Out(BufWriter::new(io::stdout().lock()));
    match run(confine, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let told = out.say(5, |word| word.str(&why.to_string())).and_then(|()| out.0.flush());
            if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

/// Words on their way to the parent.
struct Out<W: Write>(BufWriter<W>);

impl<W: Write> Out<W> {
    fn say(&mut self, kind: u64, fill: impl FnOnce(&mut Writer)) -> io::Result<()> {
        let mut word = Writer::default();
        word.u64(kind);
        fill(&mut word);
        let bytes = word.into_bytes();
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.0.write_all(&length.to_le_bytes())?;
        self.0.write_all(&bytes)
    }
}

fn run<W: Write>(
    confine: impl FnOnce(u32, u64) -> io::Result<()>,
    out: &mut Out<W>,
) -> io::Result<()> {
    let mut json = Vec::new();
    io::stdin().lock().read_to_end(&mut json)?;
    let request: Request = serde_json::from_slice(&json)?;
    let reading = Reading::open(&request)?;
    let mut bounds = Vec::with_capacity(request.stretches.len());
    for stretch in &request.stretches {
        bounds.push(reading.bounds(stretch)?);
    }
    confine(request.parent, request.how.room)?;
    for (number, (stretch, (low, high))) in request.stretches.iter().zip(bounds).enumerate() {
        let from = stretch.from.clamp(low, high);
        out.say(0, |word| {
            word.u64(number as u64);
            [from, low, high].into_iter().for_each(|offset| word.i64(offset));
        })?;
        out.0.flush()?;
        let end = from >= high || reading.read(stretch, from, out)?;
        out.say(4, |word| word.u64(u64::from(end)))?;
    }
    out.0.flush()
}

struct Reading {
    consumer: Arc<Consumer>,
    how: How,
}

impl Reading {
    fn open(request: &Request) -> io::Result<Self> {
        let config = request.config();
        let mut client = config.client_config().map_err(io::Error::other)?;
        client.set("enable.partition.eof", "true");
        client.set("queued.max.messages.kbytes", QUEUE_KIB);
        // Before a stretch is fetched the answer to the last request of the one before is waited for.
        client.set("fetch.wait.max.ms", "10");
        if request.how.one_by_one {
            // A broker gives a whole batch however little is asked for.
            client.remove("max.partition.fetch.bytes");
            client.set("fetch.message.max.bytes", "1").set("queued.min.messages", "1");
        }
        let consumer = consumer::create(&config, &client).map_err(io::Error::other)?;
        Ok(Self { consumer: Arc::new(consumer), how: request.how })
    }

    /// First and next-to-be-written offset.
    fn bounds(&self, stretch: &Stretch) -> io::Result<(i64, i64)> {
        let until = Instant::now() + PATIENCE;
        loop {
            // Serves the token of OAUTHBEARER, without which nothing connects.
            self.consumer.poll(Duration::ZERO);
            match self.consumer.fetch_watermarks(&stretch.topic, stretch.partition, ASK) {
                Ok(bounds) => return Ok(bounds),
                // It is gone, and with it whatever was in it.
                Err(KafkaError::MetadataFetch(
                    RDKafkaErrorCode::UnknownPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownTopicOrPartition,
                )) => return Ok((0, 0)),
                Err(error) if Instant::now() >= until => return Err(self.trouble(&error)),
                Err(_) => {}
            }
        }
    }

    /// The last thing that librdkafka complained about says more than that time ran out.
    fn trouble(&self, error: &KafkaError) -> io::Error {
        let signals = self.consumer.context().take_signals();
        let told = signals.into_iter().rev().find_map(|signal| match signal {
            Signal::Trouble(why) => Some(why),
            Signal::Assign(_) | Signal::Revoke(_) | Signal::Topic(..) => None,
        });
        io::Error::other(told.unwrap_or_else(|| error.to_string()))
    }

    /// Tells of a stretch's records; whether that came to the end of the log.
    fn read<W: Write>(&self, stretch: &Stretch, from: i64, out: &mut Out<W>) -> io::Result<bool> {
        let mut list = TopicPartitionList::new();
        let added =
            list.add_partition_offset(&stretch.topic, stretch.partition, Offset::Offset(from));
        added.and_then(|()| self.consumer.assign(&list)).map_err(io::Error::other)?;
        let (mut until, mut bytes) = (Instant::now() + PATIENCE, 0);
        loop {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    // Of the stretch before, or of the batch's part before `from`.
                    if !is_of(stretch, &message) || message.offset() < from {
                        continue;
                    }
                    until = Instant::now() + PATIENCE;
                    bytes += message.payload_len() as u64;
                    self.tell(&message, out)?;
                    if self.how.first || bytes >= self.how.most_bytes {
                        // What comes next in it must not end the reader of another.
                        self.consumer.unassign().map_err(io::Error::other)?;
                        return Ok(false);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition)))
                    if partition == stretch.partition =>
                {
                    return Ok(true);
                }
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::BadMessage
                    | RDKafkaErrorCode::BadCompression
                    | RDKafkaErrorCode::InvalidMessage
                    | RDKafkaErrorCode::NotImplemented,
                ))) => {
                    out.say(3, |_| {})?;
                    return Ok(false);
                }
                Some(Err(error)) if Instant::now() >= until => return Err(self.trouble(&error)),
                None if Instant::now() >= until => {
                    return Err(self.trouble(&KafkaError::NoMessageReceived));
                }
                Some(Err(_)) | None => out.0.flush()?,
            }
        }
    }

    fn tell<W: Write>(&self, message: &BorrowedMessage<'_>, out: &mut Out<W>) -> io::Result<()> {
        if self.how.whole {
            out.say(1, |word| write_record(word, message))?;
        } else {
            out.say(2, |word| word.i64(message.offset() + 1))?;
        }
        // What comes next may end us, and this with it.
        if self.how.one_by_one { out.0.flush() } else { Ok(()) }
    }
}

fn is_of(stretch: &Stretch, message: &BorrowedMessage<'_>) -> bool {
    message.partition() == stretch.partition && message.topic() == stretch.topic
}

fn write_record(word: &mut Writer, message: &BorrowedMessage<'_>) {
    word.i64(message.offset());
    word.i64(message.timestamp().to_millis().unwrap_or(-1));
    write_optional(word, message.key());
    write_optional(word, message.payload());
    let headers = message.headers();
    word.u64(headers.map_or(0, |headers| headers.count() as u64));
    for header in headers.into_iter().flat_map(|headers| headers.iter()) {
        word.str(header.key);
        write_optional(word, header.value);
    }
}
