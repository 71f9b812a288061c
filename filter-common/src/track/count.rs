//! Connections counted by their sources, for rules that limit how many a source may have.
//!
//! A connection bears the marks of the rules that count it: numbers of 16 bits, four at most. Whether a source has too
//! many is told by the marks that are there, and by nothing else; but nobody looks through a table for each packet. So
//! marks are counted, too, in cells that several sources share by chance. A cell is never below what it stands for: it
//! goes up with each mark, and nobody takes down what ends. Where it says that there is room, there is. Where it does
//! not, the table is looked through, and the cell is set right.
//!
//! Between a connection's being counted and its being in the table is a packet's way through the classifier. Whoever looks
//! through the table meanwhile does not find it there, so a cell bears who added to it: what another CPU did an instant ago
//! is waited for.
//!
//! Invariants: a connection that bears a rule's mark stays within that rule's limit, whatever comes; what cannot be told
//! is above it; two CPUs do not both give a source its last connection.

use core::cell::Cell;

use super::flow::{Flow, state};
use super::key::{FlowKey, Kind};
use super::table::{Bucket, FlowTable, FlowTables, PLACES, find, mix};
use super::{Seen, Settings, tcp};
use crate::forget::forget;
use crate::key::{own, word};
use crate::parse::protocol;
use crate::record::record_flags;
use crate::time::Tick;

/// Set in the marks of rules about packets that go in: their sources are remote. Those of others are local.
pub const REMOTE: u32 = 1;
/// How many marks a connection can bear.
pub const MARKS: usize = 4;

/// What is known of the packet that this CPU judges.
#[derive(Debug)]
#[repr(C)]
pub struct Counted {
    /// The flow that it belongs to, or would begin: words of a [`FlowKey`]. [`NO_FLOW`] stands for none in the fifth.
    pub key: [Cell<u64>; 6],
    /// Marks of the flow that it begins, if it passes.
    pub marks: Cell<u64>,
}

/// No flow has this in its key: it would be of no IP version.
const NO_FLOW: u64 = 0;

/// Cells in a bucket.
const CELLS: usize = 4;

/// Counts of marks, as they lie in a bucket.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Cells {
    /// How many there may be ([`COUNT`]), and from bit 16 on which CPU added the last ones, or [`SEVERAL`].
    counts: [Cell<u32>; CELLS],
    /// The tick at which the table was last looked through for the source in `above`.
    looked: [Cell<u32>; CELLS],
    /// Part of the hash of a source that had too many then; 0 is none.
    above: [Cell<u16>; CELLS],
    /// In a table's first bucket: the tick at which the table was last looked through.
    scanned: Cell<u32>,
    /// The jiffy at which one was last added to one of these counts.
    added: Cell<u32>,
}

const _: () = assert!(size_of::<Cells>() == 48);

/// The count in a cell. One that does not fit is as high as can be, and is never believed.
const COUNT: u32 = 0xffff;
/// In place of a CPU: more than one of them added, an instant after each other. None has this number.
const SEVERAL: u32 = 0xffff;
/// How often a cell is taken that others change.
const ATTEMPTS: usize = 4;

/// Whose connections are counted: by which rule, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The rule's mark.
    pub mark: u32,
    /// The address, as a key has it.
    pub address: [u64; 2],
}

impl Source {
    /// The bucket, to be cut to the number there are, the cell in it, and what tells it from others there.
    #[inline(always)]
    fn hash(self, settings: &Settings) -> (u32, usize, u16) {
        let [first, second, third, ..] = settings.secrets;
        let sum = self.address[0]
            .wrapping_mul(third)
            .wrapping_add(self.address[1].wrapping_mul(first))
            .wrapping_add(u64::from(self.mark).wrapping_mul(second));
        let mixed = mix(sum ^ sum >> 32);
        let other = (mixed >> 48) as u16;
        ((mixed >> 16) as u32, (mixed >> 14) as usize % CELLS, if other == 0 { 1 } else { other })
    }

