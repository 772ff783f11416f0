//! Argo's own code over a cluster in memory, with the manifests of `deploy/`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{Started, http};

/// The API server of Argo Workflows and a webhook event source of Argo Events. Nothing runs a
/// workflow: it has the state that a test gives it.
pub(crate) struct Argo {
    server: Started,
    ports: Vec<String>,
}

impl Argo {
    pub(crate) fn start() -> Option<Self> {
        let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
        let manifests = [
            format!("{deploy}/argo-workflows/retrain.yaml"),
            format!("{deploy}/argo-events/driftd.yaml"),
        ];
        let manifests: Vec<&str> = manifests.iter().map(String::as_str).collect();
        let server = Started::new("argo", &manifests)?;
        let ports = server.address.split(' ').map(str::to_owned).collect();
        Some(Self { server, ports })
    }

    /// Host and port of the API server without TLS.
    pub(crate) fn address(&self) -> &str {
        &self.ports[0]
    }

    /// The API server as Argo installs it: TLS by a certificate of its own for `localhost`.
    pub(crate) fn secure_url(&self) -> String {
        self.ports[1].replace("127.0.0.1", "https://localhost")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.server.dir.path().join("argo.crt")
    }

    /// Host and port of the event source.
    pub(crate) fn source(&self) -> &str {
        &self.ports[2]
    }

    /// The file with the token of the service account that the manifests make for driftd.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.server.dir.path().join("ml.driftd-trigger.token")
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.token_file()).unwrap()
    }

    /// Gives the accounts other tokens, as time does; those from before are valid no more.
    pub(crate) fn renew_tokens(&self) {
        self.call("POST", "/tokens");
    }

    /// Every workflow, and what the controller would find wrong with it.
    pub(crate) fn workflows(&self) -> Vec<Value> {
        self.call("GET", "/workflows").as_array().unwrap().clone()
    }

    /// Gives a workflow a phase, as the controller does.
    pub(crate) fn end(&self, name: &str, phase: &str) {
        self.call("POST", &format!("/workflows/ml/{name}/{phase}"));
    }

    fn call(&self, method: &str, path: &str) -> Value {
        let answer = http(&self.ports[3], method, path, b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}
