//! Profiles: the operator's files, and those that ship.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{StoreError, files};
use crate::model::{Profile, ProfileName};
use crate::resolve::Library;
use crate::xml::{self, FileError, filter_entry};

/// Profiles that ship: name and text.
const SHIPPED: [(&str, &str); 11] = [
    ("VM-specific-layer3", include_str!("../../../profiles/VM-specific-layer3.xml")),
    ("generic-layer2", include_str!("../../../profiles/generic-layer2.xml")),
    ("no-arp-spoofing", include_str!("../../../profiles/no-arp-spoofing.xml")),
    ("no-broadcast", include_str!("../../../profiles/no-broadcast.xml")),
    ("no-dhcp-server", include_str!("../../../profiles/no-dhcp-server.xml")),
    ("no-ip-spoofing", include_str!("../../../profiles/no-ip-spoofing.xml")),
    ("no-mac-spoofing", include_str!("../../../profiles/no-mac-spoofing.xml")),
    ("no-multicast", include_str!("../../../profiles/no-multicast.xml")),
    ("no-nd-spoofing", include_str!("../../../profiles/no-nd-spoofing.xml")),
    ("no-router-advertisement", include_str!("../../../profiles/no-router-advertisement.xml")),
    ("no-vlan", include_str!("../../../profiles/no-vlan.xml")),
];

/// Where a profile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It ships with filter-ctl.
    Shipped,
    /// It is the operator's; it may stand in the place of a shipped one.
    Own,
}

/// All profiles, by name. The operator's stand in the place of shipped ones of the same name.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    known: BTreeMap<ProfileName, (Origin, Profile)>,
    broken: Vec<(PathBuf, String)>,
}

impl Profiles {
    /// Reads all profiles. A file that is no profile does not hide the others: see [`Profiles::broken`].
    pub fn load(folder: &Path) -> Result<Self, StoreError> {
        let mut profiles = Self::shipped()?;
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(profiles),
            Err(error) => return Err(StoreError::io(folder, error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| StoreError::io(folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == "xml") {
                profiles.add_file(&path);
            }
        }
        Ok(profiles)
    }

    /// The shipped profiles alone.
    pub fn shipped() -> Result<Self, StoreError> {
        let mut profiles = Self::default();
        for (name, text) in SHIPPED {
            let profile = filter_entry::parse(text, None).map_err(|error| StoreError::Damaged {
                path: format!("{name}.xml").into(),
                message: error.to_string(),
            })?;
            profiles.known.insert(profile.name.clone(), (Origin::Shipped, profile));
        }
        Ok(profiles)
    }

    /// Adds the profile in a file, in the place of one of the same name. A file that is no profile leaves its
    /// name without one: what it was meant to say is not known, and a shipped profile would say something else.
    fn add_file(&mut self, path: &Path) {
        let problem = match xml::read_profile(path) {
            Ok(profile) if path.file_stem().is_some_and(|stem| stem == profile.name.as_str()) => {
                self.add(profile);
                return;
            }
            Ok(profile) => format!("the profile in it is named `{}`: name the file like it", profile.name),
            Err(FileError::Xml { error, .. }) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if let Some(name) = path.file_stem().and_then(|stem| stem.to_str()?.parse::<ProfileName>().ok()) {
            self.known.remove(&name);
        }
        self.broken.push((path.to_owned(), problem));
    }

    /// Adds a profile of the operator's, in memory only.
    pub fn add(&mut self, profile: Profile) {
        self.known.insert(profile.name.clone(), (Origin::Own, profile));
    }

    /// A profile and where it comes from.
    pub fn get(&self, name: &ProfileName) -> Option<(Origin, &Profile)> {
        self.known.get(name).map(|(origin, profile)| (*origin, profile))
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, &Profile)> {
        self.known.values().map(|(origin, profile)| (*origin, profile))
    }

    /// Files in the operator's folder that are no profiles, and why.
    pub fn broken(&self) -> &[(PathBuf, String)] {
        &self.broken
    }

    /// Writes a profile to the operator's folder.
    pub fn save(&mut self, folder: &Path, profile: Profile) -> Result<(), StoreError> {
        files::write(&file(folder, &profile.name), &filter_entry::print(&profile))?;
        self.add(profile);
        Ok(())
    }

    /// Removes the operator's profile of that name; a shipped one comes back in its place.
    pub fn remove(&mut self, folder: &Path, name: &ProfileName) -> Result<(), StoreError> {
        files::remove(&file(folder, name))?;
        self.known.remove(name);
        if let Some((origin, profile)) = Self::shipped()?.known.remove(name) {
            self.known.insert(name.clone(), (origin, profile));
        }
        Ok(())
    }
}

impl Library for Profiles {
    fn profile(&self, name: &ProfileName) -> Option<&Profile> {
        self.known.get(name).map(|(_, profile)| profile)
    }
}

fn file(folder: &Path, name: &ProfileName) -> PathBuf {
    // A name has no separators: see `ProfileName`.
    folder.join(format!("{name}.xml"))
}
