//! Baselines in an S3-compatible store (moto).

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use driftd::baseline::Baseline;

use crate::servers::Moto;

const DRIFTD: &str = env!("CARGO_BIN_EXE_driftd");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn driftd(endpoint: &str, args: &[&str]) -> Output {
    Command::new(DRIFTD)
        .args(args)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "only-for-this-test")
        .output()
        .unwrap()
}

fn build(moto: &Moto, location: &str, output: &str) -> Baseline {
    let done = driftd(&moto.endpoint(), &["baseline", "build", location, "-o", output]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    Baseline::from_json(&fs::read(output).unwrap()).unwrap()
}

#[test]
fn objects_and_prefixes_are_the_same_baseline_as_files() {
    let Some(moto) = Moto::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("profile.json");
    let output = output.to_str().unwrap();
    let fixture = |name: &str| format!("{ROOT}/fixtures/baseline/{name}");
    let body = |name: &str| fs::read(fixture(name)).unwrap();
    moto.create_bucket("ml-data");
    moto.put("ml-data", "training/v1/reference.parquet", &body("pandas_zstd.parquet"));
    moto.put("ml-data", "training/v2/part-00000.parquet", &body("parts/part-00000.parquet"));
    moto.put("ml-data", "training/v2/part-00001.parquet", &body("parts/part-00001.parquet"));
    moto.put("ml-data", "training/v2/_SUCCESS", b"");
    moto.put("ml-data", "bad.parquet", b"PAR1 nothing");

    let local = build(&moto, &fixture("pandas_zstd.parquet"), output);
    let object = build(&moto, "s3://ml-data/training/v1/reference.parquet", output);
    assert_eq!(object.features, local.features);
    assert_eq!(object.source, "s3://ml-data/training/v1/reference.parquet");
    let prefix = build(&moto, "s3://ml-data/training/v2", output);
    assert_eq!(prefix.features, local.features);
    assert_eq!(build(&moto, "s3://ml-data/training/v2/", output).digest, prefix.digest);

    moto.put("ml-data", "profile.json", local.to_json().as_bytes());
    assert_eq!(build(&moto, "s3://ml-data/profile.json", output), local);

    for (location, word) in [
        ("s3://ml-data/nowhere", "no such file"),
        ("s3://ml-data/bad.parquet", "s3://ml-data/bad.parquet: the Parquet file is truncated"),
        ("s3://ml-data", "no store of this kind"),
    ] {
        let done = driftd(&moto.endpoint(), &["baseline", "show", location]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(78), "{said}");
        assert!(said.contains(word), "{location}: {said}");
        assert!(!said.contains("only-for-this-test"), "{said}");
    }
}

#[test]
fn a_store_that_does_not_answer_is_a_failure_that_may_pass() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let done = driftd(&endpoint, &["baseline", "show", "s3://bucket/key.parquet"]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("s3://bucket/key.parquet: the store can't be reached"), "{said}");
}
