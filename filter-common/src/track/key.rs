//! Which flow a packet belongs to: the two ends, seen from the virtual machine, so that both directions give the same
//! key.

use crate::key::flags;
use crate::parse::protocol;
use crate::{Class, Direction, Key, word};

/// What is followed under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A connection.
    Connection = 0,
    /// A note of a first fragment that passed, from the virtual machine.
    FragmentOut = 1,
    /// The same, to it.
    FragmentIn = 2,
}

/// The identity of a flow, in six words that are compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    /// Local and remote address, two words each, as pairs of a [`Key`]; then the local number in the low 16 bits, the
    /// remote one above, the protocol in the next byte and the IP version and [`Kind`] above it; then outer and inner
    /// VLAN, and a fragment's identification in the upper half.
    pub words: [u64; 6],
}

impl FlowKey {
    /// The key of a packet that has these numbers.
    #[inline(always)]
    pub(super) fn new(key: &Key, direction: Direction, version: u64, local: u32, remote: u32) -> Self {
        let (near, far) = ends(direction);
        let numbers = local & 0xffff | remote << 16;
        let protocol = u64::from(key.get(word::PROTOCOL) & 0xff);
        Self {
            words: [
                key.pair(near),
                key.pair(near + 2),
                key.pair(far),
                key.pair(far + 2),
                u64::from(numbers) | protocol << 32 | version << 40,
                u64::from(key.get(word::VLAN) & 0xffff | key.get(word::INNER_VLAN) << 16),
            ],
        }
    }

    /// The same, of whose numbers the kernel's verifier does not know how they came about; all else it never knew.
    /// `zero`: see [`PortRecord::zero`](crate::PortRecord::zero).
    #[inline(always)]
    pub(super) fn forgotten(mut self, zero: usize) -> Self {
        self.words[4] ^= zero as u64 | (zero as u64) << 32;
        self
    }

    /// The key of any packet but one of ICMP; `None` where its protocol has ports and it has none, or is the ICMP of
    /// the other version of IP.
    #[inline(always)]
    pub(super) fn of_ports(key: &Key, class: Class, direction: Direction) -> Option<Self> {
        let version = if class.is_ipv4() { 4 } else { 6 };
        let upper = key.get(word::PROTOCOL);
        if matches!(upper, protocol::ICMP | protocol::ICMPV6) {
            return None;
        }
        let has_ports = matches!(
            upper,
            protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP
        );
        if !has_ports {
            return Some(Self::new(key, direction, version, 0, 0));
        }
        let (source, destination) = (key.get(word::SRC_PORT), key.get(word::DST_PORT));
        if source & flags::PRESENT_L4 == 0 {
            return None;
        }
        let out = direction as u32 == Direction::Out as u32;
        let (local, remote) = if out { (source, destination) } else { (destination, source) };
        Some(Self::new(key, direction, version, local, remote))
    }

    /// The IP version: 4 or 6.
    pub const fn version(&self) -> u8 {
        (self.words[4] >> 40) as u8
    }

    /// The IP protocol.
    pub const fn protocol(&self) -> u8 {
        (self.words[4] >> 32) as u8
    }

    /// The local and the remote number: ports, or what ICMP has in their place.
    pub const fn numbers(&self) -> [u16; 2] {
        [self.words[4] as u16, (self.words[4] >> 16) as u16]
    }

    /// What is followed; `None` for a number that is none.
    pub const fn kind(&self) -> Option<Kind> {
        Some(match self.words[4] >> 48 {
            0 => Kind::Connection,
            1 => Kind::FragmentOut,
            2 => Kind::FragmentIn,
            _ => return None,
        })
    }

    /// The words of the local and the remote address, as they stand in a [`Key`].
    pub const fn addresses(&self) -> [[u32; 4]; 2] {
        const fn words(first: u64, second: u64) -> [u32; 4] {
            [first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32]
        }
        [words(self.words[0], self.words[1]), words(self.words[2], self.words[3])]
    }

    /// Identifiers of the outermost and the second VLAN tag.
    pub const fn vlans(&self) -> [Option<u16>; 2] {
        const fn vlan(word: u64) -> Option<u16> {
            if word & flags::PRESENT_VLAN as u64 == 0 { None } else { Some(word as u16 & 0x0fff) }
        }
        [vlan(self.words[5]), vlan(self.words[5] >> 16)]
    }
}

/// The words of the key where the local and the remote address stand.
#[inline(always)]
pub(super) const fn ends(direction: Direction) -> (u32, u32) {
    match direction {
        Direction::Out => (word::SRC_IP, word::DST_IP),
        Direction::In => (word::DST_IP, word::SRC_IP),
    }
}
