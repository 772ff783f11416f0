//! The labels of every family: a series with others is a mistake, which any test that meets it finds.

/// Labels in their order, and the families that have them. The others have none.
const OF: [(&[&str], &[&str]); 24] = [
    (
        &["model"],
        &[
            "driftd_baseline_last_refresh_timestamp_seconds",
            "driftd_baseline_loaded_timestamp_seconds",
            "driftd_baseline_refresh_failures_total",
            "driftd_baseline_rows",
            "driftd_config_mismatch",
            "driftd_duplicate_ratio",
            "driftd_event_watermark_timestamp_seconds",
            "driftd_incident_detection_seconds",
            "driftd_incident_open",
            "driftd_incident_recovery_seconds",
            "driftd_last_evaluation_timestamp_seconds",
            "driftd_model_drift_ratio",
            "driftd_model_evaluated",
            "driftd_model_faulty_features",
            "driftd_model_trained_timestamp_seconds",
            "driftd_panes_closed_total",
            "driftd_partials_published_total",
            "driftd_retrain_triggers_total",
            "driftd_retraining_cycle_seconds",
            "driftd_window_complete",
            "driftd_window_end_timestamp_seconds",
            "driftd_window_min_observations",
            "driftd_window_records",
        ],
    ),
    (
        &["model", "feature"],
        &[
            "driftd_confidence_drift_detected",
            "driftd_confidence_drift_p_value",
            "driftd_confidence_drift_threshold",
            "driftd_feature_drift_evidence_ratio",
            "driftd_feature_invalid_type_ratio",
            "driftd_feature_missing_ratio",
            "driftd_feature_out_of_range_ratio",
            "driftd_feature_present",
            "driftd_feature_unseen_category_ratio",
            "driftd_feature_usable",
            "driftd_prediction_drift_detected",
            "driftd_prediction_drift_p_value",
            "driftd_prediction_drift_threshold",
            "driftd_window_observations",
        ],
    ),
    (
        &["model", "feature", "statistic"],
        &["driftd_confidence_drift_score", "driftd_prediction_drift_score"],
    ),
    (&["model", "feature", "statistic", "span"], &["driftd_feature_drift_score"]),
    (&["model", "feature", "statistic", "level"], &["driftd_feature_drift_threshold"]),
    (&["model", "feature", "level"], &["driftd_feature_drift_detected"]),
    (&["model", "feature", "kind"], &["driftd_feature_fault"]),
    (&["model", "kind"], &["driftd_model_fault"]),
    (
        &["model", "state"],
        &["driftd_incident_state", "driftd_model_drift_state", "driftd_retraining_runs_total"],
    ),
    (&["model", "quality"], &["driftd_model_quality"]),
    (&["model", "status"], &["driftd_evaluation_status"]),
    (&["model", "reason"], &["driftd_retrain_suppressed_total"]),
    (&["model", "check", "severity"], &["driftd_check_passed"]),
    (&["model", "topic", "baseline", "baseline_digest"], &["driftd_model_info"]),
    (
        &["topic"],
        &[
            "driftd_consumer_assigned_partitions",
            "driftd_record_bytes_total",
            "driftd_records_consumed_total",
            "driftd_records_other_model_total",
        ],
    ),
    (
        &["topic", "model"],
        &[
            "driftd_duplicate_keys_total",
            "driftd_imprecise_numbers_total",
            "driftd_keys_looked_up_total",
            "driftd_records_late_total",
        ],
    ),
    (&["topic", "model", "reason"], &["driftd_records_rejected_total"]),
    (&["topic", "cause"], &["driftd_records_lost_total"]),
    (&["topic", "partition"], &["driftd_consumer_lag_records"]),
    (
        &["target"],
        &[
            "driftd_webhook_delivery_duration_seconds",
            "driftd_webhook_oldest_pending_timestamp_seconds",
            "driftd_webhook_queue_length",
        ],
    ),
    (&["target", "outcome"], &["driftd_webhook_deliveries_total"]),
    (&["kind"], &["driftd_state_rejected_total"]),
    (&["fate"], &["driftd_dead_letters_total"]),
    (&["version"], &["driftd_build_info"]),
];

/// The labels of a family, in their order.
pub(super) fn of(family: &str) -> &'static [&'static str] {
    let found = OF.iter().find(|(_, families)| families.contains(&family));
    found.map_or(&[], |(labels, _)| labels)
}

/// Whether a series with these labels is one of the family; what is not ours may have any.
pub(super) fn are_of(family: &str, labels: &[(&str, &str)]) -> bool {
    !family.starts_with("driftd") || labels.iter().map(|(name, _)| name).eq(of(family))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::families;

    #[test]
    fn every_name_is_a_family_and_stands_once() {
        let known: BTreeSet<&str> = families().iter().map(|family| family.name).collect();
        let mut seen = BTreeSet::new();
        for name in OF.iter().flat_map(|(_, families)| *families) {
            assert!(known.contains(name) && seen.insert(name), "{name}");
        }
        assert_eq!(of("driftd_unclean_ends"), &[] as &[&str]);
        assert!(are_of("driftd_model_fault", &[("model", "m"), ("kind", "lag")]));
        assert!(!are_of("driftd_model_fault", &[("kind", "lag"), ("model", "m")]));
        assert!(!are_of("driftd_unclean_ends", &[("model", "m")]));
    }
}
