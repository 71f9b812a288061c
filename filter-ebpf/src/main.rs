//! The two tc classifiers: one for frames from the VM (tap ingress), one for frames to it (tap egress); and a program by
//! which user space puts connections into tables.
//!
//! They are a shell: find the port's record, give the frame to [`filter_common::classify`], count, report.
//! Nothing here changes while virtual machines run; policies are data.
//!
//! The outcome of each packet is left in `skb->cb[0..2]` ([`Outcome::to_words`]) for whoever runs the
//! program with `BPF_PROG_TEST_RUN`, and for classifiers behind us.

#![no_std]
#![no_main]
#![feature(core_intrinsics, asm_experimental_arch)]
#![allow(internal_features, reason = "atomic additions have no stable form on the BPF target")]
#![allow(clippy::inline_always, reason = "a function that is not inlined is a BPF-to-BPF call")]

mod connections;
mod gates;
mod learn;
mod long_walk;
mod maps;
mod opaque;
mod port;
mod reject;
mod skb;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use aya_log_ebpf::warn;
use filter_common::maps::{MAX_NODES, NodePool};
use filter_common::parse::{Parsed, parse, parse_plain};
use filter_common::track::{FlowWords, batch};
use filter_common::{
    Cause, Direction, DropReason, Frame, Key, Node, Nodes, Outcome, PortRecord, Verdict, record_flags, slot,
};

use connections::{filter_put, now};
use port::{PortEffects, Weight, count_guard};
use reject::{Rejected, filter_answer, is_answer};
use skb::SkbFrame;

/// `TCX_NEXT`, which is also clsact's `TC_ACT_UNSPEC`: other programs on the port still run.
const NEXT: i32 = -1;
/// `TC_ACT_SHOT`.
const SHOT: i32 = 2;

/// Frames from the VM.
#[classifier]
pub fn filter_vm_out(ctx: TcContext) -> i32 {
    judge(&ctx, Direction::Out)
}

/// Frames to the VM.
#[classifier]
pub fn filter_vm_in(ctx: TcContext) -> i32 {
    judge(&ctx, Direction::In)
}

/// Puts flows into the table of a port, or moves them there: run by user space over a frame of its own
/// ([`batch`]), and never attached. It leaves what time it is, and what became of the flows.
#[classifier]
pub fn filter_flow_put(ctx: TcContext) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    let (op, count) = match (ctx.load::<u8>(batch::OP), ctx.load::<u8>(batch::COUNT)) {
        (Ok(op), Ok(count)) => (u32::from(op), usize::from(count)),
        _ => return SHOT,
    };
    let mut became = [0; 2];
    if count != 0 {
        let entry = match maps::IFINDEX.get_ptr(ifindex) {
            // SAFETY: a map element, read once.
            Some(entry) => unsafe { core::ptr::read_volatile(entry) },
            None => 0,
        };
        let Some(record) = record(entry, ifindex) else { return SHOT };
        let (Some(key), Some(flow)) = (maps::KEY.get_ptr(0), maps::FLOW.get_ptr_mut(0)) else { return SHOT };
        let mut position = 0;
        while position < batch::MOST && position < count {
            let at = batch::FLOWS + position * size_of::<FlowWords>();
            // SAFETY: this CPU's element, which nobody else touches meanwhile, and as many bytes as it has.
            let loaded = unsafe {
                bpf_skb_load_bytes(
                    ctx.skb.skb.cast(),
                    at as u32,
                    flow.cast::<core::ffi::c_void>(),
                    size_of::<FlowWords>() as u32,
                )
            };
            if loaded != 0 {
                return SHOT;
            }
            let outcome = filter_put(flow, key, record, op) & 3;
            became[position >> 4 & 1] |= outcome << (2 * (position & 15));
            position += 1;
        }
    }
    // SAFETY: the kernel passes a valid context; `cb` is the classifiers' scratch space.
    unsafe {
        (*ctx.skb.skb).cb[0] = now();
        (*ctx.skb.skb).cb[1] = became[0];
        (*ctx.skb.skb).cb[2] = became[1];
    }
    NEXT
}

#[inline(always)]
fn judge(ctx: &TcContext, direction: Direction) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    if is_answer(ctx.skb.skb, ifindex, direction) {
        return NEXT;
    }
    let entry = match maps::IFINDEX.get_ptr(ifindex) {
        // SAFETY: a map element. Volatile: it is read once a packet, whoever stores meanwhile.
        Some(entry) => unsafe { core::ptr::read_volatile(entry) },
        None => 0,
    };
    let Some(record) = record(entry, ifindex) else {
        return fault(ctx, entry, 0, direction, DropReason::NoPolicy);
    };
    let Some(key) = maps::KEY.get_ptr_mut(0) else {
        return fault(ctx, entry, 0, direction, DropReason::NoPolicy);
    };
    // SAFETY: this CPU's element, which nobody else touches meanwhile; all bit patterns are valid.
    let key: &mut Key = unsafe { &mut *key };
    let frame = SkbFrame::linear(ctx);
    // The outermost tag is not among the frame's bytes.
    let tag_bytes = if frame.tag().is_some() { 4 } else { 0 };
    let parsed = if let Some(parsed) = parse_plain(&frame, record.flags, key) {
        parsed
    } else {
        let parsed = filter_parse(ctx.skb.skb, key, record.flags, record.zero);
        if parsed == UNREADABLE {
            filter_warn(ctx.skb.skb, DropReason::Unreadable as u32);
            return drop(ctx, record.port, direction, DropReason::Unreadable, 1);
        }
        Parsed::from_word(parsed)
    };
    let Some(pool) = maps::NODES.get_ptr(0) else {
        return fault(ctx, entry, record.port, direction, DropReason::GraphFault);
    };
    let weight = segments(ctx, tag_bytes, parsed.headers() as u64);
    let mut effects = PortEffects { skb: ctx.skb.skb, parsed: 0, record, weight };
    let outcome = filter_common::judge(parsed, record, direction, &Pool(pool), &mut effects, key);
    match outcome.cause {
        Cause::Rule(rule) => {
            effects.count(rule);
            report(ctx, outcome);
            if outcome.verdict as u32 == Verdict::Pass as u32 {
                return NEXT;
            }
            if outcome.verdict.rejects() && is_sound(ctx, record, key) {
                let rejected = Rejected { verdict: outcome.verdict, direction };
                return filter_answer(ctx.skb.skb, key, record, rejected.to_word());
            }
            SHOT
        }
        Cause::Guard(reason) if reason.is_fault() => fault(ctx, entry, record.port, direction, reason),
        Cause::Guard(reason) => drop(ctx, record.port, direction, reason, weight.packets),
    }
}

