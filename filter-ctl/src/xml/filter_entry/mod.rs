//! The dialect of the original proposal: a profile is a pool of `FilterEntry`.
//!
//! Two forms are read. The *canonical* form, which is what is printed, keeps what the DMTF's classes
//! `FilterEntry`, `Hdr8021Filter` and `IPHeadersFilter` define in one namespace ([`STANDARD`]) and what they do
//! not, in ours ([`OURS`]). The *plain* form is the proposal's own skeleton, without any namespace. A document
//! is in one of the two throughout; its root element says which.
//!
//! The names of the DMTF's elements are the DMTF's; the namespace is not. WS-CIM has one for each class, with
//! numbers for values and no nesting of one class in another: a document of ours would be invalid there.
//!
//! Reading what was printed gives an equal profile, and printing that gives the same text.

mod conditions;
mod parse;
mod print;
#[cfg(test)]
mod tests;
mod vocabulary;

pub use parse::parse;
pub(super) use parse::read;
pub use print::print;
pub(super) use vocabulary::is_root;
pub use vocabulary::{OURS, STANDARD};
