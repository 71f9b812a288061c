//! The parser and the guard: from the bytes of a frame to a [`Key`].
//!
//! One file per protocol. The guard is not a pass of its own: the parser notes the first thing that is wrong
//! whatever a profile says ([`Parsed::anomaly`]), and goes on as far as it can, because a port in `libvirt`
//! mode ignores the guard and its rules still want the fields.
//!
//! Invariant: the key and the anomaly depend on nothing but the frame (and the mode), in the kernel as in
//! user space. Bytes behind the end that a header states (padding) are never read.

mod arp;
mod ethernet;
mod icmpv6;
mod ipv4;
mod ipv6;
mod plain;
mod stp;
mod upper;

pub use plain::parse_plain;

use crate::forget::forget;
use crate::record::record_flags;
use crate::{Class, DropReason, Frame, Key};

/// All a [`DropReason`]'s number can be.
const ANY_REASON: i32 = 0x7f;
/// All that an offset can be that headers are still read at, rounded up.
const ANY_OFFSET: i32 = 0x3ff;
/// All that the offset of a network header can be: Ethernet, three tags, LLC and SNAP.
const ANY_NETWORK: i32 = 0x3f;
const _: () = assert!(DropReason::TABLE <= ANY_REASON as usize + 1);
const _: () = assert!(crate::MAX_HEADERS <= ANY_OFFSET as usize && 14 + 12 + 8 <= ANY_NETWORK);

/// EtherType numbers the parser looks behind (IEEE registry).
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u32 = 0x0800;
    /// ARP.
    pub const ARP: u32 = 0x0806;
    /// Reverse ARP.
    pub const RARP: u32 = 0x8035;
    /// IPv6.
    pub const IPV6: u32 = 0x86dd;
    /// Customer VLAN tag (802.1Q).
    pub const VLAN: u32 = 0x8100;
    /// Service VLAN tag (802.1ad).
    pub const SERVICE_VLAN: u32 = 0x88a8;
    /// Service VLAN tag as written before 802.1ad.
    pub const OLD_SERVICE_VLAN: u32 = 0x9100;
}

/// IP protocol numbers the parser looks behind (IANA registry).
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u32 = 0;
    /// ICMP.
    pub const ICMP: u32 = 1;
    /// IGMP.
    pub const IGMP: u32 = 2;
    /// TCP.
    pub const TCP: u32 = 6;
    /// UDP.
    pub const UDP: u32 = 17;
    /// DCCP.
    pub const DCCP: u32 = 33;
    /// IPv6 routing header.
    pub const ROUTING: u32 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u32 = 44;
    /// Encapsulating security payload.
    pub const ESP: u32 = 50;
    /// Authentication header.
    pub const AH: u32 = 51;
    /// ICMPv6.
    pub const ICMPV6: u32 = 58;
    /// IPv6: no next header.
    pub const NO_NEXT_HEADER: u32 = 59;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u32 = 60;
    /// SCTP.
    pub const SCTP: u32 = 132;
    /// Mobility header.
    pub const MOBILITY: u32 = 135;
    /// UDP-Lite.
    pub const UDP_LITE: u32 = 136;
    /// Host identity protocol.
    pub const HIP: u32 = 139;
    /// Shim6.
    pub const SHIM6: u32 = 140;
}

/// What the parser found out besides the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Which root of the graph judges the packet: a [`Class`]'s number.
    class: u32,
    /// The first thing that is wrong with it whatever the profile says: a [`DropReason`]'s number, or 0.
    anomaly: u32,
    /// How many bytes precede the upper layer's payload, as far as known.
    headers: u32,
    /// Where the packet ends, by what its headers say.
    end: u32,
}

impl Parsed {
    /// There is nothing wrong with the packet.
    #[inline(always)]
    const fn sound(class: Class, headers: usize, end: usize) -> Self {
        Self { class: class as u32, anomaly: 0, headers: headers as u32, end: end as u32 }
    }

    /// Which root of the graph judges the packet.
    #[inline(always)]
    pub fn class(self) -> Option<Class> {
        Class::from_number(self.class as usize)
    }

