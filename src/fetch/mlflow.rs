//! MLflow's registry: which model version a name stands for, and where its baseline is.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::client::{Client, Error as ClientError, parse_url, shown};
use crate::fetch::config::Config;
use crate::fetch::error::Error;
use crate::fetch::local::is_part;
use crate::fetch::mlflow::answers::{
    File, Listing, ModelVersion, Refusal, Run, RunAnswer, UriAnswer, VersionAnswer,
};
use crate::fetch::object::Bucket;

mod answers;

const SCHEME: &str = "mlflow:models:/";
/// A version's tag with the URL of its baseline, or the path of one among its run's artifacts.
const TAG: &str = "driftd.baseline";
const API: &str = "api/2.0/mlflow";
const PROXY: &str = "api/2.0/mlflow-artifacts/artifacts";
const TIMEOUT: Duration = Duration::from_secs(30);
/// The tracking server sends an artifact as a whole, and another version of it each time by its ETag.
const ARTIFACT_MAX: u64 = 512 << 20;
const JSON_MAX: usize = 16 << 20;

/// Whether the registry has to be asked what a location means.
pub(super) fn is_model(location: &str) -> bool {
    location.starts_with("mlflow:")
}

/// A model version and where its baseline is.
pub(super) struct Resolved {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) target: Target,
    /// When the version was registered, in milliseconds since the epoch.
    pub(super) created_ms: Option<i64>,
}

pub(super) enum Target {
    /// In a store that is read without the tracking server.
    Store(String),
    Artifact(Box<Artifact>),
}

/// A file that the tracking server hands out.
pub(super) struct Artifact {
    registry: Registry,
    pub(super) path: String,
    pub(super) size: u64,
}

impl Artifact {
    /// All of its bytes.
    pub(super) async fn read(&self) -> Result<Bytes, Error> {
        let Self { registry, path, size } = self;
        if *size > ARTIFACT_MAX {
            return Err(registry.fault(&format!(
                "{path} has {size} bytes, and a tracking server hands out {ARTIFACT_MAX} at most; keep it in an \
                 object store and tag the model version with {TAG}: its URL"
            )));
        }
        let whole = usize::try_from(*size).unwrap_or(usize::MAX);
        let escaped: Vec<String> = path.split('/').map(encoded).collect();
        let bytes = registry.get(&format!("{PROXY}/{}", escaped.join("/")), whole + 1).await?;
        if bytes.len() == whole {
            return Ok(bytes);
        }
        let cause = format!("{} of {size} bytes of {path} came", bytes.len());
        Err(Error::Unreachable { location: registry.location.clone(), cause })
    }

    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The tracking server, and for which location it is asked.
#[derive(Clone)]
struct Registry {
    location: String,
    base: Url,
    client: Client,
    authorization: Option<String>,
}

/// Asks the registry for the model version of `mlflow:models:/name@alias` or `mlflow:models:/name/7`, and
/// for its baseline: the version's tag, then the configured artifact of its run, then the one Parquet file
/// beside the model, then the training dataset that its run logged.
pub(super) async fn resolve(config: &Config, location: &str) -> Result<Resolved, Error> {
    let registry = Registry::open(config, location)?;
    let (model, version) = registry.version().await?;
    let target = registry.baseline(config, &model, &version).await?;
    let created_ms = version.creation_timestamp;
    Ok(Resolved { model, version: version.version, target, created_ms })
}

impl Registry {
    fn open(config: &Config, location: &str) -> Result<Self, Error> {
        let settings = config.mlflow.clone().unwrap_or_default();
        let refused = |cause: String| Error::Refused { location: location.to_owned(), cause };
        let uri = settings.tracking_uri.or_else(|| env("MLFLOW_TRACKING_URI")).ok_or_else(|| {
            refused("which tracking server? set `baselines.mlflow.tracking_uri` or MLFLOW_TRACKING_URI".into())
        })?;
        let mut base = parse_url(&uri, settings.allow_http)
            .map_err(|why| refused(format!("the tracking URI: {why} (in `baselines.mlflow`)")))?;
        base.set_query(None);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let client = Client::new(&config.client).map_err(|e| refused(e.to_string()))?;
        let (location, authorization) = (location.to_owned(), authorization());
        Ok(Self { location, base, client, authorization })
    }

