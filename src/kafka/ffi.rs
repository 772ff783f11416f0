//! The part of librdkafka that the safe crate lacks: batch consumption from a queue of our own, a token
//! for a client that nobody polls, the epochs of leaders, and the ids of topics.

#![expect(
    unsafe_code,
    reason = "rdkafka has no safe calls for these; every call into C is here and in `topics`"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rdkafka::bindings;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::consumer::Consumer;

mod topics;

pub(super) use topics::topic_ids;

/// Hands a client its token. One that is polled asks for it by itself; an `AdminClient` never looks at the
/// queue by which librdkafka asks, and would wait for ever.
///
/// # Errors
/// What librdkafka finds wrong with the token.
pub(super) fn give_token<C: ClientContext>(
    client: &Client<C>,
    token: &OAuthToken,
) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|_| "the token holds a NUL".to_owned());
    let (value, principal) = (text(&token.token)?, text(&token.principal_name)?);
    let mut why: [c_char; 256] = [0; 256];
    // SAFETY: the client is live; both strings end with NUL and are copied during the call; no extensions
    // are given; `why` takes what is said, which librdkafka ends with NUL within the length it is told.
    let code = unsafe {
        bindings::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: it was all zeros and the last of them is never written over, so it ends within itself.
    let why = unsafe { CStr::from_ptr(why.as_ptr()) };
    Err(why.to_string_lossy().into_owned())
}

