//! One entry of a profile.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use filter_common::Direction;

use super::{Conditions, Description, EntryName, ValueError};

/// What an entry, or a profile by default, decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// The packet may pass.
    Accept,
    /// The packet is lost.
    Drop,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
        })
    }
}

impl FromStr for Action {
    type Err = ValueError;

    /// In capitals, as the proposal has it, or in small letters.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "ACCEPT" | "accept" => Ok(Self::Accept),
            "DROP" | "drop" => Ok(Self::Drop),
            _ => Err(ValueError::new(text, "an action: `ACCEPT` or `DROP`")),
        }
    }
}

/// Where something stood in its file, both counted from 1; columns count characters.
///
/// It is no part of what a profile says: any two locations are equal, so that profiles compare by meaning,
/// as syntax trees of compilers do with their spans.
#[derive(Clone, Copy, Debug)]
pub struct Location {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl Default for Location {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

impl PartialEq for Location {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Location {}

impl Hash for Location {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// An entry: what is done with packets that meet all its conditions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its name, under which it is counted; without one it is counted by its position.
    pub name: Option<EntryName>,
    /// What it is for.
    pub description: Option<Description>,
    /// What is done.
    pub action: Action,
    /// The way packets go; `None` for both.
    pub traffic: Option<Direction>,
    /// What must hold; without any, every packet matches.
    pub conditions: Conditions,
    /// Where it stood.
    pub location: Location,
}
