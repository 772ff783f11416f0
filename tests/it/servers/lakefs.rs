//! lakeFS, with one repository.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::{Started, http_with};

/// A lakeFS with a repository whose default branch is `main`.
pub(crate) struct Lakefs {
    server: Started,
}

impl Lakefs {
    pub(crate) const REPOSITORY: &str = "features";
    pub(crate) const KEY: &str = "AKIAIOSFOLQUICKSTART";
    pub(crate) const SECRET: &str = "only-for-this-test";

    pub(crate) fn start() -> Option<Self> {
        let lakefs = Self { server: Started::new("lakefs", &[])? };
        let name = Self::REPOSITORY;
        let place = format!("local://{name}");
        let repository =
            json!({"name": name, "storage_namespace": place, "default_branch": "main"});
        lakefs.call("POST", "repositories", &repository);
        Some(lakefs)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Writes an object to a branch, which is not a commit.
    pub(crate) fn put(&self, branch: &str, path: &str, bytes: &[u8]) {
        let path: String = byte_serialize(path.as_bytes()).collect();
        let path = format!("{}/branches/{branch}/objects?path={path}", self.repository());
        self.send("POST", &path, "application/octet-stream", bytes);
    }

    /// Commits what was written to a branch; the commit's id.
    pub(crate) fn commit(&self, branch: &str) -> String {
        let path = format!("{}/branches/{branch}/commits", self.repository());
        let made = self.call("POST", &path, &json!({"message": "of a test"}));
        made["id"].as_str().unwrap().to_owned()
    }

    /// Tags a ref.
    pub(crate) fn tag(&self, name: &str, at: &str) {
        self.call("POST", &format!("{}/tags", self.repository()), &json!({"id": name, "ref": at}));
    }

    fn repository(&self) -> String {
        format!("repositories/{}", Self::REPOSITORY)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.send(method, path, "application/json", body.to_string().as_bytes())
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Value {
        let pair = BASE64_STANDARD.encode(format!("{}:{}", Self::KEY, Self::SECRET));
        let headers = format!("Content-Type: {kind}\r\nAuthorization: Basic {pair}");
        let path = format!("/api/v1/{path}");
        let answer = http_with(&self.server.address, method, &path, (&headers, body));
        assert_eq!(answer.status, 201, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}
