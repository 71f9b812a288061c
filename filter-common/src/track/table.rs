//! A port's table of flows: buckets of eight places, two of which a flow can be in.
//!
//! Nothing is ever locked, and nobody has to clear up. A flow whose time is over is none; its place is taken by the next
//! one that needs it. A place is taken by one compare-and-exchange of its state, written while its tag is 0, by which
//! nobody finds it, and then shown by the tag.
//!
//! A flow goes to the first of its buckets unless that is more than half full and the other one has more room, so that one
//! look is enough for most; flows that fill a table to nine tenths lose one in a hundred because both are full.
//! Which two depends on secrets of this host, so nobody can aim at somebody else's buckets.

use core::cell::Cell;

use super::count::{self, Cells, Counted, Own, Source};
use super::flow::{Begun, Contents, Flow, FlowWords, macs, state};
use super::key::{FlowKey, Kind};
use super::tcp::{self, Segment};
use super::{Seen, sctp};
use crate::forget::forget;
use crate::parse::protocol;
use crate::record::is_older;
use crate::time::Tick;
use crate::{DropReason, PortRecord};

use super::Settings;

/// Places in a bucket.
pub const PLACES: usize = 8;

/// A bucket as it lies in the map.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Bucket {
    /// Part of the hash of the flow in each place; 0 where none shall be found.
    pub tags: [Cell<u16>; PLACES],
    /// Counts of connections by their sources, which have nothing to do with these places.
    pub cells: Cells,
    /// The places.
    pub flows: [Flow; PLACES],
}

const _: () = assert!(size_of::<Bucket>() == 64 + PLACES * size_of::<Flow>());

/// One table.
pub trait FlowTable<'t>: Copy {
    /// A bucket; `None` where there is none.
    fn bucket(self, index: u32) -> Option<&'t Bucket>;
}

/// Where tables are, and what is done with them.
pub trait FlowTables {
    /// One of them.
    type Table<'t>: FlowTable<'t>
    where
        Self: 't;

    /// The table with this number; `None` where there is none.
    fn table(&self, number: u32) -> Option<Self::Table<'_>>;

    /// Writes `new` where `old` stands, as one step that all CPUs see in the same order. `false` where something else
    /// stands.
    fn exchange(&self, cell: &Cell<u32>, old: u32, new: u32) -> bool;

    /// What is known of the packet that is judged, of ports that count connections.
    fn counted(&self) -> Option<&Counted>;

    /// The number of the CPU that this runs on.
    fn cpu(&self) -> u32;

    /// The kernel's own clock, in jiffies: finer than ticks.
    fn jiffies(&self) -> u32;

