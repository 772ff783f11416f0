//! Sorting the values of a column: three radix passes over the leading bits, and what they leave.

/// Above, a second copy of the values costs more than it saves.
const RADIX_MAX: usize = 1 << 21;
/// Below, the tables of the passes cost more than they save.
const RADIX_MIN: usize = 1 << 12;
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;

/// The values in the order of `f64::total_cmp`.
pub(super) fn sorted(values: Vec<f64>) -> Vec<f64> {
    // Both are done in place: as wide as each other, and the vectors are consumed.
    let mut keys: Vec<u64> = values.into_iter().map(key).collect();
    if (RADIX_MIN..=RADIX_MAX).contains(&keys.len()) {
        keys = radix(keys);
    } else {
        keys.sort_unstable();
    }
    keys.into_iter().map(value).collect()
}

/// Keys are ordered as the values are: the sign turned, and all bits of what is below zero.
fn key(value: f64) -> u64 {
    let bits = value.to_bits();
    bits ^ (sign_mask(bits) | 1 << 63)
}

fn value(key: u64) -> f64 {
    f64::from_bits(key ^ (sign_mask(!key) | 1 << 63))
}

/// All ones where the highest bit is set, else all zeros.
fn sign_mask(bits: u64) -> u64 {
    (bits.cast_signed() >> 63).cast_unsigned()
}

/// Sorts by the 33 leading bits of what is above the lowest key, digit by digit from the last one;
/// neighbours that agree in all of them, few unless they are ties, are compared in the end.
fn radix(mut keys: Vec<u64>) -> Vec<u64> {
    let (low, high) = keys.iter().fold((u64::MAX, 0), |(l, h), &key| (key.min(l), key.max(h)));
    if low >= high {
        return keys;
    }
    let shift = (u64::BITS - (high - low).leading_zeros()).saturating_sub(3 * DIGIT_BITS);
    let mut other = vec![0; keys.len()];
    for (pass, mut counts) in (0..).zip(digits(&keys, low, shift)) {
        if counts.iter().any(|&count| count as usize == keys.len()) {
            continue;
        }
        let mut start = 0;
        for count in &mut counts {
            start += std::mem::replace(count, start);
        }
        for &key in &keys {
            let next = &mut counts[digit((key - low) >> (shift + pass * DIGIT_BITS))];
            other[*next as usize] = key;
            *next += 1;
        }
        std::mem::swap(&mut keys, &mut other);
    }
    if shift > 0 {
        settle(&mut keys, |key| (key - low) >> shift);
    }
    keys
}

/// How often each value of the three digits occurs, the lowest digit first.
fn digits(keys: &[u64], low: u64, shift: u32) -> [[u32; DIGITS]; 3] {
    let [mut first, mut second, mut third, mut odd] = [[0u32; DIGITS]; 4];
    let mut add = |key: u64, third: &mut [u32; DIGITS]| {
        let lead = (key - low) >> shift;
        first[digit(lead)] += 1;
        second[digit(lead >> DIGIT_BITS)] += 1;
        third[digit(lead >> (2 * DIGIT_BITS))] += 1;
    };
    // Neighbours often agree in the leading digit, and the second would wait for the first.
    let (pairs, rest) = keys.as_chunks::<2>();
    for &[a, b] in pairs {
        add(a, &mut third);
        add(b, &mut odd);
    }
    rest.iter().for_each(|&key| add(key, &mut odd));
    for (even, odd) in third.iter_mut().zip(odd) {
        *even += odd;
    }
    [first, second, third]
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are asked for")]
fn digit(lead: u64) -> usize {
    lead as usize % DIGITS
}

/// Sorts keys that are sorted by their `lead` already.
fn settle(keys: &mut [u64], lead: impl Fn(u64) -> u64) {
    let mut at = 1;
    while at < keys.len() {
        if keys[at - 1] <= keys[at] {
            at += 1;
            continue;
        }
        let same = lead(keys[at]);
        let before = keys[..at].iter().rev().take_while(|&&key| lead(key) == same).count();
        let after = keys[at..].iter().take_while(|&&key| lead(key) == same).count();
        keys[at - before..at + after].sort_unstable();
        at += after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let close = (0..u64::MAX >> 40).prop_map(|low| f64::from_bits(1.0f64.to_bits() + low));
        let far = prop::sample::select(vec![f64::MAX, -f64::MAX, 5e-324]);
        let value = prop_oneof![
            Just(any::<u64>().prop_map(f64::from_bits).boxed()),
            Just(any::<f32>().prop_map(f64::from).boxed()),
            Just((-1e6..1e6f64).boxed()),
            Just((-40..40i32).prop_map(f64::from).boxed()),
            Just(prop_oneof![40 => close, 1 => far].boxed()),
        ];
        value.prop_flat_map(|value| proptest::collection::vec(value, 0..3 * RADIX_MIN))
    }

    proptest! {
        #[test]
        fn radix_sorts_like_comparing(values in values()) {
            let mut expected = values.clone();
            expected.sort_unstable_by(f64::total_cmp);
            let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
            let by_radix = radix(values.iter().map(|&v| key(v)).collect());
            let by_radix: Vec<f64> = by_radix.into_iter().map(value).collect();
            prop_assert_eq!(bits(by_radix), bits(expected.clone()));
            prop_assert_eq!(bits(sorted(values)), bits(expected));
        }

        #[test]
        fn keys_are_ordered_as_values_are(a: u64, b: u64) {
            let (a, b) = (f64::from_bits(a), f64::from_bits(b));
            prop_assert_eq!(key(a).cmp(&key(b)), a.total_cmp(&b));
            prop_assert_eq!(value(key(a)).to_bits(), a.to_bits());
        }
    }
}
