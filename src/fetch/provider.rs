//! The stores behind URLs: which is meant, where it is, and who asks.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ClientConfigKey, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};

use crate::client::{Client, Refused, parse_url};
use crate::fetch::config::{Config, S3Config};
use crate::fetch::error::Error;
use crate::fetch::lakefs::Access;
use crate::fetch::object::fault;

const CONNECT_TIMEOUT: &str = "5 seconds";
const TIMEOUT: &str = "2 minutes";
/// Where Google's own clients look for an emulator.
const GCS_EMULATOR: &str = "STORAGE_EMULATOR_HOST";

/// A store, and what a location names in it.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) store: Arc<dyn ObjectStore>,
    /// What stands before a key in the URL that people write: `s3://bucket`.
    pub(super) root: String,
    pub(super) key: Path,
    /// The location ends in `/`: it is a prefix, never an object.
    pub(super) is_prefix: bool,
    /// The store can say what lies under a prefix.
    pub(super) lists: bool,
}

impl Provider {
    pub(super) fn open(config: &Config, location: &str) -> Result<Self, Error> {
        Self::of(config, location, false)
    }

    /// As `open`, for a place of which something else says what is in it: a whole bucket will do, and a
    /// folder of a web server.
    pub(super) fn open_folder(config: &Config, location: &str) -> Result<Self, Error> {
        Self::of(config, location, true)
    }

    fn of(config: &Config, location: &str, is_folder: bool) -> Result<Self, Error> {
        let unknown = || Error::UnknownStore { location: location.to_owned() };
        let (scheme, rest) = location.split_once("://").ok_or_else(unknown)?;
        if matches!(scheme, "https" | "http") {
            return Self::open_web(config, location, is_folder);
        }
        let (bucket, key) = rest
            .split_once('/')
            .filter(|(bucket, key)| !bucket.is_empty() && (is_folder || !key.is_empty()))
            .ok_or_else(unknown)?;
        if bucket.contains('@') && !is_account(scheme, bucket) {
            return Err(userinfo("the location of a baseline"));
        }
        let built = match scheme {
            "s3" | "s3a" => s3(config.s3.as_ref(), bucket)?,
            "gs" | "gcs" => gcs(config, bucket)?,
            "lakefs" => lakefs(config, location, bucket)?,
            "az" | "azure" | "abfs" | "abfss" => azure(config, bucket)?,
            _ => return Err(unknown()),
        };
        let is_prefix = key.ends_with('/');
        Ok(Self {
            store: built.map_err(|error| fault(location, &error))?,
            root: format!("{scheme}://{bucket}"),
            key: Path::parse(key.trim_end_matches('/'))
                .map_err(|error| fault(location, &error.into()))?,
            is_prefix,
            lists: true,
        })
    }

    /// One object that is in memory.
    pub(super) async fn holding(
        location: &str,
        name: &str,
        bytes: Bytes,
    ) -> object_store::Result<Self> {
        let (store, key) = (InMemory::new(), Path::from(name));
        store.put(&key, bytes.into()).await?;
        let root = location.to_owned();
        Ok(Self { store: Arc::new(store), root, key, is_prefix: false, lists: false })
    }

    /// One file of a web server. Names that lead to link-local or metadata addresses are refused as they
    /// are for webhooks, and redirects are not followed.
    fn open_web(config: &Config, location: &str, is_folder: bool) -> Result<Self, Error> {
        let refused = |cause: &dyn Display| Error::Refused {
            location: place_of(location).to_owned(),
            cause: cause.to_string(),
        };
        let allow_http = config.http.as_ref().is_some_and(|http| http.allow_http);
        let url = parse_url(location, allow_http).map_err(|why| match why {
            Refused::PlainHttp => refused(&format!("{why} (in `baselines.http`)")),
            Refused::Userinfo => userinfo("the location of a baseline"),
            _ => refused(&why),
        })?;
        if url.query().is_some() || url.fragment().is_some() {
            let cause = "a URL with a query, which may be a secret; name a file that needs none, \
                         or read it from its store by s3://, gs:// or az://";
            return Err(refused(&cause));
        }
        let key =
            Path::from_url_path(url.path()).map_err(|error| fault(location, &error.into()))?;
        if !is_folder && (key.as_ref().is_empty() || url.path().ends_with('/')) {
            return Err(refused(&"a web server lists no files; name one"));
        }
        let client = Client::new(&config.client)
            .and_then(|client| client.lend(&url))
            .map_err(|error| refused(&error))?;
        let root = url[..url::Position::BeforePath].to_owned();
        let store = HttpBuilder::new()
            .with_url(&root)
            .with_client_options(ClientOptions::new().with_allow_http(allow_http))
            .with_retry(retry())
            .with_http_connector(Connector(client))
            .build()
            .map_err(|error| fault(location, &error))?;
        Ok(Self { store: Arc::new(store), root, key, is_prefix: false, lists: false })
    }
}

