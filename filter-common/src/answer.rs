//! What a rejected packet is answered with: a reset in TCP, else an ICMP error (RFC 792, RFC 1812 section 4.3,
//! RFC 4443), as if it came from where the packet was to go.
//!
//! The kernel and user space make the same answer of the same packet. It is put together in a [`Room`], in front of
//! the packet itself, so that what an error quotes is in place already. A room is words, not bytes: all headers lie at
//! multiples of four bytes, and the kernel's verifier follows that best.
//!
//! Nothing is answered that could be answered in turn, that more than one station got, or that does not say who sent
//! it ([`answerable`]). How often a port answers is bounded by its [`Rate`].

use crate::forget::forget;
use crate::key::{flags, word};
use crate::parse::{ether_type, protocol};
use crate::{Key, Verdict};

/// Words of a room in front of the packet: the answer's headers, and an Ethernet header in front of those.
const FRONT: usize = 20;
/// The most that is read of a packet, in bytes: an answer with all of it quoted has 1280, the least that every link
/// takes in IPv6 (RFC 4443 section 2.4 c).
const MOST: usize = 1280 - 40 - 8;
/// What an error over IPv4 quotes at most: so that it has 576 bytes (RFC 1812 section 4.3.2.3).
const MOST_IP4: usize = 576 - 20 - 8;
const MOST_WORDS: usize = MOST / 4;
const WORDS: usize = FRONT + MOST_WORDS;

/// All that a position in the packet can be at which an upper layer's header is looked for, in words.
const ANY_UPPER: i32 = 0x7f;

/// Time to live of answers, the usual one.
const HOPS: u32 = 64;
/// Internetwork control, the precedence of ICMP errors (RFC 1812 section 4.3.2.5).
const CONTROL: u32 = 0xc0;
const DONT_FRAGMENT: u32 = 0x4000;

const FIN: u32 = 1;
const SYN: u32 = 2;
const RST: u32 = 4;
const ACK: u32 = 16;

/// How often a port may answer: a bucket of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Rate {
    /// Nanoseconds in which one more answer may be given; 0: none is given at all.
    pub interval: u32,
    /// How many may be given at once.
    pub burst: u32,
}

impl Rate {
    /// No answers.
    pub const NEVER: Self = Self { interval: 0, burst: 0 };

    /// Takes a token. `due` is what this returned for the answer before, or 0: the time at which the bucket is full
    /// again. Both times are nanoseconds. `None`: there is no token.
    #[inline(always)]
    pub const fn take(self, due: u64, now: u64) -> Option<u64> {
        if self.interval == 0 {
            return None;
        }
        let from = if due > now { due } else { now };
        let due = from + self.interval as u64;
        if due - now > self.interval as u64 * self.burst as u64 { None } else { Some(due) }
    }
}

impl Default for Rate {
    /// 100 a second, 50 at once: all that a person who waits for an answer needs, and no more than a trickle where
    /// somebody floods.
    fn default() -> Self {
        Self { interval: 10_000_000, burst: 50 }
    }
}

/// What one port answered, and what it would have answered had the rate let it; by
/// [`Direction`](crate::Direction) of the rejected packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AnswerCounters {
    /// When the port's bucket is full again: see [`Rate::take`].
    pub due: u64,
    /// Answers sent.
    pub sent: [u64; 2],
    /// Answers not sent, because of the rate or because the kernel could not.
    pub suppressed: [u64; 2],
}

