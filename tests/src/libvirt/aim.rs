//! Frames that a tree's rules are about: random ones hit few of many conditions at once.

use std::net::{Ipv4Addr, Ipv6Addr};

use filter_common::Direction;

use super::bench::Frame;
use super::grammar::{Layer, Protocol};
use super::random::variable_of;
use super::tree::{Entry, Rule, Tree};
use super::value::number;
use crate::frames::{
    Arp, Ipv4, Ipv6, Mac, PEER, VM, bpdu, ether_type, ethernet, icmp, icmp6, igmp, llc, patched, protocol,
    sctp, tagged, tcp, udp, udp_lite,
};
use crate::generate::{Rng, pool};

/// So many frames, each built from the conditions of one of the tree's rules, some of which may be left out, or
/// looked at from the other side. None if the tree has no rule.
pub fn aim(rng: &mut Rng, tree: &Tree, count: usize) -> Vec<Frame> {
    let rules: Vec<&Rule> = (tree.filters.iter().flat_map(|filter| &filter.entries))
        .filter_map(|entry| match entry {
            Entry::Rule(rule) => Some(rule),
            Entry::Reference(_) => None,
        })
        .collect();
    if rules.is_empty() {
        return Vec::new();
    }
    let mut frames = Vec::new();
    for _ in 0..count {
        let rule = rules[rng.below(rules.len())];
        frames.push(at(rng, tree, rule));
    }
    frames
}

fn at(rng: &mut Rng, tree: &Tree, rule: &Rule) -> Frame {
    let name = rule.elements.first().map_or("mac", |element| element.protocol);
    let mut draft = Draft::new(rng, name);
    for element in &rule.elements {
        for (attribute, value) in &element.attributes {
            let miss = if element.negated { 75 } else { 10 };
            if !rng.chance(miss) {
                let value = resolved(rng, tree, value);
                draft.set(rng, attribute, &value, |name| element.value(name).map(str::to_owned));
            }
        }
    }
    let from_vm = match rule.direction {
        "out" => true,
        "in" => false,
        _ => rng.chance(50),
    };
    // An `inout` rule is written as seen by who talks to the virtual machine.
    let mut swapped = rule.direction == "inout" && from_vm;
    let mut direction = if from_vm { Direction::Out } else { Direction::In };
    if Protocol::named(name).layer != Layer::Link && rule.direction != "inout" && rng.chance(40) {
        // Rules about IP packets speak of those in the other direction too.
        swapped = true;
        direction = if from_vm { Direction::In } else { Direction::Out };
    }
    if rng.chance(10) {
        swapped = !swapped;
    }
    if rng.chance(10) {
        direction = if direction == Direction::In { Direction::Out } else { Direction::In };
    }
    if swapped {
        draft.swap();
    }
    Frame { direction, bytes: draft.bytes(rng) }
}

/// One of the values that stand for it, if it is a variable.
fn resolved(rng: &mut Rng, tree: &Tree, value: &str) -> String {
    let Some(variable) = variable_of(value) else { return value.to_owned() };
    if variable == "MAC" {
        return VM.map(|byte| format!("{byte:02x}")).join(":");
    }
    let references = tree.filters.iter().flat_map(|filter| &filter.entries).filter_map(|entry| match entry {
        Entry::Reference(to) => Some(&to.parameters),
        Entry::Rule(_) => None,
    });
    let values: Vec<&str> = (references.chain([&tree.parameters]).flatten())
        .filter(|(name, _)| name == variable)
        .map(|(_, value)| value.as_str())
        .collect();
    if values.is_empty() { String::new() } else { rng.pick(&values).to_owned() }
}

/// What is to become a frame.
struct Draft {
    source: Mac,
    destination: Mac,
    tag: Option<u16>,
    ether_type: u16,
    arp: Arp,
    ip4: Ipv4,
    ip6: Ipv6,
    source_port: u16,
    destination_port: u16,
    icmp: (u8, u8),
    flags: u8,
    option: Option<u8>,
    bpdu: Vec<u8>,
    is_bpdu: bool,
}

