//! The key: what the parser found in a packet, as words the graph can compare.
//!
//! Every field has a word of its own. A word that a packet has no such field for is 0, and where 0 is also a
//! legal value the present field carries a marker bit above its range (`PRESENT_*`), so that "absent" never
//! compares equal to a value. Words from 12 on mean different things in different [`Class`]es; the graph has
//! a root of its own for each class, so they never mix.

use crate::Direction;

/// Positions of fields in [`Key`].
pub mod word {
    /// EtherType after tags and SNAP; `LLC_BASE | dsap << 8 | ssap` for other 802.3 frames.
    pub const ETHER_TYPE: u32 = 0;
    /// VLAN identifier of the outermost tag, with [`PRESENT_VLAN`](super::flags::PRESENT_VLAN).
    pub const VLAN: u32 = 1;
    /// VLAN identifier of the second tag, likewise.
    pub const INNER_VLAN: u32 = 2;
    /// Priority of the outermost tag (a priority tag counts), with
    /// [`PRESENT_PRIORITY`](super::flags::PRESENT_PRIORITY), and its [`tag_kind`](super::tag_kind) above.
    pub const PRIORITY: u32 = 3;
    /// Source MAC address, first two bytes.
    pub const SRC_MAC_HI: u32 = 4;
    /// Source MAC address, last four bytes.
    pub const SRC_MAC_LO: u32 = 5;
    /// Destination MAC address, first two bytes.
    pub const DST_MAC_HI: u32 = 6;
    /// Destination MAC address, last four bytes.
    pub const DST_MAC_LO: u32 = 7;
    /// IP protocol behind extension headers; opcode in ARP and RARP; type of a BPDU.
    pub const PROTOCOL: u32 = 8;
    /// Source port, or ICMP, ICMPv6 type, with [`PRESENT_L4`](super::flags::PRESENT_L4); hardware type in ARP.
    pub const SRC_PORT: u32 = 9;
    /// Destination port, or ICMP, ICMPv6 code, likewise; protocol type in ARP.
    pub const DST_PORT: u32 = 10;
    /// TCP flags in the low byte and the bits of [`flags`](super::flags) above.
    pub const FLAGS: u32 = 11;
    /// IPv6 or IPv4 source address (4 words or the first); sender address in ARP.
    pub const SRC_IP: u32 = 12;
    /// IPv6 or IPv4 destination address (4 words or the first); target address in ARP.
    pub const DST_IP: u32 = 16;
    /// Type of service of IPv4, traffic class of IPv6: the whole byte.
    pub const TRAFFIC_CLASS: u32 = 20;
    /// The bits of [`own`](super::own): which fields hold the port's own addresses.
    pub const OWN: u32 = 21;
    /// Sender hardware address in ARP; link-layer address option in ND: first two bytes, with
    /// [`PRESENT_MAC`](super::flags::PRESENT_MAC).
    pub const INNER_SRC_MAC_HI: u32 = 22;
    /// The last four bytes of it.
    pub const INNER_SRC_MAC_LO: u32 = 23;
    /// Target hardware address in ARP: first two bytes, likewise.
    pub const INNER_DST_MAC_HI: u32 = 24;
    /// The last four bytes of it.
    pub const INNER_DST_MAC_LO: u32 = 25;
    /// Target address of a neighbour solicitation, advertisement or redirect (4 words).
    pub const ND_TARGET: u32 = 26;
    /// Which kinds of options a TCP header has: bit `kind % 32` of word `kind / 32`, in 8 words that serve only
    /// TCP; empty where the port does not ask for them.
    pub const TCP_OPTIONS: u32 = 22;
    /// The 16 bits behind the outermost tag, with [`PRESENT_TYPE`](super::flags::PRESENT_TYPE).
    pub const ENCAPSULATED: u32 = 30;
    /// 1 where the EtherType was found in a SNAP header.
    pub const SNAP: u32 = 31;

