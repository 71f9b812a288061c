//! Connections in the kernel: where the tables are, and the functions that look into them.
//!
//! Each is a global function, which the verifier checks once for any arguments. A packet whose policy asks for no
//! connections calls none.

use core::cell::Cell;
use core::ffi::c_void;
use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_jiffies64, bpf_loop};
use aya_ebpf::programs::TcContext;
use filter_common::parse::Parsed;
use filter_common::time::{JIFFIES, Tick};
use filter_common::track::{
    self, Bucket, Counted, Flow, FlowKey, FlowTable, FlowTables, FlowWords, Own, Placed, Room, Seen, Segment,
    Settings, Source, Wanted, batch, count,
};
use filter_common::{Direction, DropReason, Key, PortRecord};

use crate::maps;
use crate::skb::SkbFrame;

/// The tables of all ports.
struct Tables;

/// One of them.
#[derive(Clone, Copy)]
struct Table<'t>(&'t maps::FlowTable);

impl<'t> FlowTable<'t> for Table<'t> {
    #[inline(always)]
    fn bucket(self, index: u32) -> Option<&'t Bucket> {
        self.0.get(index)
    }
}

impl FlowTables for Tables {
    type Table<'t> = Table<'t>;

    #[inline(always)]
    fn table(&self, number: u32) -> Option<Table<'_>> {
        maps::FLOWS.get(number).map(Table)
    }

    #[inline(always)]
    fn exchange(&self, cell: &Cell<u32>, old: u32, new: u32) -> bool {
        // SAFETY: a cell of a map element.
        let (_, stored) = unsafe {
            atomic_cxchg::<u32, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                cell.as_ptr(),
                old,
                new,
            )
        };
        stored
    }

    #[inline(always)]
    fn counted(&self) -> Option<&Counted> {
        maps::COUNTED.get(0)
    }

    #[inline(always)]
    fn cpu(&self) -> u32 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_smp_processor_id() }
    }

    #[inline(always)]
    fn jiffies(&self) -> u32 {
        let ahead = maps::SETTINGS.get(0).map_or(0, |settings| settings.clock_offset);
        // SAFETY: a helper without arguments.
        (unsafe { bpf_jiffies64() } as u32).wrapping_add(ahead << JIFFIES)
    }

    #[inline(always)]
    fn tally(&self, seen: &Seen<'_>, source: &Source) -> u64 {
        let Some(tally) = maps::TALLY.get_ptr_mut(0) else { return u64::MAX };
        let (tally, record): (*mut Tally, _) = (tally, seen.record);
        // SAFETY: this CPU's own; the loop's function changes it while nobody here has a reference to it.
        unsafe {
            tally.write(Tally {
                wanted: Wanted::of(source, seen),
                table: record.flow_table,
                zero: record.zero,
                found: 0,
            });
            bpf_loop(record.flow_mask + 1, tally_step as *mut c_void, core::ptr::null_mut(), 0);
            if record.flow_previous != 0 {
                (*tally).table = record.flow_previous;
                bpf_loop(record.flow_previous_mask + 1, tally_step as *mut c_void, core::ptr::null_mut(), 0);
            }
            (*tally).found
        }
    }

    #[inline(always)]
    fn own(&self, seen: &Seen<'_>, mark: u32) -> Own {
        Own::from_number(filter_own(seen.key, seen.record, mark))
    }

    #[inline(always)]
    fn room(&self, seen: &Seen<'_>, mark: u32, most: u32, taken: bool) -> Room {
        match filter_cell(seen.key, seen.record, mark, most << 1 | u32::from(taken)) {
            0 => Room::Unknown,
            _ => Room::There,
        }
    }

    #[inline(always)]
    fn look(&self, seen: &Seen<'_>, mark: u32, most: u32) -> Option<u32> {
        match filter_look(seen.key, seen.record, mark, most) {
            NO_ROOM => None,
            cell => Some(cell as u32),
        }
    }

    #[inline(always)]
    fn take(&self, seen: &Seen<'_>, mark: u32, cell: u32) -> bool {
        filter_take(seen.key, seen.record, mark, cell) != 0
    }

    #[inline(always)]
    fn put_mark(&self, seen: &Seen<'_>, mark: u32) -> bool {
        filter_put_mark(seen.key, seen.record, mark) != 0
    }

    #[inline(always)]
    fn add_marks(&self, seen: &Seen<'_>, key: &FlowKey, marks: [u32; 2]) {
        if marks != [0; 2] {
            filter_add_marks(seen.key, seen.record, key, marks[0], marks[1]);
        }
    }

    #[inline(always)]
    fn find_room(&self, seen: &Seen<'_>, key: &FlowKey) -> u64 {
        filter_find_room(seen.key, seen.record, key)
    }

    #[inline(always)]
    fn in_window(&self, flow: &Flow, state: u32, segment: &Segment) -> u32 {
        let [numbers, sizes, facts] = segment.to_words();
        // All that is written is in cells.
        filter_window(core::ptr::from_ref(flow).cast_mut(), numbers, sizes, facts | u64::from(state) << 32)
    }
}

