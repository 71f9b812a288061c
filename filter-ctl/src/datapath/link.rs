//! The classifiers on an interface: tcx links, pinned, first on their hooks.
//!
//! First, because a program before us that accepts a packet would let it past us.

use std::fs;
use std::path::Path;

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, ProgramInfo, SchedClassifier, TcAttachType};
use filter_common::{Direction, maps};

use super::error::errno;
use super::held;
use super::identity::{Build, Identity};
use super::{Datapath, DatapathError, LogLevel};
use crate::netdev;

/// "Link has been severed": the interface of a pinned link is gone, even if another has its name now.
const ENOLINK: i32 = 67;
const ENODEV: i32 = 19;
const ENOENT: i32 = 2;
/// How often it is asked what runs on a hook whose programs come and go.
const LOOKS: usize = 8;

/// The hook of a direction: frames from the VM enter the host at the tap.
pub(super) const fn hook(direction: Direction) -> TcAttachType {
    match direction {
        Direction::Out => TcAttachType::Ingress,
        Direction::In => TcAttachType::Egress,
    }
}

/// The programs on a hook of an interface, in their order.
pub(super) fn running(name: &str, direction: Direction) -> Result<Vec<ProgramInfo>, DatapathError> {
    let mut looks = 0;
    loop {
        let error = match SchedClassifier::query_tcx(name, hook(direction)) {
            Ok((_, programs)) => return Ok(programs),
            Err(error) => error,
        };
        looks += 1;
        match errno(&error) {
            Some(ENODEV) => return Err(DatapathError::Gone(name.to_owned())),
            // The kernel gives numbers; what one of them stood for may have been detached since.
            Some(ENOENT) if looks < LOOKS => {}
            _ => return Err(DatapathError::bpf(format!("asking what runs on {name}"), &error)),
        }
    }
}

impl Datapath {
    /// Attaches both classifiers to the interface; replaces them in place where they are. Gives the directions in which
    /// none was attached before. If it fails, what was attached before still is, and nothing else.
    pub fn attach(&mut self, name: &str, ifindex: u32) -> Result<Vec<Direction>, DatapathError> {
        let mut made = Vec::new();
        // The kernel is asked by name, and the policy is that of an index: in between, the name may become another's.
        check_name(name, ifindex)?;
        let attached = Direction::ALL.into_iter().try_for_each(|direction| {
            if matches!(self.attach_one(name, ifindex, direction)?, Made::New) {
                made.push(direction);
            }
            Ok(())
        });
        if let Err(error) = attached.and_then(|()| check_name(name, ifindex)) {
            self.detach_from(made.iter().map(|&direction| (ifindex, direction)));
            return Err(error);
        }
        Ok(made)
    }

