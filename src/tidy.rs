//! The architecture as tests: which way imports flow, what the core may touch, how big a file may grow.

use std::fs;
use std::path::{Path, PathBuf};

/// A module may import only from the rows above its own; modules of one row are strangers.
const ROWS: &[&[&str]] = &[
    // The words that every stage shares.
    &["codec", "dice", "feature", "offsets", "setting"],
    &["decode", "histogram"], // core: functions of their arguments
    &["window", "baseline"],  //
    &["compare"],             //
    &["decide"],              //
    &["metrics", "report"],   // what is shown
    &["client", "clock"],     // the one HTTP client, the one clock
    &["kafka"],               // the one Kafka client; its tokens come by HTTP
    &["source", "store", "fetch", "deliver", "http"], // edges: all I/O lives here
    &["config"],              // gathers each stage's own Config
    &["pipeline"],            // the only place where stages meet
    &["cli"],
    &["main", "lib", "tidy"],
];
/// The last row of the core.
const CORE_ROWS: usize = 5;
/// What a function of its arguments has no need of.
const OUTSIDE: &[&str] = &[
    "async fn",
    "axum::",
    "rdkafka::",
    "reqwest::",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "tokio::",
    "tracing::",
    "use metrics",
    "::metrics",
];
const MAX_LINES: usize = 400; // production lines; tests do not count
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["mod", "utils", "util", "common", "helpers", "types", "models"];

#[test]
fn imports_flow_one_way() {
    no_faults(|source, line| {
        let from = source.module();
        let wrong = |to: &str| to.is_empty() || (from != to && row(to) >= row(from));
        let targets = line.split("use crate::").skip(1).map(first_word);
        // An empty name is a nested `use crate::{...}`, which would hide what it imports.
        targets.filter(|to| wrong(to)).map(|to| format!("{from} must not import `{to}`")).next()
    });
}

#[test]
fn paths_into_the_crate_stand_at_the_top() {
    no_faults(|source, line| {
        let inline = line.replace("use crate::", "").replace("$crate::", "").contains("crate::");
        // As many steps up as the file is deep lead to the crate itself.
        let roundabout = line.contains(&"super::".repeat(source.depth()));
        (inline || roundabout).then(|| "import it by `use crate::...`".to_owned())
    });
}

#[test]
fn the_core_touches_nothing_outside() {
    no_faults(|source, line| {
        let core = row(source.module()) < CORE_ROWS;
        let found = OUTSIDE.iter().find(|word| core && line.contains(**word))?;
        Some(format!("the core has no need of `{found}`"))
    });
}

