//! Types of values: reading and printing them.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::value::States;
use super::{Defect, IpsetSide, Literal, address, number};
use crate::model::ValueError;

/// Types of values, with their bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A number within these bounds, decimal or hexadecimal.
    Number {
        /// Least.
        min: u32,
        /// Greatest.
        max: u32,
    },
    /// A number of at most this, in decimal only.
    Decimal(u32),
    /// An `EtherType`: a number of at least this, or a name.
    EtherType(u32),
    /// An ARP opcode: a number or a name.
    ArpOpcode,
    /// A protocol above IP: a number or a name.
    IpProtocol,
    /// A MAC address.
    Mac,
    /// A mask of ones, then zeros, for MAC addresses.
    MacMask,
    /// An IPv4 address.
    Ip4,
    /// A mask for IPv4 addresses: a prefix length, or an address whose bits are ones, then zeros.
    Ip4Mask,
    /// An IPv6 address.
    Ip6,
    /// A mask for IPv6 addresses, likewise.
    Ip6Mask,
    /// `true`, `1`, `yes`, or not.
    Boolean,
    /// Any text.
    Text,
    /// States of connections.
    States,
    /// Flags of TCP: `MASK/FLAGS`.
    TcpFlags,
    /// The name of a set of the kernel's.
    IpsetName,
    /// Which addresses or ports of a packet are looked up in a set.
    IpsetSides,
}

/// Bytes of a remark.
const MAX_TEXT: usize = 256;
/// Bytes of the name of a set.
const MAX_IPSET: usize = 31;
/// Sides that are looked up in a set.
const MAX_SIDES: usize = 6;

const ETHER_TYPES: [(&str, u32); 5] =
    [("arp", 0x806), ("rarp", 0x8035), ("ipv4", 0x800), ("ipv6", 0x86dd), ("vlan", 0x8100)];

/// As libvirt numbers them, which is not as IANA does from 9 on.
const ARP_OPCODES: [(&str, u32); 9] = [
    ("Request", 1),
    ("Reply", 2),
    ("Request_Reverse", 3),
    ("Reply_Reverse", 4),
    ("DRARP_Request", 5),
    ("DRARP_Reply", 6),
    ("DRARP_Error", 7),
    ("InARP_Request", 8),
    ("ARP_NAK", 9),
];

const IP_PROTOCOLS: [(&str, u32); 9] = [
    ("tcp", 6),
    ("udp", 17),
    ("udplite", 136),
    ("esp", 50),
    ("ah", 51),
    ("icmp", 1),
    ("igmp", 2),
    ("sctp", 132),
    ("icmpv6", 58),
];

const TCP_FLAGS: [(&str, u8); 8] = [
    ("FIN", 1),
    ("SYN", 1 << 1),
    ("RST", 1 << 2),
    ("PSH", 1 << 3),
    ("ACK", 1 << 4),
    ("URG", 1 << 5),
    ("ALL", ALL_FLAGS),
    ("NONE", 0),
];

const ALL_FLAGS: u8 = 0x3f;

const STATES: [(&str, u8); 5] = [
    ("NEW", States::NEW),
    ("ESTABLISHED", States::ESTABLISHED),
    ("RELATED", States::RELATED),
    ("INVALID", States::INVALID),
    ("NONE", NO_STATE),
];

/// Marks that `NONE` was read.
const NO_STATE: u8 = 1 << 7;

impl Kind {
    /// Reads a value, and says what of it libvirt reads otherwise than it is written.
    pub fn read(self, text: &str) -> Result<(Literal, Option<Defect>), ValueError> {
        self.literal(text).ok_or_else(|| ValueError::new(text, self.expected()))
    }

