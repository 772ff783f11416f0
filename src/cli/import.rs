//! `driftd import`: what other tools were told, as YAML for a model's configuration.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::{self, BAD_INPUT, FAILURE, OK, printable, report_error};
use crate::config::quote;
use crate::decide::check::{CHECKS_MAX, Check, NUMBERS_MAX, Range, Severity, numbers};
use crate::feature::{canonical_boolean, canonical_number};

mod evidently;
mod expectations;

/// A larger file was not written by these tools.
const BYTES_MAX: u64 = 64 << 20;
/// Letters of a name that a number follows: it stays shorter than a name may be, whatever they are.
const SHORT: usize = 30;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// An expectation suite of Great Expectations (0.x or 1.x) as checks.
    #[command(visible_alias = "gx")]
    GreatExpectations(Args),
    /// A report of Evidently 0.7, saved as JSON, as checks and thresholds.
    Evidently(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The JSON file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Exit with 1 if anything in the file could not be imported.
    #[arg(long)]
    strict: bool,
}

/// What wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    GreatExpectations,
    Evidently,
}

/// What was made of a file.
#[derive(Debug, Default)]
pub struct Imported {
    /// What it calls itself.
    name: Option<String>,
    /// Keys of `drift_config`, with their values as YAML.
    drift_config: Vec<String>,
    checks: Vec<Check>,
    /// What has no place here, each with why.
    skipped: Vec<String>,
    /// What means something else here than there.
    notes: Vec<String>,
}

pub(super) fn run(command: &Command) -> anyhow::Result<u8> {
    let (args, tool) = match command {
        Command::GreatExpectations(args) => (args, Tool::GreatExpectations),
        Command::Evidently(args) => (args, Tool::Evidently),
    };
    let imported = match read(&args.file).and_then(|json| Imported::of(tool, &json)) {
        Ok(imported) => imported,
        Err(why) => {
            report_error(&anyhow::anyhow!("{}: {why}", args.file.display()));
            return Ok(BAD_INPUT);
        }
    };
    imported.print(&args.file)?;
    Ok(if args.strict && !imported.skipped.is_empty() { FAILURE } else { OK })
}

/// The file's bytes; at most one more than it may have.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| format!("can't be read: {error}");
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("is larger than {BYTES_MAX} bytes; these tools write no such file"));
    }
    Ok(bytes)
}

impl Imported {
    /// Makes checks and thresholds of what `tool` wrote.
    ///
    /// # Errors
    /// Why it is no file of that tool, in words that follow its name.
    pub fn of(tool: Tool, json: &[u8]) -> Result<Self, String> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let json: Value =
            serde_json::from_slice(json).map_err(|error| format!("is not JSON: {error}"))?;
        match tool {
            Tool::GreatExpectations => expectations::import(&json),
            Tool::Evidently => evidently::import(&json),
        }
    }

    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What stands on standard error: a line for each thing that is left out, or means something else here.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        let notes = self.notes.iter().map(|note| format!("note: {note}"));
        notes.chain(self.skipped.iter().map(|skipped| format!("not imported: {skipped}")))
    }

    fn skip(&mut self, what: &str, column: Option<&str>, why: &str) {
        self.skipped.push(printable(&format!("{}: {why}", of(what, column))));
    }

    fn note(&mut self, what: &str, column: Option<&str>, why: &str) {
        self.notes.push(printable(&format!("{}: {why}", of(what, column))));
    }

    /// Takes in a check, by a name that no other has.
    fn check(&mut self, what: &str, mut check: Check) {
        let column = check.feature.clone();
        if let Some((_, why)) = check.fault() {
            return self.skip(what, column.as_deref(), &why);
        }
        let list = check.one_of.as_ref().or(check.not_in.as_ref());
        if list.is_some_and(|list| list.len() > NUMBERS_MAX && numbers(list).is_some()) {
            self.note(what, column.as_deref(), &format!(
                "of a feature that is counted as a number at most {NUMBERS_MAX} values can be told apart"
            ));
        }
        if self.checks.contains(&check) {
            return self.note(what, column.as_deref(), "is there twice; one check is enough");
        }
        if self.checks.len() == CHECKS_MAX {
            return self.skip(
                what,
                column.as_deref(),
                &format!("a model has at most {CHECKS_MAX} checks"),
            );
        }
        let name = check.to_string();
        let is_taken = |name: &str| self.checks.iter().any(|check| check.to_string() == name);
        if is_taken(&name) {
            let short: String = name.chars().take(SHORT).collect();
            let free = (2..).map(|n| format!("{short} {n}")).find(|name| !is_taken(name));
            check.name = free;
        }
        self.checks.push(check);
    }

    /// What stands on a model; `from` is what the file is called.
    pub fn yaml(&self, from: &str) -> String {
        let name = self.name.as_ref().map(|name| format!(" ({})", quote(name))).unwrap_or_default();
        let head = format!("# For a model, beside its topic; from {}{name}.", quote(from));
        let mut out = printable(&head) + "\n";
        if !self.drift_config.is_empty() {
            out.push_str("drift_config:\n");
            self.drift_config.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
        }
        let none = if self.checks.is_empty() { " []" } else { "" };
        out.push_str(&format!("checks:{none}\n"));
        self.checks.iter().for_each(|check| out.push_str(&format!("  - {}\n", flow(check))));
        out
    }

    #[expect(clippy::print_stderr, reason = "what is left out is for people, on standard error")]
    fn print(&self, file: &Path) -> io::Result<()> {
        let from = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        cli::print(&self.yaml(&from))?;
        for remark in self.remarks() {
            eprintln!("{remark}");
        }
        eprintln!("imported {} checks, left out {}", self.checks.len(), self.skipped.len());
        Ok(())
    }
}

