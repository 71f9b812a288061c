//! IPv4 (RFC 791), its options and fragments.

use super::upper::{self, Family};
use super::{Parser, protocol};
use crate::forget::forget;
use crate::frame::{Block, Steps};
use crate::key::{flags, word};
use crate::{Class, DropReason, Frame};

/// All that the offset behind the header and its options can be.
const ANY_UPPER: i32 = 0x7f;
const _: () = assert!(34 + 60 <= ANY_UPPER);

#[inline(always)]
pub(super) fn parse<F: Frame>(p: &mut Parser<'_, F>, offset: usize) -> Option<()> {
    let ip = p.header::<20>(offset, DropReason::IpTruncated)?;
    let (first, proto) = (ip.u8::<0>(), ip.u8::<9>());
    let (source, destination) = (ip.u32::<12>(), ip.u32::<16>());
    p.class = match proto {
        protocol::TCP => Class::Ipv4Tcp,
        protocol::UDP => Class::Ipv4Udp,
        protocol::ICMP => Class::Ipv4Icmp,
        _ => Class::Ipv4Other,
    };
    p.key.set(word::PROTOCOL, proto);
    p.key.set(word::TRAFFIC_CLASS, ip.u8::<1>());
    p.key.set(word::SRC_IP, source);
    p.key.set(word::DST_IP, destination);
    p.key.set(word::FLAGS, flags::IP);

    p.guard(first >> 4 != 4, DropReason::IpVersion);
    let header_length = (first & 0x0f) as usize * 4;
    let total_length = ip.u16::<2>() as usize;
    if header_length < 20 || offset + header_length > p.end {
        p.note(DropReason::IpHeaderLength);
        return None;
    }
    if total_length < header_length || offset + total_length > p.end {
        p.note(DropReason::IpTotalLength);
        return None;
    }
    p.end = offset + total_length;
    let payload = offset + header_length;
    p.headers = payload;
    let mut bits = flags::IP;
    if header_length > 20 {
        bits |= flags::IP_OPTIONS;
        options(p, offset + 20, payload)?;
    }
    let payload = forget::<ANY_UPPER>(payload, p.zero);
    p.forget_end();

    let fragment = ip.u16::<6>();
    let (more, position) = (fragment & 0x2000 != 0, (fragment & 0x1fff) as usize * 8);
    if more || position != 0 {
        p.identification = offset + 4;
        bits |= flags::FRAGMENT | if position == 0 { 0 } else { flags::LATER_FRAGMENT };
        upper::guard_fragment(p, header_length, p.end - payload, position, more, proto);
    }
    p.key.set(word::FLAGS, bits);
    p.upper = payload;
    if position == 0 {
        upper::parse(p, payload, proto, Family::V4, more)?;
    }

    let net = source >> 24;
    // A host without an address asks by DHCP and answers by IGMP (RFC 2131, RFC 3376 section 4.2.13).
    let unspecified = net == 0
        && !(source == 0
            && (proto == protocol::IGMP
                || (p.key.get(word::SRC_PORT) == flags::PRESENT_L4 | 68
                    && p.key.get(word::DST_PORT) == flags::PRESENT_L4 | 67
                    && proto == protocol::UDP)));
    p.guard(net == 127 || net >= 224 || unspecified, DropReason::IpSource);
    let net = destination >> 24;
    p.guard(net == 127 || net == 0, DropReason::IpDestination);
    Some(())
}

/// Walks the options; one byte can be an option, so there are at most forty.
#[inline(always)]
fn options<F: Frame>(p: &mut Parser<'_, F>, start: usize, end: usize) -> Option<()> {
    let mut options = Options { offset: start as u32, end: end as u32, wrong: 0, unreadable: false };
    p.frame.walk(40, &mut options);
    if let Some(reason) = DropReason::from_number(options.wrong) {
        p.note(reason);
    }
    if options.unreadable {
        p.note(DropReason::HeadersTooDeep);
        return None;
    }
    Some(())
}

/// A walk over options.
struct Options {
    offset: u32,
    end: u32,
    /// The number of the reason for the first thing that is wrong; 0 is none.
    wrong: u32,
    /// They reach further than can be read.
    unreadable: bool,
}

impl Options {
    #[inline(always)]
    fn guard(&mut self, wrong: bool, reason: DropReason) {
        if wrong && self.wrong == 0 {
            self.wrong = reason as u32;
        }
    }
}

impl Steps for Options {
    #[inline(always)]
    fn step<F: Frame>(&mut self, frame: &F) -> bool {
        const END: u32 = 0;
        const NO_OPERATION: u32 = 1;
        const LOOSE_SOURCE_ROUTE: u32 = 131;
        const STRICT_SOURCE_ROUTE: u32 = 137;
        const ROUTER_ALERT: u32 = 148;
        let (offset, end) = (forget::<ANY_UPPER>(self.offset as usize, 0), self.end as usize);
        if offset >= end {
            return false;
        }
        // Two bytes, the first of which is known: the verifier learns nothing from a comparison of a pointer
        // with the packet's end that is not at least one byte ahead.
        let Some(block) = frame.block::<2>(offset.wrapping_sub(1)) else {
            self.unreadable = true;
            return false;
        };
        let kind = block.u8::<1>();
        if kind == END {
            return false;
        }
        if kind == NO_OPERATION {
            self.offset = offset as u32 + 1;
            return true;
        }
        self.guard(matches!(kind, LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE), DropReason::IpSourceRoute);
        if offset + 2 > end {
            self.guard(true, DropReason::IpOption);
            return false;
        }
        let Some(block) = frame.block::<2>(offset) else {
            self.unreadable = true;
            return false;
        };
        let length = block.u8::<1>() as usize;
        if length < 2 || offset + length > end {
            self.guard(true, DropReason::IpOption);
            return false;
        }
        let usual = matches!(kind, LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE | ROUTER_ALERT);
        self.guard(!usual, DropReason::IpOptionUnusual);
        self.offset = (offset + length) as u32;
        true
    }
}