    async fn version(&self) -> Result<(String, ModelVersion), Error> {
        let name = self.location.strip_prefix(SCHEME).unwrap_or_default();
        let asked = match (name.split_once('@'), name.split_once('/')) {
            (Some((model, alias)), None) if !model.is_empty() && !alias.is_empty() => {
                let query = format!("name={}&alias={}", encoded(model), encoded(alias));
                Some((model, format!("{API}/registered-models/alias?{query}")))
            }
            (None, Some((model, version))) if version.bytes().all(|b| b.is_ascii_digit()) => {
                let query = format!("name={}&version={version}", encoded(model));
                Some((model, format!("{API}/model-versions/get?{query}")))
            }
            _ => None,
        };
        let (model, path) = asked.ok_or_else(|| {
            self.fault("not a model; write mlflow:models:/name@alias or mlflow:models:/name/7")
        })?;
        let answer: VersionAnswer = self.json(&path).await?;
        Ok((model.to_owned(), answer.model_version))
    }

    async fn baseline(
        &self,
        config: &Config,
        model: &str,
        version: &ModelVersion,
    ) -> Result<Target, Error> {
        if let Some(tag) = version.tags.iter().find(|tag| tag.key == TAG) {
            return match tag.value.contains("://") {
                true => Ok(Target::Store(tag.value.clone())),
                false => self.of_run(version, &tag.value).await,
            };
        }
        let configured = config.mlflow.as_ref().and_then(|mlflow| mlflow.artifact.as_deref());
        if let Some(path) = configured {
            return self.of_run(version, path).await;
        }
        if let Some(found) = self.beside_model(config, model, version).await? {
            return Ok(found);
        }
        let dataset = match version.run_id.as_str() {
            "" => None,
            _ => self.run(version).await?.inputs.training(),
        };
        dataset.map(Target::Store).ok_or_else(|| {
            self.fault(&format!(
                "version {} of {model} has no baseline: tag it with {TAG}: s3://bucket/key, log one Parquet \
                 file with the model, name an artifact of its run in `baselines.mlflow.artifact`, or \
                 log the training dataset with its source",
                version.version
            ))
        })
    }

    async fn run(&self, version: &ModelVersion) -> Result<Run, Error> {
        let path = format!("{API}/runs/get?run_id={}", encoded(&version.run_id));
        Ok(self.json::<RunAnswer>(&path).await?.run)
    }

    /// A file among the artifacts of a version's run.
    async fn of_run(&self, version: &ModelVersion, path: &str) -> Result<Target, Error> {
        if version.run_id.is_empty() {
            return Err(self.fault(&format!(
                "version {} was made by no run, so that it has no artifact {path}; tag it with {TAG}: and a URL",
                version.version
            )));
        }
        let path = path.trim_matches('/');
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(self.fault(&format!("{path:?} is not the path of an artifact")));
        }
        let root = self.run(version).await?.info.artifact_uri;
        let Some(root) = self.proxied(&root)? else {
            return Ok(Target::Store(format!("{}/{path}", root.trim_end_matches('/'))));
        };
        let (folder, name) = match path.rsplit_once('/') {
            Some((folder, name)) => (format!("{root}/{folder}"), name),
            None => (root, path),
        };
        let files = self.list(&folder).await?;
        let found = files.into_iter().find(|file| !file.is_dir && file.path == name);
        found.map(|file| self.artifact(&folder, &file)).ok_or_else(|| {
            self.fault(&format!(
                "run {} of version {} has no artifact {path}; log it there, or tag the version with {TAG}:",
                version.run_id, version.version
            ))
        })
    }

