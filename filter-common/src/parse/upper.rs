//! Upper layers: TCP, UDP, UDP-Lite, SCTP, ICMP, IGMP, ESP, AH; and what is wrong with a fragment.

pub(super) use super::icmpv6::about;
use super::{Parser, icmpv6, protocol};
use crate::frame::Block;
use crate::key::{flags, word};
use crate::{DropReason, Frame};

/// What the upper layer needs to know of the IP header.
#[derive(Clone, Copy)]
pub(super) enum Family {
    V4,
    /// `about`: bits of [`icmpv6::about`].
    V6 {
        hop_limit: u32,
        about: usize,
    },
}

/// Notes what is wrong with a fragment: `length` bytes at `position` of the whole, `more` to come. `headers` bytes
/// count towards the whole's length too (RFC 791: the header; RFC 8200 section 4.5: extension headers).
#[inline(always)]
pub(super) fn guard_fragment<F: Frame>(
    p: &mut Parser<'_, F>,
    headers: usize,
    length: usize,
    position: usize,
    more: bool,
    proto: u32,
) {
    p.guard(length == 0 || (more && !length.is_multiple_of(8)), DropReason::FragmentLength);
    p.guard(headers + position + length > 65_535, DropReason::FragmentTooLong);
    p.guard(position == 8 && proto == protocol::TCP, DropReason::FragmentOverlap);
}

/// Parses the upper-layer header at `offset`; `more`: the packet is the first of several fragments.
#[inline(always)]
pub(super) fn parse<F: Frame>(
    p: &mut Parser<'_, F>,
    offset: usize,
    proto: u32,
    family: Family,
    more: bool,
) -> Option<()> {
    let truncated = if more { DropReason::FragmentTiny } else { DropReason::UpperTruncated };
    let length = p.end - offset;
    match (proto, family) {
        (protocol::TCP, _) => {
            let tcp = p.header::<20>(offset, truncated)?;
            ports(p, tcp.u16::<0>(), tcp.u16::<2>());
            let bits = tcp.u8::<13>();
            p.key.set(word::FLAGS, p.key.get(word::FLAGS) | bits);
            let size = (tcp.u8::<12>() >> 4) as usize * 4;
            p.guard(size < 20 || (size > length && !more), DropReason::TcpDataOffset);
            p.guard(size > length && more, DropReason::FragmentTiny);
            p.guard(impossible_flags(bits), DropReason::TcpFlags);
            p.headers = offset + size;
        }
        (protocol::UDP, _) => {
            let udp = p.header::<8>(offset, truncated)?;
            ports(p, udp.u16::<0>(), udp.u16::<2>());
            let stated = udp.u16::<4>() as usize;
            p.guard(stated < 8 || (stated > length && !more), DropReason::UdpLength);
            p.headers = offset + 8;
        }
        (protocol::UDP_LITE, _) => {
            let lite = p.header::<8>(offset, truncated)?;
            ports(p, lite.u16::<0>(), lite.u16::<2>());
            let coverage = lite.u16::<4>() as usize;
            p.guard(matches!(coverage, 1..=7) || (coverage > length && !more), DropReason::UdpLiteCoverage);
            p.headers = offset + 8;
        }
        (protocol::SCTP, _) => {
            let sctp = p.header::<12>(offset, truncated)?;
            ports(p, sctp.u16::<0>(), sctp.u16::<2>());
            p.headers = offset + 12;
        }
        (protocol::ICMP, Family::V4) => {
            let icmp = p.header::<8>(offset, truncated)?;
            p.key.set(word::SRC_PORT, flags::PRESENT_L4 | icmp.u8::<0>());
            p.key.set(word::DST_PORT, flags::PRESENT_L4 | icmp.u8::<1>());
            p.headers = offset + 8;
        }
        (protocol::IGMP, Family::V4) => {
            let igmp = p.header::<8>(offset, truncated)?;
            p.key.set(word::SRC_PORT, flags::PRESENT_L4 | igmp.u8::<0>());
            p.headers = offset + 8;
        }
        (protocol::ICMPV6, Family::V6 { hop_limit, about }) => {
            icmpv6::parse(p, offset, hop_limit, about, truncated)?;
        }
        (protocol::ESP, _) => {
            p.header::<8>(offset, truncated)?;
            p.headers = offset + 8;
        }
        (protocol::AH, Family::V4) => {
            p.header::<12>(offset, truncated)?;
            p.key.set(word::FLAGS, p.key.get(word::FLAGS) | flags::AUTHENTICATION);
            p.headers = offset + 12;
        }
        _ => {}
    }
    Some(())
}

#[inline(always)]
fn ports<F: Frame>(p: &mut Parser<'_, F>, source: u32, destination: u32) {
    p.key.set(word::SRC_PORT, flags::PRESENT_L4 | source);
    p.key.set(word::DST_PORT, flags::PRESENT_L4 | destination);
    p.guard(source == 0 || destination == 0, DropReason::PortZero);
}

#[inline(always)]
const fn impossible_flags(bits: u32) -> bool {
    const FIN: u32 = 1;
    const SYN: u32 = 2;
    const RST: u32 = 4;
    const PSH: u32 = 8;
    const ACK: u32 = 16;
    const URG: u32 = 32;
    let six = bits & 0x3f;
    six == 0
        || six & (SYN | FIN) == SYN | FIN
        || six & (SYN | RST) == SYN | RST
        || six & (FIN | PSH | URG | ACK) == FIN | PSH | URG
}
