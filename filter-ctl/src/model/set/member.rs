//! Members of sets, as people write them.

use std::fmt;
use std::net::IpAddr;

use super::SetKind;
use crate::model::{IpNetwork, IpProtocol, IpVersion, MacAddr, Value as _, ValueError};

/// A member of a set. Its text, read as one of its kind, gives it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SetMember {
    /// `192.0.2.1`, `2001:db8::1`.
    Address(IpAddr),
    /// `192.0.2.0/24`; a single address has a prefix as long as it is.
    Network(IpNetwork),
    /// `192.0.2.1,tcp:443`, as ipset writes it; `192.0.2.1,icmp:8/0` for ICMP's type and code, and port 0 for
    /// protocols without ports.
    AddressPort {
        /// The address.
        address: IpAddr,
        /// The protocol.
        protocol: IpProtocol,
        /// Its port, or type and code in the high and the low byte.
        port: u16,
    },
    /// `52:54:00:12:34:56`.
    Mac(MacAddr),
}

/// DCCP: ipset does not know its ports, the data path does.
const DCCP: u8 = 33;

impl SetMember {
    /// Reads a member of a set of this kind.
    pub fn read(kind: SetKind, text: &str) -> Result<Self, ValueError> {
        match kind {
            SetKind::Address => match text.parse() {
                Ok(address) => Ok(Self::Address(address)),
                Err(_) => Err(ValueError::new(text, "an IP address such as `192.0.2.1` or `2001:db8::1`")),
            },
            SetKind::Network => {
                let network: IpNetwork = text.parse()?;
                let address = network.address();
                let prefix = network.prefix().unwrap_or(IpVersion::of(address).bits());
                IpNetwork::of(address, prefix)
                    .map(Self::Network)
                    .ok_or_else(|| ValueError::new(text, IpNetwork::EXPECTED))
            }
            SetKind::AddressPort => address_port(text).ok_or_else(|| {
                ValueError::new(
                    text,
                    "an address, a protocol and its port, such as `192.0.2.1,tcp:443`, \
                     `2001:db8::1,udp:53` or `192.0.2.1,icmp:8/0`; port 0 for a protocol without ports",
                )
            }),
            SetKind::Mac => text.parse().map(Self::Mac),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> SetKind {
        match self {
            Self::Address(_) => SetKind::Address,
            Self::Network(_) => SetKind::Network,
            Self::AddressPort { .. } => SetKind::AddressPort,
            Self::Mac(_) => SetKind::Mac,
        }
    }
}

fn address_port(text: &str) -> Option<SetMember> {
    let (address, rest) = text.split_once(',')?;
    let address: IpAddr = address.parse().ok()?;
    // Without a protocol ipset means TCP.
    let (protocol, port) = rest.split_once(':').unwrap_or(("tcp", rest));
    let protocol: IpProtocol = protocol.parse().ok()?;
    let number = |text: &str| -> Option<u16> {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    let port = match port.split_once('/') {
        Some((kind, code)) if is_icmp(protocol, address) => {
            let byte = |text| number(text).and_then(|number| u8::try_from(number).ok());
            u16::from_be_bytes([byte(kind)?, byte(code)?])
        }
        Some(_) => return None,
        None if is_icmp(protocol, address) => return None,
        None => number(port)?,
    };
    (port == 0 || is_icmp(protocol, address) || has_ports(protocol)).then_some(SetMember::AddressPort {
        address,
        protocol,
        port,
    })
}

fn is_icmp(protocol: IpProtocol, address: IpAddr) -> bool {
    protocol == if address.is_ipv4() { IpProtocol::ICMP } else { IpProtocol::ICMPV6 }
}

fn has_ports(protocol: IpProtocol) -> bool {
    IpProtocol::WITH_PORTS.contains(&protocol) || protocol.number() == DCCP
}

impl fmt::Display for SetMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::AddressPort { address, protocol, port } if is_icmp(*protocol, *address) => {
                let [kind, code] = port.to_be_bytes();
                write!(f, "{address},{protocol}:{kind}/{code}")
            }
            Self::AddressPort { address, protocol, port } => write!(f, "{address},{protocol}:{port}"),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for (kind, text, printed) in [
            (SetKind::Address, "192.0.2.1", "192.0.2.1"),
            (SetKind::Address, "2001:DB8:0::1", "2001:db8::1"),
            (SetKind::Network, "10.0.0.0/8", "10.0.0.0/8"),
            (SetKind::Network, "10.0.0.1", "10.0.0.1/32"),
            (SetKind::Network, "2001:db8::/32", "2001:db8::/32"),
            (SetKind::Network, "::/0", "::/0"),
            (SetKind::AddressPort, "192.0.2.1,tcp:443", "192.0.2.1,tcp:443"),
            (SetKind::AddressPort, "192.0.2.1,443", "192.0.2.1,tcp:443"),
            (SetKind::AddressPort, "192.0.2.1,17:53", "192.0.2.1,udp:53"),
            (SetKind::AddressPort, "2001:db8::1,sctp:9", "2001:db8::1,sctp:9"),
            (SetKind::AddressPort, "192.0.2.1,icmp:8/0", "192.0.2.1,icmp:8/0"),
            (SetKind::AddressPort, "fe80::1,ipv6-icmp:135/0", "fe80::1,icmpv6:135/0"),
            (SetKind::AddressPort, "192.0.2.1,gre:0", "192.0.2.1,gre:0"),
            (SetKind::Mac, "52-54-0-12-34-56", "52:54:00:12:34:56"),
        ] {
            let member = SetMember::read(kind, text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((member.kind(), member.to_string().as_str()), (kind, printed));
            assert_eq!(SetMember::read(kind, printed), Ok(member), "{text}");
        }
    }

    #[test]
    fn what_is_no_member_is_refused() {
        for (kind, text) in [
            (SetKind::Address, "10.0.0.0/8"),
            (SetKind::Address, "fe80::1%eth0"),
            (SetKind::Address, ""),
            (SetKind::Network, "10.0.0.1/8"),
            (SetKind::Network, "10.0.0.0/33"),
            (SetKind::AddressPort, "192.0.2.1"),
            (SetKind::AddressPort, "192.0.2.1,tcp"),
            (SetKind::AddressPort, "192.0.2.1,tcp:65536"),
            (SetKind::AddressPort, "192.0.2.1,tcp:+1"),
            (SetKind::AddressPort, "192.0.2.1,gre:1"),
            (SetKind::AddressPort, "192.0.2.1,icmp:8"),
            (SetKind::AddressPort, "192.0.2.1,icmp:256/0"),
            (SetKind::AddressPort, "192.0.2.1,tcp:8/0"),
            (SetKind::AddressPort, "2001:db8::1,icmp:8/0"),
            (SetKind::Mac, "52:54:00:12:34"),
        ] {
            assert!(SetMember::read(kind, text).is_err(), "{kind} {text}");
        }
    }
}
