//! IPv6 (RFC 8200) and the chain of extension headers down to the upper layer.

use super::upper::{self, Family, about};
use super::{ANY_OFFSET, Parser, protocol};
use crate::forget::forget;
use crate::frame::{Block, MAX_HEADERS};
use crate::key::{flags, word};
use crate::{Class, DropReason, Frame};

/// How many extension headers a packet can have that are not repeated: destination options twice, the other
/// four once.
const MAX_EXTENSIONS: usize = 6;

#[inline(always)]
pub(super) fn parse<F: Frame>(p: &mut Parser<'_, F>, offset: usize) -> Option<()> {
    let ip = p.header::<40>(offset, DropReason::Ip6Truncated)?;
    p.class = Class::Ipv6Other;
    let head = ip.u32::<0>();
    p.key.set_pair(word::SRC_IP, ip.u32::<8>(), ip.u32::<12>());
    p.key.set_pair(word::SRC_IP + 2, ip.u32::<16>(), ip.u32::<20>());
    p.key.set_pair(word::DST_IP, ip.u32::<24>(), ip.u32::<28>());
    p.key.set_pair(word::DST_IP + 2, ip.u32::<32>(), ip.u32::<36>());
    p.key.set(word::TRAFFIC_CLASS, (head >> 20) & 0xff);
    p.key.set(word::FLAGS, flags::IP);
    p.guard(head >> 28 != 6, DropReason::Ip6Version);

    let payload_length = ip.u16::<4>() as usize;
    let (next, hop_limit) = (ip.u8::<6>(), ip.u8::<7>());
    p.key.set(word::PROTOCOL, next);
    p.headers = offset + 40;
    if payload_length == 0 {
        p.note(if next == protocol::NO_NEXT_HEADER {
            DropReason::Ip6NoNextHeader
        } else {
            DropReason::Ip6Jumbogram
        });
        return None;
    }
    if offset + 40 + payload_length > p.end {
        p.note(DropReason::Ip6PayloadLength);
        return None;
    }
    p.end = offset + 40 + payload_length;

    let mut chain = extensions(p, offset + 40, next)?;
    chain.offset = forget::<ANY_OFFSET>(chain.offset, p.zero);
    chain.flags = forget::<0xffff>(chain.flags as usize, p.zero) as u32;
    p.forget_end();
    let proto = chain.protocol;
    p.class = match proto {
        protocol::TCP => Class::Ipv6Tcp,
        protocol::UDP => Class::Ipv6Udp,
        protocol::ICMPV6 => Class::Ipv6Icmp,
        _ => Class::Ipv6Other,
    };
    p.key.set(word::PROTOCOL, proto);
    p.key.set(word::FLAGS, flags::IP | chain.flags);
    p.headers = chain.offset;
    p.upper = chain.offset;
    if chain.flags & flags::LATER_FRAGMENT == 0 {
        let bit = |condition, bit| if condition { bit } else { 0 };
        let about = bit(unspecified(address(p, word::SRC_IP)), about::UNSPECIFIED)
            | bit(p.key.get(word::SRC_IP) >> 22 == 0xfe80 >> 6, about::LINK_LOCAL)
            | bit(p.key.get(word::DST_IP) >> 24 == 0xff, about::GROUP)
            | bit(chain.fragmented != 0, about::FRAGMENTED);
        let family = Family::V6 { hop_limit, about: forget::<{ about::ANY }>(about, p.zero) };
        let more = forget::<1>(chain.more, p.zero);
        upper::parse(p, chain.offset, proto, family, more != 0)?;
    }
    addresses(p);
    Some(())
}

/// What stands at the end of the chain.
struct Chain {
    offset: usize,
    protocol: u32,
    flags: u32,
    /// 1 in the first of several fragments, else 0.
    more: usize,
    /// 1 where there is a fragment header, be it that of an atomic fragment.
    fragmented: usize,
}

