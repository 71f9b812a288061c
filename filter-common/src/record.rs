//! Records that user space writes and the classifiers read, or the other way round.
//!
//! Their layout is an ABI between two programs that are replaced at different times: change it, and
//! [`ABI_VERSION`] must change.

use crate::answer::Rate;
use crate::{Class, Direction};

/// Version of everything in this module, of [`Node`](crate::Node), of the words of [`Key`](crate::Key), of the
/// [`Question`](crate::Question)s, of what [`maps`](crate::maps) declares, and of the drop reasons' numbers.
/// Pinned maps of another version are never touched.
pub const ABI_VERSION: u32 = 4;

/// How many own addresses of each family a record holds. A port with more has them compiled into a graph of
/// its own.
pub const OWN_ADDRESSES: usize = 8;

/// An entry of the table that leads from an interface to its record: one 4-byte store publishes a policy.
pub mod slot {
    /// The record's index; 0 is none.
    pub const INDEX: u32 = 0x00ff_ffff;
    /// The port's declared fail mode is `open`: a fault of the data path itself lets packets pass. It stands
    /// here, not in the record, so that it is known even where the record is not.
    pub const FAIL_OPEN: u32 = 1 << 31;
}

/// Bits of [`PortRecord::flags`].
pub mod record_flags {
    /// The guard drops what is malformed.
    pub const STRICT: u32 = 1;
    /// The policy needs the port's MAC address and nobody gave it.
    pub const LEARN_MAC: u32 = 1 << 1;
    /// The policy needs the port's IPv4 address and nobody gave it.
    pub const LEARN_IP4: u32 = 1 << 2;
    /// The policy asks for options of TCP.
    pub const TCP_OPTIONS: u32 = 1 << 3;
    /// Connections are picked up in the middle.
    pub const LOOSE: u32 = 1 << 4;
    /// Rules count connections by their sources.
    pub const COUNTS: u32 = 1 << 5;
    /// The policy needs the port's IPv6 addresses and nobody gave any.
    pub const LEARN_IP6: u32 = 1 << 8;
    /// Addresses are learned from DHCP alone, not from what the guest uses.
    pub const LEARN_LEASES_ONLY: u32 = 1 << 9;
    /// Something is to be learned. Whoever learns an IP address knows the MAC address, or learns it too.
    pub const LEARNS: u32 = LEARN_MAC | LEARN_IP4 | LEARN_IP6;
}

/// All the classifiers know of a port; written whole before it is published, never changed after.
///
/// In the order of use: what every packet needs lies in the first two or three cache lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PortRecord {
    /// The interface it is for. A packet of another one finds no policy.
    pub ifindex: u32,
    /// Bits of [`record_flags`].
    pub flags: u32,
    /// Always 0. The kernel's verifier does not know that: mixed into values it knows too much of, it makes
    /// paths through the parser one again.
    pub zero: u32,
    /// Index of the port's row in the tables of learned addresses and of drop reasons.
    pub port: u32,
    /// First entry of the port's table from rules to counters.
    pub rules: u32,
    /// Own MAC address, first two bytes.
    pub mac_hi: u32,
    /// Own MAC address, last four bytes.
    pub mac_lo: u32,
    /// How many entries of `ip4` are set.
    pub ip4_count: u32,
    /// How many entries of `ip6` are set.
    pub ip6_count: u32,
    /// Classes of packets whose connections are followed: a bit for each, by the [`Class`]'s number.
    pub tracked: u32,
    /// Where the walk starts, for each direction and class: see [`Class::root`].
    pub roots: [u32; Direction::COUNT * Class::COUNT],
    /// Own IPv4 addresses.
    pub ip4: [u32; OWN_ADDRESSES],
    /// Own IPv6 addresses.
    pub ip6: [[u32; 4]; OWN_ADDRESSES],
    /// Fingerprint of the compiled policy: equal policies, equal numbers.
    pub policy: u64,
    /// Counts the publications of this port.
    pub generation: u32,
    /// First node of the graph, and how many there are; the walk does not need them, whoever frees does.
    pub nodes: u32,
    /// See `nodes`.
    pub node_count: u32,
    /// How many entries the port's table from rules to counters has.
    pub rule_count: u32,
    /// Number of the port's table of flows; 0 is none.
    pub flow_table: u32,
    /// One less than the number of its buckets, which is a power of two.
    pub flow_mask: u32,
    /// The table before, while flows move from there; 0 is none.
    pub flow_previous: u32,
    /// See `flow_mask`.
    pub flow_previous_mask: u32,
    /// Flows that were accepted in an epoch before this one are none.
    pub flow_epoch: u32,
    /// Classes of packets whose later fragments follow their first one: bits as in `tracked`.
    pub fragments: u32,
    /// How often rejected packets are answered.
    pub answers: Rate,
    /// First of the port's limits.
    pub limits: u32,
    /// How many limits it has.
    pub limit_count: u32,
    /// What may be learned.
    pub learning: Learning,
}

