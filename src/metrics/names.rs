//! The names of the families that stages record, and what each says.

use crate::metrics::text::Kind;

pub(super) const COUNTERS: [(&str, &str); 21] = [
    ("driftd_records_consumed_total", "Records read from the topic."),
    ("driftd_record_bytes_total", "Payload bytes of the records read."),
    ("driftd_records_rejected_total", "Records or rows that could not be used, by reason."),
    ("driftd_dead_letters_total", "Copies of rejected records, by what became of them."),
    ("driftd_records_late_total", "Records whose pane was closed already; not counted into it."),
    ("driftd_records_other_model_total", "Records of the topic that belong to no model of ours."),
    ("driftd_duplicate_keys_total", "Records in which a key came twice; the last one counted."),
    ("driftd_records_lost_total", "Records that were gone before they could be read, by cause."),
    ("driftd_imprecise_numbers_total", "Integers beyond 2^53: the nearest double was counted."),
    ("driftd_keys_looked_up_total", "JSON keys that came elsewhere than in the last record."),
    ("driftd_consumer_rebalances_total", "Assignments and revocations of partitions."),
    ("driftd_consumer_stall_recoveries_total", "Partitions that stood still and were restarted."),
    ("driftd_kafka_token_failures_total", "Kafka bearer tokens that could not be fetched or read."),
    ("driftd_panes_closed_total", "Panes closed."),
    ("driftd_partials_published_total", "Partial counts handed to evaluation."),
    ("driftd_state_snapshots_total", "Snapshots written."),
    ("driftd_state_snapshot_failures_total", "Snapshots that could not be written."),
    ("driftd_state_rejected_total", "State records that could not be used at start, by kind."),
    ("driftd_webhook_deliveries_total", "Attempts to deliver, by target and outcome."),
    ("driftd_baseline_refresh_failures_total", "New baselines that could not be used."),
    ("driftd_config_reload_failures_total", "Reloads that found the configuration unusable."),
];

pub(super) const GAUGES: [(&str, &str); 9] = [
    ("driftd_build_info", "The program that answers, by version."),
    ("driftd_unclean_ends", "Ends without a clean stop before this start, at the same offsets."),
    ("driftd_consumer_assigned_partitions", "Partitions of the topic that are ours."),
    ("driftd_state_snapshot_bytes", "Size of the last snapshot, in bytes."),
    ("driftd_baseline_last_refresh_timestamp_seconds", "Last time the baseline's source was read."),
    (
        "driftd_config_last_reload_successful",
        "1 when the configuration could be used when it was last read.",
    ),
    (
        "driftd_config_last_reload_success_timestamp_seconds",
        "Last time a configuration was loaded.",
    ),
    ("driftd_config_mismatch", "1 while other replicas count the model by another configuration."),
    ("driftd_config_warnings", "Things in the configuration that will not work as written."),
];

/// Upper edges in seconds: evaluations take milliseconds, deliveries up to their timeout.
pub(super) const HISTOGRAMS: [(&str, &str, &[f64]); 2] = [
    (
        "driftd_evaluation_duration_seconds",
        "Time that one evaluation of one model took.",
        &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5],
    ),
    (
        "driftd_webhook_delivery_duration_seconds",
        "Time that one attempt to deliver took.",
        &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
    ),
];

pub(super) type Named = (&'static str, Kind, &'static str);
pub(super) const WATERMARK: Named = (
    "driftd_event_watermark_timestamp_seconds",
    Kind::Gauge,
    "Event time up to which records have come; there while the model is evaluated here.",
);
pub(super) const EVALUATION: Named = (
    "driftd_last_evaluation_timestamp_seconds",
    Kind::Gauge,
    "Wall clock of the model's last evaluation; there while it is evaluated here.",
);
pub(super) const LAG: Named = (
    "driftd_consumer_lag_records",
    Kind::Gauge,
    "Records of the partition that are not read yet; there while the partition is ours.",
);
pub(super) const SNAPSHOT_AGE: Named =
    ("driftd_state_snapshot_age_seconds", Kind::Gauge, "Time since the last snapshot was written.");
pub(super) const QUEUE: Named =
    ("driftd_webhook_queue_length", Kind::Gauge, "Messages waiting for the target.");
pub(super) const OLDEST: Named = (
    "driftd_webhook_oldest_pending_timestamp_seconds",
    Kind::Gauge,
    "Since when the oldest message waits; absent when none does.",
);
