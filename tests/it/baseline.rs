//! Baselines through the real worker process: what writers write, and what nobody should.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use driftd::baseline::{Baseline, FeatureBaseline, Overrides, Trained, TrainedBy, Unusable};
use driftd::feature::{Kind, Role};
use driftd::fetch::{self, Config, Error, WorkerCommand};
use driftd::histogram::{CategoricalCells, Cells, Counts, NumericCells, Storage};
use driftd::setting::ByteSize;
use driftd::setting::Span;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

const DRIFTD: &str = env!("CARGO_BIN_EXE_driftd");

fn fixture(name: &str) -> String {
    format!("{}/fixtures/baseline/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn load_with(config: &Config, location: &str, overrides: &Overrides) -> Result<Baseline, Error> {
    block_on(fetch::load(config, location, overrides, &WorkerCommand::of(DRIFTD)))
}

fn load(location: &str) -> Result<Baseline, Error> {
    load_with(&Config::default(), location, &Overrides::default())
}

fn count_live(location: &str, reference: &Baseline) -> Result<Vec<Counts>, Error> {
    let worker = WorkerCommand::of(DRIFTD);
    block_on(fetch::count_live(&Config::default(), location, reference, &worker))
}

fn refused(location: &str) -> String {
    match load(location) {
        Ok(baseline) => panic!("{location} was read: {} rows", baseline.rows),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(location), "`{text}` does not name {location}");
            text
        }
    }
}

fn driftd(args: &[&str]) -> Output {
    Command::new(DRIFTD).args(args).output().unwrap()
}

fn feature<'a>(baseline: &'a Baseline, name: &str) -> &'a FeatureBaseline {
    baseline.features.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn numeric(feature: &FeatureBaseline) -> &NumericCells {
    match &feature.cells {
        Cells::Numeric(cells) => cells,
        Cells::Categorical(_) => panic!("{} is categorical", feature.name),
    }
}

fn write(path: &Path, columns: &[(&str, ArrayRef)]) {
    write_by(path, columns, Compression::ZSTD(ZstdLevel::default()));
}

fn write_by(path: &Path, columns: &[(&str, ArrayRef)], compression: Compression) {
    let batch =
        RecordBatch::try_from_iter(columns.iter().map(|(n, a)| (*n, Arc::clone(a)))).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn ramp(rows: i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..rows))
}

// What writers write.

#[test]
fn bins_and_quantiles_equal_numpy_and_pandas() {
    let golden: Value =
        serde_json::from_str(&fs::read_to_string(fixture("golden.json")).unwrap()).unwrap();
    let baseline = load(&fixture("pandas_zstd.parquet")).unwrap();
    assert_eq!(baseline.features.len(), golden.as_object().unwrap().len());
    for feature in &baseline.features {
        let wanted = &golden[&feature.name];
        match feature.kind {
            Kind::Numeric => check_numeric(feature, wanted),
            Kind::Categorical => check_categorical(feature, wanted),
        }
    }
}