fn of(what: &str, column: Option<&str>) -> String {
    match column {
        Some(column) => format!("{} of {}", quote(what), quote(column)),
        None => quote(what),
    }
}

/// One line that reads back as the check, its keys in the order that people write them in.
fn flow(check: &Check) -> String {
    const KEYS: [&str; 12] = [
        "name",
        "feature",
        "severity",
        "records",
        "missing",
        "type_error",
        "mean",
        "stddev",
        "between",
        "in",
        "not_in",
        "mostly",
    ];
    let value = serde_json::to_value(check).unwrap_or_default();
    let usual = check.severity == Severity::default();
    let shown = KEYS.into_iter().filter(|key| !(usual && *key == "severity"));
    let entries: Vec<String> =
        shown.filter_map(|key| Some(format!("{key}: {}", inline(value.get(key)?)))).collect();
    format!("{{{}}}", entries.join(", "))
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => quote(text),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), shown),
        Value::Null | Value::Bool(_) | Value::Object(_) => value.to_string(),
    }
}

/// All its digits.
fn shown(x: f64) -> String {
    if x != 0.0 && !(1e-6..1e16).contains(&x.abs()) { format!("{x:e}") } else { x.to_string() }
}

/// `1 - share`, without what that leaves of a decimal number.
fn rest(share: f64) -> f64 {
    ((1.0 - share) * 1e12).round() / 1e12
}

/// A finite number, or nothing where the key has none; else why not.
fn number(of: &Value, key: &str) -> Result<Option<f64>, String> {
    match &of[key] {
        Value::Null => Ok(None),
        Value::Number(number) => number
            .as_f64()
            .filter(|x| x.is_finite())
            .map(Some)
            .ok_or(format!("`{key}` is too large")),
        other => Err(format!("`{key}` is no number but {}", kind(other))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The values of a list as categories are written; nulls are no values.
fn list(value: &Value, key: &str) -> Result<Vec<String>, String> {
    let items =
        value.as_array().ok_or_else(|| format!("`{key}` is no list but {}", kind(value)))?;
    let mut texts = Vec::new();
    for item in items {
        texts.push(match item {
            Value::Null => continue,
            Value::Bool(boolean) => canonical_boolean(*boolean).to_owned(),
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_f64() => {
                let mut text = String::new();
                canonical_number(number.as_f64().unwrap_or_default(), &mut text);
                text
            }
            Value::Number(number) => number.to_string(),
            other => return Err(format!("`{key}` holds {}", kind(other))),
        });
    }
    Ok(texts)
}

/// The range with its ends left out where they are strict; else why nothing is left of it.
fn open([low, high]: Range, [above, below]: [bool; 2]) -> Result<Range, String> {
    let range = [
        low.map(|low| if above { low.next_up() } else { low }),
        high.map(|high| if below { high.next_down() } else { high }),
    ];
    if range.into_iter().flatten().all(f64::is_finite) {
        return Ok(range);
    }
    Err("no number lies beyond its strict end".to_owned())
}

#[cfg(test)]
mod tests;
