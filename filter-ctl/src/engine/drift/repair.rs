//! Mending drift: what is wrong is written, and nothing else.
//!
//! Links are attached again; a policy is published again, with its counters, learned addresses and connections where the old
//! record still says which they are. Where all that was loaded is gone it is loaded anew, and the ports of which there are
//! files are filtered again.

use std::collections::BTreeMap;

use filter_common::Direction;
use serde::{Deserialize, Serialize};

use super::{Drift, DriftKind, audit};
use crate::datapath::{Auditor, Datapath};
use crate::engine::batch::{self, Batch};
use crate::engine::flows::OldFlows;
use crate::engine::planned::Planned;
use crate::engine::sets::Unreadable;
use crate::engine::{Engine, EngineError, fail_open};
use crate::netdev::{Interface, Interfaces};
use crate::store::PortState;

/// What became of a port's drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// The port.
    pub port: String,
    /// What was mended.
    pub mended: Vec<DriftKind>,
    /// Why the rest was not; empty if all was.
    pub left: String,
}

impl Engine {
    /// Mends what is wrong, port by port: one that cannot be mended keeps no other from it.
    pub fn repair(&mut self, drift: &[Drift]) -> Result<Vec<Repaired>, EngineError> {
        let mut ports: BTreeMap<u32, Vec<&Drift>> = BTreeMap::new();
        for drift in drift.iter().filter(|drift| drift.kind.is_repairable()) {
            ports.entry(drift.ifindex).or_default().push(drift);
        }
        if ports.is_empty() {
            return Ok(Vec::new());
        }
        let (mut datapath, is_new) = match Datapath::open_pinned(&self.folders.bpffs)? {
            Some(datapath) => (datapath, false),
            None => (Datapath::open(&self.folders.bpffs, self.options)?, true),
        };
        // What is loaded anew has no sets yet.
        let unreadable = if is_new { Some(self.finish_what_was_begun(&mut datapath)?) } else { None };
        let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
        let mut repaired = Vec::new();
        for (ifindex, drift) in ports {
            let Some(interface) = interfaces.at(ifindex) else { continue };
            let outcome = self.repair_port(&mut datapath, interface, &drift, unreadable.as_ref());
            repaired.push(Repaired {
                port: interface.name.clone(),
                mended: drift.iter().filter(|_| outcome.is_ok()).map(|drift| drift.kind).collect(),
                left: outcome.err().map(|error| error.to_string()).unwrap_or_default(),
            });
        }
        Ok(repaired)
    }

    fn repair_port(
        &self,
        datapath: &mut Datapath,
        interface: &Interface,
        drift: &[&Drift],
        unreadable: Option<&Unreadable>,
    ) -> Result<(), EngineError> {
        let Interface { name, ifindex, .. } = interface;
        let (name, ifindex) = (name.as_str(), *ifindex);
        // First of all its file: it is known then what is to be mended.
        let state = match self.known(datapath, interface) {
            // It is the record that is wrong, then, where there is a file.
            Err(error @ EngineError::Unknown { .. }) => {
                Some(PortState::load(&self.folders, ifindex).ok().flatten().ok_or(error)?)
            }
            known => known?,
        };
        let mut state = state.ok_or_else(|| EngineError::not_attached(name))?;
        self.check_namespace(&state)?;
        name.clone_into(&mut state.name);
        // Then the policy: classifiers that are attached without one drop everything.
        let is_of_policy = |kind: DriftKind| !kind.is_of_links() && !kind.is_of_files();
        if unreadable.is_some() || drift.iter().any(|drift| is_of_policy(drift.kind)) {
            datapath.check_maps()?;
            self.republish(datapath, state, unreadable)?;
        }
        let of_links = |drift: &&&Drift| drift.kind.is_of_links() && drift.kind != DriftKind::NotFirst;
        if drift.iter().any(|drift| of_links(&drift)) {
            datapath.attach(name, ifindex)?;
        }
        let mut behind = Vec::new();
        let hooks = datapath.hooks();
        for direction in Direction::ALL {
            let hook = hooks.programs(name, direction)?;
            if hook.iter().position(|program| program.ours).is_some_and(|position| position > 0) {
                behind.push((name.to_owned(), ifindex, direction));
            }
        }
        Ok(datapath.come_first(&behind)?)
    }

    /// Puts a port's policy in force again as its file and its profiles say, and nothing where that is so already.
    fn republish(
        &self,
        datapath: &mut Datapath,
        mut state: PortState,
        unreadable: Option<&Unreadable>,
    ) -> Result<(), EngineError> {
        let ifindex = state.ifindex;
        let last = state.applied.last().cloned();
        if let (None, Some(last)) = (datapath.published_on(ifindex), &last) {
            datapath.revive(ifindex, last.generation, fail_open(&last.binding));
        }
        let record = datapath.published_on(ifindex);
        let known = record.and_then(|record| state.of_generation(record.generation)).cloned();
        let Some(mut applied) = known.or(last) else { return Err(EngineError::not_attached(&state.name)) };
        let planned = Planned::new(&self.profiles, &applied.binding)?;
        if let Some(unreadable) = unreadable {
            unreadable.refuse(&planned.shared.policy)?;
        }
        if audit(&mut Auditor::default(), datapath, ifindex, &applied, &planned).is_empty() {
            return Ok(());
        }
        // What the file says of counters holds, whatever generation the record has come to.
        if let Some(record) = record {
            applied.generation = record.generation;
        }
        let binding = applied.binding.clone();
        state.applied = vec![applied];
        let mut batch = Batch::new(OldFlows::Keep);
        let prepared = batch.prepare(datapath, state, &planned, binding);
        if let Err(error) = prepared.and_then(|()| Ok(batch.save(&self.folders)?)) {
            batch.abandon(datapath, &self.folders)?;
            return Err(error);
        }
        let (new, replaced) = batch.into_ready();
        let ready = new.into_iter().chain(replaced).collect();
        batch::publish(ready, OldFlows::Keep, Vec::new(), (datapath, &self.folders), &mut |_| {})?;
        // What the damaged record named was not all its own.
        datapath.look_again();
        Ok(())
    }
}
