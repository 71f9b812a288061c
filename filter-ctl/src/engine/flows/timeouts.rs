//! How long connections live: on disk, and in the kernel.

use super::super::{Engine, EngineError};
use crate::datapath::Datapath;
use crate::model::{Timeout, Timeouts};
use crate::store::{Folders, load_timeouts, reset_timeouts, save_timeouts};

/// What holds.
pub fn timeouts(folders: &Folders) -> Result<Timeouts, EngineError> {
    Ok(load_timeouts(folders)?)
}

impl Engine {
    /// Changes some timeouts; connections have them from their next packet on.
    pub fn set_timeouts(&mut self, changes: &[(Timeout, u32)]) -> Result<Timeouts, EngineError> {
        let mut timeouts = load_timeouts(&self.folders)?;
        for &(timeout, seconds) in changes {
            timeouts = timeouts.with(timeout, seconds).ok_or_else(|| {
                EngineError::Invalid(format!(
                    "{timeout}={seconds}: expected 1 to {} seconds",
                    Timeouts::LONGEST
                ))
            })?;
        }
        let datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        save_timeouts(&self.folders, &timeouts)?;
        if let Some(mut datapath) = datapath {
            datapath.set_timeouts(&timeouts);
        }
        Ok(timeouts)
    }

    /// Puts the default ones in their place.
    pub fn reset_timeouts(&mut self) -> Result<Timeouts, EngineError> {
        let datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        reset_timeouts(&self.folders)?;
        let timeouts = Timeouts::default();
        if let Some(mut datapath) = datapath {
            datapath.set_timeouts(&timeouts);
        }
        Ok(timeouts)
    }
}
