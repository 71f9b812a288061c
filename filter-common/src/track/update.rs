//! What a packet makes of the flow that it belongs to.

use super::flow::{Flow, state};
use super::table::FlowTables;
use super::{Seen, timeout, way};
use crate::connection::{ESTABLISHED, NEW, REPLY};
use crate::parse::protocol;
use crate::{Class, word};

/// A packet of a flow of which nothing is kept but that it was answered.
#[inline(always)]
pub(super) fn plain<T: FlowTables>(seen: &Seen<'_>, flow: &Flow, table: &T) -> u32 {
    let before = flow.state.get();
    let way = way(seen.direction, before & state::FIRST_IN != 0);
    let after = before | if way == REPLY { state::REPLIED } else { 0 };
    let replied = after & state::REPLIED != 0;
    moved(seen, flow, before, after, plain_timeout(seen, replied), table);
    told(way, replied)
}

/// The timeout of a flow of which nothing else is known.
#[inline(always)]
pub(super) fn plain_timeout(seen: &Seen<'_>, replied: bool) -> usize {
    if matches!(seen.parsed.class(), Some(Class::Ipv4Icmp | Class::Ipv6Icmp)) {
        return timeout::ICMP;
    }
    match seen.key.get(word::PROTOCOL) {
        protocol::UDP | protocol::UDP_LITE if replied => timeout::UDP_STREAM,
        protocol::UDP | protocol::UDP_LITE => timeout::UDP,
        _ => timeout::GENERIC,
    }
}

/// What a packet of a flow is told that goes this way.
#[inline(always)]
pub(super) const fn told(way: u32, replied: bool) -> u32 {
    way | if way == REPLY || replied { ESTABLISHED } else { NEW }
}

/// Writes down that a flow has gone from one state to another, and how long it lives from now on. `false`: another
/// packet was first.
#[inline(always)]
pub(super) fn moved<T: FlowTables>(
    seen: &Seen<'_>,
    flow: &Flow,
    before: u32,
    after: u32,
    which: usize,
    table: &T,
) -> bool {
    if after != before && !table.exchange(&flow.state, before, after) {
        return false;
    }
    // Once a tick is enough, and saves others on other CPUs from having to fetch the line again.
    if after != before || flow.seen.get() != seen.now.0 {
        flow.seen.set(seen.now.0);
        flow.expires.set(seen.now.plus(seen.settings.timeout(which)).0);
    }
    true
}
