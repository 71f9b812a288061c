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
mod learn;
mod packet;
mod quote;
mod rates;
mod read;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::{Cause, Direction, DropReason, Outcome, Verdict};

pub use eval::Value;
pub use flows::{Flows, Ticks};
pub use gates::{Gates, Members, Moment, Sets};
pub use packet::{
    Arp, ArpAddresses, Bpdu, Bridge, Chunk, Configuration, Ethernet, Extension, Fragment, Ip, Ip4, Ip4Option,
    Ip6, LengthField, Llc, Mac, Nd, NdOption, Packet, Ports, Quote, Segment, Snap, Upper, VlanTag,
};
pub use rates::Metered;

use self::flows::{Counting, Piece, Seen};
use crate::policy::Policy;

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
    /// Its IPv4 addresses are to be learned. Whoever learns IP addresses knows or learns the MAC address.
    pub learn_ip4: bool,
    /// Its IPv6 addresses are.
    pub learn_ip6: bool,
    /// How, and how many.
    pub learning: Learning,
    /// What it learned so far.
    pub learned: Learned,
    /// The connections it has; where there is none, no packet is followed and no fragment is remembered.
    pub flows: Option<Flows>,
    /// Now, in ticks of sixteen jiffies: whoever sends packets moves it on.
    pub now: u32,
    /// How many jiffies there are in a second.
    pub hz: u32,
}

/// What a port may learn, and of whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learning {
    /// Addresses are learned from DHCP alone.
    pub leases_only: bool,
    /// How many IPv4 addresses may be learned, at most eight.
    pub ip4_max: usize,
    /// How many IPv6 addresses, likewise.
    pub ip6_max: usize,
    /// DHCP servers that are trusted, or relays; if there are none of a family, all are.
    pub servers: Vec<IpAddr>,
    /// Prefixes within which addresses may be learned, with their lengths; if there are none of a family, IPv4 anywhere,
    /// IPv6 in those that routers announce.
    pub prefixes: Vec<(IpAddr, u8)>,
}

/// What a port learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The MAC address, once and for all.
    pub mac: Option<Mac>,
    /// The IPv4 addresses.
    pub ip4: [Place<Ipv4Addr>; 8],
    /// The IPv6 addresses.
    pub ip6: [Place<Ipv6Addr>; 8],
    /// Prefixes of 64 bits that routers announced.
    pub prefixes: [Place<u64>; 4],
    /// Transactions of DHCPv4 requests without an answer, with the tick of each.
    pub asked4: Vec<(u32, u32)>,
    /// The same for DHCPv6.
    pub asked6: Vec<(u32, u32)>,
}

/// Room for something that is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<T> {
    /// Something was learned there once.
    pub used: bool,
    /// What stands there, if it was not taken back. It may be over.
    pub known: Option<Known<T>>,
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self { used: false, known: None }
    }
}

/// Something that was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known<T> {
    /// The address, or the prefix.
    pub address: T,
    /// The last tick in which it counts, if there is one.
    pub until: Option<u32>,
    /// Who told it.
    pub origin: Origin,
}

/// Who told an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The guest used it.
    Use,
    /// The guest told its neighbours.
    Neighbour,
    /// A DHCP server.
    Lease,
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
    let meeting = match port.meet(&packet, direction, anomaly.is_none()) {
        Ok(meeting) => meeting,
        Err(reason) => return Judgement { outcome: Outcome::guard(reason), hits: Vec::new(), packet },
    };
    let bytes = frame.len() as u64 + if tag.is_some() { 4 } else { 0 };
    let moment = Moment { now: port.now, begins: false, bytes };
    let gates = (gates, moment);
    let (outcome, hits) = port.pass(policy, &mut packet, gates, &meeting.own, direction, anomaly.is_none());
    // What the policy does not let through teaches nothing.
    if outcome.verdict == Verdict::Pass {
        port.learn(&meeting, &packet, direction, frame);
    }
    Judgement { outcome, hits, packet }
}

impl Port {
    /// What becomes of a packet that the guard has nothing against, and the rules counted on the way.
    #[allow(clippy::too_many_arguments, reason = "a packet's way is all of these")]
    fn pass(
        &mut self,
        policy: &Policy,
        packet: &mut Packet,
        (gates, mut moment): (&mut dyn Gates, Moment),
        own: &eval::Own,
        direction: Direction,
        sound: bool,
    ) -> (Outcome, Vec<u32>) {
        let now = self.now;
        let Some(flows) = &mut self.flows else {
            return eval::run(policy.program(direction), packet, own, (gates, &moment));
        };
        let remembered = if self.strict {
            flows::asks_above_ip(policy, packet)
        } else {
            sound && flows::follows_some(policy, packet)
        };
        let piece = Piece::of(packet, direction).filter(|_| remembered);
        let mut seen = match flows::follows(policy, packet) {
            false => Seen::UNTRACKED,
            true if sound => flows.see(packet, direction, now),
            true => Seen::INVALID,
        };
        packet.connection = seen.bits;
        moment.begins = seen.begins.is_some();
        if let Some(piece) = piece.filter(|piece| !piece.first) {
            let passed = flows.passed(piece, now);
            let passed = passed.map(|rule| Outcome { verdict: Verdict::Pass, cause: Cause::Rule(rule) });
            let unknown = self.strict.then(|| Outcome::guard(DropReason::FragmentUnknown));
            if let Some(outcome) = passed.or(unknown) {
                return (outcome, Vec::new());
            }
        }
        let mut gates = Counting { flows: &mut *flows, seen: &mut seen, others: gates };
        let (outcome, hits) = eval::run(policy.program(direction), packet, own, (&mut gates, &moment));
        let Outcome { verdict: Verdict::Pass, cause: Cause::Rule(rule) } = outcome else {
            return (outcome, hits);
        };
        if let Some(beginning) = seen.begins
            && !flows.begin(beginning, now)
        {
            return (Outcome::guard(DropReason::FlowTableFull), hits);
        }
        if let Some(piece) = piece.filter(|piece| piece.first) {
            flows.note(piece, rule, now);
        }
        (outcome, hits)
    }
}