    /// The source of a flow as a rule with this mark has it. `word`: a word of the flow's key.
    #[inline(always)]
    fn of(mark: u32, word: impl Fn(usize) -> u64) -> Self {
        let end = if mark & REMOTE != 0 { [word(2), word(3)] } else { [word(0), word(1)] };
        Self { mark, address: end }
    }
}

/// Begins to judge a packet.
#[inline(always)]
pub(super) fn clear<T: FlowTables>(tables: &T, seen: &Seen<'_>) {
    if seen.record.flags & record_flags::COUNTS != 0
        && let Some(counted) = tables.counted()
    {
        counted.key[4].set(NO_FLOW);
        counted.marks.set(0);
    }
}

/// Notes which flow the packet is of.
#[inline(always)]
pub(super) fn note<T: FlowTables>(tables: &T, seen: &Seen<'_>, key: &FlowKey) {
    if seen.record.flags & record_flags::COUNTS != 0
        && let Some(counted) = tables.counted()
    {
        let mut at = 0;
        while at < key.words.len() {
            counted.key[at].set(key.words[at]);
            at += 1;
        }
    }
}

/// The marks of the flow that the packet begins.
#[inline(always)]
pub(super) fn marks<T: FlowTables>(tables: &T, seen: &Seen<'_>) -> u64 {
    if seen.record.flags & record_flags::COUNTS == 0 {
        return 0;
    }
    tables.counted().map_or(0, |counted| counted.marks.get())
}

/// What the packet's own flow is to a rule that counts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Own {
    /// It is counted.
    Counted = 0,
    /// It is there, or will be if the packet passes, and is not counted yet.
    Fresh = 1,
    /// There is none, or none that is the source's.
    None = 2,
}

impl Own {
    /// From its number.
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Counted,
            1 => Self::Fresh,
            _ => Self::None,
        }
    }
}

/// Whether the packet's source has more than `most` connections, the packet's own among them, that the rule with this
/// mark counts. If not, the packet's own is counted from now on, or, if the packet begins it, from when it passes.
#[inline(always)]
pub fn is_above<T: FlowTables>(tables: &T, seen: &Seen<'_>, mark: u32, most: u32) -> bool {
    match tables.own(seen, mark) {
        Own::Counted => false,
        Own::None => !has_room(tables, seen, mark, most, false),
        Own::Fresh => !has_room(tables, seen, mark, most, true) || !tables.put_mark(seen, mark),
    }
}

/// The source of the packet, as a rule with this mark has it.
#[inline(always)]
fn source(seen: &Seen<'_>, mark: u32) -> Source {
    Source { mark, address: [seen.key.pair(word::SRC_IP), seen.key.pair(word::SRC_IP + 2)] }
}

/// The flow that the packet is of, if the packet's source is the one that a rule with this mark means; and whether the
/// packet may begin it.
#[inline(always)]
fn flow_of<'t, T: FlowTables>(
    tables: &'t T,
    counted: &Counted,
    seen: &Seen<'_>,
    mark: u32,
) -> (Option<&'t Flow>, bool) {
    let mut key = FlowKey { words: [0; 6] };
    let mut at = 0;
    while at < key.words.len() {
        key.words[at] = counted.key[at].get();
        at += 1;
    }
    // An ICMP error about a flow may come from somebody else.
    let is_source = Source::of(mark, |at| key.words[at]).address == source(seen, mark).address;
    if key.words[4] == NO_FLOW || !is_source {
        return (None, false);
    }
    (find(tables, seen, &key), seen.key.get(word::OWN) & own::BEGINS != 0)
}

/// What the packet's own flow is to the rule with this mark.
#[inline(always)]
pub fn own<T: FlowTables>(tables: &T, seen: &Seen<'_>, mark: u32) -> Own {
    let Some(counted) = tables.counted() else { return Own::None };
    let (flow, begins) = flow_of(tables, counted, seen, mark);
    let marks = match flow {
        Some(flow) => flow.marks(),
        None if begins => counted.marks.get(),
        None => return Own::None,
    };
    if has_mark(marks, mark) { Own::Counted } else { Own::Fresh }
}

