//! Files that are whole or not there: written aside, synced, renamed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::StoreError;

/// Writes `path`, readable by us only where it is new, so that whoever reads it at any moment, or after the
/// machine went down, finds the old text or the new one.
pub(super) fn write(path: &Path, text: &[u8]) -> Result<(), StoreError> {
    put(path, text, File::sync_all)?;
    sync(folder_of(path))
}

/// The same, but for what the machine may lose when it goes down: nothing waits for a disk.
pub(super) fn write_volatile(path: &Path, text: &[u8]) -> Result<(), StoreError> {
    put(path, text, |_| Ok(()))
}

/// Writes `path` by what `fill` writes to a file at `aside`, in the same folder, which is there.
pub(super) fn write_by(
    path: &Path,
    aside: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), StoreError> {
    let fail = |error| StoreError::io(aside, error);
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(aside).map_err(fail)?;
    fill(&mut file).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(aside, path).map_err(|error| StoreError::io(path, error))?;
    sync(folder_of(path))
}

fn put(path: &Path, text: &[u8], settle: impl Fn(&File) -> io::Result<()>) -> Result<(), StoreError> {
    let aside = path.with_extension("new");
    let fail = |error| StoreError::io(&aside, error);
    let open = || File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(folder_of(path))?;
            open()
        }
        opened => opened,
    }
    .map_err(fail)?;
    file.write_all(text).and_then(|()| settle(&file)).map_err(fail)?;
    fs::rename(&aside, path).map_err(|error| StoreError::io(path, error))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Removes `path`; it may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Ok(()) => sync(folder_of(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(path, error)),
    }
}

/// The same, without waiting for a disk.
pub(super) fn remove_volatile(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io(path, error)),
        _ => Ok(()),
    }
}

/// Makes a folder and those above it, closed to others.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| StoreError::io(path, error))
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| StoreError::io(folder, error))
}
