//! What runs on the hooks of ports, and what should.
//!
//! That is what others change, so it is looked at often, for all ports: what is the same for many is looked up once, and no
//! map is opened.

use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use filter_common::Direction;
use serde::{Deserialize, Serialize};

use super::held;
use super::link::running;
use super::pins::Pins;
use super::{Datapath, DatapathError};

/// A program on a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookProgram {
    /// Its number in the kernel.
    pub id: u32,
    /// Its name, cut to fifteen characters by the kernel.
    pub name: String,
    /// It is the pinned one of this direction, or one that is being replaced.
    pub ours: bool,
}

/// What is pinned as a link of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Nothing.
    Missing,
    /// Something that is no link.
    Strange,
    /// A link to a program of this number. Whether it is still on its hook, the hook says.
    Pinned(u32),
}

/// The hooks of ports.
#[derive(Debug, Default)]
pub struct Hooks {
    pins: Option<Pins>,
    /// Our programs of each direction: what is pinned, and what is to be.
    ours: [Vec<u32>; Direction::COUNT],
}

impl Hooks {
    /// The hooks of ports that have pins below `folder`, or have had some; `None` where nothing is pinned.
    pub fn look_at(folder: &Path) -> Result<Option<Self>, DatapathError> {
        let pins = Pins::new(folder);
        let there = pins.exist()? || held::held().is_some_and(|held| !held.is_empty());
        Ok(there.then(|| Self::of(&pins)))
    }

    fn of(pins: &Pins) -> Self {
        Self {
            ours: Direction::ALL.map(|direction| pins.program_ids(direction).collect()),
            pins: Some(pins.clone()),
        }
    }

    /// The programs on a port's hook, in the order in which they see packets.
    pub fn programs(&self, name: &str, direction: Direction) -> Result<Vec<HookProgram>, DatapathError> {
        let programs = running(name, direction)?;
        let ours = &self.ours[direction.index()];
        Ok(programs
            .iter()
            .map(|program| HookProgram {
                id: program.id(),
                name: program.name_as_str().unwrap_or_default().to_owned(),
                ours: ours.contains(&program.id()),
            })
            .collect())
    }

    /// What is pinned as the link of a port.
    pub fn link(&self, ifindex: u32, direction: Direction) -> LinkState {
        let Some(pin) = self.pins.as_ref().map(|pins| pins.link(ifindex, direction)) else {
            return LinkState::Missing;
        };
        match PinnedLink::from_pin(&pin).ok().and_then(|link| FdLink::from(link).info().ok()) {
            Some(info) => LinkState::Pinned(info.program_id()),
            None if pin.symlink_metadata().is_ok() => LinkState::Strange,
            None => LinkState::Missing,
        }
    }
}

impl Datapath {
    /// The hooks of ports.
    pub fn hooks(&self) -> Hooks {
        let mut hooks = self.pins.as_ref().map_or_else(Hooks::default, Hooks::of);
        for direction in Direction::ALL {
            let loaded = self.programs[direction.index()].info().ok().map(|info| info.id());
            hooks.ours[direction.index()].extend(loaded);
        }
        hooks
    }
}
