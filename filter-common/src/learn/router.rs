//! Prefixes in router advertisements (RFC 4861 section 4.6.2).

use crate::forget::forget;
use crate::frame::{Block, Frame, Steps};

/// All that an offset can be that is still read at, rounded up.
const ANY_OFFSET: i32 = 0x3ff;
/// How many options the guard lets a message have.
const MAX_OPTIONS: u32 = 16;

/// Calls `each` with the prefixes that the advertisement whose ICMPv6 header is at `start` announces for addresses that
/// stations make themselves, as a key has them, and for how many seconds each is valid.
#[inline(always)]
pub(super) fn prefixes<F: Frame>(
    frame: &F,
    start: usize,
    end: usize,
    zero: usize,
    each: impl FnMut(u64, u32),
) {
    frame.walk(MAX_OPTIONS, &mut Options { each, offset: start + 16, end, zero });
}

#[repr(C)]
struct Options<E> {
    each: E,
    offset: usize,
    end: usize,
    zero: usize,
}

impl<E: FnMut(u64, u32)> Steps for Options<E> {
    #[inline(always)]
    fn step<F: Frame>(&mut self, frame: &F) -> bool {
        const PREFIX: u32 = 3;
        let (offset, end) = (forget::<ANY_OFFSET>(self.offset, self.zero), self.end);
        if offset >= end {
            return false;
        }
        let Some(option) = frame.block::<8>(offset) else { return false };
        let length = option.u8::<1>() as usize * 8;
        if length == 0 || offset + length > end {
            return false;
        }
        self.offset = offset + length;
        if option.u8::<0>() == PREFIX
            && length == 32
            && let Some((prefix, valid)) = prefix(frame, offset)
        {
            (self.each)(prefix, valid);
        }
        self.offset <= ANY_OFFSET as usize
    }
}

/// The prefix in such an option, as a key has it, and for how many seconds it is valid; if stations make addresses of
/// it (RFC 4862 section 5.5.3), which on Ethernet takes one of 64 bits.
#[inline(always)]
fn prefix<F: Frame>(frame: &F, at: usize) -> Option<(u64, u32)> {
    const AUTONOMOUS: u32 = 0x40;
    let option = frame.block::<32>(at)?;
    let (valid, preferred) = (option.u32::<4>(), option.u32::<8>());
    let (first, second) = (option.u32::<16>(), option.u32::<20>());
    let usable = option.u8::<2>() == 64
        && option.u8::<3>() & AUTONOMOUS != 0
        && preferred <= valid
        && super::is_unicast6(first, second)
        && !super::is_link_local(first);
    usable.then_some((u64::from(first) | u64::from(second) << 32, valid))
}