    /// BPDU: flags. These words serve only spanning-tree frames, which have no IP or ARP fields.
    pub const STP_FLAGS: u32 = 9;
    /// BPDU: root identifier's priority.
    pub const STP_ROOT_PRIORITY: u32 = 12;
    /// BPDU: root identifier's address, first two bytes.
    pub const STP_ROOT_MAC_HI: u32 = 13;
    /// BPDU: root identifier's address, last four bytes.
    pub const STP_ROOT_MAC_LO: u32 = 14;
    /// BPDU: root path cost.
    pub const STP_ROOT_COST: u32 = 15;
    /// BPDU: bridge identifier's priority.
    pub const STP_SENDER_PRIORITY: u32 = 16;
    /// BPDU: bridge identifier's address, first two bytes.
    pub const STP_SENDER_MAC_HI: u32 = 17;
    /// BPDU: bridge identifier's address, last four bytes.
    pub const STP_SENDER_MAC_LO: u32 = 18;
    /// BPDU: port identifier.
    pub const STP_PORT: u32 = 19;
    /// BPDU: message age, in 1/256 s.
    pub const STP_AGE: u32 = 20;
    /// BPDU: max age, in 1/256 s.
    pub const STP_MAX_AGE: u32 = 22;
    /// BPDU: hello time, in 1/256 s.
    pub const STP_HELLO_TIME: u32 = 23;
    /// BPDU: forward delay, in 1/256 s.
    pub const STP_FORWARD_DELAY: u32 = 24;

    /// How many words a key has; a power of two.
    pub const COUNT: usize = 32;
}

/// Bits of the [`word::FLAGS`] word, and the markers that tell a present field from an absent one.
pub mod flags {
    /// The packet is a fragment.
    pub const FRAGMENT: u32 = 1 << 8;
    /// It is not the first fragment, so it has no upper-layer header.
    pub const LATER_FRAGMENT: u32 = 1 << 9;
    /// An ARP or RARP packet for Ethernet and IPv4: its addresses were read.
    pub const ARP_ADDRESSES: u32 = 1 << 10;
    /// Sender and target protocol address are equal (RFC 5227 announcement, gratuitous ARP).
    pub const ARP_GRATUITOUS: u32 = 1 << 11;
    /// A spanning-tree BPDU whose fields were read: a configuration.
    pub const STP: u32 = 1 << 12;
    /// IPv4 options are there.
    pub const IP_OPTIONS: u32 = 1 << 13;
    /// An authentication header was passed on the way to the upper layer.
    pub const AUTHENTICATION: u32 = 1 << 14;
    /// The IP header was read.
    pub const IP: u32 = 1 << 15;
    /// The target of a neighbour discovery message was read.
    pub const ND_TARGET: u32 = 1 << 16;
    /// The header of a spanning-tree BPDU was read.
    pub const BPDU: u32 = 1 << 17;
    /// The whole of a TCP header was read.
    pub const TCP: u32 = 1 << 18;

    /// In the VLAN words: there is such a tag.
    pub const PRESENT_VLAN: u32 = 1 << 12;
    /// In the priority word: there is a tag.
    pub const PRESENT_PRIORITY: u32 = 1 << 3;
    /// In the word of the encapsulated type: there is a tag.
    pub const PRESENT_TYPE: u32 = 1 << 16;
    /// In the port words: there is an upper-layer header with such a field.
    pub const PRESENT_L4: u32 = 1 << 16;
    /// In the high word of inner MAC addresses: there is such an address.
    pub const PRESENT_MAC: u32 = 1 << 16;
    /// Added to the SAPs of an 802.3 frame, so that they never look like an EtherType.
    pub const LLC_BASE: u32 = 1 << 16;
}

/// What stands in [`word::PRIORITY`] for the type of the outermost tag.
pub mod tag_kind {
    use crate::parse::ether_type;

    /// How far above the priority it stands.
    pub const SHIFT: u32 = 4;
    /// The types, and what stands for each of them.
    pub const ALL: [(u32, u32); 3] =
        [(ether_type::VLAN, 1), (ether_type::SERVICE_VLAN, 2), (ether_type::OLD_SERVICE_VLAN, 3)];

    /// What stands for a tag's type. There are no other types than these three.
    #[inline(always)]
    pub(crate) const fn of(ether_type: u32) -> u32 {
        match ether_type {
            ether_type::SERVICE_VLAN => 2,
            ether_type::OLD_SERVICE_VLAN => 3,
            _ => 1,
        }
    }
}