/// Whether a source has more connections than it may: [`track::is_above`].
#[inline(always)]
pub fn is_above(key: &Key, record: &PortRecord, mark: u32, most: u32) -> bool {
    let Some(seen) = seen(key, record, 0, Direction::Out) else { return true };
    track::is_above(&Tables, &seen, mark, most)
}

/// [`count::own`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_own(key: *const Key, record: *const PortRecord, mark: u32) -> u32 {
    let Some(seen) = seen(key, record, 0, Direction::Out) else { return Own::None as u32 };
    count::own(&Tables, &seen, mark) as u32
}

/// [`count::room`]: 1 if it is there. `most`: with whether it is taken in the lowest bit.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_cell(key: *const Key, record: *const PortRecord, mark: u32, most: u32) -> u32 {
    let Some(seen) = seen(key, record, 0, Direction::Out) else { return 0 };
    u32::from(matches!(count::room(&Tables, &seen, mark, most >> 1, most & 1 != 0), Room::There))
}

/// What [`filter_look`] returns where there is no room.
const NO_ROOM: u64 = u64::MAX;

/// [`count::look`]: a cell, or [`NO_ROOM`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_look(key: *const Key, record: *const PortRecord, mark: u32, most: u32) -> u64 {
    let Some(seen) = seen(key, record, 0, Direction::Out) else { return NO_ROOM };
    match count::look(&Tables, &seen, mark, most) {
        Some(cell) => u64::from(cell),
        None => NO_ROOM,
    }
}

/// [`count::take`]: 1 where it is taken.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_take(key: *const Key, record: *const PortRecord, mark: u32, cell: u32) -> u32 {
    let Some(seen) = seen(key, record, 0, Direction::Out) else { return 0 };
    u32::from(count::take(&Tables, &seen, mark, cell))
}

/// [`count::put_mark`]: 1 where it is put.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_put_mark(key: *const Key, record: *const PortRecord, mark: u32) -> u32 {
    let Some(seen) = seen(key, record, 0, Direction::Out) else { return 0 };
    u32::from(count::put_mark(&Tables, &seen, mark))
}

/// [`count::add`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_add_marks(
    key: *const Key,
    record: *const PortRecord,
    flow: *const FlowKey,
    first: u32,
    second: u32,
) -> u32 {
    let Some(seen) = seen(key, record, 0, Direction::Out) else { return 0 };
    // SAFETY: the verifier checks that callers pass memory of that size, or null.
    if let Some(flow) = unsafe { flow.as_ref() } {
        count::add(&Tables, &seen, flow, [first, second]);
    }
    0
}

/// A table that is looked through. It lies in a map: there is no stack for it.
#[repr(C)]
pub struct Tally {
    wanted: Wanted,
    table: u32,
    zero: u32,
    found: u64,
}

