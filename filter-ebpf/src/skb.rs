//! A packet in the kernel as a [`Frame`]: direct packet access, one bounds check a header.

use core::ffi::c_void;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_loop;
use aya_ebpf::programs::TcContext;
use filter_common::{Block, Frame, MAX_HEADERS, Steps, Tag};

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
    skb: *mut __sk_buff,
}

/// A walk over a frame, as the kernel's loop has it.
#[repr(C)]
struct Walk<S> {
    skb: *mut __sk_buff,
    steps: S,
}

/// One step of it; 1 ends the loop.
unsafe extern "C" fn step<S: Steps>(_: u32, walk: *mut Walk<S>) -> i64 {
    // SAFETY: `SkbFrame::walk` passes its walk.
    let walk = unsafe { &mut *walk };
    let ctx = TcContext::new(walk.skb);
    let frame = SkbFrame::linear(&ctx);
    if walk.steps.step(&frame) { 0 } else { 1 }
}

impl SkbFrame {
    /// Makes the headers readable, and the frame of what there is. `None` where the kernel has no memory
    /// to do so.
    #[inline(always)]
    pub fn new(ctx: &TcContext) -> Option<Self> {
        if Self::make_readable(ctx) { Some(Self::linear(ctx)) } else { None }
    }

    /// Makes the headers readable. `false` where the kernel has no memory to do so. The one helper call, where the
    /// linear part is short (super-frames: 54 bytes).
    #[inline(always)]
    pub fn make_readable(ctx: &TcContext) -> bool {
        let len = ctx.len() as usize;
        let wanted = if len < MAX_HEADERS { len } else { MAX_HEADERS };
        ctx.data_end() - ctx.data() >= wanted || ctx.pull_data(wanted as u32).is_ok()
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
        Self { data: ctx.data(), end: ctx.data_end(), len: ctx.len() as usize, tag, skb }
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
    fn walk<S: Steps>(&self, most: u32, steps: &mut S) {
        // SAFETY: the steps are moved into the loop's memory and back; nobody else has them meanwhile.
        unsafe {
            let mut walk = Walk { skb: self.skb, steps: core::ptr::read(steps) };
            bpf_loop(most, step::<S> as *mut c_void, (&raw mut walk).cast(), 0);
            core::ptr::write(steps, walk.steps);
        }
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