/// Whether nothing is wrong with a packet that the policy decided on; in a strict port it would not have got there.
/// It is parsed again rather than remembered: what is remembered through the walk has the verifier follow that once for
/// each value.
#[inline(always)]
fn is_sound(ctx: &TcContext, record: &PortRecord, key: &mut Key) -> bool {
    record.flags & record_flags::STRICT != 0 || {
        let parsed = filter_parse(ctx.skb.skb, key, record.flags, record.zero);
        parsed != UNREADABLE && Parsed::from_word(parsed).anomaly().is_none()
    }
}

/// What [`filter_parse`] returns where the kernel has no memory to make the headers readable.
const UNREADABLE: u64 = u64::MAX;

/// Parses the packet into `key`, whatever stood there; returns [`Parsed::to_word`].
///
/// A global function of its own: the verifier checks it once, for any arguments, and takes what it leaves in
/// `key` for unknown. Inlined, every path through the parser would be followed through all that comes after.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_parse(skb: *mut __sk_buff, key: *mut Key, flags: u32, zero: u32) -> u64 {
    let ctx = TcContext::new(skb);
    let Some(frame) = SkbFrame::new(&ctx) else { return UNREADABLE };
    // SAFETY: the verifier checks that callers pass memory of a key's size, or null.
    let Some(key) = (unsafe { key.as_mut() }) else { return UNREADABLE };
    parse(&frame, flags, key, zero as usize).to_word()
}

/// The record that `entry` leads to, if it is that of this interface: indices are used again.
#[inline(always)]
fn record(entry: u32, ifindex: u32) -> Option<&'static PortRecord> {
    let index = entry & slot::INDEX;
    if index == 0 {
        return None;
    }
    maps::PORTS.get(index).filter(|record| record.ifindex == ifindex)
}

/// What the packet stands for on the wire: a super-frame is cut into segments behind us, each with the
/// headers and the tag, if any, again.
#[inline(always)]
fn segments(ctx: &TcContext, tag_bytes: u64, headers: u64) -> Weight {
    // SAFETY: the kernel passes a valid context.
    let size = u64::from(unsafe { (*ctx.skb.skb).gso_size });
    let length = u64::from(ctx.len());
    if size == 0 || headers >= length {
        return Weight { packets: 1, bytes: length + tag_bytes };
    }
    let packets = (length - headers).div_ceil(size);
    Weight { packets, bytes: length + tag_bytes + (packets - 1) * (headers + tag_bytes) }
}

/// The guard's drop.
#[inline(always)]
fn drop(ctx: &TcContext, port: u32, direction: Direction, reason: DropReason, packets: u64) -> i32 {
    count_guard(port, direction, reason, packets);
    report(ctx, Outcome::guard(reason));
    SHOT
}

/// The data path itself cannot judge the packet: the port's declared fail mode does.
#[inline(always)]
fn fault(ctx: &TcContext, entry: u32, port: u32, direction: Direction, reason: DropReason) -> i32 {
    filter_warn(ctx.skb.skb, reason as u32);
    count_guard(port, direction, reason, 1);
    let open = entry & slot::FAIL_OPEN != 0;
    let verdict = if open { Verdict::Pass } else { Verdict::Drop };
    report(ctx, Outcome { verdict, cause: Cause::Guard(reason) });
    if open { NEXT } else { SHOT }
}

/// Logs a fault of the data path. A function of its own because formatting needs stack that no packet's way
/// has to spare.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_warn(skb: *mut __sk_buff, reason: u32) -> u32 {
    let ctx = TcContext::new(skb);
    // SAFETY: the kernel passes a valid context.
    let ifindex = unsafe { (*skb).ifindex };
    warn!(&ctx, "ifindex {}: the data path cannot judge a packet: drop reason {}", ifindex, reason);
    0
}

#[inline(always)]
fn report(ctx: &TcContext, outcome: Outcome) {
    let [verdict, cause] = outcome.to_words();
    // SAFETY: the kernel passes a valid context; `cb` is the classifiers' scratch space.
    unsafe {
        (*ctx.skb.skb).cb[0] = verdict;
        (*ctx.skb.skb).cb[1] = cause;
    }
}

/// The graphs of all ports.
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

/// Which helpers we may call depends on it.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
