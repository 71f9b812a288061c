//! Another build's programs in the place of the pinned ones, while packets pass.
//!
//! Maps stay: the new programs are loaded against the pinned ones, so policies, counters, connections and what was
//! learned are there for them as for the old. The hash's factors are in a map (`filter_settings`); the secret of answers
//! is a constant of the programs, and is handed on by the [identity](super::identity). Then
//!
//! 1. the new programs are pinned in a folder beside the old ones', `incoming`;
//! 2. the two folders change places, in one step: from here on the new ones are *the* programs;
//! 3. each link is given its new program (`bpf_link_update`): a packet meets the old one or the new one;
//! 4. `incoming`, with the old programs, is removed.
//!
//! Where there is a folder `incoming`, somebody died on the way, or is on it. Whoever comes next with the lock does 3
//! and 4 with the programs that are in their place, whichever these are: before step 2 there is nothing to do in 3.
//! So the ports have one build's programs in the end, and at every moment each has programs.

use std::fs;
use std::path::Path;

use aya::programs::SchedClassifier;
use filter_common::{Direction, maps};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use super::error::DatapathError;
use super::haste::Haste;
use super::identity::{Build, Identity};
use super::link::{self, Moved};
use super::pins::Pins;
use super::{Datapath, LogLevel, parameters};

/// How programs are to be replaced.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpgradeOptions {
    /// Which diagnostics the new ones log; what the old ones did if nothing is said.
    pub log: Option<LogLevel>,
    /// Replace them even by the same build.
    pub again: bool,
}

/// What is pinned, and what this program would put there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builds {
    /// The pinned one; `None` where it does not say which it is.
    pub pinned: Option<Build>,
    /// This program's.
    pub own: Build,
    /// An upgrade was begun and not finished, or is under way.
    pub unfinished: bool,
}

impl Builds {
    /// Whether the pinned programs are those that this program carries.
    pub fn agree(&self) -> bool {
        self.pinned.as_ref().is_some_and(|pinned| pinned.id == self.own.id)
    }
}

/// What replacing programs came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The build before; `None` where that is not known.
    pub before: Option<Build>,
    /// The build now.
    pub now: Build,
    /// Whether programs were loaded.
    pub replaced: bool,
    /// Ports whose links have the new programs.
    pub ports: usize,
    /// Indices of interfaces of which a link could not be given its new program, and runs the old one.
    pub failed: Vec<u32>,
}

impl Datapath {
    /// The builds below `folder`; `None` where nothing is pinned.
    pub fn builds(folder: &Path) -> Result<Option<Builds>, DatapathError> {
        let pins = Pins::new(folder);
        Ok(pins.exist()?.then(|| Builds {
            pinned: Identity::read(&pins.programs()).map(|identity| identity.build),
            own: Build::own(),
            unfinished: pins.incoming().exists(),
        }))
    }

    /// Puts this program's build in the place of another that is pinned below `folder`; `None` where nothing is pinned.
    /// If it fails the old one is in force as before.
    pub fn upgrade(folder: &Path, options: UpgradeOptions) -> Result<Option<Replaced>, DatapathError> {
        let pins = Pins::new(folder);
        if !pins.exist()? {
            return Ok(None);
        }
        let _lock = pins.lock()?;
        finish(&pins)?;
        let before = Identity::read(&pins.programs());
        let now = Build::own();
        let same = before.as_ref().is_some_and(|before| before.build.id == now.id);
        let louder = options.log.is_some_and(|log| before.as_ref().is_none_or(|before| before.log != log));
        let mut replaced = Replaced {
            before: before.as_ref().map(|before| before.build.clone()),
            now: now.clone(),
            replaced: !same || louder || options.again,
            ports: 0,
            failed: Vec::new(),
        };
        if replaced.replaced {
            // Programs that do not say their secret are of a build that had no answers to hand on.
            let secret = before.as_ref().map_or_else(super::secret, |before| Ok(before.secret))?;
            let log = options.log.or(before.map(|before| before.log)).unwrap_or_default();
            if let Err(error) = install(&pins, &Identity { build: now, secret, log }) {
                finish(&pins)?;
                return Err(error);
            }
            (replaced.ports, replaced.failed) = settle(&pins)?;
        }
        Ok(Some(replaced))
    }
}

/// Loads programs against the pinned maps, and has them take the place of those that are pinned.
fn install(pins: &Pins, identity: &Identity) -> Result<(), DatapathError> {
    parameters::check(pins)?;
    let mut object = super::load(identity, Some(pins))?;
    let incoming = pins.incoming();
    super::pins::create_dir(&incoming)?;
    super::pin_programs(&mut object, &incoming)?;
    identity.write(&incoming)?;
    renameat_with(CWD, &incoming, CWD, pins.programs(), RenameFlags::EXCHANGE)
        .map_err(|error| DatapathError::io(&incoming, error))
}

/// Brings an upgrade to its end that was begun.
pub(super) fn finish(pins: &Pins) -> Result<(), DatapathError> {
    if pins.incoming().exists() { settle(pins).map(drop) } else { Ok(()) }
}

/// Gives all links the programs that are in their place, and lets go of the others. Says how many ports have them, and
/// which do not.
fn settle(pins: &Pins) -> Result<(usize, Vec<u32>), DatapathError> {
    let mut programs = Vec::with_capacity(Direction::COUNT);
    for direction in Direction::ALL {
        let path = pins.program(maps::program(direction));
        let wrong =
            |error: &aya::programs::ProgramError| DatapathError::bpf(path.display().to_string(), error);
        let program = SchedClassifier::from_pin(&path).map_err(|error| wrong(&error))?;
        let id = program.info().map_err(|error| wrong(&error))?.id();
        programs.push((direction, program, id));
    }
    let linked = pins.linked();
    let haste = Haste::begin(pins);
    let (mut ports, mut failed) = (0, Vec::new());
    for ifindex in linked {
        let mut moved = Vec::with_capacity(Direction::COUNT);
        for (direction, program, id) in &mut programs {
            moved.push(link::give(program, *id, &pins.link(ifindex, *direction)));
        }
        if moved.contains(&Moved::Not) {
            failed.push(ifindex);
        } else if moved.contains(&Moved::Now) || moved.contains(&Moved::Before) {
            ports += 1;
        }
    }
    drop(haste);
    let incoming = pins.incoming();
    fs::remove_dir_all(&incoming).map_err(|error| DatapathError::io(&incoming, error))?;
    Ok((ports, failed))
}
