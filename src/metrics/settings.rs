//! What is told of the configuration and of looking for new baselines.

use crate::metrics::{Metrics, seconds};

impl Metrics {
    pub fn baseline_refreshed(&self, model: &str, now_ms: i64) {
        let name = "driftd_baseline_last_refresh_timestamp_seconds";
        self.gauge(name, &[("model", model)]).set(seconds(now_ms));
    }

    pub fn baseline_refresh_failed(&self, model: &str) {
        self.count("driftd_baseline_refresh_failures_total", &[("model", model)], 1);
    }

    pub fn config_loaded(&self, warnings: usize, now_ms: i64) {
        self.config_read(now_ms);
        self.gauge("driftd_config_warnings", &[]).set(warnings as f64);
    }

    /// The file was read, at the start or again, and can be used.
    pub fn config_read(&self, now_ms: i64) {
        self.gauge("driftd_config_last_reload_successful", &[]).set(1.0);
        let name = "driftd_config_last_reload_success_timestamp_seconds";
        self.gauge(name, &[]).set(seconds(now_ms));
    }

    /// Whether other replicas count a model by another configuration, so that this one waits.
    pub fn config_mismatch(&self, model: &str, mismatch: bool) {
        self.gauge("driftd_config_mismatch", &[("model", model)])
            .set(f64::from(u8::from(mismatch)));
    }

    pub fn config_reload_failed(&self) {
        self.count("driftd_config_reload_failures_total", &[], 1);
        self.gauge("driftd_config_last_reload_successful", &[]).set(0.0);
    }
}
