//! The incident log, written anew as a whole.

use crate::codec::write_frame;
use crate::store::file::{FileStore, KIND_INCIDENT, check_size};
use crate::store::{Error, Saved};

impl FileStore {
    /// Makes the incident log hold exactly these records, given as `(version, body)`. After an error or
    /// a crash it holds either these or those of before.
    pub fn rewrite_incidents(&self, records: &[(u8, Vec<u8>)]) -> Result<Saved, Error> {
        let path = self.incidents_path();
        let mut frames = Vec::new();
        for (version, body) in records {
            check_size(&path, body)?;
            write_frame(&mut frames, KIND_INCIDENT, *version, body);
        }
        self.incidents.replace(&path, &frames)?;
        Ok(Saved { bytes: frames.len() as u64 })
    }
}
