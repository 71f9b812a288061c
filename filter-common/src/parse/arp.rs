//! ARP (RFC 826) and RARP (RFC 903) for Ethernet and IPv4.

use super::Parser;
use crate::frame::Block;
use crate::key::{flags, word};
use crate::{Class, DropReason, Frame};

#[inline(always)]
pub(super) fn parse<F: Frame>(p: &mut Parser<'_, F>, offset: usize, class: Class) -> Option<()> {
    let fixed = p.header::<8>(offset, DropReason::ArpTruncated)?;
    p.class = class;
    let (hardware, protocol, lengths, opcode) =
        (fixed.u16::<0>(), fixed.u16::<2>(), fixed.u16::<4>(), fixed.u16::<6>());
    p.key.set(word::SRC_PORT, hardware);
    p.key.set(word::DST_PORT, protocol);
    p.key.set(word::PROTOCOL, opcode);
    p.guard(hardware != 1 || lengths >> 8 != 6, DropReason::ArpHardware);
    p.guard(protocol != 0x0800 || lengths & 0xff != 4, DropReason::ArpProtocol);
    let first = if class as u32 == Class::Arp as u32 { 1 } else { 3 };
    p.guard(opcode.wrapping_sub(first) > 1, DropReason::ArpOpcode);
    if lengths != 0x0604 {
        return None;
    }

    let body = p.header::<20>(offset + 8, DropReason::ArpTruncated)?;
    p.headers = offset + 28;
    let (sender_mac_hi, sender_mac_lo, sender_ip) = (body.u16::<0>(), body.u32::<2>(), body.u32::<6>());
    let target_ip = body.u32::<16>();
    p.key.set_pair(word::INNER_SRC_MAC_HI, flags::PRESENT_MAC | sender_mac_hi, sender_mac_lo);
    p.key.set(word::SRC_IP, sender_ip);
    p.key.set_pair(word::INNER_DST_MAC_HI, flags::PRESENT_MAC | body.u16::<10>(), body.u32::<12>());
    p.key.set(word::DST_IP, target_ip);
    let gratuitous = if sender_ip == target_ip { flags::ARP_GRATUITOUS } else { 0 };
    p.key.set(word::FLAGS, flags::ARP_ADDRESSES | gratuitous);
    p.guard(sender_mac_hi & 0x0100 != 0 || sender_mac_hi | sender_mac_lo == 0, DropReason::ArpSenderMac);
    let net = sender_ip >> 24;
    p.guard(net == 127 || net >= 224, DropReason::ArpSenderIp);
    Some(())
}
