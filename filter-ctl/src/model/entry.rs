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
    /// The packet is lost, and its sender is told.
    Reject(RejectWith),
}

/// What the sender of a rejected packet is told, unless that is TCP, which is reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectWith {
    /// Nobody listens there.
    #[default]
    PortUnreachable,
    /// It is forbidden.
    AdminProhibited,
}

impl RejectWith {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PortUnreachable, Self::AdminProhibited];
}

impl fmt::Display for RejectWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PortUnreachable => "port-unreachable",
            Self::AdminProhibited => "admin-prohibited",
        })
    }
}

impl FromStr for RejectWith {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "port-unreachable" => Ok(Self::PortUnreachable),
            "admin-prohibited" => Ok(Self::AdminProhibited),
            _ => Err(ValueError::new(text, "an answer: `port-unreachable` or `admin-prohibited`")),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
            Self::Reject(_) => "REJECT",
        })
    }
}

impl FromStr for Action {
    type Err = ValueError;

    /// In capitals, as the proposal has it, or in small letters. What a rejected packet is answered is said elsewhere.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "ACCEPT" | "accept" => Ok(Self::Accept),
            "DROP" | "drop" => Ok(Self::Drop),
            "REJECT" | "reject" => Ok(Self::Reject(RejectWith::default())),
            _ => Err(ValueError::new(text, "an action: `ACCEPT`, `DROP` or `REJECT`")),
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
