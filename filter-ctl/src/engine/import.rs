//! Taking over the filters of a libvirt host, all at once.
//!
//! The files are looked at as a set: names and UUIDs are unique in it and fit what is there, references lead to
//! what is in it or there already, and not back. Whoever takes over a host has to know before, not by what no
//! longer passes, what their filters mean here that they did not mean to libvirt.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::profiles::identified;
use super::{Engine, EngineError, Warning};
use crate::model::Profile;
use crate::resolve::filter::{Change, changes};
use crate::resolve::{Library, closure};
use crate::store::{Origin, Profiles};
use crate::xml::{self, Reading};

/// A file that may hold a filter.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The file.
    pub file: PathBuf,
    /// What was read in it, or why nothing was.
    pub read: Result<(Profile, Vec<Warning>), String>,
}

/// What importing came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Whether what could be imported was, or there was nothing to do.
    pub done: bool,
    /// File by file.
    pub files: Vec<Imported>,
    /// Ports whose policy changed with the filters.
    pub ports: Vec<String>,
}

/// What became of a file, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The file.
    pub file: PathBuf,
    /// The filter in it.
    pub name: Option<String>,
    /// What becomes of it.
    pub fate: Fate,
    /// Why it is left out, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What was read otherwise than it is written.
    pub warnings: Vec<Warning>,
    /// What it means in strict mode that it does not mean to libvirt.
    pub differences: Vec<Difference>,
}

/// What becomes of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It is imported.
    New,
    /// It is imported in the place of another of the operator's.
    Changed,
    /// It is imported, and stands in the place of the shipped one of its name, which says something else.
    InPlaceOfShipped,
    /// The shipped one of its name means the same.
    Shipped,
    /// It is there.
    Unchanged,
    /// Something is wrong with it.
    Left,
}

impl Fate {
    /// Whether the filter is to be written.
    pub const fn is_imported(self) -> bool {
        matches!(self, Self::New | Self::Changed | Self::InPlaceOfShipped)
    }
}

/// A difference in meaning, and the rules that have it, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its name.
    pub change: String,
    /// The rule here, and what libvirt does.
    pub meaning: String,
    /// The rules, from 1.
    pub rules: Vec<usize>,
}

impl Imported {
    fn new(candidate: Candidate) -> (Self, Option<Profile>) {
        let mut imported = Self {
            file: candidate.file,
            name: None,
            fate: Fate::New,
            because: None,
            warnings: Vec::new(),
            differences: Vec::new(),
        };
        let (profile, warnings) = match candidate.read {
            Ok(read) => read,
            Err(message) => {
                imported.leave(message);
                return (imported, None);
            }
        };
        imported.name = Some(profile.name.to_string());
        imported.warnings = warnings;
        match profile.filter() {
            Some(filter) => imported.differences = differences(&changes(filter)),
            None => imported.leave("is no filter of libvirt's; `create` takes it".to_owned()),
        }
        (imported, Some(profile))
    }

    fn leave(&mut self, because: String) {
        self.fate = Fate::Left;
        self.because = Some(because);
    }
}

fn differences<T>(changes: &[(usize, T, Change)]) -> Vec<Difference> {
    let mut grouped: BTreeMap<Change, Vec<usize>> = BTreeMap::new();
    for (rule, _, change) in changes {
        let rules = grouped.entry(*change).or_default();
        if rules.last() != Some(rule) {
            rules.push(*rule);
        }
    }
    grouped
        .into_iter()
        .map(|(change, rules)| Difference {
            change: format!("{change:?}"),
            meaning: change.to_string(),
            rules,
        })
        .collect()
}

/// The files, and the filters in them as far as there are any.
struct Set(Vec<(Imported, Option<Profile>)>);

impl Set {
    /// What is in it twice is in it for nobody: it is not known which is meant.
    fn leave_doubles(&mut self) {
        let doubles: Vec<Option<String>> =
            (0..self.0.len()).map(|position| self.double_of(position)).collect();
        for ((imported, _), double) in self.0.iter_mut().zip(doubles) {
            if let (Some(because), None) = (double, &imported.because) {
                imported.leave(because);
            }
        }
    }