    fn attach_one(&mut self, name: &str, ifindex: u32, direction: Direction) -> Result<Made, DatapathError> {
        let call = format!("attaching the {direction} classifier to {name}");
        let fail = |error: &(dyn std::error::Error + 'static)| DatapathError::bpf(call.as_str(), error);
        let pin = self.pins.as_ref().map(|pins| pins.link(ifindex, direction));
        let held = held::held().zip(self.pins.as_ref());
        if let Some((held, pins)) = held {
            // Nobody but the pin may be gone.
            held.pin(pins, ifindex, direction);
        }
        let program = &mut self.programs[direction.index()];
        if let Some(pin) = &pin
            && pin.exists()
        {
            // A link that is severed, or whatever else the pin is, is of no use to anybody.
            if adopt(program, pin).is_ok() && self.is_attached(name, direction)? {
                return Ok(Made::Adopted);
            }
            fs::remove_file(pin).map_err(|error| DatapathError::io(pin, error))?;
        }
        self.hurry();
        let program = &mut self.programs[direction.index()];
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program.attach_with_options(name, hook(direction), order).map_err(|error| fail(&error))?;
        if let (Some(pin), Some(pins)) = (&pin, &self.pins) {
            pins.make_room_for_links()?;
            let link = program.take_link(id).map_err(|error| fail(&error))?;
            let link = FdLink::try_from(link).map_err(|error| fail(&error))?;
            link.pin(pin).map_err(|error| fail(&error))?;
        }
        if let Some((held, pins)) = held {
            // Only now: what was held before is in force until then.
            held.hold(pins, ifindex, direction);
        }
        if let Err(error) = self.verify(name, direction) {
            self.detach_one(ifindex, direction);
            return Err(error);
        }
        Ok(Made::New)
    }

    /// Reads back what the kernel runs: success alone has been seen to mean nothing.
    fn verify(&self, name: &str, direction: Direction) -> Result<(), DatapathError> {
        if self.is_attached(name, direction)? {
            return Ok(());
        }
        Err(DatapathError::NotAttached { port: name.to_owned(), direction })
    }

    /// Whether the kernel runs our classifier of that direction on the interface.
    pub fn is_attached(&self, name: &str, direction: Direction) -> Result<bool, DatapathError> {
        let ours = self.programs[direction.index()].info();
        let ours = ours.map_err(|error| DatapathError::bpf("asking for the classifiers", &error))?;
        let running = running(name, direction)?;
        let runs = |id: u32| running.iter().any(|program| program.id() == id);
        // Another may be about to take its place, or have done so since this value was made.
        Ok(runs(ours.id()) || self.pins.as_ref().is_some_and(|pins| pins.program_ids(direction).any(runs)))
    }

    /// Whether the interface has a pinned link of ours.
    pub fn is_linked(&self, ifindex: u32) -> bool {
        let Some(pins) = &self.pins else { return false };
        Direction::ALL.iter().any(|&direction| pins.link(ifindex, direction).symlink_metadata().is_ok())
    }

    /// Detaches both classifiers from the interface, if they are attached. On return no packet meets them any
    /// more, so that the policy can be withdrawn.
    pub fn detach(&mut self, ifindex: u32) {
        self.detach_all(&[ifindex]);
    }

    /// The same for many, with one wait.
    pub fn detach_all(&mut self, ports: &[u32]) {
        for &ifindex in ports {
            self.forget_links(ifindex);
        }
        // At worst a packet that is still on its way there finds no policy.
        let _ = self.wait_for_packets();
    }

    /// The same for single directions, without a wait.
    pub fn detach_from(&mut self, hooks: impl IntoIterator<Item = (u32, Direction)>) {
        for (ifindex, direction) in hooks {
            self.detach_one(ifindex, direction);
        }
    }

    /// Takes the pins of an interface away, without a wait: for one that is gone, and has no packets.
    pub fn forget_links(&mut self, ifindex: u32) {
        self.detach_from(Direction::ALL.map(|direction| (ifindex, direction)));
    }

    /// Puts our classifiers first again on hooks where others run before them. While they change places, a copy of them
    /// stands before everything: no packet gets by unjudged, though for a moment each is judged twice.
    pub fn come_first(&mut self, hooks: &[(String, u32, Direction)]) -> Result<(), DatapathError> {
        let Some(pins) = self.pins.as_ref().filter(|_| !hooks.is_empty()) else { return Ok(()) };
        let identity = match Identity::read(&pins.programs()) {
            Some(identity) => identity,
            None => Identity { build: Build::own(), secret: super::secret()?, log: LogLevel::Off },
        };
        super::parameters::check(pins)?;
        let mut object = super::load(&identity, Some(pins))?;
        self.hurry();
        for (name, ifindex, direction) in hooks {
            let call = format!("bringing the {direction} classifier of {name} to the front");
            let fail = |error: ProgramError| DatapathError::bpf(call.as_str(), &error);
            let copy = super::program(&mut object, maps::program(*direction))?;
            let order = TcAttachOptions::TcxOrder(LinkOrder::first());
            let link = copy.attach_with_options(name, hook(*direction), order).map_err(fail)?;
            self.detach_one(*ifindex, *direction);
            match self.attach_one(name, *ifindex, *direction) {
                Ok(_) => copy.detach(link).map_err(fail)?,
                Err(error) => {
                    // The copy stays: it is all that filters the port.
                    let link = FdLink::try_from(copy.take_link(link).map_err(fail)?);
                    let pins = self.pins.as_ref().map(|pins| pins.link(*ifindex, *direction));
                    if let (Ok(link), Some(pin)) = (link, pins) {
                        let _ = link.pin(pin);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn detach_one(&mut self, ifindex: u32, direction: Direction) {
        let Some(pins) = &self.pins else { return };
        let pin = pins.link(ifindex, direction);
        self.hurry();
        if let Some(held) = held::held() {
            held.let_go(ifindex, direction);
        }
        // The kernel detaches at once when the last descriptor of an unpinned link is closed; without one it
        // does so some time after the pin is gone.
        let link = PinnedLink::from_pin(&pin);
        let _ = fs::remove_file(&pin);
        drop(link);
    }

    /// Whether an interface of this index is gone for good: its links, if there are any, lead nowhere. One that
    /// is in another network namespace is not gone.
    pub fn is_gone(&mut self, ifindex: u32) -> bool {
        let Some(pins) = &self.pins else { return true };
        let pins = Direction::ALL.map(|direction| pins.link(ifindex, direction));
        pins.iter()
            .zip(&mut self.programs)
            .all(|(pin, program)| !pin.exists() || matches!(adopt(program, pin), Err(Adopt::Severed)))
    }

    /// Interfaces that have pinned links, whether they still exist or not.
    pub fn linked(&self) -> Vec<u32> {
        self.pins.as_ref().map(super::pins::Pins::linked).unwrap_or_default()
    }
}

/// An error where the interface of this index has another name now, or is gone.
fn check_name(name: &str, ifindex: u32) -> Result<(), DatapathError> {
    match netdev::is_named(ifindex, name) {
        Ok(true) => Ok(()),
        Ok(false) => Err(DatapathError::Gone(name.to_owned())),
        Err(error) => Err(DatapathError::bpf(format!("asking for the name of {name}"), &error)),
    }
}

/// How a classifier came to be attached.
enum Made {
    New,
    Adopted,
}

/// What became of a link that was to get a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// It has it.
    Now,
    /// It had it before.
    Before,
    /// There is no such link, or its interface is gone.
    Nowhere,
    /// It has another.
    Not,
}

/// Puts `program`, which is that of this number, in the place of whatever runs behind the pinned link.
pub(super) fn give(program: &mut SchedClassifier, id: u32, pin: &Path) -> Moved {
    let there = || PinnedLink::from_pin(pin).ok().and_then(|link| FdLink::from(link).info().ok());
    let Some(before) = there() else {
        return if pin.symlink_metadata().is_ok() { Moved::Not } else { Moved::Nowhere };
    };
    if before.program_id() == id {
        return Moved::Before;
    }
    match adopt(program, pin) {
        Err(Adopt::Severed) => Moved::Nowhere,
        Ok(()) if there().is_some_and(|after| after.program_id() == id) => Moved::Now,
        Ok(()) | Err(Adopt::Failed) => Moved::Not,
    }
}

enum Adopt {
    Severed,
    Failed,
}

impl<E: std::error::Error + 'static> From<E> for Adopt {
    fn from(error: E) -> Self {
        if errno(&error) == Some(ENOLINK) { Self::Severed } else { Self::Failed }
    }
}

/// Puts `program` in the place of whatever runs behind the pinned link.
fn adopt(program: &mut SchedClassifier, pin: &Path) -> Result<(), Adopt> {
    let link = FdLink::from(PinnedLink::from_pin(pin).map_err(|error: LinkError| Adopt::from(error))?);
    let link = link.try_into().map_err(|error: LinkError| Adopt::from(error))?;
    let id = program.attach_to_link(link).map_err(|error: ProgramError| Adopt::from(error))?;
    // The pin holds the link; taking it out of the program keeps its drop from detaching.
    drop(FdLink::try_from(program.take_link(id)?)?);
    Ok(())
}