impl Draft {
    /// What the element is about, with values that nothing is said of.
    fn new(rng: &mut Rng, element: &str) -> Self {
        let mut draft = Self {
            source: rng.pick(&[VM, PEER]),
            destination: rng.pick(&[VM, PEER, [0xff; 6]]),
            tag: None,
            ether_type: rng.pick(pool::ETHER_TYPES),
            arp: Arp { opcode: rng.pick(&[1, 2]), ..Arp::default() },
            ip4: Ipv4 {
                protocol: rng.pick(&[protocol::TCP, protocol::UDP, protocol::ICMP]),
                ..Ipv4::default()
            },
            ip6: Ipv6 {
                protocol: rng.pick(&[protocol::TCP, protocol::UDP, protocol::ICMP6]),
                ..Ipv6::default()
            },
            source_port: rng.pick(pool::PORTS),
            destination_port: rng.pick(pool::PORTS),
            icmp: (rng.pick(pool::ICMP_TYPES), 0),
            flags: rng.pick(&[2, 0x12, 0x10, 0x18]),
            option: None,
            bpdu: bpdu(),
            is_bpdu: false,
        };
        if rng.chance(30) {
            (draft.ip4.source, draft.ip4.destination) = (rng.pick(pool::IP4), rng.pick(pool::IP4));
            (draft.ip6.source, draft.ip6.destination) = (rng.pick(pool::IP6), rng.pick(pool::IP6));
        }
        let six = element.strip_suffix("-ipv6");
        let upper = match six.unwrap_or(element) {
            "tcp" => Some(protocol::TCP),
            "udp" => Some(protocol::UDP),
            "udplite" => Some(protocol::UDP_LITE),
            "esp" => Some(protocol::ESP),
            "ah" => Some(protocol::AH),
            "sctp" => Some(protocol::SCTP),
            "icmp" => Some(protocol::ICMP),
            "igmp" => Some(protocol::IGMP),
            "icmpv6" => Some(protocol::ICMP6),
            _ => None,
        };
        if let Some(upper) = upper {
            (draft.ip4.protocol, draft.ip6.protocol) = (upper, upper);
        }
        match element {
            "mac" => {}
            "vlan" => {
                draft.tag = Some(rng.pick(pool::TAGS));
                draft.ether_type = rng.pick(&[ether_type::IPV4, ether_type::IPV6, ether_type::ARP]);
            }
            "stp" => draft.is_bpdu = true,
            "arp" => draft.ether_type = ether_type::ARP,
            "rarp" => draft.ether_type = ether_type::RARP,
            "ipv6" | "icmpv6" => draft.ether_type = ether_type::IPV6,
            _ if six.is_some() => draft.ether_type = ether_type::IPV6,
            _ => draft.ether_type = ether_type::IPV4,
        }
        draft
    }

    /// Makes the frame have what the attribute asks for. `other` gives the element's other attributes.
    fn set(&mut self, rng: &mut Rng, name: &str, value: &str, other: impl Fn(&str) -> Option<String>) {
        let within = |rng: &mut Rng, end: &str| {
            let start = number(value).unwrap_or(0);
            let end = other(end).and_then(|end| number(&end)).unwrap_or(start);
            // Mistakes are at the ends.
            rng.pick(&[start, end, start, end, start.midpoint(end), start.wrapping_sub(1), end + 1])
        };
        match name {
            "srcmacaddr" => self.source = masked_mac(rng, value, other("srcmacmask")),
            "dstmacaddr" => self.destination = masked_mac(rng, value, other("dstmacmask")),
            "protocolid" | "encap-protocol" => {
                self.ether_type = ether_type_of(value);
                if self.ether_type == ether_type::VLAN {
                    self.tag = Some(rng.pick(pool::TAGS));
                    self.ether_type = ether_type::IPV4;
                }
            }
            "vlanid" => {
                self.tag = Some(number(value).unwrap_or(0) as u16 & 0xfff | rng.pick(&[0, 0xa000, 0x1000]));
            }
            "hwtype" => self.arp.hardware = number(value).unwrap_or(0) as u16,
            "protocoltype" => self.arp.protocol = number(value).unwrap_or(0) as u16,
            "opcode" => {
                self.arp.opcode = match value.to_ascii_lowercase().as_str() {
                    "request" => 1,
                    "reply" => 2,
                    "request_reverse" => 3,
                    "reply_reverse" => 4,
                    other => number(other).unwrap_or(0) as u16,
                };
            }
            "arpsrcmacaddr" => self.arp.sender_mac = mac(value),
            "arpdstmacaddr" => self.arp.target_mac = mac(value),
            "arpsrcipaddr" => self.arp.sender_ip = masked4(rng, value, other("arpsrcipmask")),
            "arpdstipaddr" => self.arp.target_ip = masked4(rng, value, other("arpdstipmask")),
            "gratuitous" => self.arp.target_ip = self.arp.sender_ip,
            "srcipaddr" => self.set_source(rng, value, other("srcipmask")),
            "dstipaddr" => self.set_destination(rng, value, other("dstipmask")),
            "srcipfrom" => {
                let end = other("srcipto").filter(|_| rng.chance(40));
                self.set_source(rng, end.as_deref().unwrap_or(value), None);
            }
            "dstipfrom" => {
                let end = other("dstipto").filter(|_| rng.chance(40));
                self.set_destination(rng, end.as_deref().unwrap_or(value), None);
            }
            "protocol" => {
                let upper = ip_protocol_of(value);
                (self.ip4.protocol, self.ip6.protocol) = (upper, upper);
            }
            "srcportstart" => self.source_port = within(rng, "srcportend") as u16,
            "dstportstart" => self.destination_port = within(rng, "dstportend") as u16,
            "dscp" => {
                let class = number(value).unwrap_or(0) as u8;
                // What `ip` looks at is the whole byte.
                let class = if rng.chance(50) { class << 2 } else { class };
                (self.ip4.tos, self.ip6.class) = (class, class);
            }
            "type" if self.is_bpdu => self.bpdu[3] = number(value).unwrap_or(0) as u8,
            "type" => self.icmp.0 = within(rng, "typeend") as u8,
            "code" => self.icmp.1 = within(rng, "codeend") as u8,
            "flags" if self.is_bpdu => self.bpdu[4] = number(value).unwrap_or(0) as u8,
            "flags" => self.flags = rng.pick(&[0x02, 0x12, 0, 0x3f, 0x01, 0x10]),
            "option" => self.option = Some(number(value).unwrap_or(0) as u8),
            _ if self.is_bpdu => self.set_bpdu(name, within(rng, &format!("{name}-hi")), value),
            _ => {}
        }
    }

