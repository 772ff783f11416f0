//! Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body`, one per key.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

const PREFIX: &str = "whsec_";

/// Secrets are pasted with and without their `=`.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys that a message is signed with: two while one replaces the other.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys(Vec<Vec<u8>>);

/// What is wrong with the n-th secret; never the secret itself.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum BadKey {
    #[error("there is no signing secret in it")]
    Missing,
    #[error("signing secret {0} must begin with `whsec_`")]
    Prefix(usize),
    #[error("signing secret {0} is not base64 after `whsec_`")]
    Base64(usize),
    #[error("signing secret {0} holds {1} bytes; 24 to 64 are needed")]
    Length(usize, usize),
}

impl Keys {
    /// Secrets separated by white space.
    pub(crate) fn parse(text: &str) -> Result<Self, BadKey> {
        let keys: Result<Vec<_>, _> =
            text.split_whitespace().zip(1..).map(|(secret, n)| parse_key(secret, n)).collect();
        let keys = keys?;
        if keys.is_empty() { Err(BadKey::Missing) } else { Ok(Self(keys)) }
    }

    /// The value of `webhook-signature`.
    pub(crate) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signatures: Vec<_> =
            self.0.iter().map(|key| signature(key, id, timestamp, body)).collect();
        signatures.join(" ")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn parse_key(secret: &str, n: usize) -> Result<Vec<u8>, BadKey> {
    let encoded = secret.strip_prefix(PREFIX).ok_or(BadKey::Prefix(n))?;
    let key = LENIENT.decode(encoded).map_err(|_| BadKey::Base64(n))?;
    if (24..=64).contains(&key.len()) { Ok(key) } else { Err(BadKey::Length(n, key.len())) }
}

fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use super::*;

    #[test]
    fn signatures_are_those_of_the_reference_library() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let keys = Keys::parse(secret).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let theirs = standardwebhooks::Webhook::new(secret).unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        assert_eq!(
            keys.sign(id, 1_614_265_330, body),
            theirs.sign(id, 1_614_265_330, body).unwrap()
        );
        // The example of the specification's own test suite.
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(keys.sign(id, 1_614_265_330, body), expected);
    }

    #[test]
    fn every_key_signs_while_one_replaces_the_other() {
        let old = format!("whsec_{}", STANDARD.encode([1u8; 24]));
        let new = format!("whsec_{}", STANDARD_NO_PAD.encode([2u8; 64]));
        let both = Keys::parse(&format!("{old}\n{new}\n")).unwrap();
        let signed = both.sign("a", 1, b"{}");
        let alone = |secret| Keys::parse(secret).unwrap().sign("a", 1, b"{}");
        assert_eq!(signed, format!("{} {}", alone(&old), alone(&new)));
    }

    #[test]
    fn a_bad_secret_is_described_but_not_repeated() {
        let short = format!("whsec_{}", STANDARD.encode([1u8; 23]));
        for (text, expected) in [
            ("", BadKey::Missing),
            ("hunter2", BadKey::Prefix(1)),
            ("whsec_!!!", BadKey::Base64(1)),
            (short.as_str(), BadKey::Length(1, 23)),
        ] {
            let error = Keys::parse(text).unwrap_err();
            assert_eq!(error, expected);
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
    }
}
