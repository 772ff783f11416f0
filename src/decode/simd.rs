//! What is done to many bytes at once, for every kind of CPU: by words, or with AVX2.

use std::fmt::Debug;
use std::str::Utf8Error;

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

#[cfg(target_arch = "x86_64")]
use avx2::Avx2;
pub(super) use portable::Portable;

/// Bytes that are looked at at once.
pub(super) const WINDOW: usize = 32;
pub(super) type Window = [u8; WINDOW];

/// Bytes in which a number is looked for: a window of digits, before it a sign, and one to step over
/// the point.
pub(super) type Wide = [u8; WINDOW + 8];

/// A number without an exponent, of at most 19 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    /// Its bytes.
    pub(super) len: usize,
    pub(super) negative: bool,
    /// Digits before the point, leading zero included.
    pub(super) whole: usize,
    /// Its digits without the point, filled up with zeros behind them to `DIGITS`.
    pub(super) digits: u64,
}

/// As many always fit 64 bits.
pub(super) const DIGITS: usize = 19;
/// Integers of so many digits are all doubles.
const EXACT_DIGITS: usize = 15;
/// Bytes of the longest, with sign and point.
const LONGEST: usize = DIGITS + 2;

/// Work that is compiled once for every kind of CPU. `run` must be `#[inline(always)]`, and so must
/// everything in it that calls a kernel; else the kernel is called, not merged with the rest.
pub(super) trait Task {
    type Output;

    fn run(self) -> Self::Output;
}

/// The kernels of one kind of CPU. All kinds give the same results.
pub(super) trait Simd: Copy + Debug {
    /// Does `task` with what this CPU can.
    fn run<T: Task>(self, task: T) -> T::Output;

    /// Whether the window is equal to `head` where `mask` has ones.
    fn begins(self, window: &Window, head: &Window, mask: &Window) -> bool;

    /// Bit `i` is set when byte `i` is a quote.
    fn quotes(self, window: &Window) -> u32;

    /// Bit `i` is set when byte `i` is what ends the plain part of a string: a quote, a backslash or
    /// a control character.
    fn specials(self, window: &Window) -> u32;

    /// The JSON number that the window begins with. `None` says nothing: it may be none, have an
    /// exponent, too many digits, or be an integer that doubles may not hold. Of what follows it only
    /// a sign, a point and `/` are refused.
    fn number(self, window: &Wide) -> Option<Short>;

    fn is_ascii(self, bytes: &[u8]) -> bool;

    /// Has `bytes` brought near, for they are read soon.
    fn prefetch(self, bytes: &[u8]);
}

/// A kind of CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

impl Level {
    /// What every CPU can.
    pub(super) const PLAIN: Self = Self::Portable(Portable);

    /// All that this CPU can, the best last.
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::PLAIN];
        #[cfg(target_arch = "x86_64")]
        all.extend(Avx2::detect().map(Self::Avx2));
        all
    }

    pub(super) fn best() -> Self {
        Self::all().pop().unwrap_or(Self::PLAIN)
    }
}

/// `bytes` as text. ASCII, which nearly all records are, is checked in a fraction of the time.
#[expect(unsafe_code, reason = "the standard library would check what is known to be ASCII again")]
pub(super) fn text<S: Simd>(simd: S, bytes: &[u8]) -> Result<&str, Utf8Error> {
    if simd.run(IsAscii(simd, bytes)) {
        // SAFETY: every byte is under 0x80, and such bytes are UTF-8 in any order.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes)
}

struct IsAscii<'a, S>(S, &'a [u8]);