/// The location without what may be a secret.
pub(super) fn place_of(location: &str) -> &str {
    location.split(['?', '#']).next().unwrap_or(location)
}

/// Hands out the client that refuses addresses.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// `container@account.host`, as Hadoop names what is in Azure.
fn is_account(scheme: &str, bucket: &str) -> bool {
    scheme != "s3" && scheme.starts_with('a') && !bucket.contains(':')
}

fn userinfo(place: &str) -> Error {
    Error::Userinfo { place: place.to_owned() }
}

/// Errors of the store repeat it.
fn check_endpoint(endpoint: Option<&str>) -> Result<(), Error> {
    match endpoint {
        Some(endpoint) if endpoint.contains('@') => {
            Err(userinfo("the endpoint of the object store"))
        }
        _ => Ok(()),
    }
}

pub(super) fn retry() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() }
}

/// The client's own settings, by the key of each.
fn limits() -> [(ClientConfigKey, &'static str); 2] {
    [(ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT), (ClientConfigKey::Timeout, TIMEOUT)]
}

type Built = Result<Arc<dyn ObjectStore>, object_store::Error>;

pub(super) fn s3(config: Option<&S3Config>, bucket: &str) -> Result<Built, Error> {
    s3_from(AmazonS3Builder::from_env(), config, bucket)
}

fn s3_from(
    builder: AmazonS3Builder,
    config: Option<&S3Config>,
    bucket: &str,
) -> Result<Built, Error> {
    let mut builder = builder.with_bucket_name(bucket).with_retry(retry());
    for (key, value) in limits() {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    if let Some(config) = config {
        builder = builder.with_virtual_hosted_style_request(config.virtual_hosted_style);
        if config.allow_http {
            builder = builder.with_allow_http(true);
        }
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
    }
    if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
        builder = builder.with_region("us-east-1");
    }
    check_endpoint(builder.get_config_value(&AmazonS3ConfigKey::Endpoint).as_deref())?;
    Ok(builder.build().map(|store| Arc::new(store) as _))
}

/// By lakeFS's S3 gateway: the repository is a bucket, and a key begins with a branch, tag or commit.
fn lakefs(config: &Config, location: &str, repository: &str) -> Result<Built, Error> {
    let access = Access::of(config, location)?;
    let builder =
        AmazonS3Builder::new().with_access_key_id(access.key).with_secret_access_key(access.secret);
    let gateway = S3Config {
        endpoint: Some(access.endpoint),
        allow_http: access.allow_http,
        ..S3Config::default()
    };
    s3_from(builder, Some(&gateway), repository)
}

fn gcs(config: &Config, bucket: &str) -> Result<Built, Error> {
    let mut builder =
        GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry());
    for (key, value) in limits() {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    let allow_http = |builder: GoogleCloudStorageBuilder| {
        builder.with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true")
    };
    if let Ok(host) = std::env::var(GCS_EMULATOR) {
        let base = if host.contains("://") { host } else { format!("http://{host}") };
        builder =
            allow_http(builder).with_base_url(base.trim_end_matches('/')).with_skip_signature(true);
    }
    if let Some(config) = &config.gcs {
        if config.allow_http {
            builder = allow_http(builder);
        }
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_base_url(endpoint.trim_end_matches('/'));
        }
    }
    check_endpoint(builder.get_config_value(&GoogleConfigKey::BaseUrl).as_deref())?;
    Ok(builder.build().map(|store| Arc::new(store) as _))
}

fn azure(config: &Config, bucket: &str) -> Result<Built, Error> {
    let (container, host) = match bucket.split_once('@') {
        Some((container, host)) => (container, Some(host)),
        None => (bucket, None),
    };
    let mut builder =
        MicrosoftAzureBuilder::from_env().with_container_name(container).with_retry(retry());
    for (key, value) in limits() {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    if let Some(config) = &config.azure {
        if config.allow_http {
            builder = builder.with_allow_http(true);
        }
        if let Some(account) = &config.account {
            builder = builder.with_account(account);
        }
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
    }
    if let Some(host) = host {
        builder = builder.with_account(host.split('.').next().unwrap_or(host));
    }
    check_endpoint(builder.get_config_value(&AzureConfigKey::Endpoint).as_deref())?;
    Ok(builder.build().map(|store| Arc::new(store) as _))
}