/// Whether a packet in which nothing is wrong may be answered at all.
#[inline(always)]
pub fn answerable(key: &Key) -> bool {
    let bits = key.get(word::FLAGS);
    if bits & flags::IP == 0 || bits & flags::FRAGMENT != 0 || key.get(word::SNAP) != 0 {
        return false;
    }
    // Broadcast is a group address, too.
    if key.get(word::DST_MAC_HI) & 0x0100 != 0 {
        return false;
    }
    if is_ip4(key) {
        let (source, destination) = (key.get(word::SRC_IP) >> 24, key.get(word::DST_IP) >> 24);
        // Multicast, reserved and broadcast addresses, and those that name nobody.
        if source == 0 || source >= 224 || destination == 0 || destination >= 224 {
            return false;
        }
    } else if key.get(word::ETHER_TYPE) == ether_type::IPV6 {
        let source = key.get(word::SRC_IP)
            | key.get(word::SRC_IP + 1)
            | key.get(word::SRC_IP + 2)
            | key.get(word::SRC_IP + 3);
        let group = |first| key.get(first) >> 24 == 0xff;
        if source == 0 || group(word::SRC_IP) || group(word::DST_IP) {
            return false;
        }
    } else {
        return false;
    }
    let kind = key.get(word::SRC_PORT);
    match key.get(word::PROTOCOL) {
        protocol::TCP => bits & flags::TCP != 0 && bits & RST == 0,
        protocol::ICMP if is_ip4(key) => kind & flags::PRESENT_L4 != 0 && is_icmp_query(kind & 0xff),
        // Types below 128 are errors (RFC 4443 section 2.1), 137 is a redirect.
        protocol::ICMPV6 if !is_ip4(key) => {
            kind & flags::PRESENT_L4 != 0 && kind & 0xff >= 128 && kind & 0xff != 137
        }
        _ => true,
    }
}

#[inline(always)]
const fn is_ip4(key: &Key) -> bool {
    key.get(word::ETHER_TYPE) == ether_type::IPV4
}

/// Whether a type of ICMP is a question or the answer to one. What is not known may be an error.
#[inline(always)]
const fn is_icmp_query(kind: u32) -> bool {
    /// Echo, router discovery, timestamp, information and mask (RFC 792, 950, 1256).
    const QUERIES: u32 = 1 << 0 | 1 << 8 | 1 << 9 | 1 << 10 | 0b11_1111 << 13;
    kind < 32 && QUERIES >> kind & 1 != 0
}

/// How much of a packet goes into a [`Room`], in bytes from the IP header on, given the first eight of them as two
/// words; 0 where it is neither IPv4 nor IPv6.
#[inline(always)]
pub const fn wanted(first: u32, second: u32) -> usize {
    let (length, most) = match first >> 28 {
        4 => ((first & 0xffff) as usize, MOST_IP4),
        6 => (40 + (second >> 16) as usize, MOST),
        _ => return 0,
    };
    if length < most { length } else { most }
}

/// A packet from its IP header on, with room in front of it for the answer.
#[derive(Clone, Debug)]
#[repr(C, align(8))]
pub struct Room {
    /// In network byte order. What lies behind the packet does not matter.
    words: [u32; WORDS],
}

/// Where a frame lies in its room, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// How many it has.
    pub length: usize,
}

impl Room {
    /// Where the packet goes, in bytes from the start of the room.
    pub const PACKET: usize = FRONT * 4;
    /// The most that goes there, in bytes.
    pub const MOST: usize = MOST;
    /// The longest frame there can be.
    pub const MOST_FRAME: usize = 14 + 40 + 8 + MOST;

    /// A room with nothing in it.
    pub const EMPTY: Self = Self { words: [0; WORDS] };

    /// A room with a packet in it, as much as is [`wanted`]; `None` where it is no packet or has less than that.
    pub fn of(packet: &[u8]) -> Option<Self> {
        let mut room = Self::EMPTY;
        let mut words = packet.chunks(4).map(|chunk| {
            let mut bytes = [0; 4];
            bytes[..chunk.len()].copy_from_slice(chunk);
            u32::from_ne_bytes(bytes)
        });
        let place = room.words.get_mut(FRONT..FRONT + MOST_WORDS)?;
        for (word, value) in place.iter_mut().zip(&mut words) {
            *word = value;
        }
        let length = wanted(room.packet(0), room.packet(1));
        (length >= 20 && length <= packet.len()).then_some(room)
    }

