//! Who asks for sets that are in force.
//!
//! Files of ports say it, by the sets' names. One that is damaged, or gone, says nothing of what is in force on its
//! port: there the port's graph is asked, which is in the kernel and has the sets' numbers. So no set is taken from a port
//! that nobody knows any more, and none is kept for a port that does not ask for it.

use std::collections::BTreeSet;

use super::EngineError;
use crate::datapath::Datapath;
use crate::engine::recover;
use crate::model::SetName;
use crate::netdev::Interfaces;
use crate::store::{Folders, PortState};

/// All ports, by what they ask for.
pub(super) struct Users {
    ports: Vec<PortState>,
    /// Interfaces with a policy that no file describes, with the numbers that it asks for.
    unknown: Vec<(u32, BTreeSet<u32>)>,
}

impl Users {
    pub(super) fn read(folders: &Folders, datapath: Option<&Datapath>) -> Result<Self, EngineError> {
        let (ports, _) = PortState::load_all(folders)?;
        let asked = |datapath: &Datapath| {
            let undescribed = recover::undescribed(datapath, &ports).into_iter();
            undescribed.map(|(ifindex, record)| (ifindex, datapath.sets_asked(&record))).collect()
        };
        let unknown = datapath.map(asked).unwrap_or_default();
        Ok(Self { ports, unknown })
    }

    /// Numbers of sets that ports ask for.
    pub(super) fn numbers(&self) -> BTreeSet<u32> {
        let applied = self.ports.iter().flat_map(|port| &port.applied);
        let known = applied.flat_map(|applied| applied.sets.values());
        known.chain(self.unknown.iter().flat_map(|(_, asked)| asked)).copied().collect()
    }

    /// The name by which a port asks for this number, if none does by `name`.
    pub(super) fn other_name(&self, name: &SetName, number: u32) -> Option<&str> {
        let applied = self.ports.iter().flat_map(|port| &port.applied);
        let asked = applied.flat_map(|applied| &applied.sets).filter(|(_, asked)| **asked == number);
        let names: BTreeSet<&str> = asked.map(|(asked, _)| asked.as_str()).collect();
        if names.contains(name.as_str()) { None } else { names.first().copied() }
    }

    /// Refuses to take a set from a port that asks for it, by its name or its number. A number that other sets have as
    /// well tells which it is only where nothing else is known of a port.
    pub(super) fn refuse(&self, name: &SetName, number: u32, is_shared: bool) -> Result<(), EngineError> {
        let asks = |port: &&PortState| {
            let mut sets = port.applied.iter().flat_map(|applied| &applied.sets);
            sets.any(|(asked, its)| asked == name.as_str() || *its == number && !is_shared)
        };
        let mut ports: Vec<String> = self.ports.iter().filter(asks).map(|port| port.name.clone()).collect();
        let unknown: Vec<u32> =
            self.unknown.iter().filter(|(_, asked)| asked.contains(&number)).map(|(at, _)| *at).collect();
        let mut advice = String::new();
        if !unknown.is_empty() {
            let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
            let name_of = |ifindex: &u32| match interfaces.at(*ifindex) {
                Some(interface) => interface.name.clone(),
                None => format!("of interface {ifindex}"),
            };
            let names: Vec<String> = unknown.iter().map(name_of).collect();
            advice = format!(
                ", and `filter-ctl attach` makes known again what is in force on {}",
                names.join(", ")
            );
            ports.retain(|port| !names.contains(port));
            ports.extend(names);
        }
        if ports.is_empty() {
            return Ok(());
        }
        Err(EngineError::Conflict(format!(
            "set `{name}` is in use by ports {}; `set flush` empties it{advice}",
            ports.join(", ")
        )))
    }
}
