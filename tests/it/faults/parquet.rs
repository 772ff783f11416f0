//! Thousands of damaged Parquet files: each is read or refused by name, and the daemon's side never dies.
//!
//! Files are read by the worker's own code, many to a child process with the worker's limits. What
//! ends such a child is read once more by the real worker, whose parent must then get an error that
//! names the file.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMillisecondArray,
};
use driftd::baseline::Overrides;
use driftd::fetch::{self, Config, WorkerCommand};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::dice::{Dice, damage};
use super::{folder, rounds};

/// Tells a child of the test below where its files are, which to begin with and which to end before.
const CHILD: &str = "DRIFTD_TEST_PARQUET_CHILD";
const ROWS: i64 = 240;
const CHILDREN: usize = 2;
/// The worker's own default, in KiB.
const MEMORY_KIB: u64 = 2 << 20;
/// Seconds of processor time for all files of a child; one that loops for ever is ended.
const SECONDS: usize = 120;

fn columns() -> RecordBatch {
    let rows = || 0..ROWS;
    let gap = |i: i64| i % 11 != 3;
    let columns: [(&str, ArrayRef); 7] = [
        ("int", Arc::new(Int64Array::from_iter(rows().map(|i| gap(i).then_some(i * i - 7))))),
        ("small", Arc::new(rows().map(|i| i32::try_from(i % 9).ok()).collect::<Int32Array>())),
        (
            "double",
            Arc::new(Float64Array::from_iter(rows().map(|i| gap(i).then_some(i as f64 * 0.37)))),
        ),
        ("float", Arc::new(rows().map(|i| Some(i as f32 / 3.0)).collect::<Float32Array>())),
        (
            "text",
            Arc::new(StringArray::from_iter(
                rows().map(|i| gap(i).then(|| format!("country-{}", i % 13))),
            )),
        ),
        ("flag", Arc::new(rows().map(|i| gap(i).then_some(i % 3 == 0)).collect::<BooleanArray>())),
        (
            "ts",
            Arc::new(TimestampMillisecondArray::from_iter_values(
                rows().map(|i| 1_767_225_600_000 + i * 60_000),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Every encoding that Arrow writes, in both versions of pages and every compression.
fn write_seeds(dir: &Path) {
    let column = |name: &str| ColumnPath::from(name);
    let plain = |b: WriterPropertiesBuilder| b.set_dictionary_enabled(false);
    let delta = |b: WriterPropertiesBuilder| {
        let b = plain(b).set_writer_version(WriterVersion::PARQUET_2_0);
        let b = b.set_column_encoding(column("int"), Encoding::DELTA_BINARY_PACKED);
        let b = b.set_column_encoding(column("small"), Encoding::DELTA_BINARY_PACKED);
        let b = b.set_column_encoding(column("text"), Encoding::DELTA_BYTE_ARRAY);
        b.set_column_encoding(column("flag"), Encoding::RLE)
    };
    let split = |b: WriterPropertiesBuilder| {
        let b = plain(b).set_column_encoding(column("double"), Encoding::BYTE_STREAM_SPLIT);
        let b = b.set_column_encoding(column("float"), Encoding::BYTE_STREAM_SPLIT);
        b.set_column_encoding(column("text"), Encoding::DELTA_LENGTH_BYTE_ARRAY)
    };
    let dictionary = |b: WriterPropertiesBuilder| b;
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let gzip = Compression::GZIP(GzipLevel::default());
    type Settings<'a> = &'a dyn Fn(WriterPropertiesBuilder) -> WriterPropertiesBuilder;
    let kinds: [(Settings<'_>, Compression); 9] = [
        (&dictionary, Compression::SNAPPY),
        (&dictionary, Compression::UNCOMPRESSED),
        (&plain, Compression::UNCOMPRESSED),
        (&plain, gzip),
        (&plain, Compression::LZ4_RAW),
        (&delta, Compression::UNCOMPRESSED),
        (&delta, zstd),
        (&split, Compression::UNCOMPRESSED),
        (&split, Compression::SNAPPY),
    ];
    let batch = columns();
    for (number, (settings, compression)) in kinds.into_iter().enumerate() {
        let properties = settings(WriterProperties::builder())
            .set_compression(compression)
            .set_data_page_row_count_limit(60)
            .set_write_batch_size(30)
            .set_max_row_group_row_count(Some(120))
            .build();
        let file = fs::File::create(dir.join(format!("seed-{number}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/baseline");
    for name in ["spark_int96", "types", "pandas_index"] {
        let file = format!("{name}.parquet");
        fs::copy(fixtures.join(&file), dir.join(format!("seed-{file}"))).unwrap();
    }
}

fn seeds(dir: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("seed-"));
    files.sort();
    files.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The same file for the same number, whoever asks.
fn mutant(seeds: &[Vec<u8>], number: usize) -> (Vec<u8>, String) {
    let mut dice = Dice::new(number as u64 + 1);
    let mut bytes = seeds[number % seeds.len()].clone();
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
    let mut done = Vec::new();
    for _ in 0..1 + dice.below(3) {
        if bytes.len() < 16 {
            break;
        }
        // Half of them hit the footer, where lengths and counts are.
        let tail = if dice.below(2) == 0 { footer as usize + 8 } else { bytes.len() };
        done.push(damage(&mut bytes, tail, &mut dice));
    }
    (bytes, done.join(", "))
}

/// How one file ended, as a child tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Read,
    Refused,
    /// Or it ended the child.
    Panicked,
}

/// Reads one file after the other and tells of each.
fn child(instructions: &str) -> ! {
    let mut parts = instructions.split(':');
    let dir = PathBuf::from(parts.next().unwrap());
    let [from, to] = [(); 2].map(|()| parts.next().unwrap().parse::<usize>().unwrap());
    let seeds = seeds(&dir);
    let path = dir.join(format!("child-{from}.parquet"));
    let location = path.to_str().unwrap();
    // Panics are expected, and each is told below.
    panic::set_hook(Box::new(|_| {}));
    for number in from..to {
        fs::write(&path, mutant(&seeds, number).0).unwrap();
        let read = panic::catch_unwind(|| {
            fetch::read_here(&Config::default(), location, &Overrides::default())
        });
        let end = match read {
            Ok(Ok(_)) => "read",
            Ok(Err(error)) if error.to_string().contains(location) => "refused",
            Ok(Err(error)) => panic!("{number}: `{error}` does not name {location}"),
            Err(_) => "panicked",
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "#{number} {end}").unwrap();
        out.flush().unwrap();
    }
    std::process::exit(0);
}

/// How the files `from..to` end in one child; fewer when one of them ended it.
fn ends(dir: &Path, from: usize, to: usize) -> Vec<End> {
    let test = thread::current().name().unwrap_or(NAME).to_owned();
    assert!(test == NAME || test.starts_with("main"), "{test}");
    let limits = format!("ulimit -v {MEMORY_KIB}; ulimit -t {SECONDS}; ulimit -c 0; exec \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &limits, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(CHILD, format!("{}:{from}:{to}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.filter_map(|line| {
        Some(match line.strip_prefix('#')?.split_once(' ')?.1 {
            "read" => End::Read,
            "refused" => End::Refused,
            _ => End::Panicked,
        })
    });
    let told = told.collect();
    child.wait().unwrap();
    told
}

const NAME: &str = "faults::parquet::five_thousand_damaged_files_are_read_or_refused_by_name";

#[test]
fn five_thousand_damaged_files_are_read_or_refused_by_name() {
    if let Ok(instructions) = std::env::var(CHILD) {
        child(&instructions);
    }
    let folder = folder();
    let dir = folder.path();
    write_seeds(dir);
    let all = rounds("DRIFTD_TEST_PARQUET_FILES", 5000);
    let share = all.div_ceil(CHILDREN);
    let parts: Vec<Vec<(usize, End)>> = thread::scope(|scope| {
        let part = |n: usize| move || walk(dir, n * share, ((n + 1) * share).min(all));
        let threads: Vec<_> = (0..CHILDREN).map(|n| scope.spawn(part(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let ends: Vec<(usize, End)> = parts.into_iter().flatten().collect();
    assert_eq!(ends.len(), all);
    let count = |wanted: End| ends.iter().filter(|(_, end)| *end == wanted).count();
    let (read, refused, panicked) = (count(End::Read), count(End::Refused), count(End::Panicked));
    println!("{all} files: {read} read, {refused} refused, {panicked} ended the reader");
    assert!(refused > all / 4 && read > 0, "the damage did something, and not always");

    // The real worker, and what the daemon is told of it.
    let seeds = seeds(dir);
    let path = dir.join("real.parquet");
    let location = path.to_str().unwrap();
    let worker = WorkerCommand::of(env!("CARGO_BIN_EXE_driftd"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (number, end) in
        ends.iter().filter(|(number, end)| *end == End::Panicked || number % 97 == 0)
    {
        let (bytes, done) = mutant(&seeds, *number);
        fs::write(&path, bytes).unwrap();
        let (config, overrides) = (Config::default(), Overrides::default());
        match runtime.block_on(fetch::load(&config, location, &overrides, &worker)) {
            Ok(_) => assert_eq!(*end, End::Read, "file {number} ({done})"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(location), "file {number} ({done}): {text}");
                assert!(text.len() > location.len() + 10, "file {number} ({done}): {text}");
                assert_ne!(*end, End::Read, "file {number} ({done}): {text}");
                if *end == End::Panicked {
                    println!("file {number} ({done}): {text}");
                }
            }
        }
    }
}

/// Every file of a range; what ends a child is passed over by the next one.
fn walk(dir: &Path, from: usize, to: usize) -> Vec<(usize, End)> {
    let mut all = Vec::new();
    let mut next = from;
    while next < to {
        let told = ends(dir, next, to);
        all.extend(told.iter().enumerate().map(|(i, end)| (next + i, *end)));
        next += told.len();
        if next < to {
            all.push((next, End::Panicked));
            next += 1;
        }
    }
    all
}