    /// The frame that [`Room::answer`] made.
    pub fn frame(&self, span: Span) -> impl Iterator<Item = u8> + '_ {
        self.words.iter().flat_map(|word| word.to_ne_bytes()).skip(span.start).take(span.length)
    }

    /// The word of the packet at a position.
    #[inline(always)]
    const fn packet(&self, position: usize) -> u32 {
        u32::from_be(self.words[FRONT + position])
    }

    /// The word of the packet at a position that is not known beforehand, within [`ANY_UPPER`].
    #[inline(always)]
    fn packet_at(&self, position: usize, zero: usize) -> u32 {
        u32::from_be(self.words[FRONT + forget::<ANY_UPPER>(position, zero)])
    }

    #[inline(always)]
    const fn set(&mut self, position: usize, value: u32) {
        self.words[position] = value.to_be();
    }

    /// The sum of words, for a checksum (RFC 1071).
    #[inline(always)]
    const fn sum<const FROM: usize, const TO: usize>(&self) -> u64 {
        let (mut sum, mut position) = (0, FROM);
        while position < TO {
            sum += u32::from_be(self.words[position]) as u64;
            position += 1;
        }
        sum
    }

    /// Makes the answer to the packet that is in the room, of which there is as much as is [`wanted`], and puts it
    /// in front, Ethernet header included: without tags, between the packet's two stations. `verdict` is one that
    /// rejects, `key` is the packet's, which is [`answerable`]. `zero` is 0: see
    /// [`PortRecord::zero`](crate::PortRecord::zero).
    ///
    /// `sum` is [`Room::sum_quoted`], or calls it.
    ///
    /// `None`: no answer can be made of it.
    #[inline(always)]
    pub fn answer(
        &mut self,
        verdict: Verdict,
        key: &Key,
        zero: usize,
        sum: impl Fn(&Self, usize, usize) -> u64,
    ) -> Option<Span> {
        let reset = key.get(word::PROTOCOL) == protocol::TCP && verdict as u32 != Verdict::RejectIcmp as u32;
        let admin = verdict as u32 == Verdict::RejectAdmin as u32;
        match (is_ip4(key), reset) {
            (true, false) => {
                Some(self.error4(key, if admin { 13 } else { 3 }, |room, quoted| sum(room, quoted, zero)))
            }
            (false, false) => {
                Some(self.error6(key, if admin { 1 } else { 4 }, |room, quoted| sum(room, quoted, zero)))
            }
            (true, true) => self.reset4(key, zero),
            (false, true) => self.reset6(key, zero),
        }
    }

    /// Destination unreachable with this code, over IPv4.
    #[inline(always)]
    fn error4(&mut self, key: &Key, code: u32, sum: impl Fn(&Self, usize) -> u64) -> Span {
        const IP: usize = FRONT - 7;
        const ICMP: usize = FRONT - 2;
        let quoted = wanted(self.packet(0), self.packet(1));
        self.ip4::<IP>(protocol::ICMP, CONTROL, 8 + quoted);
        self.set(ICMP, 3 << 24 | code << 16);
        self.set(ICMP + 1, 0);
        let sum = self.sum::<ICMP, FRONT>() + sum(self, quoted);
        self.set(ICMP, 3 << 24 | code << 16 | checksum(sum));
        self.ethernet::<IP>(key, ether_type::IPV4, 28 + quoted)
    }

    /// Destination unreachable with this code, over IPv6.
    #[inline(always)]
    fn error6(&mut self, key: &Key, code: u32, sum: impl Fn(&Self, usize) -> u64) -> Span {
        const IP: usize = FRONT - 12;
        const ICMP: usize = FRONT - 2;
        let quoted = wanted(self.packet(0), self.packet(1));
        self.ip6::<IP>(protocol::ICMPV6, 8 + quoted);
        self.set(ICMP, 1 << 24 | code << 16);
        self.set(ICMP + 1, 0);
        let pseudo =
            (8 + quoted) as u64 + u64::from(protocol::ICMPV6) + self.sum::<{ IP + 2 }, { IP + 10 }>();
        let sum = pseudo + self.sum::<ICMP, FRONT>() + sum(self, quoted);
        self.set(ICMP, 1 << 24 | code << 16 | checksum(sum));
        self.ethernet::<IP>(key, ether_type::IPV6, 48 + quoted)
    }

    /// A reset over IPv4.
    #[inline(always)]
    fn reset4(&mut self, key: &Key, zero: usize) -> Option<Span> {
        const IP: usize = FRONT - 10;
        const TCP: usize = FRONT - 5;
        let first = self.packet(0);
        let header = (first >> 24 & 0x0f) as usize;
        self.reset::<TCP>(header, (first & 0xffff) as usize, zero)?;
        self.ip4::<IP>(protocol::TCP, 0, 20);
        let pseudo = 20 + u64::from(protocol::TCP) + self.sum::<{ IP + 3 }, { IP + 5 }>();
        self.set(TCP + 4, checksum(pseudo + self.sum::<TCP, FRONT>()) << 16);
        Some(self.ethernet::<IP>(key, ether_type::IPV4, 40))
    }

    /// A reset over IPv6.
    #[inline(always)]
    fn reset6(&mut self, key: &Key, zero: usize) -> Option<Span> {
        const IP: usize = FRONT - 15;
        const TCP: usize = FRONT - 5;
        let end = 40 + (self.packet(1) >> 16) as usize;
        let header = self.behind_extensions(zero)?;
        self.reset::<TCP>(header, end, zero)?;
        self.ip6::<IP>(protocol::TCP, 20);
        let pseudo = 20 + u64::from(protocol::TCP) + self.sum::<{ IP + 2 }, { IP + 10 }>();
        self.set(TCP + 4, checksum(pseudo + self.sum::<TCP, FRONT>()) << 16);
        Some(self.ethernet::<IP>(key, ether_type::IPV6, 60))
    }

    /// The header of a reset (RFC 9293 section 3.10.7.1) at word `AT`, its checksum left at 0, for the segment whose
    /// header is at word `header` of the packet. `end` is the packet's length in bytes.
    #[inline(always)]
    fn reset<const AT: usize>(&mut self, header: usize, end: usize, zero: usize) -> Option<()> {
        let ports = self.packet_at(header, zero);
        let sequence = self.packet_at(header + 1, zero);
        let acknowledged = self.packet_at(header + 2, zero);
        let control = self.packet_at(header + 3, zero);
        let bits = control >> 16;
        let payload = header * 4 + (control >> 28) as usize * 4;
        if payload > end {
            return None;
        }
        let length = (end - payload) as u32 + u32::from(bits & SYN != 0) + u32::from(bits & FIN != 0);
        self.set(AT, ports.rotate_left(16));
        let flags = if bits & ACK != 0 {
            self.set(AT + 1, acknowledged);
            self.set(AT + 2, 0);
            RST
        } else {
            self.set(AT + 1, 0);
            self.set(AT + 2, sequence.wrapping_add(length));
            RST | ACK
        };
        self.set(AT + 3, 5 << 28 | flags << 16);
        self.set(AT + 4, 0);
        Some(())
    }

    /// The word at which the upper layer's header begins behind those of IPv6. The guard has seen to it that there
    /// are no more of them than this, and that they are whole.
    #[inline(always)]
    fn behind_extensions(&self, zero: usize) -> Option<usize> {
        let mut kind = self.packet(1) >> 8 & 0xff;
        let mut at = 10;
        for _ in 0..6 {
            at = forget::<ANY_UPPER>(at, zero);
            kind = forget::<0xff>(kind as usize, zero) as u32;
            let head = self.packet_at(at, zero);
            let length = (head >> 16 & 0xff) as usize;
            at += match kind {
                protocol::TCP => return Some(at),
                protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => (length + 1) * 2,
                protocol::FRAGMENT => 2,
                protocol::AH => length + 2,
                _ => return None,
            };
            if at > ANY_UPPER as usize {
                return None;
            }
            kind = head >> 24;
        }
        (kind == protocol::TCP).then_some(at)
    }

    /// A header of IPv4 at word `AT`, back to where the packet came from.
    #[inline(always)]
    const fn ip4<const AT: usize>(&mut self, protocol: u32, service: u32, payload: usize) {
        let (source, destination) = (self.packet(3), self.packet(4));
        self.set(AT, 0x4500_0000 | service << 16 | (20 + payload) as u32);
        // Whole packets need no identification (RFC 6864).
        self.set(AT + 1, DONT_FRAGMENT);
        self.set(AT + 2, HOPS << 24 | protocol << 16);
        self.set(AT + 3, destination);
        self.set(AT + 4, source);
        let sum = (0x4500_0000 | service << 16 | (20 + payload) as u32) as u64
            + DONT_FRAGMENT as u64
            + (HOPS << 24 | protocol << 16) as u64
            + source as u64
            + destination as u64;
        self.set(AT + 2, HOPS << 24 | protocol << 16 | checksum(sum));
    }

    /// A header of IPv6, likewise.
    #[inline(always)]
    const fn ip6<const AT: usize>(&mut self, protocol: u32, payload: usize) {
        self.set(AT, 0x6000_0000);
        self.set(AT + 1, (payload as u32) << 16 | protocol << 8 | HOPS);
        let mut word = 0;
        while word < 4 {
            self.words[AT + 2 + word] = self.words[FRONT + 6 + word];
            self.words[AT + 6 + word] = self.words[FRONT + 2 + word];
            word += 1;
        }
    }

    /// The sum of so many bytes of the packet, for [`Room::answer`]; what lies behind the last of them in its word
    /// counts as 0.
    ///
    /// In the kernel it should be in a function of its own, which the verifier looks at once: each number of words
    /// is a way of its own through the loop.
    #[inline(always)]
    pub fn sum_quoted(&self, quoted: usize, zero: usize) -> u64 {
        let mut sum = 0;
        let (whole, rest) = (quoted / 4, quoted % 4);
        for position in 0..MOST_WORDS {
            if position >= whole {
                break;
            }
            sum += u64::from(u32::from_be(self.words[FRONT + position]));
        }
        if rest != 0 {
            let position = forget::<0x1ff>(whole, zero);
            if position < MOST_WORDS {
                let last = u32::from_be(self.words[FRONT + position]);
                sum += u64::from(last & (u32::MAX << (32 - 8 * rest as u32)));
            }
        }
        sum
    }

    /// An Ethernet header in front of word `AT`, back to where the frame came from; the frame that is ready now, with
    /// `length` bytes behind that header.
    #[inline(always)]
    const fn ethernet<const AT: usize>(&mut self, key: &Key, ether_type: u32, length: usize) -> Span {
        let (source_hi, source_lo) = (key.get(word::SRC_MAC_HI), key.get(word::SRC_MAC_LO));
        let (destination_hi, destination_lo) = (key.get(word::DST_MAC_HI), key.get(word::DST_MAC_LO));
        self.set(AT - 4, source_hi & 0xffff);
        self.set(AT - 3, source_lo);
        self.set(AT - 2, destination_hi << 16 | destination_lo >> 16);
        self.set(AT - 1, destination_lo << 16 | ether_type);
        Span { start: AT * 4 - 14, length: 14 + length }
    }
}

