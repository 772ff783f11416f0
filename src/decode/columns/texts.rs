//! The texts of one categorical feature in a batch's rows.

use arrow::array::StringArray;
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use super::nulls;

/// Texts of up to so many bytes are copied without a loop.
const CHUNK: usize = 16;

#[derive(Debug)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// Where each row's text begins, and the end of the last.
    offsets: Vec<i32>,
    nulls: Vec<u32>,
}

impl Texts {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), offsets: vec![0], nulls: Vec::new() }
    }

    /// Appends the bytes of `text` from `start` to `end`.
    #[inline]
    pub(super) fn push(&mut self, text: &str, start: u32, end: u32) {
        let text = text.as_bytes();
        let (start, end) = (start as usize, end as usize);
        match text.get(start..).and_then(|rest| rest.first_chunk::<CHUNK>()) {
            Some(chunk) if end - start <= CHUNK => {
                let whole = self.bytes.len() + (end - start);
                self.bytes.extend_from_slice(chunk);
                self.bytes.truncate(whole);
            }
            _ => self.bytes.extend_from_slice(&text[start..end]),
        }
        self.end_row();
    }

    pub(super) fn push_null(&mut self, row: u32) {
        self.nulls.push(row);
        self.end_row();
    }

    #[inline]
    fn end_row(&mut self) {
        let end = i32::try_from(self.bytes.len()).expect("a batch has under 2 GiB of text");
        self.offsets.push(end);
    }

    /// The texts so far; the next ones will be about as many.
    pub(super) fn finish(&mut self) -> StringArray {
        let rows = self.offsets.len() - 1;
        let mut next = Vec::with_capacity(self.offsets.len());
        next.push(0);
        let offsets = std::mem::replace(&mut self.offsets, next);
        let next = Vec::with_capacity(self.bytes.len() + CHUNK);
        let bytes = std::mem::replace(&mut self.bytes, next);
        let nulls = nulls(rows, &std::mem::take(&mut self.nulls));
        StringArray::new(
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(bytes),
            nulls,
        )
    }
}
