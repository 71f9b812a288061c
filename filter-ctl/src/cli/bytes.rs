//! Files that are no text: from a file or standard input, and to standard output.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use crate::service::failure::Failure;

/// Reads a file, or standard input where none is named, and does this with what is in it. What fails says where it
/// came from.
pub fn with_file<T>(
    file: Option<&Path>,
    work: impl FnOnce(Vec<u8>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let from = file.unwrap_or(Path::new("standard input"));
    let bytes = if let Some(file) = file {
        fs::read(file)
    } else {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = bytes.map_err(|error| Failure::io(from, &error))?;
    work(bytes)
        .map_err(|failure| Failure::new(failure.code, format!("{}: {}", from.display(), failure.message)))
}

/// Writes to standard output. Half a file is none: a reader that went away is a failure here.
pub fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output
        .write_all(bytes)
        .and_then(|()| output.flush())
        .map_err(|error| Failure::io(Path::new("standard output"), &error))
}