/// Looks through one bucket; 1 ends the loop.
unsafe extern "C" fn tally_step(bucket: u32, _: *mut c_void) -> i64 {
    let (Some(tally), Some(settings)) = (maps::TALLY.get_ptr_mut(0), maps::SETTINGS.get(0)) else { return 1 };
    let tally: *mut Tally = tally;
    // SAFETY: this CPU's own.
    let tally = unsafe { &mut *tally };
    let Some(table) = maps::FLOWS.get(tally.table) else { return 1 };
    let Some(bucket) = table.get(bucket) else { return 1 };
    tally.found += count::tally_bucket(bucket, &tally.wanted, settings, tally.zero as usize);
    0
}

/// [`track::find_room`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_find_room(key: *const Key, record: *const PortRecord, flow: *const FlowKey) -> u64 {
    let Some(seen) = seen(key, record, 0, Direction::Out) else { return track::room::NONE };
    // SAFETY: the verifier checks that callers pass memory of that size, or null.
    let Some(flow) = (unsafe { flow.as_ref() }) else { return track::room::NONE };
    track::find_room(&Tables, &seen, flow)
}

/// [`track::bring`]: 1 where a flow was brought.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_bring(
    skb: *mut __sk_buff,
    key: *const Key,
    record: *const PortRecord,
    parsed: u64,
    way: u32,
) -> u32 {
    let Some(seen) = seen(key, record, parsed, direction(way)) else { return 0 };
    u32::from(track::bring(&SkbFrame::linear(&TcContext::new(skb)), &seen, &Tables))
}

/// [`track::in_window`]. `flow` is a place in a table; `facts` has the flow's state in its upper half.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_window(flow: *mut Flow, numbers: u64, sizes: u64, facts: u64) -> u32 {
    // SAFETY: the verifier checks that callers pass memory of that size, or null.
    let Some(flow) = (unsafe { flow.as_ref() }) else { return track::OUTSIDE };
    let segment = Segment::from_words([numbers, sizes, facts & 0xffff_ffff]);
    track::in_window(flow, (facts >> 32) as u32, &segment)
}

/// Which way a packet goes, as a number that functions take.
#[inline(always)]
fn direction(number: u32) -> Direction {
    if number & 1 == 0 { Direction::Out } else { Direction::In }
}

/// What is known of a packet: `None` where the kernel does not give what it must have.
#[inline(always)]
fn seen<'a>(
    key: *const Key,
    record: *const PortRecord,
    parsed: u64,
    direction: Direction,
) -> Option<Seen<'a>> {
    // SAFETY: the verifier checks that callers pass memory of that size, or null.
    let (key, record) = unsafe { (key.as_ref()?, record.as_ref()?) };
    let settings: &Settings = maps::SETTINGS.get(0)?;
    // SAFETY: a helper without arguments.
    let jiffies = unsafe { bpf_jiffies64() };
    let now = Tick::from_jiffies(jiffies).plus(settings.clock_offset);
    Some(Seen { key, parsed: Parsed::from_word(parsed), direction, record, settings, now })
}

/// What time it is.
#[inline(always)]
pub fn now() -> u32 {
    let offset = match maps::SETTINGS.get(0) {
        Some(settings) => settings.clock_offset,
        None => 0,
    };
    // SAFETY: a helper without arguments.
    Tick::from_jiffies(unsafe { bpf_jiffies64() }).plus(offset).0
}

/// Puts a flow into the table of a port, or brings the one with its key there: one of [`batch::op`], and of
/// [`batch::outcome`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_put(
    flow: *const FlowWords,
    key: *const Key,
    record: *const PortRecord,
    op: u32,
) -> u32 {
    // SAFETY: the verifier checks that callers pass memory of that size, or null.
    let Some(flow) = (unsafe { flow.as_ref() }) else { return batch::outcome::NO_ROOM };
    let Some(seen) = seen(key, record, 0, Direction::Out) else { return batch::outcome::NO_ROOM };
    let tables = Tables;
    let done = if op == u32::from(batch::op::BRING) {
        track::bring_flow(&tables, &seen, &flow.key())
    } else {
        match track::put(&tables, &seen, flow) {
            Ok(placed) => Ok(matches!(placed, Placed::New)),
            Err(reason) => Err(reason),
        }
    };
    match done {
        Ok(true) => batch::outcome::DONE,
        Ok(false) => batch::outcome::NOTHING,
        Err(_) => batch::outcome::NO_ROOM,
    }
}

