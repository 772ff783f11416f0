//! Stretches of topics, read by a process of its own whose memory is limited: what would end the daemon
//! while it reads them ends only that process.
//!
//! librdkafka allocates what a gzip, lz4 or snappy batch claims to hold, and aborts when it can't. The
//! reader says on its standard output what it has come to, so that its end tells where.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rdkafka::Timestamp;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use serde::{Deserialize, Serialize};

use crate::codec::{Reader, Truncated, Writer};
use crate::kafka::Config;
use crate::kafka::OAuth;
use crate::kafka::message::MessageBatch;
use crate::offsets::TopicPartition;
use crate::setting::Secret;

mod reader;

pub use reader::main as reader_main;

/// Records that are handed over at once.
const BATCH: usize = 4096;
/// Longer is no word of a reader: it hands over one record, and no record is larger.
const WORD_MAX: u32 = 1 << 30;
/// What a reader needs of the environment to find its libraries and certificates.
const ENVIRONMENT: [&str; 6] =
    ["PATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ", "LLVM_PROFILE_FILE"];

/// Where to begin in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    pub topic: String,
    pub partition: i32,
    /// Where the log begins or ends instead, if this is outside of it.
    pub from: i64,
}

impl Stretch {
    pub fn new(partition: &TopicPartition, from: i64) -> Self {
        Self { topic: partition.topic.to_string(), partition: partition.partition, from }
    }
}

/// How stretches are read.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct How {
    /// One batch a request, so that nothing is lost with a batch that cannot be read behind it.
    pub one_by_one: bool,
    /// Records are handed over.
    pub whole: bool,
    /// A stretch is over with its first record.
    pub first: bool,
    /// Bytes of payload after which a stretch is over.
    pub most_bytes: u64,
    /// Bytes that reading may take beyond what connecting took.
    pub room: u64,
}

/// What a reader is asked.
#[derive(Serialize, Deserialize)]
struct Request {
    brokers: Vec<String>,
    group: String,
    oauth: Option<OAuth>,
    /// Apart, since it is written nowhere else.
    client_secret: Option<String>,
    oauth_token_file: Option<PathBuf>,
    options: BTreeMap<String, String>,
    stretches: Vec<Stretch>,
    how: How,
    parent: u32,
}

impl Request {
    fn new(config: &Config, stretches: &[Stretch], how: How) -> Self {
        let secret = config.oauth.as_ref().and_then(|oauth| oauth.client_secret.as_ref());
        Self {
            brokers: config.brokers.clone(),
            group: config.group.clone(),
            oauth: config.oauth.clone(),
            client_secret: secret.map(|secret| secret.expose().to_owned()),
            oauth_token_file: config.oauth_token_file.clone(),
            options: config.options.clone(),
            stretches: stretches.to_vec(),
            how,
            parent: std::process::id(),
        }
    }

    fn config(&self) -> Config {
        let secret = self.client_secret.clone().map(Secret::new);
        let oauth = self.oauth.clone().map(|oauth| OAuth { client_secret: secret, ..oauth });
        let config = Config {
            group: self.group.clone(),
            oauth,
            oauth_token_file: self.oauth_token_file.clone(),
            options: self.options.clone(),
            ..Config::new(self.brokers.iter().cloned())
        };
        // It joins nothing.
        config.in_group(&self.group)
    }
}

/// What a reader says; all but the last of one of its stretches, by number.
#[derive(Debug)]
pub enum Said {
    /// It begins, at this offset of a log `[low, high)`.
    Begun { stretch: usize, from: i64, low: i64, high: i64 },
    /// Records, where it hands them over.
    Records { batch: MessageBatch, next: i64 },
    /// Everything before this offset was read.
    Came { next: i64 },
    /// What comes next can't be decoded.
    Undecodable,
    /// A stretch is over: at the end of the log, or with what was asked for.
    Over { end: bool },
    /// Not what was read, but what it is read from: brokers that do not answer, and the like.
    Failed(String),
}

/// How a reader ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With everything read.
    Done,
    /// By a signal, or as no reader of ours ends by itself.
    Died(String),
}

/// One word, as it goes through the pipe.
enum Word {
    Begun { stretch: usize, from: i64, low: i64, high: i64 },
    Record(OwnedMessage),
    Came { next: i64 },
    Undecodable,
    Over { end: bool },
    Failed(String),
}

/// A reader at work; ended with this.
pub struct Probe {
    child: Child,
    words: BufReader<ChildStdout>,
    stretches: Vec<Stretch>,
    /// The stretch that it is at.
    at: usize,
    /// What came behind records.
    next: Option<Word>,
}

