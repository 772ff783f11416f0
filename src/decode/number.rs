//! Decimal text to the nearest double.

use std::hint::select_unpredictable;

use super::simd::{DIGITS, Short};

/// A number as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    /// The text that it stands in, from where to where.
    pub(super) text: &'a str,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) negative: bool,
    /// Its digits without point and exponent; only meaningful if `complete`.
    pub(super) digits: u64,
    /// Power of ten that `digits` stand at.
    pub(super) exponent: i32,
    /// All digits are in `digits`.
    pub(super) complete: bool,
    /// Written without point and exponent.
    pub(super) whole: bool,
}

/// Doubles hold every integer up to here.
const EXACT: u64 = 1 << 53;

impl Decimal<'_> {
    fn token(&self) -> &str {
        &self.text[self.start..self.end]
    }

    /// The nearest double, ties to even; infinite beyond the largest.
    // Inlined, as is what makes a `Decimal`: it then lives in registers, and is not written to
    // memory in pieces that are read back at once.
    #[inline(always)]
    pub(super) fn value(&self) -> f64 {
        let size = if self.complete { nearest(self.digits, self.exponent) } else { None };
        match size {
            Some(size) if self.negative => -size,
            Some(size) => size,
            None => by_std(self.text, self.start, self.end),
        }
    }

    /// Its value where it is written as an integer of at most 64 bits.
    pub(super) fn integer(&self) -> Option<i128> {
        if !self.whole {
            return None;
        }
        if self.complete {
            let size = i128::from(self.digits);
            return Some(if self.negative { -size } else { size });
        }
        self.token().parse::<u64>().ok().map(i128::from)
    }

    /// An integer beyond 2^53: the double may be another one.
    #[inline]
    pub(super) fn imprecise(&self) -> bool {
        self.whole && (!self.complete || self.digits > EXACT)
    }
}

impl Short {
    /// The nearest double, ties to even.
    #[inline(always)]
    pub(super) fn value(&self) -> f64 {
        if self.whole >= TIES_FROM {
            return self.value_or_tie();
        }
        // Filled up with zeros, integers are like all others: nothing branches on what can't be
        // foretold.
        let (power, exponent) = SHORT[self.whole % SHORT.len()];
        let (high, _) = scaled(self.digits, power);
        let size = rounded(high, exponent - self.digits.leading_zeros().cast_signed());
        let size = select_unpredictable(self.digits == 0, 0, size);
        f64::from_bits(size | u64::from(self.negative) << 63)
    }

    #[cold]
    #[inline(never)]
    fn value_or_tie(&self) -> f64 {
        let places = i32::try_from(DIGITS.saturating_sub(self.whole)).unwrap_or_default();
        let size = nearest(self.digits, -places).unwrap_or_default();
        if self.negative { -size } else { size }
    }
}

/// With fewer digits before the point nothing is halfway between two doubles: the power of ten
/// would be under 10^-4.
const TIES_FROM: usize = DIGITS - 4;

/// The powers for `Short`, by its digits before the point, and the exponents that go with them.
const SHORT: [(u128, i32); 16] = {
    let mut table = [(0, 0); 16];
    // Of 19 digits, 18 after the point.
    let mut exponent = -18;
    let mut whole = 1;
    while whole < TIES_FROM {
        table[whole] = (POWERS_OF_FIVE[whole + 27 - DIGITS], biased(exponent));
        exponent += 1;
        whole += 1;
    }
    table
};

/// Any number, for those that the fast ways leave.
#[cold]
fn by_std(text: &str, start: usize, end: usize) -> f64 {
    text[start..end].parse().expect("every JSON number is one of Rust's")
}

/// `digits * 10^exponent`, correctly rounded; `None` outside the range that is handled here.
#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "either exact or the nearest, as asked")]
fn nearest(digits: u64, exponent: i32) -> Option<f64> {
    if exponent == 0 {
        return Some(digits as f64);
    }
    if digits == 0 {
        return Some(0.0);
    }
    // Where digits and power are exact doubles, one division would do (Clinger); but which numbers
    // have so few digits can't be foretold, and the product is no slower.
    lemire(digits, exponent)
}

