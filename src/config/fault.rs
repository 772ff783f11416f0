//! What is wrong with a configuration: each fault with its place, all of them at once.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub line: usize,
    pub column: usize,
}

/// One thing that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub mark: Mark,
    /// `models[0].pane`; empty for the file as a whole.
    pub path: String,
    pub message: String,
}

impl Fault {
    pub(super) fn new(mark: Mark, path: &str, message: impl Into<String>) -> Self {
        Self { mark, path: path.to_owned(), message: message.into() }
    }

    /// `driftd.yaml:12:5: models[0].pane: what is wrong`.
    pub fn shown<'a>(&'a self, file: &'a Path) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            write!(f, "{}:{}:{}: ", file.display(), self.mark.line, self.mark.column)?;
            if !self.path.is_empty() {
                write!(f, "{}: ", self.path)?;
            }
            f.write_str(&self.message)
        })
    }
}

/// Why a configuration could not be loaded.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot read the configuration {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// Every fault of one file, in the order of the file; shown one a line.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct Faults {
    pub file: PathBuf,
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let line_break = if i == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}", fault.shown(&self.file))?;
        }
        Ok(())
    }
}

/// `; did you mean ...` for the nearest of `known`, or nothing when none is near.
pub(super) fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&text.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(similar, _)| *similar > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    near.map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}