    /// The only Parquet file in the model's own folder.
    async fn beside_model(
        &self,
        config: &Config,
        model: &str,
        version: &ModelVersion,
    ) -> Result<Option<Target>, Error> {
        let query = format!("name={}&version={}", encoded(model), encoded(&version.version));
        let path = format!("{API}/model-versions/get-download-uri?{query}");
        let uri = self.json::<UriAnswer>(&path).await?.artifact_uri;
        let Some(folder) = self.proxied(&uri)? else {
            let prefix = format!("{}/", uri.trim_end_matches('/'));
            return match Bucket::open(config, &prefix)?.parts().await.map(|found| found.parts) {
                Ok(parts) if parts.len() == 1 => Ok(Some(Target::Store(prefix))),
                Ok(parts) => Err(self.several(&prefix, parts.len())),
                Err(Error::Missing { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        };
        let mut files = self.list(&folder).await?;
        files.retain(|file| !file.is_dir && is_part(&file.path));
        match files.len() {
            0 => Ok(None),
            1 => Ok(files.pop().map(|file| self.artifact(&folder, &file))),
            several => Err(self.several(&uri, several)),
        }
    }

    fn several(&self, folder: &str, count: usize) -> Error {
        self.fault(&format!(
            "{folder} holds {count} Parquet files; say which by the version's tag {TAG}:"
        ))
    }

    fn artifact(&self, folder: &str, file: &File) -> Target {
        let (registry, path) = (self.clone(), format!("{folder}/{}", file.path));
        Target::Artifact(Box::new(Artifact { registry, path, size: file.file_size }))
    }

    async fn list(&self, folder: &str) -> Result<Vec<File>, Error> {
        Ok(self.json::<Listing>(&format!("{PROXY}?path={}", encoded(folder))).await?.files)
    }

    /// The path below the tracking server's own store; `None` for another store.
    fn proxied(&self, uri: &str) -> Result<Option<String>, Error> {
        let Some(rest) = uri.strip_prefix("mlflow-artifacts:") else {
            return match uri.contains("://") && !uri.starts_with("file:") {
                true => Ok(None),
                false => Err(self.fault(&format!(
                    "its artifacts are at {uri}, on the disk of the tracking server; start that with \
                     --serve-artifacts, or tag the version with {TAG}: and a URL"
                ))),
            };
        };
        let Some(with_host) = rest.strip_prefix("//") else {
            return Ok(Some(rest.trim_matches('/').to_owned()));
        };
        let (host, path) = with_host.split_once('/').unwrap_or((with_host, ""));
        let ours = self.base[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        if host.is_empty() || host == ours {
            return Ok(Some(path.trim_matches('/').to_owned()));
        }
        Err(self.fault(&format!(
            "its artifacts are handed out by {host}, which is not the tracking server; tag the version with \
             {TAG}: and a URL"
        )))
    }

    async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let bytes = self.get(path, JSON_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let server = shown(&self.base);
            self.fault(&format!(
                "{server} does not answer as MLflow does ({error}); check the tracking URI"
            ))
        })
    }

    async fn get(&self, path: &str, most: usize) -> Result<Bytes, Error> {
        let location = self.location.clone();
        let url = self.base.join(path).map_err(|error| self.fault(&error.to_string()))?;
        let headers = self.authorization.iter().map(|value| ("authorization", value.clone()));
        let answer = self.client.get_with(&url, headers.collect(), TIMEOUT, most).await;
        let answer = answer.map_err(|error| match error {
            ClientError::Refused { .. } => {
                Error::Refused { location: location.clone(), cause: error.to_string() }
            }
            _ => Error::Unreachable { location: location.clone(), cause: error.to_string() },
        })?;
        let server = shown(&self.base);
        match answer.status {
            200 => Ok(answer.body),
            401 | 403 => {
                let cause = format!(
                    "{server} answers {}; set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD",
                    answer.status
                );
                Err(Error::Denied { location, cause })
            }
            400 | 404 => Err(self.fault(&match serde_json::from_slice::<Refusal>(&answer.body) {
                Ok(Refusal { error_code, message }) => {
                    let message: String = message.chars().take(300).collect();
                    format!(
                        "{server} says {error_code}: {message}; register it there, or name another"
                    )
                }
                Err(_) => {
                    format!("{server} answers {} to {}; check the tracking URI", answer.status, API)
                }
            })),
            status => {
                Err(Error::Unreachable { location, cause: format!("{server} answers {status}") })
            }
        }
    }

    fn fault(&self, cause: &str) -> Error {
        Error::Unreadable { location: self.location.clone(), cause: cause.to_owned() }
    }
}

fn encoded(text: &str) -> String {
    // A path takes no `+` for a blank.
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn authorization() -> Option<String> {
    if let Some(token) = env("MLFLOW_TRACKING_TOKEN") {
        return Some(format!("Bearer {token}"));
    }
    let (user, password) = (env("MLFLOW_TRACKING_USERNAME")?, env("MLFLOW_TRACKING_PASSWORD")?);
    Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
