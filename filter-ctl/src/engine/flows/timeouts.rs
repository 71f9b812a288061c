//! How long connections live: on disk, and in the kernel.

use super::super::{Engine, EngineError, history};
use crate::datapath::Datapath;
use crate::model::{Timeout, Timeouts};
use crate::store::{Folders, StoreError, load_timeouts, reset_timeouts, save_timeouts};

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
        self.put_timeouts(timeouts, Some(timeouts.to_string()), |folders| save_timeouts(folders, &timeouts))
    }

    /// Puts the default ones in their place.
    pub fn reset_timeouts(&mut self) -> Result<Timeouts, EngineError> {
        self.put_timeouts(Timeouts::default(), None, reset_timeouts)
    }

    fn put_timeouts(
        &mut self,
        timeouts: Timeouts,
        text: Option<String>,
        store: impl FnOnce(&Folders) -> Result<(), StoreError>,
    ) -> Result<Timeouts, EngineError> {
        let datapath = Datapath::open_pinned(&self.folders.bpffs)?;
        self.begin(history::Planned { timeouts: Some(history::TimeoutsText(text)), ..Default::default() })?;
        let stored = store(&self.folders).map_err(EngineError::from);
        if let Some(mut datapath) = datapath.filter(|_| stored.is_ok()) {
            datapath.set_timeouts(&timeouts);
        }
        self.finish(stored)?;
        Ok(timeouts)
    }
}
