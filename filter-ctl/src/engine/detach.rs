//! Detaching ports: all that are named, or none.

use super::{Engine, EngineError, history};
use crate::datapath::Datapath;
use crate::netdev::Interfaces;
use crate::store::{PortAction, PortChange, PortState, StoreError};

impl Engine {
    /// Takes the classifiers off ports and forgets them.
    pub fn detach(&mut self, names: &[String]) -> Result<(), EngineError> {
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        let asked: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut interfaces = Interfaces::of(&asked).map_err(EngineError::Netlink)?;
        if asked.iter().any(|name| interfaces.named(name).is_none()) {
            // It may have another name by now.
            interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
        }
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let ifindex = self.ifindex_of(name, &interfaces, datapath.as_ref())?;
            let ifindex = ifindex.ok_or_else(|| EngineError::not_attached(name))?;
            if let Some(interface) = interfaces.at(ifindex)
                && let Some(standing) = self.held_by(interface)?
            {
                return Err(EngineError::Conflict(format!(
                    "port {name} is held to the standing binding `{standing}` and would be attached again; `filter-ctl \
                     unbind {standing}` ends that"
                )));
            }
            found.push(ifindex);
        }
        found.sort_unstable();
        found.dedup();
        let ports = found.iter().map(|&ifindex| self.detaching(ifindex, &interfaces, datapath.as_ref()));
        self.begin(history::Planned { ports: ports.collect(), ..Default::default() })?;
        let detached = self.take_off(&found, datapath.as_mut());
        self.finish(detached)
    }

    fn take_off(&self, found: &[u32], datapath: Option<&mut Datapath>) -> Result<(), EngineError> {
        if let Some(datapath) = datapath {
            // First the classifiers, then what they look at.
            datapath.detach_all(found);
            let retired = found.iter().filter_map(|&ifindex| datapath.withdraw(ifindex)).collect();
            datapath.reclaim(retired)?;
        }
        found.iter().try_for_each(|&ifindex| PortState::remove(&self.folders, ifindex))?;
        Ok(())
    }

    /// What is about to change, for the journal.
    fn detaching(&self, ifindex: u32, interfaces: &Interfaces, datapath: Option<&Datapath>) -> PortChange {
        let state = PortState::load(&self.folders, ifindex).ok().flatten();
        let record = datapath.and_then(|datapath| datapath.published_on(ifindex));
        let record = record.map(|record| record.generation);
        let applied = state.as_ref().and_then(|state| match record {
            Some(generation) => state.of_generation(generation),
            None => state.applied.last(),
        });
        let was = applied.map(|applied| Box::new(applied.binding.clone()));
        let name = interfaces.at(ifindex).map(|interface| interface.name.clone());
        let port = name.or_else(|| state.as_ref().map(|state| state.name.clone())).unwrap_or_default();
        PortChange { port, ifindex, record, action: PortAction::Detached { was } }
    }

    /// The index of a port that is attached, or of which something is known.
    fn ifindex_of(
        &self,
        name: &str,
        interfaces: &Interfaces,
        datapath: Option<&Datapath>,
    ) -> Result<Option<u32>, EngineError> {
        let interface = interfaces.named(name);
        match PortState::find(&self.folders, name, interface, self.namespace) {
            Ok(Some(state)) => return Ok(Some(state.ifindex)),
            Ok(None) | Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // A damaged file does not keep its port from being detached: that is how it is repaired.
        let is_ours = |ifindex: u32| {
            datapath.is_some_and(|datapath| datapath.has(ifindex) || datapath.is_linked(ifindex))
        };
        Ok(interface.map(|interface| interface.ifindex).filter(|&ifindex| is_ours(ifindex)))
    }
}
