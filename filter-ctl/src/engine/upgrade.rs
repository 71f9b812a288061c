//! Upgrades: the programs of this build in the place of those of another that are pinned.
//!
//! Commands go on with what is pinned, so that a host's ports do not change their programs because somebody looked at
//! one of them with another filter-ctl. It takes `upgrade`, or the start of a service.

use super::{Engine, EngineError};
use crate::datapath::{Builds, Datapath, Replaced, UpgradeOptions};
use crate::store::Folders;

/// Which build is pinned, and which this is; `None` where nothing is loaded. Takes no lock.
pub fn builds(folders: &Folders) -> Result<Option<Builds>, EngineError> {
    Ok(Datapath::builds(&folders.bpffs)?)
}

impl Engine {
    /// Puts this build's programs in the place of the pinned ones, on all ports, while packets pass; nothing where they
    /// are the same. `None` where nothing is loaded. Maps stay, with all that is in them.
    pub fn upgrade(&mut self, options: UpgradeOptions) -> Result<Option<Replaced>, EngineError> {
        Ok(Datapath::upgrade(&self.folders.bpffs, options)?)
    }
}
