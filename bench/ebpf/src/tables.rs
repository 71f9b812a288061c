//! Sizes and layouts that these programs share with user space, which includes this file.

/// How many frames, or keys, there are to go through; a power of two.
pub const COUNT: usize = 1 << 16;

/// Bytes of a frame: the headers of all that rule sets make, the longest being TCP over IPv6 behind a tag.
pub const FRAME: usize = 80;

/// Words of a [`Cursor`].
pub const CURSOR: usize = 3;

/// Which frame, or key, is next.
#[repr(C)]
pub struct Cursor {
    /// Counts up with each run.
    pub next: u32,
    /// What of it is the place: how many places are gone through, less one.
    pub mask: u32,
    /// Always 0. The verifier does not know that: what is counted from here on is not known to it either, and does
    /// not make paths differ.
    pub zero: u32,
}

/// Returned where a walk did not end within the quick loop.
pub const UNFINISHED: i32 = -98;

const _: () = assert!(COUNT.is_power_of_two() && FRAME.is_multiple_of(8));
const _: () = assert!(size_of::<Cursor>() == CURSOR * 4);
