//! Files that librdkafka reads once, when a client is made: seen to change, and tried before they count.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::kafka::Config;
use crate::kafka::options;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Passwords, keys and certificates as they were when a client was made. The token of OAUTHBEARER is
/// not among them: librdkafka asks for that again by itself.
pub(crate) struct Renewal {
    config: Config,
    files: Vec<PathBuf>,
    digest: [u8; 32],
    looked: Instant,
    /// The last contents that could not be used.
    refused: Option<[u8; 32]>,
}

impl Renewal {
    pub(crate) fn of(config: &Config) -> Self {
        let files = options::files(config);
        let digest = digest(&files);
        Self { config: config.clone(), files, digest, looked: Instant::now(), refused: None }
    }

    /// Whether a new client would be another one: the files have changed, and can be used.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        if self.files.is_empty() || now.saturating_duration_since(self.looked) < LOOK {
            return false;
        }
        self.looked = now;
        let digest = digest(&self.files);
        if digest == self.digest || self.refused == Some(digest) {
            return false;
        }
        // A certificate is replaced before its key, or after.
        match self.config.check() {
            Ok(()) => true,
            Err(faults) => {
                let why = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                tracing::warn!(
                    why,
                    "changed files of kafka.options can't be used; those from before are"
                );
                self.refused = Some(digest);
                false
            }
        }
    }
}

/// Of all contents; a file that is not there counts as empty.
fn digest(files: &[PathBuf]) -> [u8; 32] {
    let mut all = Sha256::new();
    for file in files {
        all.update(Sha256::digest(fs::read(file).unwrap_or_default()));
    }
    all.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_password_is_due_once_it_can_be_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "old").unwrap();
        let mut config = Config::new(["kafka:9092"]);
        let path = file.path().to_str().unwrap().to_owned();
        config.options.insert("sasl.password_file".to_owned(), path);
        let mut renewal = Renewal::of(&config);
        let start = renewal.looked;
        assert!(!renewal.is_due(start + LOOK), "nothing has changed");
        fs::write(file.path(), "new").unwrap();
        assert!(!renewal.is_due(start + LOOK), "too soon");
        assert!(renewal.is_due(start + 2 * LOOK));
        fs::remove_file(file.path()).unwrap();
        assert!(!renewal.is_due(start + 3 * LOOK), "without the file there is no better client");
        assert!(!Renewal::of(&Config::new(["kafka:9092"])).is_due(start + 9 * LOOK));
    }
}
