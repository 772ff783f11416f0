//! Random numbers that come again, and damage done by them.

/// SplitMix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..end`; 0 if that is empty.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap() % end.max(1)
    }
}

/// Numbers that lengths and counts are checked too late against.
const ODD: [u32; 8] = [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Damages some bytes of `tail` at the end of the file; what it did, for a message.
pub(super) fn damage(bytes: &mut Vec<u8>, tail: usize, dice: &mut Dice) -> String {
    let len = bytes.len();
    let from = len - tail.min(len);
    let at = from + dice.below(len - from);
    let span = 1 + dice.below(64.min(len - at));
    match dice.below(8) {
        0 | 1 => {
            let bit = dice.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} of {len} flipped")
        }
        2 => {
            let byte = dice.next().to_le_bytes()[0];
            bytes[at] = byte;
            format!("byte {at} of {len} is {byte}")
        }
        3 => {
            bytes[at..at + span].fill(0);
            format!("{span} bytes from {at} of {len} are zero")
        }
        4 => {
            let odd = ODD[dice.below(ODD.len())].to_le_bytes();
            let room = (len - at).min(4);
            bytes[at..at + room].copy_from_slice(&odd[..room]);
            format!("{odd:?} at {at} of {len}")
        }
        5 => {
            bytes.drain(at..at + span);
            format!("{span} bytes from {at} of {len} gone")
        }
        6 => {
            let other = dice.below(len - span + 1);
            let copy = bytes[other..other + span].to_vec();
            bytes.splice(at..at, copy);
            format!("{span} bytes of {other} again at {at} of {len}")
        }
        _ => {
            bytes.truncate(at);
            format!("cut to {at} of {len}")
        }
    }
}
