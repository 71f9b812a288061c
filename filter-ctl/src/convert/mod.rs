//! From one dialect of profiles to the other, where what one says can be said in the other.
//!
//! What comes out means the same in strict mode to a port that refers to nothing else: every frame gets the verdict
//! it got before, both ways. One kind is left out: later fragments of packets whose first fragment did not pass are
//! dropped where some rule asks for more than addresses, and rules that do nothing are lost. What cannot be said is refused with the entry or rule, its place, and the reason;
//! nothing is converted by half. Descriptions are lost.
//!
//! The one thing that is neither obvious nor to be avoided: a filter's link layer looks at a frame with tags or SNAP
//! twice, first at the frame as it is and then at the packet inside, and both times it must accept (see
//! `resolve/filter/steps.rs`). An entry sees through tags and SNAP. The first look finds the rules that are about
//! frames of any type, and no others. If one of them drops what one before it, about a type, accepts, the filter drops
//! the frame where the pool lets it pass. `looked_at_twice` finds that.

mod to_filter;
mod to_pool;

use std::fmt;

use filter_common::Direction;

pub use to_filter::to_filter;
pub use to_pool::to_pool;

use crate::model::{
    Action, Condition, Entry, Filter, HeaderField, Location, MacMatch, Pool, ProfileName, Term,
};

/// How many rules or entries a profile may be converted to.
const MAX_RULES: usize = 1_000;

/// Why a profile cannot be said in the other dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile {profile}, {location}: {part}: {reason}")]
pub struct CannotSay {
    /// The profile.
    pub profile: ProfileName,
    /// Where in its file.
    pub location: Location,
    /// Which of its entries, rules or references.
    pub part: Part,
    /// What cannot be said, and why.
    pub reason: String,
}

/// A part of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole.
    Profile,
    /// An entry, by its name or `#` and its position.
    Entry(String),
    /// The default of a pool.
    Default(Action),
    /// A rule, by its position.
    Rule(usize),
    /// A reference, by the name of the profile it leads to.
    Reference(ProfileName),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile => f.write_str("the profile"),
            Self::Entry(name) => write!(f, "entry {name}"),
            Self::Default(action) => write!(f, "default {action}"),
            Self::Rule(number) => write!(f, "rule #{number}"),
            Self::Reference(profile) => write!(f, "reference to {profile}"),
        }
    }
}

/// What becomes of frames with SNAP that a filter cannot let pass as the pool does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Snap {
    /// The pool is refused.
    #[default]
    Same,
    /// The filter drops them. All other frames get the pool's verdict.
    Dropped,
}

/// Whether an entry is about frames of any type: what a filter's link layer asks of a tag or SNAP, too.
fn is_of_any_type(entry: &Entry) -> bool {
    entry.conditions.get(HeaderField::EtherType).is_none()
        && !entry.conditions.ask_for(Filter::Arp)
        && !entry.conditions.ask_for(Filter::Ip)
}

/// The first entry about frames of a type that accepts some (or answers them) that a later entry about those of any
/// type drops, and which that is: both by their position, the default drop being behind the last.
fn looked_at_twice(pool: &Pool) -> Option<(usize, usize)> {
    let entries: Vec<&Entry> = pool.entries().collect();
    Direction::ALL.into_iter().find_map(|direction| {
        let goes = |entry: &Entry| entry.traffic.is_none_or(|traffic| traffic == direction);
        let mut accepts: Vec<usize> = Vec::new();
        for (position, entry) in entries.iter().enumerate().filter(|(_, entry)| goes(entry)) {
            if !is_of_any_type(entry) {
                accepts.extend((entry.action != Action::Drop).then_some(position));
                continue;
            }
            if entry.action != Action::Accept
                && let Some(&accept) = accepts.iter().find(|&&accept| may_meet(entries[accept], entry))
            {
                return Some((accept, position));
            }
            if entry.conditions.is_empty() {
                return None;
            }
        }
        let accept = accepts.first().filter(|_| pool.default != Action::Accept)?;
        Some((*accept, entries.len()))
    })
}

/// Whether one frame may have the MAC addresses that both ask for.
fn may_meet(one: &Entry, other: &Entry) -> bool {
    [HeaderField::SrcMac, HeaderField::DstMac].into_iter().all(|field| {
        match (one.conditions.get(field), other.conditions.get(field)) {
            (
                Some(Condition::SrcMac(one) | Condition::DstMac(one)),
                Some(Condition::SrcMac(other) | Condition::DstMac(other)),
            ) => one.any_of.iter().any(|mine| {
                other.any_of.iter().any(|theirs| match (mine, mask(one), theirs, mask(other)) {
                    (Term::Literal(mine), Some(mask), Term::Literal(theirs), Some(other)) => {
                        (mine.bits() ^ theirs.bits()) & mask & other == 0
                    }
                    _ => true,
                })
            }),
            _ => true,
        }
    })
}

/// The bits that are compared, if that is known.
fn mask(mac: &MacMatch) -> Option<u64> {
    match &mac.mask {
        None => Some(u64::MAX),
        Some(Term::Literal(mask)) => Some(mask.bits()),
        Some(Term::Variable(_)) => None,
    }
}

#[cfg(test)]
mod tests;
