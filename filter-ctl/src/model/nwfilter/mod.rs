//! What a libvirt network filter says: chain, priorities, rules and references, typed.
//!
//! This is the second dialect of [`Profile`](crate::model::Profile)s. It keeps what was written (a number
//! written in hexadecimal stays so, a mask without its address stays there), because libvirt's normal form
//! prints it; what it means is worked out by `resolve`.
//!
//! Invariants: attributes of a rule are those of its protocol, each at most once, in the order of
//! [`Protocol::attributes`], which is the order libvirt parses, iterates and prints them in; literals have the
//! type that the table names. One exception: read as libvirt reads it, the last address of a destination range
//! (`dstipto`) over IPv6 is an IPv4 address.

mod address;
mod attribute;
mod binding;
mod chain;
mod defect;
mod identity;
mod kind;
mod number;
mod protocol;
mod reference;
mod rule;
#[cfg(test)]
pub(crate) mod strategies;
mod value;
mod variable;

pub use attribute::{Attribute, AttributeName, Specification, Term};
pub use binding::FilterBinding;
pub use chain::{Chain, ChainKind};
pub use defect::Defect;
pub use identity::parse_uuid;
pub use kind::Kind;
pub use protocol::{Family, Protocol};
pub use reference::{FilterReference, GivenParameter};
pub use rule::{AskedStates, FilterRule, RuleAction, RuleDirection};
pub use value::{IpsetSide, Literal, States};
pub use variable::{Access, VariableAccess};

use uuid::Uuid;

use crate::model::ValueError;

/// The priority of chains and rules: least first.
pub const PRIORITIES: std::ops::RangeInclusive<i16> = -1000..=1000;

/// Reads a priority: a decimal number, with a sign or without.
pub fn parse_priority(text: &str) -> Result<i16, ValueError> {
    number::read_signed(text)
        .and_then(|priority| i16::try_from(priority).ok())
        .filter(|priority| PRIORITIES.contains(priority))
        .ok_or_else(|| ValueError::new(text, "a priority: a decimal number from -1000 to 1000"))
}

/// The priority of a rule that names none.
pub const DEFAULT_RULE_PRIORITY: i16 = 500;

/// A network filter, less its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Its identity, if one was written or given.
    pub uuid: Option<Uuid>,
    /// The chain that its link-level rules stand in.
    pub chain: Chain,
    /// Where the chain stands among others: what was written, or the chain's default.
    pub priority: i16,
    /// Rules and references, in order.
    pub items: Vec<FilterItem>,
}

/// What a filter consists of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FilterItem {
    /// A rule.
    Rule(FilterRule),
    /// Another filter, whose rules belong to this one's tree.
    Reference(FilterReference),
}

impl Filter {
    /// Its rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = &FilterRule> {
        self.items.iter().filter_map(|item| match item {
            FilterItem::Rule(rule) => Some(rule),
            FilterItem::Reference(_) => None,
        })
    }

    /// Its references, in order.
    pub fn references(&self) -> impl Iterator<Item = &FilterReference> {
        self.items.iter().filter_map(|item| match item {
            FilterItem::Rule(_) => None,
            FilterItem::Reference(reference) => Some(reference),
        })
    }
}
