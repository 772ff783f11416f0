//! What a record is known by when it comes a second time: 64 bits of all its bytes.

const KEYS: [u64; 4] =
    [0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93, 0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB];
const WORD: usize = 8;
const STEP: usize = 4 * WORD;

/// 64 well mixed bits of `bytes`; the same bytes give the same ones on every machine. Two different
/// records share them once in 2^64 pairs, unless somebody made them for it.
pub fn of_bytes(bytes: &[u8]) -> u64 {
    let mut lanes = (KEYS[0], KEYS[1]);
    let mut steps = bytes.chunks_exact(STEP);
    for step in &mut steps {
        lanes = mix(lanes, step);
    }
    let rest = steps.remainder();
    if !rest.is_empty() {
        let mut last = [0; STEP];
        last[..rest.len()].copy_from_slice(rest);
        lanes = mix(lanes, &last);
    }
    fold(fold(lanes.0 ^ KEYS[2], lanes.1 ^ KEYS[3]) ^ KEYS[0], bytes.len() as u64 ^ KEYS[1])
}

/// Of one of the rows that a record carries.
pub(super) fn of_row(record: u64, row: u64) -> u64 {
    fold(record ^ KEYS[2], row.wrapping_mul(KEYS[1]) ^ KEYS[3])
}

#[inline(always)]
fn mix((one, other): (u64, u64), step: &[u8]) -> (u64, u64) {
    let word = |at: usize| {
        step[at * WORD..].first_chunk().map_or(0, |word: &[u8; WORD]| u64::from_le_bytes(*word))
    };
    (
        fold(one ^ word(0), word(1) ^ KEYS[2]) ^ KEYS[0],
        fold(other ^ word(2), word(3) ^ KEYS[3]) ^ KEYS[1],
    )
}

/// Both halves of the product.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    let folded = product as u64 ^ (product >> 64) as u64;
    folded
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_change_of_any_bit_is_another_record() {
        for len in [1, 7, 8, 31, 32, 33, 64, 200] {
            let bytes = vec![b'7'; len];
            let mut seen = HashSet::from([of_bytes(&bytes)]);
            for bit in 0..8 * len {
                let mut other = bytes.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(seen.insert(of_bytes(&other)), "bit {bit} of {len} bytes");
            }
            // Zeros at the end count, too.
            assert!(seen.insert(of_bytes(&[bytes.as_slice(), &[0]].concat())));
        }
    }

    #[test]
    fn the_lowest_bits_choose_evenly() {
        // What a sample is taken by: of 2^16 records, so many have eight zeros at the end.
        let chosen = (0..1u32 << 16).filter(|n| {
            let text = format!("{{\"id\":{n},\"amount\":{}}}", f64::from(*n) / 7.0);
            of_bytes(text.as_bytes()).trailing_zeros() >= 8
        });
        let chosen = chosen.count();
        assert!((200..=312).contains(&chosen), "{chosen}: 256 and 3.5 standard errors are 312");
        let rows: HashSet<u64> = (0..1000).map(|row| of_row(7, row)).collect();
        assert_eq!(rows.len(), 1000);
    }
}
