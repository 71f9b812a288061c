//! Bindings: which filter is at which port.

use uuid::Uuid;

use super::{GivenParameter, Kind, address};
use crate::model::{MacAddr, ProfileName, ValueError};

/// A filter at the port of a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterBinding {
    /// The virtual machine's name.
    pub owner_name: String,
    /// Its identity.
    pub owner_uuid: Uuid,
    /// The network device of the port.
    pub port: String,
    /// The network device behind it, if it is another one.
    pub link_device: Option<String>,
    /// The virtual machine's address there.
    pub mac: MacAddr,
    /// The filter.
    pub filter: ProfileName,
    /// Its variables, each name once, in the byte order of the names.
    pub parameters: Vec<GivenParameter>,
}

/// Longest name of a network device.
const MAX_DEVICE: usize = 15;

impl FilterBinding {
    /// Whether a network device can have this name. Such a name is no path either.
    pub fn is_device(text: &str) -> bool {
        let plain =
            |byte: u8| !byte.is_ascii_whitespace() && !byte.is_ascii_control() && !b"/:".contains(&byte);
        (1..=MAX_DEVICE).contains(&text.len()) && text.bytes().all(plain) && !matches!(text, "." | "..")
    }

    /// Reads a MAC address: six groups of one or two hexadecimal digits with `:` between them.
    pub fn parse_mac(text: &str) -> Result<MacAddr, ValueError> {
        address::read_mac(text).ok_or_else(|| ValueError::new(text, Kind::Mac.expected()))
    }
}
