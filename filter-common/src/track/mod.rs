//! Connections: which one a packet belongs to, what it is to it, and what it makes of it.
//!
//! Each port has a table of flows of its own ([`table`]). Before the walk [`track`] finds the packet's flow, moves it on,
//! and says what the packet is to it ([`connection`](crate::connection)), which the graph asks for like for any field.
//! A packet that can begin a flow makes one only where the policy passes it ([`begin`]), so what is forbidden leaves no
//! state behind.
//!
//! Invariants: what belongs to no flow is never told that it does; a packet that does not fit its flow changes nothing
//! of it; a flow that was answered makes no room for another one. `docs/connections.md` is the specification.

pub mod batch;
pub mod count;
mod flow;
mod fragment;
mod icmp;
mod key;
mod sctp;
mod settings;
mod stage;
mod table;
mod tcp;
mod update;

pub use count::{Counted, MARKS, Own, REMOTE, Room, Source, Wanted, is_above, tally_bucket};
pub use flow::{EPOCH, EXPIRES, FLOW_WORDS, Flow, FlowState, FlowWords, RULE, STATE, Side, state};
pub use fragment::{follow_fragment, note_fragment};
pub use key::{FlowKey, Kind};
pub use settings::{Settings, TIMEOUTS, timeout};
pub use stage::Stage;
pub use table::{Bucket, FlowTable, FlowTables, PLACES, Placed, find_room, hash, put, room};
pub use tcp::{OLD, OUTSIDE, Segment, in_window};

use crate::connection::{INVALID, NEW, ORIGINAL, REPLY};
use crate::forget::forget;
use crate::parse::{Parsed, protocol};
use crate::record::record_flags;
use crate::time::Tick;
use crate::{Class, Direction, DropReason, Frame, Key, Packet, PortRecord, flags, word};

/// Beside the bits of [`connection`]: there is no flow yet, and the packet begins one if it passes.
pub const BEGINS: u32 = 1 << 6;

/// What [`track`] returns where [`track_tcp`] has to be asked.
pub const UNTOLD: u32 = 1 << 7;

/// One packet, as connections see it.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// What was read of it.
    pub key: &'a Key,
    /// What the parser found out besides.
    pub parsed: Parsed,
    /// Which way it goes.
    pub direction: Direction,
    /// The port's record.
    pub record: &'a PortRecord,
    /// Times and secrets of this host.
    pub settings: &'a Settings,
    /// Now.
    pub now: Tick,
}

impl<'a> Seen<'a> {
    /// The same, of which the kernel's verifier does not know any more which way it goes.
    #[inline(always)]
    fn forgotten(&self) -> Seen<'a> {
        let number = forget::<1>(self.direction as usize, self.record.zero as usize);
        Seen { direction: if number == 0 { Direction::Out } else { Direction::In }, ..*self }
    }

    #[inline(always)]
    fn is_loose(&self) -> bool {
        self.record.flags & record_flags::LOOSE != 0
    }
}

/// Whether a packet's connection is found by [`track_rare`]: so that the kernel's verifier has less to look at in the
/// function that most packets go through.
#[inline(always)]
pub fn is_rare(packet: &Packet<'_>) -> bool {
    let icmp = matches!(packet.parsed.class(), Some(Class::Ipv4Icmp | Class::Ipv6Icmp));
    icmp || packet.key.get(word::PROTOCOL) == protocol::SCTP
}

/// Finds the packet's flow, moves it on, and says what the packet is to it: bits of
/// [`connection`](crate::connection), and [`BEGINS`]; or [`UNTOLD`]: of TCP it knows nothing but what most segments are,
/// data and acknowledgements of a connection that both sides have agreed on.
#[inline(always)]
pub fn track<F: Frame, T: FlowTables>(frame: &F, seen: &Seen<'_>, tables: &T) -> u32 {
    let is_tcp = seen.key.get(word::PROTOCOL) == protocol::TCP;
    if is_tcp && !tcp::is_plain(seen.key) {
        return UNTOLD;
    }
    count::clear(tables, seen);
    if let Some(told) = unfollowed(seen) {
        return told;
    }
    let Some(class) = seen.parsed.class() else { return INVALID };
    let Some(key) = FlowKey::of_ports(seen.key, class, seen.direction) else { return INVALID };
    let mut segment = tcp::Plain::default();
    if is_tcp {
        match tcp::Plain::read(frame, seen) {
            Some(read) => segment = read,
            None => return INVALID,
        }
    }
    // Whatever it is, it is looked for once, and the verifier is to look at that once.
    let seen = &seen.forgotten();
    let zero = seen.record.zero as usize;
    let is_tcp = forget::<1>(usize::from(is_tcp), zero) != 0;
    let segment = segment.forgotten(zero);
    let key = key.forgotten(zero);
    count::note(tables, seen, &key);
    match table::find_at_home(tables, seen, &key) {
        Some(flow) if is_tcp => tcp::settled(seen, &segment, flow, tables),
        Some(flow) => update::plain(seen, flow, tables),
        None if is_tcp => UNTOLD,
        None => NEW | ORIGINAL | BEGINS,
    }
}

