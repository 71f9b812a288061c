//! The oracle: a slow, obvious interpreter of a [`Policy`] over a frame.
//!
//! It shares nothing with the data path but the names of fields and reasons: it reads the frame into an owned
//! [`Packet`], holds a list of checks against it, and runs the policy's steps as they stand. Tests hold the
//! parser, the compiler and the loaded program against it, and `explain` asks it too.

mod eval;
mod explain;
mod flows;
mod gates;
mod guard;
mod packet;
mod quote;
mod read;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};

use filter_common::{Cause, Direction, DropReason, Outcome, Verdict};

pub use eval::Value;
pub use flows::{Flows, Ticks};
pub use gates::{Gates, Members, Sets};
pub use packet::{
    Arp, ArpAddresses, Bpdu, Bridge, Chunk, Configuration, Ethernet, Extension, Fragment, Ip, Ip4, Ip4Option,
    Ip6, LengthField, Llc, Mac, Nd, NdOption, Packet, Ports, Quote, Segment, Snap, Upper, VlanTag,
};

use self::flows::{Piece, Seen};
use crate::policy::{Field, Policy};

/// A port: what it was told of itself, and what it learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// The guard drops what is malformed, and tags and SNAP are looked through.
    pub strict: bool,
    /// The MAC address it was given.
    pub mac: Option<Mac>,
    /// The IP addresses it was given.
    pub addresses: Vec<IpAddr>,
    /// Its MAC address is to be learned.
    pub learn_mac: bool,
    /// Its IPv4 address is to be learned.
    pub learn_ip4: bool,
    /// What it learned so far.
    pub learned: Learned,
    /// The connections it has; where there is none, no packet is followed and no fragment is remembered.
    pub flows: Option<Flows>,
    /// What time it is, in ticks: whoever sends packets moves it on.
    pub now: u32,
}

/// What a port learned; each is learned once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The MAC address.
    pub mac: Option<Mac>,
    /// The IPv4 address.
    pub ip4: Option<Ipv4Addr>,
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict and its cause.
    pub outcome: Outcome,
    /// The rules counted on the way, in order, without the deciding one.
    pub hits: Vec<u32>,
    /// What was read of the frame.
    pub packet: Packet,
}

/// Judges one frame: its bytes with the tags that are in them, and the tag that was taken out of them.
/// `port.learned` and `port.flows` change as the data path's would. For policies that ask no gates.
pub fn judge(
    policy: &Policy,
    port: &mut Port,
    direction: Direction,
    frame: &[u8],
    tag: Option<VlanTag>,
) -> Judgement {
    judge_with(policy, port, &mut Sets::default(), direction, frame, tag)
}

/// The same, with who answers the gates.
pub fn judge_with(
    policy: &Policy,
    port: &mut Port,
    gates: &mut dyn Gates,
    direction: Direction,
    frame: &[u8],
    tag: Option<VlanTag>,
) -> Judgement {
    let mut packet = Packet::read(frame, tag, port.strict);
    let anomaly = packet.anomaly();
    if port.strict
        && let Some(reason) = anomaly
    {
        return Judgement { outcome: Outcome::guard(reason), hits: Vec::new(), packet };
    }
    let before = port.learned;
    if !port.learn(&packet, direction, anomaly.is_none()) {
        port.learned = before;
        return Judgement { outcome: Outcome::guard(DropReason::NotLearned), hits: Vec::new(), packet };
    }
    let (outcome, hits) = port.pass(policy, &mut packet, gates, direction, anomaly.is_none());
    // What the policy does not let through taught nothing.
    if outcome.verdict != Verdict::Pass {
        port.learned = before;
    }
    Judgement { outcome, hits, packet }
}