/// Range of exponents in which the algorithm below always decides.
const LOWEST: i32 = -27;
const HIGHEST: i32 = 55;

/// 5^q for every q of that range as its 128 leading bits: exact above 0, rounded up below.
const POWERS_OF_FIVE: [u128; 83] = {
    let mut table = [0u128; 83];
    let mut power: u128 = 1;
    let mut q = 0;
    while q <= 55 {
        table[q + 27] = power << power.leading_zeros();
        if q < 55 {
            power *= 5;
        }
        q += 1;
    }
    let mut power: u128 = 5;
    let mut q = 1;
    while q <= 27 {
        table[27 - q] = reciprocal(power);
        power *= 5;
        q += 1;
    }
    table
};

/// `2^(z + 127) / power + 1`, where `z` is how many bits `power` has: bit by bit, at compile time.
const fn reciprocal(power: u128) -> u128 {
    let bits = 128 - power.leading_zeros();
    let (mut quotient, mut rest): (u128, u128) = (0, 1);
    let mut step = 0;
    while step < bits + 127 {
        rest <<= 1;
        quotient <<= 1;
        if rest >= power {
            rest -= power;
            quotient += 1;
        }
        step += 1;
    }
    quotient + 1
}

/// Lemire, "Number Parsing at a Gigabyte per Second" (2021), for doubles, `digits` not 0.
#[inline(always)]
fn lemire(digits: u64, exponent: i32) -> Option<f64> {
    if !(LOWEST..=HIGHEST).contains(&exponent) {
        return None;
    }
    let power = POWERS_OF_FIVE[usize::try_from(exponent - LOWEST).ok()?];
    let (mut high, low) = scaled(digits, power);
    // Halfway between two doubles, and the lower one is even: a little less is nearer to it.
    let shift = (high >> 63) + 9;
    let mantissa = high >> shift;
    let halfway = low <= 1 && (-4..=23).contains(&exponent) && mantissa & 3 == 1;
    if halfway && mantissa << shift == high {
        high -= 1;
    }
    Some(f64::from_bits(rounded(high, biased(exponent) - digits.leading_zeros().cast_signed())))
}

/// floor(log2(10^exponent)) as a double holds it, less one for the leading bit of the mantissa, for
/// a product of 64 bits.
const fn biased(exponent: i32) -> i32 {
    ((exponent * 217_706) >> 16) + 63 + 1022
}

/// The upper halves of the product of `digits`, shifted to the left as far as it goes, and a power.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "upper and lower half of a wide product")]
fn scaled(digits: u64, power: u128) -> (u64, u64) {
    let digits = u128::from(digits.wrapping_shl(digits.leading_zeros()));
    // The lower half of the power matters only when all bits below the ones that are kept are set; but
    // they are for every integer that zeros were put behind, and which numbers those are can't be foretold.
    let product = digits * (power >> 64) + ((digits * u128::from(power as u64)) >> 64);
    ((product >> 64) as u64, product as u64)
}

/// The bits of a double: 53 bits of `high`, half up.
#[inline(always)]
fn rounded(high: u64, exponent: i32) -> u64 {
    let upper = high >> 63;
    let mantissa = high >> (upper + 9);
    let mantissa = (mantissa + (mantissa & 1)) >> 1;
    // The leading bit adds to the exponent, and one more if all bits were rounded up.
    let exponent = i64::from(exponent).wrapping_add_unsigned(upper);
    mantissa.wrapping_add((exponent << 52).cast_unsigned())
}