/// Bits of the [`word::OWN`] word: what is compared with the port's own addresses before the walk.
///
/// This is what lets a thousand ports share one graph: the graph asks "is it his own?", the port's record
/// knows the answer.
pub mod own {
    /// Ethernet source is the port's MAC address.
    pub const SRC_MAC: u32 = 1;
    /// Ethernet destination is.
    pub const DST_MAC: u32 = 1 << 1;
    /// ARP sender hardware address, or the link-layer option of a neighbour discovery message, is.
    pub const INNER_SRC_MAC: u32 = 1 << 2;
    /// ARP target hardware address is.
    pub const INNER_DST_MAC: u32 = 1 << 3;
    /// IP source or ARP sender protocol address is one of the port's addresses.
    pub const SRC_IP: u32 = 1 << 4;
    /// IP destination or ARP target protocol address is.
    pub const DST_IP: u32 = 1 << 5;
    /// The neighbour discovery target is.
    pub const ND_TARGET: u32 = 1 << 6;
    /// IPv6 source is the link-local address made from the port's MAC address (RFC 4291 appendix A).
    pub const SRC_LINK_LOCAL: u32 = 1 << 7;
    /// IPv6 destination is.
    pub const DST_LINK_LOCAL: u32 = 1 << 8;
    /// The neighbour discovery target is.
    pub const ND_TARGET_LINK_LOCAL: u32 = 1 << 9;
    /// How far the bits of [`connection`](crate::connection) are shifted that stand in the same word.
    pub const CONNECTION: u32 = 10;
    /// The packet begins a connection, if it passes. Only who counts connections looks at this.
    pub const BEGINS: u32 = 1 << 16;
}

/// What kind of packet it is: each class has a root of its own in the graph. A packet whose IP or ARP header
/// could not be read is [`Class::Other`], whatever its EtherType says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Class {
    /// TCP over IPv4.
    Ipv4Tcp = 0,
    /// UDP over IPv4.
    Ipv4Udp = 1,
    /// ICMP over IPv4.
    Ipv4Icmp = 2,
    /// Any other protocol over IPv4.
    Ipv4Other = 3,
    /// TCP over IPv6.
    Ipv6Tcp = 4,
    /// UDP over IPv6.
    Ipv6Udp = 5,
    /// ICMPv6.
    Ipv6Icmp = 6,
    /// Any other protocol over IPv6.
    Ipv6Other = 7,
    /// ARP.
    Arp = 8,
    /// Reverse ARP.
    Rarp = 9,
    /// IEEE 802.3 with a length field, and not IP or ARP inside SNAP.
    Llc = 10,
    /// Any other EtherType.
    Other = 11,
}

impl Class {
    /// How many there are.
    pub const COUNT: usize = 12;
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Ipv4Tcp,
        Self::Ipv4Udp,
        Self::Ipv4Icmp,
        Self::Ipv4Other,
        Self::Ipv6Tcp,
        Self::Ipv6Udp,
        Self::Ipv6Icmp,
        Self::Ipv6Other,
        Self::Arp,
        Self::Rarp,
        Self::Llc,
        Self::Other,
    ];

    /// The class with this number.
    #[inline(always)]
    pub const fn from_number(number: usize) -> Option<Self> {
        Some(match number {
            0 => Self::Ipv4Tcp,
            1 => Self::Ipv4Udp,
            2 => Self::Ipv4Icmp,
            3 => Self::Ipv4Other,
            4 => Self::Ipv6Tcp,
            5 => Self::Ipv6Udp,
            6 => Self::Ipv6Icmp,
            7 => Self::Ipv6Other,
            8 => Self::Arp,
            9 => Self::Rarp,
            10 => Self::Llc,
            11 => Self::Other,
            _ => return None,
        })
    }

    /// Its name, as operators see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4Tcp => "ipv4-tcp",
            Self::Ipv4Udp => "ipv4-udp",
            Self::Ipv4Icmp => "ipv4-icmp",
            Self::Ipv4Other => "ipv4-other",
            Self::Ipv6Tcp => "ipv6-tcp",
            Self::Ipv6Udp => "ipv6-udp",
            Self::Ipv6Icmp => "icmpv6",
            Self::Ipv6Other => "ipv6-other",
            Self::Arp => "arp",
            Self::Rarp => "rarp",
            Self::Llc => "802.3",
            Self::Other => "other",
        }
    }

    /// Whether packets of this class carry IPv4.
    #[inline(always)]
    pub const fn is_ipv4(self) -> bool {
        (self as u32) < 4
    }

    /// Whether packets of this class carry IPv6.
    #[inline(always)]
    pub const fn is_ipv6(self) -> bool {
        (self as u32) >= 4 && (self as u32) < 8
    }

    /// Where this class' root lies in a record's roots for a direction.
    #[inline(always)]
    pub const fn root(self, direction: Direction) -> usize {
        direction.index() * Self::COUNT + self as usize
    }
}

