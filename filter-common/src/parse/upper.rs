//! Upper layers: TCP with its options, UDP, UDP-Lite, SCTP, DCCP, ICMP, IGMP, ESP, AH; and what is wrong with a fragment.

pub(super) use super::icmpv6::about;
use super::{ANY_OFFSET, Parser, icmpv6, protocol};
use crate::forget::forget;
use crate::frame::{Block, Steps};
use crate::key::{flags, word};
use crate::{DropReason, Frame, Key};

/// All that an offset can be among the options of TCP.
const ANY_OPTION: i32 = 0x7ff;
const _: () = assert!(ANY_OFFSET + 60 + 255 <= ANY_OPTION);

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
            let Some(tcp) = p.header::<20>(offset, truncated) else { return cut_short(p, offset) };
            ports(p, tcp.u16::<0>(), tcp.u16::<2>());
            let bits = tcp.u8::<13>();
            p.key.set(word::FLAGS, p.key.get(word::FLAGS) | flags::TCP | bits);
            let size = (tcp.u8::<12>() >> 4) as usize * 4;
            p.guard(size < 20 || (size > length && !more), DropReason::TcpDataOffset);
            p.guard(size > length && more, DropReason::FragmentTiny);
            p.guard(impossible_flags(bits), DropReason::TcpFlags);
            p.headers = offset + size;
            if p.tcp_options {
                tcp_options(p, offset + 20, offset + size);
            }
        }
        (protocol::UDP, _) => {
            let Some(udp) = p.header::<8>(offset, truncated) else { return cut_short(p, offset) };
            ports(p, udp.u16::<0>(), udp.u16::<2>());
            let stated = udp.u16::<4>() as usize;
            p.guard(stated < 8 || (stated > length && !more), DropReason::UdpLength);
            p.headers = offset + 8;
        }
        (protocol::UDP_LITE, _) => {
            let Some(lite) = p.header::<8>(offset, truncated) else { return cut_short(p, offset) };
            ports(p, lite.u16::<0>(), lite.u16::<2>());
            let coverage = lite.u16::<4>() as usize;
            p.guard(matches!(coverage, 1..=7) || (coverage > length && !more), DropReason::UdpLiteCoverage);
            p.headers = offset + 8;
        }
        (protocol::SCTP | protocol::DCCP, _) => {
            let Some(header) = p.header::<12>(offset, truncated) else { return cut_short(p, offset) };
            ports(p, header.u16::<0>(), header.u16::<2>());
            p.headers = offset + 12;
        }
        (protocol::ICMP, Family::V4) => {
            let icmp = p.header::<8>(offset, truncated)?;
            p.key.set(word::SRC_PORT, flags::PRESENT_L4 | icmp.u8::<0>());
            p.key.set(word::DST_PORT, flags::PRESENT_L4 | icmp.u8::<1>());
            p.headers = offset + 8;
        }
        (protocol::ICMPV6, Family::V6 { hop_limit, about }) => {
            icmpv6::parse(p, offset, hop_limit, about, truncated)?;
        }
        (protocol::IGMP, Family::V4) | (protocol::ESP, _) => {
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

/// Collects the kinds of the options from `start` on, up to the end of the header. A byte can be an option, so
/// there are at most forty.
///
/// Whoever reads strictly reads as the receiver does, who stops at the end of the list (RFC 9293 section 3.1);
/// Linux' `xt_tcp`, and so libvirt, goes on.
#[inline(always)]
fn tcp_options<F: Frame>(p: &mut Parser<'_, F>, start: usize, header_end: usize) {
    let end = if header_end < p.end { header_end } else { p.end };
    // The end of the list, or what no kind is.
    let last = if p.strict { 0 } else { 0x100 };
    let mut options = TcpOptions { key: p.key, offset: start as u32, end: end as u32, last };
    p.frame.walk(40, &mut options);
}

/// A walk over options of TCP.
struct TcpOptions<'a> {
    key: &'a mut Key,
    offset: u32,
    end: u32,
    last: u32,
}

impl Steps for TcpOptions<'_> {
    #[inline(always)]
    fn step<F: Frame>(&mut self, frame: &F) -> bool {
        const NO_OPERATION: u32 = 1;
        let (offset, end) = (forget::<ANY_OPTION>(self.offset as usize, 0), self.end as usize);
        if offset >= end {
            return false;
        }
        // As for options of IPv4: two bytes, the first of which is known.
        let Some(block) = frame.block::<2>(offset.wrapping_sub(1)) else { return false };
        let kind = block.u8::<1>();
        self.key.insert(word::TCP_OPTIONS, kind);
        let mut length = 1;
        if kind == self.last {
            return false;
        }
        if kind > NO_OPERATION {
            if offset + 2 > end {
                return false;
            }
            let Some(block) = frame.block::<2>(offset) else { return false };
            let stated = block.u8::<1>() as usize;
            length = if stated == 0 { 1 } else { stated };
        }
        self.offset = (offset + length) as u32;
        true
    }
}

/// Reads the ports of a header that is cut short behind them. Where the guard drops it that is of no use; where
/// it does not, a tiny fragment would get around rules about ports.
#[inline(always)]
fn cut_short<F: Frame>(p: &mut Parser<'_, F>, offset: usize) -> Option<()> {
    if !p.strict {
        let header = p.header::<4>(offset, DropReason::UpperTruncated)?;
        ports(p, header.u16::<0>(), header.u16::<2>());
    }
    None
}

#[inline(always)]
fn ports<F: Frame>(p: &mut Parser<'_, F>, source: u32, destination: u32) {
    p.key.set(word::SRC_PORT, flags::PRESENT_L4 | source);
    p.key.set(word::DST_PORT, flags::PRESENT_L4 | destination);
    p.guard(source == 0 || destination == 0, DropReason::PortZero);
}

/// Whether no TCP sends these six flags together. A look into a word with a bit for each combination.
#[inline(always)]
pub(super) const fn impossible_flags(bits: u32) -> bool {
    const IMPOSSIBLE: u64 = {
        let (mut set, mut six) = (0, 0);
        while six < 64 {
            set |= (never_sent(six) as u64) << six;
            six += 1;
        }
        set
    };
    IMPOSSIBLE >> (bits & 0x3f) & 1 != 0
}

const fn never_sent(six: u32) -> bool {
    const FIN: u32 = 1;
    const SYN: u32 = 2;
    const RST: u32 = 4;
    const PSH: u32 = 8;
    const ACK: u32 = 16;
    const URG: u32 = 32;
    six == 0
        || six & (SYN | FIN) == SYN | FIN
        || six & (SYN | RST) == SYN | RST
        || six & (FIN | PSH | URG | ACK) == FIN | PSH | URG
}
