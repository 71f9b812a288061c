//! Ports that come and go: standing bindings are put in force on those that are there, and what is known of those that
//! are gone is forgotten.
//!
//! What is looked at is what there is, not what has happened: however many reports of changes were lost, or came late, the next
//! look finds what they were about.

use serde::{Deserialize, Serialize};

use super::bindings::settled;
use super::planned::Planned;
use super::{Attached, Engine, EngineError};
use crate::datapath::Datapath;
use crate::model::{ProfileName, ValueError};
use crate::netdev::{Interface, Interfaces};
use crate::store::{Binding, Folders, PortState, Selector, Standing, StoreError};

/// What a look at all interfaces came to.
#[derive(Debug, Default)]
pub struct Settled {
    /// Ports that are filtered now and were not before, by standing bindings.
    pub attached: Vec<(String, Attached)>,
    /// Ports that should be and are not, and why.
    pub failed: Vec<(String, EngineError)>,
    /// Ports that are gone.
    pub gone: Vec<String>,
}

/// A standing binding, and the ports that are held to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingView {
    /// Its name.
    pub name: String,
    /// Which ports it is for.
    pub selector: Selector,
    /// What they are held to.
    pub binding: Binding,
    /// Those that are there.
    pub ports: Vec<String>,
}

/// All standing bindings, and what is wrong with files that are damaged.
pub fn standing(folders: &Folders) -> Result<(Vec<StandingView>, Vec<StoreError>), EngineError> {
    let (all, damaged) = Standing::load_all(folders)?;
    let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
    let mut ports: Vec<(&str, &Interface)> = interfaces
        .iter()
        .filter(|interface| interface.refusal().is_none())
        .filter_map(|interface| Some((Standing::of(&all, interface)?.name.as_str(), interface)))
        .collect();
    ports.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let view = |standing: &Standing| StandingView {
        name: standing.name.clone(),
        selector: standing.selector.clone(),
        binding: standing.binding.clone(),
        ports: ports
            .iter()
            .filter(|(name, _)| *name == standing.name)
            .map(|(_, interface)| interface.name.clone())
            .collect(),
    };
    Ok((all.iter().map(view).collect(), damaged))
}

/// Whether [`Engine::settle`] would find anything to do. Takes no lock.
pub fn unsettled(folders: &Folders) -> Result<bool, EngineError> {
    let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
    let known = PortState::indices(folders)?;
    if known.iter().any(|&ifindex| interfaces.at(ifindex).is_none()) {
        return Ok(true);
    }
    let (all, _) = Standing::load_all(folders)?;
    Ok(interfaces.iter().any(|interface| {
        known.binary_search(&interface.ifindex).is_err()
            && interface.refusal().is_none()
            && Standing::of(&all, interface).is_some()
    }))
}

impl Engine {
    /// Keeps a standing binding, in the place of one of the same name. The ports that are there are held to it by
    /// [`settle`](Self::settle).
    pub fn bind(&mut self, standing: &Standing) -> Result<(), EngineError> {
        name(&standing.name)?;
        if let Some(problem) = standing.selector.problem() {
            return Err(EngineError::Invalid(problem));
        }
        // It has to be good for a port, even if none is there.
        Planned::new(&self.profiles, &settled(standing.binding.clone()))?;
        Ok(standing.save(&self.folders)?)
    }

    /// Forgets a standing binding. Ports that are held to it stay so, and are like others from then on.
    pub fn unbind(&mut self, text: &str) -> Result<(), EngineError> {
        if Standing::remove(&self.folders, &name(text)?)? {
            return Ok(());
        }
        Err(EngineError::NotFound(format!(
            "there is no standing binding `{text}`; `filter-ctl bindings` shows those there are"
        )))
    }

    /// The standing binding that holds an interface, if one does.
    pub(super) fn held_by(&self, interface: &Interface) -> Result<Option<String>, EngineError> {
        let (all, _) = Standing::load_all(&self.folders)?;
        Ok(Standing::of(&all, interface).map(|standing| standing.name.clone()))
    }

    /// Holds all ports that are not attached to their standing bindings, each for itself, and forgets those that are gone.
    pub fn settle(&mut self) -> Result<Settled, EngineError> {
        let mut settled = Settled { gone: self.forget_gone()?, ..Settled::default() };
        let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
        let known = PortState::indices(&self.folders)?;
        let (all, _) = Standing::load_all(&self.folders)?;
        let mut wanted: Vec<(&Standing, &Interface)> = interfaces
            .iter()
            .filter(|interface| known.binary_search(&interface.ifindex).is_err())
            .filter(|interface| interface.refusal().is_none())
            .filter_map(|interface| Some((Standing::of(&all, interface)?, interface)))
            .collect();
        wanted.sort_by_key(|(_, interface)| interface.ifindex);
        let bindings: Vec<(String, Binding)> =
            wanted.iter().map(|(standing, port)| (port.name.clone(), standing.binding.clone())).collect();
        if bindings.is_empty() {
            return Ok(settled);
        }
        let of = |position: usize| wanted.get(position).map(|(standing, _)| standing.name.clone());
        if let Ok(attached) = self.attach_all(bindings.clone(), &mut |_, _| {}) {
            let named = attached.into_iter().enumerate();
            settled.attached =
                named.map(|(position, attached)| (of(position).unwrap_or_default(), attached)).collect();
            return Ok(settled);
        }
        // One is bad, or was gone before its turn: that keeps no other from being filtered.
        for (position, (port, binding)) in bindings.into_iter().enumerate() {
            match self.attach(&port, binding) {
                Ok(attached) => settled.attached.push((of(position).unwrap_or_default(), attached)),
                Err(error) => settled.failed.push((port, error)),
            }
        }
        Ok(settled)
    }

    /// Forgets ports whose interfaces are gone. Gives their names.
    fn forget_gone(&mut self) -> Result<Vec<String>, EngineError> {
        let (ports, _) = PortState::load_all(&self.folders)?;
        if let Some(mut datapath) = Datapath::open_pinned(&self.folders.bpffs)? {
            self.clear_gone(&mut datapath)?;
        }
        let left = PortState::indices(&self.folders)?;
        Ok(ports
            .into_iter()
            .filter(|port| left.binary_search(&port.ifindex).is_err())
            .map(|port| port.name)
            .collect())
    }
}

fn name(text: &str) -> Result<ProfileName, EngineError> {
    text.parse()
        .map_err(|error: ValueError| EngineError::Invalid(format!("name of a standing binding: {error}")))
}