fn floats(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn check_numeric(feature: &FeatureBaseline, wanted: &Value) {
    let name = &feature.name;
    let cells = numeric(feature);
    let bins = feature.bins.sum(&feature.reference.cells);
    let qcut: Vec<u64> = serde_json::from_value(wanted["qcut_counts"].clone()).unwrap();
    match name.as_str() {
        // qcut has one bin for these flags and joins the zeros with their neighbours.
        "rare_flag" | "common_flag" => assert_eq!((qcut.len(), bins.len()), (1, 2), "{name}"),
        "zero_inflated" => {
            assert_eq!(bins[0] + bins[1], qcut[0]);
            assert_eq!(bins[2..], qcut[1..]);
            assert_eq!(
                bins,
                serde_json::from_value::<Vec<u64>>(wanted["bin_counts"].clone()).unwrap()
            );
        }
        _ => assert_eq!(bins, qcut, "{name}"),
    }
    let ends: Vec<f64> =
        feature.bins.starts.iter().skip(1).map(|&s| cells.edges[s as usize - 1]).collect();
    if name != "common_flag" {
        assert_eq!(ends, floats(&wanted["bin_edges"]), "{name}");
    }
    // Every quantile of the grid is an edge, but for a maximum that is no atom.
    let highest = wanted["highest"].as_f64().unwrap();
    for quantile in floats(&wanted["quantiles"]) {
        assert!(quantile >= highest || cells.edges.contains(&quantile), "{name}: {quantile}");
    }
    assert_eq!(feature.reference.in_cells(), wanted["count"], "{name}");
    assert_eq!(feature.reference.absent(), wanted["missing"], "{name}");
    assert_eq!(feature.distinct, wanted["distinct"], "{name}");
    assert_eq!((cells.lowest, cells.highest), (wanted["lowest"].as_f64().unwrap(), highest));
    assert_eq!(wanted["median"], cells.scale.center, "{name}");
    if wanted["iqr"] != 0.0 {
        assert_eq!(wanted["iqr"], cells.scale.unit, "{name}");
    }
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
    assert!(close(feature.mean.unwrap(), wanted["mean"].as_f64().unwrap()), "{name}");
    assert!(close(feature.sd.unwrap(), wanted["sd"].as_f64().unwrap()), "{name}");
}

fn check_categorical(feature: &FeatureBaseline, wanted: &Value) {
    let wanted: Vec<(String, u64)> = serde_json::from_value(wanted["categories"].clone()).unwrap();
    let Cells::Categorical(cells) = &feature.cells else { panic!("{}", feature.name) };
    let counted = cells.categories.iter().cloned().zip(feature.reference.cells.iter().copied());
    assert_eq!(counted.collect::<Vec<_>>(), wanted);
}

#[test]
fn every_codec_and_two_parts_give_the_same_features() {
    let one = load(&fixture("pandas_zstd.parquet")).unwrap();
    assert_eq!(feature(&one, "prediction").role, Role::Prediction);
    for name in ["snappy", "lz4", "gzip", "none"] {
        let other = load(&fixture(&format!("pandas_{name}.parquet"))).unwrap();
        assert_eq!(other.features, one.features, "{name}");
        assert_ne!(other.digest, one.digest, "{name}");
    }
    let parts = load(&fixture("parts")).unwrap();
    assert_eq!((parts.rows, parts.features), (one.rows, one.features));
}

#[test]
fn every_type_is_read_or_unusable_with_a_reason() {
    let baseline = load(&fixture("types.parquet")).unwrap();
    let unusable: Vec<_> =
        baseline.features.iter().filter_map(|f| Some((f.name.as_str(), f.unusable?))).collect();
    assert_eq!(
        unusable,
        [
            ("date", Unusable::Time),
            ("stamp_ns", Unusable::Time),
            ("time", Unusable::Time),
            ("null", Unusable::AllNull),
            ("all_null", Unusable::AllNull),
            ("id", Unusable::IdLike),
            ("binary", Unusable::UnsupportedType),
            ("list", Unusable::UnsupportedType),
            ("struct", Unusable::UnsupportedType),
        ]
    );
    for feature in baseline.features.iter().filter(|f| f.unusable.is_none()) {
        assert_eq!(feature.reference.records(), baseline.rows, "{}", feature.name);
    }
    let whole = feature(&baseline, "i8").clone();
    for same in ["i16", "i64", "u8", "u16", "u32"] {
        assert_eq!(feature(&baseline, same).cells, whole.cells, "{same}");
        assert_eq!(feature(&baseline, same).reference, whole.reference, "{same}");
    }
    let decimals = feature(&baseline, "decimal");
    assert_eq!(numeric(decimals).storage, Storage::Decimal { scale: 2 });
    assert_eq!(feature(&baseline, "wide_decimal").cells, decimals.cells);
    assert_eq!(numeric(feature(&baseline, "f16")).storage, Storage::F16);
    assert_eq!(numeric(feature(&baseline, "f32")).storage, Storage::F32);
    let huge = numeric(feature(&baseline, "u64"));
    let (lowest, step) = (9_223_372_036_854_775_808.0, 4096.0);
    assert_eq!((huge.lowest, huge.highest), (lowest, lowest + 1199.0 * step), "exact in doubles");
    let floats = &feature(&baseline, "f64").reference;
    assert_eq!((floats.nan, floats.pos_inf, floats.null), (110, 84, 0));
    assert_eq!(feature(&baseline, "i32").reference.null, 172);
    for same in ["large_string", "dictionary"] {
        assert_eq!(feature(&baseline, same).cells, feature(&baseline, "string").cells, "{same}");
    }
    assert_eq!(feature(&baseline, "int_dictionary").kind, Kind::Categorical);
    assert_eq!(numeric(feature(&baseline, "constant")).edges.len(), 2);
}

#[test]
fn other_writers_are_understood() {
    let pandas = load(&fixture("pandas_index.parquet")).unwrap();
    assert_eq!(pandas.ignored[0].column, "row_id");
    let pandas = load(&fixture("pandas_unnamed_index.parquet")).unwrap();
    assert_eq!(pandas.ignored[0].column, "__index_level_0__");
    let spark = load(&fixture("spark_int96.parquet")).unwrap();
    assert_eq!(spark.time_column.as_deref(), Some("event_time"));
    let polars = load(&fixture("polars.parquet")).unwrap();
    assert_eq!(polars.time_column.as_deref(), Some("at"));
    assert_eq!(feature(&polars, "category").cells, feature(&polars, "country").cells);
    assert_eq!(feature(&polars, "normal").cells, feature(&pandas, "normal").cells);
}

#[test]
fn fewer_than_a_hundred_rows_are_too_few() {
    let baseline = load(&fixture("few_rows.parquet")).unwrap();
    assert_eq!(feature(&baseline, "normal").unusable, Some(Unusable::TooFewRows));
}

#[test]
fn parts_may_disagree_in_width_but_not_in_kind() {
    let folder = tempfile::tempdir().unwrap();
    let floats: ArrayRef = Arc::new(Float64Array::from_iter_values((0..50).map(f64::from)));
    write(&folder.path().join("a.parquet"), &[("x", ramp(100))]);
    write(&folder.path().join("b.parquet"), &[("x", floats)]);
    let location = folder.path().to_str().unwrap();
    assert_eq!(feature(&load(location).unwrap(), "x").reference.in_cells(), 150);

    let words: ArrayRef = Arc::new(StringArray::from(vec!["a"; 10]));
    write(&folder.path().join("c.parquet"), &[("x", words)]);
    let text = refused(location);
    assert!(text.contains("c.parquet") && text.contains("column `x` holds Utf8"), "{text}");
    write(&folder.path().join("c.parquet"), &[("y", ramp(10))]);
    let text = refused(location);
    assert!(text.contains("column `y` is not in the first part"), "{text}");
}

// Profiles.

#[test]
fn a_built_profile_is_the_baseline_itself() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile.json");
    let (reference, output) = (fixture("pandas_zstd.parquet"), profile.to_str().unwrap());
    let args = ["baseline", "build", &reference, "-o", output, "--ignore", "age"];
    let done = driftd(&[args.as_slice(), &["--categorical", "count", "--format", "json"]].concat());
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(done.stderr.is_empty(), "no progress bar in a pipe");
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(summary["rows"], 1200);
    assert_eq!(summary["ignored"][0]["column"], "age");

    let overrides: Overrides =
        serde_json::from_str(r#"{"ignore":["age"],"features":{"count":{"kind":"categorical"}}}"#)
            .unwrap();
    let direct = load_with(&Config::default(), &reference, &overrides).unwrap();
    let again = load(output).unwrap();
    assert_eq!(again, direct);
    assert_eq!(again.to_json(), direct.to_json());

    let shown = driftd(&["baseline", "show", output, "--feature", "normal", "--format", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["bins"]["reference"], serde_json::json!(vec![120; 10]));
}

#[test]
fn bad_profiles_are_refused_with_their_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.json");
    let location = path.to_str().unwrap();
    fs::write(&path, r#"{"format": 7}"#).unwrap();
    assert!(refused(location).contains("format 7"));
    fs::write(&path, "{").unwrap();
    assert!(refused(location).contains("not a baseline profile"));
    fs::write(&path, r#"{"features":["#.repeat(100_000)).unwrap();
    assert!(refused(location).contains("not a baseline profile"));
}

#[test]
fn the_digest_is_found_without_reading_columns() {
    let folder = tempfile::tempdir().unwrap();
    let look = |location: &str| {
        block_on(fetch::look(&Config::default(), location, &WorkerCommand::of(DRIFTD)))
    };
    let digest = |location: &str| look(location).map(|look| look.digest);
    let profile = folder.path().join("p.json");
    let baseline = load(&fixture("pandas_zstd.parquet")).unwrap();
    fs::write(&profile, baseline.to_json()).unwrap();
    for location in [&fixture("pandas_zstd.parquet"), &fixture("parts"), profile.to_str().unwrap()]
    {
        assert_eq!(digest(location).unwrap(), load(location).unwrap().digest, "{location}");
    }
    assert_eq!(digest(profile.to_str().unwrap()).unwrap(), baseline.digest, "of the data");
    assert!(look(&fixture("parts")).unwrap().is_listed, "more parts may come");
    assert!(!look(&fixture("pandas_zstd.parquet")).unwrap().is_listed);

    let file = folder.path().join("x.parquet");
    let location = file.to_str().unwrap();
    write(&file, &[("x", ramp(200))]);
    let before = digest(location).unwrap();
    assert_eq!(digest(location).unwrap(), before);
    write(&file, &[("x", ramp(201))]);
    assert_ne!(digest(location).unwrap(), before);
    assert!(matches!(digest("/no/such/file"), Err(Error::Missing { .. })));
}

// Live data against a reference.

#[test]
fn live_data_are_counted_into_the_cells_of_the_reference() {
    let location = fixture("pandas_zstd.parquet");
    let reference = load(&location).unwrap();
    let same: Vec<Counts> = reference.features.iter().map(|f| f.reference.clone()).collect();
    assert_eq!(count_live(&location, &reference).unwrap(), same);
    assert_eq!(count_live(&fixture("parts"), &reference).unwrap(), same);

    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live.parquet");
    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
    let countries: ArrayRef = Arc::new(StringArray::from(vec![Some("se"), None, Some("xx")]));
    write(&live, &[("normal", words), ("country", countries), ("extra", ramp(3))]);
    let counts = count_live(live.to_str().unwrap(), &reference).unwrap();
    let of = |name: &str| &counts[reference.features.iter().position(|f| f.name == name).unwrap()];
    assert_eq!((of("normal").type_error, of("normal").null), (2, 1), "words for numbers");
    assert_eq!((of("country").in_cells(), of("country").null, of("country").unseen), (1, 1, 1));
    assert_eq!(of("age").missing, 3, "a column that live lacks");
    assert!(counts.iter().all(|counts| counts.records() == 3));

    let profile = folder.path().join("profile.json");
    fs::write(&profile, reference.to_json()).unwrap();
    assert_eq!(count_live(profile.to_str().unwrap(), &reference).unwrap(), same);
    let part = load(&fixture("parts/part-00000.parquet")).unwrap();
    fs::write(&profile, part.to_json()).unwrap();
    let error = count_live(profile.to_str().unwrap(), &reference).unwrap_err();
    assert!(matches!(error, Error::OtherCells { .. }), "{error}");
}

// What nobody should write.

#[test]
fn bad_files_are_refused_by_name_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = fs::read(fixture("pandas_zstd.parquet")).unwrap();
    fs::write(path("empty.parquet"), b"").unwrap();
    fs::write(path("truncated.parquet"), &good[..good.len() / 2]).unwrap();
    fs::write(path("short.parquet"), b"PAR1PAR1").unwrap();
    fs::write(path("encrypted.parquet"), b"PARE and so on PARE").unwrap();
    fs::write(path("text.parquet"), b"a,b\n1,2\n").unwrap();
    fs::create_dir(path("nothing")).unwrap();
    fs::create_dir_all(path("delta/_delta_log")).unwrap();
    let noise: Vec<u8> =
        (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(path("footer.parquet"), [b"PAR1", noise.as_slice(), b"\xff\0\0\0PAR1"].concat())
        .unwrap();
    for (name, wanted) in [
        ("missing.parquet", "no such file"),
        ("empty.parquet", "empty"),
        ("truncated.parquet", "truncated"),
        ("short.parquet", "truncated"),
        ("encrypted.parquet", "encrypted"),
        ("text.parquet", "not a Parquet file"),
        ("footer.parquet", "corrupt"),
        ("nothing", "without .parquet files"),
        ("delta", "the Delta table has no version in its log"),
    ] {
        let text = refused(path(name).to_str().unwrap());
        assert!(text.contains(wanted), "{name}: {text}");
    }
    assert!(refused(&fixture("no_rows.parquet")).contains("no rows"));
    assert!(refused("ftp://bucket/key").contains("no store of this kind"));
}

#[test]
fn a_bad_file_is_exit_78() {
    for location in [fixture("no_rows.parquet"), fixture("make.py"), "nowhere".to_owned()] {
        let done = driftd(&["baseline", "show", &location]);
        assert_eq!(done.status.code(), Some(78), "{location}");
        assert!(String::from_utf8_lossy(&done.stderr).contains(&location));
        assert!(done.stdout.is_empty());
    }
}

#[test]
fn corrupt_pages_name_the_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, &[("fine", ramp(5000)), ("broken", ramp(5000))]);
    let mut bytes = fs::read(&path).unwrap();
    // The second column's pages end where the footer begins.
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
    let end = bytes.len() - 8 - footer as usize;
    bytes[end - 600..end - 200].fill(0xA5);
    fs::write(&path, bytes).unwrap();
    let text = refused(path.to_str().unwrap());
    assert!(text.contains("column `broken`") && text.contains("corrupt"), "{text}");
}

#[test]
fn damaged_files_end_in_an_answer_never_in_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let good = fs::read(fixture("spark_int96.parquet")).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for round in 0..60 {
        let mut bytes = good.clone();
        // Half of the rounds hit the footer, where lengths and counts are.
        let span = if round % 2 == 0 { bytes.len() } else { 2000 };
        for _ in 0..=round / 10 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = bytes.len() - 1 - (state >> 33) as usize % span;
            bytes[at] ^= 1 << ((state >> 29) & 7);
        }
        fs::write(&path, bytes).unwrap();
        if let Err(error) = load(path.to_str().unwrap()) {
            assert!(!matches!(error, Error::Worker { .. }), "round {round}: {error}");
        }
    }
}

