//! What librdkafka complains about, with what to do about it where that is known.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::Error;

/// Signs in librdkafka's text, and what helps; the first that is found counts.
const REMEDIES: [(&str, &str); 12] = [
    (
        "certificate verify failed",
        "the broker's certificate is not of an authority in kafka.options.ssl.ca.location (without it, the \
         system's), has expired, or is for another host",
    ),
    (
        "alert certificate expired",
        "our certificate in kafka.options.ssl.certificate.location has expired: renew it",
    ),
    (
        "alert certificate unknown",
        "the broker does not take our certificate in kafka.options.ssl.certificate.location: has it expired, or \
         is its authority not one of the broker's?",
    ),
    (
        "alert certificate required",
        "the broker asks for our certificate: set kafka.options.ssl.certificate.location and ssl.key.location",
    ),
    (
        "alert bad certificate",
        "the broker asks for a certificate that it trusts: see kafka.options.ssl.certificate.location and \
         ssl.key.location",
    ),
    (
        "alert unknown ca",
        "the broker does not trust the authority of kafka.options.ssl.certificate.location",
    ),
    (
        "SASL mechanism OAUTHBEARER",
        "the broker does not take the token of kafka.oauth_token_file or kafka.oauth: is it expired, or for another \
         audience?",
    ),
    (
        "invalid_token",
        "the broker does not take the token of kafka.oauth_token_file or kafka.oauth",
    ),
    (
        "SASL authentication error",
        "check kafka.options.sasl.username, and sasl.password or the file in sasl.password_file",
    ),
    (
        "incorrect security.protocol",
        "kafka.options.security.protocol is not what this listener of the broker speaks",
    ),
    (
        "Failed to acquire SASL OAUTHBEARER token",
        "see kafka.oauth_token_file, which something else must keep fresh, or kafka.oauth",
    ),
    ("Topic authorization failed", "grant Read on that topic"),
];

/// Said of a group without its name.
const GROUP_DENIED: &str = "Group authorization failed";

/// Whether it is only what follows from the complaint before it.
pub(crate) fn says_little(text: &str) -> bool {
    text.contains("brokers are down")
}

/// A request that brokers did not do, and the right that they may have missed.
pub(super) fn refused(doing: String, cause: KafkaError, right: impl FnOnce() -> String) -> Error {
    let code = match &cause {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    };
    match code {
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed,
        ) => Error::Denied { doing, right: right() },
        Some(_) | None => Error::Request { doing, cause },
    }
}

/// An error of a member of `group`, as it is told.
pub(super) fn told(error: &KafkaError, reason: &str, group: &str) -> String {
    let text = format!("{error}: {reason}");
    if text.contains(GROUP_DENIED) {
        return format!("{text}; grant Read on group `{group}`");
    }
    // All that librdkafka says where plain text meets TLS, and where nobody listens.
    let any = says_little(&text).then_some(
        "is kafka.brokers right, and kafka.options.security.protocol what these listeners speak?",
    );
    match remedy(&text).or(any) {
        Some(remedy) => format!("{text}; {remedy}"),
        None => text,
    }
}

/// What to do about a complaint that says enough.
pub(super) fn remedy(text: &str) -> Option<&'static str> {
    if text.contains(GROUP_DENIED) {
        return Some(GROUP_DENIED);
    }
    REMEDIES.iter().find(|(sign, _)| text.contains(sign)).map(|(_, remedy)| *remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_say_what_to_do() {
        let told =
            |reason: &str| told(&KafkaError::Global(RDKafkaErrorCode::Authentication), reason, "g");
        let expired = told("SSL routines::ssl/tls alert certificate expired");
        assert!(expired.contains("renew it"), "{expired}");
        let down = told("1/1 brokers are down");
        assert!(down.contains("security.protocol") && remedy("1/1 brokers are down").is_none());
        assert!(told("something new").ends_with("something new"));
        let denied = told("JoinGroup failed: Broker: Group authorization failed");
        assert!(denied.ends_with("grant Read on group `g`") && remedy(&denied).is_some());
    }
}
