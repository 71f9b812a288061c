//! Whether a policy would let a connection begin that there is already: the walk that the kernel does, over a packet made
//! up from what a flow keeps.
//!
//! A flow keeps addresses, ports, VLANs and protocol. All else a packet has as most packets have it: no options, traffic
//! class 0, tags of 802.1Q with priority 0, TCP's first packet a SYN.

use std::cell::RefCell;
use std::collections::HashMap;

use filter_common::learn::known_own_bits;
use filter_common::parse::{ether_type, protocol};
use filter_common::time::Tick;
use filter_common::track::{FlowState, state};
use filter_common::{
    Cause, Class, Direction, Key, Learned, Outcome, PortRecord, Question, Verdict, Visit, connection,
    element, flags, own, question, tag_kind, walk, word,
};

use crate::compile::Image;
use crate::datapath::{Contents, Datapath};
use crate::model::SetKind;

/// A policy that connections are held against.
pub struct Judge<'a> {
    image: &'a Image,
    record: &'a PortRecord,
    /// The counters of the policy's rules.
    counters: &'a [u32],
    learned: Learned,
    now: Tick,
    gates: Gates<'a>,
}

impl<'a> Judge<'a> {
    /// The policy of `image`, at the port of `record`, now.
    pub fn new(
        image: &'a Image,
        (record, counters): (&'a PortRecord, &'a [u32]),
        datapath: &'a Datapath,
        now: Tick,
    ) -> Self {
        let gates = Gates { datapath, sets: RefCell::new(HashMap::new()) };
        Self { image, record, counters, learned: datapath.learned(record.port), now, gates }
    }

    /// The counter of the rule that would let the connection begin as it did, or the other way round.
    pub fn accepts(&self, flow: &FlowState) -> Option<u32> {
        let (first, other) = if flow.state & state::FIRST_IN == 0 {
            (Direction::Out, Direction::In)
        } else {
            (Direction::In, Direction::Out)
        };
        let rule = self.passes(flow, first, true).or_else(|| self.passes(flow, other, false))?;
        self.counters.get(rule as usize).copied()
    }

    fn passes(&self, flow: &FlowState, direction: Direction, original: bool) -> Option<u32> {
        let (class, mut key) = packet(flow, direction, original);
        let mut bits = known_own_bits(self.record, &self.learned, class, &key, self.now);
        if self.image.tracked >> class as u32 & 1 != 0 {
            bits |= (connection::NEW | connection::ORIGINAL) << own::CONNECTION;
        }
        key.set(word::OWN, bits);
        let root = self.image.roots[class.root(direction)];
        match walk(&self.image.nodes[..], &key, root, &mut &self.gates) {
            Outcome { verdict: Verdict::Pass, cause: Cause::Rule(rule) } => Some(rule),
            _ => None,
        }
    }
}

/// Answers what the key does not say: sets as the kernel has them.
struct Gates<'a> {
    datapath: &'a Datapath,
    sets: RefCell<HashMap<(u32, bool), Option<Contents>>>,
}

impl Visit for &Gates<'_> {
    fn hit(&mut self, _: u32) {}

    fn ask(&mut self, question: Question, key: &Key) -> bool {
        // Of a packet that does not come now it is not known how many came before: it is within every rate. Nor is it known
        // who has how many connections: the next packets tell.
        match question.kind {
            question::SET => {}
            question::RATE => return true,
            _ => return false,
        }
        let networks = question.detail & element::KIND == element::NETWORK;
        let mut sets = self.sets.borrow_mut();
        let contents = sets.entry((question.number, networks)).or_insert_with(|| {
            let kind = if networks { SetKind::Network } else { SetKind::Address };
            // What cannot be asked has nothing in it, as in the kernel.
            self.datapath.contents(question.number, kind).ok().flatten()
        });
        contents.as_ref().is_some_and(|contents| contents.answer(question, key))
    }
}

/// The class of packets that a flow has.
const fn class(version: u8, number: u8) -> Class {
    match (version, number as u32) {
        (4, protocol::TCP) => Class::Ipv4Tcp,
        (4, protocol::UDP) => Class::Ipv4Udp,
        (4, protocol::ICMP) => Class::Ipv4Icmp,
        (4, _) => Class::Ipv4Other,
        (_, protocol::TCP) => Class::Ipv6Tcp,
        (_, protocol::UDP) => Class::Ipv6Udp,
        (_, protocol::ICMPV6) => Class::Ipv6Icmp,
        _ => Class::Ipv6Other,
    }
}

