//! What the language of another filter has no words for.

use std::fmt;

/// A rule that cannot be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsayable {
    /// Its position in the set.
    pub rule: usize,
    /// What it asks for.
    pub what: &'static str,
}

impl fmt::Display for Unsayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} asks for {}, which cannot be said there", self.rule, self.what)
    }
}

impl std::error::Error for Unsayable {}

/// A VLAN, where rules on IP are about frames without tags.
pub(super) const VLAN: &str = "a VLAN and IP in it";
/// Bits of an IP address that are no prefix.
pub(super) const HOLES: &str = "an address mask with holes";
/// Anything but addresses, protocol and ports.
pub(super) const OTHER_FIELDS: &str = "more than addresses, protocol and ports";
/// A code point.
pub(super) const CODE_POINT: &str = "a code point, not the whole byte around it";
