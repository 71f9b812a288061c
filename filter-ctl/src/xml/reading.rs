//! How strictly a document is read, and what reading it gives.

use serde::{Deserialize, Serialize};

use crate::model::nwfilter::Defect;
use crate::model::{Location, Profile};

use super::XmlError;

/// How a document of libvirt's dialect is read. The other dialect is always read strictly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// What libvirt refuses is refused, and so is what it reads as something else than is written
    /// ([`Defect`]): a document that is accepted means what it says.
    #[default]
    Strict,
    /// As libvirt reads it, with a warning for each [`Defect`].
    Lenient,
}

/// A [`Defect`] that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub location: Location,
    /// Its kind.
    pub defect: Defect,
    /// What was found, and how it was read.
    pub message: String,
}

/// A profile, and what has to be said about it. Displayed as `line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The profile.
    pub profile: Profile,
    /// What was read otherwise than it is written, in the order of the document.
    pub warnings: Vec<Warning>,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.location, self.message)
    }
}

/// Takes note of defects: the first is an error, or all are warnings.
#[derive(Debug)]
pub(super) struct Notes {
    reading: Reading,
    warnings: Vec<Warning>,
}

impl Notes {
    pub(super) const fn new(reading: Reading) -> Self {
        Self { reading, warnings: Vec::new() }
    }

    /// Whether the document is read as libvirt reads it.
    pub(super) fn is_lenient(&self) -> bool {
        self.reading == Reading::Lenient
    }

    /// The warnings, in the order of the document.
    pub(super) fn into_warnings(mut self) -> Vec<Warning> {
        self.warnings.sort_by_key(|warning| (warning.location.line, warning.location.column));
        self.warnings
    }

    /// A defect was found.
    pub(super) fn defect(
        &mut self,
        location: Location,
        defect: Defect,
        message: impl Into<String>,
    ) -> Result<(), XmlError> {
        let message = message.into();
        match self.reading {
            Reading::Strict => Err(XmlError { location, message, defect: Some(defect) }),
            Reading::Lenient => {
                self.warnings.push(Warning { location, defect, message });
                Ok(())
            }
        }
    }
}
