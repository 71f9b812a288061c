//! IP versions, addresses and networks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::number::parse_number;
use super::{Value, ValueError, Variable};

/// The version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpVersion {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The version of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// 4 or 6.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// How many bits an address has.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for IpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl FromStr for IpVersion {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match (text, parse_number(text)) {
            ("ipv4", _) | (_, Some(4)) => Ok(Self::V4),
            ("ipv6", _) | (_, Some(6)) => Ok(Self::V6),
            _ => Err(ValueError::new(text, "an IP version: `4` or `ipv4`, `6` or `ipv6`")),
        }
    }
}

/// An address, or a network of all addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: Option<u8>,
}

impl IpNetwork {
    /// A single address.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, prefix: None }
    }

    /// The network of an address: the bits behind the prefix are cleared. `None` if the prefix is longer
    /// than an address.
    pub fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        if prefix > IpVersion::of(address).bits() {
            return None;
        }
        let address = match (address, mask(IpVersion::of(address), prefix)) {
            (IpAddr::V4(address), IpAddr::V4(mask)) => IpAddr::V4(address & mask),
            (IpAddr::V6(address), IpAddr::V6(mask)) => IpAddr::V6(address & mask),
            (address, _) => address,
        };
        Some(Self { address, prefix: Some(prefix) })
    }

    /// The address, or the first address of the network.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits name the network; `None` for an address written without a prefix.
    pub const fn prefix(self) -> Option<u8> {
        self.prefix
    }

    /// The bits that name the network; all ones for a single address.
    pub fn mask(self) -> IpAddr {
        let family = self.family();
        mask(family, self.prefix.unwrap_or(family.bits()))
    }

    /// Whether all addresses of the other are among its own.
    pub fn contains(self, other: Self) -> bool {
        let bits = |network: Self| network.prefix.unwrap_or(network.family().bits());
        bits(self) <= bits(other)
            && Self::of(other.address, bits(self))
                .is_some_and(|wide| self.family() == other.family() && wide.address == self.address)
    }

    /// Its family.
    pub const fn family(self) -> IpVersion {
        IpVersion::of(self.address)
    }
}

fn mask(family: IpVersion, prefix: u8) -> IpAddr {
    let cut = u32::from(family.bits() - prefix);
    match family {
        IpVersion::V4 => IpAddr::V4(Ipv4Addr::from_bits(u32::MAX.checked_shl(cut).unwrap_or(0))),
        IpVersion::V6 => IpAddr::V6(Ipv6Addr::from_bits(u128::MAX.checked_shl(cut).unwrap_or(0))),
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            None => write!(f, "{}", self.address),
            Some(prefix) => write!(f, "{}/{prefix}", self.address),
        }
    }
}

impl FromStr for IpNetwork {
    type Err = ValueError;

    /// An address, or an address and a prefix length. Bits behind the prefix are an error: they were meant
    /// as something, and would be ignored.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::new(text, Self::EXPECTED);
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| wrong());
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = IpVersion::of(address).bits();
        let network = parse_number(prefix)
            .filter(|_| !prefix.starts_with("0x"))
            .and_then(|prefix| Self::of(address, u8::try_from(prefix).ok()?))
            .ok_or_else(|| ValueError::new(text, format!("a prefix length from 0 to {longest}")))?;
        if network.address != address {
            let expected = format!("the network `{network}`, or the address `{address}` without a prefix");
            return Err(ValueError::new(text, expected));
        }
        Ok(network)
    }
}

impl Value for IpNetwork {
    const EXPECTED: &'static str =
        "an IP address such as `192.0.2.1` or `2001:db8::1`, or a network such as `192.0.2.0/24`";

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse()
    }

    fn may_be(variable: &Variable) -> bool {
        *variable != Variable::ThisMac
    }
}

impl Value for IpAddr {
    const EXPECTED: &'static str = "an address mask such as `255.255.255.0` or `ffff:ffff::`";

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse().map_err(|_| ValueError::new(text, Self::EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use super::{IpNetwork, IpVersion};

    #[test]
    fn networks() {
        for text in ["10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "10.0.0.1/32", "2001:db8::/32", "::", "::/0"] {
            assert_eq!(text.parse::<IpNetwork>().map(|network| network.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("10.0.0.0/8".parse::<IpNetwork>().unwrap().mask().to_string(), "255.0.0.0");
        assert_eq!("::/0".parse::<IpNetwork>().unwrap().mask().to_string(), "::");
        let error = "10.0.0.1/8".parse::<IpNetwork>().unwrap_err().to_string();
        assert!(error.contains("the network `10.0.0.0/8`"), "{error}");
        for wrong in
            ["10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/0x8", "10.0.0.0/", "fe80::1%eth0", "010.0.0.1"]
        {
            assert!(wrong.parse::<IpNetwork>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions() {
        for text in ["4", "ipv4", "0x4"] {
            assert_eq!(text.parse(), Ok(IpVersion::V4));
        }
        assert_eq!("ipv6".parse(), Ok(IpVersion::V6));
        assert!("5".parse::<IpVersion>().is_err());
    }
}