#[test]
fn columns_that_do_not_match_the_configuration_are_named() {
    let refuse = |overrides: &str| {
        let overrides: Overrides = serde_json::from_str(overrides).unwrap();
        let location = fixture("pandas_zstd.parquet");
        let error = load_with(&Config::default(), &location, &overrides).unwrap_err();
        assert!(error.to_string().contains(&location), "{error}");
        error.to_string()
    };
    let text = refuse(r#"{"features":{"contry":{}}}"#);
    assert!(text.contains("`contry`") && text.contains("did you mean `country`?"), "{text}");
    let text = refuse(r#"{"features":{"country":{"kind":"numeric"}}}"#);
    assert!(text.contains("`country` is declared numeric but holds"), "{text}");
    let text = refuse(r#"{"prediction":"score"}"#);
    assert!(text.contains("`score`"), "{text}");
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("pipe.parquet");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert!(refused(fifo.to_str().unwrap()).contains("a FIFO"));
    assert!(refused("/dev/zero").contains("a device"));
}

#[test]
fn nothing_outside_the_root_is_read_whatever_links_say() {
    let folder = tempfile::tempdir().unwrap();
    let (root, outside) = (folder.path().join("root"), folder.path().join("root-outside"));
    fs::create_dir_all(root.join("link-parts")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    write(&root.join("inside.parquet"), &[("x", ramp(200))]);
    write(&outside.join("secret.parquet"), &[("x", ramp(200))]);
    let link = |target: PathBuf, name: &str| {
        std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    };
    link(outside.join("secret.parquet"), "link.parquet");
    link(outside.join("secret.parquet"), "link-parts/part.parquet");
    link(outside.clone(), "link-folder");
    link(root.join("inside.parquet"), "good-link.parquet");
    let config = Config { baseline_root: Some(root.clone()), ..Config::default() };
    let read = |path: PathBuf| {
        let location = path.to_str().unwrap().to_owned();
        let digest = block_on(fetch::look(&config, &location, &WorkerCommand::of(DRIFTD)));
        let loaded = load_with(&config, &location, &Overrides::default());
        assert_eq!(digest.is_ok(), loaded.is_ok(), "{location}");
        loaded
    };
    assert!(read(root.join("inside.parquet")).is_ok());
    assert!(read(root.join("good-link.parquet")).is_ok());
    for escape in ["link.parquet", "link-parts", "link-folder", "../root-outside/secret.parquet"] {
        let error = read(root.join(escape)).unwrap_err();
        assert!(matches!(error, Error::OutsideRoot { .. }), "{escape}: {error}");
    }
}

#[test]
fn a_file_that_takes_too_much_memory_is_refused_and_the_limit_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.parquet");
    let bomb: ArrayRef = Arc::new(StringArray::from(vec!["0".repeat(400 << 20)]));
    write(&path, &[("x", bomb)]);
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20, "small on disk");
    let config = Config { memory_limit: ByteSize(256 << 20), ..Config::default() };
    let location = path.to_str().unwrap();
    let error = load_with(&config, location, &Overrides::default()).unwrap_err();
    assert!(matches!(error, Error::MemoryLimit { .. }), "{error}");
    assert!(error.to_string().contains("memory_limit of 256MiB"), "{error}");
}

/// In a container a reader is told how much is left; what takes more is an end by itself, before the kernel's.
#[test]
fn a_reader_keeps_within_what_a_container_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let bomb = folder.path().join("bomb.parquet");
    let column: ArrayRef = Arc::new(StringArray::from(vec!["0".repeat(400 << 20)]));
    write(&bomb, &[("x", column)]);
    let read = |location: &str| {
        let request = serde_json::json!({
            "location": location, "config": {}, "parent": std::process::id(),
            "room": {"limit": "256MiB", "most": "64MiB"},
            "job": {"build": {"overrides": {}, "digest": true}},
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_driftd"))
            .arg("baseline-worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let whole = read(&fixture("pandas_zstd.parquet"));
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&whole.stdout).unwrap();
    assert_eq!(answer["reply"]["baseline"]["rows"], 1200);
    assert!(answer["peak_bytes"].as_u64().unwrap() > 1 << 20);
    let ended = read(bomb.to_str().unwrap());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.signal(), Some(6), "{said}");
    assert!(said.contains("memory allocation of"), "{said}");
}

/// What a file has too much of is said with its number, the most, and what to do; a profile that says as
/// much of itself is refused by the same words.
#[test]
fn a_baseline_with_too_much_of_anything_is_refused_with_the_number_and_the_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("much.parquet");
    let location = path.to_str().unwrap();
    let refused = |columns: &[(&str, ArrayRef)], parts: &[&str]| {
        write_by(&path, columns, Compression::UNCOMPRESSED);
        let said = refused(location);
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} in {said}");
    };
    let number: ArrayRef = Arc::new(Float64Array::from(vec![1.0; 2]));
    let names: Vec<String> = (0..50_001).map(|n| n.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), number.clone())).collect();
    refused(&many, &["50001 columns", "50000 are the most", "`ignore`", "several models"]);
    let long = "n".repeat(513);
    let parts = ["`nnnn", "n...`", "513 bytes", "512 are the most", "`ignore`"];
    refused(&[("x", number.clone()), (&long, number)], &parts);
    let texts = (0..10_000).map(|row| format!("{:03}{}", row % 200, "t".repeat(6_000)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    refused(&[("x", texts)], &["`x`", "1200600 bytes", "1048576 are the most", "`ignore`"]);

    // Without the column it is read.
    let overrides = Overrides { ignore: ["x".to_owned()].into(), ..Overrides::default() };
    let good = load_with(&Config::default(), location, &overrides).unwrap();
    assert!(good.features.is_empty() && good.rows == 10_000);
    let good = load(&fixture("pandas_zstd.parquet")).unwrap();
    let profile = |change: &dyn Fn(&mut FeatureBaseline)| {
        let mut spoilt = good.clone();
        let numeric = |f: &&mut FeatureBaseline| matches!(f.cells, Cells::Numeric(_));
        change(spoilt.features.iter_mut().find(numeric).unwrap());
        let path = folder.path().join("profile.json");
        fs::write(&path, spoilt.to_json()).unwrap();
        load(path.to_str().unwrap()).unwrap_err().to_string()
    };
    let said = profile(&|feature| {
        if let Cells::Numeric(cells) = &mut feature.cells {
            cells.edges = (0..5_000).map(f64::from).collect();
        }
    });
    assert!(said.contains("5000 edges") && said.contains("4096 are the most"), "{said}");
    let said = profile(&|feature| {
        let categories = (0..300).map(|n| n.to_string()).collect();
        feature.cells = Cells::Categorical(CategoricalCells::new(categories, Vec::new(), false));
    });
    assert!(said.contains("300 categories") && said.contains("255 are the most"), "{said}");
    let said = profile(&|feature| {
        let cells = CategoricalCells::new(Vec::new(), (0..1_000_001).collect(), false);
        feature.cells = Cells::Categorical(cells);
    });
    assert!(said.contains("1000001 rare") && said.contains("1000000 are the most"), "{said}");
}

#[test]
fn a_worker_that_does_not_end_is_ended() {
    let config = Config { time_limit: Span(Duration::from_millis(50)), ..Config::default() };
    let sleeper = WorkerCommand { program: "sleep".into(), args: vec!["1000".to_owned()] };
    let error =
        block_on(fetch::load(&config, "x.parquet", &Overrides::default(), &sleeper)).unwrap_err();
    assert!(matches!(error, Error::TimeLimit { .. }), "{error}");
}

#[test]
fn a_worker_that_burns_its_processor_time_is_ended_by_its_limit() {
    let burn = "ulimit -t 1; while :; do :; done";
    let worker =
        WorkerCommand { program: "sh".into(), args: vec!["-c".to_owned(), burn.to_owned()] };
    let config = Config::default();
    let error =
        block_on(fetch::load(&config, "x.parquet", &Overrides::default(), &worker)).unwrap_err();
    assert!(matches!(error, Error::TimeLimit { .. } | Error::Worker { .. }), "{error}");
}

#[test]
fn a_worker_that_is_killed_is_an_error_that_says_so() {
    let kill = vec!["-c".to_owned(), "kill -9 $$".to_owned()];
    let worker = WorkerCommand { program: "sh".into(), args: kill };
    let config = Config::default();
    let error =
        block_on(fetch::load(&config, "x.parquet", &Overrides::default(), &worker)).unwrap_err();
    assert!(error.to_string().contains("signal 9"), "{error}");
    assert!(!error.is_unreachable());
}

/// Minutes of event time, an independent column and one that keeps its value for an hour.
fn dependent_rows(order: impl Fn(i64) -> i64) -> Vec<(&'static str, ArrayRef)> {
    let rows: Vec<i64> = (0..40_000).map(order).collect();
    let mixed = |n: i64| {
        let n = n.cast_unsigned().wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (n >> 40) as f64 / 16_777_216.0
    };
    let column = |value: &dyn Fn(i64) -> f64| -> ArrayRef {
        Arc::new(rows.iter().map(|&row| Some(value(row))).collect::<Float64Array>())
    };
    let times: Int64Array = rows.iter().map(|row| Some(1_767_225_600_000 + row * 60_000)).collect();
    vec![
        ("ts", Arc::new(times)),
        ("independent", column(&|row| mixed(row))),
        ("hourly", column(&|row| mixed(-row / 60))),
    ]
}

#[test]
fn how_much_records_depend_on_each_other_is_measured_by_the_time_column() {
    let folder = tempfile::tempdir().unwrap();
    let write_as = |name: &str, columns: &[(&str, ArrayRef)]| {
        let path = folder.path().join(name);
        write(&path, columns);
        path.display().to_string()
    };
    let in_order = load(&write_as("in_order.parquet", &dependent_rows(|row| row))).unwrap();
    assert_eq!(in_order.time_column.as_deref(), Some("ts"));
    let effect = |baseline: &Baseline, name: &str| {
        feature(baseline, name).design_effect.clone().map(|measured| measured.effects.body)
    };
    let independent = effect(&in_order, "independent").unwrap();
    assert!((1.0..2.0).contains(&independent), "{independent}");
    // Sixty rows say what one says; with the safety of 1.2.
    let hourly = effect(&in_order, "hourly").unwrap();
    assert!((40.0..120.0).contains(&hourly), "{hourly}");
    // 7919 has no divisor in common with the number of rows: every row is there once, in disorder.
    let shuffled = load(&write_as("shuffled.parquet", &dependent_rows(|n| n * 7_919 % 40_000)));
    let shuffled = shuffled.unwrap();
    for name in ["independent", "hourly"] {
        let (there, here) = (feature(&in_order, name), feature(&shuffled, name));
        assert_eq!(there.design_effect, here.design_effect);
    }
    let without: Vec<_> = dependent_rows(|row| row).into_iter().skip(1).collect();
    let without = load(&write_as("without.parquet", &without)).unwrap();
    assert_eq!(effect(&without, "hourly"), None);
    let profile = Baseline::from_json(in_order.to_json().as_bytes()).unwrap();
    assert_eq!(profile, in_order);
}

#[test]
fn when_a_model_was_trained_is_the_end_of_its_data_else_the_time_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (timed, plain) = (folder.path().join("timed.parquet"), folder.path().join("plain.parquet"));
    write(&timed, &dependent_rows(|row| row));
    write(&plain, &dependent_rows(|row| row)[1..]);
    let end_ms = 1_767_225_600_000 + 39_999 * 60_000;
    let trained = |path: &Path, written_ms: i64| {
        let since = Duration::from_millis(written_ms.unsigned_abs());
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + since).unwrap();
        load(path.to_str().unwrap()).unwrap().trained
    };
    let by = |at_ms: i64, by: TrainedBy| Some(Trained { at_ms, by });
    assert_eq!(trained(&timed, end_ms + 9), by(end_ms, TrainedBy::TimeColumn));
    assert_eq!(trained(&plain, end_ms + 9), by(end_ms + 9, TrainedBy::Modified));
    // Rows from after the file was written are of another clock.
    assert_eq!(trained(&timed, end_ms - 9), by(end_ms - 9, TrainedBy::Modified));
    // An image that is built the same twice alike has no times.
    assert_eq!(trained(&timed, 0), by(end_ms, TrainedBy::TimeColumn));
    assert_eq!(trained(&plain, 1000), None);

    // A profile says what its data did, whenever it was written.
    trained(&timed, end_ms + 9);
    let profile = folder.path().join("profile.json");
    let (from, to) = (timed.to_str().unwrap(), profile.to_str().unwrap());
    let built = driftd(&["baseline", "build", from, "-o", to]);
    let said = String::from_utf8_lossy(&built.stdout).into_owned();
    assert!(
        said.contains("trained  2026-01-28T18:39:00Z, by the end of its time column"),
        "{said}"
    );
    assert_eq!(trained(&profile, end_ms + 99), by(end_ms, TrainedBy::TimeColumn));
}

