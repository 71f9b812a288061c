//! Bytes of a frame, as the parser sees them.
//!
//! The parser asks for fixed-size blocks, one bounds check each, and then loads fields at offsets that are
//! known at compile time and checked against the block's size there. In the kernel a block is a pointer into
//! the packet; in user space it is a slice.

/// How far into a frame headers are read, in bytes from the destination MAC address.
///
/// A fixed limit makes the verdict a function of the frame alone, not of how much of it happens to lie in the
/// linear part of the kernel's buffer. Headers that reach further are dropped as
/// [`DropReason::HeadersTooDeep`](crate::DropReason::HeadersTooDeep).
pub const MAX_HEADERS: usize = 512;

/// A VLAN tag that the kernel took out of the frame's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its EtherType: 0x8100, 0x88a8 or 0x9100.
    pub ether_type: u16,
    /// Tag control information: priority (3 bits), drop eligible (1), VLAN identifier (12).
    pub tci: u16,
}

/// A frame that can be parsed.
pub trait Frame {
    /// A checked run of `N` bytes.
    type Block<const N: usize>: Block<N>;

    /// Length of the whole frame in bytes, without an out-of-band tag and without FCS.
    fn len(&self) -> usize;

    /// The outermost tag, where the kernel keeps it outside the bytes.
    fn tag(&self) -> Option<Tag>;

    /// The `N` bytes from `offset` on; `None` where they are not all within the frame and [`MAX_HEADERS`].
    fn block<const N: usize>(&self, offset: usize) -> Option<Self::Block<N>>;

    /// Takes steps, so many at most, until there is no more to do. In the kernel it is a loop that costs the verifier
    /// one step.
    fn walk<S: Steps>(&self, most: u32, steps: &mut S)
    where
        Self: Sized,
    {
        for _ in 0..most {
            if !steps.step(self) {
                break;
            }
        }
    }

    /// Whether the frame has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A walk over parts of a frame.
pub trait Steps {
    /// Takes the next step. `false`: that was the last.
    fn step<F: Frame>(&mut self, frame: &F) -> bool;
}

/// `N` bytes of a frame that are known to be there. Multi-byte loads are big-endian.
pub trait Block<const N: usize> {
    /// The byte at offset `I`.
    fn u8<const I: usize>(&self) -> u32;
    /// The two bytes at offset `I`.
    fn u16<const I: usize>(&self) -> u32;
    /// The four bytes at offset `I`.
    fn u32<const I: usize>(&self) -> u32;
    /// The eight bytes at offset `I`.
    fn u64<const I: usize>(&self) -> u64;
}

/// A frame in user space.
#[derive(Clone, Copy, Debug)]
pub struct SliceFrame<'a> {
    bytes: &'a [u8],
    tag: Option<Tag>,
}

impl<'a> SliceFrame<'a> {
    /// A frame whose tags, if any, are all in its bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, tag: None }
    }

    /// A frame whose outermost tag was taken out of its bytes.
    pub const fn with_tag(bytes: &'a [u8], tag: Tag) -> Self {
        Self { bytes, tag: Some(tag) }
    }
}

impl<'a> Frame for SliceFrame<'a> {
    type Block<const N: usize> = SliceBlock<'a, N>;

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn tag(&self) -> Option<Tag> {
        self.tag
    }

    fn block<const N: usize>(&self, offset: usize) -> Option<SliceBlock<'a, N>> {
        let end = offset.checked_add(N)?;
        if end > MAX_HEADERS {
            return None;
        }
        self.bytes.get(offset..end)?.try_into().ok().map(SliceBlock)
    }
}

/// [`Block`] over a slice.
#[derive(Clone, Copy, Debug)]
pub struct SliceBlock<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> Block<N> for SliceBlock<'_, N> {
    fn u8<const I: usize>(&self) -> u32 {
        const { assert!(I < N) };
        u32::from(self.0[I])
    }

    fn u16<const I: usize>(&self) -> u32 {
        const { assert!(I + 2 <= N) };
        u32::from(u16::from_be_bytes([self.0[I], self.0[I + 1]]))
    }

    fn u32<const I: usize>(&self) -> u32 {
        const { assert!(I + 4 <= N) };
        u32::from_be_bytes([self.0[I], self.0[I + 1], self.0[I + 2], self.0[I + 3]])
    }

    fn u64<const I: usize>(&self) -> u64 {
        const { assert!(I + 8 <= N) };
        let bytes = &self.0[I..I + 8];
        bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
    }
}