/// Marks the packet's own flow, or notes the mark for when it is there. `false` where there is no place for it.
#[inline(always)]
pub fn put_mark<T: FlowTables>(tables: &T, seen: &Seen<'_>, mark: u32) -> bool {
    let Some(counted) = tables.counted() else { return false };
    match flow_of(tables, counted, seen, mark).0 {
        Some(flow) => mark_flow(tables, flow, mark),
        None => match with_mark(counted.marks.get(), mark) {
            Some(marks) => {
                counted.marks.set(marks);
                true
            }
            None => false,
        },
    }
}

/// The mark at one of four places; 0 is none.
#[inline(always)]
const fn mark_at(marks: u64, place: usize) -> u32 {
    (marks >> (16 * place)) as u16 as u32
}

#[inline(always)]
const fn has_mark(marks: u64, mark: u32) -> bool {
    mark_at(marks, 0) == mark
        || mark_at(marks, 1) == mark
        || mark_at(marks, 2) == mark
        || mark_at(marks, 3) == mark
}

/// The marks, and one more; `None` where there is no place for it.
#[inline(always)]
const fn with_mark(marks: u64, mark: u32) -> Option<u64> {
    let mut place = 0;
    while place < MARKS {
        if mark_at(marks, place) == 0 {
            return Some(marks | (mark as u64) << (16 * place));
        }
        place += 1;
    }
    None
}

/// How many of four marks there are.
#[inline(always)]
const fn how_many(marks: u64) -> u32 {
    let mut many = 0;
    let mut place = 0;
    while place < MARKS {
        // One, but for no mark: without branches, of which the kernel's verifier would follow both ways.
        many += (mark_at(marks, place) + 0xffff) >> 16;
        place += 1;
    }
    many
}

/// Marks a flow that is there. `false` where there is no place for it. If another packet of the flow is at it, the mark
/// is that packet's, or the next one's.
#[inline(always)]
fn mark_flow<T: FlowTables>(tables: &T, flow: &Flow, mark: u32) -> bool {
    let (first, second) = (flow.limits[0].get(), flow.limits[1].get());
    if first >> 16 == 0 {
        let shift = if first as u16 == 0 { 0 } else { 16 };
        tables.exchange(&flow.limits[0], first, first | mark << shift);
        return true;
    }
    if second >> 16 == 0 {
        let shift = if second as u16 == 0 { 0 } else { 16 };
        tables.exchange(&flow.limits[1], second, second | mark << shift);
        return true;
    }
    false
}

/// Whether the packet's source may have one connection more. If it is `taken`, it is counted.
#[inline(always)]
fn has_room<T: FlowTables>(tables: &T, seen: &Seen<'_>, mark: u32, most: u32, taken: bool) -> bool {
    match tables.room(seen, mark, most, taken) {
        Room::There => true,
        Room::Unknown => match tables.look(seen, mark, most) {
            Some(cell) => !taken || tables.take(seen, mark, cell),
            None => false,
        },
    }
}

/// What a cell says without the table being looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room, and if it was to be taken, it is.
    There,
    /// There may be none.
    Unknown,
}

/// The bucket with the cell of a source, which cell it is, and what tells the source from others there.
#[inline(always)]
fn cell_of<'t, T: FlowTables>(
    tables: &'t T,
    seen: &Seen<'_>,
    source: Source,
) -> Option<(&'t Cells, usize, u16)> {
    let table = tables.table(seen.record.flow_table)?;
    let (bucket, cell, other) = source.hash(seen.settings);
    let bucket = table.bucket(bucket & seen.record.flow_mask)?;
    Some((&bucket.cells, cell % CELLS, other))
}

/// The count with the CPU that made it so.
#[inline(always)]
fn counted_by(cpu: u32, count: u32) -> u32 {
    let count = if count >= COUNT { COUNT } else { count };
    count | (cpu & 0xffff) << 16
}