#[test]
fn numbers_that_are_days_or_count_from_a_start_do_not_say_that_a_model_is_of_1970() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let loaded = |times: ArrayRef| {
        write(&path, &[("event_date", times), ("x", ramp(200))]);
        load(path.to_str().unwrap()).unwrap()
    };
    let days: Int64Array = (0..200).map(|row| Some(20_240_101 + row / 10)).collect();
    let trained = loaded(Arc::new(days)).trained.unwrap();
    assert_eq!((trained.at_ms, trained.by), (1_705_708_800_000, TrainedBy::TimeColumn));
    let since_start: Int64Array = (0..200).map(|row| Some(row * 864)).collect();
    let counted = loaded(Arc::new(since_start));
    assert_eq!(counted.trained.unwrap().by, TrainedBy::Modified);
    assert!(counted.season.is_none() && feature(&counted, "x").design_effect.is_some());
}

#[test]
fn the_column_that_tells_when_a_row_happened_can_be_named_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let born: ArrayRef = Arc::new((0..40_000).map(|row| Some(row / 4)).collect::<Date32Array>());
    let mut columns = dependent_rows(|row| row);
    columns[0].0 = "seen";
    columns.push(("birth_date", born));
    write(&path, &columns);
    let location = path.to_str().unwrap();
    let time = |overrides: Value| {
        let overrides = serde_json::from_value(overrides).unwrap();
        let loaded = load_with(&Config::default(), location, &overrides).unwrap();
        let effect = feature(&loaded, "hourly").design_effect.clone().map(|of| of.effects.body);
        (loaded.time_column, effect)
    };
    assert_eq!(time(json!({})).0.as_deref(), Some("birth_date"), "the only date");
    assert_eq!(time(json!({"ignore": ["birth_date"]})), (None, None));
    assert_eq!(time(json!({"time_column": "none"})), (None, None));
    let (named, effect) = time(json!({"time_column": "seen"}));
    assert_eq!(named.as_deref(), Some("seen"));
    assert!((40.0..120.0).contains(&effect.unwrap()), "{effect:?}");

    // The same by the command line, and by the configuration.
    let shown = |args: &[&str]| {
        let done = driftd(&[&["baseline", "show", "--format", "json"], args].concat());
        let said: Result<Value, _> = serde_json::from_slice(&done.stdout);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        (said.map(|said| said["time_column"].clone()).unwrap_or_default(), error)
    };
    assert_eq!(shown(&[location, "--time-column", "seen"]).0, "seen");
    assert_eq!(shown(&[location, "--time-column", "none"]).0, Value::Null);
    let profile = folder.path().join("profile.json").display().to_string();
    let built = driftd(&["baseline", "build", location, "--time-column", "seen", "-o", &profile]);
    assert_eq!(built.status.code(), Some(0), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(shown(&[&profile, "--time-column", "none"]).0, Value::Null);
    let other = shown(&[&profile, "--time-column", "birth_date"]).1;
    assert!(other.contains("from `seen`") && other.contains("build it again"), "{other}");
    let config = folder.path().join("driftd.yaml").display().to_string();
    let written = |name: &str| {
        let text = format!(
            "kafka: {{brokers: ['127.0.0.1:1']}}\ntopic: t\nreference_dataset: '{location}'\ntime_column: {name}\n"
        );
        fs::write(&config, text).unwrap();
    };
    written("seen");
    assert_eq!(shown(&["-c", &config]).0, "seen");
    written("none");
    assert_eq!(shown(&["-c", &config]).0, Value::Null);
    written("sene");
    let done = driftd(&["validate", "--offline", "-c", &config]);
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert_eq!(done.status.code(), Some(78), "{said}");
    assert!(
        said.contains("4:14: time_column: ") && said.contains("did you mean `seen`?"),
        "{said}"
    );
}

