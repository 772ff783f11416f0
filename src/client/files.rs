//! The certificate files of the HTTP client: read, understood, and told apart when they change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::client::ClientConfig;

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    #[error("cannot read the CA file {}", path.display())]
    ReadCa { path: PathBuf, source: io::Error },
    #[error("the CA file {} holds no usable PEM certificate", path.display())]
    BadCa { path: PathBuf, source: Option<reqwest::Error> },
    #[error("cannot read {}, of our certificate", path.display())]
    ReadIdentity { path: PathBuf, source: io::Error },
    #[error("{} and {} are no PEM certificate with its private key", cert.display(), key.display())]
    BadIdentity { cert: PathBuf, key: PathBuf, source: reqwest::Error },
    #[error("`cert_file` and `key_file` belong together: set both or neither")]
    Half,
}

/// What the configured files hold.
#[derive(Default)]
pub(super) struct Files {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn are_named(config: &ClientConfig) -> bool {
        config.ca_file.is_some() || config.cert_file.is_some() || config.key_file.is_some()
    }

    pub(super) async fn read(config: &ClientConfig) -> Result<Self, FileError> {
        let mut files = Self::default();
        for (place, path, is_ca) in files.places(config) {
            *place = Some(tokio::fs::read(path).await.map_err(|e| unread(path, is_ca, e))?);
        }
        Ok(files)
    }

    pub(super) fn read_blocking(config: &ClientConfig) -> Result<Self, FileError> {
        let mut files = Self::default();
        for (place, path, is_ca) in files.places(config) {
            *place = Some(fs::read(path).map_err(|e| unread(path, is_ca, e))?);
        }
        Ok(files)
    }

    /// Where the bytes of each named file go, and whether it is the one of authorities.
    fn places<'a, 'b>(
        &'a mut self,
        config: &'b ClientConfig,
    ) -> impl Iterator<Item = (&'a mut Option<Vec<u8>>, &'b Path, bool)> {
        let all = [
            (&mut self.ca, &config.ca_file, true),
            (&mut self.cert, &config.cert_file, false),
            (&mut self.key, &config.key_file, false),
        ];
        all.into_iter().filter_map(|(place, path, is_ca)| Some((place, path.as_deref()?, is_ca)))
    }

    /// Tells contents apart without keeping the private key.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut all = Sha256::new();
        for part in [&self.ca, &self.cert, &self.key] {
            all.update(Sha256::digest(part.as_deref().unwrap_or_default()));
        }
        all.finalize().into()
    }

    pub(super) fn authorities(&self, config: &ClientConfig) -> Result<Vec<Certificate>, FileError> {
        let (Some(pem), Some(path)) = (&self.ca, &config.ca_file) else { return Ok(Vec::new()) };
        match Certificate::from_pem_bundle(pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err(FileError::BadCa { path: path.clone(), source: None }),
            Err(source) => Err(FileError::BadCa { path: path.clone(), source: Some(source) }),
        }
    }

    pub(super) fn identity(&self, config: &ClientConfig) -> Result<Option<Identity>, FileError> {
        let (Some(cert), Some(key)) = (&config.cert_file, &config.key_file) else {
            let neither = config.cert_file.is_none() && config.key_file.is_none();
            return if neither { Ok(None) } else { Err(FileError::Half) };
        };
        let parts = [&self.cert, &self.key].map(|part| part.as_deref().unwrap_or_default());
        let identity = Identity::from_pem(&parts.join(&b'\n'));
        identity.map(Some).map_err(|source| FileError::BadIdentity {
            cert: cert.clone(),
            key: key.clone(),
            source,
        })
    }
}

fn unread(path: &Path, is_ca: bool, source: io::Error) -> FileError {
    let path = path.to_owned();
    if is_ca {
        FileError::ReadCa { path, source }
    } else {
        FileError::ReadIdentity { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, Error};

    #[test]
    fn a_bad_ca_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let client = Client::new(&ClientConfig::default()).unwrap();
        let missing = client.with_ca_file(&path).err().unwrap();
        assert!(matches!(missing, Error::File(FileError::ReadCa { .. })), "{missing}");
        fs::write(&path, "not a certificate").unwrap();
        let empty = client.with_ca_file(&path).err().unwrap();
        assert!(matches!(empty, Error::File(FileError::BadCa { .. })), "{empty}");
        assert!(empty.to_string().contains("ca.pem"));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let config = ClientConfig { cert_file: Some("a".into()), ..ClientConfig::default() };
        let error = Files::default().identity(&config).err().unwrap();
        assert!(matches!(error, FileError::Half), "{error}");
        let config = ClientConfig { key_file: Some("b".into()), ..config };
        let error = Files::default().identity(&config).err().unwrap();
        assert!(matches!(error, FileError::BadIdentity { .. }), "{error}");
    }
}