/// The words of a packet. 8-byte alignment lets the kernel's compiler merge stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Key {
    words: [u32; word::COUNT],
}

impl Key {
    /// A key in which every field is absent.
    pub const fn new() -> Self {
        Self { words: [0; word::COUNT] }
    }

    /// The word at one of the positions of [`word`].
    #[inline(always)]
    pub const fn get(&self, position: u32) -> u32 {
        self.words[position as usize]
    }

    /// Sets the word at one of the positions of [`word`].
    #[inline(always)]
    pub const fn set(&mut self, position: u32, value: u32) {
        self.words[position as usize] = value;
    }

    /// The words at `position`, which is even, and behind it: the first in the low half.
    #[inline(always)]
    pub(crate) const fn pair(&self, position: u32) -> u64 {
        debug_assert!(position.is_multiple_of(2));
        self.get(position) as u64 | (self.get(position + 1) as u64) << 32
    }

    /// Sets the words at `position`, which is even, and behind it: one store.
    #[inline(always)]
    pub(crate) fn set_pair(&mut self, position: u32, first: u32, second: u32) {
        debug_assert!(position.is_multiple_of(2));
        let position = position as usize;
        #[cfg(target_arch = "bpf")]
        {
            let pair = u64::from(first) | u64::from(second) << 32;
            // Volatile: several of them, all zeros, become a call to `memset` otherwise.
            #[allow(unsafe_code, reason = "a volatile store has no safe form")]
            // SAFETY: positions are constants within the array, and even ones are aligned to 8 bytes.
            unsafe {
                core::ptr::write_volatile(self.words.as_mut_ptr().add(position).cast(), pair);
            }
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            self.words[position] = first;
            self.words[position + 1] = second;
        }
    }

    /// The word at a position that a node names, cut to the words there are.
    #[inline(always)]
    pub fn indexed(&self, position: u32) -> u32 {
        let position = position as usize & (word::COUNT - 1);
        #[cfg(target_arch = "bpf")]
        {
            // The compiler must neither turn this into a jump table over words kept in registers nor split
            // the load; the verifier wants one load at a bounded offset.
            #[allow(unsafe_code, reason = "a volatile load has no safe form")]
            // SAFETY: the mask keeps the position within the array.
            unsafe {
                core::ptr::read_volatile(self.words.as_ptr().add(position))
            }
        }
        #[cfg(not(target_arch = "bpf"))]
        self.words[position]
    }

    /// Puts `number`, which is below 256, into the set of numbers that starts at the word `first`.
    #[inline(always)]
    pub(crate) fn insert(&mut self, first: u32, number: u32) {
        let position = (first + (number >> 5 & 7)) as usize & (word::COUNT - 1);
        let bit = 1 << (number & 31);
        #[cfg(target_arch = "bpf")]
        {
            // As in `indexed`: one load and one store at a bounded offset.
            #[allow(unsafe_code, reason = "volatile access has no safe form")]
            // SAFETY: the mask keeps the position within the array.
            unsafe {
                let word = self.words.as_mut_ptr().add(position);
                core::ptr::write_volatile(word, core::ptr::read_volatile(word) | bit);
            }
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            self.words[position] |= bit;
        }
    }

    /// Makes every field absent.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.clear_from(0);
    }

    /// Makes the fields from the word at `position`, which is even, to the last one absent. On the BPF target a
    /// plain `[0; N]` becomes a call to a byte-wise `memset`, which costs more than the rest of the parser.
    #[inline(always)]
    pub(crate) fn clear_from(&mut self, mut position: u32) {
        while position < word::COUNT as u32 {
            self.set_pair(position, 0, 0);
            position += 2;
        }
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(word::TCP_OPTIONS + 8 <= word::ENCAPSULATED);
const _: () = assert!(word::COUNT.is_power_of_two() && word::COUNT <= 1 << 5);
const _: () = assert!(size_of::<Key>() == word::COUNT * 4 && align_of::<Key>() == 8);
