//! What every fuzz target does with one input; a check that fails panics.
//!
//! The targets in `fuzz_targets` call them, and so does `tests/it/corpus.rs` with the corpus.

pub mod codec;
pub mod config;
pub mod count_categorical;
pub mod count_numeric;
pub mod decode_json;
pub mod import;
mod input;
mod json_model;
mod json_tree;
mod json_twice;
mod json_value;
pub mod settings;
pub mod store;
pub mod stored;