/// A packet of a flow that goes in this direction: that of its first one, or the other.
fn packet(flow: &FlowState, direction: Direction, original: bool) -> (Class, Key) {
    let mut key = Key::new();
    let flow_key = &flow.key;
    let class = class(flow_key.version(), flow_key.protocol());
    let ether_type = if class.is_ipv4() { ether_type::IPV4 } else { ether_type::IPV6 };
    key.set(word::ETHER_TYPE, ether_type);
    let vlans = flow_key.words[5] as u32;
    let (outer, inner) = (vlans & 0xffff, vlans >> 16);
    if outer & flags::PRESENT_VLAN != 0 {
        let behind = if inner & flags::PRESENT_VLAN == 0 { ether_type } else { ether_type::VLAN };
        key.set(word::VLAN, outer);
        key.set(word::INNER_VLAN, inner);
        let kind =
            tag_kind::ALL.iter().find(|(tag, _)| *tag == ether_type::VLAN).map_or(0, |(_, kind)| *kind);
        key.set(word::PRIORITY, flags::PRESENT_PRIORITY | kind << tag_kind::SHIFT);
        key.set(word::ENCAPSULATED, behind | flags::PRESENT_TYPE);
    }
    // Local and remote as source and destination.
    let out = direction == Direction::Out;
    let ends = |[local, remote]: [usize; 2]| if out { [local, remote] } else { [remote, local] };
    let [source, destination] = ends([0, 1]);
    for (first, end) in [(word::SRC_MAC_HI, source), (word::DST_MAC_HI, destination)] {
        key.set(first, (flow.macs[end] >> 32) as u32);
        key.set(first + 1, flow.macs[end] as u32);
    }
    let addresses = flow_key.addresses();
    for (first, end) in [(word::SRC_IP, source), (word::DST_IP, destination)] {
        for (position, part) in (first..).zip(addresses[end]) {
            key.set(position, part);
        }
    }
    key.set(word::PROTOCOL, flow_key.protocol().into());
    let mut bits = flags::IP;
    let numbers = flow_key.numbers().map(u32::from);
    match u32::from(flow_key.protocol()) {
        protocol::TCP => bits |= flags::TCP | SYN,
        protocol::ICMP | protocol::ICMPV6 => {
            let request = numbers[1] >> 1;
            let kind = if original { request } else { answer(request) };
            key.set(word::SRC_PORT, flags::PRESENT_L4 | kind);
            key.set(word::DST_PORT, flags::PRESENT_L4);
        }
        _ => {}
    }
    if has_ports(flow_key.protocol()) {
        key.set(word::SRC_PORT, flags::PRESENT_L4 | numbers[source]);
        key.set(word::DST_PORT, flags::PRESENT_L4 | numbers[destination]);
    }
    key.set(word::FLAGS, bits);
    (class, key)
}

const SYN: u32 = 2;

/// Whether packets of the protocol have ports.
pub const fn has_ports(number: u8) -> bool {
    matches!(
        number as u32,
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP
    )
}

/// The type of the message that answers a request of ICMP or ICMPv6.
const fn answer(request: u32) -> u32 {
    if request == 8 { 0 } else { request + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filter_common::parse::parse;
    use filter_common::track::FlowKey;
    use filter_common::{SliceFrame, record_flags};
    use filter_tests::frames::{
        Ipv4, PEER, PEER_IP4, VM, VM_IP4, ether_type, ethernet, protocol, tagged, tcp, udp,
    };

    fn flow(protocol: u8, numbers: [u16; 2], vlan: Option<u16>) -> FlowState {
        let mac = |mac: [u8; 6]| mac.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
        let identity =
            u64::from(numbers[0]) | u64::from(numbers[1]) << 16 | u64::from(protocol) << 32 | 4 << 40;
        let vlans = vlan.map_or(0, |vlan| u64::from(u32::from(vlan) | flags::PRESENT_VLAN));
        FlowState {
            key: FlowKey {
                words: [VM_IP4.to_bits().into(), 0, PEER_IP4.to_bits().into(), 0, identity, vlans],
            },
            state: state::LIVE,
            expires: Tick(9),
            seen: Tick(1),
            epoch: 0,
            sides: [[0; 3]; 2],
            began: Tick(1),
            rule: 0,
            macs: [mac(VM), mac(PEER)],
            limits: [0; 2],
        }
    }

    fn parsed(frame: &[u8]) -> Key {
        let mut key = Key::new();
        let parsed = parse(&SliceFrame::new(frame), record_flags::STRICT, &mut key, 0);
        assert_eq!(parsed.anomaly(), None);
        key
    }

    /// What is made up is what the parser reads in such a packet.
    #[test]
    fn packets_are_as_they_come() {
        let out = |ip: &Ipv4, payload| ethernet(PEER, VM, ether_type::IPV4, &ip.packet(payload));
        let is_tcp = Ipv4 { protocol: protocol::TCP, ..Ipv4::default() };
        let back = Ipv4 { source: PEER_IP4, destination: VM_IP4, ..is_tcp.clone() };
        let syn = out(&is_tcp, tcp(20001, 443, 2, b""));
        let syn_in = ethernet(VM, PEER, ether_type::IPV4, &back.packet(tcp(443, 20001, 2, b"")));
        let datagram = out(&Ipv4::default(), udp(20001, 53, b""));
        let connection = flow(6, [20001, 443], None);
        assert_eq!(packet(&connection, Direction::Out, true), (Class::Ipv4Tcp, parsed(&syn)));
        assert_eq!(packet(&connection, Direction::In, false), (Class::Ipv4Tcp, parsed(&syn_in)));
        assert_eq!(
            packet(&flow(17, [20001, 53], None), Direction::Out, true),
            (Class::Ipv4Udp, parsed(&datagram))
        );
        assert_eq!(
            packet(&flow(17, [20001, 53], Some(7)), Direction::Out, true),
            (Class::Ipv4Udp, parsed(&tagged(&datagram, 0x8100, 7)))
        );
    }
}