/// Follows the chain of extension headers; stops behind a later fragment's header, for what follows there is
/// the middle of something.
#[inline(always)]
fn extensions<F: Frame>(p: &mut Parser<'_, F>, start: usize, first: u32) -> Option<Chain> {
    let mut chain = Chain { offset: start, protocol: first, flags: 0, more: 0, fragmented: 0 };
    // Bits for hop-by-hop, routing, fragment, destination options (twice allowed), authentication.
    let mut seen = 0;
    for count in 0..=MAX_EXTENSIONS {
        p.forget_end();
        chain.offset = forget::<ANY_OFFSET>(chain.offset, p.zero);
        chain.flags = forget::<0xffff>(chain.flags as usize, p.zero) as u32;
        chain.more = forget::<1>(chain.more, p.zero);
        chain.fragmented = forget::<1>(chain.fragmented, p.zero);
        seen = forget::<0x3f>(seen, p.zero);
        let kind = chain.protocol;
        match kind {
            protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::DESTINATION_OPTIONS
            | protocol::AH => {}
            protocol::NO_NEXT_HEADER => {
                p.note(DropReason::Ip6NoNextHeader);
                return Some(chain);
            }
            // 253 and 254 are for experiments.
            protocol::MOBILITY | protocol::HIP | protocol::SHIM6 | 253 | 254 => {
                p.note(DropReason::Ip6ExtensionUnknown);
                return Some(chain);
            }
            _ => return Some(chain),
        }
        if count == MAX_EXTENSIONS {
            break;
        }
        let truncated =
            if chain.more != 0 { DropReason::FragmentTiny } else { DropReason::Ip6ExtensionTruncated };
        let header = p.header::<8>(chain.offset, truncated)?;
        let length = header.u8::<1>() as usize;
        let (bit, size) = match kind {
            protocol::HOP_BY_HOP => (1, (length + 1) * 8),
            protocol::ROUTING => (2, (length + 1) * 8),
            protocol::FRAGMENT => (4, 8),
            protocol::AH => (8, (length + 2) * 4),
            _ => (if seen & 16 == 0 { 16 } else { 32 }, (length + 1) * 8),
        };
        p.guard(kind == protocol::HOP_BY_HOP && count != 0, DropReason::Ip6ExtensionOrder);
        p.guard(seen & bit != 0, DropReason::Ip6ExtensionRepeated);
        seen |= bit;
        let next = header.u8::<0>();
        if kind == protocol::ROUTING {
            let routing = header.u8::<2>();
            p.guard(routing == 0 || routing == 4, DropReason::Ip6RoutingHeader);
        }
        if kind == protocol::AH {
            chain.flags |= flags::AUTHENTICATION;
        }
        chain.protocol = next;
        if kind == protocol::FRAGMENT {
            let field = header.u16::<2>();
            let (position, more) = ((field & 0xfff8) as usize, field & 1 != 0);
            let headers = chain.offset - start;
            chain.offset = forget::<ANY_OFFSET>(chain.offset + 8, p.zero);
            chain.fragmented = 1;
            // An atomic fragment (RFC 6946) is a whole packet.
            if position != 0 || more {
                chain.flags |= flags::FRAGMENT;
                p.identification = forget::<ANY_OFFSET>(chain.offset - 4, p.zero);
                chain.more = usize::from(more && position == 0);
                upper::guard_fragment(p, headers, p.end - chain.offset, position, more, next);
            }
            if position != 0 {
                chain.flags |= flags::LATER_FRAGMENT;
                return Some(chain);
            }
            continue;
        }
        // RFC 4302: twelve bytes precede the integrity check value.
        if chain.offset + size > p.end || (kind == protocol::AH && size < 12) {
            p.note(truncated);
            return None;
        }
        chain.offset += size;
        if chain.offset > MAX_HEADERS {
            p.note(DropReason::HeadersTooDeep);
            return None;
        }
    }
    p.note(DropReason::Ip6ExtensionRepeated);
    None
}

/// The address at `first` of the key. It is read back from there: eight words that live through the whole parse
/// are more than the BPF stack has room for.
#[inline(always)]
fn address<F: Frame>(p: &Parser<'_, F>, first: u32) -> [u32; 4] {
    [p.key.get(first), p.key.get(first + 1), p.key.get(first + 2), p.key.get(first + 3)]
}

#[inline(always)]
const fn unspecified(address: [u32; 4]) -> bool {
    address[0] | address[1] | address[2] | address[3] == 0
}

/// Whether the address is IPv4-mapped, or loopback.
#[inline(always)]
const fn never_on_a_wire(address: [u32; 4]) -> bool {
    address[0] | address[1] == 0 && (address[2] == 0x0000_ffff || (address[2] == 0 && address[3] == 1))
}

/// Judges the addresses. The unspecified source belongs to duplicate address detection, router solicitation
/// (RFC 4861) and multicast listener reports (RFC 3590).
#[inline(always)]
fn addresses<F: Frame>(p: &mut Parser<'_, F>) {
    let (source, destination) = (address(p, word::SRC_IP), address(p, word::DST_IP));
    let icmp = p.key.get(word::PROTOCOL) == protocol::ICMPV6;
    let kind = p.key.get(word::SRC_PORT) & 0xff;
    let asks = icmp && matches!(kind, 131 | 132 | 133 | 135 | 143);
    p.guard(
        source[0] >> 24 == 0xff || never_on_a_wire(source) || (unspecified(source) && !asks),
        DropReason::Ip6Source,
    );
    p.guard(never_on_a_wire(destination) || unspecified(destination), DropReason::Ip6Destination);
}
