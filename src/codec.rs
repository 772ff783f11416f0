//! Record framing: how every durable record of ours is written, checked and read back.
//!
//! A frame is `"DRF1" | kind u8 | version u8 | length u32 le | crc32c u32 le | body`; the checksum
//! covers everything before it and the body. Bodies are LEB128 varints, length-prefixed bytes and
//! JSON. Readers are total: hostile bytes give an error, never a panic or a large allocation.

use thiserror::Error;

const MAGIC: [u8; 4] = *b"DRF1";
const HEADER: usize = 14;
/// No record of ours comes near it; a longer one is garbage.
const BODY_MAX: usize = 256 << 20;

/// The bytes end early, or a length in them cannot be.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("record is truncated or malformed")]
pub struct Truncated;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    #[error("not a driftd record (bad magic)")]
    Magic,
    #[error("record is cut short")]
    Short,
    #[error("checksum mismatch")]
    Checksum,
}

/// One checked frame; `body` borrows from the input.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: u8,
    pub version: u8,
    pub body: &'a [u8],
}

/// Appends a frame around `body`.
pub fn write_frame(out: &mut Vec<u8>, kind: u8, version: u8, body: &[u8]) {
    let start = out.len();
    let length = u32::try_from(body.len()).expect("bodies are far under 4 GiB");
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind, version]);
    out.extend_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), body);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(body);
}

/// Takes one frame from the front of `input` and moves `input` behind it.
pub fn read_frame<'a>(input: &mut &'a [u8]) -> Result<Frame<'a>, FrameError> {
    let bytes = *input;
    if bytes.len() < HEADER {
        return Err(FrameError::Short);
    }
    if bytes[..4] != MAGIC {
        return Err(FrameError::Magic);
    }
    let word =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let length = word(6) as usize;
    if length > BODY_MAX || bytes.len() - HEADER < length {
        return Err(FrameError::Short);
    }
    let body = &bytes[HEADER..HEADER + length];
    if crc32c::crc32c_append(crc32c::crc32c(&bytes[..10]), body) != word(10) {
        return Err(FrameError::Checksum);
    }
    *input = &bytes[HEADER + length..];
    Ok(Frame { kind: bytes[4], version: bytes[5], body })
}

/// The seven lowest bits: one byte of a varint.
fn low_bits(value: u128) -> u8 {
    (value & 0x7f).to_le_bytes()[0]
}

/// Writes varints and length-prefixed bytes.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(low_bits(value.into()) | 0x80);
            value >>= 7;
        }
        self.bytes.push(low_bits(value.into()));
    }

    /// Zigzag, so that small negative numbers stay short.
    pub fn i64(&mut self, value: i64) {
        self.u64(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// By its bits.
    pub fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    pub fn i128(&mut self, value: i128) {
        let mut value = ((value << 1) ^ (value >> 127)).cast_unsigned();
        while value >= 0x80 {
            self.bytes.push(low_bits(value) | 0x80);
            value >>= 7;
        }
        self.bytes.push(low_bits(value));
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    pub fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// As they are, without their length.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads what `Writer` wrote; every length is checked against what is left.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn u64(&mut self) -> Result<u64, Truncated> {
        u64::try_from(self.varint(10)?).map_err(|_| Truncated)
    }

    pub fn i64(&mut self) -> Result<i64, Truncated> {
        let value = self.u64()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A number; what is none has never been written.
    pub fn f64(&mut self) -> Result<f64, Truncated> {
        let value = f64::from_bits(self.u64()?);
        if value.is_nan() { Err(Truncated) } else { Ok(value) }
    }

    pub fn i128(&mut self) -> Result<i128, Truncated> {
        let value = self.varint(19)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn varint(&mut self, bytes_max: u32) -> Result<u128, Truncated> {
        let mut value = 0u128;
        for i in 0..bytes_max {
            let (&byte, rest) = self.bytes.split_first().ok_or(Truncated)?;
            self.bytes = rest;
            let part = u128::from(byte & 0x7f);
            let shifted = part << (7 * i);
            // Bits beyond the 128th have no place.
            if shifted >> (7 * i) != part {
                return Err(Truncated);
            }
            value |= shifted;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Truncated)
    }

    /// A length that must not exceed `max`.
    pub fn len_at_most(&mut self, max: usize) -> Result<usize, Truncated> {
        let len = usize::try_from(self.u64()?).map_err(|_| Truncated)?;
        if len <= max { Ok(len) } else { Err(Truncated) }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Truncated> {
        let len = self.len_at_most(self.bytes.len())?;
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The last `N` bytes if they end with `mark`: they are taken off.
    pub fn ending<const N: usize>(&mut self, mark: &[u8]) -> Option<&'a [u8; N]> {
        let (rest, last) = self.bytes.split_last_chunk()?;
        last.ends_with(mark).then(|| self.bytes = rest)?;
        Some(last)
    }

    pub fn str(&mut self) -> Result<&'a str, Truncated> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Truncated)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_text_come_back(a: u64, b: i64, c: i128, text: String) {
            let mut out = Writer::default();
            out.u64(a);
            out.i64(b);
            out.i128(c);
            out.str(&text);
            let bytes = out.into_bytes();
            let mut input = Reader::new(&bytes);
            prop_assert_eq!(input.u64().unwrap(), a);
            prop_assert_eq!(input.i64().unwrap(), b);
            prop_assert_eq!(input.i128().unwrap(), c);
            prop_assert_eq!(input.str().unwrap(), text);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn a_flipped_bit_is_seen(body: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
            let mut bytes = Vec::new();
            write_frame(&mut bytes, 3, 1, &body);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(read_frame(&mut bytes.as_slice()).is_err());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let mut input = Reader::new(&bytes);
            while !input.is_empty() && input.i128().is_ok() && input.str().is_ok() {}
            prop_assert!(read_frame(&mut bytes.as_slice()).is_err());
        }
    }

    #[test]
    fn a_number_of_more_bits_than_its_type_is_refused() {
        let all_ones = |n: usize, last: u8| [vec![0xFF; n - 1], vec![last]].concat();
        assert_eq!(Reader::new(&all_ones(19, 3)).i128(), Ok(i128::MIN));
        assert_eq!(Reader::new(&all_ones(19, 4)).i128(), Err(Truncated));
        assert_eq!(Reader::new(&all_ones(10, 1)).u64(), Ok(u64::MAX));
        assert_eq!(Reader::new(&all_ones(10, 2)).u64(), Err(Truncated));
    }

    #[test]
    fn frames_follow_one_another() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, 1, 1, b"first");
        write_frame(&mut bytes, 2, 7, b"");
        let mut input = bytes.as_slice();
        assert_eq!(read_frame(&mut input), Ok(Frame { kind: 1, version: 1, body: b"first" }));
        assert_eq!(read_frame(&mut input), Ok(Frame { kind: 2, version: 7, body: b"" }));
        assert_eq!(read_frame(&mut input), Err(FrameError::Short));
    }
}
