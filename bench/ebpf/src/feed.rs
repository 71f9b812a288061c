//! Programs that give the classifiers another frame each time they run.
//!
//! `BPF_PROG_TEST_RUN` repeats a program over one frame. `feed` writes the next frame of a table over that one and
//! goes on, by a tail call, in the classifier that is loaded: the very program that ports have, not a variant of
//! it. `feed_nothing` is the same, but goes on in `nothing`. The difference of the two is what the classifier costs
//! more than nothing.
//!
//! The index of a tail call is a constant: then the kernel makes a jump of it.

#![no_std]
#![no_main]
#![allow(clippy::inline_always, reason = "a function that is not inlined is a BPF-to-BPF call")]

#[allow(dead_code, reason = "some of it is for the other program")]
mod tables;

use aya_ebpf::btf_maps::{Array, ProgramArray};
use aya_ebpf::macros::{btf_map, classifier};
use aya_ebpf::programs::TcContext;

use tables::{COUNT, Cursor, FRAME};

/// `TCX_NEXT`: what the classifiers return for what they let pass.
const NEXT: i32 = -1;
/// Returned where a table, or who is to be called, is missing.
const LOST: i32 = -99;

const WORDS: usize = FRAME / 8;

/// All frames as one value, so that finding one is an addition.
#[repr(C)]
pub struct Frames {
    frames: [[u64; WORDS]; COUNT],
}

#[btf_map(name = "bench_frames")]
static FRAMES: Array<Frames, 1> = Array::new();

#[btf_map(name = "bench_cursor")]
static CURSOR: Array<Cursor, 1> = Array::new();

#[btf_map(name = "bench_callees")]
static CALLEES: ProgramArray<2> = ProgramArray::new();

/// What every classifier costs at least.
#[classifier]
pub fn nothing(_: TcContext) -> i32 {
    NEXT
}

/// The next frame to the classifier at index 0.
#[classifier]
pub fn feed(ctx: TcContext) -> i32 {
    write_next(&ctx);
    // SAFETY: nothing of this program is used afterwards.
    unsafe { CALLEES.tail_call(&ctx, 0) };
    LOST
}

/// The next frame to `nothing`, at index 1.
#[classifier]
pub fn feed_nothing(ctx: TcContext) -> i32 {
    write_next(&ctx);
    // SAFETY: as above.
    unsafe { CALLEES.tail_call(&ctx, 1) };
    LOST
}

/// Writes the next frame over the packet, if that is as long.
#[inline(always)]
fn write_next(ctx: &TcContext) {
    let (Some(cursor), Some(frames)) = (CURSOR.get_ptr_mut(0), FRAMES.get_ptr(0)) else { return };
    // SAFETY: a map element, which only one run at a time uses; the position is within the table.
    let frame = unsafe {
        let next = (*cursor).next;
        (*cursor).next = next.wrapping_add(1);
        let position = (next & (*cursor).mask) as usize & (COUNT - 1);
        (&raw const (*frames).frames).cast::<[u64; WORDS]>().add(position).cast::<u64>()
    };
    let (data, end) = (ctx.data(), ctx.data_end());
    if data + FRAME > end {
        return;
    }
    for i in 0..WORDS {
        // SAFETY: the packet is at least FRAME bytes long, which was just compared.
        unsafe { core::ptr::write_volatile((data as *mut u64).add(i), *frame.add(i)) };
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: no code path panics; the verifier refuses a program that could reach an endless loop.
    unsafe { core::hint::unreachable_unchecked() }
}
