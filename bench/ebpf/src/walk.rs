//! The walk over a graph and nothing else, with another key each time: what a policy costs beside parsing and
//! counting. The nodes lie as they do for the classifiers, and the walk is theirs.

#![no_std]
#![no_main]
#![allow(clippy::inline_always, reason = "a function that is not inlined is a BPF-to-BPF call")]

#[allow(dead_code, reason = "some of it is for the other program")]
mod tables;

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::{btf_map, classifier};
use aya_ebpf::programs::TcContext;
use filter_common::maps::{MAX_NODES, NodePool};
use filter_common::{Key, Node, Nodes, short_walk, word};

use tables::{COUNT, Cursor, UNFINISHED};

/// Returned where a table is missing.
const LOST: i32 = -99;

/// Keys, and where the walk starts for each.
#[repr(C)]
pub struct Keys {
    keys: [Key; COUNT],
    roots: [u32; COUNT],
}

#[btf_map(name = "bench_nodes")]
static NODES: Array<NodePool, 1> = Array::new();

#[btf_map(name = "bench_keys")]
static KEYS: Array<Keys, 1> = Array::new();

#[btf_map(name = "bench_cursor")]
static CURSOR: Array<Cursor, 1> = Array::new();

/// Walks from the next key's root. Returns the verdict, as a number, and the rule above it; with the number of
/// rules that were hit on the way mixed in, so that finding them is not left out. Walks beyond the classifiers' quick
/// loop are not gone on with.
#[classifier]
pub fn walk(_: TcContext) -> i32 {
    let (Some((key, root, zero)), Some(nodes)) = (next(), NODES.get_ptr(0)) else { return LOST };
    let mut hits = zero;
    let Ok(outcome) = short_walk(&Pool(nodes), key, root, &mut |_| hits += 1) else { return UNFINISHED };
    let [verdict, cause] = outcome.to_words();
    (verdict | cause << 1 | hits << 24).cast_signed()
}

/// All that [`walk`] does but the walk: finds the next key, and has it in the cache.
#[classifier]
pub fn next_key(_: TcContext) -> i32 {
    let Some((key, root, _)) = next() else { return LOST };
    (key.indexed(word::ETHER_TYPE) ^ key.indexed(word::ENCAPSULATED) ^ root).cast_signed()
}

#[inline(always)]
fn next() -> Option<(&'static Key, u32, u32)> {
    let (cursor, keys) = (CURSOR.get_ptr_mut(0)?, KEYS.get_ptr(0)?);
    // SAFETY: a map element, which only one run at a time uses; the position is within the tables.
    unsafe {
        let next = (*cursor).next;
        (*cursor).next = next.wrapping_add(1);
        let position = (next & (*cursor).mask) as usize & (COUNT - 1);
        let key = &*(&raw const (*keys).keys).cast::<Key>().add(position);
        let root = *(&raw const (*keys).roots).cast::<u32>().add(position);
        Some((key, root, (*cursor).zero))
    }
}

/// The graph.
struct Pool(*const NodePool);

impl Nodes for Pool {
    #[inline(always)]
    fn node(&self, index: u32) -> Option<Node> {
        let position = index as usize & (MAX_NODES - 1);
        // SAFETY: the mask keeps the position within the pool.
        Some(unsafe { *(&raw const (*self.0).nodes).cast::<Node>().add(position) })
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: no code path panics; the verifier refuses a program that could reach an endless loop.
    unsafe { core::hint::unreachable_unchecked() }
}
