//! Detaching ports: all that are named, or none.

use super::{Engine, EngineError};
use crate::datapath::Datapath;
use crate::netdev::Interfaces;
use crate::store::{PortState, StoreError};

impl Engine {
    /// Takes the classifiers off ports and forgets them.
    pub fn detach(&mut self, names: &[String]) -> Result<(), EngineError> {
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
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
        if let Some(datapath) = &mut datapath {
            // First the classifiers, then what they look at.
            datapath.detach_all(&found);
            let retired = found.iter().filter_map(|&ifindex| datapath.withdraw(ifindex)).collect();
            datapath.reclaim(retired)?;
        }
        found.iter().try_for_each(|&ifindex| PortState::remove(&self.folders, ifindex))?;
        Ok(())
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
