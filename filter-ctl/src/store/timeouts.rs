//! How long connections live on this host: one line of text, as users write it. It has its end, or was cut.

use std::fs;
use std::io;

use super::{Folders, StoreError, files};
use crate::model::{Timeouts, ValueError};

/// What holds; the default ones where nobody has said anything.
pub fn load_timeouts(folders: &Folders) -> Result<Timeouts, StoreError> {
    Ok(read(folders)?.map(|(timeouts, _)| timeouts).unwrap_or_default())
}

/// What the file says, and its text; nothing where there is none.
pub(super) fn read(folders: &Folders) -> Result<Option<(Timeouts, String)>, StoreError> {
    let path = &folders.timeouts;
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(path, error)),
    };
    let damaged = |what: String| StoreError::Damaged {
        path: path.clone(),
        message: format!(
            "{what}; what was in force before stays so: `filter-ctl timeouts reset` puts the default ones in its place"
        ),
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| damaged(error.to_string()))?;
    let line = text.strip_suffix('\n').ok_or_else(|| damaged("its line has no end".to_owned()))?.trim_end();
    let timeouts = line.parse().map_err(|error: ValueError| damaged(error.to_string()))?;
    Ok(Some((timeouts, line.to_owned())))
}

/// Keeps timeouts.
pub fn save_timeouts(folders: &Folders, timeouts: &Timeouts) -> Result<(), StoreError> {
    files::write(&folders.timeouts, format!("{timeouts}\n").as_bytes())
}

/// Forgets them.
pub fn reset_timeouts(folders: &Folders) -> Result<(), StoreError> {
    files::remove(&folders.timeouts)
}
