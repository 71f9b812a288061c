//! The ports of a domain through its life: put in force before it runs, looked at when it does, given back when it
//! has ended.
//!
//! Bindings carry the domain as their owner. That is how its ports are found again when its document does not say
//! any more which they were.

use serde::{Deserialize, Serialize};

use super::domain::DomainBinding;
use super::view::{PortView, Status, ports};
use super::{Engine, EngineError};
use crate::datapath::Datapath;
use crate::model::{MacAddr, ValueError};
use crate::netdev::Interfaces;
use crate::store::{Folders, PortState, Selector, Standing};

/// What became of a domain's ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainPorts {
    /// Ports that were put in force.
    pub attached: Vec<String>,
    /// Ports that were in force already.
    pub kept: Vec<String>,
    /// Ports that are not filtered any more, and those whose interfaces were gone.
    pub released: Vec<String>,
    /// What went wrong with ports, where the others were not to suffer from it.
    pub problems: Vec<String>,
}

impl Engine {
    /// Puts the bindings of a domain in force on the taps that it has, on all or on none. Those for interfaces that it does not
    /// have yet are kept, and put in force when it gets them.
    pub fn attach_domain(&mut self, bindings: &[DomainBinding]) -> Result<DomainPorts, EngineError> {
        let there = bindings.iter().filter(|bound| bound.is_there());
        let wanted = there.map(|bound| Ok((tap_of(bound)?.to_owned(), bound.binding.clone())));
        let wanted = wanted.collect::<Result<Vec<_>, EngineError>>()?;
        let attached = self.attach_all(wanted, &mut |_, _| {}).map_err(|error| match error {
            EngineError::Port { port, error } => {
                let bound = bindings.iter().find(|bound| bound.device.as_ref() == Some(&port));
                error.of_port(&bound.map_or(port, DomainBinding::interface))
            }
            error => error,
        })?;
        let attached = attached.into_iter().map(|attached| attached.port).collect();
        for bound in bindings.iter().filter(|bound| !bound.is_there()) {
            if let Some(standing) = standing_of(bound)? {
                self.bind(&standing)?;
            }
        }
        Ok(DomainPorts { attached, ..DomainPorts::default() })
    }

    /// Puts those bindings of a domain in force that are not: on each port by itself, so that one that fails keeps no
    /// other from being filtered. What an operator has put in force on a port meanwhile stays.
    pub fn reattach_domain(&mut self, bindings: &[DomainBinding]) -> Result<DomainPorts, EngineError> {
        let (views, _) = ports(&self.folders)?;
        let mut done = DomainPorts::default();
        for bound in bindings.iter().filter(|bound| bound.is_there()) {
            let attached = tap_of(bound).and_then(|tap| {
                if views.iter().any(|view| view.port == tap && view.status == Status::Active) {
                    done.kept.push(tap.to_owned());
                    return Ok(());
                }
                self.attach(tap, bound.binding.clone())?;
                done.attached.push(tap.to_owned());
                Ok(())
            });
            if let Err(error) = attached {
                done.problems.push(format!("{}: {error}", bound.interface()));
            }
        }
        Ok(done)
    }

    /// Stops filtering the ports of the domain with this UUID, and forgets those whose interfaces are gone.
    pub fn release_domain(&mut self, uuid: &str) -> Result<DomainPorts, EngineError> {
        let (kept, _) = Standing::load_all(&self.folders)?;
        for standing in &kept {
            if standing.binding.owner.as_ref().is_some_and(|owner| owner.uuid == uuid) {
                self.unbind(&standing.name)?;
            }
        }
        let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
        let (states, _) = PortState::load_all(&self.folders)?;
        let own = states.into_iter().filter(|state| {
            let owners = state.applied.iter().filter_map(|applied| applied.binding.owner.as_ref());
            state.namespace == self.namespace && owners.clone().any(|owner| owner.uuid == uuid)
        });
        let (mut there, mut released) = (Vec::new(), Vec::new());
        for state in own {
            let name = interfaces.at(state.ifindex).map(|interface| interface.name.clone());
            there.extend(name.clone());
            released.push(name.unwrap_or(state.name));
        }
        if there.len() < released.len()
            && let Some(mut datapath) = Datapath::open_pinned(&self.folders.bpffs)?
        {
            self.clear_gone(&mut datapath)?;
        }
        if !there.is_empty() {
            self.detach(&there)?;
        }
        Ok(DomainPorts { released, ..DomainPorts::default() })
    }
}

/// Whether the bindings of a domain are in force on the taps that it has; takes no lock and changes nothing.
pub fn verify_domain(folders: &Folders, bindings: &[DomainBinding]) -> Result<DomainPorts, EngineError> {
    let (views, _) = ports(folders)?;
    let mut kept = Vec::new();
    for bound in bindings.iter().filter(|bound| bound.is_there()) {
        let tap = tap_of(bound)?;
        let state = match views.iter().find(|view| view.port == tap) {
            None => "it is not attached",
            Some(PortView { status: Status::Active, binding: Some(binding), .. })
                if binding.owner == bound.binding.owner && binding.profiles == bound.binding.profiles =>
            {
                kept.push(tap.to_owned());
                continue;
            }
            Some(PortView { status: Status::Active, .. }) => "it is held to something else",
            Some(view) => view.status.name(),
        };
        return Err(EngineError::Conflict(format!(
            "{}: its filter is not in force: {state}; `filter-ctl ports` shows what is",
            bound.interface()
        )));
    }
    Ok(DomainPorts { kept, ..DomainPorts::default() })
}

/// What keeps a binding for an interface that a domain does not have yet; nothing where its MAC address is not known.
fn standing_of(bound: &DomainBinding) -> Result<Option<Standing>, EngineError> {
    let (Some(mac), Some(owner)) = (&bound.mac, &bound.binding.owner) else { return Ok(None) };
    let mac: MacAddr =
        mac.parse().map_err(|error: ValueError| EngineError::Invalid(format!("mac address: {error}")))?;
    let name = format!("{}-{}", owner.uuid, mac.to_string().replace(':', ""));
    let selector = Selector { mac: Some(mac), ..Selector::default() };
    Ok(Some(Standing { name, selector, binding: bound.binding.clone() }))
}

/// The tap of an interface that can be filtered.
fn tap_of(bound: &DomainBinding) -> Result<&str, EngineError> {
    if let Some(refusal) = bound.refusal() {
        return Err(EngineError::Invalid(refusal));
    }
    bound.device.as_deref().ok_or_else(|| {
        EngineError::NotFound(format!(
            "{}: its document names no tap (`<target dev=…/>`), which a domain has that is being started",
            bound.interface()
        ))
    })
}