    fn double_of(&self, position: usize) -> Option<String> {
        let profile = self.0[position].1.as_ref()?;
        let uuid = |profile: &Profile| profile.filter().and_then(|filter| filter.uuid);
        self.0.iter().enumerate().filter(|(other, _)| *other != position).find_map(
            |(_, (imported, other))| {
                let other = other.as_ref()?;
                if other.name == profile.name {
                    Some(format!("`{}` is in {} too", profile.name, imported.file.display()))
                } else if uuid(profile).is_some() && uuid(other) == uuid(profile) {
                    let file = imported.file.display();
                    Some(format!("has the UUID of `{}` in {file}: write another, or none", other.name))
                } else {
                    None
                }
            },
        )
    }

    /// Compares with what is there.
    fn compare(&mut self, profiles: &Profiles) {
        for (imported, profile) in &mut self.0 {
            let Some(found) = profile.take().filter(|_| imported.fate != Fate::Left) else { continue };
            let stored = profiles.get(&found.name);
            imported.fate = match stored {
                Some((Origin::Shipped, shipped)) if shipped.meaning() == found.meaning() => Fate::Shipped,
                Some((Origin::Shipped, _)) => Fate::InPlaceOfShipped,
                Some((Origin::Own, _)) => Fate::Changed,
                None => Fate::New,
            };
            match identified(profiles, found) {
                Ok(found) => {
                    if imported.fate == Fate::Changed && stored.is_some_and(|(_, own)| *own == found) {
                        imported.fate = Fate::Unchanged;
                    }
                    *profile = Some(found);
                }
                Err(_) if imported.fate == Fate::Shipped => {}
                Err(error) => imported.leave(error.to_string()),
            }
        }
    }

    /// All there would be.
    fn library(&self, profiles: &Profiles, reading: Reading) -> Profiles {
        let mut library = profiles.clone();
        for (imported, profile) in &self.0 {
            if let (true, Some(profile)) = (imported.fate.is_imported(), profile) {
                library.add_read(profile.clone(), reading);
            }
        }
        library
    }

    /// Leaves out what leads nowhere or back, and what leads to what is left out.
    fn leave_loose(&mut self, profiles: &Profiles, reading: Reading) {
        loop {
            let library = self.library(profiles, reading);
            let mut loose = false;
            for (imported, profile) in &mut self.0 {
                let Some(profile) = profile.as_ref().filter(|_| imported.fate.is_imported()) else {
                    continue;
                };
                if let Some(because) = loose_end(&library, profile) {
                    imported.leave(because);
                    loose = true;
                }
            }
            if !loose {
                return;
            }
        }
    }
}

fn loose_end(library: &Profiles, profile: &Profile) -> Option<String> {
    profile.references().into_iter().find_map(|(to, location)| {
        if library.profile(to).is_none() {
            return Some(format!(
                "{location}: refers to `{to}`, which is not there and not among what is imported"
            ));
        }
        closure(library, std::slice::from_ref(to)).contains(&profile.name).then(|| {
            let name = &profile.name;
            format!("{location}: the reference to `{to}` leads back to `{name}`: references must not form a circle")
        })
    })
}

impl Engine {
    /// Imports filters that were read in this way, with all ports that use them: all, or none if something is
    /// wrong with one; those that are good where it is to be kept going; none where it is tried only.
    pub fn import(
        &mut self,
        candidates: Vec<Candidate>,
        reading: Reading,
        keep_going: bool,
        dry_run: bool,
    ) -> Result<Import, EngineError> {
        let mut set = Set(candidates.into_iter().map(Imported::new).collect());
        set.leave_doubles();
        set.compare(&self.profiles);
        set.leave_loose(&self.profiles, reading);
        let library = set.library(&self.profiles, reading);
        let mut filters = Vec::new();
        let mut files = Vec::new();
        for (imported, profile) in set.0 {
            if imported.fate.is_imported() {
                filters.extend(profile.map(|profile| (profile, reading)));
            }
            files.push(imported);
        }
        let good = files.iter().all(|imported| imported.fate != Fate::Left);
        let done = !dry_run && (good || keep_going);
        let mut ports = Vec::new();
        if done && !filters.is_empty() {
            let text = |filter: &Profile| (filter.name.clone(), Some(xml::print_stored(filter, reading)));
            let texts = filters.iter().map(|(filter, _)| text(filter)).collect();
            (ports, _) = self.change(texts, &library, |engine| {
                Ok(engine.profiles.save(&engine.folders.profiles, filters)?)
            })?;
        }
        Ok(Import { done, files, ports })
    }
}