/// The same for any segment of TCP.
#[inline(always)]
pub fn track_tcp<F: Frame, T: FlowTables>(frame: &F, seen: &Seen<'_>, tables: &T) -> u32 {
    count::clear(tables, seen);
    if let Some(told) = unfollowed(seen) {
        return told;
    }
    let Some(class) = seen.parsed.class() else { return INVALID };
    let Some(key) = FlowKey::of_ports(seen.key, class, seen.direction) else { return INVALID };
    let Some(segment) = Segment::read(frame, seen) else { return INVALID };
    // As above.
    let seen = &seen.forgotten();
    let zero = seen.record.zero as usize;
    let key = key.forgotten(zero);
    count::note(tables, seen, &key);
    let found = table::find(tables, seen, &key);
    tcp::track(seen, segment.forgotten(zero), found, tables)
}

/// The same for ICMP and SCTP.
#[inline(always)]
pub fn track_rare<F: Frame, T: FlowTables>(frame: &F, seen: &Seen<'_>, tables: &T) -> u32 {
    count::clear(tables, seen);
    if let Some(told) = unfollowed(seen) {
        return told;
    }
    let Some(class) = seen.parsed.class() else { return INVALID };
    let (key, role) = if matches!(class as u32, ICMP | ICMPV6) {
        match icmp::role(frame, seen, class) {
            Ok((key, role)) => (key, role as u32),
            Err(told) => return told,
        }
    } else {
        match FlowKey::of_ports(seen.key, class, seen.direction) {
            Some(key) => (key, SCTP),
            None => return INVALID,
        }
    };
    // As above.
    let seen = &seen.forgotten();
    let zero = seen.record.zero as usize;
    let role = forget::<7>(role as usize, zero) as u32;
    let key = key.forgotten(zero);
    count::note(tables, seen, &key);
    let found = table::find(tables, seen, &key);
    if role == SCTP {
        sctp::track(frame, seen, found, tables)
    } else {
        icmp::track(seen, role, found, tables)
    }
}

/// Beside the numbers of [`icmp::Role`].
const SCTP: u32 = 7;

const ICMP: u32 = Class::Ipv4Icmp as u32;
const ICMPV6: u32 = Class::Ipv6Icmp as u32;

/// What a packet is told whose connection is not looked for.
#[inline(always)]
fn unfollowed(seen: &Seen<'_>) -> Option<u32> {
    if seen.parsed.anomaly().is_some() {
        Some(INVALID)
    } else if seen.key.get(word::FLAGS) & flags::LATER_FRAGMENT != 0 {
        Some(0)
    } else {
        None
    }
}

/// Brings the flow that a packet belongs to, or is about, from the table that was the port's before, where it is still
/// there. Only while a table gives way to another one ([`PortRecord::flow_previous`]), and before [`track`].
#[inline(always)]
pub fn bring<F: Frame, T: FlowTables>(frame: &F, seen: &Seen<'_>, tables: &T) -> bool {
    if unfollowed(seen).is_some() {
        return false;
    }
    let Some(class) = seen.parsed.class() else { return false };
    let key = if matches!(class as u32, ICMP | ICMPV6) {
        icmp::role(frame, seen, class).ok().map(|(key, _)| key)
    } else {
        FlowKey::of_ports(seen.key, class, seen.direction)
    };
    let Some(key) = key else { return false };
    bring_flow(tables, seen, &key.forgotten(seen.record.zero as usize)).unwrap_or(false)
}

/// The same for the flow with this key. An error where there is no room for it: then it stays where it is.
#[inline(always)]
pub fn bring_flow<T: FlowTables>(tables: &T, seen: &Seen<'_>, key: &FlowKey) -> Result<bool, DropReason> {
    table::bring(tables, seen, key)
}

/// Makes the flow that a packet begins which has passed, as `rule` has it, which is the counter of the rule that
/// passed it. An error where there is no room.
#[inline(always)]
pub fn begin<F: Frame, T: FlowTables>(
    frame: &F,
    seen: &Seen<'_>,
    rule: u32,
    tables: &T,
) -> Result<Placed, DropReason> {
    let class = seen.parsed.class().ok_or(DropReason::GraphFault)?;
    let key = match class as u32 {
        ICMP | ICMPV6 => icmp::query_key(frame, seen, class),
        _ => FlowKey::of_ports(seen.key, class, seen.direction),
    };
    let key = key.ok_or(DropReason::GraphFault)?;
    let mut flow = flow::Begun::new(seen, rule);
    match seen.key.get(word::PROTOCOL) {
        protocol::TCP => tcp::begin(frame, seen, &mut flow),
        protocol::SCTP => sctp::begin(frame, seen, &mut flow),
        _ => flow.timeout = update::plain_timeout(seen, false),
    }
    table::place(tables, seen, &key, &flow)
}

/// The way bit of a packet that goes in this direction, in a flow whose first packet came in `first`.
#[inline(always)]
const fn way(direction: Direction, first_in: bool) -> u32 {
    if (direction as u32 == Direction::In as u32) == first_in { ORIGINAL } else { REPLY }
}
