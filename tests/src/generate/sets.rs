//! Random contents of the sets that random policies ask for.

use std::net::{Ipv4Addr, Ipv6Addr};

use filter_ctl::model::{IpNetwork, IpProtocol, MacAddr, SetKind, SetMember};
use filter_ctl::reference::Sets;

use super::pool;
use super::rng::Rng;

/// The sets there are: of each kind two, by their numbers.
pub const SETS: &[(SetKind, u32)] = &[
    (SetKind::Address, 1),
    (SetKind::Address, 2),
    (SetKind::Network, 3),
    (SetKind::Network, 4),
    (SetKind::AddressPort, 5),
    (SetKind::AddressPort, 6),
    (SetKind::Mac, 7),
    (SetKind::Mac, 4095),
];

/// Members of all sets; some sets have none.
pub fn members(rng: &mut Rng) -> Vec<(u32, Vec<SetMember>)> {
    let some = |rng: &mut Rng, kind| {
        let count = rng.pick(&[0, 1, 3, 10, 30]);
        (0..count).map(|_| member(rng, kind)).collect()
    };
    SETS.iter().map(|&(kind, number)| (number, some(rng, kind))).collect()
}

/// A member of a set of this kind.
pub fn member(rng: &mut Rng, kind: SetKind) -> SetMember {
    let address = |rng: &mut Rng| {
        if rng.chance(50) { rng.pick(pool::IP4).into() } else { rng.pick(pool::IP6).into() }
    };
    match kind {
        SetKind::Address => SetMember::Address(address(rng)),
        SetKind::Network => SetMember::Network(network(rng)),
        SetKind::AddressPort => {
            let protocol = rng.mostly(pool::PROTOCOLS, 4);
            let port = if matches!(protocol, 1 | 58) {
                u16::from_be_bytes([rng.pick(pool::ICMP_TYPES), rng.pick(pool::ICMP_CODES)])
            } else {
                rng.pick(pool::PORTS)
            };
            let protocol = IpProtocol::new(protocol).unwrap_or(IpProtocol::TCP);
            SetMember::AddressPort { address: address(rng), protocol, port }
        }
        SetKind::Mac => SetMember::Mac(MacAddr(rng.mostly(&[pool::MACS, pool::GROUPS].concat(), 4))),
    }
}

fn network(rng: &mut Rng) -> IpNetwork {
    let (address, bits): (std::net::IpAddr, usize) = if rng.chance(50) {
        let near = rng.pick(pool::IP4).to_bits()
            ^ (rng.bits() as u32).checked_shr(rng.below(40) as u32).unwrap_or(0);
        (Ipv4Addr::from_bits(near).into(), 32)
    } else {
        let low = rng.bits() >> rng.below(64);
        (Ipv6Addr::from_bits(rng.pick(pool::IP6).to_bits() ^ u128::from(low)).into(), 128)
    };
    let prefix = if rng.chance(30) { bits } else { rng.below(bits + 1) };
    IpNetwork::of(address, prefix as u8).unwrap_or(IpNetwork::host(address))
}

/// The sets as the reference has them.
pub fn reference(sets: &[(u32, Vec<SetMember>)]) -> Sets {
    Sets(sets.iter().map(|(number, members)| (*number, members.iter().collect())).collect())
}
