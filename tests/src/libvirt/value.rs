//! Values as filters spell them: those that random frames carry, and their neighbours.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::grammar::Kind;
use crate::generate::{Rng, pool};

/// Numbers in and near those of BPDUs.
const BPDU_NUMBERS: &[u32] =
    &[0, 1, 2, 4, 5, 0x80, 0xff, 0x100, 0x200, 0xf00, 0x1400, 0x8001, 0x8002, 0x8003, 0xffff];

/// Values of kinds that have few. What is not one libvirt takes for something else, or refuses.
fn words(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::MacMask => &[
            "ff:ff:ff:00:00:00",
            "ff:ff:ff:ff:ff:fe",
            "ff:ff:ff:ff:ff:ff",
            "ff:00:00:00:00:00",
            "ff:ff:ff:ff:00:00",
            "80:00:00:00:00:00",
            "00:00:00:00:00:00",
        ],
        Kind::EtherType | Kind::Encapsulated => {
            &["arp", "rarp", "ipv4", "ipv4", "ipv6", "ipv6", "vlan", "IPv4"]
        }
        Kind::Ip4Mask => {
            &["0", "1", "8", "16", "24", "24", "28", "31", "32", "255.255.255.0", "255.255.255.254"]
        }
        Kind::Ip6Mask => &["0", "3", "10", "16", "32", "48", "64", "120", "127", "128", "ffff:ffff::"],
        Kind::IpProtocol => &["tcp", "udp", "icmp", "igmp", "sctp", "udplite", "esp", "ah", "icmpv6", "TCP"],
        Kind::HardwareType => &["1", "1", "0x1", "6", "0", "0x1234"],
        Kind::ProtocolType => &["0x800", "0x800", "2048", "0x86dd", "0x801", "0"],
        Kind::Opcode => {
            &["Request", "request", "Reply", "1", "2", "3", "0", "0x2", "Request_Reverse", "Reply_Reverse"]
        }
        Kind::Bool => &["true", "yes", "1", "false", "no", "True"],
        Kind::BpduMac => &["52:54:00:01:02:03", "52:54:00:01:02:04", "52:54:00:12:34:56"],
        Kind::Limit => &["0", "1", "5", "65535"],
        Kind::State => {
            &["NEW", "ESTABLISHED", "NEW,ESTABLISHED", "RELATED", "INVALID", "NONE", "new established", ""]
        }
        Kind::SetName => &["set_a", "no such set"],
        Kind::SetFlags => &["src", "dst", "src,dst", "DST,src"],
        Kind::TcpFlags => &[
            "SYN/SYN",
            "SYN,ACK/SYN",
            "ALL/NONE",
            "FIN,RST/FIN",
            "syn,ack,fin,rst/SYN",
            "ALL/ALL",
            "NONE/NONE",
            "ACK/",
        ],
        Kind::TcpOption => &["2", "1", "8", "0x4", "255"],
        Kind::Comment => &["a comment", "", "$PORTS", "&lt;tag&gt; &apos;quoted&apos;"],
        Kind::Mac
        | Kind::Vlan
        | Kind::Ip4
        | Kind::Ip6
        | Kind::Port
        | Kind::Dscp
        | Kind::IcmpType
        | Kind::IcmpCode
        | Kind::Bpdu(_) => &[],
    }
}

/// A value as it stands in a filter.
pub(super) fn literal(rng: &mut Rng, kind: Kind) -> String {
    let number = match kind {
        Kind::Mac if rng.chance(10) => return mac(rng).to_uppercase(),
        Kind::Mac | Kind::Ip4 | Kind::Ip6 => return plain(rng, kind),
        Kind::EtherType | Kind::Encapsulated if rng.below(10) >= 8 => {
            let types: Vec<u16> =
                pool::ETHER_TYPES.iter().copied().filter(|&number| number >= 0x600).collect();
            rng.pick(&types).into()
        }
        Kind::IpProtocol if rng.below(10) >= 7 => rng.pick(pool::PROTOCOLS).into(),
        Kind::Vlan => u32::from(rng.pick(pool::TAGS) & 0xfff),
        Kind::Port => rng.pick(pool::PORTS).into(),
        Kind::Dscp => {
            let tos = rng.pick(pool::TOS);
            u32::from(if rng.chance(70) { tos >> 2 } else { tos & 0x3f })
        }
        Kind::IcmpType => rng.pick(pool::ICMP_TYPES).into(),
        Kind::IcmpCode => rng.pick(pool::ICMP_CODES).into(),
        Kind::Bpdu(bits) => rng.pick(BPDU_NUMBERS) & if bits == 8 { 0xff } else { u32::MAX },
        _ => return rng.pick(words(kind)).to_owned(),
    };
    spelled(rng, number)
}

/// A value that a variable can hold, and that tools read as it stands.
pub(super) fn plain(rng: &mut Rng, kind: Kind) -> String {
    match kind {
        Kind::Mac => mac(rng),
        Kind::Ip4 => rng.mostly(pool::IP4, 4).to_string(),
        Kind::Ip6 => rng.mostly(pool::IP6, 4).to_string(),
        Kind::Port => rng.pick(pool::PORTS).to_string(),
        Kind::IpProtocol => rng.pick(&["6", "17", "1", "58", "132"]).to_owned(),
        Kind::Ip4Mask => rng.pick(&["0", "8", "24", "31", "32"]).to_owned(),
        Kind::Ip6Mask => rng.pick(&["0", "10", "64", "127", "128"]).to_owned(),
        Kind::EtherType => rng.pick(&["0x806", "0x800", "0x86dd", "0x88b5"]).to_owned(),
        _ => literal(rng, kind),
    }
}

/// A number in one of the ways in which it can be written.
fn spelled(rng: &mut Rng, number: u32) -> String {
    match rng.below(8) {
        0 => format!("{number:#x}"),
        1 if number >= 10 => format!("{number:#X}").replace("0X", "0x"),
        _ => number.to_string(),
    }
}

fn mac(rng: &mut Rng) -> String {
    let address = if rng.chance(80) { rng.pick(pool::MACS) } else { rng.pick(pool::GROUPS) };
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// A number as libvirt reads it: decimal, else hexadecimal.
pub(super) fn number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    text.parse().ok().or_else(|| u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok())
}

/// A number that orders values of one kind.
pub(super) fn order(text: &str) -> u128 {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return address.to_bits().into();
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return address.to_bits();
    }
    number(text).unwrap_or(0).into()
}
