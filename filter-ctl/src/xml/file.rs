//! Profiles in files: refused unread if they are too large or no files at all.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Parsed, Reading, XmlError, document, limits, profile};
use crate::model::{Profile, ProfileName};

/// Why a file gave no profile. Displayed with the file's name, and the place in it where there is one.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system did not give it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, device, pipe or socket.
    #[error("{}: found something else than a regular file; profiles are read from files", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// Larger than a profile may be.
    #[error(
        "{}: found {size} bytes, expected at most {}; split the profile and refer to its parts",
        path.display(), limits::DOCUMENT
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        size: u64,
    },
    /// Not what a profile looks like.
    #[error("{}", error.in_file(path))]
    Xml {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: XmlError,
    },
}

/// Reads the text of a profile. What is larger than [`limits::DOCUMENT`] is refused by its size, before any of
/// it is read; so is what is no regular file.
pub fn read_profile_file(path: &Path) -> Result<String, FileError> {
    let io = |source| FileError::Io { path: path.to_owned(), source };
    // Asked by name first: opening a pipe would wait for somebody to write to it.
    check(path, &fs::metadata(path).map_err(io)?)?;
    let file = File::open(path).map_err(io)?;
    check(path, &file.metadata().map_err(io)?)?;
    let mut bytes = Vec::new();
    // One more than allowed, should the file be growing.
    let size = file.take(limits::DOCUMENT + 1).read_to_end(&mut bytes).map_err(io)? as u64;
    if size > limits::DOCUMENT {
        return Err(FileError::TooLarge { path: path.to_owned(), size });
    }
    document::decode(bytes).map_err(|error| FileError::Xml { path: path.to_owned(), error })
}

/// Reads a profile, strictly or as it says it was stored: see [`stored_reading`](super::stored_reading). A file
/// with a single entry and no name in it is named like the file.
pub fn read_profile(path: &Path) -> Result<Profile, FileError> {
    let text = read_profile_file(path)?;
    let reading = profile::stored_reading(&text);
    parse_profile_file(path, &text, reading).map(|parsed| parsed.profile)
}

/// Reads a profile in this way.
pub fn read_profile_with(path: &Path, reading: Reading) -> Result<Parsed, FileError> {
    parse_profile_file(path, &read_profile_file(path)?, reading)
}

/// Reads a profile from the text of a file. The file itself is not looked at.
pub fn parse_profile_file(path: &Path, text: &str, reading: Reading) -> Result<Parsed, FileError> {
    let name: Option<ProfileName> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
    profile::parse(text, name.as_ref(), reading)
        .map_err(|error| FileError::Xml { path: path.to_owned(), error })
}

fn check(path: &Path, metadata: &fs::Metadata) -> Result<(), FileError> {
    let path = path.to_owned();
    if !metadata.is_file() {
        return Err(FileError::NotRegular { path });
    }
    match metadata.len() {
        size if size > limits::DOCUMENT => Err(FileError::TooLarge { path, size }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_files_are_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.xml");
        // A sparse file: it takes no room, and reading it would take long.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read_profile_file(&path).unwrap_err();
        assert!(matches!(error, FileError::TooLarge { size, .. } if size == 1 << 40), "{error}");
        let error = read_profile_file(folder.path()).unwrap_err();
        assert!(matches!(error, FileError::NotRegular { .. }), "{error}");
        let error = read_profile_file(Path::new("/dev/zero")).unwrap_err();
        assert!(matches!(error, FileError::NotRegular { .. }), "{error}");
        assert!(matches!(read_profile_file(&folder.path().join("none")), Err(FileError::Io { .. })));
    }

    #[test]
    fn a_bare_entry_is_named_like_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lone.xml");
        fs::write(&path, "<FilterEntry><Action>DROP</Action></FilterEntry>").unwrap();
        assert_eq!(read_profile(&path).unwrap().name.as_str(), "lone");
        fs::write(&path, "<FilterEntry>\n<Action>PASS</Action></FilterEntry>").unwrap();
        let error = read_profile(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:2:9: `Action`: found `PASS`", path.display())), "{error}");
    }
}