#[test]
fn by_a_configuration_a_baseline_is_read_as_the_daemon_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::copy(fixture("pandas_zstd.parquet"), at("fraud.parquet")).unwrap();
    fs::copy(fixture("pandas_zstd.parquet"), at("next.parquet")).unwrap();
    let config = |more: &str| {
        let text = format!(
            "kafka: {{brokers: ['k:9092']}}\nbaselines: {{baseline_root: {}}}\nmodels:\n  - name: fraud\n    topic: t\n    \
             ignore: [age]\n    features: {{count: {{kind: categorical}}}}\n    drift_config:\n      \
             reference_dataset: {}\n      profile: evidently\n{more}",
            folder.path().display(),
            at("fraud.parquet"),
        );
        fs::write(at("driftd.yaml"), text).unwrap();
        at("driftd.yaml")
    };
    let one = config("");
    let done = driftd(&["baseline", "build", "-c", &one, "-o", &at("profile.json")]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let built = Baseline::from_json(&fs::read(at("profile.json")).unwrap()).unwrap();
    let loaded = driftd::config::load(Path::new(&one), &|_| None).unwrap().config;
    let model = &loaded.models[0];
    let place = &model.drift_config.reference_dataset;
    assert_eq!(built, load_with(&loaded.baselines, place, &model.overrides()).unwrap());
    assert_eq!(feature(&built, "count").kind, Kind::Categorical);
    assert_eq!(built.ignored[0].column, "age");

    // The data of the next training, before it is in its place; nothing outside the root is read.
    let source = |args: &[&str]| {
        let done = driftd(&[&["baseline", "show", "--format", "json"], args].concat());
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        let said: Result<Value, _> = serde_json::from_slice(&done.stdout);
        (done.status.code(), said.map(|said| said["source"].clone()).unwrap_or_default(), error)
    };
    assert_eq!(source(&[&at("next.parquet"), "-c", &one]).1, at("next.parquet"));
    let (code, _, why) = source(&[&fixture("pandas_zstd.parquet"), "-c", &one]);
    assert!(code == Some(78) && why.contains("baseline_root"), "{why}");

    // What the configuration says is not said twice, and one of several models is named.
    for args in [&["--season", "day", "-c", &one][..], &[], &["x", "--model", "fraud"]] {
        assert_eq!(source(args).0, Some(2), "{args:?}");
    }
    let two =
        config("  - {name: churn, topic: t, drift_config: {reference_dataset: none.parquet}}\n");
    let (code, _, why) = source(&["-c", &two]);
    assert!(code == Some(2) && why.contains("--model: fraud, churn"), "{why}");
    assert_eq!(source(&["-c", &two, "--model", "fraud"]).1, at("fraud.parquet"));
}
