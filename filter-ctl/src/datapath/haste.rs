//! The kernel in a hurry, while ports are attached or detached.
//!
//! Each tcx link that comes or goes makes the kernel wait until no packet is in the programs of that hook, under the
//! lock of its network configuration, on which all other changes of interfaces wait, too: two waits a port, one after
//! the other, 5 to 15 ms each. `rcu_expedited` has it interrupt all processors in place of waiting for their next
//! timer, 0.1 ms each. That disturbs them, so it is not done on large hosts (the kernel itself, which does the same
//! around suspending, has the same bound).
//!
//! The setting is the whole host's. That it is ours is noted by a folder beside the pins, which go with the kernel
//! as the setting does. Whoever dies meanwhile leaves both, and the next command that changes something ends it.

use std::fs;
use std::path::{Path, PathBuf};

use super::pins::Pins;

/// Where the kernel takes the wish.
const SETTING: &str = "/sys/kernel/rcu_expedited";
/// Processors of a large host.
const MANY: usize = 256;

/// The kernel hurries while this value lives.
#[derive(Debug)]
pub(crate) struct Haste {
    mark: PathBuf,
}

impl Haste {
    /// `None` where it is not possible, or so already: then all takes the time that it takes.
    pub(super) fn begin(pins: &Pins) -> Option<Self> {
        let normal = fs::read_to_string(SETTING).is_ok_and(|setting| setting.trim() == "0");
        let large = aya::util::nr_cpus().map_or(true, |processors| processors > MANY);
        if large || !normal {
            return None;
        }
        let mark = pins.haste();
        fs::create_dir(&mark).ok()?;
        // From here on dropping it ends it.
        let haste = Self { mark };
        fs::write(SETTING, "1").ok()?;
        Some(haste)
    }
}

impl Drop for Haste {
    fn drop(&mut self) {
        end(&self.mark);
    }
}

/// Ends what somebody began who died. Whoever calls holds the lock.
pub(super) fn end_forgotten(pins: &Pins) {
    let mark = pins.haste();
    if mark.exists() {
        end(&mark);
    }
}

fn end(mark: &Path) {
    // The mark stays where the setting does, so that it is tried again.
    if fs::write(SETTING, "0").is_ok() {
        let _ = fs::remove_dir(mark);
    }
}
