//! lakeFS: the commit that a branch or tag stands at, so that what is read is one moment of a repository
//! and can be named afterwards.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use url::Url;

use crate::client::{Client, parse_url, shown};
use crate::fetch::config::Config;
use crate::fetch::error::Error;

const SCHEME: &str = "lakefs://";
const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_MAX: usize = 1 << 20;

/// The server, and who asks.
pub(super) struct Access {
    /// Without the path of its API.
    pub(super) endpoint: String,
    pub(super) allow_http: bool,
    pub(super) key: String,
    pub(super) secret: String,
}

impl Access {
    pub(super) fn of(config: &Config, location: &str) -> Result<Self, Error> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let missing = |what: &str| Error::Unreadable {
            location: location.to_owned(),
            cause: what.to_owned(),
        };
        let settings = config.lakefs.clone().unwrap_or_default();
        let endpoint = settings.endpoint.or_else(|| env("LAKECTL_SERVER_ENDPOINT_URL"));
        let endpoint = endpoint.ok_or_else(|| {
            missing("which lakeFS? set `baselines.lakefs.endpoint` or LAKECTL_SERVER_ENDPOINT_URL")
        })?;
        let endpoint = endpoint.trim_end_matches('/').trim_end_matches("/api/v1").to_owned();
        let key = env("LAKECTL_CREDENTIALS_ACCESS_KEY_ID");
        let (Some(key), Some(secret)) = (key, env("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY")) else {
            return Err(missing(
                "no credentials; set LAKECTL_CREDENTIALS_ACCESS_KEY_ID and _SECRET_ACCESS_KEY",
            ));
        };
        Ok(Self { endpoint, allow_http: settings.allow_http, key, secret })
    }
}

/// The same place at one commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) location: String,
    pub(super) commit: String,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
}

/// Whether a location names something of lakeFS that may be another commit tomorrow.
pub(super) fn can_move(location: &str) -> bool {
    split(location).is_some()
}

/// The commit that the ref of `lakefs://repository/ref/key` stands at. `None` where there is nothing to
/// ask: the ref is a commit, or has what is not committed (`main$`); and where the server does not tell,
/// since who may read objects need not be allowed to read commits, or is not reached by the configured client.
///
/// # Errors
/// The server is not lakeFS, or cannot answer.
pub(super) async fn pin(config: &Config, location: &str) -> Result<Option<Pinned>, Error> {
    let Some((repository, at, key)) = split(location) else { return Ok(None) };
    let access = Access::of(config, location)?;
    let unreachable = |cause: String| Error::Unreachable { location: location.to_owned(), cause };
    let refused = |cause: String| Error::Refused { location: location.to_owned(), cause };
    let url = commit_url(&access, repository, at).map_err(&refused)?;
    let client = Client::new(&config.client).map_err(|e| refused(e.to_string()))?;
    let pair = BASE64_STANDARD.encode(format!("{}:{}", access.key, access.secret));
    let headers = vec![("authorization", format!("Basic {pair}"))];
    // Objects may be reached by another way, the environment's proxy, and tell whether lakeFS is there.
    let Ok(answer) = client.get_with(&url, headers, TIMEOUT, ANSWER_MAX).await else {
        return Ok(None);
    };
    let server = shown(&url);
    match answer.status {
        200 => {
            let commit: Commit = serde_json::from_slice(&answer.body)
                .map_err(|why| unreachable(format!("{server} is not lakeFS: {why}")))?;
            let location = format!("{SCHEME}{repository}/{}/{key}", commit.id);
            Ok(Some(Pinned { location, commit: commit.id }))
        }
        300..=499 => Ok(None),
        status => Err(unreachable(format!("{server} answers {status}"))),
    }
}

/// Repository, ref and key of a location whose ref can move.
fn split(location: &str) -> Option<(&str, &str, &str)> {
    let (repository, rest) = location.strip_prefix(SCHEME)?.split_once('/')?;
    let (at, key) = rest.split_once('/')?;
    let is_commit = at.len() == 64 && at.bytes().all(|byte| byte.is_ascii_hexdigit());
    (!repository.is_empty() && !at.is_empty() && !is_commit && !at.ends_with('$'))
        .then_some((repository, at, key))
}

fn commit_url(access: &Access, repository: &str, at: &str) -> Result<Url, String> {
    let url = format!("{}/api/v1/repositories/", access.endpoint);
    let mut url = parse_url(&url, access.allow_http)
        .map_err(|why| format!("{why} (in `baselines.lakefs`)"))?;
    url.path_segments_mut()
        .map_err(|()| "not a URL of a server".to_owned())?
        .pop_if_empty()
        .extend([repository, "commits", at]);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_that_can_move_is_asked_after_and_no_other() {
        let commit = "0a".repeat(32);
        let of = |at: &str| split(&format!("lakefs://features/{at}/train/x.parquet")).is_some();
        assert!(of("main") && of("v1.0") && of("main~2") && of("0a0a"));
        assert!(!of(&commit) && !of("main$"));
        for location in
            ["lakefs://features/main", "lakefs:///main/x", "s3://a/b/c", "lakefs://a//c"]
        {
            assert_eq!(split(location), None, "{location}");
        }
    }

    #[test]
    fn the_server_is_asked_by_its_api() {
        let access = |endpoint: &str| Access {
            endpoint: endpoint.to_owned(),
            allow_http: false,
            key: String::new(),
            secret: String::new(),
        };
        let url = commit_url(&access("https://lake.example/base"), "features", "a?b").unwrap();
        let expected = "https://lake.example/base/api/v1/repositories/features/commits/a%3Fb";
        assert_eq!(url.as_str(), expected);
        let plain = commit_url(&access("http://lake.example"), "features", "main").unwrap_err();
        assert!(plain.contains("allow_http") && plain.contains("baselines.lakefs"), "{plain}");
    }
}