/// What may be learned of a port, and of whom. IPv6 addresses stand as in a key, two words of 32 bits in each, the first
/// in the low half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Learning {
    /// How many jiffies the kernel has a second.
    pub hz: u32,
    /// How many IPv4 addresses may be learned; at most [`LEARNABLE`](crate::learn::LEARNABLE).
    pub ip4_max: u32,
    /// How many IPv6 addresses, likewise.
    pub ip6_max: u32,
    /// How many entries of `servers4` are set.
    pub server4_count: u32,
    /// How many entries of `servers6` are set.
    pub server6_count: u32,
    /// How many entries of `prefixes4` are set.
    pub prefix4_count: u32,
    /// How many entries of `prefixes6` are set.
    pub prefix6_count: u32,
    /// Always 0.
    pub reserved: u32,
    /// Sources of DHCPv4 answers that are trusted; if there are none, all are.
    pub servers4: [u32; Self::LISTED],
    /// Prefixes within which IPv4 addresses may be learned, each with its mask; if there are none, anywhere.
    pub prefixes4: [[u32; 2]; Self::LISTED],
    /// Sources of DHCPv6 answers that are trusted; if there are none, all are.
    pub servers6: [[u64; 2]; Self::LISTED],
    /// Prefixes within which IPv6 addresses may be learned, each with its mask; if there are none, those that routers
    /// announce.
    pub prefixes6: [[[u64; 2]; 2]; Self::LISTED],
}

impl Learning {
    /// How many servers, and prefixes, of a family there can be.
    pub const LISTED: usize = 4;
}

impl PortRecord {
    /// A record in which nothing is set.
    pub const EMPTY: Self = Self {
        ifindex: 0,
        flags: 0,
        zero: 0,
        port: 0,
        rules: 0,
        mac_hi: 0,
        mac_lo: 0,
        ip4_count: 0,
        ip6_count: 0,
        tracked: 0,
        roots: [0; Direction::COUNT * Class::COUNT],
        ip4: [0; OWN_ADDRESSES],
        ip6: [[0; 4]; OWN_ADDRESSES],
        policy: 0,
        generation: 0,
        nodes: 0,
        node_count: 0,
        rule_count: 0,
        flow_table: 0,
        flow_mask: 0,
        flow_previous: 0,
        flow_previous_mask: 0,
        flow_epoch: 0,
        fragments: 0,
        answers: Rate::NEVER,
        learning: Learning {
            hz: 0,
            ip4_max: 0,
            ip6_max: 0,
            server4_count: 0,
            server6_count: 0,
            prefix4_count: 0,
            prefix6_count: 0,
            reserved: 0,
            servers4: [0; Learning::LISTED],
            prefixes4: [[0; 2]; Learning::LISTED],
            servers6: [[0; 2]; Learning::LISTED],
            prefixes6: [[[0; 2]; 2]; Learning::LISTED],
        },
        limits: 0,
        limit_count: 0,
    };
}

/// Whether an epoch of policies comes before another. They are counted, and begin again after 2^32.
#[inline(always)]
pub(crate) const fn is_older(epoch: u32, than: u32) -> bool {
    epoch.wrapping_sub(than).cast_signed() < 0
}

/// Packets and bytes, as on the wire: a super-frame counts as the segments it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes, Ethernet header included, FCS not.
    pub bytes: u64,
}

const _: () = assert!(size_of::<PortRecord>() == 632 && align_of::<PortRecord>() == 8);
const _: () = assert!(size_of::<Learning>() == 272 && size_of::<Counter>() == 16);