    fn set_bpdu(&mut self, name: &str, number: u64, text: &str) {
        let two = (number as u16).to_be_bytes().to_vec();
        let (at, bytes) = match name {
            "root-priority" => (5, two),
            "root-address" => (7, mac(text).to_vec()),
            "root-cost" => (13, (number as u32).to_be_bytes().to_vec()),
            "sender-priority" => (17, two),
            "sender-address" => (19, mac(text).to_vec()),
            "port" => (25, two),
            "age" => (27, two),
            "max-age" => (29, two),
            "hello-time" => (31, two),
            "forward-delay" => (33, two),
            _ => return,
        };
        self.bpdu = patched(std::mem::take(&mut self.bpdu), at, &bytes);
    }

    fn set_source(&mut self, rng: &mut Rng, value: &str, mask: Option<String>) {
        if self.ether_type == ether_type::IPV6 {
            self.ip6.source = masked6(rng, value, mask);
        } else {
            self.ip4.source = masked4(rng, value, mask);
        }
    }

    fn set_destination(&mut self, rng: &mut Rng, value: &str, mask: Option<String>) {
        if self.ether_type == ether_type::IPV6 {
            self.ip6.destination = masked6(rng, value, mask);
        } else {
            self.ip4.destination = masked4(rng, value, mask);
        }
    }

    /// Looks at it from the other side.
    fn swap(&mut self) {
        std::mem::swap(&mut self.source, &mut self.destination);
        std::mem::swap(&mut self.ip4.source, &mut self.ip4.destination);
        std::mem::swap(&mut self.ip6.source, &mut self.ip6.destination);
        std::mem::swap(&mut self.source_port, &mut self.destination_port);
        std::mem::swap(&mut self.arp.sender_mac, &mut self.arp.target_mac);
        std::mem::swap(&mut self.arp.sender_ip, &mut self.arp.target_ip);
    }

    fn bytes(&self, rng: &mut Rng) -> Vec<u8> {
        // The kernel drops frames from groups and from nobody.
        let source = if self.source[0] & 1 == 1 || self.source == [0; 6] { PEER } else { self.source };
        if self.is_bpdu {
            return llc([0x01, 0x80, 0xc2, 0, 0, 0], source, [0x42, 0x42, 3], &self.bpdu);
        }
        let payload = match self.ether_type {
            ether_type::ARP | ether_type::RARP => self.arp.bytes(),
            ether_type::IPV4 => self.ip4.packet(self.upper(self.ip4.protocol)),
            ether_type::IPV6 => self.ip6.packet(self.upper(self.ip6.protocol)),
            _ => (0..rng.below(40)).map(|_| rng.byte()).collect(),
        };
        let frame = ethernet(self.destination, source, self.ether_type, &payload);
        match self.tag {
            Some(tag) => tagged(&frame, ether_type::VLAN, tag),
            None => frame,
        }
    }