    fn literal(self, text: &str) -> Option<(Literal, Option<Defect>)> {
        let sound = |literal| Some((literal, None));
        match self {
            Self::Number { min, max } => Self::number(text, 16, min..=max),
            Self::Decimal(max) => Self::number(text, 10, 0..=max),
            Self::EtherType(min) => self.named(text, min..=u32::from(u16::MAX)),
            Self::ArpOpcode => self.named(text, 0..=u32::from(u16::MAX)),
            Self::IpProtocol => self.named(text, 0..=u32::from(u8::MAX)),
            Self::Mac => sound(Literal::Mac(address::read_mac(text)?)),
            Self::MacMask => sound(Literal::Mac(address::read_mac_mask(text)?)),
            Self::Ip4 => address::read_ip4(text).map(|(address, defect)| (Literal::Ip4(address), defect)),
            Self::Ip4Mask => {
                address::read_ip4_mask(text).map(|(length, defect)| (Literal::Prefix(length), defect))
            }
            Self::Ip6 => sound(Literal::Ip6(text.parse::<Ipv6Addr>().ok()?)),
            Self::Ip6Mask => {
                address::read_ip6_mask(text).map(|(length, defect)| (Literal::Prefix(length), defect))
            }
            Self::Boolean => {
                let known = ["true", "1", "yes", "false", "0", "no"].iter().position(|known| *known == text);
                let defect = known.is_none().then_some(Defect::Boolean);
                Some((Literal::Boolean(known.is_some_and(|known| known < 3)), defect))
            }
            Self::Text => {
                let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&end| text.is_char_boundary(end))?;
                let kept = &text[..end];
                let defect = (kept.len() < text.len()).then_some(Defect::CutText);
                Some((Literal::Text(kept.to_owned()), defect))
            }
            Self::States => states(text),
            Self::TcpFlags => {
                let (mask, flags) = text.split_once('/')?;
                let (mask, flags) = (words(mask, &TCP_FLAGS)?, words(flags, &TCP_FLAGS)?);
                sound(Literal::TcpFlags { mask, flags })
            }
            Self::IpsetName => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:+- ".contains(&byte);
                let name = text.len() <= MAX_IPSET && text.bytes().all(plain);
                name.then(|| (Literal::Text(text.to_owned()), None))
            }
            Self::IpsetSides => sound(Literal::IpsetSides(sides(text)?)),
        }
    }

    fn number(
        text: &str,
        radix: u32,
        bounds: std::ops::RangeInclusive<u32>,
    ) -> Option<(Literal, Option<Defect>)> {
        let (written, hexadecimal) = match number::read(text, 10) {
            Some(written) => (written, false),
            None if radix == 16 => (number::read(text, 16)?, true),
            None => return None,
        };
        let literal = Literal::Number { value: written.value, hexadecimal };
        bounds
            .contains(&written.value)
            .then_some((literal, written.wrapped.then_some(Defect::NegativeNumber)))
    }

    /// A number, or a name for one in any case.
    fn named(self, text: &str, bounds: std::ops::RangeInclusive<u32>) -> Option<(Literal, Option<Defect>)> {
        let name = self.names().iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some(&(_, value)) = name {
            return Some((Literal::Number { value, hexadecimal: false }, None));
        }
        let (literal, defect) = Self::number(text, 16, bounds)?;
        match literal {
            // What is printed by name, or as an opcode, is never hexadecimal.
            Literal::Number { value, .. } if self == Self::ArpOpcode || self.name(value).is_some() => {
                Some((Literal::Number { value, hexadecimal: false }, defect))
            }
            literal => Some((literal, defect)),
        }
    }

    /// The names of numbers of this type.
    pub fn names(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::EtherType(_) => &ETHER_TYPES,
            Self::ArpOpcode => &ARP_OPCODES,
            Self::IpProtocol => &IP_PROTOCOLS,
            _ => &[],
        }
    }

    fn name(self, number: u32) -> Option<&'static str> {
        self.names().iter().find(|(_, named)| *named == number).map(|(name, _)| *name)
    }

    /// The text of a value of this type, in libvirt's normal form.
    pub fn write(self, literal: &Literal) -> Cow<'_, str> {
        let text = match literal {
            Literal::Number { value, hexadecimal } => match self.name(*value) {
                Some(name) => return name.into(),
                None if *hexadecimal => format!("{value:#x}"),
                None => value.to_string(),
            },
            Literal::Mac(mac) => mac.to_string(),
            Literal::Ip4(address) => address.to_string(),
            Literal::Ip6(address) => address::write_ip6(*address),
            Literal::Prefix(length) => length.to_string(),
            Literal::Boolean(value) => value.to_string(),
            Literal::Text(text) => return text.into(),
            Literal::States(States { none: true, .. }) => return "NONE".into(),
            Literal::States(states) => list(states.bits, &STATES),
            Literal::TcpFlags { mask, flags } => format!("{}/{}", flag_list(*mask), flag_list(*flags)),
            Literal::IpsetSides(sides) => {
                let names: Vec<&str> = sides.iter().map(|side| side.as_str()).collect();
                names.join(",")
            }
        };
        text.into()
    }

    /// What a value of this type looks like.
    pub fn expected(self) -> String {
        match self {
            Self::Number { min, max } => format!("a number from {min} to {max}, decimal or hexadecimal"),
            Self::Decimal(max) => format!("a decimal number from 0 to {max}"),
            Self::EtherType(min) => {
                format!("an EtherType from {min:#x} to 0xffff, {}", name_list(self.names()))
            }
            Self::ArpOpcode => format!("an opcode of ARP from 0 to 65535, {}", name_list(self.names())),
            Self::IpProtocol => {
                format!("a protocol above IP from 0 to 255, {}", name_list(self.names()))
            }
            Self::Mac => "a MAC address such as `52:54:00:12:34:56`".to_owned(),
            Self::MacMask => "a mask of ones, then zeros, such as `ff:ff:ff:00:00:00`".to_owned(),
            Self::Ip4 => "an IPv4 address such as `192.0.2.1`, without a prefix length".to_owned(),
            Self::Ip4Mask => {
                "a prefix length from 0 to 32, or a mask of ones, then zeros, such as `255.255.255.0`"
                    .to_owned()
            }
            Self::Ip6 => "an IPv6 address such as `2001:db8::1`, without a prefix length".to_owned(),
            Self::Ip6Mask => {
                "a prefix length from 0 to 128, or a mask of ones, then zeros, such as `ffff:ffff::`"
                    .to_owned()
            }
            Self::Boolean => "`true`, `1` or `yes`; `false`, `0` or `no`".to_owned(),
            Self::Text => "a text of at most 256 bytes".to_owned(),
            Self::States => {
                "`NEW`, `ESTABLISHED`, `RELATED`, `INVALID`, with commas between them, or `NONE`".to_owned()
            }
            Self::TcpFlags => {
                "flags of TCP that are looked at, `/`, and those of them that are set, each a list of \
                               `FIN`, `SYN`, `RST`, `PSH`, `ACK`, `URG`, or `ALL` or `NONE`: `SYN,ACK/SYN`"
                    .to_owned()
            }
            Self::IpsetName => "the name of a set: at most 31 letters, digits, blanks and `_.:+-`".to_owned(),
            Self::IpsetSides => "one to six of `src` and `dst`, with commas between them".to_owned(),
        }
    }
}

