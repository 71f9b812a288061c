//! Random frames, policies and ports for differential tests.
//!
//! All of them draw from the same small pools of values, so that rules hit. Everything follows from a seed:
//! a case that fails says how to run it alone.

mod conversation;
mod frame;
mod policy;
pub(crate) mod pool;
mod profile;
mod rng;
mod sets;
mod shrink;
mod stateful;

use std::net::IpAddr;

pub use conversation::{Conversations, Event};
use filter_ctl::reference::{Known, Learning, Origin, Place, Port};

pub use frame::{conversation, frame};
pub use policy::policy;
pub use profile::{VARIABLES, filter_document, pool_document};
pub use rng::{Rng, for_each_case};
pub use sets::{SETS, member, members, reference};
pub use shrink::shrink;
pub use stateful::stateful_policy;

use crate::frames::VM;

/// A port, strict more often than not, that knows its addresses, or is to learn them, or neither.
pub fn port(rng: &mut Rng) -> Port {
    let mut port = Port { strict: rng.chance(70), ..Port::default() };
    if rng.chance(75) {
        port.mac = Some(if rng.chance(80) { VM } else { rng.pick(pool::MACS) });
    } else {
        port.learn_mac = rng.chance(75);
    }
    for _ in 0..rng.below(4) {
        port.addresses.push(if rng.chance(50) {
            rng.pick(pool::IP4).into()
        } else {
            rng.pick(pool::IP6).into()
        });
    }
    // `::` stands for nobody.
    port.addresses.retain(|address| !address.is_unspecified());
    learning(rng, &mut port);
    port
}

/// A strict port that learns, with a MAC address that is given or learned.
pub fn learning_port(rng: &mut Rng) -> Port {
    let mut port = Port { strict: rng.chance(80), ..Port::default() };
    if rng.chance(70) {
        port.mac = Some(VM);
    } else {
        port.learn_mac = true;
    }
    learning(rng, &mut port);
    port.learn_ip4 = port.learn_ip4 || rng.chance(80);
    port.learn_ip6 = port.learn_ip6 || rng.chance(80);
    port.learn_mac = port.mac.is_none();
    port
}

/// What the port is to learn of its addresses, and what it has learned.
fn learning(rng: &mut Rng, port: &mut Port) {
    port.learn_ip4 = rng.chance(30) && !port.addresses.iter().any(IpAddr::is_ipv4);
    port.learn_ip6 = rng.chance(30) && !port.addresses.iter().any(IpAddr::is_ipv6);
    port.learn_mac |= (port.learn_ip4 || port.learn_ip6) && port.mac.is_none();
    port.hz = rng.pick(&[100, 250, 1000]);
    port.now = rng.pick(&[0, 1, 1000, u32::MAX / 2, u32::MAX - 100, u32::MAX]);
    port.learning = Learning {
        leases_only: (port.learn_ip4 || port.learn_ip6) && rng.chance(40),
        ip4_max: 1 + rng.below(3),
        ip6_max: 1 + rng.below(4),
        ..Learning::default()
    };
    if rng.chance(50) {
        for _ in 0..rng.below(3) {
            let server = if rng.chance(50) { rng.pick(pool::IP4).into() } else { rng.pick(pool::IP6).into() };
            port.learning.servers.push(server);
        }
    }
    if rng.chance(30) {
        for _ in 0..rng.below(3) {
            let (prefix, longest): (IpAddr, usize) = if rng.chance(50) {
                (rng.pick(pool::IP4).into(), 32)
            } else {
                (rng.pick(pool::IP6).into(), 128)
            };
            port.learning.prefixes.push((prefix, rng.below(longest + 1) as u8));
        }
    }
    port.learned.mac = (port.learn_mac && rng.chance(40)).then_some(VM);
    if port.learn_ip4 && rng.chance(40) {
        port.learned.ip4[0] = place(rng, port.now, pool::IP4);
    }
    if port.learn_ip6 && rng.chance(40) {
        port.learned.ip6[0] = place(rng, port.now, pool::IP6);
    }
    if port.learn_ip6 && rng.chance(40) {
        let prefix = (rng.pick(pool::IP6).to_bits() >> 64) as u64;
        port.learned.prefixes[0] = place(rng, port.now, &[prefix]);
    }
}

/// Something that was learned, and may be over soon.
fn place<T: Copy>(rng: &mut Rng, now: u32, addresses: &[T]) -> Place<T> {
    let origin = rng.pick(&[Origin::Use, Origin::Neighbour, Origin::Lease]);
    let until = rng.chance(70).then(|| now.wrapping_add(rng.pick(&[0, 10, 3_000, 1_000_000])).max(1));
    Place { used: true, known: rng.chance(90).then(|| Known { address: rng.pick(addresses), until, origin }) }
}

/// How many ticks pass between a frame and the next.
pub fn later(rng: &mut Rng) -> u32 {
    if rng.chance(90) { rng.below(3) as u32 } else { rng.pick(&[100, 2_000, 20_000, 500_000]) }
}
