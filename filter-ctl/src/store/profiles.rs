//! Profiles: the operator's files, and those that ship.
//!
//! Every filter of libvirt's has a UUID here, as it has there: the one written in it, or one made of its name.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use uuid::Uuid;

use super::{SetHead, Sets, StoreError, files};
use crate::model::{Profile, ProfileName, SetName};
use crate::resolve::{KnownSet, Library};
use crate::xml::{self, FileError, Parsed, Reading, XmlError};

/// The text of a profile that ships, by its path below `profiles/`.
macro_rules! shipped {
    ($($path:literal,)+) => {
        /// Profiles that ship: path and text.
        const SHIPPED: &[(&str, &str)] =
            &[$(($path, include_str!(concat!("../../../profiles/", $path))),)+];
    };
}

shipped! {
    "VM-specific-layer3.xml",
    "generic-layer2.xml",
    "no-broadcast.xml",
    "no-dhcp-server.xml",
    "no-multicast.xml",
    "no-nd-spoofing.xml",
    "no-router-advertisement.xml",
    "no-vlan.xml",
    "own-arp-only.xml",
    "own-ip-only.xml",
    "own-mac-only.xml",
    "stateful-web-server.xml",
    "trusted-routers.xml",
    "nwfilter/allow-arp.xml",
    "nwfilter/allow-dhcp.xml",
    "nwfilter/allow-dhcp-server.xml",
    "nwfilter/allow-dhcpv6.xml",
    "nwfilter/allow-dhcpv6-server.xml",
    "nwfilter/allow-incoming-ipv4.xml",
    "nwfilter/allow-incoming-ipv6.xml",
    "nwfilter/allow-ipv4.xml",
    "nwfilter/allow-ipv6.xml",
    "nwfilter/clean-traffic.xml",
    "nwfilter/clean-traffic-gateway.xml",
    "nwfilter/clean-traffic-strict.xml",
    "nwfilter/no-arp-ip-spoofing.xml",
    "nwfilter/no-arp-mac-spoofing.xml",
    "nwfilter/no-arp-spoofing.xml",
    "nwfilter/no-ip-multicast.xml",
    "nwfilter/no-ip-spoofing.xml",
    "nwfilter/no-ipv6-multicast.xml",
    "nwfilter/no-ipv6-spoofing.xml",
    "nwfilter/no-mac-broadcast.xml",
    "nwfilter/no-mac-spoofing.xml",
    "nwfilter/no-other-l2-traffic.xml",
    "nwfilter/no-other-rarp-traffic.xml",
    "nwfilter/qemu-announce-self.xml",
    "nwfilter/qemu-announce-self-rarp.xml",
}

/// Where a profile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It ships with filter-ctl.
    Shipped,
    /// It is the operator's; it may stand in the place of a shipped one.
    Own,
}

/// A profile that is kept.
#[derive(Clone, Debug)]
struct Known {
    origin: Origin,
    reading: Reading,
    profile: Profile,
}

impl Known {
    fn new(origin: Origin, reading: Reading, profile: Profile) -> Self {
        let uuid = profile.uuid();
        Self { origin, reading, profile: profile.with_uuid(Some(uuid)) }
    }
}