    /// Looks through the port's table, and the one before it: sums of [`tally_bucket`](super::tally_bucket).
    fn tally(&self, seen: &Seen<'_>, source: &Source) -> u64;

    /// [`count::own`], for those who have a function of its own for it.
    #[inline(always)]
    fn own(&self, seen: &Seen<'_>, mark: u32) -> Own
    where
        Self: Sized,
    {
        count::own(self, seen, mark)
    }

    /// [`count::room`], likewise.
    #[inline(always)]
    fn room(&self, seen: &Seen<'_>, mark: u32, most: u32, taken: bool) -> count::Room
    where
        Self: Sized,
    {
        count::room(self, seen, mark, most, taken)
    }

    /// [`count::look`], likewise.
    #[inline(always)]
    fn look(&self, seen: &Seen<'_>, mark: u32, most: u32) -> Option<u32>
    where
        Self: Sized,
    {
        count::look(self, seen, mark, most)
    }

    /// [`count::take`], likewise.
    #[inline(always)]
    fn take(&self, seen: &Seen<'_>, mark: u32, cell: u32) -> bool
    where
        Self: Sized,
    {
        count::take(self, seen, mark, cell)
    }

    /// [`count::put_mark`], likewise.
    #[inline(always)]
    fn put_mark(&self, seen: &Seen<'_>, mark: u32) -> bool
    where
        Self: Sized,
    {
        count::put_mark(self, seen, mark)
    }

    /// [`count::add`], likewise.
    #[inline(always)]
    fn add_marks(&self, seen: &Seen<'_>, key: &FlowKey, marks: [u32; 2])
    where
        Self: Sized,
    {
        count::add(self, seen, key, marks);
    }

    /// [`find_room`], for those who have a function of its own for it.
    #[inline(always)]
    fn find_room(&self, seen: &Seen<'_>, key: &FlowKey) -> u64
    where
        Self: Sized,
    {
        find_room(self, seen, key)
    }

    /// [`in_window`](super::in_window), likewise.
    #[inline(always)]
    fn in_window(&self, flow: &Flow, state: u32, segment: &Segment) -> u32 {
        super::in_window(flow, state, segment)
    }
}

/// What a flow's key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The two buckets, to be cut to the number there are.
    pub buckets: [u32; 2],
    /// The tag, never 0.
    pub tag: u16,
    /// Where in the first bucket the flow is put if nothing is there.
    pub home: u8,
}

/// Makes each bit depend on all below it.
#[inline(always)]
pub(super) const fn mix(sum: u64) -> u64 {
    sum.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Hashes a key. Multiplications with secret odd factors, whose high bits nobody can foretell who does not know them.
#[inline(always)]
pub fn hash(key: &FlowKey, settings: &Settings) -> Hash {
    let mut sum = 0u64;
    let mut at = 0;
    while at < key.words.len() {
        sum = sum.wrapping_add(key.words[at].wrapping_mul(settings.secrets[at]));
        at += 1;
    }
    let mixed = mix(sum ^ sum >> 32);
    let again = mix(mixed ^ mixed >> 29);
    let tag = (mixed >> 48) as u16;
    Hash {
        buckets: [(mixed >> 16) as u32, (again >> 32) as u32],
        tag: if tag == 0 { 1 } else { tag },
        home: (mixed >> 45) as u8 % PLACES as u8,
    }
}

/// The place of a flow with this key, whatever has become of it, in one table.
#[inline(always)]
fn search<'t, const HOME: bool, T: FlowTable<'t>>(
    table: T,
    mask: u32,
    hash: Hash,
    key: &FlowKey,
    zero: usize,
) -> Option<(&'t Bucket, usize)> {
    let mut bucket = table.bucket(hash.buckets[0] & mask)?;
    let mut place =
        if HOME { place_from_home(bucket, hash, key, zero) } else { place_in(bucket, hash, key, zero) };
    if place >= PLACES {
        bucket = table.bucket(hash.buckets[1] & mask)?;
        place = place_in(bucket, hash, key, zero);
        if place >= PLACES {
            return None;
        }
    }
    Some((bucket, place & (PLACES - 1)))
}

/// The place of a flow with this key in a bucket, or no place. In which one it is, the kernel's verifier shall not know:
/// it would look at all that follows once for each.
#[inline(always)]
fn place_in(bucket: &Bucket, hash: Hash, key: &FlowKey, zero: usize) -> usize {
    let mut found = PLACES;
    for place in 0..PLACES {
        if bucket.tags[place].get() == hash.tag && is_of(&bucket.flows[place], key) {
            found = place;
            break;
        }
    }
    forget::<15>(found, zero)
}

/// The same for a flow's first bucket, where most are at home: there both its tag and the flow are looked at, and the
/// processor need not wait for the one to know where the other is.
#[inline(always)]
fn place_from_home(bucket: &Bucket, hash: Hash, key: &FlowKey, zero: usize) -> usize {
    let home = forget::<7>(hash.home as usize, zero);
    let is_home = bucket.tags[home].get() == hash.tag && is_of(&bucket.flows[home], key);
    let found = if is_home { home } else { place_in(bucket, hash, key, zero) };
    forget::<15>(found, zero)
}

#[inline(always)]
fn is_of(flow: &Flow, key: &FlowKey) -> bool {
    let is = |at: usize| flow.key[at].get() == key.words[at];
    is(4) && is(0) && is(2) && is(1) && is(3) && is(5)
}

/// The place of a flow with this key, whatever has become of it.
#[inline(always)]
pub(super) fn find_any<'t, const HOME: bool, T: FlowTables>(
    tables: &'t T,
    seen: &Seen<'_>,
    key: &FlowKey,
) -> Option<&'t Flow> {
    let record: &PortRecord = seen.record;
    let zero = record.zero as usize;
    let hash = hash(key, seen.settings);
    let table = tables.table(record.flow_table)?;
    let (bucket, place) = search::<HOME, _>(table, record.flow_mask, hash, key, zero)?;
    Some(&bucket.flows[place])
}

/// Ends the flow with this key, if there is one, so that another one with the same key can take its place.
#[inline(always)]
pub(super) fn end<T: FlowTables>(tables: &T, seen: &Seen<'_>, key: &FlowKey) {
    let Some(flow) = find_any::<false, _>(tables, seen, key) else { return };
    let before = flow.state.get();
    // Another flow may have taken the place since it was found; from here on its state would tell.
    if is_of(flow, key) {
        tables.exchange(&flow.state, before, before & !state::LIVE);
    }
}

/// Moves a flow that is alive to the table that takes the place of the one it is in, if it is not there already. `false`:
/// there is no such flow, or others were at it. An error: there is no room for it, and it stays where it is.
#[inline(always)]
pub(super) fn bring<T: FlowTables>(tables: &T, seen: &Seen<'_>, key: &FlowKey) -> Result<bool, DropReason> {
    let record: &PortRecord = seen.record;
    let Some(table) = tables.table(record.flow_previous) else { return Ok(false) };
    let hash = hash(key, seen.settings);
    let found = search::<false, _>(table, record.flow_previous_mask, hash, key, record.zero as usize);
    let Some((bucket, place)) = found else { return Ok(false) };
    let from = &bucket.flows[place];
    let before = from.state.get();
    if rank_of(from, seen) <= rank::OVER {
        return Ok(false);
    }
    tables.add_marks(seen, key, [from.limits[0].get(), from.limits[1].get()]);
    let room = make_room(tables, seen, key)?;
    let gone = before & !state::LIVE;
    let Some(room) = room else {
        tables.exchange(&from.state, before, gone);
        return Ok(false);
    };
    // The place is taken before the flow is: it is in one of the tables at any time but for an instant.
    let Some(taken) = take(tables, &room) else { return Ok(false) };
    if !tables.exchange(&from.state, before, gone) {
        return Ok(false);
    }
    show(tables, hash.tag, key, &room, taken | before & !USES, &from.contents());
    Ok(true)
}

/// The bits of a state that count how often its place was used.
const USES: u32 = 0xff << state::USES;

/// Writes a flow that was followed elsewhere, or at another time, to a place of its own, if it is not there already. It
/// is one that the policy in force accepts.
#[inline(always)]
pub fn put<T: FlowTables>(tables: &T, seen: &Seen<'_>, flow: &FlowWords) -> Result<Placed, DropReason> {
    let key = flow.key();
    // What is counted and then finds no room makes the count too high, which does no harm.
    tables.add_marks(seen, &key, flow.limits());
    for _ in 0..ATTEMPTS {
        let Some(room) = make_room(tables, seen, &key)? else { return Ok(Placed::Already) };
        if let Some(taken) = take(tables, &room) {
            let contents = Contents { epoch: seen.record.flow_epoch, ..flow.contents() };
            let state = taken | flow.state() & !USES | state::LIVE;
            show(tables, hash(&key, seen.settings).tag, &key, &room, state, &contents);
            return Ok(Placed::New);
        }
    }
    Err(DropReason::FlowContended)
}

/// The flow with this key, if it is alive.
#[inline(always)]
pub(super) fn find<'t, T: FlowTables>(table: &'t T, seen: &Seen<'_>, key: &FlowKey) -> Option<&'t Flow> {
    find_any::<false, _>(table, seen, key).filter(|flow| flow.is_alive(flow.state.get(), seen))
}

/// The same, sooner where the flow is at home.
#[inline(always)]
pub(super) fn find_at_home<'t, T: FlowTables>(
    table: &'t T,
    seen: &Seen<'_>,
    key: &FlowKey,
) -> Option<&'t Flow> {
    find_any::<true, _>(table, seen, key).filter(|flow| flow.is_alive(flow.state.get(), seen))
}

/// What stands in a place, for one who needs it. The lower, the rather it can go.
mod rank {
    pub const FREE: u32 = 0;
    pub const OVER: u32 = 1;
    pub const CLOSED: u32 = 2;
    pub const NOTE: u32 = 3;
    pub const UNANSWERED: u32 = 4;
    /// It stays.
    pub const ANSWERED: u32 = 5;
}

#[inline(always)]
fn rank_of(flow: &Flow, seen: &Seen<'_>) -> u32 {
    let state = flow.state.get();
    if state & state::LIVE == 0 {
        return rank::FREE;
    }
    if !Tick(flow.expires.get()).is_after(seen.now) {
        return rank::OVER;
    }
    let identity = flow.key[4].get();
    if identity >> 48 != Kind::Connection as u64 {
        return rank::NOTE;
    }
    if is_older(flow.epoch.get(), seen.record.flow_epoch) {
        return rank::OVER;
    }
    let (protocol, current) = ((identity >> 32) as u32 & 0xff, state & state::PROTOCOL);
    let is_closed = protocol == protocol::TCP && matches!(current, tcp::TIME_WAIT | tcp::CLOSE)
        || protocol == protocol::SCTP && current == sctp::CLOSED;
    if is_closed {
        rank::CLOSED
    } else if state & state::REPLIED == 0 {
        rank::UNANSWERED
    } else {
        rank::ANSWERED
    }
}

/// A place that can be taken.
#[derive(Clone, Copy)]
struct Room<'t> {
    bucket: &'t Bucket,
    place: usize,
    /// The state that stood there when it was chosen.
    state: u32,
}

/// What became of a flow that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is there.
    New,
    /// Another packet of it was first.
    Already,
}

/// The best place in a bucket: its score, lower being better, its number, and how many places are free.
#[inline(always)]
fn best(bucket: &Bucket, seen: &Seen<'_>) -> (u32, usize, u32) {
    let zero = seen.record.zero as usize;
    let (mut score, mut place, mut free) = (u32::MAX as usize, 0, 0);
    for candidate in 0..PLACES {
        let flow = &bucket.flows[candidate];
        // Which way these came about is of no interest.
        let rank = forget::<7>(rank_of(flow, seen) as usize, zero) as u32;
        let age = seen.now.0.wrapping_sub(flow.seen.get());
        let age = if age > 0x00ff_ffff { 0x00ff_ffff } else { age };
        let age = forget::<0x00ff_ffff>(age as usize, zero) as u32;
        let this = (rank << 24 | (0x00ff_ffff - age)) as usize;
        if this < score {
            score = this;
            place = candidate;
        }
        if rank <= rank::OVER {
            free += 1;
        }
        score = forget::<0x7fff_ffff>(score, zero);
        place = forget::<7>(place, zero);
        free = forget::<15>(free, zero);
    }
    (score as u32, place, free as u32)
}

/// Where there is room for a flow: a number, so that a function of its own can find it.
pub mod room {
    /// There is none.
    pub const NONE: u64 = u64::MAX;
    /// The flow is there already.
    pub const ALREADY: u64 = u64::MAX - 1;

    /// A place in a bucket.
    #[inline(always)]
    pub(super) const fn at(bucket: u32, place: usize) -> u64 {
        (bucket as u64) << 3 | place as u64
    }
}

/// Places that are free in a bucket to which a flow goes however many are free in its other one: whoever looks for it
/// looks there first, and need not look at two.
const ROOMY: u32 = PLACES as u32 / 2;

/// Looks for a place for a flow with this key: one of [`room`].
#[inline(always)]
pub fn find_room<T: FlowTables>(tables: &T, seen: &Seen<'_>, key: &FlowKey) -> u64 {
    let record: &PortRecord = seen.record;
    let hash = hash(key, seen.settings);
    let Some(table) = tables.table(record.flow_table) else { return room::NONE };
    let [first_index, second_index] = hash.buckets.map(|index| index & record.flow_mask);
    let (Some(first), Some(second)) = (table.bucket(first_index), table.bucket(second_index)) else {
        return room::NONE;
    };
    let zero = record.zero as usize;
    let there = place_in(first, hash, key, zero);
    if there < PLACES {
        let is_there = rank_of(&first.flows[there & (PLACES - 1)], seen) >= rank::NOTE;
        return if is_there { room::ALREADY } else { room::at(first_index, there) };
    }
    let there = place_in(second, hash, key, zero);
    if there < PLACES {
        let is_there = rank_of(&second.flows[there & (PLACES - 1)], seen) >= rank::NOTE;
        return if is_there { room::ALREADY } else { room::at(second_index, there) };
    }
    let (first_score, first_place, first_free) = best(first, seen);
    let (second_score, second_place, second_free) = best(second, seen);
    let both_free = first_free != 0 && second_free != 0;
    let take_first = if first_free >= ROOMY {
        true
    } else if both_free {
        first_free >= second_free
    } else {
        first_score <= second_score
    };
    let (index, place, score) = if take_first {
        let home = forget::<7>(hash.home as usize, zero);
        let is_free = rank_of(&first.flows[home], seen) <= rank::OVER;
        (first_index, if is_free { home } else { first_place }, first_score)
    } else {
        (second_index, second_place, second_score)
    };
    if score >> 24 >= rank::ANSWERED { room::NONE } else { room::at(index, place) }
}

/// A place for a flow with this key; `None` inside where the flow is there already.
#[inline(always)]
fn make_room<'t, T: FlowTables>(
    tables: &'t T,
    seen: &Seen<'_>,
    key: &FlowKey,
) -> Result<Option<Room<'t>>, DropReason> {
    let found = tables.find_room(seen, key);
    if found == room::ALREADY {
        return Ok(None);
    }
    if found == room::NONE {
        return Err(DropReason::FlowTableFull);
    }
    let table = tables.table(seen.record.flow_table).ok_or(DropReason::FlowTableFull)?;
    let bucket = table.bucket((found >> 3) as u32).ok_or(DropReason::FlowTableFull)?;
    let place = found as usize & (PLACES - 1);
    Ok(Some(Room { bucket, place, state: bucket.flows[place].state.get() }))
}

