//! ICMPv6 (RFC 4443), neighbour discovery (RFC 4861) and multicast listener discovery (RFC 3810).

use super::{ANY_OFFSET, Parser};
use crate::forget::forget;
use crate::frame::{Block, MAX_HEADERS};
use crate::key::{flags, word};
use crate::{DropReason, Frame};

const ROUTER_SOLICITATION: u32 = 133;
const ROUTER_ADVERTISEMENT: u32 = 134;
const NEIGHBOUR_SOLICITATION: u32 = 135;
const NEIGHBOUR_ADVERTISEMENT: u32 = 136;
const REDIRECT: u32 = 137;

/// How many options a message may have.
const MAX_OPTIONS: usize = 16;

/// What the message's validity depends on outside of it.
pub(super) mod about {
    /// The source is `::`.
    pub const UNSPECIFIED: usize = 1;
    /// The source is in `fe80::/10`.
    pub const LINK_LOCAL: usize = 2;
    /// The destination is multicast.
    pub const GROUP: usize = 4;
    /// There is a fragment header, be it that of an atomic fragment.
    pub const FRAGMENTED: usize = 8;
    /// All of them.
    pub const ANY: i32 = 15;
}

#[inline(always)]
pub(super) fn parse<F: Frame>(
    p: &mut Parser<'_, F>,
    offset: usize,
    hop_limit: u32,
    about: usize,
    truncated: DropReason,
) -> Option<()> {
    let icmp = p.header::<4>(offset, truncated)?;
    let (kind, code) = (icmp.u8::<0>(), icmp.u8::<1>());
    p.key.set(word::SRC_PORT, flags::PRESENT_L4 | kind);
    p.key.set(word::DST_PORT, flags::PRESENT_L4 | code);
    p.headers = offset + 4;
    let listener = matches!(kind, 130..=132 | 143);
    p.guard(listener && hop_limit != 1, DropReason::MldHopLimit);
    // RFC 2710 section 3, RFC 3590.
    let own_link = about & (about::LINK_LOCAL | about::UNSPECIFIED) != 0;
    p.guard(listener && !own_link, DropReason::MldSource);
    // RFC 6980 section 5; certification paths are those of RFC 3971.
    let never_fragmented = matches!(kind, 133..=137 | 148 | 149);
    p.guard(never_fragmented && about & about::FRAGMENTED != 0, DropReason::NdFragmented);
    let fixed = match kind {
        ROUTER_SOLICITATION => 8,
        ROUTER_ADVERTISEMENT => 16,
        NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT => 24,
        REDIRECT => 40,
        _ => return Some(()),
    };
    p.guard(hop_limit != 255, DropReason::NdHopLimit);
    p.guard(code != 0, DropReason::NdCode);
    p.guard(
        matches!(kind, ROUTER_ADVERTISEMENT | REDIRECT) && about & about::LINK_LOCAL == 0,
        DropReason::NdSource,
    );
    if offset + fixed > p.end {
        p.note(DropReason::NdTruncated);
        return None;
    }
    if matches!(kind, NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT | REDIRECT) {
        target(p, offset, kind, about)?;
    }
    let about = forget::<{ about::ANY }>(about, p.zero);
    let kind = forget::<0xff>(kind as usize, p.zero) as u32;
    let link_layer = options(p, offset + fixed)?;
    if kind == NEIGHBOUR_SOLICITATION && about & about::UNSPECIFIED != 0 {
        let to = [
            p.key.get(word::DST_IP),
            p.key.get(word::DST_IP + 1),
            p.key.get(word::DST_IP + 2),
            p.key.get(word::DST_IP + 3) >> 24,
        ];
        // ff02::1:ff00:0/104
        let solicited_node = to[0] == 0xff02_0000 && to[1] == 0 && to[2] == 1 && to[3] == 0xff;
        p.guard(!solicited_node || link_layer, DropReason::NdDuplicateDetection);
    }
    p.guard(
        kind == ROUTER_SOLICITATION && about & about::UNSPECIFIED != 0 && link_layer,
        DropReason::NdOption,
    );
    Some(())
}

/// The target address of a solicitation, advertisement or redirect, eight bytes into the message.
#[inline(always)]
fn target<F: Frame>(p: &mut Parser<'_, F>, offset: usize, kind: u32, about: usize) -> Option<()> {
    let body = p.header::<24>(offset, DropReason::NdTruncated)?;
    let first = body.u32::<8>();
    p.key.set_pair(word::ND_TARGET, first, body.u32::<12>());
    p.key.set_pair(word::ND_TARGET + 2, body.u32::<16>(), body.u32::<20>());
    p.key.set(word::FLAGS, p.key.get(word::FLAGS) | flags::ND_TARGET);
    p.guard(kind != REDIRECT && first >> 24 == 0xff, DropReason::NdTarget);
    let solicited = body.u8::<4>() & 0x40 != 0;
    p.guard(
        kind == NEIGHBOUR_ADVERTISEMENT && solicited && about & about::GROUP != 0,
        DropReason::NdSolicited,
    );
    Some(())
}

/// Walks the options up to the end of the packet; whether one is a link-layer address.
#[inline(always)]
fn options<F: Frame>(p: &mut Parser<'_, F>, start: usize) -> Option<bool> {
    const SOURCE_LINK_LAYER: u32 = 1;
    const TARGET_LINK_LAYER: u32 = 2;
    let mut offset = start;
    let mut found = 0;
    for _ in 0..MAX_OPTIONS {
        if offset >= p.end {
            return Some(found != 0);
        }
        if offset > MAX_HEADERS {
            p.note(DropReason::HeadersTooDeep);
            return None;
        }
        p.forget_end();
        offset = forget::<ANY_OFFSET>(offset, p.zero);
        found = forget::<1>(found, p.zero);
        let option = p.header::<8>(offset, DropReason::NdOption)?;
        let (kind, length) = (option.u8::<0>(), option.u8::<1>() as usize * 8);
        if length == 0 || offset + length > p.end {
            p.note(DropReason::NdOption);
            return None;
        }
        if matches!(kind, SOURCE_LINK_LAYER | TARGET_LINK_LAYER) {
            let (hi, lo) = (flags::PRESENT_MAC | option.u16::<2>(), option.u32::<4>());
            p.guard(length != 8, DropReason::NdOption);
            p.guard(
                found != 0
                    && (p.key.get(word::INNER_SRC_MAC_HI) != hi || p.key.get(word::INNER_SRC_MAC_LO) != lo),
                DropReason::NdLinkLayerConflict,
            );
            p.key.set_pair(word::INNER_SRC_MAC_HI, hi, lo);
            found = 1;
        }
        offset += length;
    }
    p.guard(offset < p.end, DropReason::NdOptionTooMany);
    Some(found != 0)
}
