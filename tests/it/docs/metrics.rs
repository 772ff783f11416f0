//! `docs/metrics.md` lists every family of the program; `DRIFTD_WRITE_DOCS=1` writes it anew.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use driftd::metrics::families;

use super::root;

const HEAD: &str = "# Metrics reference

Everything on `/metrics` of the public listener (`:9464`), written from the program by a test. A score that can't be computed is absent, not NaN,
and `driftd_evaluation_status` says why; versions and digests stand only on `driftd_model_info`; nothing from a record ever becomes a label.
Beside these there are `process_*` as Prometheus' own clients have them. Alerts on them: [runbooks](runbooks/README.md); dashboards: [deploy.md](deploy.md).

| label | is |
|---|---|
| `model`, `topic`, `partition` | as in the configuration and in Kafka |
| `feature` | the column of the baseline; of `driftd_prediction_*` and `driftd_confidence_*` the one that holds the output |
| `statistic` | `psi`, `js`, `ks`, `wasserstein` or what `metrics.statistics` lists |
| `span` | `window`: over the window; `onset`: since the drift began |
| `level` | `notice`, `warning`, `retrain` |
| `state`, `quality`, `status`, `kind`, `reason` | a word of a closed set; a gauge is 1 for what is so now and 0 for the others |
| `check`, `severity` | the check's name; `info`, `warning`, `critical` |
| `target`, `outcome` | who is sent to (`retraining_trigger/MODEL`, `slack/CHANNEL`, ...); `accepted`, `already_there`, `retry`, `slow_retry`, `stopped`, `gave_up` |
| `cause`, `fate` | why records are lost; `written`, `failed`, `dropped` |
| `version`, `baseline`, `baseline_digest` | of the program; where the baseline is from, and its SHA-256 |

| family | type | labels | what |
|---|---|---|---|
";

#[test]
fn the_metrics_reference_is_what_the_program_exports() {
    let mut reference = HEAD.to_owned();
    for family in families() {
        let labels: Vec<String> = family.labels.iter().map(|name| format!("`{name}`")).collect();
        for label in &labels {
            let rows = HEAD.lines().filter(|line| line.starts_with("| `"));
            let told = rows.filter(|row| row.split(" | ").next().unwrap().contains(label)).count();
            assert_eq!(told, 1, "what is the label {label}?");
        }
        let (name, kind, help) = (family.name, family.kind, family.help);
        writeln!(reference, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    let path = root().join("docs/metrics.md");
    if env::var_os("DRIFTD_WRITE_DOCS").is_some() {
        fs::write(&path, &reference).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference,
        "docs/metrics.md is older than the program: DRIFTD_WRITE_DOCS=1 cargo test --test it docs::"
    );
}

/// Names of families in the sources of the metrics, outside of tests.
fn named() -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut left: Vec<PathBuf> = vec![root().join("src/metrics.rs"), root().join("src/metrics")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        let names = text.split("\"driftd_").skip(1).filter_map(|rest| rest.split('"').next());
        named.extend(names.map(|name| format!("driftd_{name}")));
    }
    named
}

#[test]
fn no_family_is_left_out() {
    let known: BTreeSet<String> = families().iter().map(|f| f.name.to_owned()).collect();
    assert_eq!(named().difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(known.len() > 50, "{}", known.len());
}
