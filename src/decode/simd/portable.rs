//! The plain twin of every kernel: words of eight bytes, on any CPU.

use super::super::number::{STEPS, leading_digits};
use super::{DIGITS, EXACT_DIGITS, Short, Simd, Task, WINDOW, Wide, Window};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Portable;

const ONES: u64 = 0x0101_0101_0101_0101;

impl Simd for Portable {
    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        task.run()
    }

    #[inline(always)]
    fn begins(self, window: &Window, head: &Window, mask: &Window) -> bool {
        let (window, head, mask) = (words(window), words(head), words(mask));
        (0..WINDOW / 8).fold(0, |other, i| other | (window[i] ^ head[i]) & mask[i]) == 0
    }

    #[inline(always)]
    fn quotes(self, window: &Window) -> u32 {
        bits(window, |word| zero_bytes(word ^ (ONES * u64::from(b'"'))))
    }

    #[inline(always)]
    fn specials(self, window: &Window) -> u32 {
        bits(window, |word| {
            let quote = zero_bytes(word ^ (ONES * u64::from(b'"')));
            let backslash = zero_bytes(word ^ (ONES * u64::from(b'\\')));
            // A byte whose upper three bits are 0.
            quote | backslash | zero_bytes(word & (ONES * 0xE0))
        })
    }

    #[inline(always)]
    fn number(self, window: &Wide) -> Option<Short> {
        let negative = window[0] == b'-';
        let first = usize::from(negative);
        let (whole, mut digits) = run_of_digits(window, first, 0)?;
        let mut len = first + whole;
        let mut count = whole;
        if window[len] == b'.' {
            let places;
            (places, digits) = run_of_digits(window, len + 1, digits)?;
            if places == 0 {
                return None;
            }
            len += 1 + places;
            count += places;
        } else if whole > EXACT_DIGITS {
            return None;
        }
        let leading_zero = window[first] == b'0' && whole > 1;
        let goes_on = matches!(window[len], b'-'..=b'/');
        if whole == 0 || leading_zero || count > DIGITS || goes_on {
            return None;
        }
        Some(Short { len, negative, whole, digits: digits * POWERS[DIGITS - count] })
    }

    #[inline(always)]
    fn is_ascii(self, bytes: &[u8]) -> bool {
        bytes.is_ascii()
    }

    #[inline(always)]
    fn prefetch(self, _bytes: &[u8]) {}
}

/// 10^n for every number of digits that may be missing.
const POWERS: [u64; DIGITS + 1] = {
    let mut powers = [1; DIGITS + 1];
    let mut n = 1;
    while n <= DIGITS {
        powers[n] = powers[n - 1] * 10;
        n += 1;
    }
    powers
};

/// How many digits begin at `at`, and `value` with them appended, which wraps around beyond 19 of
/// them. `None` if they do not end in the window.
#[inline(always)]
fn run_of_digits(window: &Wide, mut at: usize, mut value: u64) -> Option<(usize, u64)> {
    let start = at;
    while let Some(word) = window.get(at..).and_then(|rest| rest.first_chunk()) {
        let (count, step) = leading_digits(u64::from_le_bytes(*word));
        value = value.wrapping_mul(STEPS[count]).wrapping_add(step);
        at += count;
        if count < 8 {
            return Some((at - start, value));
        }
    }
    None
}

/// The high bit of every byte that is 0, exactly.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    let low = !(ONES * 0x80);
    !((word & low).wrapping_add(low) | word | low)
}

#[inline(always)]
fn words(window: &Window) -> [u64; WINDOW / 8] {
    let (words, _) = window.as_chunks();
    // No `map`: calls of it are not inlined.
    let word = |i: usize| u64::from_le_bytes(words[i]);
    [word(0), word(1), word(2), word(3)]
}

/// The high bits of all bytes, gathered.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "eight bits are left")]
fn bits(window: &Window, high_bits: impl Fn(u64) -> u64) -> u32 {
    let words = words(window);
    // The product moves bit 8 i + 7 to 56 + i; nothing else gets there.
    let gathered = |i: usize| (high_bits(words[i]) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    (gathered(0) | gathered(1) << 8 | gathered(2) << 16 | gathered(3) << 24) as u32
}
