//! A profile: a named pool of entries.

use super::{Action, Description, Entry, ProfileName, Reference};

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// What it is for.
    pub description: Option<Description>,
    /// The verdict where no entry matches.
    pub default: Action,
    /// Entries and references, in order.
    pub items: Vec<Item>,
}

impl Profile {
    /// Its entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.items.iter().filter_map(|item| match item {
            Item::Entry(entry) => Some(entry),
            Item::Reference(_) => None,
        })
    }

    /// Its references, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.items.iter().filter_map(|item| match item {
            Item::Entry(_) => None,
            Item::Reference(reference) => Some(reference),
        })
    }
}

/// What a profile consists of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// An entry.
    Entry(Entry),
    /// The name of another profile that is checked here.
    Reference(Reference),
}
