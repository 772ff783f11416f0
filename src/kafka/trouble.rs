//! What librdkafka complains about, with what to do about it where that is known.

use rdkafka::error::KafkaError;

/// Signs in librdkafka's text, and what helps; the first that is found counts.
const REMEDIES: [(&str, &str); 11] = [
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
        "the broker does not take the token in kafka.oauth_token_file: is it expired, or for another audience?",
    ),
    ("invalid_token", "the broker does not take the token in kafka.oauth_token_file"),
    (
        "SASL authentication error",
        "check kafka.options.sasl.username, and sasl.password or the file in sasl.password_file",
    ),
    (
        "incorrect security.protocol",
        "kafka.options.security.protocol is not what this listener of the broker speaks",
    ),
    ("Group authorization failed", "grant Read on the group of kafka.group"),
];

/// An error as it is told.
pub(super) fn told(error: &KafkaError, reason: &str) -> String {
    let text = format!("{error}: {reason}");
    match remedy(&text) {
        Some(remedy) => format!("{text}; {remedy}"),
        None => text,
    }
}

/// What to do about a complaint.
pub(super) fn remedy(text: &str) -> Option<&'static str> {
    REMEDIES.iter().find(|(sign, _)| text.contains(sign)).map(|(_, remedy)| *remedy)
}