/// Writes a flow to its place.
#[inline(always)]
pub(super) fn place<T: FlowTables>(
    tables: &T,
    seen: &Seen<'_>,
    key: &FlowKey,
    begun: &Begun,
) -> Result<Placed, DropReason> {
    // Other packets are looking for places, too, some of them for the same flow.
    for _ in 0..ATTEMPTS {
        let Some(room) = make_room(tables, seen, key)? else { return Ok(Placed::Already) };
        if let Some(taken) = take(tables, &room) {
            let [end, max_end, max_window] = begun.side;
            let tag = begun.other_tag;
            let contents = Contents {
                expires: seen.now.plus(seen.settings.timeout(begun.timeout)).0,
                seen: seen.now.0,
                epoch: begun.epoch,
                sides: [end, max_end, max_window, tag, 0, u32::from(tag != 0)],
                began: seen.now.0,
                rule: begun.rule,
                macs: macs(seen),
                limits: halves(count::marks(tables, seen)),
            };
            show(
                tables,
                hash(key, seen.settings).tag,
                key,
                &room,
                taken | begun.state | state::LIVE,
                &contents,
            );
            return Ok(Placed::New);
        }
    }
    Err(DropReason::FlowContended)
}

#[inline(always)]
const fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// How often a place is looked for that others do not take meanwhile.
const ATTEMPTS: usize = 3;

/// Takes a place: the state that it then has. `None`: somebody else took it.
#[inline(always)]
fn take<T: FlowTables>(tables: &T, room: &Room<'_>) -> Option<u32> {
    let Room { bucket, place, state: before } = *room;
    let taken = (before >> state::USES).wrapping_add(1) << state::USES;
    if !tables.exchange(&bucket.flows[place].state, before, taken) {
        return None;
    }
    bucket.tags[place].set(0);
    Some(taken)
}

/// Writes a flow to a place that was taken, and shows it.
#[inline(always)]
fn show<T: FlowTables>(
    tables: &T,
    tag: u16,
    key: &FlowKey,
    room: &Room<'_>,
    state: u32,
    contents: &Contents,
) {
    let Room { bucket, place, .. } = *room;
    let flow = &bucket.flows[place];
    for (cell, word) in flow.key.iter().zip(key.words) {
        cell.set(word);
    }
    flow.set_contents(contents);
    // All that was written is seen by whoever sees this.
    tables.exchange(&flow.state, flow.state.get(), state);
    bucket.tags[place].set(tag);
}
