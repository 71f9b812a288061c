//! The short way for what most traffic is: TCP and UDP in plain IPv4 or IPv6.
//!
//! A frame is plain if it has no tag, no options or extension headers in IP, is no fragment, and nothing is
//! wrong with it. Then a few comparisons are all it takes to know that, and where each field lies is known when
//! this is compiled. Any other frame is left to the [parser](super::parse).
//!
//! Invariant: what is read here is what the parser reads of the same frame, and it finds nothing wrong with it.

use super::upper::impossible_flags;
use super::{Parsed, ether_type, protocol};
use crate::frame::Block;
use crate::key::{flags, word};
use crate::record::record_flags;
use crate::{Class, Frame, Key};

/// Where the IP header starts.
const NETWORK: usize = 14;
/// Ethernet, IPv4 and TCP. A datagram of UDP that is too short for it is not worth a comparison of its own.
const IPV4: usize = NETWORK + 20 + 20;
/// Ethernet, IPv6 and TCP.
const IPV6: usize = NETWORK + 40 + 20;

/// Parses `frame` into `key` if it is plain: all words are written, whatever stood there. `None`: it is not, and
/// what now stands in `key` means nothing.
///
/// `flags` are those of the port's record.
#[inline(always)]
pub fn parse_plain<F: Frame>(frame: &F, flags: u32, key: &mut Key) -> Option<Parsed> {
    if frame.tag().is_some() || flags & record_flags::TCP_OPTIONS != 0 {
        return None;
    }
    let block = frame.block::<IPV4>(0)?;
    match block.u16::<12>() {
        ether_type::IPV4 => ipv4(frame.len(), &block, key),
        ether_type::IPV6 => ipv6(frame.len(), &frame.block::<IPV6>(0)?, key),
        _ => None,
    }
}

#[inline(always)]
fn ipv4(len: usize, block: &impl Block<IPV4>, key: &mut Key) -> Option<Parsed> {
    const UPPER: usize = NETWORK + 20;
    let head = block.u32::<14>();
    let total_length = (head & 0xffff) as usize;
    let fragment = block.u16::<20>() & 0x3fff != 0;
    if head >> 24 != 0x45 || fragment || NETWORK + total_length > len || total_length < 20 {
        return None;
    }
    key.set_pair(word::TRAFFIC_CLASS, head >> 16 & 0xff, 0);
    let source = block.u32::<26>();
    let net = source >> 24;
    if net == 0 || net == 127 || net >= 224 {
        return None;
    }
    key.set_pair(word::SRC_IP, source, 0);
    key.set_pair(word::SRC_IP + 2, 0, 0);
    let destination = block.u32::<30>();
    let net = destination >> 24;
    if net == 0 || net == 127 {
        return None;
    }
    key.set_pair(word::DST_IP, destination, 0);
    key.set_pair(word::DST_IP + 2, 0, 0);
    link_layer(block, ether_type::IPV4, key)?;
    let proto = block.u8::<23>();
    let length = total_length - 20;
    let upper = Upper { proto, ports: block.u32::<34>() };
    match proto {
        protocol::TCP => {
            let (bits, size) = tcp(block.u16::<46>(), length)?;
            upper.write(bits, key)?;
            Some(Parsed::sound(Class::Ipv4Tcp, UPPER + size, NETWORK + total_length))
        }
        protocol::UDP => {
            udp(block.u16::<38>(), length)?;
            upper.write(0, key)?;
            Some(Parsed::sound(Class::Ipv4Udp, UPPER + 8, NETWORK + total_length))
        }
        _ => None,
    }
}

