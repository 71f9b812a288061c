//! How long connections live on this host: one line of text, as users write it.

use std::fs;
use std::io;

use super::{Folders, StoreError, files};
use crate::model::Timeouts;

/// What holds; the default ones where nobody has said anything.
pub fn load_timeouts(folders: &Folders) -> Result<Timeouts, StoreError> {
    let path = &folders.timeouts;
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Timeouts::default()),
        Err(error) => return Err(StoreError::io(path, error)),
    };
    text.trim_end().parse().map_err(|error: crate::model::ValueError| StoreError::Damaged {
        path: path.clone(),
        message: format!("{error}; `filter-ctl timeouts reset` puts the default ones in its place"),
    })
}

/// Keeps timeouts.
pub fn save_timeouts(folders: &Folders, timeouts: &Timeouts) -> Result<(), StoreError> {
    files::write(&folders.timeouts, format!("{timeouts}\n").as_bytes())
}

/// Forgets them.
pub fn reset_timeouts(folders: &Folders) -> Result<(), StoreError> {
    files::remove(&folders.timeouts)
}
