//! What a GitHub App shows to say that it is itself: a JSON Web Token, signed by RS256 (RFC 7518, 3.3).

use std::fmt;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use thiserror::Error;

use crate::setting::Secret;

/// For clocks that are ahead of GitHub's: it refuses what is issued in its future.
const ISSUED_BEFORE_S: i64 = 60;
/// GitHub refuses more than ten minutes.
const LASTS_S: i64 = 600;

/// A private key that signs.
pub(super) struct SigningKey(KeyPair);

/// Why a text is no key of an app; it follows the name of the file.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum BadKey {
    #[error("holds no private key in PEM; GitHub's begins with -----BEGIN RSA PRIVATE KEY-----")]
    NotPem,
    #[error("holds a key that is locked by a password; GitHub's own is not")]
    Locked,
    #[error("holds a key that is not RSA, as those of GitHub Apps are")]
    NotRsa,
    #[error("holds a key that cannot be used ({0}); it has to be RSA of 2048 to 8192 bits")]
    Unusable(String),
}

/// The key is never shown.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl SigningKey {
    /// Reads PKCS#1, as GitHub hands it out, or PKCS#8. Line ends may be written as `\n`, which variables of
    /// the environment often have.
    ///
    /// # Errors
    /// It holds no such key.
    pub(super) fn parse(pem: &str) -> Result<Self, BadKey> {
        if pem.contains("ENCRYPTED") {
            return Err(BadKey::Locked);
        }
        let pem = pem.replace("\\n", "\n");
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| BadKey::NotPem)?;
        let parsed = match &der {
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(BadKey::NotRsa),
        };
        parsed.map(Self).map_err(|why| match why.to_string() {
            why if why == "WrongAlgorithm" => BadKey::NotRsa,
            why => BadKey::Unusable(why),
        })
    }

    /// Says at `now_s` (seconds since the epoch) who the issuer is: for ten minutes, the first of them past.
    ///
    /// # Errors
    /// The key can't sign.
    pub(super) fn jwt(&self, issuer: &str, now_s: i64) -> Result<Secret, Unspecified> {
        let encoded = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let issued_s = now_s.saturating_sub(ISSUED_BEFORE_S);
        let header = encoded(json!({"alg": "RS256", "typ": "JWT"}));
        let claims = encoded(json!({
            "iat": issued_s,
            "exp": issued_s.saturating_add(LASTS_S),
            "iss": issuer,
        }));
        let text = format!("{header}.{claims}");
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)?;
        Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::KeyPair as _;
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let base64 = STANDARD.encode(der);
        let lines: Vec<&str> = (0..base64.len())
            .step_by(64)
            .map(|at| &base64[at..base64.len().min(at + 64)])
            .collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    #[test]
    fn an_apps_key_is_read_in_both_forms_and_signs_for_ten_minutes() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = pair.as_der().unwrap();
        let whole = der.as_ref();
        let public = pair.public_key().as_ref().to_vec();
        // What PKCS#8 puts around a key of this size takes 26 bytes.
        let pkcs1 = pem("RSA PRIVATE KEY", &whole[26..]);
        let escaped = pkcs1.replace('\n', "\\n");
        for text in [pem("PRIVATE KEY", whole), pkcs1, escaped] {
            let key = SigningKey::parse(&text).unwrap();
            assert!(!format!("{key:?}").contains("MII"));
            let jwt = key.jwt("Iv23liAbC", 1_700_000_000).unwrap();
            let (said, signature) = jwt.expose().rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public);
            public.verify(said.as_bytes(), &signature).unwrap();
            public.verify(format!("{said}x").as_bytes(), &signature).unwrap_err();
            let (header, claims) = said.split_once('.').unwrap();
            let decoded = |part: &str| -> Value {
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
            };
            assert_eq!(decoded(header), json!({"alg": "RS256", "typ": "JWT"}));
            let expected = json!({"iat": 1_699_999_940, "exp": 1_700_000_540, "iss": "Iv23liAbC"});
            assert_eq!(decoded(claims), expected);
        }
    }

    #[test]
    fn what_is_no_key_of_an_app_says_what_it_is() {
        let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let garbage = pem("RSA PRIVATE KEY", b"not a key");
        let of = |text: &str| SigningKey::parse(text).unwrap_err().to_string();
        assert!(of("").contains("no private key in PEM"));
        assert!(of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").contains("PEM"));
        assert!(of(&ec).contains("not RSA"), "{}", of(&ec));
        assert!(of(&garbage).contains("cannot be used"), "{}", of(&garbage));
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
        assert!(of(locked).contains("locked by a password"));
    }
}
