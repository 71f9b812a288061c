//! Messages of DHCPv6 (RFC 8415).

use crate::forget::forget;
use crate::frame::{Block, Frame, Steps};

pub(super) const SOLICIT: u32 = 1;
pub(super) const REQUEST: u32 = 3;
pub(super) const RENEW: u32 = 5;
pub(super) const REBIND: u32 = 6;
pub(super) const REPLY: u32 = 7;
pub(super) const RELEASE: u32 = 8;
pub(super) const DECLINE: u32 = 9;

/// All that an offset can be that is still read at, rounded up.
const ANY_OFFSET: i32 = 0x3ff;
/// All that it can be behind an option.
const ANY_END: i32 = 0x1_ffff;
/// How many options a message may have, those in options included.
const MAX_OPTIONS: u32 = 64;

/// Type and transaction of the message at `start`.
#[inline(always)]
pub(super) fn head<F: Frame>(frame: &F, start: usize, end: usize) -> Option<(u32, u32)> {
    if start + 4 > end {
        return None;
    }
    let head = frame.block::<4>(start)?.u32::<0>();
    Some((head >> 24, head & 0x00ff_ffff))
}

/// Whether nothing is wrong with the options of the message at `start`, as far as they are read.
#[inline(always)]
pub(super) fn is_sound<F: Frame>(frame: &F, start: usize, end: usize, zero: usize) -> bool {
    let mut options = Options { each: |_, _| {}, offset: start + 4, end, through: 0, zero };
    frame.walk(MAX_OPTIONS, &mut options);
    options.through != 0 || options.offset == options.end
}

/// Calls `each` with the addresses that are assigned or named in the message at `start`, as a key has them, and for how
/// many seconds each is valid.
///
/// Options that reach further than [`MAX_HEADERS`](crate::MAX_HEADERS) are not read; those before them are.
#[inline(always)]
pub(super) fn addresses<F: Frame>(
    frame: &F,
    start: usize,
    end: usize,
    zero: usize,
    each: impl FnMut([u64; 2], u32),
) {
    frame.walk(MAX_OPTIONS, &mut Options { each, offset: start + 4, end, through: 0, zero });
}

/// Options for temporary and other addresses are walked into, not over, so that one loop is enough.
#[repr(C)]
struct Options<E> {
    each: E,
    offset: usize,
    end: usize,
    /// 1 if nothing was wrong as far as is read.
    through: usize,
    zero: usize,
}

impl<E: FnMut([u64; 2], u32)> Steps for Options<E> {
    #[inline(always)]
    fn step<F: Frame>(&mut self, frame: &F) -> bool {
        const NON_TEMPORARY: u32 = 3;
        const TEMPORARY: u32 = 4;
        const ADDRESS: u32 = 5;
        let (offset, end) = (forget::<ANY_END>(self.offset, self.zero), self.end);
        if offset + 4 > end {
            return false;
        }
        let near = offset <= ANY_OFFSET as usize;
        let Some(option) = (if near { frame.block::<4>(offset) } else { None }) else {
            self.through = 1;
            return false;
        };
        let (code, length) = (option.u16::<0>(), option.u16::<2>() as usize);
        // How much stands before the options in it.
        let fixed = match code {
            NON_TEMPORARY => 12,
            TEMPORARY => 4,
            ADDRESS => 24,
            _ => length,
        };
        if offset + 4 + length > end || length < fixed {
            return false;
        }
        self.offset = offset + 4 + fixed;
        if code == ADDRESS
            && let Some((address, valid)) = address(frame, offset + 4)
        {
            (self.each)(address, valid);
        }
        true
    }
}

/// The address at such a place, as a key has it, and for how many seconds it is valid.
#[inline(always)]
fn address<F: Frame>(frame: &F, at: usize) -> Option<([u64; 2], u32)> {
    let block = frame.block::<24>(at)?;
    let pair = |first: u32, second: u32| u64::from(first) | u64::from(second) << 32;
    let address = [pair(block.u32::<0>(), block.u32::<4>()), pair(block.u32::<8>(), block.u32::<12>())];
    Some((address, block.u32::<20>()))
}
