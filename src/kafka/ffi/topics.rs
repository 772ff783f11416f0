//! What brokers say of topics that no safe call tells.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::bindings;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::consumer::Consumer;

/// What this broker says of topics: the id of each, `None` where it knows of no ids. Blocks up to `timeout`.
///
/// # Errors
/// What the broker, or librdkafka for it, has said; also of one topic alone.
pub(crate) fn topic_ids(
    consumer: &Consumer,
    broker: i32,
    topics: &[&CStr],
    timeout: Duration,
) -> Result<Vec<Option<[u8; 16]>>, RDKafkaErrorCode> {
    let client = consumer.client().native_ptr();
    let wait = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let mut names: Vec<*const c_char> = topics.iter().map(|topic| topic.as_ptr()).collect();
    // SAFETY: the client outlives the call. Names, options and the collection are copied by the request and
    // freed here. The queue is ours, and destroyed after the event that was taken from it.
    let event = unsafe {
        let options = bindings::rd_kafka_AdminOptions_new(
            client,
            bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        bindings::rd_kafka_AdminOptions_set_request_timeout(options, wait, ptr::null_mut(), 0);
        // Else the controller is waited for, which any other broker can do without.
        bindings::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
        let asked =
            bindings::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let queue = bindings::rd_kafka_queue_new(client);
        bindings::rd_kafka_DescribeTopics(client, asked, options, queue);
        bindings::rd_kafka_TopicCollection_destroy(asked);
        bindings::rd_kafka_AdminOptions_destroy(options);
        let event = bindings::rd_kafka_queue_poll(queue, wait);
        bindings::rd_kafka_queue_destroy(queue);
        event
    };
    if event.is_null() {
        return Err(RDKafkaErrorCode::OperationTimedOut);
    }
    // SAFETY: the event is live until it is destroyed here, once; what it holds lives as long and is copied.
    unsafe {
        let ids = ids_of(event);
        bindings::rd_kafka_event_destroy(event);
        ids
    }
}

/// SAFETY: the event is live.
unsafe fn ids_of(
    event: *mut bindings::rd_kafka_event_t,
) -> Result<Vec<Option<[u8; 16]>>, RDKafkaErrorCode> {
    let done = |code: RDKafkaRespErr| match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(RDKafkaErrorCode::from(code)),
    };
    // SAFETY: of a live event, and of what it holds; `told` has `count` entries. An event of another kind
    // has no result, which is null.
    unsafe {
        done(bindings::rd_kafka_event_error(event))?;
        let result = bindings::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let told = bindings::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let told = if count == 0 { &[] } else { slice::from_raw_parts(told, count) };
        let id = |&topic: &*const bindings::rd_kafka_TopicDescription_t| {
            let error = bindings::rd_kafka_TopicDescription_error(topic);
            done(bindings::rd_kafka_error_code(error))?;
            let id = bindings::rd_kafka_TopicDescription_topic_id(topic);
            let high = bindings::rd_kafka_Uuid_most_significant_bits(id);
            let low = bindings::rd_kafka_Uuid_least_significant_bits(id);
            let bits = (u128::from(high.cast_unsigned()) << 64) | u128::from(low.cast_unsigned());
            Ok((bits != 0).then_some(bits.to_be_bytes()))
        };
        told.iter().map(id).collect()
    }
}
