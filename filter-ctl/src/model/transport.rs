//! The protocol above IP, its ports, and the class of service.

use std::fmt;
use std::str::FromStr;

use super::number::{named_number, parse_number};
use super::{Value, ValueError};

named_number! {
    /// The protocol that an IP packet carries, behind IPv6 extension headers.
    IpProtocol(u8), 0..=255, "{}",
    "an IP protocol: a name such as `tcp`, `udp`, `icmp` or `icmpv6`, or a number from 0 to 255",
    [
        ("icmp", 1),
        ("igmp", 2),
        ("ipip", 4),
        ("tcp", 6),
        ("udp", 17),
        ("dccp", 33),
        ("ipv6", 41),
        ("rsvp", 46),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("icmpv6", 58),
        ("ipv6-icmp", 58),
        ("eigrp", 88),
        ("ospf", 89),
        ("pim", 103),
        ("vrrp", 112),
        ("l2tp", 115),
        ("sctp", 132),
        ("udplite", 136),
    ]
}

impl IpProtocol {
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDP_LITE: Self = Self(136);
    /// The protocols whose ports are parsed.
    pub const WITH_PORTS: [Self; 4] = [Self::TCP, Self::UDP, Self::SCTP, Self::UDP_LITE];
}

named_number! {
    /// A differentiated services code point (RFC 2474; names of RFC 2474, 2597, 3246, 5865, 8622).
    Dscp(u8), 0..=63, "{}",
    "a DSCP: a name such as `ef`, `cs1` or `af41`, or a number from 0 to 63",
    [
        ("cs0", 0), ("be", 0), ("le", 1),
        ("cs1", 8), ("af11", 10), ("af12", 12), ("af13", 14),
        ("cs2", 16), ("af21", 18), ("af22", 20), ("af23", 22),
        ("cs3", 24), ("af31", 26), ("af32", 28), ("af33", 30),
        ("cs4", 32), ("af41", 34), ("af42", 36), ("af43", 38),
        ("cs5", 40), ("voice-admit", 44), ("ef", 46),
        ("cs6", 48), ("cs7", 56),
    ]
}

/// A port of TCP, UDP, UDP-Lite or SCTP, 1 to 65535: nothing listens on port 0, and the guard drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(u16);

impl Port {
    /// The port of this number, if it is one.
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Port {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match parse_number(text) {
            Some(0) => Err(ValueError::new(
                text,
                "a port from 1 to 65535; packets with port 0 are dropped before any profile is asked",
            )),
            number => number
                .and_then(|number| Self::new(u16::try_from(number).ok()?))
                .ok_or_else(|| ValueError::new(text, Self::EXPECTED)),
        }
    }
}

impl Value for Port {
    const EXPECTED: &'static str = "a port from 1 to 65535";

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::{Dscp, IpProtocol, Port};

    #[test]
    fn names_and_aliases() {
        assert_eq!("ipv6-icmp".parse(), Ok(IpProtocol::ICMPV6));
        assert_eq!(IpProtocol::ICMPV6.to_string(), "icmpv6");
        assert_eq!("be".parse::<Dscp>().map(|dscp| dscp.to_string()), Ok("cs0".to_owned()));
        assert!("64".parse::<Dscp>().is_err());
        assert!("256".parse::<IpProtocol>().is_err());
    }

    #[test]
    fn port_zero_is_none() {
        assert_eq!("0x16".parse(), Ok(Port(22)));
        let error = "0".parse::<Port>().unwrap_err().to_string();
        assert!(error.contains("before any profile"), "{error}");
        assert!("65536".parse::<Port>().is_err());
    }
}
