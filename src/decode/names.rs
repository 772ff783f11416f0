//! Names to numbers, looked up by the bytes of a key.

use xxhash_rust::xxh3::xxh3_64;

use super::simd::{Simd, WINDOW, Window};

/// Open addressing over a hash of a key's ends, or of all of it where the names' ends agree too much.
#[derive(Clone, Debug)]
pub(super) struct Names {
    short: ShortNames,
    /// The name and its number; slots refer to these by position plus one, 0 is free.
    names: Vec<(Box<[u8]>, u32)>,
    slots: Vec<(u32, u32)>,
    whole: bool,
}

impl Names {
    /// The first of equal names wins.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut distinct: Vec<(Box<[u8]>, u32)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (name, number) in names {
            if seen.insert(name) {
                distinct.push((name.as_bytes().into(), number));
            }
        }
        let mut by_ends: Vec<u32> = distinct.iter().map(|(name, _)| hash(name, false)).collect();
        by_ends.sort_unstable();
        let whole = by_ends.windows(2).any(|pair| pair[0] == pair[1]);
        let mut slots = vec![(0, 0); (4 * distinct.len()).next_power_of_two().max(8)];
        let mask = slots.len() - 1;
        for ((name, _), entry) in distinct.iter().zip(1..) {
            let hash = hash(name, whole);
            let mut slot = hash as usize & mask;
            while slots[slot].1 != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = (hash, entry);
        }
        let short = ShortNames::new(&distinct);
        Self { short, names: distinct, slots, whole }
    }

    /// The number and the length of the name that stands in `window`, written as it is and ended
    /// by a quote. `None` says nothing: it may still be a name that is long or written otherwise.
    #[inline(always)]
    pub(super) fn get_short<S: Simd>(&self, simd: S, window: &Window) -> Option<(u32, usize)> {
        self.short.get(simd, window)
    }

    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<u32> {
        let wanted = hash(key, self.whole);
        let mut slot = wanted as usize & (self.slots.len() - 1);
        loop {
            let (hash, entry) = self.slots[slot];
            let (name, number) = &self.names[(entry as usize).checked_sub(1)?];
            if hash == wanted && **name == *key {
                return Some(*number);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

type Words = [u64; WINDOW / 8];

/// Whether JSON writes a name as it is.
fn is_plain(name: &[u8]) -> bool {
    name.iter().all(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
}

/// Names that fit a window, by all their bytes. The lengths of keys in no order can't be foretold,
/// so nothing here branches on them.
#[derive(Clone, Debug)]
struct ShortNames {
    /// Positions in `entries`; 0 is free.
    slots: Vec<u32>,
    entries: Vec<(Words, u32)>,
}

impl ShortNames {
    /// No text has such bytes.
    const FREE: (Words, u32) = ([u64::MAX; WINDOW / 8], 0);

    fn new(names: &[(Box<[u8]>, u32)]) -> Self {
        let mut slots = vec![0; (4 * names.len()).next_power_of_two().max(8)];
        let mut entries = vec![Self::FREE];
        let mask = slots.len() - 1;
        for ((name, number), position) in
            names.iter().filter(|(name, _)| name.len() < WINDOW && is_plain(name)).zip(1..)
        {
            let mut window = [0; WINDOW];
            window[..name.len()].copy_from_slice(name);
            // The quote is compared, too: else zeros behind a name would be taken for its end.
            window[name.len()] = b'"';
            let words = words(&window);
            let mut slot = hash_words(&words) & mask;
            while slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = position;
            entries.push((words, *number));
        }
        Self { slots, entries }
    }

    #[inline(always)]
    fn get<S: Simd>(&self, simd: S, window: &Window) -> Option<(u32, usize)> {
        let len = simd.quotes(window).trailing_zeros() as usize;
        if len == WINDOW {
            return None;
        }
        let words = masked(&words(window), &MASKS[len + 1]);
        let mut slot = hash_words(&words);
        loop {
            let position = self.slots[slot & (self.slots.len() - 1)];
            let (name, number) = &self.entries[position as usize];
            if same(name, &words) {
                return Some((*number, len));
            }
            if position == 0 {
                return None;
            }
            slot += 1;
        }
    }
}

/// Low bytes to keep, by their number.
const MASKS: [Words; WINDOW + 1] = {
    let mut masks = [[0; WINDOW / 8]; WINDOW + 1];
    let mut byte = 0;
    while byte < WINDOW {
        masks[byte + 1] = masks[byte];
        masks[byte + 1][byte / 8] |= 0xFF << (8 * (byte % 8));
        byte += 1;
    }
    masks
};

#[inline(always)]
fn words(window: &Window) -> Words {
    let (words, _) = window.as_chunks();
    // No `map`: calls of it are not inlined.
    let word = |i: usize| u64::from_le_bytes(words[i]);
    [word(0), word(1), word(2), word(3)]
}

#[inline(always)]
fn masked(words: &Words, mask: &Words) -> Words {
    [words[0] & mask[0], words[1] & mask[1], words[2] & mask[2], words[3] & mask[3]]
}

#[inline(always)]
fn same(a: &Words, b: &Words) -> bool {
    (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) == 0
}

#[inline(always)]
fn hash_words(words: &Words) -> usize {
    let even = words[0] ^ words[2].rotate_left(29);
    let odd = words[1] ^ words[3].rotate_left(29);
    let mixed = even.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ odd.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> 40) as usize
}

/// The upper half of a product: every bit of both ends has its say.
#[inline(always)]
fn hash(key: &[u8], whole: bool) -> u32 {
    let (first, last) = match (key.first_chunk(), key.last_chunk()) {
        _ if whole => (xxh3_64(key), 0),
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => short_ends(key),
    };
    let mixed = first ^ last.rotate_left(29) ^ key.len() as u64;
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// The ends of fewer than eight bytes.
#[inline]
fn short_ends(key: &[u8]) -> (u64, u64) {
    match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => {
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        }
        _ if key.is_empty() => (0, 0),
        _ => {
            let ends = [key[0], key[key.len() / 2], key[key.len() - 1], 0];
            (u32::from_le_bytes(ends).into(), 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::simd::Portable;
    use super::*;

    /// The key's first bytes as they stand in a record.
    fn window(key: &str) -> [u8; WINDOW] {
        let text = format!("{key}\": \"{key}\", \"{:40}", "");
        *text.as_bytes().first_chunk().unwrap()
    }

    proptest! {
        #[test]
        fn every_name_is_found_and_no_other(
            names in proptest::collection::btree_set("[ab_]{0,40}|[ab_]{0,5}|a{0,40}", 0..200),
            others in proptest::collection::vec("[ab_]{0,40}|[ab_]{0,5}|a{0,40}", 20),
        ) {
            let numbered = || names.iter().map(String::as_str).zip(0u32..);
            let table = Names::new(numbered());
            for (name, number) in numbered() {
                prop_assert_eq!(table.get(name.as_bytes()), Some(number));
                let fits = name.len() < WINDOW;
                let found = fits.then_some((number, name.len()));
                prop_assert_eq!(table.get_short(Portable, &window(name)), found);
            }
            let known: BTreeSet<_> = names.iter().collect();
            for other in others.iter().filter(|other| !known.contains(other)) {
                prop_assert_eq!(table.get(other.as_bytes()), None);
                prop_assert_eq!(table.get_short(Portable, &window(other)), None);
            }
        }
    }

    #[test]
    fn the_first_of_equal_names_wins() {
        assert_eq!(Names::new([("x", 3), ("x", 4)]).get(b"x"), Some(3));
    }

    #[test]
    fn a_name_that_json_writes_otherwise_is_not_found_as_it_stands() {
        let names = Names::new([("a\\", 0), ("a\"b", 1), ("a\tb", 2), ("", 3), ("é", 4)]);
        for key in ["a\\", "a\"b", "a\tb", "a"] {
            assert_eq!(names.get_short(Portable, &window(key)), None, "{key}");
        }
        assert_eq!(names.get_short(Portable, &window("")), Some((3, 0)));
        assert_eq!(names.get_short(Portable, &window("é")), Some((4, 2)));
        assert_eq!(names.get_short(Portable, &[b'x'; WINDOW]), None);
    }
}
