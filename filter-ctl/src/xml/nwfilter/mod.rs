//! libvirt's network filters (`<filter>`): reading them, and printing libvirt's normal form.
//!
//! libvirt reads much that it does not act on: unknown names are ignored, values replaced, conditions dropped,
//! and a rule comes out wider than it was written. The closed list of these is [`Defect`]; how they are taken
//! is [`Reading`]. What libvirt refuses is refused in both readings.
//!
//! Read strictly, all that is written is meant: two things that libvirt itself gets wrong are then read as they
//! are written, `match='no'` on destination ports, and an IPv6 address as the last of a destination range.

pub(super) mod attributes;
mod combination;
mod filter;
mod fixup;
pub(super) mod parameters;
mod print;
mod rule;
#[cfg(test)]
mod tests;

use super::document::{self, Element};
use super::reading::Notes;
use super::{Parsed, Reading, XmlError};
#[cfg(doc)]
use crate::model::nwfilter::Defect;

pub(super) use filter::value;
pub use print::print;
pub(super) use print::{escape, print_exact};

/// The name of the root element.
pub(super) const ROOT: &str = "filter";

/// Reads a filter.
pub fn parse(text: &str, reading: Reading) -> Result<Parsed, XmlError> {
    read(&document::read(text)?, reading)
}

/// Reads a filter from the root element of its document.
pub(super) fn read(root: &Element, reading: Reading) -> Result<Parsed, XmlError> {
    let mut notes = Notes::new(reading);
    let profile = filter::read(&mut notes, root)?;
    Ok(Parsed { profile, warnings: notes.into_warnings() })
}
