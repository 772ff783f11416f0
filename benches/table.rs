//! The one table that all benches write to.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;

use serde_json::json;

/// A ratio that was measured: `better` is how many times better driftd was than `peer`.
///
/// `reach` is what it is meant to be, if anything. Goes to standard output, and to the file that
/// `DRIFTD_BENCH_TABLE` names, from which `benches/table.py` makes the table.
pub(crate) fn row(stage: &str, what: &str, peer: &str, better: f64, reach: Option<f64>) {
    let goal = reach.map_or(String::new(), |reach| format!("  (to reach: {reach})"));
    println!("{stage:10} {what:44} {peer:34} {better:8.2}x{goal}");
    if let Some(path) = env::var_os("DRIFTD_BENCH_TABLE") {
        let line = json!({
            "stage": stage, "what": what, "peer": peer, "better": better, "reach": reach,
        });
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("it opens");
        writeln!(file, "{line}").expect("it can be written");
    }
}