impl<S: Simd> Task for IsAscii<'_, S> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        self.0.is_ascii(self.1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a level's kernels say about some bytes.
    #[derive(Debug, PartialEq)]
    struct Said {
        quotes: u32,
        specials: u32,
        begins: [bool; 2],
        number: Option<Short>,
        is_ascii: bool,
    }

    struct Asked<'a, S>(S, &'a Wide, &'a Window, &'a [u8]);

    impl<S: Simd> Task for Asked<'_, S> {
        type Output = Said;

        fn run(self) -> Said {
            let Self(simd, wide, other, bytes) = self;
            let window: &Window = wide.first_chunk().unwrap();
            simd.prefetch(bytes);
            // A text that the window begins with, and most likely one that it does not.
            let mask = other.map(|byte| if byte < 0x80 { 0xFF } else { 0 });
            let mut head = *other;
            for (i, byte) in head.iter_mut().enumerate().filter(|(i, _)| mask[*i] != 0) {
                *byte = window[i];
            }
            Said {
                quotes: simd.quotes(window),
                specials: simd.specials(window),
                begins: [simd.begins(window, &head, &mask), simd.begins(window, other, &mask)],
                number: simd.number(wide),
                is_ascii: simd.is_ascii(bytes),
            }
        }
    }

    fn said(level: Level, wide: &Wide, other: &Window, bytes: &[u8]) -> Said {
        match level {
            Level::Portable(simd) => simd.run(Asked(simd, wide, other, bytes)),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(simd) => simd.run(Asked(simd, wide, other, bytes)),
        }
    }

    fn number(text: &str) -> Option<Short> {
        let mut wide = [b' '; WINDOW + 8];
        wide[..text.len()].copy_from_slice(text.as_bytes());
        Portable.number(&wide)
    }

    /// Bytes that are often what kernels look for.
    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![
            4 => prop::sample::select(b"\"\\\x1f\x00 !#[]/0159:;-.eE,}\x7f\x80".to_vec()),
            1 => any::<u8>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn every_level_says_the_same(
            number in "-?[0-9]{0,21}[.]?[0-9]{0,21}[-./eE,} ]{0,2}",
            wide in prop::collection::vec(byte(), WINDOW + 8),
            other in prop::array::uniform32(byte()),
            bytes in prop::collection::vec(prop_oneof![60 => 0..0x80u8, 1 => any::<u8>()], 0..200),
        ) {
            let mut wide: Wide = wide.try_into().unwrap();
            for with_number in [false, true] {
                if with_number {
                    let len = number.len().min(wide.len());
                    wide[..len].copy_from_slice(&number.as_bytes()[..len]);
                }
                let plain = said(Level::PLAIN, &wide, &other, &bytes);
                for level in Level::all() {
                    prop_assert_eq!(&said(level, &wide, &other, &bytes), &plain, "{:?}", level);
                }
                prop_assert!(plain.begins[0]);
                prop_assert_eq!(plain.is_ascii, bytes.iter().all(|&byte| byte < 0x80));
                for (i, byte) in wide[..WINDOW].iter().enumerate() {
                    prop_assert_eq!(plain.quotes >> i & 1 == 1, *byte == b'"');
                    let special = matches!(byte, b'"' | b'\\' | 0..0x20);
                    prop_assert_eq!(plain.specials >> i & 1 == 1, special);
                }
            }
        }

        #[test]
        fn what_is_a_number_is_what_the_standard_library_reads(
            sign in "-?", whole in "0|[1-9][0-9]{0,17}", places in "([.][0-9]{1,18})?",
        ) {
            let text = format!("{sign}{whole}{places}");
            let digits = whole.len() + places.len().saturating_sub(1);
            let found = number(&text);
            let fits = digits <= DIGITS && !(places.is_empty() && whole.len() > EXACT_DIGITS);
            prop_assert_eq!(found.is_some(), fits, "{}", text);
            if let Some(found) = found {
                prop_assert_eq!((found.len, found.whole), (text.len(), whole.len()));
                prop_assert_eq!(found.value().to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }
    }

    #[test]
    fn what_json_does_not_call_a_number_is_none() {
        let others = ["", "-", "01", "-01", "00", "1.", ".5", "-.5", "--1", "1.2.3", "1-2", "1/2"];
        for text in others.into_iter().chain(["+1", "a"]) {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn the_best_level_is_one_of_this_cpu() {
        assert_eq!(Level::all()[0], Level::PLAIN);
        assert_eq!(Level::all().last(), Some(&Level::best()));
    }
}