    /// The first thing that is wrong with the packet whatever the profile says.
    #[inline(always)]
    pub fn anomaly(self) -> Option<DropReason> {
        if self.anomaly == 0 {
            return None;
        }
        // No other number is ever stored.
        Some(DropReason::from_number(self.anomaly).unwrap_or(DropReason::GraphFault))
    }

    /// How many bytes precede the upper layer's payload, as far as known.
    #[inline(always)]
    pub fn headers(self) -> usize {
        self.headers as usize
    }

    /// Where the packet ends, in bytes from the frame's beginning, by what the innermost header with a length says. What
    /// follows is padding.
    #[inline(always)]
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// All of it in one word, as a function of the kernel's returns it.
    #[inline(always)]
    pub fn to_word(self) -> u64 {
        u64::from(self.class) << 56
            | u64::from(self.anomaly) << 48
            | u64::from(self.end & Self::FIELD) << 24
            | u64::from(self.headers & Self::FIELD)
    }

    /// Offsets in the word of [`Parsed::to_word`]: frames end before.
    const FIELD: u32 = 0x00ff_ffff;

    /// What [`Parsed::to_word`] put together.
    #[inline(always)]
    pub fn from_word(word: u64) -> Self {
        Self {
            class: (word >> 56) as u32,
            anomaly: (word >> 48) as u32 & 0xff,
            headers: word as u32 & Self::FIELD,
            end: (word >> 24) as u32 & Self::FIELD,
        }
    }
}

/// Parses `frame` into `key`, whatever stood there. `zero` is 0: see
/// [`PortRecord::zero`](crate::PortRecord::zero).
///
/// `flags` are those of the port's record. A strict parse looks through VLAN tags and SNAP; the other leaves
/// them closed, as ebtables does. Options of TCP are read where the port asks for them.
#[inline(always)]
pub fn parse<F: Frame>(frame: &F, flags: u32, key: &mut Key, zero: usize) -> Parsed {
    key.clear();
    let mut parser = Parser {
        frame,
        key,
        class: Class::Other,
        anomaly: forget::<ANY_REASON>(0, zero),
        end: frame.len(),
        headers: 0,
        strict: flags & record_flags::STRICT != 0,
        tcp_options: flags & record_flags::TCP_OPTIONS != 0,
        zero,
    };
    // A header that cannot be read ends the parse early; the anomaly says which.
    let _ = ethernet::parse(&mut parser);
    Parsed {
        class: parser.class as u32,
        anomaly: parser.anomaly as u32,
        headers: parser.headers as u32,
        end: parser.end as u32,
    }
}

/// All that the end of a packet can be; the kernel's super-frames have at most 512 KiB.
const ANY_END: i32 = 0x000f_ffff;

/// State of one parse.
struct Parser<'a, F> {
    frame: &'a F,
    key: &'a mut Key,
    class: Class,
    anomaly: usize,
    /// End of what the innermost header with a length says belongs to the packet.
    end: usize,
    headers: usize,
    strict: bool,
    tcp_options: bool,
    zero: usize,
}

impl<F: Frame> Parser<'_, F> {
    /// Notes what is wrong, unless something was noted before.
    #[inline(always)]
    fn note(&mut self, reason: DropReason) {
        if self.anomaly == 0 {
            self.anomaly = forget::<ANY_REASON>(reason as usize, self.zero);
        }
    }

    /// Notes `reason` where `wrong`.
    #[inline(always)]
    fn guard(&mut self, wrong: bool, reason: DropReason) {
        if wrong {
            self.note(reason);
        }
    }

    /// Makes the verifier forget what comparisons on the way here told it of the packet's end.
    #[inline(always)]
    fn forget_end(&mut self) {
        self.end = forget::<ANY_END>(self.end, self.zero);
    }

    /// The `N` bytes of a header at `offset`; where they are not within the packet, notes `reason` (or that
    /// headers reach too deep) and ends the parse.
    #[inline(always)]
    fn header<const N: usize>(&mut self, offset: usize, reason: DropReason) -> Option<F::Block<N>> {
        if offset + N > self.end {
            self.note(reason);
            return None;
        }
        let block = self.frame.block(offset);
        if block.is_none() {
            self.note(DropReason::HeadersTooDeep);
        }
        block
    }
}
