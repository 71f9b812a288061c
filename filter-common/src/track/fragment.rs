//! Notes of first fragments that passed: what later fragments of the same packet, which have no ports, are let through
//! by.
//!
//! A note holds for packets with the same ends, interfaces and identification, that go the same way, as long as the
//! policy that passed the first fragment is in force.

use super::flow::{Begun, macs, state};
use super::key::{FlowKey, Kind};
use super::table::{self, FlowTables, Placed};
use super::{Seen, timeout};
use crate::forget::forget;
use crate::frame::Block;
use crate::time::Tick;
use crate::{Class, Direction, DropReason, Frame};

/// All that the offset of a fragment header can be.
const ANY_OFFSET: i32 = 0x3ff;

#[inline(always)]
fn key<F: Frame>(frame: &F, seen: &Seen<'_>, class: Class) -> Option<FlowKey> {
    // What has something wrong with it follows nothing, and nothing follows it.
    if seen.parsed.anomaly().is_some() {
        return None;
    }
    let at = seen.parsed.identification()?;
    let version = if class.is_ipv4() { 4 } else { 6 };
    let mut key = FlowKey::new(seen.key, seen.direction, version, 0, 0);
    let identification = if class.is_ipv4() {
        frame.block::<2>(at)?.u16::<0>()
    } else {
        // What follows the fragment header is all that later fragments know of the protocol.
        let header = frame.block::<8>(forget::<ANY_OFFSET>(at.wrapping_sub(4), seen.record.zero as usize))?;
        key.words[4] = key.words[4] & !(0xff << 32) | u64::from(header.u8::<0>()) << 32;
        header.u32::<4>()
    };
    let kind = match seen.direction {
        Direction::Out => Kind::FragmentOut,
        Direction::In => Kind::FragmentIn,
    };
    key.words[4] |= (kind as u64) << 48;
    key.words[5] |= u64::from(identification) << 32;
    Some(key)
}

/// Notes that a first fragment has passed by `rule`.
#[inline(always)]
pub fn note_fragment<F: Frame, T: FlowTables>(
    frame: &F,
    seen: &Seen<'_>,
    rule: u32,
    table: &T,
) -> Result<Placed, DropReason> {
    let class = seen.parsed.class().ok_or(DropReason::GraphFault)?;
    let key = key(frame, seen, class).ok_or(DropReason::GraphFault)?;
    let mut flow = Begun::new(seen, rule);
    flow.epoch = seen.record.generation;
    flow.timeout = timeout::FRAGMENT;
    // Notes have no sides. Zeros in a row would be written by a call.
    flow.side = [seen.now.0; 3];
    // The identification may be used again before its last packet's note is over.
    table::end(table, seen, &key);
    table::place(table, seen, &key, &flow)
}

/// The rule that passed a later fragment's first one; `None` where nothing is known of that.
#[inline(always)]
pub fn follow_fragment<F: Frame, T: FlowTables>(frame: &F, seen: &Seen<'_>, table: &T) -> Option<u32> {
    let class = seen.parsed.class()?;
    let key = key(frame, seen, class)?;
    let note = table::find_any::<false, _>(table, seen, &key)?;
    let macs = macs(seen);
    let known = note.state.get() & state::LIVE != 0
        && Tick(note.expires.get()).is_after(seen.now)
        && note.epoch.get() == seen.record.generation
        && [note.macs_hi.get(), note.local_mac_lo.get(), note.remote_mac_lo.get()] == macs;
    known.then(|| note.rule.get())
}
