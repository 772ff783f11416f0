//! What the person at the terminal sees.
#![expect(clippy::print_stdout, reason = "the demo talks to a person on standard output")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::cli::demo::Addresses;
use crate::cli::demo::Webhook;

/// A line at least so often, even if nothing changes.
const EVERY: Duration = Duration::from_millis(1500);

pub(super) struct Screen {
    started: Instant,
    shown: Option<Instant>,
    state: (String, String),
}

impl Screen {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, shown: None, state: Default::default() }
    }

    fn clock(&self) -> String {
        format!("{:5.1}s", self.started.elapsed().as_secs_f64())
    }

    pub(super) fn opening(
        &self,
        brokers: &str,
        receiver: SocketAddr,
        at: Addresses,
        folder: &Path,
    ) {
        println!(
            "driftd demo: a card-fraud model on an embedded Kafka; an hour of event time takes ten seconds\n"
        );
        println!("  kafka           {brokers}  topic fraud.inferences, 3 partitions");
        println!("  configuration   {}", folder.join("driftd.yaml").display());
        println!("  baseline        {}", folder.join("reference.parquet").display());
        println!("  retraining      http://{receiver}/retrain");
        println!("  metrics         http://{}/metrics", at.public);
        println!("  page            http://{}/", at.admin);
        println!("  api             http://{}/api/v1/models/fraud", at.admin);
        println!("                  http://{}/api/v1/models/fraud/features/amount\n", at.admin);
    }

    pub(super) fn chapter(&self, text: &str) {
        println!("{}  ---- {text}", self.clock());
    }

    /// One line when the state has changed, and every so often.
    pub(super) fn model(&mut self, model: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let state = (text(&model["drift"]), text(&model["incident"]));
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= EVERY);
        if state == self.state && !due {
            return;
        }
        let changed = state != self.state;
        self.state = state;
        self.shown = Some(Instant::now());
        let score = amount(model);
        let end =
            model["window"]["end"].as_str().and_then(|end| end.get(11..16)).unwrap_or("--:--");
        let incident = match model["incident_id"].as_str() {
            Some(id) => format!("  incident {} {id}", self.state.1),
            None => String::new(),
        };
        let mark = if changed { "=>" } else { "  " };
        println!(
            "{} {mark} {end} {:<9} {score}  n {}{incident}",
            self.clock(),
            self.state.0,
            model["window"]["records"]
        );
    }

    pub(super) fn webhook(&self, webhook: &Webhook) {
        println!("{}  ---- one webhook arrived: POST /retrain", self.clock());
        println!("          webhook-id: {}", webhook.id);
        println!("          webhook-signature: {}", webhook.signature);
        let body: Value = serde_json::from_str(&webhook.body).unwrap_or_default();
        let pretty = serde_json::to_string_pretty(&body).unwrap_or_default();
        pretty.lines().for_each(|line| println!("          {line}"));
    }

    pub(super) fn baseline(&self, model: &Value) {
        let baseline = &model["baseline"];
        let digest = baseline["digest"].as_str().and_then(|d| d.get(..12)).unwrap_or("-");
        println!(
            "{}  ---- the daemon has taken it up: {} rows, sha256 {digest}..; the window starts anew",
            self.clock(),
            baseline["rows"]
        );
    }

    pub(super) fn ending(&self, model: &Value, incident: &str, took: Duration) {
        println!(
            "\nhealthy again: one drift, one incident ({incident}), one webhook, one new baseline; {:.1} s",
            took.as_secs_f64()
        );
        println!("{}", model["explanation"].as_str().unwrap_or_default());
        if let Some(peak) = peak_memory_kib() {
            println!(
                "peak memory of this process, broker and producer included: {} MiB",
                peak / 1024
            );
        }
    }

    pub(super) fn keep_running(&self) {
        println!(
            "\nstaying up (--keep-running); event time runs like the wall clock now; Ctrl-C ends it"
        );
    }
}

/// What the demo is about: the PSI of the amount over the window, and since it changed.
fn amount(model: &Value) -> String {
    let features = model["features"].as_array().into_iter().flatten();
    let Some(amount) = features.into_iter().find(|feature| feature["feature"] == "amount") else {
        return "no score yet".to_owned();
    };
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let Some(window) = amount["scores"]["psi"]["value"].as_f64() else {
        return "no score yet".to_owned();
    };
    let onset = &amount["onset"];
    let evidence = number(&onset["log_evidence"]) / number(&onset["log_needed"]).max(1.0);
    if evidence < 1.0 {
        return format!("amount psi {window:.4} over the hour; evidence {evidence:.2} of 1");
    }
    format!(
        "amount psi {window:.4} over the hour, {:.2} over the {} records since {}; evidence {evidence:.1} of 1",
        number(&onset["psi"]["value"]),
        onset["records"],
        onset["since"].as_str().and_then(|since| since.get(11..16)).unwrap_or("--:--"),
    )
}

/// `VmHWM` of this process.
fn peak_memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