/// A queue of librdkafka's. It keeps its client alive: C wants queues gone before their client.
pub(super) struct Queue {
    queue: NonNull<bindings::rd_kafka_queue_t>,
    scratch: Vec<*mut bindings::rd_kafka_message_t>,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka's queues may be used from any thread (they lock inside); `scratch` is empty
// between calls, and a call needs `&mut self`.
unsafe impl Send for Queue {}

impl Queue {
    /// A new queue, for messages.
    pub(super) fn new(consumer: &Arc<Consumer>) -> Self {
        // SAFETY: the client lives as long as `consumer`; the reference returned is ours to destroy.
        let queue = unsafe { bindings::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Self::own(queue, consumer).expect("librdkafka aborts when it has no memory")
    }

    /// The queue that `BaseConsumer::poll` reads; `None` without a group.
    pub(super) fn of_consumer(consumer: &Arc<Consumer>) -> Option<Self> {
        // SAFETY: as in `new`.
        let queue =
            unsafe { bindings::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Self::own(queue, consumer)
    }

    fn own(queue: *mut bindings::rd_kafka_queue_t, consumer: &Arc<Consumer>) -> Option<Self> {
        let consumer = Arc::clone(consumer);
        NonNull::new(queue).map(|queue| Self { queue, scratch: Vec::new(), consumer })
    }

    /// Entries waiting.
    pub(super) fn len(&self) -> usize {
        // SAFETY: `queue` is a live queue until drop.
        unsafe { bindings::rd_kafka_queue_length(self.queue.as_ptr()) }
    }

    /// From now on the partition's messages come here; those that it already holds are moved, in
    /// order. Calling it again changes nothing.
    pub(super) fn forward(&self, topic: &CStr, partition: i32) {
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client is live, `topic` is a C string that is only read during the call; the
        // reference returned is destroyed below, and the forwarding holds its own references.
        unsafe {
            let source = bindings::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if !source.is_null() {
                bindings::rd_kafka_queue_forward(source, self.queue.as_ptr());
                bindings::rd_kafka_queue_destroy(source);
            }
        }
    }

    /// At most `most` messages: those that are there, or else the first to arrive within `timeout`
    /// and what came with it. (Asked for many, librdkafka would wait until it has them all.)
    pub(super) fn take(&mut self, most: usize, timeout: Duration) -> Option<Messages> {
        self.scratch.reserve(most);
        let mut count = self.fill(0, most, 0);
        let wait = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        if count == 0 && wait > 0 {
            count = self.fill(0, 1, wait);
            if count == 1 {
                count += self.fill(1, most - 1, 0);
            }
        }
        if count == 0 {
            return None;
        }
        // SAFETY: `fill` wrote the first `count` entries, and `count <= most <= capacity`.
        unsafe { self.scratch.set_len(count) };
        let messages = std::mem::take(&mut self.scratch);
        Some(Messages { messages, parsing: Mutex::new(()), _client: Arc::clone(&self.consumer) })
    }

    fn fill(&mut self, from: usize, most: usize, wait_ms: c_int) -> usize {
        let room = self.scratch.spare_capacity_mut();
        let room = &mut room[from..from + most];
        // SAFETY: `room` is `most` writable pointers; librdkafka writes as many as it returns, each a
        // message that is ours to destroy.
        let count = unsafe {
            bindings::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                wait_ms,
                room.as_mut_ptr().cast(),
                most,
            )
        };
        usize::try_from(count).unwrap_or(0)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: our reference, destroyed once; the client is still alive.
        unsafe { bindings::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// Messages that librdkafka handed over; given back on drop. They hold references inside the client,
/// so they keep it alive.
pub(super) struct Messages {
    messages: Vec<*mut bindings::rd_kafka_message_t>,
    /// Held while C writes into a message.
    parsing: Mutex<()>,
    /// Dropped after them.
    _client: Arc<Consumer>,
}

// SAFETY: the messages are ours alone and only read; librdkafka lets any thread destroy them.
unsafe impl Send for Messages {}
// SAFETY: a shared `Messages` is only read, but for headers, which have a lock.
unsafe impl Sync for Messages {}

impl Messages {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn get(&self, index: usize) -> Message<'_> {
        // SAFETY: every pointer came from librdkafka and is live until drop, which `'_` outlasts not.
        Message(unsafe { &*self.messages[index] })
    }

    /// Names and values, in order; a value may be null.
    pub(super) fn headers(&self, index: usize) -> Vec<(String, Option<&[u8]>)> {
        let _parsing = self.parsing.lock().unwrap_or_else(PoisonError::into_inner);
        let message = self.messages[index];
        let mut found = Vec::new();
        let mut headers = ptr::null_mut();
        // SAFETY: the message is live; C parses its headers into a part of it that nothing else reads,
        // under the lock above. They live with it.
        let error = unsafe { bindings::rd_kafka_message_headers(message, &raw mut headers) };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return found;
        }
        loop {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` is live; the three are written if there is a header of this number.
            let error = unsafe {
                bindings::rd_kafka_header_get_all(
                    headers,
                    found.len(),
                    &raw mut name,
                    &raw mut value,
                    &raw mut length,
                )
            };
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return found;
            }
            // SAFETY: the name is a C string, the value `length` bytes; both live with the message.
            let (name, value) = unsafe {
                let value =
                    (!value.is_null()).then(|| slice::from_raw_parts(value.cast::<u8>(), length));
                (CStr::from_ptr(name), value)
            };
            found.push((name.to_string_lossy().into_owned(), value));
        }
    }

    /// Message `index` and those behind it.
    pub(super) fn from(&self, index: usize) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: as in `get`.
        self.messages[index..].iter().map(|message| Message(unsafe { &**message }))
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for message in &self.messages {
            // SAFETY: ours, live, destroyed once.
            unsafe { bindings::rd_kafka_message_destroy(*message) }
        }
    }
}

/// A message, or an error of a partition in a message's place.
#[derive(Clone, Copy)]
pub(super) struct Message<'a>(&'a bindings::rd_kafka_message_t);

impl<'a> Message<'a> {
    /// Tells topics apart while messages of theirs are held; says nothing afterwards.
    pub(super) fn topic_key(self) -> usize {
        self.0.rkt.addr()
    }

    pub(super) fn topic(self) -> &'a str {
        if self.0.rkt.is_null() {
            return "";
        }
        // SAFETY: a message holds a reference to its topic; the name is a C string that lives with it.
        let name = unsafe { CStr::from_ptr(bindings::rd_kafka_topic_name(self.0.rkt)) };
        name.to_str().unwrap_or("")
    }

    pub(super) fn partition(self) -> i32 {
        self.0.partition
    }

    pub(super) fn offset(self) -> i64 {
        self.0.offset
    }

    /// Whether it is a message, and of the same partition as `other`.
    #[inline]
    pub(super) fn goes_on(self, other: Message<'_>) -> bool {
        self.0.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
            && self.0.rkt == other.0.rkt
            && self.0.partition == other.0.partition
    }

    #[inline]
    pub(super) fn payload_len(self) -> usize {
        self.0.len
    }

    pub(super) fn error(self) -> Option<(RDKafkaErrorCode, String)> {
        if self.0.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: the message is live; the text lives with it and is copied.
        let text = unsafe {
            let text = bindings::rd_kafka_message_errstr(self.0);
            if text.is_null() { None } else { Some(CStr::from_ptr(text)) }
        };
        let text = text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
        Some((self.0.err.into(), text))
    }

    /// Epoch of the leader that wrote it; `None` of brokers that do not tell.
    pub(super) fn leader_epoch(self) -> Option<i32> {
        // SAFETY: the message is live and only read.
        let epoch = unsafe { bindings::rd_kafka_message_leader_epoch(self.0) };
        (epoch >= 0).then_some(epoch)
    }

    /// ms since the epoch; -1 when the record has none.
    pub(super) fn timestamp_ms(self) -> i64 {
        // SAFETY: the message is live; the kind of time stamp may be null.
        unsafe { bindings::rd_kafka_message_timestamp(self.0, ptr::null_mut()) }
    }

    pub(super) fn key(self) -> Option<&'a [u8]> {
        if self.0.key.is_null() {
            return None;
        }
        // SAFETY: librdkafka says that `key` is `key_len` readable bytes as long as the message lives.
        Some(unsafe { slice::from_raw_parts(self.0.key.cast::<u8>(), self.0.key_len) })
    }

    pub(super) fn payload(self) -> Option<&'a [u8]> {
        if self.0.payload.is_null() {
            return None;
        }
        // SAFETY: librdkafka says that `payload` is `len` readable bytes as long as the message lives.
        Some(unsafe { slice::from_raw_parts(self.0.payload.cast::<u8>(), self.0.len) })
    }
}

/// First and next-to-be-written offset as the last fetch told them; asks no broker.
pub(super) fn cached_watermarks(
    consumer: &Consumer,
    topic: &CStr,
    partition: i32,
) -> Option<(i64, i64)> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is live, `topic` is only read during the call, the two numbers are written.
    let error = unsafe {
        bindings::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some((low, high))
}

/// Lets groups of the mock cluster inside this client form at once instead of after three seconds.
pub(super) fn form_groups_at_once<C: ClientContext>(client: &Client<C>) {
    // SAFETY: the client is live; the cluster belongs to it and is null when it has none.
    unsafe {
        let cluster = bindings::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
    }
}
