//! What is configured about reading baselines; credentials come from the environment only.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::ClientConfig;
use crate::setting::ByteSize;
use crate::setting::Span;

/// Where baselines may come from and what reading one may cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Local baselines must lie in this folder; unset: any readable regular file.
    pub baseline_root: Option<PathBuf>,
    /// Memory of the process that reads Parquet; in a container no more than its limit leaves beside the daemon.
    pub memory_limit: ByteSize,
    /// How long it may take.
    pub time_limit: Span,
    /// How often a baseline is looked at for changes.
    pub refresh_interval: Span,
    /// The S3-compatible store, where the environment (`AWS_*`) does not say.
    pub s3: Option<S3Config>,
    /// Google Cloud Storage, where the environment (`GOOGLE_*`) does not say.
    pub gcs: Option<GcsConfig>,
    /// Azure Blob Storage, where the environment (`AZURE_*`) does not say.
    pub azure: Option<AzureConfig>,
    /// Baselines at `https://`.
    pub http: Option<HttpConfig>,
    /// MLflow's registry, where the environment (`MLFLOW_TRACKING_*`) does not say.
    pub mlflow: Option<MlflowConfig>,
    /// lakeFS, where the environment (`LAKECTL_*`) does not say.
    pub lakefs: Option<LakefsConfig>,
    /// How web servers and MLflow are reached: what the whole configuration says of it.
    #[serde(skip)]
    pub client: ClientConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            baseline_root: None,
            memory_limit: ByteSize(2 << 30),
            time_limit: Span::from_secs(600),
            refresh_interval: Span::from_secs(60),
            s3: None,
            gcs: None,
            azure: None,
            http: None,
            mlflow: None,
            lakefs: None,
            client: ClientConfig::default(),
        }
    }
}

/// An S3-compatible store; credentials come from the environment only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// Such as `https://minio.internal:9000`.
    pub endpoint: Option<String>,
    /// Such as `eu-central-1`.
    pub region: Option<String>,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
    /// `bucket.host/key` in place of `host/bucket/key`.
    pub virtual_hosted_style: bool,
}

/// Google Cloud Storage; credentials come from the environment only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GcsConfig {
    /// Such as `https://storage-private.p.googleapis.com`; unset: Google's own.
    pub endpoint: Option<String>,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
}

/// Azure Blob Storage; credentials come from the environment only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AzureConfig {
    /// The storage account of `az://container/path`, which does not name one.
    pub account: Option<String>,
    /// Such as `https://account.privatelink.blob.core.windows.net`; unset: the account's own.
    pub endpoint: Option<String>,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
}

/// Files on a web server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Allow baselines at `http://`, which anyone on the way can read and change.
    pub allow_http: bool,
}

/// MLflow's tracking server; credentials come from the environment only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MlflowConfig {
    /// Such as `https://mlflow.internal`.
    pub tracking_uri: Option<String>,
    /// The baseline among the artifacts of a version's run, such as `drift/baseline.parquet`.
    pub artifact: Option<String>,
    /// Allow an `http://` tracking server.
    pub allow_http: bool,
}

/// lakeFS by its S3 gateway; credentials come from the environment only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LakefsConfig {
    /// Such as `https://lakefs.internal`.
    pub endpoint: Option<String>,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
}
