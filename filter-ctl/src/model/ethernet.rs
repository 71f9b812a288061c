//! The EtherType, and the fields of a VLAN tag (IEEE 802.3, 802.1Q).

use std::fmt;
use std::str::FromStr;

use super::number::{named_number, parse_number};
use super::{Value, ValueError};

named_number! {
    /// An EtherType: what an Ethernet frame carries.
    EtherType(u16), 0x0600..=0xffff, "0x{:04x}",
    "an EtherType: a name such as `ipv4`, `ipv6` or `arp`, or a number from 0x0600 to 0xffff",
    [
        ("ipv4", 0x0800),
        ("arp", 0x0806),
        ("wake-on-lan", 0x0842),
        ("rarp", 0x8035),
        ("vlan", 0x8100),
        ("ipv6", 0x86dd),
        ("flow-control", 0x8808),
        ("slow-protocols", 0x8809),
        ("mpls", 0x8847),
        ("mpls-multicast", 0x8848),
        ("pppoe-discovery", 0x8863),
        ("pppoe-session", 0x8864),
        ("eapol", 0x888e),
        ("ata-over-ethernet", 0x88a2),
        ("service-vlan", 0x88a8),
        ("lldp", 0x88cc),
        ("macsec", 0x88e5),
        ("ptp", 0x88f7),
        ("fcoe", 0x8906),
    ]
}

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// RARP.
    pub const RARP: Self = Self(0x8035);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
}

named_number! {
    /// The priority in a VLAN tag (802.1p).
    Priority(u8), 0..=7, "{}", "a priority from 0 to 7", []
}

/// The identifier of a VLAN, 1 to 4095. A tag with identifier 0 only carries a priority and names no VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VlanId(u16);

impl VlanId {
    /// The VLAN of this number, if it is one.
    pub const fn new(number: u16) -> Option<Self> {
        if 1 <= number && number <= 4095 { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VlanId {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match parse_number(text) {
            Some(0) => Err(ValueError::new(
                text,
                "a VLAN identifier from 1 to 4095; a tag with identifier 0 names no VLAN, it only carries a \
                 priority: filter that by `HdrPriorityValue8021`",
            )),
            number => number
                .and_then(|number| Self::new(u16::try_from(number).ok()?))
                .ok_or_else(|| ValueError::new(text, Self::EXPECTED)),
        }
    }
}

impl Value for VlanId {
    const EXPECTED: &'static str = "a VLAN identifier from 1 to 4095";

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::{EtherType, Priority, VlanId};

    #[test]
    fn lengths_are_no_ether_types() {
        assert_eq!("arp".parse(), Ok(EtherType::ARP));
        assert_eq!("0x806".parse(), Ok(EtherType::ARP));
        assert_eq!("2054".parse(), Ok(EtherType::ARP));
        assert_eq!(EtherType::new(0x9100).map(|kind| kind.to_string()), Some("0x9100".to_owned()));
        for wrong in ["0x5ff", "1535", "65536", "ARP", "ip"] {
            assert!(wrong.parse::<EtherType>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags() {
        assert_eq!("0x7".parse(), Ok(Priority(7)));
        assert!("8".parse::<Priority>().is_err());
        assert_eq!("4095".parse(), Ok(VlanId(4095)));
        assert!("4096".parse::<VlanId>().is_err());
        let error = "0".parse::<VlanId>().unwrap_err().to_string();
        assert!(error.contains("names no VLAN"), "{error}");
    }
}
