//! What a record is known by when it comes a second time: 64 bits of all its bytes.

use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// 64 well mixed bits of `bytes`; the same bytes give the same ones on every machine. Two different
/// records share them once in 2^64 pairs, unless somebody made them for it.
#[inline]
pub fn of_bytes(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Of one of the rows that a record carries.
pub(super) fn of_row(record: u64, row: u64) -> u64 {
    xxh3_64_with_seed(&row.to_le_bytes(), record)
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
