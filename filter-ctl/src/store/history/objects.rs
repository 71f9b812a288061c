//! Texts of profiles, by what is in them: a file each, named by its digest, written once and never changed.
//!
//! A text is on the disk before a line of the journal names it. What no line names any more is collected when a new
//! part of the journal begins; a command that died may leave a text that nobody needs until then.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::entry::Digest;
use crate::store::{StoreError, files};

/// The folder of all texts.
#[derive(Clone, Debug)]
pub struct Objects {
    folder: PathBuf,
}

impl Objects {
    /// Below a folder of states, which need not be there.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("objects") }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.as_str())
    }

    /// Keeps a text: where it returns it is on the disk.
    pub fn put(&self, text: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(text);
        let path = self.path(&digest);
        // One that is damaged is written anew.
        if !fs::read(&path).is_ok_and(|there| there == text) {
            files::write(&path, text)?;
        }
        Ok(digest)
    }

    /// A text that was kept.
    pub fn get(&self, digest: &Digest) -> Result<String, StoreError> {
        let path = self.path(digest);
        let damaged = |message: &str| StoreError::Damaged { path: path.clone(), message: message.to_owned() };
        if !digest.is_well_formed() {
            return Err(damaged("no text has such a name; the journal's line is wrong"));
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged("the text of a profile is missing that the journal names"));
            }
            Err(error) => return Err(StoreError::io(&path, error)),
        };
        if Digest::of(&bytes) != *digest {
            return Err(damaged("the text of a profile is not what was written"));
        }
        String::from_utf8(bytes).map_err(|_| damaged("the text of a profile is no text"))
    }

    /// Removes all texts but these. One that cannot be removed does no harm.
    pub fn keep_only(&self, needed: &BTreeSet<Digest>) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let needed: HashSet<&str> = needed.iter().map(Digest::as_str).collect();
        for entry in entries.flatten() {
            if !entry.file_name().to_str().is_some_and(|name| needed.contains(name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
