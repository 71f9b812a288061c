//! Links that this process holds besides their pins, if it stays.
//!
//! A pinned link is in force as long as somebody holds it. Where the file system of the pins is unmounted, or somebody removes
//! them, ports would not be filtered any more. A process that stays holds the links as well: nothing changes at the ports, and
//! as soon as there is a place for pins again all is pinned as it was: the maps, which are held, too, and links. Programs are
//! loaded anew and given to the links.
//!
//! Who detaches a port lets its links go first. Only this process does while it runs: it has the lock.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use aya::maps::MapData;
use aya::programs::links::{FdLink, PinnedLink};
use filter_common::{Direction, maps};

use super::identity::{Build, Identity};
use super::link::running;
use super::pins::{self, Pins};
use super::{DatapathError, LogLevel};

static HELD: OnceLock<Held> = OnceLock::new();

/// A link.
#[derive(Debug)]
struct Link {
    /// It is in force as long as this is here.
    stays: FdLink,
    /// The same, to be pinned: what cannot be pinned is closed.
    spare: Option<FdLink>,
}

/// The links that are held, by interface and direction.
#[derive(Debug, Default)]
pub(super) struct Held {
    links: Mutex<BTreeMap<(u32, Direction), Link>>,
    /// All maps, as they are pinned beside them.
    maps: Mutex<Vec<(&'static str, MapData)>>,
}

/// Holds all links from now on, as long as this process lives.
pub(super) fn begin() {
    HELD.get_or_init(Held::default);
}

/// Those that are held, if this process holds any.
pub(super) fn held() -> Option<&'static Held> {
    HELD.get()
}

/// Whether this process keeps a port filtered, if its links are not pinned any more.
pub fn is_held(name: &str, ifindex: u32) -> bool {
    let runs = |held: &Held, direction| {
        let program = held.program(ifindex, direction);
        program.is_some_and(|id| {
            running(name, direction).is_ok_and(|running| running.iter().any(|it| it.id() == id))
        })
    };
    held().is_some_and(|held| Direction::ALL.iter().all(|&direction| runs(held, direction)))
}

impl Held {
    fn links(&self) -> MutexGuard<'_, BTreeMap<(u32, Direction), Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn maps(&self) -> MutexGuard<'_, Vec<(&'static str, MapData)>> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links().is_empty()
    }

    /// Holds what is pinned, unless that was done before.
    pub(super) fn find(&self, pins: &Pins) -> Result<(), DatapathError> {
        if !self.is_empty() {
            return Ok(());
        }
        let open = |name| {
            let path = pins.map(name);
            let map = MapData::from_pin(&path)
                .map_err(|error| DatapathError::bpf(path.display().to_string(), &error))?;
            Ok((name, map))
        };
        *self.maps() = maps::ALL.into_iter().map(open).collect::<Result<_, DatapathError>>()?;
        for ifindex in pins.linked() {
            for direction in Direction::ALL {
                self.hold(pins, ifindex, direction);
            }
        }
        Ok(())
    }

    /// Holds what is pinned as a port's link, if that is one, in the place of what is held of it.
    pub(super) fn hold(&self, pins: &Pins, ifindex: u32, direction: Direction) {
        let open = || Some(FdLink::from(PinnedLink::from_pin(pins.link(ifindex, direction)).ok()?));
        if let Some(stays) = open() {
            self.links().insert((ifindex, direction), Link { stays, spare: open() });
        }
    }

    /// Lets a port's link go: then it is in force only as long as its pin is there.
    pub(super) fn let_go(&self, ifindex: u32, direction: Direction) {
        self.links().remove(&(ifindex, direction));
    }

    /// The number of the program of a port's link.
    fn program(&self, ifindex: u32, direction: Direction) -> Option<u32> {
        let links = self.links();
        Some(links.get(&(ifindex, direction))?.stays.info().ok()?.program_id())
    }

    /// Pins a port's link that is held, where nothing is pinned.
    pub(super) fn pin(&self, pins: &Pins, ifindex: u32, direction: Direction) {
        let pin = pins.link(ifindex, direction);
        let free = matches!(pin.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound);
        // Of a link that could not be pinned there would be no second handle.
        if !free || pins.make_room_for_links().is_err() {
            return;
        }
        let mut links = self.links();
        let link = links.get_mut(&(ifindex, direction));
        let Some(spare) = link.and_then(|link| link.spare.take()) else { return };
        drop(links);
        if spare.pin(&pin).is_ok() {
            self.hold(pins, ifindex, direction);
        }
    }

    /// Pins all there is again, where nothing is pinned any more: maps, programs of this build, and links. Says whether
    /// there was anything.
    pub(super) fn restore(&self, pins: &Pins) -> Result<bool, DatapathError> {
        let links: Vec<(u32, Direction)> = self.links().keys().copied().collect();
        if links.is_empty() {
            return Ok(false);
        }
        pins.install(|unfinished| {
            for (name, map) in self.maps().iter() {
                let path = unfinished.map(name);
                map.pin(&path).map_err(|error| DatapathError::bpf(path.display().to_string(), &error))?;
            }
            let identity = Identity { build: Build::own(), secret: super::secret()?, log: LogLevel::Off };
            let mut object = super::load(&identity, Some(unfinished))?;
            super::pin_programs(&mut object, &unfinished.programs())?;
            identity.write(&unfinished.programs())?;
            // Whoever comes next gives the links these programs.
            pins::create_dir(&unfinished.incoming())
        })?;
        for (ifindex, direction) in links {
            self.pin(pins, ifindex, direction);
        }
        Ok(true)
    }
}
