//! NDJSON: one record a line, read in blocks that are cut at line breaks.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;

use crate::source::file::Chunk;
use crate::source::file::Error;
use crate::source::file::Lines;

/// Bytes that are decoded at once.
const BLOCK: usize = 1 << 20;
/// A longer line is no record: a whole file of one JSON array would be one.
const LINE_MAX: usize = 256 << 20;
/// Lines that are looked at for the first record that is an object.
const LOOKED_AT: usize = 1000;

pub(super) struct LineReader {
    file: File,
    path: PathBuf,
    read: u64,
    /// The beginning of a line whose end has not been read.
    rest: Vec<u8>,
}

impl LineReader {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        Ok(Self { file, path: path.to_owned(), read: 0, rest: Vec::new() })
    }

    /// `false` when `visit` wanted no more.
    pub(super) fn for_each(
        mut self,
        visit: &mut dyn FnMut(Chunk, u64) -> bool,
    ) -> Result<bool, Error> {
        loop {
            match self.next_block()? {
                ControlFlow::Continue(bytes) => {
                    let lines = cut(bytes);
                    if !lines.lines.is_empty() && !visit(Chunk::Lines(lines), self.read) {
                        return Ok(false);
                    }
                }
                ControlFlow::Break(last) => {
                    let lines = cut(last);
                    return Ok(lines.lines.is_empty() || visit(Chunk::Lines(lines), self.read));
                }
            }
        }
    }

    /// Bytes up to a line break; `Break` with what is left at the end.
    fn next_block(&mut self) -> Result<ControlFlow<Vec<u8>, Vec<u8>>, Error> {
        let mut bytes = std::mem::take(&mut self.rest);
        loop {
            let before = bytes.len();
            bytes.resize(before + BLOCK, 0);
            let read = read_some(&mut self.file, &mut bytes[before..])
                .map_err(|error| Error::io(&self.path, error))?;
            bytes.truncate(before + read);
            self.read += read as u64;
            if read == 0 {
                return Ok(ControlFlow::Break(bytes));
            }
            if let Some(end) = bytes[before..].iter().rposition(|&b| b == b'\n') {
                self.rest = bytes.split_off(before + end + 1);
                return Ok(ControlFlow::Continue(bytes));
            }
            if bytes.len() > LINE_MAX {
                let (path, at) = (self.path.display().to_string(), self.read - bytes.len() as u64);
                return Err(Error::LongLine { path, at, max: LINE_MAX });
            }
        }
    }
}

fn read_some(file: &mut File, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(out) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn cut(bytes: Vec<u8>) -> Lines {
    let mut lines = Vec::new();
    let mut start = 0;
    for part in bytes.split(|&b| b == b'\n') {
        let trimmed = part.trim_ascii();
        if !trimmed.is_empty() {
            // A break may be `\r\n`; blanks around a record are JSON's own.
            let end = start + part.len() - usize::from(part.ends_with(b"\r"));
            lines.push(start..end);
        }
        start += part.len() + 1;
    }
    Lines { bytes, lines }
}

/// The first record that is a JSON object; `None` when none of the first lines is one.
pub(super) fn first(
    path: &Path,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>, Error> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut reader = BufReader::new(file.take(LINE_MAX as u64));
    let mut line = Vec::new();
    for _ in 0..LOOKED_AT {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|error| Error::io(path, error))?;
        if read == 0 {
            break;
        }
        if let Ok(serde_json::Value::Object(record)) = serde_json::from_slice(&line) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn texts(lines: &Lines) -> Vec<String> {
        lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn blank_lines_and_carriage_returns_are_no_part_of_a_record() {
        let lines = cut(b"{\"a\":1}\r\n\n  \n{\"a\":2}\n{\"a\":3}".to_vec());
        assert_eq!(texts(&lines), ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn every_line_comes_once_and_whole_however_the_blocks_fall(
            lengths in proptest::collection::vec(1..400_000usize, 1..12),
            ends in any::<bool>(),
        ) {
            let wanted: Vec<String> =
                lengths.iter().enumerate().map(|(i, n)| format!("{i}:{}", "x".repeat(*n))).collect();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.ndjson");
            fs::write(&path, wanted.join("\n") + if ends { "\n" } else { "" }).unwrap();
            let mut found = Vec::new();
            let all = LineReader::open(&path).unwrap().for_each(&mut |chunk, _| {
                if let Chunk::Lines(lines) = chunk {
                    found.extend(texts(&lines));
                }
                true
            });
            prop_assert!(all.unwrap());
            prop_assert_eq!(found, wanted);
        }
    }
}