/// Whether one that is counted in this cell may not be in the table yet: another CPU than this one added to it an instant
/// ago.
#[inline(always)]
fn is_awaited(cells: &Cells, cell: u32, cpu: u32, jiffies: u32) -> bool {
    let is_another = cell & COUNT != 0 && cell >> 16 != cpu & 0xffff;
    is_another && jiffies.wrapping_sub(cells.added.get()) <= 1
}

/// What a cell is with one more. Where others are awaited it must not look as if all of it were this CPU's: it would be
/// believed too early.
#[inline(always)]
fn with_one<T: FlowTables>(tables: &T, cells: &Cells, cell: u32) -> u32 {
    let (cpu, jiffies) = (tables.cpu(), tables.jiffies());
    let by = if is_awaited(cells, cell, cpu, jiffies) { SEVERAL } else { cpu };
    cells.added.set(jiffies);
    counted_by(by, (cell & COUNT) + 1)
}

/// What the cell of the packet's source says of one connection more, as the rule with this mark counts them.
#[inline(always)]
pub fn room<T: FlowTables>(tables: &T, seen: &Seen<'_>, mark: u32, most: u32, taken: bool) -> Room {
    // What is in the table before this one has no cells here.
    if seen.record.flow_previous != 0 {
        return Room::Unknown;
    }
    let Some((cells, cell, _)) = cell_of(tables, seen, source(seen, mark)) else { return Room::Unknown };
    for _ in 0..ATTEMPTS {
        let before = cells.counts[cell].get();
        if before & COUNT >= most {
            return Room::Unknown;
        }
        if !taken {
            return Room::There;
        }
        if tables.exchange(&cells.counts[cell], before, with_one(tables, cells, before)) {
            return Room::There;
        }
    }
    Room::Unknown
}

/// Looks through the table, and sets the cell of the packet's source right: what it is then, if the source may have one
/// connection more.
#[inline(always)]
pub fn look<T: FlowTables>(tables: &T, seen: &Seen<'_>, mark: u32, most: u32) -> Option<u32> {
    let (cells, cell, other) = cell_of(tables, seen, source(seen, mark))?;
    let (now, cpu) = (seen.now.0, tables.cpu());
    let before = cells.counts[cell].get();
    let known = cells.above[cell].get() == other && cells.looked[cell].get() == now;
    if known
        || most == 0
        || is_awaited(cells, before, cpu, tables.jiffies())
        || !may_scan(tables.table(seen.record.flow_table)?, seen)
    {
        return None;
    }
    let found = tables.tally(seen, &source(seen, mark));
    let is_above = found as u32 >= most;
    cells.looked[cell].set(now);
    cells.above[cell].set(if is_above { other } else { 0 });
    if is_above {
        return None;
    }
    // What other rules have counted of this packet's own connection is not in the table either.
    let own = tables.counted().map_or(0, |counted| how_many(counted.marks.get()));
    let after = counted_by(cpu, (found >> 32) as u32 + own);
    if tables.exchange(&cells.counts[cell], before, after) { Some(after) } else { None }
}

/// Counts one connection more of the packet's source, if its cell still is what [`look`] said.
#[inline(always)]
pub fn take<T: FlowTables>(tables: &T, seen: &Seen<'_>, mark: u32, before: u32) -> bool {
    let Some((cells, cell, _)) = cell_of(tables, seen, source(seen, mark)) else { return false };
    tables.exchange(&cells.counts[cell], before, with_one(tables, cells, before))
}

/// Whether the table may be looked through again: large ones take longer, and none may take more than a part of the
/// time there is.
#[inline(always)]
fn may_scan<'t, T: FlowTable<'t>>(table: T, seen: &Seen<'_>) -> bool {
    let Some(first) = table.bucket(0) else { return false };
    let pause = seen.record.flow_mask >> 13;
    let last = &first.cells.scanned;
    if seen.now.0.wrapping_sub(last.get()) < pause {
        return false;
    }
    last.set(seen.now.0);
    true
}