impl Port {
    /// What becomes of a packet that the guard has nothing against, and the rules counted on the way.
    fn pass(
        &mut self,
        policy: &Policy,
        packet: &mut Packet,
        gates: &mut dyn Gates,
        direction: Direction,
        sound: bool,
    ) -> (Outcome, Vec<u32>) {
        let (own, now) = (self.own(), self.now);
        let Some(flows) = &mut self.flows else {
            return eval::run(policy.program(direction), packet, &own, gates);
        };
        let remembered = self.strict && flows::asks_above_ip(policy, packet);
        let piece = Piece::of(packet, direction).filter(|_| remembered);
        let seen = match flows::follows(policy, packet) {
            false => Seen::UNTRACKED,
            true if sound => flows.see(packet, direction, now),
            true => Seen::INVALID,
        };
        packet.connection = seen.bits;
        if let Some(piece) = piece.filter(|piece| !piece.first) {
            let outcome = match flows.passed(piece, now) {
                Some(rule) => Outcome { verdict: Verdict::Pass, cause: Cause::Rule(rule) },
                None => Outcome::guard(DropReason::FragmentUnknown),
            };
            return (outcome, Vec::new());
        }
        let (outcome, hits) = eval::run(policy.program(direction), packet, &own, gates);
        let Outcome { verdict: Verdict::Pass, cause: Cause::Rule(rule) } = outcome else {
            return (outcome, hits);
        };
        if let Some(beginning) = seen.begins
            && !flows.begin(beginning, now)
        {
            return (Outcome::guard(DropReason::FlowTableFull), hits);
        }
        if let Some(piece) = piece {
            flows.note(piece, rule, now);
        }
        (outcome, hits)
    }

    /// Learns what the packet teaches. `false` where an address is still unknown and the packet is none that
    /// learning needs. Only sound packets from the guest teach.
    fn learn(&mut self, packet: &Packet, direction: Direction, sound: bool) -> bool {
        let teaches = sound && direction == Direction::Out;
        let source = packet.ethernet.map(|ethernet| ethernet.source);
        if self.learn_mac {
            if self.learned.mac.is_none() && teaches {
                self.learned.mac = source;
            }
            if self.learned.mac.is_none() {
                return false;
            }
        }
        if self.learn_ip4 && self.learned.ip4.is_none() {
            let own_mac = self.own_mac();
            if teaches && (own_mac.is_none() || own_mac == source) {
                self.learned.ip4 = taught_ip4(packet);
            }
            return self.learned.ip4.is_some() || is_dhcp(packet, direction);
        }
        true
    }

    fn own_mac(&self) -> Option<Mac> {
        if self.learn_mac { self.learned.mac } else { self.mac }
    }

    fn own(&self) -> eval::Own {
        let learned = self.learned.ip4.filter(|_| self.learn_ip4).map(IpAddr::V4);
        eval::Own { mac: self.own_mac(), addresses: self.addresses.iter().copied().chain(learned).collect() }
    }
}

/// The address that the packet shows to be its sender's: the source of an IPv4 packet, or the sender of an
/// ARP packet that comes from the interface it speaks of.
fn taught_ip4(packet: &Packet) -> Option<Ipv4Addr> {
    if packet.fragment().is_some() || packet.value(Field::VlanId).is_some() {
        return None;
    }
    let address = if let Some(ip) = packet.ip4() {
        ip.source
    } else {
        let arp = packet.arp.filter(|arp| !arp.reverse)?;
        let addresses = arp.addresses?;
        if addresses.sender_mac != packet.ethernet?.source {
            return None;
        }
        addresses.sender_ip
    };
    (address.octets()[0] != 0 && !address.is_link_local()).then_some(address)
}

/// Whether the packet is a guest's request for an address, or an answer to it.
fn is_dhcp(packet: &Packet, direction: Direction) -> bool {
    let (Some(ip), Some(Upper::Udp { ports, .. })) = (packet.ip4(), &packet.upper) else { return false };
    match direction {
        Direction::Out => (ports.source, ports.destination) == (68, 67) && ip.source.is_unspecified(),
        Direction::In => (ports.source, ports.destination) == (67, 68),
    }
}
