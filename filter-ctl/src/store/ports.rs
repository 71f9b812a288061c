//! What is known of a port: its binding, and the meaning of what the kernel has of it.
//!
//! The kernel's record says which generation is in force. A port's file holds what belongs to that one and,
//! while a change is under way, to the next: whichever the kernel's is, its rules have names.
//!
//! What always holds: a file is replaced as a whole, by rename, before what it describes is published, so whoever
//! reads it, and whoever comes after a command that was killed, finds what is in force described. No file is
//! synced to disk: when the machine goes down the records that it describes are gone as well. What a disk then has
//! of it describes nothing, and is cleared away by the next command that changes something.
//!
//! A file that is damaged, or gone, is made anew from what the journal and the kernel say; the damaged one is kept
//! beside it, as long as the port is there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::sealed::{seal, unseal};
use super::{Folders, StoreError, files};
use crate::model::{Fail, Mode, Pickup};
use crate::netdev::Interface;

/// Version of the files' form.
const VERSION: u32 = 2;
/// How the name of a file ends that was damaged.
const ASIDE: &str = "damaged";

/// What an operator asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Profiles, in the order they are checked.
    pub profiles: Vec<String>,
    /// The MAC address, if given.
    pub mac: Option<String>,
    /// The IP addresses, if given.
    pub addresses: Vec<IpAddr>,
    /// All other parameters.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// Whether the guard drops what is malformed.
    pub mode: Mode,
    /// What becomes of packets that cannot be judged.
    pub fail: Fail,
    /// Whether rules that go through lists are counted by value.
    #[serde(default)]
    pub count_values: bool,
    /// How many addresses of each family may be learned, if it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn_max: Option<u8>,
    /// Prefixes within which addresses may be learned, if any are said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learn_prefixes: Vec<String>,
    /// How many connections there shall be room for, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows_max: Option<u32>,
    /// How connections are picked up in the middle, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pickup: Option<Pickup>,
    /// The virtual machine, if a binding named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The network device behind the port, if a binding named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_device: Option<String>,
}

impl Binding {
    /// Whether connections are picked up in the middle: where nothing was said, where libvirt's engine would.
    pub fn is_loose(&self) -> bool {
        self.pickup.unwrap_or(if self.mode == Mode::Strict { Pickup::Strict } else { Pickup::Loose })
            == Pickup::Loose
    }
}

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
}

/// A rule and where it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleState {
    /// `rule profile/entry` or `default profile`.
    pub name: String,
    /// See [`Rule::identity`](crate::policy::Rule::identity).
    pub identity: String,
    /// The counter's index.
    pub counter: u32,
    /// The values it is about, if it is one of those that a rule over lists was counted by: the end of its name
    /// and of its identity, in brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
}

/// What was published, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The record's generation.
    pub generation: u32,
    /// What was asked for.
    pub binding: Binding,
    /// The policy's rules, in its order.
    pub rules: Vec<RuleState>,
    /// The sets that it asks for, with their numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, u32>,
    /// Its limits, by what tells them apart, with their buckets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u32>,
}

/// The index of a port whose file is damaged, and how.
pub type Damaged = (u32, StoreError);

/// What is known of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortState {
    /// The interface's name.
    pub name: String,
    /// The interface's index.
    pub ifindex: u32,
    /// The network namespace it is in.
    pub namespace: u64,
    /// The publication in force and, while a change is under way, the next.
    pub applied: Vec<Applied>,
}

impl PortState {
    /// A port of which nothing was published yet.
    pub fn new(name: String, ifindex: u32, namespace: u64) -> Self {
        Self { name, ifindex, namespace, applied: Vec::new() }
    }

    /// Whether it is the port of that name in this namespace. `interface` is what has the name there now: a
    /// port keeps its index when it is renamed, and its name when it is gone.
    pub fn is(&self, name: &str, interface: Option<&Interface>, namespace: u64) -> bool {
        self.namespace == namespace
            && interface.map_or(self.name == name, |interface| self.ifindex == interface.ifindex)
    }

    /// What belongs to a generation of the kernel's record.
    pub fn of_generation(&self, generation: u32) -> Option<&Applied> {
        self.applied.iter().find(|applied| applied.generation == generation)
    }

