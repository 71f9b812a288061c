//! A profile: a name, and what is said under it in one of two dialects.

use uuid::Uuid;

use super::nwfilter::{AttributeName, Filter, FilterItem, Protocol};
use super::{Action, Description, Entry, Location, ProfileName, Reference};

/// In this namespace names of profiles make UUIDs.
const NAMES: Uuid = Uuid::from_u128(0xa42f_941b_f376_4b0c_b471_e944_6d3d_9f85);

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// Its name.
    pub name: ProfileName,
    /// What it says.
    pub body: Body,
}

/// What a profile says, in the terms of the dialect it was written in.
///
/// The dialects do not mean the same things: entries are asked in order and the first decides, a filter's rules
/// are sorted into chains and layers of which each must let a frame pass. Neither can be written in terms of
/// the other without losing what its author sees again when it is printed, so both are kept as they are, and
/// meet in the [`Policy`](crate::policy::Policy).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Entries of the proposal (`FilterEntry`).
    Pool(Pool),
    /// A network filter of libvirt (`filter`).
    Filter(Filter),
}

/// Entries that are asked in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// What it is for.
    pub description: Option<Description>,
    /// The verdict where no entry matches. If it rejects, it is with what is usual.
    pub default: Action,
    /// Entries and references, in order.
    pub items: Vec<Item>,
}

/// What a pool consists of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// An entry.
    Entry(Entry),
    /// The name of another profile that is checked here.
    Reference(Reference),
}

impl Profile {
    /// The pool, if it is one.
    pub const fn pool(&self) -> Option<&Pool> {
        match &self.body {
            Body::Pool(pool) => Some(pool),
            Body::Filter(_) => None,
        }
    }

    /// The filter, if it is one.
    pub const fn filter(&self) -> Option<&Filter> {
        match &self.body {
            Body::Pool(_) => None,
            Body::Filter(filter) => Some(filter),
        }
    }

    /// What it is for, if that was said.
    pub fn description(&self) -> Option<&Description> {
        self.pool()?.description.as_ref()
    }

    /// What tells it from all others: what its filter says, or else what its name makes.
    pub fn uuid(&self) -> Uuid {
        self.filter().and_then(|filter| filter.uuid).unwrap_or_else(|| Self::uuid_of(&self.name))
    }

    /// The UUID that a name makes; the same each time.
    pub fn uuid_of(name: &ProfileName) -> Uuid {
        Uuid::new_v5(&NAMES, name.as_str().as_bytes())
    }

    /// The same with a UUID in it. There is no room for one in a pool.
    #[must_use]
    pub fn with_uuid(mut self, uuid: Option<Uuid>) -> Self {
        if let Body::Filter(filter) = &mut self.body {
            filter.uuid = uuid;
        }
        self
    }

    /// What it says, less the UUID and the comments in its rules: what is equal in this means the same.
    #[must_use]
    pub fn meaning(&self) -> Self {
        let mut profile = self.clone().with_uuid(None);
        if let Body::Filter(filter) = &mut profile.body {
            for item in &mut filter.items {
                if let FilterItem::Rule(rule) = item {
                    rule.attributes.retain(|attribute| attribute.name != AttributeName::Comment);
                    // Every frame, both ways of writing it.
                    rule.protocol
                        .take_if(|protocol| *protocol == Protocol::Mac && rule.attributes.is_empty());
                }
            }
        }
        profile
    }

    /// The dialect it is written in, by the name of its root element's family.
    pub const fn dialect(&self) -> &'static str {
        match self.body {
            Body::Pool(_) => "filter-entry",
            Body::Filter(_) => "nwfilter",
        }
    }

    /// The profiles it refers to, in order, and where.
    pub fn references(&self) -> Vec<(&ProfileName, Location)> {
        match &self.body {
            Body::Pool(pool) => {
                pool.references().map(|reference| (&reference.profile, reference.location)).collect()
            }
            Body::Filter(filter) => {
                filter.references().map(|reference| (&reference.filter, reference.location)).collect()
            }
        }
    }

    /// How many rules or entries, and references, it has.
    pub fn len(&self) -> usize {
        match &self.body {
            Body::Pool(pool) => pool.items.len(),
            Body::Filter(filter) => filter.items.len(),
        }
    }

    /// Whether it has neither rules nor entries nor references.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Pool {
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
