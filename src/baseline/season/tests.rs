//! Tests of seasons.
