//! Attaching ports, detaching them, and putting policies in force on them.

use super::bindings::settled;
use super::{Engine, EngineError, Images, Planned, Warning, fail_open};
use crate::datapath::{Datapath, PortSpec, Prepared};
use crate::netdev::Interface;
use crate::policy::{Rule, RuleKind};
use crate::resolve::Library;
use crate::store::{Applied, Binding, PortState, RuleState};
use filter_common::{Direction, record_flags};

/// What attaching a port came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Attached {
    /// The interface.
    pub port: String,
    /// Its index.
    pub ifindex: u32,
    /// Profiles in force.
    pub profiles: Vec<String>,
    /// Whether the port was attached before, with another binding or the same.
    pub replaced: bool,
    /// The MAC address is learned from the first valid frame.
    pub learns_mac: bool,
    /// The IPv4 address is learned from the first ARP or IPv4 packet.
    pub learns_ip: bool,
    /// Rules of the policy, defaults included.
    pub rules: usize,
    /// Nodes of the decision graph, and those on its longest path.
    pub nodes: usize,
    /// See `nodes`.
    pub depth: usize,
    /// What was accepted of the document, if it was one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A port whose next policy is written, and not yet in force.
pub(super) struct Ready {
    pub(super) state: PortState,
    pub(super) prepared: Prepared,
}

impl Engine {
    /// Puts a binding in force on a port: attaches it, or changes what it does.
    pub fn attach(&mut self, name: &str, binding: Binding) -> Result<Attached, EngineError> {
        self.put_in_force(name, binding, true)
    }

    /// Attaches a port that is not attached yet.
    pub fn attach_new(&mut self, name: &str, binding: Binding) -> Result<Attached, EngineError> {
        self.put_in_force(name, binding, false)
    }

    fn put_in_force(
        &mut self,
        name: &str,
        binding: Binding,
        may_replace: bool,
    ) -> Result<Attached, EngineError> {
        let binding = settled(binding);
        let planned = Planned::new(&self.profiles, &binding)?;
        let (interface, mut datapath, state) = self.port_to_attach(name)?;
        let replaced = !state.applied.is_empty();
        if replaced && !may_replace {
            return Err(EngineError::Conflict(format!(
                "binding '{name}' already exists; `attach` changes it, `binding-delete` removes it"
            )));
        }
        let attached = Attached {
            port: interface.name.clone(),
            ifindex: interface.ifindex,
            profiles: binding.profiles.clone(),
            replaced,
            learns_mac: planned.flags & record_flags::LEARN_MAC != 0,
            learns_ip: planned.flags & record_flags::LEARN_IP4 != 0,
            rules: planned.policy.rules.len(),
            nodes: planned.image.nodes.len(),
            depth: planned.image.depth,
            warnings: Vec::new(),
        };
        let ifindex = interface.ifindex;
        if replaced {
            // The old policy is in force until all that can fail has not.
            datapath.attach(&interface.name, ifindex)?;
        }
        let ready = prepare(&mut datapath, state, &planned, binding)?;
        if let Err(error) = ready.state.save(&self.folders) {
            datapath.abandon(ready.prepared);
            return Err(error.into());
        }
        let mut state = ready.state;
        let retired: Vec<_> = datapath.publish(ready.prepared).into_iter().collect();
        // A new port's policy is there before its classifiers run: they never meet a port without one.
        if !replaced && let Err(error) = datapath.attach(&interface.name, ifindex) {
            let withdrawn = datapath.withdraw(ifindex).into_iter().collect();
            datapath.reclaim(withdrawn)?;
            state.remove(&self.folders)?;
            return Err(error.into());
        }
        datapath.reclaim(retired)?;
        keep_last(&mut state);
        state.save(&self.folders)?;
        Ok(attached)
    }

    /// The interface, the kernel's half, and what is known of the port so far.
    fn port_to_attach(&self, name: &str) -> Result<(Interface, Datapath, PortState), EngineError> {
        let found = crate::netdev::find(name).map_err(EngineError::Netlink)?;
        let interface = found.ok_or_else(|| {
            EngineError::NotFound(format!(
                "there is no network device `{name}`; `ip link` shows those there are"
            ))
        })?;
        if let Some(refusal) = interface.refusal() {
            return Err(EngineError::Invalid(refusal));
        }
        let mut datapath = Datapath::open(&self.folders.bpffs, self.options)?;
        let (ports, _) = self.sweep(Some(&mut datapath))?;
        let mut state = ports.into_iter().find(|port| port.ifindex == interface.ifindex);
        // Where neither classifier runs the interface may be another that has got the same index, and another
        // guest behind it: what was learned and counted there is not of this one.
        if !Direction::ALL.iter().any(|&way| datapath.is_attached(&interface.name, way)) {
            let retired = datapath.withdraw(interface.ifindex).into_iter().collect();
            datapath.reclaim(retired)?;
        }
        // A file without a record, or of another generation, tells nothing of this interface.
        let record = datapath.published_on(interface.ifindex);
        if let Some(known) = &mut state {
            known
                .applied
                .retain(|applied| record.is_some_and(|record| record.generation == applied.generation));
        }
        let state = state
            .unwrap_or_else(|| PortState::new(interface.name.clone(), interface.ifindex, self.namespace));
        Ok((interface, datapath, state))
    }

