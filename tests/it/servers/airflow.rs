//! Airflow 3: its API server, with a DAG that has nothing to do.

use serde_json::{Value, json};

use super::{Started, http_with};

/// An Airflow with a DAG `retrain_fraud`. Nobody schedules: a run stays queued until `end`.
pub(crate) struct Airflow {
    server: Started,
}

impl Airflow {
    /// Who may start runs; `READER` may only look at them.
    pub(crate) const USER: &str = "driftd";
    pub(crate) const READER: &str = "reader";
    pub(crate) const PASSWORD: &str = "only-for-this-test";
    pub(crate) const DAG: &str = "retrain_fraud";

    /// Its tokens are valid for so many seconds.
    pub(crate) fn start(token_seconds: u32) -> Option<Self> {
        let server = Started::new("airflow", &[&token_seconds.to_string()]);
        server.map(|server| Self { server })
    }

    pub(crate) fn address(&self) -> &str {
        &self.server.address
    }

    /// Every run of the DAG.
    pub(crate) fn runs(&self) -> Vec<Value> {
        self.call("GET", "", &Value::Null)["dag_runs"].as_array().unwrap().clone()
    }

    /// Gives a run another state, such as `success`.
    pub(crate) fn end(&self, run: &str, state: &str) {
        self.call("PATCH", &format!("/{run}"), &json!({"state": state}));
    }

    /// A call about the DAG's runs, as somebody who is not driftd.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let login = json!({"username": Self::USER, "password": Self::PASSWORD}).to_string();
        let header = "Content-Type: application/json";
        let answer = http_with(self.address(), "POST", "/auth/token", (header, login.as_bytes()));
        assert_eq!(answer.status, 201, "{}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        let token = answer["access_token"].as_str().unwrap();
        let headers = format!("{header}\r\nAuthorization: Bearer {token}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/api/v2/dags/{}/dagRuns{path}", Self::DAG);
        let answer = http_with(self.address(), method, &path, (&headers, body.as_bytes()));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}
