//! ICMP errors about what was sent.

use std::net::IpAddr;

use filter_common::Direction;

use super::datagram::Datagram;
use crate::frames::{PEER_IP4, PEER_IP6, VM_IP4, VM_IP6, protocol};
use crate::generate::Rng;

/// An error about a packet, mostly one that its sender should hear.
pub(super) fn about(rng: &mut Rng, sent: &Datagram) -> Datagram {
    let six = sent.is_six();
    let mut quoted = sent.packet();
    if rng.chance(60) {
        let header = if six { 40 } else { 20 };
        let shown = header + rng.pick(&[8, 8, 16, 24, 32, 48, 7]);
        quoted.truncate(shown);
    }
    if rng.chance(12) {
        let at = rng.below(quoted.len().min(48));
        quoted[at] ^= 1 << rng.below(8);
    }
    let kind = if six { rng.pick(&[1, 2, 3, 4, 1, 3]) } else { rng.pick(&[3, 3, 3, 4, 5, 11, 12]) };
    let mut payload = vec![kind, rng.pick(&[0, 1, 3, 4]), 0, 0, 0, 0, 0, 0];
    payload.extend(quoted);
    let back = match sent.direction {
        Direction::Out => Direction::In,
        Direction::In => Direction::Out,
    };
    let direction = if rng.chance(95) { back } else { sent.direction };
    let mut path = sent.path.clone();
    // A router on the way may say so; or somebody says it to somebody else.
    let (routers, others): ([IpAddr; 2], [IpAddr; 2]) = if six {
        ([PEER_IP6.into(), path.remote], [VM_IP6.into(), PEER_IP6.into()])
    } else {
        ([PEER_IP4.into(), path.remote], [VM_IP4.into(), PEER_IP4.into()])
    };
    if direction == Direction::In {
        path.remote = rng.pick(&routers);
    } else if rng.chance(5) {
        path.remote = rng.pick(&others);
    }
    let protocol = if six { protocol::ICMP6 } else { protocol::ICMP };
    Datagram { direction, path, protocol, payload, identification: 9, part: None }
}
