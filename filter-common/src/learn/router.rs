//! Prefixes in router advertisements (RFC 4861 section 4.6.2).

use crate::forget::forget;
use crate::frame::{Block, Frame, Steps};
use crate::learn::Found;

/// All that an offset can be that is still read at, rounded up.
const ANY_OFFSET: i32 = 0x3ff;
/// How many options the guard lets a message have.
const MAX_OPTIONS: u32 = 16;

/// Walks the options of the advertisement whose ICMPv6 header is at `start`, and says where those are that announce a
/// prefix.
#[inline(always)]
pub(super) fn prefixes<F: Frame>(frame: &F, start: usize, end: usize, zero: usize) -> Found {
    let mut options = Options { found: Found::nothing(), offset: start + 16, end, zero };
    frame.walk(MAX_OPTIONS, &mut options);
    options.found
}

#[repr(C)]
struct Options {
    found: Found,
    offset: usize,
    end: usize,
    zero: usize,
}

impl Steps for Options {
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
        if option.u8::<0>() == PREFIX && length == 32 {
            self.found.push(offset, self.zero);
        }
        self.offset = offset + length;
        self.offset <= ANY_OFFSET as usize
    }
}

/// The prefix in such an option, as a key has it, and for how many seconds it is valid; if stations make addresses of
/// it (RFC 4862 section 5.5.3), which on Ethernet takes one of 64 bits.
#[inline(always)]
pub(super) fn prefix<F: Frame>(frame: &F, at: usize) -> Option<(u64, u32)> {
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
