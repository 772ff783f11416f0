//! What an object's keys are called that are no features.

use super::super::names::Names;
use super::super::scan::{Fault, Scanner, Text};
use super::super::strangers::Strangers;

/// Of how many records the names are looked at: of one in 16 where a feature is missing, of one in 64
/// where none is. A record is chosen by its fingerprint.
const LACKING: u32 = 4;
const WHOLE: u32 = 6;

/// Whether the names of a record are to be looked at.
pub(super) fn are_wanted(fingerprint: u64, is_lacking: impl FnOnce() -> bool) -> bool {
    let zeros = fingerprint.trailing_zeros();
    zeros >= WHOLE || zeros >= LACKING && is_lacking()
}

/// The keys of the object at `at` of a text that was checked already, that are none of `known`.
pub(super) fn of_object(text: &str, at: usize, known: &Names) -> Strangers {
    let mut strangers = Strangers::default();
    // What can't be read has been refused before.
    note(&mut strangers, text, at, known).ok();
    strangers
}

fn note(strangers: &mut Strangers, text: &str, at: usize, known: &Names) -> Result<(), Fault> {
    let mut scan = Scanner::new(text, true);
    scan.at = at;
    scan.expect(b'{')?;
    let mut unescaped = String::new();
    while scan.token() == b'"' {
        unescaped.clear();
        let key = match scan.string(&mut unescaped)? {
            Text::Plain(start, end) => &text[start..end],
            Text::Unescaped => &unescaped,
        };
        if known.get(key.as_bytes()).is_none() {
            strangers.note(key);
        }
        scan.expect(b':')?;
        scan.token();
        scan.skip(1)?;
        if scan.token() != b',' {
            break;
        }
        scan.at += 1;
    }
    Ok(())
}
