//! TLS of a listener: its certificate and whose certificates it takes, read again when the files change.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at, at most, and only when somebody connects.
const LOOK: Duration = Duration::from_secs(1);

/// How a listener speaks TLS (1.2 and 1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the listener's certificate and those between it and its authority; read again
    /// when it changes.
    pub cert_file: PathBuf,
    /// PEM file with the certificate's private key.
    pub key_file: PathBuf,
    /// PEM file with the authorities of clients: then everything but the probes needs a certificate
    /// of theirs.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
}

/// Why a listener's TLS can't be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{key}: cannot read {}: {source}", path.display())]
    Read { key: String, path: PathBuf, source: io::Error },
    #[error("{key}: {} holds no PEM {what}", path.display())]
    Empty { key: String, path: PathBuf, what: &'static str },
    #[error("{key}: {} cannot be used: {why}", path.display())]
    Unusable { key: String, path: PathBuf, why: String },
}

/// What one listener shows and trusts at the moment.
pub(super) struct Tls {
    /// `http.admin_tls`.
    key: &'static str,
    config: TlsConfig,
    current: Mutex<Current>,
}

struct Current {
    server: Arc<ServerConfig>,
    /// Of the files that it was made of: the private key itself is not kept.
    digest: [u8; 32],
    looked: Instant,
    /// The last fault that was told.
    told: Option<String>,
}

/// The files' bytes.
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("key", &self.key).field("config", &self.config).finish()
    }
}

impl Tls {
    /// # Errors
    /// Files that cannot be read, hold nothing of use, or do not belong together.
    pub(super) fn new(key: &'static str, config: &TlsConfig) -> Result<Self, TlsError> {
        let files = Files::read(key, config)?;
        let current = Current {
            server: Arc::new(files.server(key, config)?),
            digest: files.digest(),
            looked: Instant::now(),
            told: None,
        };
        Ok(Self { key, config: config.clone(), current: Mutex::new(current) })
    }

    /// Whether clients are asked for a certificate.
    pub(super) fn asks_clients(&self) -> bool {
        self.config.client_ca_file.is_some()
    }

    /// The handshake, with what the files hold now.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.current().await).accept(stream).await
    }

    /// New files take effect with the next connection; what cannot be used leaves the old in force.
    async fn current(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().await;
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            match self.renewed(current.digest).await {
                Ok(None) => current.told = None,
                Ok(Some((server, digest))) => {
                    tracing::info!(key = self.key, "new certificates are in force");
                    let (server, told) = (Arc::new(server), None);
                    *current = Current { server, digest, looked: current.looked, told };
                }
                Err(error) => {
                    // Files are replaced one after the other: the next look may find them whole.
                    let error = error.to_string();
                    if current.told.as_ref() != Some(&error) {
                        tracing::error!(%error, "the certificates from before stay in force");
                        current.told = Some(error);
                    }
                }
            }
        }
        Arc::clone(&current.server)
    }

    /// What the files make, if they are not those of `digest`.
    async fn renewed(
        &self,
        digest: [u8; 32],
    ) -> Result<Option<(ServerConfig, [u8; 32])>, TlsError> {
        let (key, config) = (self.key, self.config.clone());
        let read = tokio::task::spawn_blocking(move || Files::read(key, &config)).await;
        // Reading cannot panic, and only a shutdown could cancel it.
        let Ok(files) = read else { return Ok(None) };
        let files = files?;
        let found = files.digest();
        if found == digest {
            return Ok(None);
        }
        Ok(Some((files.server(self.key, &self.config)?, found)))
    }
}

impl Files {
    fn read(key: &str, config: &TlsConfig) -> Result<Self, TlsError> {
        let read = |name: &str, path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read {
                key: format!("{key}.{name}"),
                path: path.to_owned(),
                source,
            })
        };
        Ok(Self {
            cert: read("cert_file", &config.cert_file)?,
            key: read("key_file", &config.key_file)?,
            client_ca: match &config.client_ca_file {
                Some(path) => Some(read("client_ca_file", path)?),
                None => None,
            },
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut all = Sha256::new();
        for part in [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()] {
            all.update(Sha256::digest(part.map_or(&[][..], Vec::as_slice)));
        }
        all.finalize().into()
    }

    fn server(&self, key: &str, config: &TlsConfig) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let unusable = |name: &str, path: &Path, why: String| TlsError::Unusable {
            key: format!("{key}.{name}"),
            path: path.to_owned(),
            why,
        };
        let chain = certificates(&self.cert, key, "cert_file", &config.cert_file)?;
        let private = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::Empty {
            key: format!("{key}.key_file"),
            path: config.key_file.clone(),
            what: "private key",
        })?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("cert_file", &config.cert_file, error.to_string()))?;
        let builder = match (&self.client_ca, &config.client_ca_file) {
            (Some(pem), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem, key, "client_ca_file", path)? {
                    let added = roots.add(certificate);
                    added.map_err(|e| unusable("client_ca_file", path, e.to_string()))?;
                }
                // Without a certificate one gets as far as the probes; a bad one ends here.
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .allow_unauthenticated()
                        .build()
                        .map_err(|e| unusable("client_ca_file", path, e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, private).map_err(|error| {
            let why = format!("{error} (does it belong to {}?)", config.key_file.display());
            unusable("cert_file", &config.cert_file, why)
        })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        if self.client_ca.is_some() {
            // A resumed session would not be asked for its certificate again.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        Ok(server)
    }
}

fn certificates(
    pem: &[u8],
    key: &str,
    name: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError::Empty {
            key: format!("{key}.{name}"),
            path: path.to_owned(),
            what: "certificate",
        }),
        Err(error) => Err(TlsError::Unusable {
            key: format!("{key}.{name}"),
            path: path.to_owned(),
            why: error.to_string(),
        }),
    }
}
