//! Messages of DHCPv4 (RFC 2131, options RFC 2132).

use crate::forget::forget;
use crate::frame::{Block, Frame, MAX_HEADERS, Steps};

pub(super) const DISCOVER: u32 = 1;
pub(super) const REQUEST: u32 = 3;
pub(super) const DECLINE: u32 = 4;
pub(super) const ACK: u32 = 5;
pub(super) const NAK: u32 = 6;
pub(super) const RELEASE: u32 = 7;

/// All that an offset can be that is still read at, rounded up.
const ANY_OFFSET: i32 = 0x3ff;
/// How many options a message may have.
const MAX_OPTIONS: u32 = 64;
/// Where options begin.
const OPTIONS: usize = 240;

/// What of a message matters for learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub kind: u32,
    pub transaction: u32,
    /// `ciaddr`: the client's address, as it says.
    pub client: u32,
    /// `yiaddr`: the address it is given.
    pub given: u32,
    /// The address that it names in an option, or 0.
    pub requested: u32,
    /// For how many seconds the address is leased, or 0.
    pub lease: u32,
}

/// Reads the message at `start`, which ends at `end`, if it is one of the station with this MAC address (two words of a
/// key) over Ethernet: a request (`op` 1) or an answer (2). `None` where anything is wrong with it.
///
/// Options that reach further than [`MAX_HEADERS`] are not read; those before them are.
#[inline(always)]
pub(super) fn read<F: Frame>(
    frame: &F,
    start: usize,
    end: usize,
    op: u32,
    mac: u64,
    zero: usize,
) -> Option<Message> {
    let start = forget::<ANY_OFFSET>(start, zero);
    if start + OPTIONS > end {
        return None;
    }
    let fixed = frame.block::<44>(start)?;
    let station = u64::from(fixed.u16::<28>()) | u64::from(fixed.u32::<30>()) << 32;
    let cookie = frame.block::<4>(start + OPTIONS - 4)?.u32::<0>();
    if fixed.u8::<0>() != op || fixed.u16::<1>() != 0x0106 || station != mac || cookie != 0x6382_5363 {
        return None;
    }
    let (transaction, client, given) = (fixed.u32::<4>(), fixed.u32::<12>(), fixed.u32::<16>());
    let mut options = Options {
        offset: start + OPTIONS,
        end,
        kind: forget::<1>(0, zero),
        lease: forget::<1>(0, zero),
        requested: forget::<1>(0, zero),
        through: forget::<1>(0, zero),
        zero,
    };
    frame.walk(MAX_OPTIONS, &mut options);
    let [kind, lease, requested] =
        [options.kind, options.lease, options.requested].map(|at| forget::<ANY_OFFSET>(at, zero));
    if options.through == 0 || kind == 0 {
        return None;
    }
    let number = |position: usize| {
        if position == 0 { 0 } else { frame.block::<4>(position).map_or(0, |block| block.u32::<0>()) }
    };
    Some(Message {
        kind: frame.block::<2>(kind - 1)?.u8::<1>(),
        transaction,
        client,
        given,
        requested: number(requested),
        lease: number(lease),
    })
}

/// A walk over the options: where the values are, the first of each kind; 0 is nowhere.
#[repr(C)]
struct Options {
    offset: usize,
    end: usize,
    kind: usize,
    lease: usize,
    requested: usize,
    /// 1 if nothing was wrong up to the end, or as far as is read.
    through: usize,
    zero: usize,
}

impl Steps for Options {
    #[inline(always)]
    fn step<F: Frame>(&mut self, frame: &F) -> bool {
        const PAD: u32 = 0;
        const REQUESTED: u32 = 50;
        const LEASE: u32 = 51;
        const KIND: u32 = 53;
        const END: u32 = 255;
        let offset = forget::<ANY_OFFSET>(self.offset, self.zero);
        let end = self.end;
        if offset == 0 || offset >= end {
            return false;
        }
        // Two bytes, the first of which is known: see the options of IPv4.
        let Some(block) = frame.block::<2>(offset - 1) else {
            self.through = 1;
            return false;
        };
        let option = block.u8::<1>();
        if option == END {
            self.through = 1;
            return false;
        }
        if option == PAD {
            self.offset = offset + 1;
            return true;
        }
        if offset + 2 > end {
            return false;
        }
        let Some(block) = frame.block::<2>(offset) else {
            self.through = 1;
            return false;
        };
        let (value, length) = (offset + 2, block.u8::<1>() as usize);
        if value + length > end {
            return false;
        }
        if value + length > MAX_HEADERS {
            self.through = 1;
            return false;
        }
        let right = match option {
            KIND => 1,
            LEASE | REQUESTED => 4,
            _ => length,
        };
        if length != right {
            return false;
        }
        if option == KIND && self.kind == 0 {
            self.kind = value;
        }
        if option == LEASE && self.lease == 0 {
            self.lease = value;
        }
        if option == REQUESTED && self.requested == 0 {
            self.requested = value;
        }
        self.offset = value + length;
        true
    }
}
