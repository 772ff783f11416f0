//! Numbers and names as people read them, in text and on pages.

/// A count in text: `1,150`.
pub fn grouped(n: u64) -> String {
    apart(&n.to_string(), ',')
}

/// A count on a page, with thin spaces between thousands.
pub(super) fn count(n: u64) -> String {
    apart(&n.to_string(), '\u{202f}')
}

/// The digits of a whole number with `mark` between its thousands.
pub(super) fn apart(digits: &str, mark: char) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(mark);
        }
        out.push(digit);
    }
    out
}

/// At most four digits that matter.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-3) {
        return format!("{value:.1e}");
    }
    let digits = match size {
        s if s >= 1000.0 => 0,
        s if s >= 100.0 => 1,
        s if s >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// On one line, and without control characters, which could drive a terminal.
pub fn printable_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The same in at most `most` characters, of which the last says where more are left out.
pub fn cut(text: &str, most: usize) -> String {
    let clean = printable_text(text);
    if clean.chars().count() <= most {
        return clean;
    }
    clean.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(["1", "999", "1,000", "12,345,678"], [1, 999, 1_000, 12_345_678].map(grouped));
        assert_eq!(count(1_150), "1\u{202f}150");
    }

    #[test]
    fn at_most_four_digits_matter() {
        let values = [0.0, -1e-9, 0.0004, 0.123_45, 1.5, 12.344, 123.44, 1234.4, 2e6];
        let texts = ["0", "-1.0e-9", "4.0e-4", "0.1235", "1.5", "12.34", "123.4", "1234", "2.0e6"];
        assert_eq!(values.map(short), texts);
    }

    #[test]
    fn what_would_move_a_cursor_or_fill_a_screen_is_left_out() {
        assert_eq!(printable_text("a\u{1b}[2J\n"), "a\u{fffd}[2J\u{fffd}");
        assert_eq!((cut("12345", 5), cut("123456", 5)), ("12345".to_owned(), "1234…".to_owned()));
    }
}
