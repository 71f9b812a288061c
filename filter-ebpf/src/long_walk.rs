//! Walks that are longer than the quick loop: rules that can only be asked one after the other.
//!
//! `bpf_loop` (Linux 5.17) calls a function for each step. The verifier looks at the function once, however many
//! steps there may be, so such a walk costs time and nothing else.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use filter_common::{DropReason, Key, MAX_STEPS, Outcome, PortRecord, SHORT_WALK, Walk};

use crate::port::{PortEffects, Weight};
use crate::{Pool, maps};

/// What a step of the loop needs, and leaves.
#[repr(C)]
struct State<'a> {
    effects: PortEffects<'a>,
    key: &'a Key,
    /// [`Outcome::to_words`] once there is one.
    outcome: [u32; 2],
    walk: Walk,
}

/// Goes on with a walk to its end.
#[inline(always)]
pub fn finish(effects: &PortEffects<'_>, walk: Walk, key: &Key) -> Outcome {
    let (best, index) = walk.to_words();
    let outcome = finish_words(effects.record, key, effects.weight.to_word(), best, index);
    Outcome::from_words([outcome as u32, (outcome >> 32) as u32])
        .unwrap_or(Outcome::guard(DropReason::GraphFault))
}

/// The same, as a function of its own: the few walks that come here shall not take stack from all others. So it
/// takes no more than five numbers.
#[inline(never)]
fn finish_words(record: &PortRecord, key: &Key, weight: u64, best: u64, index: u32) -> u64 {
    // Nothing is learned in here: `parsed` may be anything but a zero beside others, which becomes a call.
    let effects =
        PortEffects { skb: core::ptr::null_mut(), parsed: best, record, weight: Weight::from_word(weight) };
    let outcome = Outcome::guard(DropReason::StepLimit).to_words();
    let mut state = State { effects, key, outcome, walk: Walk::from_words((best, index)) };
    // SAFETY: the callback gets the state and nothing else, and has it for itself.
    unsafe {
        bpf_loop((MAX_STEPS - SHORT_WALK) as u32, step as *mut c_void, (&raw mut state).cast(), 0);
    }
    u64::from(state.outcome[1]) << 32 | u64::from(state.outcome[0])
}

/// One step; 1 ends the loop.
unsafe extern "C" fn step(_: u32, state: *mut State<'_>) -> i64 {
    // SAFETY: `finish_words` passes its state.
    let state = unsafe { &mut *state };
    let outcome = match maps::NODES.get_ptr(0) {
        Some(pool) => state.walk.step(&Pool(pool), state.key, &mut state.effects),
        None => Some(Outcome::guard(DropReason::GraphFault)),
    };
    match outcome {
        Some(outcome) => {
            state.outcome = outcome.to_words();
            1
        }
        None => 0,
    }
}