#[inline(always)]
fn ipv6(len: usize, block: &impl Block<IPV6>, key: &mut Key) -> Option<Parsed> {
    const UPPER: usize = NETWORK + 40;
    let head = block.u32::<14>();
    let length = block.u16::<18>() as usize;
    if head >> 28 != 6 || length == 0 || UPPER + length > len {
        return None;
    }
    key.set_pair(word::TRAFFIC_CLASS, head >> 20 & 0xff, 0);
    // All addresses that never are on a wire start with 64 zeros, and so do some that may be.
    if block.u8::<22>() == 0xff || block.u64::<22>() == 0 || block.u64::<38>() == 0 {
        return None;
    }
    key.set_pair(word::SRC_IP, block.u32::<22>(), block.u32::<26>());
    key.set_pair(word::SRC_IP + 2, block.u32::<30>(), block.u32::<34>());
    key.set_pair(word::DST_IP, block.u32::<38>(), block.u32::<42>());
    key.set_pair(word::DST_IP + 2, block.u32::<46>(), block.u32::<50>());
    link_layer(block, ether_type::IPV6, key)?;
    let proto = block.u8::<20>();
    let upper = Upper { proto, ports: block.u32::<54>() };
    match proto {
        protocol::TCP => {
            let (bits, size) = tcp(block.u16::<66>(), length)?;
            upper.write(bits, key)?;
            Some(Parsed::sound(Class::Ipv6Tcp, UPPER + size, UPPER + length))
        }
        protocol::UDP => {
            udp(block.u16::<58>(), length)?;
            upper.write(0, key)?;
            Some(Parsed::sound(Class::Ipv6Udp, UPPER + 8, UPPER + length))
        }
        _ => None,
    }
}

/// Writes the words of the link layer, and those that plain packets have no fields for.
#[inline(always)]
fn link_layer<const N: usize>(block: &impl Block<N>, ether_type: u32, key: &mut Key) -> Option<()> {
    key.set_pair(word::ETHER_TYPE, ether_type, 0);
    key.set_pair(word::INNER_VLAN, 0, 0);
    let (hi, lo) = (block.u16::<6>(), block.u32::<8>());
    if hi & 0x0100 != 0 || hi | lo == 0 {
        return None;
    }
    key.set_pair(word::SRC_MAC_HI, hi, lo);
    key.set_pair(word::DST_MAC_HI, block.u16::<0>(), block.u32::<2>());
    key.clear_from(word::INNER_SRC_MAC_HI);
    Some(())
}

/// What TCP and UDP have in common: the protocol's number, source and destination port.
struct Upper {
    proto: u32,
    ports: u32,
}

impl Upper {
    #[inline(always)]
    fn write(&self, bits: u32, key: &mut Key) -> Option<()> {
        let (source, destination) = (self.ports >> 16, self.ports & 0xffff);
        if source == 0 || destination == 0 {
            return None;
        }
        key.set_pair(word::PROTOCOL, self.proto, flags::PRESENT_L4 | source);
        key.set_pair(word::DST_PORT, flags::PRESENT_L4 | destination, flags::IP | bits);
        Some(())
    }
}

/// The bits of TCP's flags and the header's size, if `length` bytes can be such a segment.
#[inline(always)]
fn tcp(size_and_bits: u32, length: usize) -> Option<(u32, usize)> {
    let (size, bits) = ((size_and_bits >> 12) as usize * 4, size_and_bits & 0xff);
    let sound = size >= 20 && size <= length && !impossible_flags(bits);
    sound.then_some((flags::TCP | bits, size))
}

/// `Some` if `length` bytes can be a datagram whose header states that length.
#[inline(always)]
fn udp(stated: u32, length: usize) -> Option<()> {
    (stated >= 8 && stated as usize <= length).then_some(())
}

