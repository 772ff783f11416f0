//! A scanner over the bytes of one JSON text (RFC 8259): checks everything, builds nothing.

use super::number::{Decimal, STEPS, leading_digits};
use super::simd::Window;

mod skip;

/// Containers may be nested this deep.
pub(super) const MAX_DEPTH: u32 = 64;

/// Why a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not JSON, seen at this byte.
    Malformed(usize),
    /// Python's `NaN` or `Infinity` at this byte, where the configuration does not allow it.
    NanToken(usize),
    TooDeep,
}

/// Where a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// These bytes of the input.
    Plain(usize, usize),
    /// It had escapes and was appended, unescaped, to the buffer.
    Unescaped,
}

/// A number, or one of Python's words for what is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number<'a> {
    Decimal(Decimal<'a>),
    Special(f64),
}

/// A position in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    pub(super) at: usize,
    allow_nan: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, allow_nan: bool) -> Self {
        Self { text, at: 0, allow_nan }
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Runs what is seldom needed on a copy: a scanner whose address nothing takes stays in
    /// registers, and every step through memory would cost as much as a byte's whole treatment.
    #[inline(always)]
    pub(super) fn aside<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut copy = *self;
        let done = run(&mut copy);
        self.at = copy.at;
        done
    }

    #[inline(always)]
    pub(super) fn malformed<T>(&self) -> Result<T, Fault> {
        Err(Fault::Malformed(self.at))
    }

    /// The byte here, 0 at the end: no JSON has a 0 outside of a string, nor unescaped inside.
    #[inline(always)]
    pub(super) fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The same at another place of the text.
    #[inline(always)]
    pub(super) fn moved(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// The bytes after the one here, if there are enough.
    #[inline(always)]
    pub(super) fn after(&self) -> Option<&'a Window> {
        self.bytes().get(self.at + 1..)?.first_chunk()
    }

    /// The next byte that is no white space.
    #[inline(always)]
    pub(super) fn token(&mut self) -> u8 {
        loop {
            let byte = self.byte();
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
    }

    /// Takes `byte`, which must be the next token.
    #[inline(always)]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.token() != byte {
            return self.malformed();
        }
        self.at += 1;
        Ok(())
    }

    /// Only white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.token();
        if self.at == self.text.len() { Ok(()) } else { self.malformed() }
    }

    /// A string whose opening quote is here. What has escapes is appended to `unescaped`.
    #[inline(always)]
    pub(super) fn string(&mut self, unescaped: &mut String) -> Result<Text, Fault> {
        let start = self.at + 1;
        let end = self.special(start);
        self.at = end;
        if self.byte() == b'"' {
            self.at += 1;
            return Ok(Text::Plain(start, end));
        }
        self.aside(|scan| scan.string_with_escapes(start, Some(unescaped)))?;
        Ok(Text::Unescaped)
    }

    /// Steps over a string whose opening quote is here.
    #[inline]
    fn skip_string(&mut self) -> Result<(), Fault> {
        self.at = self.special(self.at + 1);
        if self.byte() == b'"' {
            self.at += 1;
            return Ok(());
        }
        self.string_with_escapes(self.at, None)
    }

    /// The rest of a string: plain from `run` up to here, where something else begins.
    #[cold]
    fn string_with_escapes(
        &mut self,
        mut run: usize,
        mut out: Option<&mut String>,
    ) -> Result<(), Fault> {
        loop {
            if let Some(out) = &mut out {
                out.push_str(&self.text[run..self.at]);
            }
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    let escaped = self.escape()?;
                    if let Some(out) = &mut out {
                        out.push(escaped);
                    }
                }
                _ => return self.malformed(),
            }
            run = self.at;
            self.at = self.special(run);
        }
    }

    /// The first quote, backslash or control character from `at` on, or the end.
    #[inline(always)]
    fn special(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        // Sixteen bytes a step: most keys and texts end in the first, so nothing is mispredicted.
        while let Some(pair) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
            let (words, _) = pair.as_chunks::<8>();
            let found = [0, 1].map(|i| special_bytes(u64::from_le_bytes(words[i])));
            if found[0] | found[1] != 0 {
                let second = usize::from(found[0] == 0);
                let bits = if found[0] == 0 { found[1] } else { found[0] };
                return at + 8 * second + (bits.trailing_zeros() / 8) as usize;
            }
            at += 16;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let plain = rest.iter().take_while(|&&b| b != b'"' && b != b'\\' && b >= 0x20).count();
        at + plain
    }

    /// An escape whose backslash is here. A surrogate must come with its other half.
    fn escape(&mut self) -> Result<char, Fault> {
        self.at += 1;
        let plain = match self.byte() {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.malformed(),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&first) {
            if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                return self.malformed();
            }
            self.at += 2;
            let second = self.hex4()?;
            if !(0xDC00..0xE000).contains(&second) {
                return self.malformed();
            }
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            first
        };
        match char::from_u32(code) {
            Some(char) => Ok(char),
            None => self.malformed(),
        }
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let mut code = 0;
        for _ in 0..4 {
            match char::from(self.byte()).to_digit(16) {
                Some(digit) => code = code * 16 + digit,
                None => return self.malformed(),
            }
            self.at += 1;
        }
        Ok(code)
    }

    /// Takes `word`, whose first byte is here.
    #[inline(always)]
    pub(super) fn word(&mut self, word: &str) -> Result<(), Fault> {
        match self.text.as_bytes().get(self.at..self.at + word.len()) {
            Some(found) if found == word.as_bytes() => {
                self.at += word.len();
                Ok(())
            }
            _ => self.malformed(),
        }
    }

    /// A number whose first byte is here.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Result<Number<'a>, Fault> {
        let start = self.at;
        let negative = self.byte() == b'-';
        self.at += usize::from(negative);
        let mut digits = 0;
        let first = self.at;
        match self.byte() {
            b'0' => self.at += 1,
            b'1'..=b'9' => digits = self.digits(digits),
            b'N' | b'I' => return self.aside(|scan| scan.special_number(negative)),
            _ => return self.malformed(),
        }
        let mut count = self.at - first;
        let mut exponent = 0;
        let mut whole = true;
        if self.byte() == b'.' {
            self.at += 1;
            let point = self.at;
            digits = self.digits(digits);
            let places = self.at - point;
            if places == 0 {
                return self.malformed();
            }
            count += places;
            exponent = -i32::try_from(places).unwrap_or(i32::MAX);
            whole = false;
        }
        if matches!(self.byte(), b'e' | b'E') {
            exponent = exponent.saturating_add(self.aside(Self::exponent)?);
            whole = false;
        }
        // 19 digits always fit 64 bits.
        let (text, end, complete) = (self.text, self.at, count <= 19);
        let decimal = Decimal { text, start, end, negative, digits, exponent, complete, whole };
        Ok(Number::Decimal(decimal))
    }

    /// Digits from here on, appended to `value`, which wraps around beyond 19 of them.
    #[inline(always)]
    fn digits(&mut self, mut value: u64) -> u64 {
        let bytes = self.text.as_bytes();
        while let Some(word) = bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let (count, step) = leading_digits(u64::from_le_bytes(*word));
            value = value.wrapping_mul(STEPS[count]).wrapping_add(step);
            self.at += count;
            if count < 8 {
                return value;
            }
        }
        loop {
            let digit = self.byte().wrapping_sub(b'0');
            if digit > 9 {
                return value;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
    }

    /// An exponent whose `e` is here.
    fn exponent(&mut self) -> Result<i32, Fault> {
        self.at += 1;
        let negative = self.byte() == b'-';
        self.at += usize::from(matches!(self.byte(), b'-' | b'+'));
        let first = self.at;
        let mut exponent: i32 = 0;
        while let digit @ 0..=9 = self.byte().wrapping_sub(b'0') {
            exponent = exponent.saturating_mul(10).saturating_add(digit.into());
            self.at += 1;
        }
        if self.at == first {
            return self.malformed();
        }
        Ok(if negative { -exponent } else { exponent })
    }

    #[cold]
    fn special_number(&mut self, negative: bool) -> Result<Number<'a>, Fault> {
        let at = self.at;
        let value = if self.byte() == b'I' {
            self.word("Infinity")?;
            if negative { f64::NEG_INFINITY } else { f64::INFINITY }
        } else if negative {
            return self.malformed();
        } else {
            self.word("NaN")?;
            f64::NAN
        };
        if self.allow_nan { Ok(Number::Special(value)) } else { Err(Fault::NanToken(at)) }
    }
}

/// The high bit of every quote, backslash and control character in a word, up to the first: bytes
/// above it may be spoiled by a borrow.
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let quote = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
    (quote | backslash | below(word, 0x20)) & (ONES * 0x80)
}