/// Applies a rule to every line of production code and tells all that break it.
fn no_faults(rule: impl Fn(&Source, &str) -> Option<String>) {
    let mut faults = String::new();
    for source in sources() {
        for line in source.code() {
            if let Some(fault) = rule(&source, line) {
                faults += &format!("\n{}: {fault}: {}", source.file.display(), line.trim());
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Where the compiler's word is not enough: kernels, calls into C, and limits that std cannot set.
const UNSAFE: &[&str] = &[
    "src/decode/simd.rs",
    "src/decode/simd/avx2.rs",
    "src/fetch/limits.rs",
    "src/histogram/numeric/avx512.rs",
    "src/histogram/numeric/avx512/registers.rs",
    "src/histogram/numeric/kernel.rs",
    "src/kafka/ffi.rs",
    "src/kafka/ffi/topics.rs",
];

#[test]
fn unsafe_code_is_where_it_must_be_and_says_why_it_holds() {
    let is_unsafe = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|w| code.contains(w))
    };
    let mut faults = String::new();
    for source in sources().filter(|source| source.module() != "tidy") {
        let lines: Vec<&str> = source.production().lines().collect();
        let allowed = UNSAFE.iter().any(|file| source.file == Path::new(file));
        let found = lines.iter().enumerate().filter(|(_, line)| is_unsafe(line));
        for (at, line) in found {
            let reason = lines[at.saturating_sub(8)..=at]
                .iter()
                .any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            if !allowed || !reason {
                faults += &format!("\n{}:{}: {}", source.file.display(), at + 1, line.trim());
            }
        }
    }
    assert!(faults.is_empty(), "unsafe elsewhere, or without `SAFETY:` above it:{faults}");
}

#[test]
fn the_map_names_every_module_in_the_order_of_the_path() {
    let map = sources().find(|source| source.module() == "lib").unwrap();
    let listed: Vec<&str> = map
        .text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(first_word)
        .collect();
    let path = &listed[..listed.len() - 1];
    assert_eq!(listed.last(), Some(&"tidy"));
    assert!(path.windows(2).all(|pair| row(pair[0]) >= row(pair[1])), "{path:?}");
    assert_eq!(path.len(), ROWS[..ROWS.len() - 1].iter().map(|row| row.len()).sum::<usize>());
}

#[test]
fn every_file_says_what_it_is() {
    for source in sources().chain(integration_tests()) {
        let at = source.file.display();
        assert!(source.text.starts_with("//! "), "{at}: first line must be `//! ...`");
        let name = source.file.file_stem().unwrap().to_str().unwrap();
        assert!(!EMPTY_NAMES.contains(&name), "{at}: a name that says what is inside, please");
    }
}

#[test]
fn no_file_outgrows_its_purpose() {
    let lines = |source: &Source| match source.tests_only {
        true => source.text.lines().count(),
        false => source.production().lines().count(),
    };
    let long = sources().map(|source| (lines(&source), source.file));
    let long: Vec<_> = long.filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert!(long.is_empty(), "split them: {long:?}");
}

struct Source {
    file: PathBuf,
    text: String,
    /// Its parent declares it for tests: nothing in it is production code.
    tests_only: bool,
}

impl Source {
    /// The top-level module that the file belongs to.
    fn module(&self) -> &str {
        let inside = self.file.strip_prefix("src").unwrap();
        first_word(inside.iter().next().unwrap().to_str().unwrap())
    }

    /// How many folders deep it lies; 1 is `src` itself.
    fn depth(&self) -> usize {
        self.file.components().count() - 1
    }

    /// Everything before the tests at the end of the file.
    fn production(&self) -> &str {
        const TESTS: &str = "\n#[cfg(test)]\nmod ";
        if self.tests_only {
            return "";
        }
        let mut marks = self.text.match_indices(TESTS).map(|(at, _)| at);
        let has_body =
            |at: &usize| self.text[at + TESTS.len()..].lines().next().unwrap().ends_with('{');
        // A mere `mod golden;` for tests may stand among the modules.
        marks.find(has_body).map_or(&self.text, |end| &self.text[..end])
    }

    /// Production lines without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        let is_rules = self.module() == "tidy";
        let lines = self.production().lines().filter(move |_| !is_rules);
        lines.filter(|line| !line.trim_start().starts_with("//"))
    }
}

fn row(module: &str) -> usize {
    let found = ROWS.iter().position(|row| row.contains(&module));
    found.unwrap_or_else(|| panic!("`{module}` has no row in ROWS"))
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")
}

fn sources() -> impl Iterator<Item = Source> {
    rust_files(Path::new("src"))
}

fn integration_tests() -> impl Iterator<Item = Source> {
    rust_files(Path::new("tests"))
}

fn rust_files(dir: &Path) -> impl Iterator<Item = Source> {
    let mut folders = vec![dir.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                files.push(path);
            }
        }
    }
    files.into_iter().map(|file| Source {
        text: fs::read_to_string(&file).unwrap(),
        tests_only: is_tests_only(&file),
        file,
    })
}

/// Whether the parent module says `#[cfg(test)] mod <file>;`.
fn is_tests_only(file: &Path) -> bool {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let declared = format!("#[cfg(test)]\nmod {name};");
    let parent = file.parent().unwrap().with_extension("rs");
    name != "tidy" && fs::read_to_string(parent).is_ok_and(|text| text.contains(&declared))
}
