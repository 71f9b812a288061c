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

use filter_ctl::reference::{Learned, Port};

pub use conversation::{Conversations, Event};
pub use frame::frame;
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
    port.learn_ip4 = rng.chance(20) && !port.addresses.iter().any(std::net::IpAddr::is_ipv4);
    port.learned = Learned {
        mac: (port.learn_mac && rng.chance(30)).then_some(VM),
        ip4: (port.learn_ip4 && rng.chance(30)).then(|| rng.pick(&pool::IP4[..4])),
    };
    port
}
