//! Ethernet II, IEEE 802.3 with LLC and SNAP (802.2, RFC 1042), VLAN tags (802.1Q, 802.1ad).
//!
//! Tags arrive outside the bytes (the outermost, on a tap), inside, or both; they become one list. A priority
//! tag (identifier 0) is no VLAN: Linux strips any number of them before protocol handlers look, so it is
//! stripped here too, its priority kept, and a second one is an attack (CVE-2021-27853).

use super::{ANY_NETWORK, Parser, arp, ether_type, ipv4, ipv6, stp};
use crate::forget::forget;
use crate::frame::Block;
use crate::key::{flags, tag_kind, word};
use crate::{Class, DropReason, Frame};

/// Largest value of the type/length field that is a length (802.3 clause 3.2.6).
const MAX_LENGTH: u32 = 1500;
/// Smallest value that is an EtherType.
const MIN_TYPE: u32 = 1536;

#[inline(always)]
pub(super) fn parse<F: Frame>(p: &mut Parser<'_, F>) -> Option<()> {
    let ethernet = p.header::<14>(0, DropReason::FrameTruncated)?;
    let (src_hi, src_lo) = (ethernet.u16::<6>(), ethernet.u32::<8>());
    p.key.set_pair(word::DST_MAC_HI, ethernet.u16::<0>(), ethernet.u32::<2>());
    p.key.set_pair(word::SRC_MAC_HI, src_hi, src_lo);
    p.guard(src_hi & 0x0100 != 0, DropReason::SourceMacMulticast);
    p.guard(src_hi | src_lo == 0, DropReason::SourceMacZero);

    let mut kind = ethernet.u16::<12>();
    let mut offset = 14;
    p.headers = offset;
    // Where tags are not looked through, a tagged frame is one of the tag's own type.
    let mut tags = Tags::default();
    if let Some(tag) = p.frame.tag() {
        let outer = u32::from(tag.ether_type);
        tags.push(p, outer, u32::from(tag.tci), kind);
        if !p.strict {
            p.key.set(word::ETHER_TYPE, outer);
            return None;
        }
    }
    // Two tags are within the rules; the third is read only to say so.
    for _ in 0..3 {
        if !is_tag(kind) {
            break;
        }
        if !p.strict {
            p.key.set(word::ETHER_TYPE, kind);
        }
        offset = forget::<ANY_NETWORK>(offset, p.zero);
        let tag = p.header::<4>(offset, DropReason::VlanTruncated)?;
        let inner = tag.u16::<2>();
        tags.push(p, kind, tag.u16::<0>(), inner);
        if !p.strict {
            return None;
        }
        kind = inner;
        offset += 4;
    }
    p.guard(is_tag(kind), DropReason::VlanTooMany);
    p.headers = offset;

    if kind < MIN_TYPE {
        kind = llc(p, kind, &mut offset)?;
    }
    p.key.set(word::ETHER_TYPE, kind);
    let offset = forget::<ANY_NETWORK>(offset, p.zero);
    p.forget_end();
    match kind {
        ether_type::IPV4 => ipv4::parse(p, offset),
        ether_type::IPV6 => ipv6::parse(p, offset),
        ether_type::ARP => arp::parse(p, offset, Class::Arp),
        ether_type::RARP => arp::parse(p, offset, Class::Rarp),
        _ => Some(()),
    }
}

#[inline(always)]
const fn is_tag(kind: u32) -> bool {
    matches!(kind, ether_type::VLAN | ether_type::SERVICE_VLAN | ether_type::OLD_SERVICE_VLAN)
}

/// How many tags were seen, and how many of them name a VLAN.
#[derive(Default)]
struct Tags {
    seen: u32,
    vlans: u32,
}

impl Tags {
    /// A tag of type `kind`, with `inner` behind it.
    #[inline(always)]
    fn push<F: Frame>(&mut self, p: &mut Parser<'_, F>, kind: u32, tci: u32, inner: u32) {
        if self.seen == 0 {
            let kind = tag_kind::of(kind) << tag_kind::SHIFT;
            p.key.set(word::PRIORITY, kind | flags::PRESENT_PRIORITY | tci >> 13);
            p.key.set(word::ENCAPSULATED, flags::PRESENT_TYPE | inner);
        }
        self.seen += 1;
        p.guard(self.seen > 2, DropReason::VlanTooMany);
        let vlan = tci & 0x0fff;
        p.guard(vlan == 0x0fff, DropReason::VlanReserved);
        if vlan == 0 {
            p.guard(self.seen - self.vlans > 1, DropReason::VlanPriorityStacked);
            return;
        }
        let position = if self.vlans == 0 { word::VLAN } else { word::INNER_VLAN };
        p.key.set(position, flags::PRESENT_VLAN | vlan);
        self.vlans += 1;
    }
}

/// An 802.3 frame: `length` is what stood in the type field. Returns the EtherType inside SNAP, or the SAPs
/// for whatever else it is.
#[inline(always)]
fn llc<F: Frame>(p: &mut Parser<'_, F>, length: u32, offset: &mut usize) -> Option<u32> {
    p.class = Class::Llc;
    p.key.set(word::ETHER_TYPE, flags::LLC_BASE);
    let end = *offset + length as usize;
    if length > MAX_LENGTH || end > p.end {
        p.note(DropReason::LengthField);
    } else {
        p.end = end;
    }
    *offset = forget::<ANY_NETWORK>(*offset, p.zero);
    let header = p.header::<3>(*offset, DropReason::LlcTruncated)?;
    let (saps, control) = (header.u16::<0>(), header.u8::<2>());
    let kind = flags::LLC_BASE | saps;
    p.key.set(word::ETHER_TYPE, kind);
    // Receivers look at less than we do: what may be SNAP to them and is not quite SNAP is no honest frame.
    let like_snap = saps & 0xfe00 == 0xaa00 || saps & 0x00fe == 0x00aa;
    p.guard(like_snap && (saps != 0xaaaa || control != 0x03), DropReason::SnapProtocol);
    if control != 0x03 {
        return Some(kind);
    }
    if saps == 0x4242 {
        p.headers = *offset + 3;
        return stp::parse(p, *offset + 3).map(|()| kind);
    }
    if saps != 0xaaaa || !p.strict {
        return Some(kind);
    }
    let snap = p.header::<8>(*offset, DropReason::LlcTruncated)?;
    let organisation = snap.u32::<2>() & 0x00ff_ffff;
    let inner = snap.u16::<6>();
    // 00-00-00 carries EtherTypes (RFC 1042), 00-00-F8 those that must survive bridging (802.1H).
    if organisation != 0 && organisation != 0x0000_00f8 {
        return Some(kind);
    }
    p.guard(inner < MIN_TYPE || is_tag(inner), DropReason::SnapProtocol);
    *offset += 8;
    p.headers = *offset;
    p.class = Class::Other;
    p.key.set(word::SNAP, 1);
    Some(inner)
}
