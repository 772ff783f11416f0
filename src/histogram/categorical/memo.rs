//! What the values of a batch are counted as, so that a value that comes again is not looked up again.

/// More distinct values than this are seldom frequent ones.
const MOST_SLOTS: usize = 1024;
/// No value is counted as this.
const FREE: u32 = u32::MAX;

/// A number, or a string of up to 16 bytes, whole: two are the same only if their values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    head: u64,
    tail: u64,
    len: u32,
}

impl Key {
    /// Of a string. Its first and its last bytes overlap where it is short.
    #[inline]
    pub(super) fn text(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let len = u32::try_from(bytes.len()).ok()?;
        let (head, tail) = match bytes {
            [] => (0, 0),
            [first, .., last] if len < 4 => {
                let middle = bytes[bytes.len() / 2];
                (u64::from(u32::from_le_bytes([*first, middle, *last, 0])), 0)
            }
            [only] => (u64::from(*only), 0),
            _ if len < 8 => {
                let (head, tail) = (bytes.first_chunk()?, bytes.last_chunk()?);
                (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into())
            }
            _ if len <= 16 => {
                let (head, tail) = (bytes.first_chunk()?, bytes.last_chunk()?);
                (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
            }
            _ => return None,
        };
        Some(Self { head, tail, len })
    }

    /// Of a number's bits; keys of numbers are not to be mixed with those of strings.
    #[inline]
    pub(super) fn number(bits: u64) -> Self {
        Self { head: bits, tail: 0, len: 0 }
    }

    /// Some well mixed bits.
    #[inline]
    fn hash(self) -> u64 {
        let head = self.head ^ 0x9E37_79B9_7F4A_7C15 ^ u64::from(self.len);
        let tail = self.tail ^ 0xD6E8_FEB8_6659_FD93;
        let product = u128::from(head) * u128::from(tail);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
        let folded = product as u64 ^ (product >> 64) as u64;
        folded
    }
}

/// One slot for each hash; of two values with one slot, the last is remembered.
#[derive(Debug)]
pub(super) struct Memo {
    slots: Vec<(Key, u32)>,
}

impl Memo {
    /// For a batch of so many values.
    pub(super) fn new(values: usize) -> Self {
        let slots = (2 * values).next_power_of_two().min(MOST_SLOTS);
        Self { slots: vec![(Key { head: 0, tail: 0, len: 0 }, FREE); slots] }
    }

    /// What `key` is counted as: as it was before, or as `look_up` says.
    #[inline]
    pub(super) fn get(&mut self, key: Key, look_up: impl FnOnce() -> u32) -> u32 {
        let last = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "masked anyway")]
        let slot = &mut self.slots[key.hash() as usize & last];
        if slot.0 != key || slot.1 == FREE {
            *slot = (key, look_up());
        }
        slot.1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_as_different_as_their_strings(a in "[a-c\u{e9}\0]{0,9}", b in "[a-c\u{e9}\0]{0,9}") {
            if let (Some(of_a), Some(of_b)) = (Key::text(&a), Key::text(&b)) {
                prop_assert_eq!(of_a == of_b, a == b);
            }
            prop_assert_eq!(Key::text(&a).is_some(), a.len() <= 16);
        }

        #[test]
        fn what_is_remembered_is_what_was_looked_up(numbers in proptest::collection::vec(0..3000u64, 0..2000)) {
            let mut memo = Memo::new(numbers.len());
            for number in numbers {
                let expected = u32::try_from(number * 7 % 1000).unwrap();
                prop_assert_eq!(memo.get(Key::number(number), || expected), expected);
            }
        }
    }
}
