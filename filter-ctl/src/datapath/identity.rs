//! Which build the pinned programs are of, and what they have to hand on to those that take their place.
//!
//! It is the text of a symbolic link, `identity`, beside the programs' pins: a BPF file system has no files to write to,
//! but it has links, whose text is read without following them. The link is in the folder of the programs, so both are
//! replaced by one step. Versions of filter-ctl read it in folders of other layouts than theirs, so its form stays:
//! `key=value`, with commas between, and whoever does not know a key passes it over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::DatapathError;
use super::{LogLevel, OBJECT};

/// A build of the classifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Made of the object's bytes: equal objects, equal builds.
    pub id: String,
    /// The version of filter-ctl that loaded it.
    pub version: String,
}

impl Build {
    /// The one that this program carries.
    pub fn own() -> Self {
        static ID: LazyLock<String> = LazyLock::new(|| {
            let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, OBJECT);
            id.simple().to_string()
        });
        Self { id: ID.clone(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.version, self.id.get(..8).unwrap_or(&self.id))
    }
}

/// What is known of pinned programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) build: Build,
    /// See [`ANSWER_SECRET`](filter_common::maps::ANSWER_SECRET). Answers on their way when programs are replaced are
    /// known to the new ones by it.
    pub(super) secret: u32,
    /// What they log.
    pub(super) log: LogLevel,
}

/// The link's name.
const NAME: &str = "identity";

impl Identity {
    /// Of programs that are pinned in a folder; `None` where they say nothing that makes sense.
    pub(super) fn read(programs: &Path) -> Option<Self> {
        let text = fs::read_link(programs.join(NAME)).ok()?;
        Self::parse(text.to_str()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.split(',')
                .find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key))
                .map(|it| it.1)
        };
        let build = Build { id: value("build")?.to_owned(), version: value("version")?.to_owned() };
        let secret = u32::from_str_radix(value("secret")?, 16).ok()?;
        let log = value("log").and_then(|log| log.parse().ok()).and_then(LogLevel::of_number);
        Some(Self { build, secret, log: log.unwrap_or_default() })
    }

    /// Writes it into a folder that has none.
    pub(super) fn write(&self, programs: &Path) -> Result<(), DatapathError> {
        let path: PathBuf = programs.join(NAME);
        let Self { build: Build { id, version }, secret, log } = self;
        let text = format!("version={version},build={id},secret={secret:08x},log={}", *log as u8);
        std::os::unix::fs::symlink(text, &path).map_err(|error: io::Error| DatapathError::io(&path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("there is room");
        let identity = Identity { build: Build::own(), secret: 0x8000_0001, log: LogLevel::Warn };
        assert_eq!(Identity::read(folder.path()), None);
        identity.write(folder.path()).expect("there is none yet");
        assert_eq!(Identity::read(folder.path()), Some(identity));
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_missing_is_nothing() {
        let identity =
            Identity::parse("colour=red,version=9.1.0,secret=ffffffff,build=00ff").expect("it is all there");
        assert_eq!((identity.build.version.as_str(), identity.log), ("9.1.0", LogLevel::Off));
        for text in ["", "version=1", "version=1,build=2", "version=1,build=2,secret=xyz"] {
            assert_eq!(Identity::parse(text), None, "{text}");
        }
    }
}
