//! What people and scripts are shown: verdicts as JSON and as text.

pub mod api;
pub mod compare;
pub mod page;
pub mod replay;
pub mod svg;
pub mod table;
pub mod tune;
pub mod words;