    fn upper(&self, upper: u8) -> Vec<u8> {
        let (source, destination) = (self.source_port, self.destination_port);
        match upper {
            protocol::TCP => {
                let mut segment = tcp(source, destination, self.flags, b"");
                if let Some(option) = self.option {
                    segment[12] = 6 << 4;
                    segment.extend(if option == 1 { [1, 1, 1, 0] } else { [option, 4, 0, 0] });
                }
                segment
            }
            protocol::UDP => udp(source, destination, b"aimed"),
            protocol::UDP_LITE => udp_lite(source, destination, 0, b"aimed"),
            protocol::SCTP => sctp(source, destination),
            protocol::ICMP => icmp(self.icmp.0, self.icmp.1, b"aimed at"),
            protocol::ICMP6 => icmp6(self.icmp.0, self.icmp.1, &[0; 24]),
            protocol::IGMP => igmp(0x16, Ipv4Addr::new(224, 0, 0, 1)),
            // DCCP has its ports where all have them; AH and ESP need some bytes to be looked at.
            _ => [&source.to_be_bytes()[..], &destination.to_be_bytes(), &[4; 24]].concat(),
        }
    }
}

fn mac(text: &str) -> Mac {
    let mut mac = [0; 6];
    for (byte, digits) in mac.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(digits, 16).unwrap_or(0);
    }
    mac
}

/// An address that is equal under the mask, and mostly no further.
fn masked_mac(rng: &mut Rng, value: &str, mask: Option<String>) -> Mac {
    let mut address = mac(value);
    if let Some(mask) = mask.map(|mask| mac(&mask)) {
        for (byte, mask) in address.iter_mut().zip(mask) {
            *byte = *byte & mask | rng.byte() & !mask;
        }
    }
    address
}

fn masked4(rng: &mut Rng, value: &str, mask: Option<String>) -> Ipv4Addr {
    let bits = value.parse::<Ipv4Addr>().map_or(0, Ipv4Addr::to_bits);
    let length = length(mask, 32);
    let ones = u32::MAX.checked_shr(length).unwrap_or(0);
    let near = near_miss(rng, length).map_or(0, |bit| 1 << (31 - bit));
    Ipv4Addr::from_bits((bits & !ones | rng.bits() as u32 & ones) ^ near)
}

fn masked6(rng: &mut Rng, value: &str, mask: Option<String>) -> Ipv6Addr {
    let bits = value.parse::<Ipv6Addr>().map_or(0, Ipv6Addr::to_bits);
    let length = length(mask, 128);
    let ones = u128::MAX.checked_shr(length).unwrap_or(0);
    let random = u128::from(rng.bits()) << 64 | u128::from(rng.bits());
    let near = near_miss(rng, length).map_or(0, |bit| 1 << (127 - bit));
    Ipv6Addr::from_bits((bits & !ones | random & ones) ^ near)
}

/// Now and then the last bit that a prefix of that length looks at: an address that differs in it alone is the
/// nearest that does not match.
fn near_miss(rng: &mut Rng, length: u32) -> Option<u32> {
    length.checked_sub(1).filter(|_| rng.chance(12))
}

/// The length of a prefix: a number, or a mask that is written as an address.
fn length(mask: Option<String>, all: u32) -> u32 {
    let Some(mask) = mask else { return all };
    let four = mask.parse::<Ipv4Addr>().map(|mask| mask.to_bits().leading_ones());
    let six = mask.parse::<Ipv6Addr>().map(|mask| mask.to_bits().leading_ones());
    mask.parse().or(four).or(six).unwrap_or(all)
}

fn ether_type_of(text: &str) -> u16 {
    match text.to_ascii_lowercase().as_str() {
        "arp" => ether_type::ARP,
        "rarp" => ether_type::RARP,
        "ipv4" => ether_type::IPV4,
        "ipv6" => ether_type::IPV6,
        "vlan" => ether_type::VLAN,
        other => number(other).unwrap_or(0) as u16,
    }
}

fn ip_protocol_of(text: &str) -> u8 {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => protocol::TCP,
        "udp" => protocol::UDP,
        "udplite" => protocol::UDP_LITE,
        "esp" => protocol::ESP,
        "ah" => protocol::AH,
        "sctp" => protocol::SCTP,
        "icmp" => protocol::ICMP,
        "igmp" => protocol::IGMP,
        "icmpv6" => protocol::ICMP6,
        other => number(other).unwrap_or(0) as u8,
    }
}
