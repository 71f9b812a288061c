//! What was accepted and should be known.

use serde::{Deserialize, Serialize};

use crate::model::Location;
use crate::xml;

/// Something in a document that was accepted, and may not be what its author believes. Displayed as
/// `line:column: warning: message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What it is.
    pub message: String,
    /// Its kind, if libvirt reads something else than is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defect: Option<String>,
}

impl Warning {
    pub(super) fn new(location: Location, message: String) -> Self {
        Self { line: location.line, column: location.column, message, defect: None }
    }
}

impl From<xml::Warning> for Warning {
    fn from(warning: xml::Warning) -> Self {
        Self {
            defect: Some(warning.defect.as_str().to_owned()),
            ..Self::new(warning.location, warning.message)
        }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: warning: {}", self.line, self.column, self.message)
    }
}
