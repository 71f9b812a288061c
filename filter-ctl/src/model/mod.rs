//! What a profile says: typed values, entries and references, whatever text they were read from.
//!
//! Nothing here knows of XML or BPF. The parser makes a [`Profile`], the printer writes one, `resolve` makes
//! a policy of one with a port's parameters. Every value has one type with `FromStr` and `Display` that
//! round-trip, so that a value that was read is a value that can be written, and a wrong one is refused where
//! it stands.
//!
//! A profile is written in one of two dialects: a [`Pool`] of entries, or libvirt's [`Filter`](nwfilter::Filter).
//!
//! Semantics of a pool:
//! - Items are tried in order, and the first entry that matches decides. An entry matches if all its
//!   [`Conditions`] hold and the packet goes its way ([`Entry::traffic`]). If none matches, the profile's
//!   default decides.
//! - A [`Reference`] is a *check at its place*: DROP in the profile it names is final; ACCEPT, by an entry or
//!   by that profile's default, means "no objection", and the item after the reference is next. So adding a
//!   reference never weakens what stands around it. With [`OnAccept::Final`] the entries of the profile count
//!   as if they stood there: their ACCEPT is final too, and its default is not used.
//! - Parameters of a reference hold in the profile it names and in what that refers to, unless given again
//!   there; what is not given is inherited.

mod arp;
mod check;
mod condition;
mod connection;
pub mod domain;
mod entry;
mod error;
mod ethernet;
mod field;
mod icmp;
mod ip;
mod learn;
mod limit;
mod mac;
mod mode;
mod name;
mod named;
mod number;
pub mod nwfilter;
mod port;
mod profile;
mod reference;
mod set;
#[cfg(test)]
pub(crate) mod strategies;
mod term;
mod text;
mod timeouts;
mod transport;

pub use arp::{ArpOpcode, HardwareType};
pub use check::{Conflict, Problem};
pub use condition::{Condition, Conditions, IpMatch, MacMatch, PortMatch};
pub(crate) use condition::{read_list, write_list};
pub use connection::{ConnectionDirection, ConnectionState};
pub use entry::{Action, Entry, Location, RejectWith};
pub use error::ValueError;
pub(crate) use error::shorten;
pub use ethernet::{EtherType, Priority, VlanId};
pub use field::{Element, Filter, HeaderField, Role};
pub use icmp::{IcmpCode, IcmpType};
pub use ip::{IpNetwork, IpVersion};
pub use learn::Learn;
pub use limit::{Amount, Rate, RateMatch, TimeUnit};
pub use mac::MacAddr;
pub use mode::Mode;
pub use name::{EntryName, ProfileName, VariableName};
pub use port::{Fail, Pickup};
pub use profile::{Body, Item, Pool, Profile};
pub use reference::{OnAccept, Parameter, ParameterName, ParameterText, Reference};
pub use set::{SetKind, SetMember, SetName};
pub use term::{Term, Value, Variable};
pub use text::Description;
pub use timeouts::{Timeout, Timeouts};
pub use transport::{Dscp, IpProtocol, Port};