/// Counts the marks of a flow that comes from another table.
#[inline(always)]
pub fn add<T: FlowTables>(tables: &T, seen: &Seen<'_>, key: &FlowKey, marks: [u32; 2]) {
    for place in 0..MARKS {
        let mark = mark_at(u64::from(marks[0]) | u64::from(marks[1]) << 32, place);
        if mark == 0 {
            continue;
        }
        let source = Source::of(mark, |at| key.words[at]);
        let Some((cells, cell, _)) = cell_of(tables, seen, source) else { continue };
        if !add_one(tables, cells, cell) {
            // Too low it must not be. So it is as high as can be, until somebody looks through the table.
            cells.counts[cell].set(SEVERAL << 16 | COUNT);
        }
    }
}

/// Counts one in a cell. `false` where others were always first.
#[inline(always)]
fn add_one<T: FlowTables>(tables: &T, cells: &Cells, cell: usize) -> bool {
    for _ in 0..ATTEMPTS {
        let before = cells.counts[cell].get();
        if tables.exchange(&cells.counts[cell], before, with_one(tables, cells, before)) {
            return true;
        }
    }
    false
}

/// What is looked for in a table.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Wanted {
    /// Whose connections.
    source: Source,
    /// Now.
    now: Tick,
    /// See [`PortRecord::flow_epoch`](crate::PortRecord::flow_epoch).
    epoch: u32,
    /// One less than the number of buckets of the port's table, by which cells are told apart.
    mask: u32,
    /// The bucket where the source's cell is, and which it is there.
    at: u32,
    cell: usize,
}

impl Wanted {
    /// Connections of that source.
    #[inline(always)]
    pub fn of(source: &Source, seen: &Seen<'_>) -> Self {
        let (at, cell, _) = source.hash(seen.settings);
        let record = seen.record;
        let mask = record.flow_mask;
        Self { source: *source, now: seen.now, epoch: record.flow_epoch, mask, at: at & mask, cell }
    }
}

/// How many connections of a bucket the rule counts for the source, in the lower half, and how many marks there are that
/// the source's cell stands for, in the upper one.
#[inline(always)]
pub fn tally_bucket(bucket: &Bucket, wanted: &Wanted, settings: &Settings, zero: usize) -> u64 {
    let (mut of_source, mut of_cell) = (0usize, 0usize);
    for place in 0..PLACES {
        let flow = &bucket.flows[place];
        let marks = flow.marks();
        if marks == 0 || !is_counted(flow, wanted) {
            continue;
        }
        for position in 0..MARKS {
            let mark = mark_at(marks, position);
            let source = Source::of(mark, |at| flow.key[at].get());
            let (other_at, other_cell, _) = source.hash(settings);
            if mark != 0 && other_at & wanted.mask == wanted.at && other_cell == wanted.cell {
                of_cell = forget::<0x3f>(of_cell + 1, zero);
                if source.mark == wanted.source.mark && source.address == wanted.source.address {
                    of_source = forget::<0xf>(of_source + 1, zero);
                }
            }
        }
    }
    (of_cell as u64) << 32 | of_source as u64
}

/// Whether there is a connection that is not closed: as libvirt's engine counts them.
#[inline(always)]
fn is_counted(flow: &Flow, wanted: &Wanted) -> bool {
    let (state, identity) = (flow.state.get(), flow.key[4].get());
    let is_closed = (identity >> 32) as u32 & 0xff == protocol::TCP
        && matches!(state & state::PROTOCOL, tcp::TIME_WAIT | tcp::CLOSE);
    state & state::LIVE != 0
        && identity >> 48 == Kind::Connection as u64
        && Tick(flow.expires.get()).is_after(wanted.now)
        && !crate::record::is_older(flow.epoch.get(), wanted.epoch)
        && !is_closed
}

#[cfg(test)]
mod tests;
