//! Whether the remote's content is what DVC knows it by: its MD5.

use std::fmt::Write as _;
use std::io::{self, Read};

use md5::{Digest, Md5};
use parquet::file::reader::ChunkReader;

use crate::fetch::dvc::fault;
use crate::fetch::error::Error;
use crate::fetch::parquet::Input;

/// DVC 2 looks for ends of lines within pieces of this size.
const CHUNK: usize = 1 << 20;

/// A file of the remote, and what it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// The name that people know it by.
    pub(crate) name: String,
    /// Where below the remote it is.
    pub(crate) key: String,
    pub(super) md5: String,
    /// DVC 2 hashes text as if its lines ended as on Unix.
    pub(super) may_be_text: bool,
}

impl Content {
    /// Reads all of `input`, which errors name by `place`.
    ///
    /// # Errors
    /// It is other content, or can't be read.
    pub(crate) fn check(
        &self,
        location: &str,
        (place, input): &(String, Input),
    ) -> Result<(), Error> {
        let unread = |error: &io::Error| {
            let failure = match input {
                Input::Local(_) => None,
                Input::Remote(remote) => remote.take_failure(),
            };
            failure.unwrap_or_else(|| Error::io(place, error))
        };
        let hash = |as_text: bool| {
            let mut bytes = input.get_read(0).map_err(io::Error::other)?;
            hashed(&mut bytes, as_text)
        };
        let found = hash(false).map_err(|error| unread(&error))?;
        if found == self.md5 {
            return Ok(());
        }
        if self.may_be_text && hash(true).map_err(|error| unread(&error))? == self.md5 {
            return Ok(());
        }
        Err(other(location, (&self.name, place), (&self.md5, &found)))
    }
}

/// Fails if the listing of a folder is not the one whose hash, with `.dir` behind it, is `hash`.
pub(super) fn check_listing(
    location: &str,
    (hash, key): (&str, &str),
    listing: &[u8],
) -> Result<(), Error> {
    let expected = hash.trim_end_matches(".dir");
    let found = hex(Md5::digest(listing).as_slice());
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(other(location, ("the listing of the folder", key), (expected, &found)))
}

fn other(location: &str, (name, place): (&str, &str), (expected, found): (&str, &str)) -> Error {
    fault(
        location,
        format!(
            "{name} is damaged or another file in the remote: {place} has the MD5 {found}, and DVC knows it by \
             {expected}; remove it there and `dvc push` again"
        ),
    )
}

/// The MD5 of all that is read; as text with `\n` in the place of `\r\n` within each piece, as DVC 2 does it.
fn hashed(input: &mut impl Read, as_text: bool) -> io::Result<String> {
    let mut md5 = Md5::new();
    let mut piece = Vec::with_capacity(CHUNK);
    loop {
        piece.clear();
        if input.by_ref().take(CHUNK as u64).read_to_end(&mut piece)? == 0 {
            return Ok(hex(md5.finalize().as_slice()));
        }
        if as_text {
            let mut next = piece.iter().skip(1).copied().chain([0]);
            piece = piece
                .iter()
                .filter(|byte| next.next() != Some(b'\n') || **byte != b'\r')
                .copied()
                .collect();
        }
        md5.update(&piece);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_hashed_as_dvc_2_does() {
        let md5 = |text: &[u8], as_text| hashed(&mut &text[..], as_text).unwrap();
        assert_eq!(md5(b"", false), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(md5(b"abc", false), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(md5(b"a\r\nb\r\n", true), md5(b"a\nb\n", false));
        assert_ne!(md5(b"a\r\nb\r\n", false), md5(b"a\nb\n", false));
        assert_eq!(md5(b"a\r\r\nb\rc\n\r", true), md5(b"a\r\nb\rc\n\r", false));
        // A pair that two pieces share stays as it is.
        let mut long = vec![b'x'; CHUNK - 1];
        long.extend_from_slice(b"\r\n");
        assert_eq!(md5(&long, true), md5(&long, false));
    }
}