impl Probe {
    /// Starts `program`, a driftd, to read stretches one after the other.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(
        program: &Path,
        config: &Config,
        stretches: &[Stretch],
        how: How,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("topic-reader").env_clear();
        for name in ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // An arena for each thread would count as memory that reading takes.
        command.env("MALLOC_ARENA_MAX", "1");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let request = serde_json::to_vec(&Request::new(config, stretches, how))?;
        if let Some(mut stdin) = stdin {
            // One that died does not read; its end says more than the broken pipe.
            stdin.write_all(&request).ok();
        }
        let Some(stdout) = stdout else { return Err(io::Error::other("no standard output")) };
        let words = BufReader::with_capacity(1 << 16, stdout);
        Ok(Self { child, words, stretches: stretches.to_vec(), at: 0, next: None })
    }

    /// What it says next; `None` when it has ended. Waits as long as the reader has patience.
    pub fn hear(&mut self) -> Option<Said> {
        let word = self.next.take().or_else(|| self.word())?;
        Some(match word {
            Word::Record(message) => self.records(message)?,
            Word::Begun { stretch, from, low, high } => {
                self.at = stretch;
                Said::Begun { stretch, from, low, high }
            }
            Word::Came { next } => Said::Came { next },
            Word::Undecodable => Said::Undecodable,
            Word::Over { end } => Said::Over { end },
            Word::Failed(why) => Said::Failed(why),
        })
    }

    /// This record and those behind it that are there already.
    fn records(&mut self, first: OwnedMessage) -> Option<Said> {
        let mut messages = vec![first];
        while messages.len() < BATCH && !self.words.buffer().is_empty() {
            match self.word() {
                Some(Word::Record(message)) => messages.push(message),
                Some(other) => {
                    self.next = Some(other);
                    break;
                }
                None => break,
            }
        }
        let stretch = self.stretches.get(self.at)?;
        let partition = TopicPartition::new(stretch.topic.as_str(), stretch.partition);
        let (batch, next) = MessageBatch::copied(&partition, messages)?;
        Some(Said::Records { batch, next })
    }

    /// Nothing where the pipe ends, be it within a word.
    fn word(&mut self) -> Option<Word> {
        let mut length = [0; 4];
        self.words.read_exact(&mut length).ok()?;
        let length = u32::from_le_bytes(length);
        if length > WORD_MAX {
            return None;
        }
        let mut bytes = Vec::new();
        let mut word = (&mut self.words).take(u64::from(length));
        word.read_to_end(&mut bytes).ok()?;
        let stretch = self.stretches.get(self.at)?;
        decode(&mut Reader::new(&bytes), stretch).ok()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn end(mut self) -> io::Result<End> {
        // What it still has to say would keep it waiting.
        while let Ok(rest) = self.words.fill_buf() {
            let length = rest.len();
            if length == 0 {
                break;
            }
            self.words.consume(length);
        }
        let status = self.child.wait()?;
        Ok(if status.success() { End::Done } else { End::Died(status.to_string()) })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn decode(input: &mut Reader<'_>, stretch: &Stretch) -> Result<Word, Truncated> {
    Ok(match input.u64()? {
        0 => Word::Begun {
            stretch: usize::try_from(input.u64()?).map_err(|_| Truncated)?,
            from: input.i64()?,
            low: input.i64()?,
            high: input.i64()?,
        },
        1 => Word::Record(record(input, stretch)?),
        2 => Word::Came { next: input.i64()? },
        3 => Word::Undecodable,
        4 => Word::Over { end: input.u64()? == 1 },
        5 => Word::Failed(input.str()?.to_owned()),
        _ => return Err(Truncated),
    })
}

fn record(input: &mut Reader<'_>, stretch: &Stretch) -> Result<OwnedMessage, Truncated> {
    let (offset, timestamp) = (input.i64()?, input.i64()?);
    let key = optional(input)?.map(<[u8]>::to_vec);
    let payload = optional(input)?.map(<[u8]>::to_vec);
    let mut headers = OwnedHeaders::new();
    let count = input.u64()?;
    for _ in 0..count {
        let key = input.str()?;
        headers = headers.insert(Header { key, value: optional(input)? });
    }
    let timestamp =
        if timestamp < 0 { Timestamp::NotAvailable } else { Timestamp::CreateTime(timestamp) };
    let headers = (count > 0).then_some(headers);
    let (topic, partition) = (stretch.topic.clone(), stretch.partition);
    Ok(OwnedMessage::new(payload, key, topic, timestamp, partition, offset, headers))
}

fn optional<'a>(input: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Truncated> {
    Ok(if input.u64()? == 1 { Some(input.bytes()?) } else { None })
}

fn write_optional(out: &mut Writer, value: Option<&[u8]>) {
    out.u64(u64::from(value.is_some()));
    if let Some(value) = value {
        out.bytes(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_is_asked_comes_whole_with_its_secrets() {
        let mut config = Config::new(["kafka:9092"]);
        config.options.insert("sasl.password".to_owned(), "swordfish".to_owned());
        config.options.insert("group.instance.id".to_owned(), "one".to_owned());
        let oauth = r#"{"token_url": "https://id", "client_id": "me", "client_secret": "hush"}"#;
        config.oauth = Some(serde_json::from_str(oauth).unwrap());
        let stretch = Stretch::new(&TopicPartition::new("t", 3), 7);
        let asked = Request::new(&config, std::slice::from_ref(&stretch), How::default());
        let heard: Request = serde_json::from_slice(&serde_json::to_vec(&asked).unwrap()).unwrap();
        assert_eq!(heard.stretches, [stretch]);
        config.options.remove("group.instance.id");
        assert_eq!(heard.config(), config);
    }
}
