//! A document, as it travels: its text, and the name of the file that messages about it give.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Service;
use super::failure::Failure;
use crate::engine::EngineError;
use crate::model::ProfileName;
use crate::xml::{self, Parsed, Reading};

/// A document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What messages call it; it is never opened. A profile without a name is named like it.
    pub file: String,
    /// Its text.
    pub xml: String,
}

impl Document {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Ok(Self { file: path.display().to_string(), xml: xml::read_profile_file(path)? })
    }

    /// The profile in it.
    pub fn parse(&self, reading: Reading) -> Result<Parsed, Failure> {
        Ok(xml::parse_profile_file(Path::new(&self.file), &self.xml, reading)?)
    }

    /// What went wrong with the profile in it, of this name.
    pub(super) fn failure(&self, service: &Service, error: &EngineError, profile: &ProfileName) -> Failure {
        Failure::engine(error, service.folders(), Some((Path::new(&self.file), profile.as_str())))
    }
}
