//! What is configured now, as the files say that an operator may write by hand, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use super::entry::{Digest, State};
use super::objects::Objects;
use crate::model::ProfileName;
use crate::store::{Folders, Profiles, StoreError, timeouts};

/// What files say.
#[derive(Clone, Debug)]
pub struct Actual {
    texts: BTreeMap<String, (Digest, Vec<u8>)>,
    /// Names whose files are no profiles.
    damaged: BTreeSet<String>,
    /// The text of timeouts, if there is one; an error if their file is damaged.
    timeouts: Result<Option<String>, IsDamaged>,
}

/// What a file says is not known.
#[derive(Clone, Copy, Debug)]
struct IsDamaged;

impl Actual {
    /// Reads the files. `profiles` were just read from them, and know which are no profiles.
    pub fn read(folders: &Folders, profiles: &Profiles) -> Result<Self, StoreError> {
        let timeouts = match timeouts::read(folders) {
            Ok(found) => Ok(found.map(|(_, text)| text)),
            Err(StoreError::Damaged { .. }) => Err(IsDamaged),
            Err(error) => return Err(error),
        };
        let mut actual = Self { texts: BTreeMap::new(), damaged: BTreeSet::new(), timeouts };
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
        Ok(actual)
    }

    /// What is configured. What is in a file that is damaged is what it was when that was `known`.
    pub fn state(&self, known: Option<&State>) -> State {
        let mut profiles: BTreeMap<String, Digest> =
            self.texts.iter().map(|(name, (digest, _))| (name.clone(), digest.clone())).collect();
        if let Some(known) = known {
            let lost = known.profiles.iter().filter(|(name, _)| self.damaged.contains(*name));
            profiles.extend(lost.map(|(name, digest)| (name.clone(), digest.clone())));
        }
        let timeouts = self.timeouts.clone();
        let timeouts = timeouts.unwrap_or_else(|IsDamaged| known.and_then(|known| known.timeouts.clone()));
        State { profiles, timeouts }
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
