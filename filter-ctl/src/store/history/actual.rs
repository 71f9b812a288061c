//! What is configured now, as the files say that an operator may write by hand, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use super::entry::{Digest, State};
use super::objects::Objects;
use crate::model::ProfileName;
use crate::store::{Folders, Profiles, StoreError};

/// What files say.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    texts: BTreeMap<String, (Digest, Vec<u8>)>,
    /// Names whose files are no profiles.
    damaged: BTreeSet<String>,
    timeouts: Option<String>,
}

impl Actual {
    /// Reads the files. `profiles` were just read from them, and know which are no profiles.
    pub fn read(folders: &Folders, profiles: &Profiles) -> Result<Self, StoreError> {
        let mut actual = Self::default();
        for (path, _) in profiles.broken() {
            let name = path.file_stem().and_then(|stem| stem.to_str());
            actual.damaged.extend(name.map(str::to_owned));
        }
        let folder = &folders.profiles;
        let fail = |error| StoreError::io(folder, error);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(fail(error)),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(fail)?.path();
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let is_one = path.extension().is_some_and(|extension| extension == "xml")
                && name.parse::<ProfileName>().is_ok()
                && !actual.damaged.contains(name);
            if is_one {
                let text = fs::read(&path).map_err(|error| StoreError::io(&path, error))?;
                actual.texts.insert(name.to_owned(), (Digest::of(&text), text));
            }
        }
        actual.timeouts = match fs::read_to_string(&folders.timeouts) {
            Ok(text) => Some(text.trim_end().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::io(&folders.timeouts, error)),
        };
        Ok(actual)
    }

    /// What is configured. A profile whose file is damaged is what it was when that was `known`.
    pub fn state(&self, known: Option<&State>) -> State {
        let mut profiles: BTreeMap<String, Digest> =
            self.texts.iter().map(|(name, (digest, _))| (name.clone(), digest.clone())).collect();
        if let Some(known) = known {
            let lost = known.profiles.iter().filter(|(name, _)| self.damaged.contains(*name));
            profiles.extend(lost.map(|(name, digest)| (name.clone(), digest.clone())));
        }
        State { profiles, timeouts: self.timeouts.clone() }
    }

    /// Keeps all texts.
    pub fn keep(&self, objects: &Objects) -> Result<(), StoreError> {
        self.texts.values().try_for_each(|(_, text)| objects.put(text).map(drop))
    }

    /// Keeps the text of one profile, if it has one.
    pub fn keep_one(&self, name: &str, objects: &Objects) -> Result<(), StoreError> {
        self.texts.get(name).map_or(Ok(()), |(_, text)| objects.put(text).map(drop))
    }
}