fn name_list(names: &[(&str, u32)]) -> String {
    let names: Vec<String> = names.iter().map(|(name, _)| format!("`{name}`")).collect();
    format!("or one of {}", names.join(", "))
}

fn states(text: &str) -> Option<(Literal, Option<Defect>)> {
    let bits = words(text, &STATES)?;
    let none = bits & NO_STATE != 0;
    let defect = if bits == 0 {
        Some(Defect::EmptyStates)
    } else {
        (none && bits != NO_STATE).then_some(Defect::NoneAmongStates)
    };
    Some((Literal::States(States { bits: if none { 0 } else { bits }, none }), defect))
}

/// Reads words in any case, with commas or blanks between them, or nothing.
fn words(text: &str, known: &[(&str, u8)]) -> Option<u8> {
    let separates = |character| character == ',' || number::is_blank(character);
    let mut rest = text.trim_start_matches(separates);
    let mut bits = 0;
    while !rest.is_empty() {
        let begins =
            |word: &str| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let (word, bit) = known.iter().find(|(word, _)| begins(word))?;
        bits |= bit;
        rest = rest[word.len()..].trim_start_matches(separates);
    }
    Some(bits)
}

fn list(bits: u8, names: &[(&str, u8)]) -> String {
    let names: Vec<&str> = names.iter().filter(|(_, bit)| bits & bit != 0).map(|(name, _)| *name).collect();
    names.join(",")
}

