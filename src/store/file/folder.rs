//! Whether a folder can hold a state: asked before anything is started, and what to do where it cannot.

use std::fs;
use std::io;
use std::io::ErrorKind;
use std::path::Path;

use crate::store::{Error, FileStore};

impl FileStore {
    /// Whether this user could keep a state in `dir`, or make it, as far as that shows without leaving a trace.
    ///
    /// # Errors
    /// `Error::Directory` where it is certain that a start would fail.
    pub fn check(dir: &Path) -> Result<(), Error> {
        for at in dir.ancestors() {
            let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
            let usable = match fs::metadata(at) {
                // What is missing is made below the first that is there.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => Err(error),
                Ok(_) => writes_in(at),
            };
            return usable.map_err(|error| refused(dir, Error::io("use", at)(error)));
        }
        Ok(())
    }
}

/// A file without a name goes with its descriptor. Where the file system has none, nothing is known.
#[cfg(target_os = "linux")]
fn writes_in(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let file = fs::OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(dir);
    match file {
        Err(error) if is_of_the_folder(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn writes_in(dir: &Path) -> io::Result<()> {
    fs::read_dir(dir).map(|_| ())
}

/// Another folder, or another user, would do: neither the disk nor time mends it.
fn is_of_the_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
    )
}

/// The same error, with what to do where that is to choose another folder.
pub(super) fn refused(dir: &Path, error: Error) -> Error {
    match error {
        Error::Io { path, source, .. } if is_of_the_folder(&source) => {
            Error::Directory { dir: dir.to_owned(), path, cause: source }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_can_be_made_is_good_and_is_not_made() {
        let root = tempfile::tempdir().unwrap();
        FileStore::check(root.path()).unwrap();
        let dir = root.path().join("a/b");
        FileStore::check(&dir).unwrap();
        assert!(!root.path().join("a").exists());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        FileStore::check(Path::new("no-such-folder")).unwrap();
        assert!(!Path::new("no-such-folder").exists());
    }

    #[test]
    fn a_file_in_its_place_or_above_it_is_told_with_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for dir in [file.clone(), file.join("state")] {
            let said = [FileStore::check(&dir).unwrap_err(), FileStore::open(&dir).unwrap_err()];
            for error in said {
                let text = error.to_string();
                let begin = format!("state directory {} can't be used: ", dir.display());
                assert!(text.starts_with(&begin), "{text}");
                assert!(text.contains("set `state.dir` to a folder of yours"), "{text}");
            }
        }
    }
}
