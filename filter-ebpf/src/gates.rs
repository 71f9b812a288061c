//! Answers to the questions that the graph asks of more than the key.
//!
//! Few packets meet one, so the answer is a function of its own, which the verifier checks once.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::btf_maps::lpm_trie::Key as Prefix;
use aya_ebpf::helpers::generated::bpf_jiffies64;
use filter_common::limit::{Limit, Measure, moment};
use filter_common::maps::{MAX_BUCKETS, MAX_LIMITS};
use filter_common::time::JIFFIES;
use filter_common::{
    FAMILY_BITS, Key, NetworkAddress, PortRecord, Question, element, member_of, network_of, own, question,
    word,
};

use crate::connections::is_above;
use crate::maps;
use crate::opaque::opaque;
use crate::port::Weight;

/// All bits of what is looked up among networks.
const WHOLE: u32 = FAMILY_BITS + 128;
const _: () = assert!(size_of::<NetworkAddress>() * 8 == WHOLE as usize);
/// How often a bucket is taken from that others take from meanwhile.
const ATTEMPTS: usize = 8;

/// Answers a question.
#[inline(always)]
pub fn ask(question: Question, key: &Key, record: &PortRecord, weight: Weight) -> bool {
    let of = u64::from(question.kind) << 32 | u64::from(question.number);
    // Made into one number here, and not before the walk: there is no stack for a third number.
    let weight = Weight { packets: opaque(weight.packets as usize) as u64, ..weight };
    filter_ask(key, record, of, question.detail, weight.to_word()) != 0
}

/// The same, as a global function: 1 is yes. `of`: the kind of question, and the number in the lower half. What is not
/// known is answered with no.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_ask(
    key: *const Key,
    record: *const PortRecord,
    of: u64,
    detail: u32,
    weight: u64,
) -> u32 {
    // SAFETY: the verifier checks that callers pass memory of that size, or null.
    let (Some(key), Some(record)) = (unsafe { (key.as_ref(), record.as_ref()) }) else { return 0 };
    let number = of as u32;
    u32::from(match (of >> 32) as u32 {
        question::SET => is_member(key, number, detail),
        question::CONNECTIONS => is_above(key, record, number, detail),
        question::RATE => is_within(key, record, number, Weight::from_word(weight)),
        _ => false,
    })
}

/// Whether the packet's element is in the set with this number.
#[inline(always)]
fn is_member(key: &Key, number: u32, detail: u32) -> bool {
    if detail & element::KIND == element::NETWORK {
        let Some(networks) = maps::NETWORKS.get(number) else { return false };
        let address = Prefix::new(WHOLE, network_of(key, detail));
        return networks.get(&address).is_some();
    }
    let (Some(members), Some(member)) = (maps::SETS.get(number), member_of(key, detail)) else {
        return false;
    };
    members.get_ptr(&member).is_some()
}

const PACKETS: u32 = Measure::Packets as u32;
const BYTES: u32 = Measure::Bytes as u32;

/// Whether a limit of the port has something left for the packet, which then takes of it.
#[inline(always)]
fn is_within(key: &Key, record: &PortRecord, number: u32, weight: Weight) -> bool {
    let Some(limit) = limit(record, number) else { return false };
    let weight = match limit.measure {
        PACKETS => weight.packets,
        BYTES => weight.bytes,
        _ if key.get(word::OWN) & own::BEGINS == 0 => return true,
        _ => 1,
    };
    let Some(pool) = maps::BUCKETS.get_ptr_mut(0) else { return false };
    let position = limit.bucket as usize & (MAX_BUCKETS - 1);
    // SAFETY: the mask keeps the position within the pool.
    let bucket = unsafe { (&raw mut (*pool).full).cast::<u64>().add(position) };
    let now = now();
    for _ in 0..ATTEMPTS {
        // SAFETY: a pointer into a map element; volatile because other CPUs write it.
        let full = unsafe { core::ptr::read_volatile(bucket) };
        let Some(later) = limit.take(full, now, weight) else { return false };
        // SAFETY: as above.
        let (_, stored) = unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(bucket, full, later)
        };
        if stored {
            return true;
        }
    }
    false
}

/// One of the port's limits.
#[inline(always)]
fn limit(record: &PortRecord, number: u32) -> Option<&'static Limit> {
    let pool = maps::LIMITS.get_ptr(0)?;
    let position = record.limits.wrapping_add(number) as usize & (MAX_LIMITS - 1);
    // SAFETY: the mask keeps the position within the pool; limits are not written while a record leads to them.
    Some(unsafe { &*(&raw const (*pool).limits).cast::<Limit>().add(position) })
}

/// Now, in the units of limits.
#[inline(always)]
fn now() -> u64 {
    let ahead = maps::SETTINGS.get(0).map_or(0, |settings| settings.clock_offset);
    // SAFETY: a helper without arguments.
    moment(unsafe { bpf_jiffies64() }.wrapping_add(u64::from(ahead) << JIFFIES))
}
