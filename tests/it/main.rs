//! The program from outside: one binary, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on fails it")]
#![expect(clippy::panic, reason = "a helper of a test that cannot go on fails it")]
#![expect(clippy::float_cmp, reason = "counts on /metrics are whole numbers")]

mod baseline;
mod baseline_lakefs;
mod baseline_mlflow;
mod baseline_s3;
mod baseline_stores;
mod baseline_tables;
mod certificates;
mod compare;
mod config;
mod corpus;
mod daemon;
mod deliver;
mod deliver_argo;
mod deliver_confirm;
mod deliver_docs;
mod deliver_github_app;
mod deliver_notifiers;
mod deliver_presets;
mod docs;
mod faults;
mod guarantees;
mod http;
mod kafka_real;
mod memory;
mod random;
mod records;
mod replay;
mod running;
mod seasons;
mod secure_client;
mod secure_docs;
mod secure_http;
mod secure_kafka;
mod servers;
mod source;
mod store;
mod tune;
