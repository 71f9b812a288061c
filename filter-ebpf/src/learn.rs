//! Learning, as functions of their own: the verifier checks each once, and ports that do not learn pay nothing.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_jiffies64;
use aya_ebpf::programs::TcContext;
use filter_common::learn::{self, Identity, Lesson, Words, lesson};
use filter_common::parse::Parsed;
use filter_common::{Direction, DropReason, Key, Learned, PortRecord, Tick};

use crate::maps;
use crate::skb::SkbFrame;

/// What was learned of a port, as words of the map.
struct Shared(*mut u64);

impl Shared {
    #[inline(always)]
    fn of(record: &PortRecord) -> Option<Self> {
        let learned: *mut Learned = maps::LEARNED.get_ptr_mut(record.port)?;
        Some(Self(learned.cast()))
    }

    /// A word of it. Positions are all below [`Learned::WORDS`]; the verifier has to see it compared.
    #[inline(always)]
    fn word(&self, at: usize) -> *mut u64 {
        let at = if at < Learned::WORDS { at } else { 0 };
        // SAFETY: within the map's element.
        unsafe { self.0.add(at) }
    }
}

impl Words for Shared {
    #[inline(always)]
    fn get(&self, at: usize) -> u64 {
        // SAFETY: a word of a map element; volatile because another processor may write it.
        unsafe { core::ptr::read_volatile(self.word(at)) }
    }

    #[inline(always)]
    fn put(&self, at: usize, value: u64) {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(self.word(at), value) }
    }

    #[inline(always)]
    fn exchange(&self, at: usize, expected: u64, new: u64) -> bool {
        // SAFETY: as above.
        let (_, stored) = unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                self.word(at),
                expected,
                new,
            )
        };
        stored
    }
}

#[inline(always)]
fn now() -> Tick {
    // SAFETY: a helper without arguments, which the kernel makes a load of.
    Tick::from_jiffies(unsafe { bpf_jiffies64() })
}

#[inline(always)]
fn direction(number: u32) -> Direction {
    if number == Direction::Out as u32 { Direction::Out } else { Direction::In }
}

/// [`learn::identify`]; returns [`Identity::to_word`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_identify(record: *const PortRecord, key: *const Key, way: u32, parsed: u64) -> u64 {
    let fault = Identity { own: 0, lesson: 0, reason: Some(DropReason::GraphFault) };
    // SAFETY: the verifier checks that callers pass memory of these sizes, or null.
    let (Some(record), Some(key)) = (unsafe { record.as_ref() }, unsafe { key.as_ref() }) else {
        return fault.to_word();
    };
    let Some(words) = Shared::of(record) else { return fault.to_word() };
    learn::identify(&words, record, direction(way), Parsed::from_word(parsed), key, now()).to_word()
}

/// [`learn::learn`](learn::learn()), in parts; 0: another packet was first.
#[inline(always)]
pub fn learn(
    skb: *mut __sk_buff,
    record: &PortRecord,
    key: &Key,
    way: Direction,
    parsed: u64,
    taught: u32,
) -> bool {
    if taught & (lesson::MAC | lesson::IP4 | lesson::SOURCE6 | lesson::TARGET6) != 0
        && filter_learn_own(record, key, taught) == 0
    {
        return false;
    }
    if taught & lesson::DHCP4 != 0 {
        filter_learn_dhcp4(skb, record, way as u32, parsed);
    } else if taught & lesson::DHCP6 != 0 {
        filter_learn_dhcp6(skb, record, way as u32, parsed);
    } else if taught & lesson::ROUTER != 0 {
        filter_learn_router(skb, record, parsed);
    }
    true
}

/// [`learn::learn_own`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_learn_own(record: *const PortRecord, key: *const Key, taught: u32) -> u32 {
    // SAFETY: as in `filter_identify`.
    let (Some(record), Some(key)) = (unsafe { record.as_ref() }, unsafe { key.as_ref() }) else { return 0 };
    let Some(words) = Shared::of(record) else { return 0 };
    u32::from(learn::learn_own(&words, record, key, taught, now()))
}

/// What a function learns from, and with: the packet's bytes, what is known of the port, and the port.
#[inline(always)]
fn readable<'a>(
    skb: *mut __sk_buff,
    record: *const PortRecord,
) -> Option<(SkbFrame, Shared, &'a PortRecord)> {
    let ctx = TcContext::new(skb);
    // SAFETY: as in `filter_identify`.
    let record = unsafe { record.as_ref() }?;
    let words = Shared::of(record)?;
    if SkbFrame::make_readable(&ctx) { Some((SkbFrame::linear(&ctx), words, record)) } else { None }
}

/// [`learn::learn_dhcp4`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_learn_dhcp4(
    skb: *mut __sk_buff,
    record: *const PortRecord,
    way: u32,
    parsed: u64,
) -> u32 {
    let Some((frame, words, record)) = readable(skb, record) else { return 0 };
    let from = Lesson { frame: &frame, words: &words, record, direction: direction(way), now: now() };
    learn::learn_dhcp4(&from, Parsed::from_word(parsed));
    0
}

/// [`learn::dhcp6_addresses`], and what follows from it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_learn_dhcp6(
    skb: *mut __sk_buff,
    record: *const PortRecord,
    way: u32,
    parsed: u64,
) -> u32 {
    let Some((frame, words, record)) = readable(skb, record) else { return 0 };
    let from = Lesson { frame: &frame, words: &words, record, direction: direction(way), now: now() };
    learn::dhcp6_addresses(&from, Parsed::from_word(parsed), |kind, [first, second], valid| {
        filter_learn_lease6(record, kind, first, second, valid);
    });
    0
}

/// [`learn::learn_dhcp6`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_learn_lease6(
    record: *const PortRecord,
    kind: u32,
    first: u64,
    second: u64,
    valid: u32,
) -> u32 {
    // SAFETY: as in `filter_identify`.
    let Some(record) = (unsafe { record.as_ref() }) else { return 0 };
    if let Some(words) = Shared::of(record) {
        learn::learn_dhcp6(&words, record, kind, [first, second], valid, now());
    }
    0
}

/// [`learn::announced_prefixes`], and what follows from them.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_learn_router(skb: *mut __sk_buff, record: *const PortRecord, parsed: u64) -> u32 {
    let Some((frame, words, record)) = readable(skb, record) else { return 0 };
    let from = Lesson { frame: &frame, words: &words, record, direction: Direction::In, now: now() };
    learn::announced_prefixes(&from, Parsed::from_word(parsed), |prefix, valid| {
        filter_learn_prefix(record, prefix, valid);
    });
    0
}

/// [`learn::learn_prefix`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_learn_prefix(record: *const PortRecord, prefix: u64, valid: u32) -> u32 {
    // SAFETY: as in `filter_identify`.
    let Some(record) = (unsafe { record.as_ref() }) else { return 0 };
    if let Some(words) = Shared::of(record) {
        learn::learn_prefix(&words, record, prefix, valid, now());
    }
    0
}