/// [`track::track`]. What cannot be known is invalid.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_track(
    skb: *mut __sk_buff,
    key: *const Key,
    record: *const PortRecord,
    parsed: u64,
    way: u32,
) -> u32 {
    let Some(seen) = seen(key, record, parsed, direction(way)) else {
        return filter_common::connection::INVALID;
    };
    track::track(&SkbFrame::linear(&TcContext::new(skb)), &seen, &Tables)
}

/// [`track::track_tcp`], likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_tcp(
    skb: *mut __sk_buff,
    key: *const Key,
    record: *const PortRecord,
    parsed: u64,
    way: u32,
) -> u32 {
    let Some(seen) = seen(key, record, parsed, direction(way)) else {
        return filter_common::connection::INVALID;
    };
    track::track_tcp(&SkbFrame::linear(&TcContext::new(skb)), &seen, &Tables)
}

/// [`track::track_rare`], likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_rare(
    skb: *mut __sk_buff,
    key: *const Key,
    record: *const PortRecord,
    parsed: u64,
    way: u32,
) -> u32 {
    let Some(seen) = seen(key, record, parsed, direction(way)) else {
        return filter_common::connection::INVALID;
    };
    track::track_rare(&SkbFrame::linear(&TcContext::new(skb)), &seen, &Tables)
}

/// A rule, and which way the packet goes that it has passed.
#[inline(always)]
pub const fn passed(rule: u32, direction: Direction) -> u64 {
    (rule as u64) << 1 | direction as u64
}

/// [`track::begin`]: 0, or the number of the reason why the packet is dropped. `counter`: what counts the rule that
/// passed it, and the way it goes ([`passed`]).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_begin(
    skb: *mut __sk_buff,
    key: *const Key,
    record: *const PortRecord,
    parsed: u64,
    counter: u64,
) -> u32 {
    let Some(seen) = seen(key, record, parsed, direction(counter as u32)) else {
        return DropReason::FlowTableFull as u32;
    };
    let frame = SkbFrame::linear(&TcContext::new(skb));
    number(track::begin(&frame, &seen, (counter >> 1) as u32, &Tables))
}

/// [`track::note_fragment`]: 0, or the number of the reason why the packet is dropped.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_note(
    skb: *mut __sk_buff,
    key: *const Key,
    record: *const PortRecord,
    parsed: u64,
    rule: u64,
) -> u32 {
    let Some(seen) = seen(key, record, parsed, direction(rule as u32)) else {
        return DropReason::FlowTableFull as u32;
    };
    number(track::note_fragment(&SkbFrame::linear(&TcContext::new(skb)), &seen, (rule >> 1) as u32, &Tables))
}

#[inline(always)]
fn number(outcome: Result<Placed, DropReason>) -> u32 {
    match outcome {
        Ok(_) => 0,
        Err(reason) => reason as u32,
    }
}

/// What [`filter_follow`] returns where there is no rule.
pub const NO_RULE: u64 = u64::MAX;

/// [`track::follow_fragment`]: a rule, or [`NO_RULE`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn filter_follow(
    skb: *mut __sk_buff,
    key: *const Key,
    record: *const PortRecord,
    parsed: u64,
    way: u32,
) -> u64 {
    let Some(seen) = seen(key, record, parsed, direction(way)) else { return NO_RULE };
    match track::follow_fragment(&SkbFrame::linear(&TcContext::new(skb)), &seen, &Tables) {
        Some(rule) => u64::from(rule),
        None => NO_RULE,
    }
}
