//! What was learned of a port, in a form that can be shown, kept, and given to another host.
//!
//! Times are seconds from now, because ticks are one kernel's. Requests without an answer are left out: a client that
//! gets none asks again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::Tick;
use filter_common::learn::{Announced, LEARNED_MAC, Learned, LearnedIp4, LearnedIp6, state};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::model::MacAddr;

/// What was learned of a port and counts now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedState {
    /// The MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// IP addresses.
    pub addresses: Vec<LearnedAddress>,
    /// Prefixes in which routers let stations make addresses for themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<AnnouncedPrefix>,
}

/// An address that was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedAddress {
    /// The address.
    pub address: IpAddr,
    /// From what.
    pub from: LearnedFrom,
    /// For how many seconds it still counts; nothing if it does for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// From what an address was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LearnedFrom {
    /// The guest used it.
    Use,
    /// The guest told its neighbours.
    Neighbour,
    /// A lease of a DHCP server.
    Lease,
}

/// A prefix that a router announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedPrefix {
    /// Its first address; it has 64 bits.
    pub prefix: Ipv6Addr,
    /// For how many seconds it still counts; nothing if it does for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

impl LearnedState {
    /// What of it counts now.
    pub fn of(learned: &Learned, clock: Clock) -> Self {
        let bits = |pair: u64| u128::from(pair.rotate_left(32));
        let four =
            learned.ip4.iter().map(|known| (known.state, IpAddr::V4(Ipv4Addr::from(known.address as u32))));
        let six = learned.ip6.iter().map(|known| {
            let [first, second] = known.address;
            (known.state, IpAddr::V6(Ipv6Addr::from_bits(bits(first) << 64 | bits(second))))
        });
        let addresses = four
            .chain(six)
            .filter(|(state, _)| is_live(*state, clock))
            .map(|(state, address)| {
                let from = if state & state::LEASE != 0 {
                    LearnedFrom::Lease
                } else if state & state::NEIGHBOUR != 0 {
                    LearnedFrom::Neighbour
                } else {
                    LearnedFrom::Use
                };
                LearnedAddress { address, from, expires_in: expires_in(state, clock) }
            })
            .collect();
        let prefixes = learned
            .announced
            .iter()
            .filter(|known| is_live(known.state, clock))
            .map(|known| AnnouncedPrefix {
                prefix: Ipv6Addr::from_bits(bits(known.prefix) << 64),
                expires_in: expires_in(known.state, clock),
            })
            .collect();
        let mac = (learned.mac & LEARNED_MAC != 0).then(|| {
            let [_, _, mac @ ..] = (learned.mac & !LEARNED_MAC).to_be_bytes();
            MacAddr(mac).to_string()
        });
        Self { mac, addresses, prefixes }
    }

    /// As the data path has it. What does not fit, or is no MAC address, is left out.
    pub fn to_learned(&self, clock: Clock) -> Learned {
        let mut learned = Learned::default();
        if let Some(Ok(mac)) = self.mac.as_ref().map(|mac| mac.parse::<MacAddr>()) {
            learned.mac = mac.bits() | LEARNED_MAC;
        }
        let state = |expires_in: Option<u64>, bits: u64| {
            let until = expires_in.and_then(|seconds| clock.after(seconds)).map_or(0, |tick| tick.0.max(1));
            state::USE | state::VALID | bits | u64::from(until)
        };
        let pair = |bits: u128| (bits as u64).rotate_left(32);
        let (mut four, mut six) = (learned.ip4.iter_mut(), learned.ip6.iter_mut());
        for known in &self.addresses {
            let bits = match known.from {
                LearnedFrom::Use => 0,
                LearnedFrom::Neighbour => state::NEIGHBOUR,
                LearnedFrom::Lease => state::LEASE,
            };
            let state = state(known.expires_in, bits);
            match known.address {
                IpAddr::V4(address) => {
                    if let Some(place) = four.next() {
                        *place = LearnedIp4 { state, address: u64::from(address.to_bits()) };
                    }
                }
                IpAddr::V6(address) => {
                    let bits = address.to_bits();
                    if let Some(place) = six.next() {
                        *place = LearnedIp6 { state, address: [pair(bits >> 64), pair(bits)] };
                    }
                }
            }
        }
        for (known, place) in self.prefixes.iter().zip(&mut learned.announced) {
            let prefix = pair(known.prefix.to_bits() >> 64);
            *place = Announced { state: state(known.expires_in, 0), prefix };
        }
        learned
    }

    /// The addresses of one family, in words.
    pub fn family(&self, four: bool) -> Vec<String> {
        self.addresses
            .iter()
            .filter(|known| known.address.is_ipv4() == four)
            .map(|known| known.address.to_string())
            .collect()
    }
}

fn is_live(state: u64, clock: Clock) -> bool {
    let until = (state & state::UNTIL) as u32;
    state & state::VALID != 0 && (until == 0 || !clock.now.is_after(Tick(until)))
}

fn expires_in(state: u64, clock: Clock) -> Option<u64> {
    let until = (state & state::UNTIL) as u32;
    (until != 0).then(|| clock.seconds_until(Tick(until)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_learned() {
        let clock = Clock { hz: 250, now: Tick(u32::MAX - 20) };
        let address = |text: &str, from, expires_in| LearnedAddress {
            address: text.parse().expect("it is an address"),
            from,
            expires_in,
        };
        let known = LearnedState {
            mac: Some("52:54:00:12:34:56".to_owned()),
            addresses: vec![
                address("192.0.2.10", LearnedFrom::Use, None),
                address("192.0.2.11", LearnedFrom::Lease, Some(3_600)),
                address("fe80::5054:ff:fe12:3456", LearnedFrom::Neighbour, Some(7_200)),
                address("2001:db8:1:2:3:4:5:6", LearnedFrom::Lease, None),
            ],
            prefixes: vec![AnnouncedPrefix {
                prefix: Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 0),
                expires_in: Some(86_400),
            }],
        };
        let learned = known.to_learned(clock);
        assert_eq!(LearnedState::of(&learned, clock), known);
        let text = serde_json::to_string(&known).expect("it can be written");
        assert_eq!(serde_json::from_str::<LearnedState>(&text).expect("and read"), known);
        let later = Clock { now: clock.after(4_000).expect("that is soon"), ..clock };
        let left = LearnedState::of(&learned, later);
        assert_eq!(left.family(true), ["192.0.2.10"], "the lease is over");
        assert_eq!(left.addresses[1].expires_in, Some(3_200));
    }
}