    /// Takes the classifiers off a port and forgets it.
    pub fn detach(&mut self, name: &str) -> Result<(), EngineError> {
        let mut datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        // A damaged file does not keep its port from being detached: that is how it is repaired.
        let (ports, _) = PortState::load_all(&self.folders)?;
        let interface = crate::netdev::find(name).map_err(EngineError::Netlink)?;
        let state = ports.into_iter().find(|port| port.is(name, interface.as_ref(), self.namespace));
        let ifindex = state
            .as_ref()
            .map(|state| state.ifindex)
            .or(interface.as_ref().map(|interface| interface.ifindex));
        let in_kernel = ifindex.zip(datapath.as_ref()).is_some_and(|(ifindex, datapath)| {
            datapath.published_on(ifindex).is_some() || datapath.linked().contains(&ifindex)
        });
        let Some(ifindex) = ifindex.filter(|_| in_kernel || state.is_some()) else {
            return Err(EngineError::not_attached(name));
        };
        if let Some(datapath) = &mut datapath {
            // First the classifiers, then what they look at.
            datapath.detach(ifindex);
            let retired = datapath.withdraw(ifindex).into_iter().collect();
            datapath.reclaim(retired)?;
        }
        let state = state.unwrap_or_else(|| PortState::new(name.to_owned(), ifindex, self.namespace));
        state.remove(&self.folders)?;
        Ok(())
    }
}

/// Writes the policy of a binding to free places, and to the state that it returns.
pub(super) fn prepare(
    datapath: &mut Datapath,
    mut state: PortState,
    planned: &Planned,
    binding: Binding,
) -> Result<Ready, EngineError> {
    let record = datapath.published_on(state.ifindex);
    let current = record.and_then(|record| state.of_generation(record.generation).cloned());
    let counters: Vec<Option<u32>> = planned
        .policy
        .rules
        .iter()
        .map(|rule| {
            let known = current.as_ref()?.rules.iter().find(|known| known.identity == rule.identity)?;
            Some(known.counter)
        })
        .collect();
    let generation = record.map_or(1, |record| record.generation.wrapping_add(1));
    let (ip4, ip6) = planned.addresses();
    let spec = PortSpec {
        ifindex: state.ifindex,
        generation,
        port: record.map(|record| record.port),
        image: &planned.image,
        counters: &counters,
        flags: planned.flags,
        fail_open: fail_open(&binding),
        mac: planned.parameters.mac.map(|mac| mac.0),
        ip4: &ip4,
        ip6: &ip6,
    };
    let prepared = datapath.prepare(&spec)?;
    let rules = planned
        .policy
        .rules
        .iter()
        .zip(prepared.counters())
        .map(|(rule, &counter)| RuleState {
            name: rule.to_string(),
            identity: rule.identity.clone(),
            counter,
            values: values(rule),
        })
        .collect();
    state.applied = current.into_iter().collect();
    state.applied.push(Applied { generation, binding, rules });
    Ok(Ready { state, prepared })
}

/// The values that a rule is about that was made of one over lists. No name of an entry has brackets in it.
fn values(rule: &Rule) -> Option<String> {
    let RuleKind::Entry(entry) = &rule.kind else { return None };
    let (_, values) = entry.strip_suffix(']')?.split_once('[')?;
    Some(values.to_owned())
}

/// Forgets all but the last publication.
pub(super) fn keep_last(state: &mut PortState) {
    let last = state.applied.pop();
    state.applied = last.into_iter().collect();
}

/// What a port's binding is worked out to with other profiles.
pub(super) fn plan(
    library: &dyn Library,
    state: &PortState,
    binding: &Binding,
    images: &mut Images,
) -> Result<Planned, EngineError> {
    Planned::with(library, binding, images)
        .map_err(|error| EngineError::Port { port: state.name.clone(), error: Box::new(error) })
}