/// The checksum of a sum of 32-bit words in which its field is 0.
#[inline(always)]
const fn checksum(sum: u64) -> u32 {
    !fold(sum) & 0xffff
}

/// A sum of 32-bit words in 16 bits, carries added.
#[inline(always)]
const fn fold(sum: u64) -> u32 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u32
}

// An answer's headers, those of Ethernet included, fit in front of the packet.
const _: () = assert!(
    FRONT >= 4 + 15 && MOST.is_multiple_of(4) && MOST_WORDS <= 0x1ff && (ANY_UPPER as usize) < MOST_WORDS
);

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::SliceFrame;
    use crate::parse::parse;
    use crate::record::record_flags;

    const MACS: &[u8] = b"\x52\x54\0\xaa\xbb\xcc\x52\x54\0\x12\x34\x56";
    const BACK: &[u8] = b"\x52\x54\0\x12\x34\x56\x52\x54\0\xaa\xbb\xcc";

    fn join(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    /// An IPv4 packet from 192.0.2.10 to 198.51.100.7 in a frame; `words` words of options that do nothing.
    fn ip4(protocol: u8, options: usize, payload: &[u8]) -> Vec<u8> {
        let length = (20 + options * 4 + payload.len()) as u16;
        let header = [0x45 + options as u8, 0];
        let middle = [0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 10, 198, 51, 100, 7];
        join(&[MACS, b"\x08\0", &header, &length.to_be_bytes(), &middle, &std::vec![1; options * 4], payload])
    }

    fn ip6(next: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        let addresses =
            b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x20";
        join(&[MACS, b"\x86\xdd\x60\0\0\0", &length, &[next, 64], addresses, payload])
    }

    fn tcp(flags: u8, payload: &[u8]) -> Vec<u8> {
        let header = b"\xc3\x50\0\x50\x11\x22\x33\x44\x55\x66\x77\x88\x50";
        join(&[header, &[flags], b"\x02\0\xab\xcd\0\0", payload])
    }

    fn udp(payload: usize) -> Vec<u8> {
        let length = (8 + payload as u16).to_be_bytes();
        let bytes: Vec<u8> = (0..payload).map(|at| (at * 7 + 3) as u8).collect();
        join(&[b"\xc3\x50\0\x35", &length, b"\x12\x34", &bytes])
    }

    fn key(frame: &[u8]) -> Key {
        let mut key = Key::new();
        let parsed = parse(&SliceFrame::new(frame), record_flags::STRICT, &mut key, 0);
        assert_eq!(parsed.anomaly(), None, "{frame:02x?}");
        key
    }

    fn may(frame: &[u8]) -> bool {
        answerable(&key(frame))
    }

    fn answer(verdict: Verdict, frame: &[u8]) -> Vec<u8> {
        let key = key(frame);
        assert!(answerable(&key), "{frame:02x?}");
        let mut room = Room::of(&frame[14..]).expect("a packet");
        let span = room.answer(verdict, &key, 0, Room::sum_quoted).expect("an answer");
        let answer: Vec<u8> = room.frame(span).collect();
        assert!(answer.len() <= Room::MOST_FRAME && answer.len() == span.length);
        assert_eq!(&answer[..12], BACK);
        assert_eq!(answer[12..14], frame[12..14]);
        answer
    }

    /// RFC 1071, byte by byte: 0 where the checksum within is right.
    fn sum(parts: &[&[u8]]) -> u16 {
        let mut sum = 0u32;
        for part in parts {
            for pair in part.chunks(2) {
                sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            }
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    /// The payload of an answer over IPv4 with that protocol whose checksums are right.
    fn checked4(answer: &[u8], protocol: u8) -> &[u8] {
        let (ip, payload) = answer[14..].split_at(20);
        assert_eq!(sum(&[ip]), 0, "{answer:02x?}");
        assert_eq!(
            (ip[0], usize::from(ip[2]) << 8 | usize::from(ip[3]), ip[9]),
            (0x45, answer.len() - 14, protocol)
        );
        assert_eq!(ip[12..], [198, 51, 100, 7, 192, 0, 2, 10]);
        let length = (payload.len() as u16).to_be_bytes();
        let pseudo: &[&[u8]] = &[&ip[12..], &[0, 6], &length, payload];
        assert_eq!(sum(if protocol == 6 { pseudo } else { &pseudo[3..] }), 0, "{answer:02x?}");
        payload
    }

    fn checked6(answer: &[u8], protocol: u8) -> &[u8] {
        let (ip, payload) = answer[14..].split_at(40);
        assert_eq!((ip[0], usize::from(ip[4]) << 8 | usize::from(ip[5])), (0x60, payload.len()));
        assert_eq!((ip[6], ip[23], ip[39]), (protocol, 0x20, 0x10));
        let length = (payload.len() as u16).to_be_bytes();
        assert_eq!(sum(&[&ip[8..], &length, &[0, protocol], payload]), 0, "{answer:02x?}");
        payload
    }

    #[test]
    fn a_connection_that_opens_is_reset() {
        for verdict in [Verdict::RejectPort, Verdict::RejectAdmin] {
            let answer = answer(verdict, &ip4(6, 0, &tcp(0x02, b"")));
            let reset = b"\0\x50\xc3\x50\0\0\0\0\x11\x22\x33\x45\x50\x14\0\0";
            let tcp = checked4(&answer, 6);
            assert_eq!((&tcp[..16], &tcp[18..]), (&reset[..], &b"\0\0"[..]));
        }
    }

    #[test]
    fn a_segment_that_acknowledges_is_reset_where_it_said() {
        let answer = answer(Verdict::RejectPort, &ip4(6, 0, &tcp(0x18, b"some data")));
        let reset = b"\0\x50\xc3\x50\x55\x66\x77\x88\0\0\0\0\x50\x04\0\0";
        assert_eq!(checked4(&answer, 6)[..16], reset[..]);
    }

    #[test]
    fn payload_counts_and_padding_does_not() {
        let frame = join(&[&ip4(6, 3, &tcp(0x02, b"12345")), b"padding"]);
        let key = key(&frame);
        let mut room = Room::of(&frame[14..]).unwrap();
        let span = room.answer(Verdict::RejectPort, &key, 0, Room::sum_quoted).unwrap();
        let answer: Vec<u8> = room.frame(span).collect();
        assert_eq!(checked4(&answer, 6)[8..12], 0x1122_3344u32.wrapping_add(6).to_be_bytes());
    }

    #[test]
    fn resets_find_tcp_behind_extension_headers() {
        let segment = tcp(0x01 | 0x10, b"abc");
        let plain = ip6(6, &segment);
        let options =
            join(&[b"\x3c\0\x01\x04\0\0\0\0", b"\x06\x01\x01\x0c\0\0\0\0\0\0\0\0\0\0\0\0", &segment]);
        for frame in [plain, ip6(0, &options)] {
            let answer = answer(Verdict::RejectPort, &frame);
            let reset = b"\0\x50\xc3\x50\x55\x66\x77\x88\0\0\0\0\x50\x04\0\0";
            assert_eq!(checked6(&answer, 6)[..16], reset[..]);
        }
    }

    #[test]
    fn errors_quote_what_they_are_about() {
        for payload in (0..64).chain(480..600).chain([1400]) {
            for options in [0, 1, 9] {
                let frame = ip4(17, options, &udp(payload));
                let reply = answer(Verdict::RejectPort, &frame);
                let icmp = checked4(&reply, 1);
                assert_eq!(icmp[..2], [3, 3]);
                assert_eq!(icmp[4..8], [0; 4]);
                let quoted = (frame.len() - 14).min(548);
                assert_eq!(icmp[8..], frame[14..14 + quoted]);
            }
        }
    }

    #[test]
    fn errors_over_ipv6_quote_as_much_as_fits() {
        for payload in (0..40).chain(1180..1230).chain([1400]) {
            let frame = ip6(17, &udp(payload));
            let reply = answer(Verdict::RejectPort, &frame);
            let icmp = checked6(&reply, 58);
            assert_eq!(icmp[..2], [1, 4]);
            assert_eq!(icmp[8..], frame[14..14 + (frame.len() - 14).min(1232)]);
            assert!(reply.len() <= 1280 + 14);
        }
    }

    #[test]
    fn each_verdict_has_its_answer() {
        let types = |verdict, frame: &[u8]| {
            let reply = answer(verdict, frame);
            let at = if frame[12] == 8 { 34 } else { 54 };
            (reply[at], reply[at + 1])
        };
        let (udp4, udp6) = (ip4(17, 0, &udp(4)), ip6(17, &udp(4)));
        let (tcp4, tcp6) = (ip4(6, 0, &tcp(2, b"")), ip6(6, &tcp(2, b"")));
        assert_eq!(types(Verdict::RejectAdmin, &udp4), (3, 13));
        assert_eq!(types(Verdict::RejectAdmin, &udp6), (1, 1));
        assert_eq!(types(Verdict::RejectIcmp, &udp4), (3, 3));
        assert_eq!(types(Verdict::RejectIcmp, &udp6), (1, 4));
        checked4(&answer(Verdict::RejectIcmp, &tcp4), 1);
        checked6(&answer(Verdict::RejectIcmp, &tcp6), 58);
        checked4(&answer(Verdict::RejectAdmin, &tcp4), 6);
        checked6(&answer(Verdict::RejectAdmin, &tcp6), 6);
    }

    #[test]
    fn what_must_not_be_answered_is_not() {
        let udp4 = ip4(17, 0, &udp(4));
        let udp6 = ip6(17, &udp(4));
        let echo = |kind| ip4(1, 0, &[kind, 0, 0, 0, 0, 1, 0, 1]);
        let echo6 = |kind| ip6(58, &[kind, 0, 0, 0, 0, 1, 0, 1]);
        let changed = |frame: &[u8], at: usize, bytes: &[u8]| {
            let mut frame = frame.to_vec();
            frame[at..at + bytes.len()].copy_from_slice(bytes);
            frame
        };
        for good in [&udp4, &udp6, &echo(8), &echo(0), &echo6(128), &ip4(47, 0, &[0; 8])] {
            assert!(may(good), "{good:02x?}");
        }
        for bad in [
            // A reset.
            ip4(6, 0, &tcp(0x04, b"")),
            ip6(6, &tcp(0x14, b"")),
            // ICMP errors, and what may be one.
            echo(3),
            echo(5),
            echo(11),
            echo(12),
            echo(40),
            echo6(1),
            echo6(4),
            echo6(100),
            // Fragments: the first, and a later one.
            changed(&ip4(17, 0, &udp(80)), 20, &[0x20, 0]),
            changed(&ip4(17, 0, &udp(80)), 20, &[0, 64]),
            // To many.
            changed(&udp4, 0, &[0xff; 6]),
            changed(&udp4, 0, &[0x01, 0, 0x5e, 0, 0, 1]),
            changed(&udp4, 30, &[224, 0, 0, 5]),
            changed(&udp4, 30, &[255; 4]),
            changed(&udp6, 38, &[0xff, 2]),
            // ARP.
            join(&[
                MACS,
                b"\x08\x06\0\x01\x08\0\x06\x04\0\x01",
                &MACS[6..],
                &[192, 0, 2, 1],
                &[0; 6],
                &[192, 0, 2, 2],
            ]),
        ] {
            assert!(!may(&bad), "{bad:02x?}");
        }
        let dhcp = changed(&changed(&udp4, 26, &[0; 4]), 34, &[0, 68, 0, 67]);
        assert!(!may(&dhcp));
        let solicitation = changed(&echo6(135), 22, &[0; 16]);
        let mut key = Key::new();
        parse(&SliceFrame::new(&solicitation), 0, &mut key, 0);
        assert!(!answerable(&key));
    }

    #[test]
    fn a_bucket_of_tokens() {
        let rate = Rate { interval: 10, burst: 3 };
        let mut due = 0;
        let mut take = |now| rate.take(due, now).inspect(|&next| due = next).is_some();
        assert_eq!(
            [1000, 1000, 1000, 1000, 1009, 1010, 1010].map(&mut take),
            [true, true, true, false, false, true, false]
        );
        assert_eq!([1100, 1100, 1100, 1100].map(&mut take), [true, true, true, false]);
        assert_eq!(Rate::NEVER.take(0, 1000), None);
    }
}
