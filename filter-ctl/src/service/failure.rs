//! How a command fails: one sentence, and an exit code that scripts can rely on.

use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::datapath::DatapathError;
use crate::engine::EngineError;
use crate::store::{Folders, StoreError};
use crate::xml::FileError;

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exit code; see `filter-ctl --help`.
    pub code: u8,
    /// The sentence.
    pub message: String,
    /// For virsh's commands: the line above it, which may be empty.
    #[serde(skip)]
    pub heading: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.heading.as_deref() {
            None => write!(f, "filter-ctl: {}", self.message),
            Some("") => write!(f, "error: {}", self.message),
            Some(heading) => write!(f, "error: {heading}\nerror: {}", self.message),
        }
    }
}

/// A command line that makes no sense.
pub const USAGE: u8 = 2;
/// Named things that are not there.
pub const NOT_FOUND: u8 = 3;
/// Conflicts.
pub const CONFLICT: u8 = 4;
/// Bad input.
pub const INVALID: u8 = 5;
/// The kernel or its permissions.
pub const KERNEL: u8 = 6;
/// A check that was asked for failed.
pub const CHECK: u8 = 7;

impl Failure {
    /// A failure with this code.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), heading: None }
    }

    /// The last word of a command that has said on its own what is wrong: in JSON it is all in the result.
    pub fn said(code: u8, message: String, json: bool) -> Self {
        Self::new(code, if json { String::new() } else { message })
    }

    /// A file that could not be read or written.
    pub fn io(path: &Path, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            io::ErrorKind::PermissionDenied => KERNEL,
            _ => 1,
        };
        Self::new(code, format!("{}: {error}", path.display()))
    }

    /// A command's error. `file` is the file that the command read a profile from, with the profile's name:
    /// what is wrong in that profile is shown there, and what is wrong in others in theirs.
    pub fn engine(error: &EngineError, folders: &Folders, file: Option<(&Path, &str)>) -> Self {
        let code = code(error);
        Self::new(code, text(error, folders, file))
    }
}

fn text(error: &EngineError, folders: &Folders, file: Option<(&Path, &str)>) -> String {
    match error {
        EngineError::Resolve(inner) => {
            let name = inner.profile.as_str();
            let own = folders.profiles.join(format!("{name}.xml"));
            let place = match file {
                Some((path, profile)) if profile == name => path.display().to_string(),
                _ if own.exists() => own.display().to_string(),
                _ => format!("shipped profile {name}"),
            };
            format!("{place}:{}: {}", inner.location, inner.message)
        }
        EngineError::Port { port, error } => {
            format!("port {port}: {}; no port was changed", text(error, folders, file))
        }
        EngineError::Store(StoreError::Io { error: denied, .. })
            if denied.kind() == io::ErrorKind::PermissionDenied =>
        {
            format!("{error}; filter-ctl needs root, or a folder of your own (--root)")
        }
        other => other.to_string(),
    }
}

fn code(error: &EngineError) -> u8 {
    match error {
        EngineError::NotFound(_) | EngineError::Datapath(DatapathError::Gone(_)) => NOT_FOUND,
        EngineError::Conflict(_) | EngineError::Datapath(DatapathError::OtherLayout { .. }) => CONFLICT,
        EngineError::Invalid(_)
        | EngineError::Resolve(_)
        | EngineError::Compile { .. }
        | EngineError::Datapath(DatapathError::Foreign(_)) => INVALID,
        EngineError::Port { error, .. } => code(error),
        EngineError::Datapath(DatapathError::Io { .. }) => 1,
        EngineError::Datapath(_) | EngineError::Netlink(_) => KERNEL,
        EngineError::Store(StoreError::Io { error, .. })
            if error.kind() == io::ErrorKind::PermissionDenied =>
        {
            KERNEL
        }
        EngineError::Store(_) | EngineError::Unknown { .. } => 1,
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::Io { path, source } => Self::io(path, source),
            _ => Self::new(INVALID, error.to_string()),
        }
    }
}
