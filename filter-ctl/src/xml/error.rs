//! The error of everything that reads XML.

use std::fmt;
use std::path::Path;

use crate::model::Location;
use crate::model::nwfilter::Defect;

/// What is wrong with a document, and where. Displayed as `line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {message}")]
pub struct XmlError {
    /// Where.
    pub location: Location,
    /// What was found, what was expected, and what to do.
    pub message: String,
    /// What libvirt does with it instead of refusing it, where it does.
    pub defect: Option<Defect>,
}

impl XmlError {
    /// An error at a place.
    pub fn new(location: Location, message: impl Into<String>) -> Self {
        Self { location, message: message.into(), defect: None }
    }

    /// The error as an operator reads it: `file:line:column: message`.
    pub fn in_file<'a>(&'a self, file: &'a Path) -> InFile<'a> {
        InFile { file, error: self }
    }
}

/// An error with the name of its file, for display.
#[derive(Clone, Copy, Debug)]
pub struct InFile<'a> {
    file: &'a Path,
    error: &'a XmlError,
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.error)
    }
}
