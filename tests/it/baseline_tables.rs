//! Baselines that something else names: Delta tables, data under DVC, and lakeFS.

use std::fs;
use std::path::Path;

use md5::{Digest, Md5};

use crate::baseline_stores::{Tag, Web, body, build, fixture, read, refused};
use crate::servers::Moto;

/// A folder with all below it, as the files of a store.
fn put_folder(folder: &Path, prefix: &str, put: &dyn Fn(&str, &[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let key = format!("{prefix}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            put_folder(&path, &key, put);
        } else {
            put(&key, &fs::read(&path).unwrap());
        }
    }
}

fn s3(endpoint: &str) -> Vec<(&str, &str)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "only-for-this-test"),
    ]
}

/// The rows of each version, as delta-rs counts them (`make_delta.py`).
const ROWS: [(u64, u64); 5] = [(0, 700), (1, 1200), (2, 594), (3, 694), (4, 694)];

#[test]
fn a_delta_table_is_the_rows_of_a_version() {
    let table = fixture("delta");
    for (version, rows) in ROWS {
        assert_eq!(build(&[], &format!("{table}@v{version}")).rows, rows, "version {version}");
    }
    let newest = build(&[], &table);
    assert!(read(&[], &table, "{}").ends_with(&newest.digest));
    assert_eq!(newest.rows, 694);
    let digest = |version: u64| build(&[], &format!("{table}@v{version}")).digest;
    assert_eq!(newest.digest, digest(3), "to rewrite the same rows is no new baseline");
    assert_ne!(digest(3), digest(2));
    let (said, code) = refused(&[], &format!("{table}@v9"));
    assert_eq!(code, Some(78));
    assert!(said.contains("delta@v9: the Delta table has no version 9; its newest is 4"), "{said}");

    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("lake");
    put_folder(Path::new(&table), "tables/train", &|key, bytes| moto.put("lake", key, bytes));
    let endpoint = moto.endpoint();
    let env = s3(&endpoint);
    let remote = build(&env, "s3://lake/tables/train");
    assert_eq!(remote.features, newest.features);
    assert_eq!(remote.digest, newest.digest, "the same table wherever it is");
    assert_eq!(build(&env, "s3://lake/tables/train@v1").rows, 1200);
}

/// A table whose log is `lines`, beside one Parquet file.
fn table(folder: &Path, lines: &[&str]) -> String {
    fs::create_dir_all(folder.join("_delta_log")).unwrap();
    fs::write(folder.join("a b.parquet"), body("pandas_zstd.parquet")).unwrap();
    fs::write(folder.join("_delta_log/00000000000000000000.json"), lines.join("\n")).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// What is said of version 2 of the fixture, once its log begins with a checkpoint as of `checkpoint`, holds the
/// commit that made it if that `is_kept`, and commits that only set properties as versions `idle`.
fn cleaned_up(folder: &Path, checkpoint: u64, is_kept: bool, idle: &[u64]) -> String {
    let log = folder.join("_delta_log");
    fs::remove_dir_all(&log).ok();
    fs::create_dir_all(&log).unwrap();
    let own = |end: &str| fixture(&format!("delta/_delta_log/{:020}.{end}", 2));
    let end = "checkpoint.parquet";
    fs::copy(own(end), log.join(format!("{checkpoint:020}.{end}"))).unwrap();
    if is_kept {
        fs::copy(own("json"), log.join(format!("{:020}.json", 2))).unwrap();
    }
    let properties = concat!(
        r#"{"metaData":{"id":"x","schemaString":"{}","partitionColumns":[],"#,
        r#""configuration":{"delta.logRetentionDuration":"interval 9 days"}}}"#
    );
    for version in idle {
        fs::write(log.join(format!("{version:020}.json")), properties).unwrap();
    }
    read(&[], folder.to_str().unwrap(), "{}")
}

#[test]
fn what_happens_to_the_log_of_a_delta_table_alone_is_no_new_baseline() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture("delta")).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let of = |checkpoint, is_kept, idle: &[u64]| {
        let said = cleaned_up(folder.path(), checkpoint, is_kept, idle);
        assert!(said.contains(": 594 rows"), "{said}");
        said
    };
    assert_eq!(of(2, true, &[3, 4]), of(2, true, &[]), "settings of the table are no rows");
    // The commit that changed the rows is gone, and those behind it go one by one.
    let old = of(2, false, &[3, 4]);
    assert_eq!(of(3, false, &[3, 4]), old);
    assert_eq!(of(4, false, &[4]), old);
    assert_eq!(of(4, false, &[]), old);
}