/// All profiles, by name. The operator's stand in the place of shipped ones of the same name.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    known: BTreeMap<ProfileName, Known>,
    broken: Vec<(PathBuf, String)>,
    /// The sets that profiles can name.
    sets: BTreeMap<SetName, KnownSet>,
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

    /// The same profiles, with the sets that they can name. A file that is no set is none of them.
    pub fn with_sets(mut self, sets: &Sets) -> Result<Self, StoreError> {
        let (heads, _) = sets.heads()?;
        let known = |head: SetHead| KnownSet { kind: head.kind, number: head.number };
        self.sets = heads.into_iter().map(|(name, head)| (name, known(head))).collect();
        Ok(self)
    }

    /// The shipped profiles alone.
    pub fn shipped() -> Result<Self, StoreError> {
        /// What is shipped is the same as long as this process lives.
        static READ: OnceLock<Profiles> = OnceLock::new();
        if let Some(profiles) = READ.get() {
            return Ok(profiles.clone());
        }
        let read = Self::read_shipped()?;
        Ok(READ.get_or_init(|| read).clone())
    }

    fn read_shipped() -> Result<Self, StoreError> {
        let mut profiles = Self::default();
        for (path, text) in SHIPPED {
            let parsed = xml::parse(text, None, Reading::Strict)
                .map_err(|error| StoreError::Damaged { path: path.into(), message: error.to_string() })?;
            profiles.insert(Known::new(Origin::Shipped, Reading::Strict, parsed.profile));
        }
        Ok(profiles)
    }

    fn insert(&mut self, known: Known) {
        self.known.insert(known.profile.name.clone(), known);
    }

    /// Adds the profile in a file, in the place of one of the same name. A file that is no profile leaves its
    /// name without one: what it was meant to say is not known, and a shipped profile would say something else.
    fn add_file(&mut self, path: &Path) {
        let problem = match read(path) {
            Ok((profile, reading)) if path.file_stem().is_some_and(|stem| stem == profile.name.as_str()) => {
                self.add_read(profile, reading);
                return;
            }
            Ok((profile, _)) => {
                format!("the profile in it is named `{}`: name the file like it", profile.name)
            }
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
        self.add_read(profile, Reading::Strict);
    }

    /// Adds a profile of the operator's that was read in this way, in memory only.
    pub fn add_read(&mut self, profile: Profile, reading: Reading) {
        self.insert(Known::new(Origin::Own, reading, profile));
    }

    /// A profile and where it comes from.
    pub fn get(&self, name: &ProfileName) -> Option<(Origin, &Profile)> {
        self.known.get(name).map(|known| (known.origin, &known.profile))
    }

    /// The profile with this UUID.
    pub fn with_uuid(&self, uuid: Uuid) -> Option<&Profile> {
        self.known.values().map(|known| &known.profile).find(|profile| profile.uuid() == uuid)
    }

    /// The profile that an operator means: the one with this UUID, or else of this name.
    pub fn find(&self, text: &str) -> Option<&Profile> {
        let with_uuid = || self.with_uuid(Uuid::try_parse(text).ok()?);
        with_uuid().or_else(|| self.profile(&text.parse().ok()?))
    }

    /// How a profile was read, and has to be read again.
    pub fn reading(&self, name: &ProfileName) -> Reading {
        self.known.get(name).map(|known| known.reading).unwrap_or_default()
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, &Profile)> {
        self.known.values().map(|known| (known.origin, &known.profile))
    }

    /// Files in the operator's folder that are no profiles, and why.
    pub fn broken(&self) -> &[(PathBuf, String)] {
        &self.broken
    }

    /// Writes profiles to the operator's folder, all or none.
    pub fn save(&mut self, folder: &Path, profiles: Vec<(Profile, Reading)>) -> Result<(), StoreError> {
        let with_text = |(profile, reading): (Profile, Reading)| {
            let text = xml::print_stored(&profile, reading);
            (profile, reading, text)
        };
        self.put_texts(folder, profiles.into_iter().map(with_text).collect(), &[])
    }

    /// Writes profiles to the operator's folder with these texts, and removes others: all or none.
    pub fn put_texts(
        &mut self,
        folder: &Path,
        profiles: Vec<(Profile, Reading, String)>,
        removed: &[ProfileName],
    ) -> Result<(), StoreError> {
        let written = profiles.iter().map(|(profile, _, text)| (&profile.name, Some(text)));
        let mut before = Vec::new();
        for (name, text) in written.chain(removed.iter().map(|name| (name, None))) {
            let path = file(folder, name);
            let old = match fs::read(&path) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(undone(before, StoreError::io(&path, error))),
            };
            let written = match text {
                Some(text) => files::write(&path, text.as_bytes()),
                None => files::remove(&path),
            };
            before.push((path, old));
            if let Err(error) = written {
                return Err(undone(before, error));
            }
        }
        for (profile, reading, _) in profiles {
            self.broken.retain(|(path, _)| *path != file(folder, &profile.name));
            self.add_read(profile, reading);
        }
        removed.iter().try_for_each(|name| self.forget(name))
    }

    /// Removes the operator's profile of that name; a shipped one comes back in its place.
    pub fn remove(&mut self, folder: &Path, name: &ProfileName) -> Result<(), StoreError> {
        files::remove(&file(folder, name))?;
        self.forget(name)
    }

    /// Forgets the operator's profile of that name, in memory only; a shipped one comes back in its place.
    pub fn forget(&mut self, name: &ProfileName) -> Result<(), StoreError> {
        self.known.remove(name);
        if let Some(shipped) = Self::shipped()?.known.remove(name) {
            self.insert(shipped);
        }
        Ok(())
    }
}

impl Library for Profiles {
    fn profile(&self, name: &ProfileName) -> Option<&Profile> {
        self.known.get(name).map(|known| &known.profile)
    }

    fn set(&self, name: &SetName) -> Option<KnownSet> {
        self.sets.get(name).copied()
    }
}

fn file(folder: &Path, name: &ProfileName) -> PathBuf {
    // A name has no separators: see `ProfileName`.
    folder.join(format!("{name}.xml"))
}

fn read(path: &Path) -> Result<(Profile, Reading), FileError> {
    let text = xml::read_profile_file(path)?;
    let reading = xml::stored_reading(&text);
    let name: Option<ProfileName> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
    let wrong = |error: XmlError| FileError::Xml { path: path.to_owned(), error };
    let Parsed { profile, .. } = xml::parse(&text, name.as_ref(), reading).map_err(wrong)?;
    Ok((profile, reading))
}

/// Puts files back as they were, as far as that can be done, and gives the error that made it necessary.
fn undone(before: Vec<(PathBuf, Option<Vec<u8>>)>, error: StoreError) -> StoreError {
    for (path, text) in before.into_iter().rev() {
        let result = match text {
            Some(text) => files::write(&path, &text),
            None => files::remove(&path),
        };
        // The first error says what is wrong with the folder.
        drop(result);
    }
    error
}
