//! Names, sizes and element types of the maps that the classifiers and user space share.
//!
//! Names are what an operator sees in `bpftool map`, at most fifteen characters. Sizes are those of the
//! object as built; the ones that only bound how many ports there can be may be changed at load.

use crate::limit::Limit;
use crate::{Direction, DropReason, Node};

/// From an interface's index to the slot of its record: [`slot`](crate::slot).
pub const IFINDEX: &str = "filter_ifindex";
/// Records of ports: [`PortRecord`](crate::PortRecord).
pub const PORTS: &str = "filter_ports";
/// The graphs of all ports: [`NodePool`].
pub const NODES: &str = "filter_nodes";
/// From a port's rules to counters: [`RulePool`].
pub const RULES: &str = "filter_rules";
/// Counters of rules, one per CPU: [`Counter`](crate::Counter).
pub const COUNTERS: &str = "filter_counters";
/// Packets dropped by the guard: [`GuardCounters`], by the port's number.
pub const GUARD: &str = "filter_guard";
/// What was learned: [`Learned`](crate::Learned), by the port's number.
pub const LEARNED: &str = "filter_learned";
/// What is in named sets, by the set's number: maps of [`Member`](crate::Member)s, made and replaced by user space.
pub const SETS: &str = "filter_sets";
/// The same for sets of networks: tries of prefixes of [`NetworkAddress`](crate::NetworkAddress)es.
pub const NETWORKS: &str = "filter_networks";
/// Which contents of a set the two above hold: [`SetState`], by the set's number.
pub const SET_STATES: &str = "filter_setstate";
/// Answers to rejected packets: [`AnswerCounters`](crate::answer::AnswerCounters), by the port's number.
pub const ANSWERS: &str = "filter_answers";
/// Where answers are put together, one place for each CPU: [`Room`](crate::answer::Room). User space does not touch it.
pub const ROOM: &str = "filter_room";
/// Limits of all ports: [`LimitPool`].
pub const LIMITS: &str = "filter_limits";
/// How full the limits' buckets are: [`BucketPool`].
pub const BUCKETS: &str = "filter_buckets";
/// A map of maps whose update waits until no packet is in a program any more. It holds nothing.
pub const GRACE: &str = "filter_grace";

/// Tables of flows, by the number in a port's record: arrays of [`Bucket`](crate::track::Bucket).
pub const FLOWS: &str = "filter_flows";
/// What holds for all ports: [`Settings`](crate::track::Settings).
pub const SETTINGS: &str = "filter_settings";

/// All of them but the log's ring buffer.
pub const ALL: [&str; 17] = [
    IFINDEX, PORTS, NODES, RULES, COUNTERS, GUARD, LEARNED, SETS, NETWORKS, SET_STATES, LIMITS, BUCKETS,
    ANSWERS, ROOM, GRACE, FLOWS, SETTINGS,
];

/// The classifiers' global with the secret by which they know their answers, set when they are loaded.
pub const ANSWER_SECRET: &str = "ANSWER_SECRET";
/// This bit of the secret is always set, so that no answer's mark is 0, whatever its interface.
pub const ANSWER_SECRET_BIT: u32 = 1 << 31;

/// The classifier of [`Direction::Out`].
pub const PROGRAM_OUT: &str = "filter_vm_out";
/// The classifier of [`Direction::In`].
pub const PROGRAM_IN: &str = "filter_vm_in";

/// What puts flows into tables ([`batch`](crate::track::batch)); never attached.
pub const PROGRAM_FLOWS: &str = "filter_flow_put";

/// The classifier of a direction.
pub const fn program(direction: Direction) -> &'static str {
    match direction {
        Direction::Out => PROGRAM_OUT,
        Direction::In => PROGRAM_IN,
    }
}

/// Largest interface index, plus one.
pub const MAX_IFINDEX: usize = 1 << 20;
/// Records, slot 0 included; a port has two while its policy changes, and all ports may change at once.
pub const MAX_SLOTS: usize = 2 * MAX_PORTS;
/// Ports, number 0 (packets without a port) included.
pub const MAX_PORTS: usize = 3 << 12;
/// Tables of flows, number 0 (no table) included: as many as records.
pub const MAX_TABLES: usize = MAX_SLOTS;
/// Nodes of all graphs.
pub const MAX_NODES: usize = 1 << 20;
/// Entries of all tables from rules to counters.
pub const MAX_RULES: usize = 1 << 20;
/// Counters; number 0 takes what has none. Each is 16 bytes a CPU, so there are no more than 32 for each port.
pub const MAX_COUNTERS: usize = 32 * MAX_PORTS;

/// Limits of all ports, those that an update replaces included.
pub const MAX_LIMITS: usize = 1 << 17;
/// Buckets of limits; number 0 is nobody's.
pub const MAX_BUCKETS: usize = MAX_LIMITS;
/// Named sets. Numbers of sets are below this one.
pub const MAX_SETS: usize = 1 << 12;
/// Members of one set.
pub const MAX_MEMBERS: usize = 1_000_000;

/// All nodes as one value, so that a step of the walk is a mask and an addition, not a lookup.
#[repr(C)]
pub struct NodePool {
    /// The nodes; whoever reads masks the index.
    pub nodes: [Node; MAX_NODES],
}

/// All tables from rules to counters as one value.
#[repr(C)]
pub struct RulePool {
    /// Indices into the counters.
    pub counters: [u32; MAX_RULES],
}

/// All limits as one value.
#[repr(C)]
pub struct LimitPool {
    /// The limits; whoever reads masks the index.
    pub limits: [Limit; MAX_LIMITS],
}

/// All buckets as one value.
#[repr(C)]
pub struct BucketPool {
    /// When each is full again: see [`limit`](crate::limit).
    pub full: [u64; MAX_BUCKETS],
}

/// Packets that the data path itself dropped at one port.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GuardCounters {
    /// From the VM, by the [`DropReason`]'s number.
    pub out: [u64; DropReason::TABLE],
    /// To the VM.
    pub r#in: [u64; DropReason::TABLE],
}

/// What user space knows of the contents that the kernel has of a set. The classifiers do not read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SetState {
    /// Version of the set's file; 0 where the kernel has nothing of a set.
    pub version: u64,
    /// Bytes of that file that have been carried out.
    pub applied: u64,
}

const _: () = assert!(size_of::<SetState>() == 16);
// An interface's index and a direction leave the secret's bit alone.
const _: () = assert!(MAX_IFINDEX * 2 <= ANSWER_SECRET_BIT as usize);
const _: () = assert!(MAX_NODES.is_power_of_two() && MAX_RULES.is_power_of_two());
const _: () = assert!(MAX_LIMITS.is_power_of_two() && MAX_BUCKETS.is_power_of_two());
const _: () = assert!(MAX_NODES - 1 <= crate::MAX_NODE_INDEX as usize);
const _: () = assert!(MAX_SLOTS - 1 <= crate::slot::INDEX as usize);
const _: () = assert!(size_of::<GuardCounters>() == 16 * DropReason::TABLE);
