//! Names to numbers, looked up by the bytes of a key.

use std::hint::select_unpredictable;

use xxhash_rust::xxh3::xxh3_64;

/// Bytes that are looked at at once: a short name and the quote after it.
pub(super) const WINDOW: usize = 32;

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
    pub(super) fn get_short(&self, window: &[u8; WINDOW]) -> Option<(u32, usize)> {
        self.short.get(window)
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

/// The words of a name and the quote after it, to compare without a loop over its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoted {
    words: Words,
    mask: Words,
    len: usize,
}

type Words = [u64; WINDOW / 8];

impl Quoted {
    /// `None` for a name that does not fit, or whose bytes are not those that JSON writes.
    pub(super) fn new(name: &[u8]) -> Option<Self> {
        let plain = name.iter().all(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
        if !plain || name.len() >= WINDOW {
            return None;
        }
        let mut window = [0; WINDOW];
        window[..name.len()].copy_from_slice(name);
        window[name.len()] = b'"';
        Some(Self { words: words(&window), mask: MASKS[name.len() + 1], len: name.len() })
    }

    /// The name's length, if the window begins with it.
    #[inline(always)]
    pub(super) fn begins(&self, window: &[u8; WINDOW]) -> Option<usize> {
        same(&masked(&words(window), &self.mask), &self.words).then_some(self.len)
    }
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
        for ((name, number), position) in names
            .iter()
            .filter_map(|(name, number)| Quoted::new(name).map(|name| (name, *number)))
            .zip(1..)
        {
            let words = masked(&name.words, &MASKS[name.len]);
            let mut slot = hash_words(&words) & mask;
            while slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = position;
            entries.push((words, number));
        }
        Self { slots, entries }
    }

    #[inline(always)]
    fn get(&self, window: &[u8; WINDOW]) -> Option<(u32, usize)> {
        let words = words(window);
        let len = quote(&words)?;
        let words = masked(&words, &MASKS[len]);
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
fn words(window: &[u8; WINDOW]) -> Words {
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

/// Where the first quote is.
#[inline(always)]
fn quote(words: &Words) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The lowest high bit that is left is a quote's; a borrow spoils only those above it.
    let quotes = |word: u64| {
        let other = word ^ (ONES * u64::from(b'"'));
        other.wrapping_sub(ONES) & !other & (ONES * 0x80)
    };
    let mut bits = quotes(words[3]);
    let mut at = 24;
    for (word, start) in [(words[2], 16), (words[1], 8), (words[0], 0)] {
        let here = quotes(word);
        at = select_unpredictable(here != 0, start, at);
        bits = select_unpredictable(here != 0, here, bits);
    }
    (bits != 0).then(|| at + (bits.trailing_zeros() / 8) as usize)
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
                prop_assert_eq!(table.get_short(&window(name)), found);
                let quoted = Quoted::new(name.as_bytes());
                prop_assert_eq!(quoted.and_then(|q| q.begins(&window(name))), found.map(|f| f.1));
            }
            let known: BTreeSet<_> = names.iter().collect();
            for other in others.iter().filter(|other| !known.contains(other)) {
                prop_assert_eq!(table.get(other.as_bytes()), None);
                prop_assert_eq!(table.get_short(&window(other)), None);
                for name in &names {
                    let quoted = Quoted::new(name.as_bytes());
                    prop_assert_eq!(quoted.and_then(|quoted| quoted.begins(&window(other))), None);
                }
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
            assert_eq!(names.get_short(&window(key)), None, "{key}");
            assert_eq!(Quoted::new(key.as_bytes()).is_some(), key == "a");
        }
        assert_eq!(names.get_short(&window("")), Some((3, 0)));
        assert_eq!(names.get_short(&window("é")), Some((4, 2)));
        assert_eq!(names.get_short(&[b'x'; WINDOW]), None);
    }
}
