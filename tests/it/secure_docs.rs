//! The configurations of docs/security.md are accepted as they stand, and its tables name what there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use driftd::http::routes;
use parquet::arrow::ArrowWriter;

use crate::certificates::Authority;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn blocks(page: &str) -> Vec<String> {
    let after = page.split("```yaml\n").skip(1);
    after.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_configuration_of_the_page_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "kafka-ca");
    for name in ["clients-ca.crt", "internal-ca.crt"] {
        fs::copy(ca.path(), dir.path().join(name)).unwrap();
    }
    ca.sign("tls");
    for name in ["driftd-token", "argo-token", "kafka-token", "kafka-password"] {
        fs::write(dir.path().join(name), "0123456789abcdef0123456789abcdef\n").unwrap();
    }
    let amounts: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..10_000).map(|i| f64::from(i % 100))));
    let batch = RecordBatch::try_from_iter([("amount", amounts)]).unwrap();
    let file = fs::File::create(dir.path().join("fraud.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let blocks = blocks(&page("docs/security.md"));
    assert_eq!(blocks.len(), 8);
    let here = format!("{}/", dir.path().display());
    for (n, block) in blocks.iter().enumerate() {
        let places = ["/etc/driftd/", "/run/secrets/", "/baselines/"];
        let text = places.iter().fold(block.clone(), |text, place| text.replace(place, &here));
        let file = dir.path().join(format!("block-{n}.yaml"));
        fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_driftd"))
            .args(["validate", "--offline", "--rate", "100000", "-c"])
            .arg(&file)
            .output()
            .unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{block}\n{out}{err}");
    }
    // The files count: without one the block that names it is refused, by its key.
    fs::remove_file(dir.path().join("tls.key")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_driftd"))
        .args(["validate", "--offline", "-c"])
        .arg(dir.path().join("block-0.yaml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("http.admin_tls.key_file"), "{said}");
}

#[test]
fn every_command_is_in_the_table_of_routes() {
    let page = page("SECURITY.md");
    for route in routes() {
        let known = page.contains(route.path) || route.path.starts_with("/api/v1/");
        assert!(known, "{} {}", route.method, route.path);
        if route.method != "GET" {
            assert!(page.contains(&format!("{}`", route.path)), "{} {}", route.method, route.path);
        }
    }
}

/// Every key that names a file is in the table of when it is read, and nothing else is.
#[test]
fn the_table_of_files_has_every_key_that_names_one() {
    let (reference, page) = (page("docs/configuration.md"), page("docs/security.md"));
    let keys: BTreeSet<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|key| key.ends_with("_file"))
        .filter_map(|key| key.rsplit('.').next())
        .collect();
    let table = page.lines().skip_while(|line| !line.starts_with("| file |")).skip(2);
    let rows: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
    let cells = rows.iter().filter_map(|row| row.split('|').nth(1));
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: BTreeSet<&str> = quoted
        .filter_map(|name| name.rsplit('.').next())
        .filter(|name| name.ends_with("_file") && !name.starts_with('*'))
        .collect();
    assert_eq!(named, keys);
    assert!(rows.len() > 5 && keys.contains("confirm_token_file"), "{rows:?} {keys:?}");
}
