//! A packet in the kernel as a [`Frame`]: direct packet access, one bounds check a header.

use aya_ebpf::programs::TcContext;
use filter_common::{Block, Frame, MAX_HEADERS, Tag};

use crate::opaque::opaque;

/// The readable part of an skb.
///
/// Addresses are `usize`, not pointers, because the verifier tracks them as packet pointers and the
/// compiler must not assume an allocation behind them.
pub struct SkbFrame {
    data: usize,
    end: usize,
    len: usize,
    tag: Option<Tag>,
}

impl SkbFrame {
    /// Makes the headers readable, and the frame of what there is. `None` where the kernel has no memory
    /// to do so. The one helper call, where the linear part is short (super-frames: 54 bytes).
    #[inline(always)]
    pub fn new(ctx: &TcContext) -> Option<Self> {
        let len = ctx.len() as usize;
        let wanted = if len < MAX_HEADERS { len } else { MAX_HEADERS };
        if ctx.data_end() - ctx.data() < wanted {
            ctx.pull_data(wanted as u32).ok()?;
        }
        Some(Self::linear(ctx))
    }

    /// The frame as it lies there: blocks behind the linear part are not readable.
    #[inline(always)]
    pub fn linear(ctx: &TcContext) -> Self {
        let skb = ctx.skb.skb;
        // SAFETY: the kernel passes a valid context; these are loads of its fields.
        let tag = unsafe {
            if (*skb).vlan_present == 0 {
                None
            } else {
                // Alone of the three the type is in network byte order.
                let ether_type = u16::from_be((*skb).vlan_proto as u16);
                Some(Tag { ether_type, tci: (*skb).vlan_tci as u16 })
            }
        };
        Self { data: ctx.data(), end: ctx.data_end(), len: ctx.len() as usize, tag }
    }
}

impl Frame for SkbFrame {
    type Block<const N: usize> = SkbBlock<N>;

    #[inline(always)]
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn tag(&self) -> Option<Tag> {
        self.tag
    }

    #[inline(always)]
    fn block<const N: usize>(&self, offset: usize) -> Option<SkbBlock<N>> {
        if offset + N > MAX_HEADERS {
            return None;
        }
        let start = opaque(self.data + offset);
        if start + N > self.end { None } else { Some(SkbBlock(start)) }
    }
}

/// `N` bytes that were checked against the end of the packet.
pub struct SkbBlock<const N: usize>(usize);

impl<const N: usize> Block<N> for SkbBlock<N> {
    #[inline(always)]
    fn u8<const I: usize>(&self) -> u32 {
        const { assert!(I < N) };
        // SAFETY: `block` checked N bytes from the start, and I is below N.
        unsafe { u32::from(*((self.0 + I) as *const u8)) }
    }

    #[inline(always)]
    fn u16<const I: usize>(&self) -> u32 {
        const { assert!(I + 2 <= N) };
        // SAFETY: as above. One load although it may be misaligned: the kernels this runs on accept that,
        // and `read_unaligned` would become two loads of a byte each.
        unsafe { u32::from(u16::from_be(*((self.0 + I) as *const u16))) }
    }

    #[inline(always)]
    fn u32<const I: usize>(&self) -> u32 {
        const { assert!(I + 4 <= N) };
        // SAFETY: as for u16.
        unsafe { u32::from_be(*((self.0 + I) as *const u32)) }
    }

    #[inline(always)]
    fn u64<const I: usize>(&self) -> u64 {
        const { assert!(I + 8 <= N) };
        // SAFETY: as for u16.
        unsafe { u64::from_be(*((self.0 + I) as *const u64)) }
    }
}
