//! References from a filter to another profile.

use super::variable;
use crate::model::{Location, ProfileName};

/// A reference: the rules of another filter belong to this one's tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterReference {
    /// The filter.
    pub filter: ProfileName,
    /// Its variables, each name once, in the byte order of the names.
    pub parameters: Vec<GivenParameter>,
    /// Where it stood.
    pub location: Location,
}

/// A variable and its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GivenParameter {
    /// `[a-zA-Z0-9_]*`
    pub name: String,
    /// At least one, each of `[a-zA-Z0-9_.:]+`, in the order they were given. Several are a list.
    pub values: Vec<String>,
}

impl GivenParameter {
    /// Whether a parameter can have this name.
    pub fn is_name(text: &str) -> bool {
        text.bytes().all(variable::is_name)
    }

    /// Whether a parameter can have this value.
    pub fn is_value(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|byte| variable::is_name(byte) || matches!(byte, b'.' | b':'))
    }
}