fn flag_list(flags: u8) -> String {
    match flags {
        0 => "NONE".to_owned(),
        ALL_FLAGS => "ALL".to_owned(),
        flags => list(flags, &TCP_FLAGS[..6]),
    }
}

fn sides(text: &str) -> Option<Vec<IpsetSide>> {
    let side = |word: &str| IpsetSide::ALL.into_iter().find(|side| side.as_str().eq_ignore_ascii_case(word));
    let sides: Vec<IpsetSide> = text.split(',').take(MAX_SIDES + 1).map(side).collect::<Option<_>>()?;
    (sides.len() <= MAX_SIDES).then_some(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(kind: Kind, text: &str) -> Option<(String, Option<Defect>)> {
        let (literal, defect) = kind.read(text).ok()?;
        let printed = kind.write(&literal).into_owned();
        assert_eq!(kind.read(&printed).map(|(literal, _)| literal), Ok(literal), "{kind:?} {text}");
        Some((printed, defect))
    }

    #[test]
    fn normal_forms() {
        let byte = Kind::Number { min: 0, max: 255 };
        let long = Kind::Number { min: 0, max: u32::MAX };
        for (kind, text, printed, defect) in [
            (byte, "ff", "0xff", None),
            (byte, "010", "10", None),
            (long, "-1", "4294967295", Some(Defect::NegativeNumber)),
            (Kind::EtherType(0x600), "0x806", "arp", None),
            (Kind::EtherType(0x600), "IPv4", "ipv4", None),
            (Kind::EtherType(0x600), "0xFFFF", "0xffff", None),
            (Kind::ArpOpcode, "0x0a", "10", None),
            (Kind::ArpOpcode, "0x2", "Reply", None),
            (Kind::ArpOpcode, "arp_nak", "ARP_NAK", None),
            (Kind::IpProtocol, "0x11", "udp", None),
            (Kind::Boolean, "TRUE", "false", Some(Defect::Boolean)),
            (Kind::Boolean, "yes", "true", None),
            (Kind::States, "related new", "NEW,RELATED", None),
            (Kind::States, "NONE,NEW", "NONE", Some(Defect::NoneAmongStates)),
            (Kind::States, " ", "", Some(Defect::EmptyStates)),
            (Kind::TcpFlags, "syn ,ACK/", "SYN,ACK/NONE", None),
            (Kind::TcpFlags, "ALL/FIN,SYN,RST,PSH,ACK,URG", "ALL/ALL", None),
            (Kind::IpsetSides, "SRC,Dst", "src,dst", None),
            (Kind::IpsetName, "", "", None),
        ] {
            assert_eq!(normal(kind, text), Some((printed.to_owned(), defect)), "{kind:?} {text}");
        }
        let long = "ä".repeat(200);
        assert_eq!(normal(Kind::Text, &long), Some(("ä".repeat(128), Some(Defect::CutText))));
        assert_eq!(normal(Kind::Text, &"x".repeat(256)), Some(("x".repeat(256), None)));
    }

    #[test]
    fn what_is_no_value() {
        for (kind, text) in [
            (Kind::Number { min: 0, max: 255 }, "-1"),
            (Kind::Number { min: 0, max: 63 }, "EF"),
            (Kind::Decimal(65535), "0x10"),
            (Kind::EtherType(0x600), "0800"),
            (Kind::EtherType(0x600), "ip"),
            (Kind::ArpOpcode, "InARP_Reply"),
            (Kind::IpProtocol, "256"),
            (Kind::Ip6, "10.1.2.3"),
            (Kind::Ip6, "fe80::1%eth0"),
            (Kind::States, "NEW;INVALID"),
            (Kind::States, "ÄNEW"),
            (Kind::TcpFlags, "SYN"),
            (Kind::TcpFlags, "SYN/SYN/SYN"),
            (Kind::TcpFlags, "ECE/ECE"),
            (Kind::IpsetName, "a/b"),
            (Kind::IpsetSides, "src,"),
            (Kind::IpsetSides, "src,src,src,src,src,src,src"),
        ] {
            assert_eq!(normal(kind, text), None, "{kind:?} {text}");
        }
    }
}
