//! XML: reading it with limits and positions, and the dialects of profiles written in it, bindings, and what
//! domains of libvirt say of their ports.
//!
//! A profile may come from anybody who can hand in a file, so reading is bounded before it begins: no
//! document type, no entities, and limits ([`limits`]) on size, depth, number of elements and length of texts.
//! Every error says where it is ([`XmlError::location`]), what stood there and what was expected.

mod document;
pub mod domain;
mod error;
mod file;
pub mod filter_binding;
pub mod filter_entry;
pub mod firewall;
pub mod nwfilter;
mod profile;
mod reading;
mod tag;

pub use error::{InFile, XmlError};
pub use file::{FileError, parse_profile_file, read_profile, read_profile_file, read_profile_with};
pub use profile::{parse, print, print_stored, stored_reading};
pub use reading::{Parsed, Reading, Warning};

/// Limits on documents.
pub mod limits {
    /// Bytes of a document.
    pub const DOCUMENT: u64 = 8 * 1024 * 1024;
    /// Elements within each other.
    pub const DEPTH: usize = 32;
    /// Elements of a document.
    pub const ELEMENTS: usize = 400_000;
    /// Attributes of an element, declarations of namespaces among them.
    pub const ATTRIBUTES: usize = 256;
    /// Bytes of one text or attribute.
    pub const TEXT: usize = 64 * 1024;
}