const _: () = {
    assert!(word::VLAN == word::ETHER_TYPE + 1 && word::PRIORITY == word::INNER_VLAN + 1);
    assert!(word::SRC_PORT == word::PROTOCOL + 1 && word::FLAGS == word::DST_PORT + 1);
    assert!(word::OWN == word::TRAFFIC_CLASS + 1 && word::INNER_SRC_MAC_HI == word::OWN + 1);
};

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::parse::parse;
    use crate::{SliceFrame, Tag};

    const TCP4: &[u8] = b"\x52\x54\0\xaa\xbb\xcc\x52\x54\0\x12\x34\x56\x08\0\
        \x45\x10\0\x2c\0\x01\x40\0\x40\x06\0\0\xc0\0\x02\x0a\xc6\x33\x64\x07\
        \xc3\x50\0\x50\0\0\0\x01\0\0\0\x01\x60\x10\x02\0\0\0\0\0\x02\x04\x05\xb4";
    const UDP4: &[u8] = b"\x52\x54\0\xaa\xbb\xcc\x52\x54\0\x12\x34\x56\x08\0\
        \x45\0\0\x28\0\x01\0\0\x40\x11\0\0\xc0\0\x02\x0a\xff\xff\xff\xff\
        \xc3\x50\0\x35\0\x14\0\0abcdefghijkl";
    const TCP6: &[u8] = b"\x52\x54\0\xaa\xbb\xcc\x52\x54\0\x12\x34\x56\x86\xdd\
        \x6a\xb0\0\0\0\x14\x06\x40\
        \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x20\
        \xc3\x50\0\x50\0\0\0\x01\0\0\0\x01\x50\x02\x02\0\0\0\0\0";
    const UDP6: &[u8] = b"\x52\x54\0\xaa\xbb\xcc\x52\x54\0\x12\x34\x56\x86\xdd\
        \x60\0\0\0\0\x14\x11\x40\
        \xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\xfb\
        \x14\xe9\x14\xe9\0\x12\0\0abcdefghijkl";
    const ALL: [&[u8]; 4] = [TCP4, UDP4, TCP6, UDP6];

    /// Whether the frame is plain; then it has to be what the parser makes of it.
    fn plain(bytes: &[u8], flags: u32) -> bool {
        // What stood in the key before must not be seen afterwards.
        let mut short = Key::new();
        for position in 0..word::COUNT as u32 {
            short.set(position, 0xdead_beef);
        }
        let frame = SliceFrame::new(bytes);
        let Some(parsed) = parse_plain(&frame, flags, &mut short) else { return false };
        let mut key = short;
        assert_eq!((parse(&frame, flags, &mut key, 0), key), (parsed, short), "{bytes:02x?}");
        true
    }

    #[test]
    fn plain_frames_go_the_short_way() {
        for (bytes, class) in ALL.iter().zip([Class::Ipv4Tcp, Class::Ipv4Udp, Class::Ipv6Tcp, Class::Ipv6Udp])
        {
            assert!(plain(bytes, record_flags::STRICT) && plain(bytes, 0));
            let parsed = parse_plain(&SliceFrame::new(bytes), 0, &mut Key::new());
            assert_eq!(parsed.and_then(Parsed::class), Some(class));
            let padded: Vec<u8> = bytes.iter().copied().chain([0; 20]).collect();
            assert!(plain(&padded, record_flags::STRICT));
        }
    }

    #[test]
    fn tags_and_options_that_are_asked_for_do_not() {
        let tagged = SliceFrame::with_tag(TCP4, Tag { ether_type: 0x8100, tci: 5 });
        assert_eq!(parse_plain(&tagged, record_flags::STRICT, &mut Key::new()), None);
        assert!(!plain(TCP4, record_flags::STRICT | record_flags::TCP_OPTIONS));
    }

    #[test]
    fn whatever_one_byte_is_the_parser_agrees() {
        for bytes in ALL {
            for at in 0..bytes.len() {
                let mut changed = bytes.to_vec();
                for value in 0..=255 {
                    changed[at] = value;
                    plain(&changed, record_flags::STRICT);
                    plain(&changed, 0);
                }
            }
            for length in 0..bytes.len() {
                assert!(!plain(&bytes[..length], record_flags::STRICT), "{length} bytes");
            }
        }
    }
}
