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

/// The keys of the object at `at` of a text that was checked already, that are none of `known`. Of one
/// that holds no feature at all, also those of the objects in it, as `inputs/amount`: there they may be.
pub(super) fn of_object(text: &str, at: usize, known: &Names, is_bare: bool) -> Strangers {
    let mut strangers = Strangers::default();
    let mut scan = Scanner::new(text, true);
    scan.at = at;
    let mut visit = |key: &str, value: Scanner<'_>| {
        if is_bare && text.as_bytes().get(value.at) == Some(&b'{') {
            let mut within =
                |inner: &str, _: Scanner<'_>| strangers.note(&format!("{key}/{inner}"));
            keys(text, value, &mut within).ok();
        } else if known.get(key.as_bytes()).is_none() {
            strangers.note(key);
        }
    };
    // What can't be read has been refused before.
    keys(text, scan, &mut visit).ok();
    strangers
}

/// Visits the keys of an object, each with where its value stands.
fn keys<'a>(
    text: &str,
    mut scan: Scanner<'a>,
    visit: &mut dyn FnMut(&str, Scanner<'a>),
) -> Result<(), Fault> {
    scan.expect(b'{')?;
    let mut unescaped = String::new();
    while scan.token() == b'"' {
        unescaped.clear();
        let key = match scan.string(&mut unescaped)? {
            Text::Plain(start, end) => &text[start..end],
            Text::Unescaped => &unescaped,
        };
        scan.expect(b':')?;
        scan.token();
        visit(key, scan);
        scan.skip(1)?;
        if scan.token() != b',' {
            break;
        }
        scan.at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, is_bare: bool) -> Vec<String> {
        let known = Names::new([("amount", 0), ("country", 1)]);
        of_object(text, 0, &known, is_bare).iter().map(str::to_owned).collect()
    }

    #[test]
    fn of_a_record_without_any_feature_it_is_told_where_they_may_be() {
        let nested = r#"{"ts": 1, "inputs": {"amount": 3, "deeper": {"x": 1}}, "tags": ["a"], "amoun\u0074s": 2}"#;
        assert_eq!(told(nested, true), ["amounts", "inputs/amount", "inputs/deeper", "tags", "ts"]);
        assert_eq!(told(nested, false), ["amounts", "inputs", "tags", "ts"]);
        assert_eq!(told(r#"{"amount": {"country": 1}, "b": 2}"#, true), ["amount/country", "b"]);
        assert_eq!(told("[1]", true), Vec::<String>::new());
    }
}
