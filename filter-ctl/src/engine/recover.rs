//! Files of ports that are damaged, or gone, made anew.
//!
//! All that a port's file says of what is in force stands elsewhere, too: what the port is held to in the journal, which rules
//! that makes in its profiles, and where they count in the kernel's record. What is put together of these is believed only if
//! it is, node by node, what the kernel has. Then nothing is lost: the port goes on under its policy, with its counters,
//! limits, learned addresses and connections. Else it keeps the policy that is in force, and no other port waits for it.

use std::collections::HashMap;

use filter_common::PortRecord;

use super::planned::Planned;
use super::{Engine, EngineError, batch, drift};
use crate::datapath::{Auditor, Datapath, LOOPBACK};
use crate::netdev::{Interface, Interfaces};
use crate::store::{Folders, Past, PortState, Profiles, StoreError, boot};

/// What is known of a port.
pub(super) enum Known {
    /// Its file says it.
    Written(PortState),
    /// Its file is damaged, or gone: this is what it would say.
    Recovered(PortState),
    /// Nothing: no policy is in force. It may have a file that is damaged.
    Nothing,
}

/// What is known of the port of an interface. Changes nothing.
pub(super) fn known(
    (folders, profiles, namespace): (&Folders, &Profiles, u64),
    datapath: &Datapath,
    interface: &Interface,
) -> Result<Known, EngineError> {
    let in_force = datapath.published_on(interface.ifindex).map(|record| record.generation);
    let damage = match PortState::load(folders, interface.ifindex) {
        Ok(Some(state)) if state.describes(in_force) => return Ok(Known::Written(state)),
        Ok(Some(_)) => "its file says nothing of what is in force".to_owned(),
        Ok(None) => "its file is gone".to_owned(),
        Err(error @ StoreError::Damaged { .. }) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    if in_force.is_none() {
        return Ok(Known::Nothing);
    }
    let state = recovered((folders, profiles, namespace), datapath, interface)
        .map_err(|why| EngineError::Unknown { port: interface.name.clone(), damage, why: Box::new(why) })?;
    Ok(Known::Recovered(state))
}

/// What the file of a port would say.
fn recovered(
    (folders, profiles, namespace): (&Folders, &Profiles, u64),
    datapath: &Datapath,
    interface: &Interface,
) -> Result<PortState, EngineError> {
    let ifindex = interface.ifindex;
    let unknown = |why: &str| EngineError::NotFound(why.to_owned());
    let record = datapath.published_on(ifindex).ok_or_else(|| unknown("no policy is in force"))?;
    let (past, _) = Past::read(folders)?;
    let binding = past
        .binding_of(ifindex, &boot())
        .ok_or_else(|| unknown("no change is known that put its policy in force"))?
        .clone();
    let planned = Planned::new(profiles, &binding)?;
    let places = (datapath.counters_of(&record), datapath.buckets_of(&record));
    let applied = batch::applied(&planned, binding, record.generation, (&places.0, &places.1));
    if !drift::audit(&mut Auditor::default(), datapath, ifindex, &applied, &planned).is_empty() {
        return Err(unknown("what is in force is not what its profiles say"));
    }
    Ok(PortState { applied: vec![applied], ..PortState::new(interface.name.clone(), ifindex, namespace) })
}

/// Interfaces that have a policy which none of those ports describes.
pub(super) fn strays<'a>(
    datapath: &Datapath,
    interfaces: &'a Interfaces,
    ports: &[PortState],
) -> Vec<&'a Interface> {
    let undescribed = undescribed(datapath, ports).into_iter();
    undescribed.filter_map(|(ifindex, _)| interfaces.at(ifindex)).collect()
}

/// Policies that none of those ports describes, with the indices of their interfaces, which may be in another namespace.
pub(super) fn undescribed(datapath: &Datapath, ports: &[PortState]) -> Vec<(u32, PortRecord)> {
    let known: HashMap<u32, &PortState> = ports.iter().map(|port| (port.ifindex, port)).collect();
    let describes = |ifindex: u32, record: &PortRecord| {
        known.get(&ifindex).is_some_and(|port| port.describes(Some(record.generation)))
    };
    let mut published = datapath.published();
    published.retain(|(ifindex, record)| *ifindex != LOOPBACK && !describes(*ifindex, record));
    published
}

impl Engine {
    /// What is known of the port of an interface, if anything is. A file that is damaged, or gone, is made anew.
    pub(super) fn known(
        &self,
        datapath: &Datapath,
        interface: &Interface,
    ) -> Result<Option<PortState>, EngineError> {
        match known((&self.folders, &self.profiles, self.namespace), datapath, interface)? {
            Known::Written(state) => Ok(Some(state)),
            Known::Recovered(state) => {
                state.save_anew(&self.folders)?;
                tracing::warn!(port = %interface.name, "its file was damaged or gone, and is made anew");
                Ok(Some(state))
            }
            Known::Nothing => {
                // A file of it describes nothing: the machine went down before it was on a disk.
                PortState::remove(&self.folders, interface.ifindex)?;
                Ok(None)
            }
        }
    }

    /// Adds to `ports` those that have a policy which none of them describes. Those of which nothing can be known keep
    /// their policy, and stand among the notes.
    pub(super) fn recover(
        &mut self,
        datapath: &Datapath,
        interfaces: &Interfaces,
        ports: &mut Vec<PortState>,
    ) -> Result<(), EngineError> {
        for interface in strays(datapath, interfaces, ports) {
            ports.retain(|port| port.ifindex != interface.ifindex);
            match self.known(datapath, interface) {
                Ok(state) => ports.extend(state),
                Err(error @ EngineError::Unknown { .. }) => self.notes.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
