//! Spanning-tree BPDUs (IEEE 802.1D clause 9): configuration, and topology change notification.

use super::Parser;
use crate::frame::Block;
use crate::key::{flags, word};
use crate::{DropReason, Frame};

/// A BPDU that consists of protocol, version and type alone.
const TOPOLOGY_CHANGE: u32 = 0x80;

/// `offset` is that of the protocol identifier, behind the LLC header.
#[inline(always)]
pub(super) fn parse<F: Frame>(p: &mut Parser<'_, F>, offset: usize) -> Option<()> {
    let head = p.header::<4>(offset, DropReason::StpTruncated)?;
    let kind = head.u8::<3>();
    p.key.set(word::PROTOCOL, kind);
    p.key.set(word::FLAGS, flags::BPDU);
    if kind == TOPOLOGY_CHANGE {
        return Some(());
    }
    let body = p.header::<31>(offset + 4, DropReason::StpTruncated)?;
    p.key.set(word::STP_FLAGS, body.u8::<0>());
    p.key.set(word::STP_ROOT_PRIORITY, body.u16::<1>());
    p.key.set(word::STP_ROOT_MAC_HI, body.u16::<3>());
    p.key.set(word::STP_ROOT_MAC_LO, body.u32::<5>());
    p.key.set(word::STP_ROOT_COST, body.u32::<9>());
    p.key.set(word::STP_SENDER_PRIORITY, body.u16::<13>());
    p.key.set(word::STP_SENDER_MAC_HI, body.u16::<15>());
    p.key.set(word::STP_SENDER_MAC_LO, body.u32::<17>());
    p.key.set(word::STP_PORT, body.u16::<21>());
    p.key.set(word::STP_AGE, body.u16::<23>());
    p.key.set(word::STP_MAX_AGE, body.u16::<25>());
    p.key.set(word::STP_HELLO_TIME, body.u16::<27>());
    p.key.set(word::STP_FORWARD_DELAY, body.u16::<29>());
    p.key.set(word::FLAGS, flags::BPDU | flags::STP);
    Some(())
}