/// How many of eight bytes are digits before the first that is none, and the number they stand
/// for. The first byte is the lowest. No loop: the lengths of numbers can't be foretold.
#[inline]
pub(super) fn leading_digits(word: u64) -> (usize, u64) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let digits = word ^ (ONES * u64::from(b'0'));
    // The high bit of a byte over 9. A carry spoils only bytes above one that is none already.
    let none = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES * 0x80);
    let count = none.trailing_zeros() / 8;
    if count == 0 {
        return (0, 0);
    }
    // The digits move to the end, with zeros before them.
    let digits = digits << (64 - 8 * count);
    // Neighbours are joined into pairs, pairs into fours, fours into eight.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    (count as usize, (fours * 10_000 + (fours >> 32)) & 0xFFFF_FFFF)
}

/// 10^n for the digits of one step.
pub(super) const STEPS: [u64; 9] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn the_nearest_double_is_found(digits in any::<u64>(), drop in 0u32..64, exponent in -60i32..80) {
            let digits = digits >> drop;
            if let Some(value) = nearest(digits, exponent) {
                let expected = format!("{digits}e{exponent}").parse::<f64>().unwrap();
                prop_assert_eq!(value.to_bits(), expected.to_bits());
            }
        }

        #[test]
        fn what_people_write_is_read_exactly(digits in 0u64..10_000_000, exponent in -12i32..=6) {
            let expected = format!("{digits}e{exponent}").parse::<f64>().unwrap();
            prop_assert_eq!(nearest(digits, exponent).map(f64::to_bits), Some(expected.to_bits()));
        }

        #[test]
        fn ties_and_their_neighbours_go_to_even(
            mantissa in (1u64 << 52)..(1 << 53), up in 0u32..10, exponent in -5i32..24,
        ) {
            // (2 m + 1) / 2 ulp is halfway between two doubles.
            let halfway = (2 * mantissa + 1) << up;
            for digits in [halfway - 1, halfway, halfway + 1] {
                let value = nearest(digits, exponent).unwrap();
                let expected = format!("{digits}e{exponent}").parse::<f64>().unwrap();
                prop_assert_eq!(value.to_bits(), expected.to_bits());
            }
        }

        #[test]
        fn digits_filled_up_with_zeros_are_the_same_number(
            digits in 0u64..10_000_000_000_000_000_000, drop in 0u32..19, whole in 1usize..=19,
            negative in any::<bool>(),
        ) {
            let digits = digits / 10u64.pow(drop) * 10u64.pow(drop);
            let text = format!("{digits:019}");
            let (before, after) = text.split_at(whole);
            let sign = if negative { "-" } else { "" };
            let expected = format!("{sign}{before}.{after}0").parse::<f64>().unwrap();
            let short = Short { len: 0, negative, whole, digits };
            prop_assert_eq!(short.value().to_bits(), expected.to_bits());
        }

        #[test]
        fn ties_filled_up_with_zeros_go_to_even(
            mantissa in (1u64 << 52)..(1 << 53), up in 0u32..9, more in -1i64..=1,
        ) {
            // Of 16 to 19 digits, halfway between two doubles or next to it.
            let tie = (((2 * mantissa + 1) << up).cast_signed() + more).cast_unsigned();
            let text = tie.to_string();
            prop_assume!(text.len() <= DIGITS);
            let digits = tie * 10u64.pow(u32::try_from(DIGITS - text.len()).unwrap());
            let short = Short { len: 0, negative: false, whole: text.len(), digits };
            let expected = text.parse::<f64>().unwrap();
            prop_assert_eq!(short.value().to_bits(), expected.to_bits());
        }

        #[test]
        fn what_python_prints_is_read_without_the_slow_path(value in -1e15f64..1e15) {
            let text = format!("{value}");
            let (whole, part) = text.trim_start_matches('-').split_once('.').unwrap_or((&text, ""));
            if let Ok(digits) = format!("{}{part}", whole.trim_start_matches('-')).parse() {
                let exponent = -i32::try_from(part.len()).unwrap();
                prop_assert_eq!(nearest(digits, exponent), Some(value.abs()));
            }
        }
    }
}