    /// Whether it describes what is in force, if anything is: the generation of the kernel's record.
    pub fn describes(&self, in_force: Option<u32>) -> bool {
        in_force.is_none_or(|generation| self.of_generation(generation).is_some())
    }

    /// Reads all ports, by name. A damaged file hides no other; what is wrong with it is in the second list, by the
    /// port's index.
    pub fn load_all(folders: &Folders) -> Result<(Vec<Self>, Vec<Damaged>), StoreError> {
        let (mut ports, mut damaged) = (Vec::new(), Vec::new());
        for ifindex in Self::indices(folders)? {
            match Self::load(folders, ifindex) {
                Ok(port) => ports.extend(port),
                Err(error) => damaged.push((ifindex, error)),
            }
        }
        ports.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((ports, damaged))
    }

    /// The indices of all ports that have a file.
    pub fn indices(folders: &Folders) -> Result<Vec<u32>, StoreError> {
        let folder = folder(folders);
        let fail = |error| StoreError::io(&folder, error);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut indices = Vec::new();
        for entry in entries {
            let name = entry.map_err(fail)?.file_name();
            let index = name.to_str().and_then(|name| name.strip_suffix(".json"));
            indices.extend(index.and_then(|index| index.parse::<u32>().ok()));
        }
        indices.sort_unstable();
        Ok(indices)
    }

    /// Any port whose file can be read.
    pub fn any(folders: &Folders) -> Result<Option<Self>, StoreError> {
        let indices = Self::indices(folders)?;
        Ok(indices.into_iter().find_map(|ifindex| Self::load(folders, ifindex).ok().flatten()))
    }

    /// Reads the port with this index; `None` if it has no file.
    pub fn load(folders: &Folders, ifindex: u32) -> Result<Option<Self>, StoreError> {
        let path = path(folders, ifindex);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(&path, error)),
        };
        unseal(VERSION, &path, &text).map(Some).map_err(|error| match error {
            StoreError::Damaged { path, message } => StoreError::Damaged {
                path,
                message: format!(
                    "{message}; the port is still filtered as it was: `filter-ctl doctor --repair` makes the file anew, or attach \
                     the port again"
                ),
            },
            other => other,
        })
    }

    /// The port of that name in this namespace; `interface` is what has the name there now. A damaged file is told
    /// only if it may be the port's.
    pub fn find(
        folders: &Folders,
        name: &str,
        interface: Option<&Interface>,
        namespace: u64,
    ) -> Result<Option<Self>, StoreError> {
        if let Some(interface) = interface {
            let found = Self::load(folders, interface.ifindex)?;
            return Ok(found.filter(|port| port.is(name, Some(interface), namespace)));
        }
        let (ports, damaged) = Self::load_all(folders)?;
        let found = ports.into_iter().find(|port| port.is(name, None, namespace));
        match (found, damaged.into_iter().next()) {
            (None, Some((_, damaged))) => Err(damaged),
            (found, _) => Ok(found),
        }
    }

    /// Writes the port's file.
    pub fn save(&self, folders: &Folders) -> Result<(), StoreError> {
        let path = path(folders, self.ifindex);
        let text = seal(VERSION, self).map_err(|error| StoreError::io(&path, error))?;
        files::write_volatile(&path, &text)
    }

    /// Writes the file of a port that was damaged, or was not there. What was there is kept, for people to look at.
    pub fn save_anew(&self, folders: &Folders) -> Result<(), StoreError> {
        let path = path(folders, self.ifindex);
        match fs::rename(&path, path.with_extension(ASIDE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io(&path, error));
            }
            _ => {}
        }
        self.save(folders)
    }

    /// Removes the file of the port with this index, if it has one, and one that was set aside.
    pub fn remove(folders: &Folders, ifindex: u32) -> Result<(), StoreError> {
        let path = path(folders, ifindex);
        files::remove_volatile(&path.with_extension(ASIDE))?;
        files::remove_volatile(&path)
    }
}

fn folder(folders: &Folders) -> PathBuf {
    folders.run.join("ports")
}

fn path(folders: &Folders, ifindex: u32) -> PathBuf {
    // By index: an interface's name may be `.new`, or hold what is no good in a file's name.
    folder(folders).join(format!("{ifindex}.json"))
}