#[test]
fn what_a_plain_reader_would_get_wrong_of_a_delta_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plain = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#;
    let add = r#"{"add":{"path":"a%20b.parquet","dataChange":true}}"#;
    let location = table(folder.path(), &[plain, add]);
    assert_eq!(build(&[], &location).rows, 1200, "a path is escaped");
    let deleted = concat!(
        r#"{"add":{"path":"a%20b.parquet","dataChange":true,"#,
        r#""deletionVector":{"storageType":"u","pathOrInlineDv":"x","cardinality":1}}}"#
    );
    // An update of a deletion vector adds the file before it removes it.
    let updated = r#"{"remove":{"path":"a%20b.parquet","dataChange":true}}"#;
    let mapped = r#"{"metaData":{"configuration":{"delta.columnMapping.mode":"name"}}}"#;
    let variant = concat!(
        r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"#,
        r#""readerFeatures":["deletionVectors","variantType"]}}"#
    );
    for (lines, word) in [
        (vec![plain, deleted], "has a deletion vector for a%20b.parquet"),
        (vec![plain, deleted, updated], "has a deletion vector for a%20b.parquet"),
        (vec![plain, mapped, add], "delta.columnMapping.mode = name"),
        (vec![variant, add], "needs a reader of version 3 with variantType"),
        (vec![plain, r#"{"add":{"path":"s3://other/x.parquet"}}"#], "has a file elsewhere"),
        (vec![plain, r#"{"add":{"path":"../x.parquet"}}"#], "has a file elsewhere"),
        (vec![plain, r#"{"add":{"path":"%2e%2e/x.parquet"}}"#], "has a file elsewhere"),
        (vec![plain, "{"], "no commit"),
        (vec![plain], "no rows"),
    ] {
        let location = table(folder.path(), &lines);
        let (said, code) = refused(&[], &location);
        assert_eq!(code, Some(78), "{lines:?}: {said}");
        assert!(said.contains(word) && said.contains(&location), "{lines:?}: {said}");
    }
    fs::rename(
        folder.path().join("_delta_log/00000000000000000000.json"),
        folder.path().join("_delta_log/00000000000000000007.json"),
    )
    .unwrap();
    let (said, _) = refused(&[], folder.path().to_str().unwrap());
    assert!(said.contains("_delta_log/00000000000000000000.json is gone"), "{said}");
}

/// A repository with a file and a folder under DVC, as `dvc add` and `dvc push` of DVC 3.67 leave it.
fn repository(folder: &Path, url: &str) {
    fs::create_dir_all(folder.join(".dvc")).unwrap();
    fs::create_dir_all(folder.join("data")).unwrap();
    let config = format!(
        "[core]\n    no_scm = True\n    remote = store\n['remote \"store\"']\n    url = {url}\n"
    );
    fs::write(folder.join(".dvc/config"), config).unwrap();
    fs::write(
        folder.join("data/reference.parquet.dvc"),
        "outs:\n- md5: bda5865b2e750db46cbef37f1d834edf\n  size: 72174\n  hash: md5\n  \
         path: reference.parquet\n",
    )
    .unwrap();
    fs::write(
        folder.join("data/parts.dvc"),
        "outs:\n- md5: da91b62af332aaf3c779a4ef307ae100.dir\n  size: 75293\n  nfiles: 2\n  \
         hash: md5\n  path: parts\n",
    )
    .unwrap();
}

fn push(put: &dyn Fn(&str, &[u8])) {
    let listing = concat!(
        r#"[{"md5": "1561d97e50c17784a3c0f9f92741ee0c", "relpath": "part-00000.parquet"}, "#,
        r#"{"md5": "472ebb345e5d278df4e2f51ee842e747", "relpath": "part-00001.parquet"}]"#
    );
    put("files/md5/bd/a5865b2e750db46cbef37f1d834edf", &body("pandas_zstd.parquet"));
    put("files/md5/da/91b62af332aaf3c779a4ef307ae100.dir", listing.as_bytes());
    put("files/md5/15/61d97e50c17784a3c0f9f92741ee0c", &body("parts/part-00000.parquet"));
    put("files/md5/47/2ebb345e5d278df4e2f51ee842e747", &body("parts/part-00001.parquet"));
}

/// Where content of a hash lies, and what it is after a bit of it has turned over.
fn damaged(md5: &str, fixture: &str) -> (String, Vec<u8>) {
    let mut bytes = body(fixture);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    (format!("files/md5/{}/{}", &md5[..2], &md5[2..]), bytes)
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn content_that_has_another_md5_than_dvc_knows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (repo, store) = (folder.path().join("repo"), folder.path().join("store"));
    repository(&repo, "../../store");
    let put = |key: &str, bytes: &[u8]| {
        fs::create_dir_all(store.join(key).parent().unwrap()).unwrap();
        fs::write(store.join(key), bytes).unwrap();
    };
    push(&put);
    let file = format!("dvc:{}/data/reference.parquet", repo.display());
    let parts = format!("dvc:{}/data/parts.dvc", repo.display());
    let check = |location: &str, name: &str, key: &str, bytes: &[u8], expected: &str| {
        let (whole, found) = (fs::read(store.join(key)).unwrap(), md5(bytes));
        put(key, bytes);
        let (said, code) = refused(&[], location);
        assert_eq!(code, Some(78), "{said}");
        for part in [location, name, key, &found, expected, "`dvc push` again"] {
            assert!(said.contains(part), "{part} in {said}");
        }
        put(key, &whole);
        assert_eq!(build(&[], location).rows, 1200);
    };
    let md5_of_file = "bda5865b2e750db46cbef37f1d834edf";
    let (key, bytes) = damaged(md5_of_file, "pandas_zstd.parquet");
    check(&file, "reference.parquet is damaged", &key, &bytes, md5_of_file);
    let md5_of_part = "472ebb345e5d278df4e2f51ee842e747";
    let (key, bytes) = damaged(md5_of_part, "parts/part-00001.parquet");
    check(&parts, "part-00001.parquet is damaged", &key, &bytes, md5_of_part);
    // A listing of other files that are there and whole.
    let other = concat!(
        r#"[{"md5": "472ebb345e5d278df4e2f51ee842e747", "relpath": "part-00000.parquet"}, "#,
        r#"{"md5": "472ebb345e5d278df4e2f51ee842e747", "relpath": "part-00001.parquet"}]"#
    );
    let key = "files/md5/da/91b62af332aaf3c779a4ef307ae100.dir";
    let expected = "by da91b62af332aaf3c779a4ef307ae100;";
    check(&parts, "the listing of the folder", key, other.as_bytes(), expected);
    // What is compared once is held to it, too.
    let (key, bytes) = damaged(md5_of_file, "pandas_zstd.parquet");
    put(&key, &bytes);
    let reference = fixture("pandas_zstd.parquet");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_driftd"))
        .args(["compare", &reference, &file])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("has the MD5"), "{said}");
}

#[test]
fn dvc_2_hashes_text_as_if_its_lines_ended_as_on_unix() {
    let folder = tempfile::tempdir().unwrap();
    let (repo, store) = (folder.path().join("repo"), folder.path().join("store"));
    repository(&repo, "../../store");
    let profile = driftd::baseline::Baseline {
        source: "elsewhere".to_owned(),
        ..build(&[], &fixture("pandas_zstd.parquet"))
    };
    let unix = profile.to_json().replace(",\"", ",\n\"");
    let windows = unix.replace('\n', "\r\n");
    let hash = md5(unix.as_bytes());
    let track = |more: &str, folder: &str, bytes: &[u8]| {
        let text = format!("outs:\n- md5: {hash}\n{more}  path: profile.json\n");
        fs::write(repo.join("data/profile.json.dvc"), text).unwrap();
        let place = store.join(folder).join(&hash[..2]);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(&hash[2..]), bytes).unwrap();
        format!("dvc:{}/data/profile.json", repo.display())
    };
    // Without `hash:` it is of DVC 2, which has no folder `files/md5` either.
    for text in [&unix, &windows] {
        let location = track("", "", text.as_bytes());
        assert_eq!(build(&[], &location).rows, 1200);
    }
    let location = track("", "", windows.replacen("elsewhere", "elsewhErE", 1).as_bytes());
    let (said, _) = refused(&[], &location);
    assert!(said.contains("profile.json is damaged"), "{said}");
    let location = track("  hash: md5\n", "files/md5", windows.as_bytes());
    let (said, _) = refused(&[], &location);
    assert!(said.contains("profile.json is damaged"), "{said}");
    let location = track("  hash: md5\n", "files/md5", unix.as_bytes());
    assert_eq!(build(&[], &location).rows, 1200);
}

#[test]
fn data_under_dvc_are_found_by_their_hash() {
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("repo");
    repository(&repo, "../../store");
    let store = folder.path().join("store");
    push(&|key, bytes| {
        fs::create_dir_all(store.join(key).parent().unwrap()).unwrap();
        fs::write(store.join(key), bytes).unwrap();
    });
    let file = format!("dvc:{}/data/reference.parquet.dvc", repo.display());
    let parts = format!("dvc:{}/data/parts", repo.display());
    let local = build(&[], &fixture("pandas_zstd.parquet"));
    let tracked = build(&[], &file);
    let source = format!("{file} (md5 bda5865b2e750db46cbef37f1d834edf)");
    assert_eq!((&tracked.features, &tracked.source), (&local.features, &source));
    let folder_of_parts = build(&[], &parts);
    assert_eq!(folder_of_parts.features, local.features);
    assert!(folder_of_parts.source.ends_with("(md5 da91b62af332aaf3c779a4ef307ae100.dir)"));
    assert!(read(&[], &parts, "{}").contains("/parts (md5 da91b62a"));
    let limits = format!(r#"{{"baseline_root": "{}"}}"#, repo.display());
    let said = read(&[], &file, &limits);
    assert!(said.contains("lies outside baseline_root"), "{said}");

    let change = |from: &str, to: &str| {
        for name in ["data/reference.parquet.dvc", ".dvc/config"] {
            let text = fs::read_to_string(repo.join(name)).unwrap();
            fs::write(repo.join(name), text.replace(from, to)).unwrap();
        }
    };
    for (from, to, word) in [
        ("bda5865b", "00000000", "is not there"),
        ("md5: 00000000", "md5: ../../..", "has no md5"),
        ("remote = store", "remote = other", "has no md5"),
        ("md5: ../../..", "md5: bda5865b", "has no url of the remote other"),
        ("remote = other", "", "names no default remote"),
        ("no_scm", "remote = store\n    no_scm", ""),
        ("../../store", "ssh://host/store", "the remote store is ssh://"),
    ] {
        change(from, to);
        let (said, code) = refused(&[], &file);
        match word {
            "" => assert_eq!(code, Some(0), "{said}"),
            word => assert!(said.contains(word) && said.contains(&file), "{from} {to}: {said}"),
        }
    }
    let (said, _) = refused(&[], "dvc:nowhere/reference.parquet");
    assert!(said.contains("nowhere/reference.parquet.dvc: no such file"), "{said}");
}

/// As `dvc repro` of DVC 3 leaves them.
const LOCK: &str = "schema: '2.0'
stages:
  featurize@eu:
    cmd:
    - python featurize.py eu
    deps:
    - path: ../raw.csv
      hash: md5
      md5: 00000000000000000000000000000000
      size: 12
    params:
      params.yaml:
        seed: 7
    outs:
    - path: parts
      hash: md5
      md5: da91b62af332aaf3c779a4ef307ae100.dir
      size: 75293
      nfiles: 2
  train:
    cmd: python train.py
    outs:
    - path: model/reference.parquet
      hash: md5
      md5: bda5865b2e750db46cbef37f1d834edf
      size: 72174
";

#[test]
fn outputs_of_a_pipeline_are_found_in_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("repo");
    repository(&repo, "../../store");
    fs::remove_dir_all(repo.join("data")).unwrap();
    fs::write(repo.join("dvc.lock"), LOCK).unwrap();
    let store = folder.path().join("store");
    push(&|key, bytes| {
        fs::create_dir_all(store.join(key).parent().unwrap()).unwrap();
        fs::write(store.join(key), bytes).unwrap();
    });
    let at = |path: &str| format!("dvc:{}/{path}", repo.display());
    let local = build(&[], &fixture("pandas_zstd.parquet"));
    let file = at("model/reference.parquet");
    let found = build(&[], &file);
    let source = format!("{file} (md5 bda5865b2e750db46cbef37f1d834edf)");
    assert_eq!((&found.features, &found.source), (&local.features, &source));
    // A stage that runs in a folder of its own names what it makes from there.
    let (said, _) = refused(&[], &at("data/eu/parts"));
    assert!(said.contains("dvc.lock has no output") && said.contains("/repo/parts"), "{said}");
    let stages = "stages:\n  featurize:\n    foreach: [eu]\n    do:\n      wdir: data/${item}\n      cmd: x\n";
    fs::write(repo.join("dvc.yaml"), stages).unwrap();
    assert_eq!(build(&[], &at("data/eu/parts")).features, local.features);
    let (said, _) = refused(&[], &at("parts"));
    assert!(said.contains("/repo/data/eu/parts"), "{said}");

    // A push that was cut short.
    let place = store.join("files/md5/bd/a5865b2e750db46cbef37f1d834edf");
    let whole = fs::read(&place).unwrap();
    fs::write(&place, &whole[..70_000]).unwrap();
    let (said, code) = refused(&[], &file);
    assert!(
        code == Some(78) && said.contains("has 70000 bytes of files/md5/bd/a5865b2e"),
        "{said}"
    );
    assert!(said.contains("DVC knows of 72174"), "{said}");
    fs::write(&place, whole).unwrap();

    // What another run made is another baseline; damage is told with its place.
    let text = LOCK.replace("bda5865b2e750db46cbef37f1d834edf", "472ebb345e5d278df4e2f51ee842e747");
    let size = body("parts/part-00001.parquet").len();
    let text = text.replace("size: 72174", &format!("size: {size}"));
    fs::write(repo.join("dvc.lock"), text).unwrap();
    let next = build(&[], &file);
    assert!(next.digest != found.digest && next.rows != found.rows);
    fs::write(repo.join("dvc.lock"), "stages: {").unwrap();
    let (said, code) = refused(&[], &file);
    assert!(code == Some(78) && said.contains("dvc.lock can't be understood"), "{said}");
    fs::write(repo.join("dvc.lock"), "#".repeat(1 << 20)).unwrap();
    let (said, _) = refused(&[], &file);
    assert!(said.contains("larger than 1 MiB"), "{said}");
}

#[test]
fn a_remote_of_dvc_and_a_repository_of_lakefs_are_read_from_s3() {
    let Some(moto) = Moto::start() else { return };
    moto.create_bucket("ml-data");
    let endpoint = moto.endpoint();
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path(), &format!("s3://ml-data/dvc\n    endpointurl = {endpoint}"));
    push(&|key, bytes| moto.put("ml-data", &format!("dvc/{key}"), bytes));
    let local = build(&[], &fixture("pandas_zstd.parquet"));
    // Where the store is comes from the remote; who asks, from the environment.
    let env = &s3(&endpoint)[1..];
    for name in ["reference.parquet", "parts"] {
        let location = format!("dvc:{}/data/{name}.dvc", folder.path().display());
        let tracked = build(env, &location);
        assert_eq!(tracked.features, local.features);
        assert!(tracked.source.starts_with(&format!("{location} (md5 ")), "{}", tracked.source);
    }
    // What lies there under its name is another file of the same size.
    let (key, damaged) = damaged("bda5865b2e750db46cbef37f1d834edf", "pandas_zstd.parquet");
    moto.put("ml-data", &format!("dvc/{key}"), &damaged);
    let location = format!("dvc:{}/data/reference.parquet.dvc", folder.path().display());
    let (said, code) = refused(env, &location);
    assert_eq!(code, Some(78), "{said}");
    let place = format!("s3://ml-data/dvc/{key} has the MD5 ");
    assert!(said.contains(&place) && said.contains("bda5865b2e750db4"), "{said}");

    // A whole bucket, and a folder of a web server.
    moto.create_bucket("dvc-store");
    repository(folder.path(), &format!("s3://dvc-store\n    endpointurl = {endpoint}"));
    push(&|key, bytes| moto.put("dvc-store", key, bytes));
    let file = format!("dvc:{}/data/reference.parquet", folder.path().display());
    assert_eq!(build(env, &file).features, local.features);
    let web = Web::start(body("pandas_zstd.parquet"), Tag::Strong, usize::MAX);
    repository(folder.path(), &web.url("/store"));
    let said = read(&[], &file, r#"{"http": {"allow_http": true}}"#);
    assert!(said.contains("1200 rows"), "{said}");

    // The gateway of lakeFS: a bucket is a repository, a key begins with a ref.
    moto.create_bucket("features");
    moto.put("features", "main/train/reference.parquet", &body("pandas_zstd.parquet"));
    let location = "lakefs://features/main/train/reference.parquet";
    let url = format!("{endpoint}/api/v1");
    let env = [
        ("LAKECTL_SERVER_ENDPOINT_URL", &*url),
        ("LAKECTL_CREDENTIALS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", "only-for-this-test"),
    ];
    let allowed = r#"{"lakefs": {"allow_http": true}}"#;
    let said = read(&env, location, allowed);
    assert!(said.contains(&format!("baseline {location}: 1200 rows")), "{said}");
    let said = read(&env, "lakefs://features/dev/x.parquet", allowed);
    assert!(said.contains("lakefs://features/dev/x.parquet: no such file"), "{said}");
    let (said, code) = refused(&env[..1], location);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("set LAKECTL_CREDENTIALS_ACCESS_KEY_ID"), "{said}");
    let (said, _) = refused(&[], location);
    assert!(said.contains("set `baselines.lakefs.endpoint`"), "{said}");
}
