//! driftd watches what a model is fed: Kafka to rolling histograms, compared with the training baseline.
//!
//! Modules in data-path order; a module imports only from those below it (`tidy.rs` holds the rule).

pub mod cli;
pub mod pipeline;
pub mod config;
// Edges: all I/O lives here.
pub mod source;
pub mod store;
pub mod fetch;
pub mod deliver;
pub mod http;
pub mod kafka;
pub mod client;
pub mod clock;
pub mod metrics;
pub mod report;
// Core: functions of their arguments.
pub mod decide;
pub mod compare;
pub mod window;
pub mod baseline;
pub mod histogram;
pub mod decode;
pub mod codec;
pub mod dice;
pub mod feature;
pub mod offsets;
pub mod setting;
#[cfg(test)]
mod tidy;
