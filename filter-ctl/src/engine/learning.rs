//! What a binding says of learning, as the data path takes it, and as the reference does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use filter_common::learn::{LEARNABLE, LEARNED_MAC, Learned, state};
use filter_common::{Learning, record_flags};

use super::EngineError;
use crate::clock::Clock;
use crate::model::{IpNetwork, IpVersion, Learn};
use crate::reference;
use crate::store::Binding;

/// How many IPv4 addresses are learned where nobody says: those who use another than their first are suspect.
const IP4_MAX: u8 = 1;
/// How many IPv6 addresses are: a link-local one, one that stays, and two that change for the sake of privacy.
const IP6_MAX: u8 = 4;

/// What a port learns of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    learn: Learn,
    ip4_max: u8,
    ip6_max: u8,
    servers: Vec<IpAddr>,
    prefixes: Vec<IpNetwork>,
    /// Families of which an address was given.
    given: Vec<IpVersion>,
}

impl Plan {
    /// What the binding says.
    pub(super) fn of(binding: &Binding) -> Result<Self, EngineError> {
        let invalid = |what: &str| EngineError::Invalid(what.to_owned());
        let said = binding.parameters.get(Learn::PARAMETER).map(Vec::as_slice);
        let learn = match said {
            Some([text]) => text.parse::<Learn>().map_err(|error| {
                EngineError::Invalid(format!("how addresses are learned (`{}`): {error}", Learn::PARAMETER))
            })?,
            Some(_) => {
                return Err(EngineError::Invalid(format!(
                    "how addresses are learned was said more than once; say it with --learn or `{}`",
                    Learn::PARAMETER
                )));
            }
            None if binding.addresses.is_empty() => Learn::Any,
            None => Learn::None,
        };
        let count = |default: u8| binding.learn_max.unwrap_or(default);
        if !(1..=LEARNABLE as u8).contains(&count(1)) {
            return Err(EngineError::Invalid(format!(
                "a port learns 1 to {LEARNABLE} addresses of a family, not {}",
                count(1)
            )));
        }
        let servers = binding.parameters.get(Learn::SERVERS).map_or(&[][..], Vec::as_slice);
        let server = |text: &String| {
            text.parse::<IpAddr>().map_err(|_| {
                EngineError::Invalid(format!(
                    "trusted DHCP servers (`{}`): found `{text}`, expected an IP address",
                    Learn::SERVERS
                ))
            })
        };
        // Filters may ask for what is no address under that name; then nothing is learned by it.
        let servers = if learn == Learn::None {
            Vec::new()
        } else {
            servers.iter().map(server).collect::<Result<Vec<_>, _>>()?
        };
        let prefix = |text: &String| {
            text.parse::<IpNetwork>()
                .map_err(|error| EngineError::Invalid(format!("prefix of learned addresses: {error}")))
        };
        let prefixes = binding.learn_prefixes.iter().map(prefix).collect::<Result<Vec<_>, _>>()?;
        for family in IpVersion::ALL {
            if servers.iter().filter(|server| IpVersion::of(**server) == family).count() > Learning::LISTED {
                return Err(invalid("more than four trusted DHCP servers of a family"));
            }
            if prefixes.iter().filter(|prefix| prefix.family() == family).count() > Learning::LISTED {
                return Err(invalid("more than four prefixes of a family for learned addresses"));
            }
        }
        let given = IpVersion::ALL
            .into_iter()
            .filter(|family| binding.addresses.iter().any(|address| IpVersion::of(*address) == *family))
            .collect();
        Ok(Self { learn, ip4_max: count(IP4_MAX), ip6_max: count(IP6_MAX), servers, prefixes, given })
    }

    /// The bits of [`record_flags`] for a policy that asks for addresses of these families.
    pub(super) fn flags(&self, asks: &[IpVersion]) -> u32 {
        let learns =
            |family| self.learn != Learn::None && asks.contains(&family) && !self.given.contains(&family);
        let mut flags = 0;
        if learns(IpVersion::V4) {
            flags |= record_flags::LEARN_IP4;
        }
        if learns(IpVersion::V6) {
            flags |= record_flags::LEARN_IP6;
        }
        if flags != 0 && self.learn == Learn::Dhcp {
            flags |= record_flags::LEARN_LEASES_ONLY;
        }
        flags
    }

    /// As the port's record has it.
    pub(super) fn record(&self) -> Learning {
        let mut learning = Learning {
            hz: Clock::read().hz,
            ip4_max: self.ip4_max.into(),
            ip6_max: self.ip6_max.into(),
            ..Learning::default()
        };
        let (mut four, mut six) = (0, 0);
        for server in &self.servers {
            match *server {
                IpAddr::V4(server) => {
                    learning.servers4[four] = server.to_bits();
                    four += 1;
                }
                IpAddr::V6(server) => {
                    learning.servers6[six] = pairs(server.to_bits());
                    six += 1;
                }
            }
        }
        (learning.server4_count, learning.server6_count) = (four as u32, six as u32);
        (four, six) = (0, 0);
        for prefix in &self.prefixes {
            match (prefix.address(), prefix.mask()) {
                (IpAddr::V4(address), IpAddr::V4(mask)) => {
                    learning.prefixes4[four] = [address.to_bits(), mask.to_bits()];
                    four += 1;
                }
                (IpAddr::V6(address), IpAddr::V6(mask)) => {
                    learning.prefixes6[six] = [pairs(address.to_bits()), pairs(mask.to_bits())];
                    six += 1;
                }
                _ => unreachable!("an address has a mask of its own family"),
            }
        }
        (learning.prefix4_count, learning.prefix6_count) = (four as u32, six as u32);
        learning
    }

    /// As the reference has it.
    pub(super) fn reference(&self) -> reference::Learning {
        reference::Learning {
            leases_only: self.learn == Learn::Dhcp,
            ip4_max: self.ip4_max.into(),
            ip6_max: self.ip6_max.into(),
            servers: self.servers.clone(),
            prefixes: self
                .prefixes
                .iter()
                .map(|prefix| (prefix.address(), prefix.prefix().unwrap_or(prefix.family().bits())))
                .collect(),
        }
    }

    /// How addresses are learned.
    pub(super) fn learn(&self) -> Learn {
        self.learn
    }
}

/// An IPv6 address as a key has it.
fn pairs(bits: u128) -> [u64; 2] {
    let pair = |bits: u128| (bits as u64).rotate_left(32);
    [pair(bits >> 64), pair(bits)]
}

/// What was learned, as the reference has it.
pub(super) fn reference_learned(learned: &Learned) -> reference::Learned {
    fn place<T>(state: u64, address: T) -> reference::Place<T> {
        let origin = if state & state::LEASE != 0 {
            reference::Origin::Lease
        } else if state & state::NEIGHBOUR != 0 {
            reference::Origin::Neighbour
        } else {
            reference::Origin::Use
        };
        let until = Some((state & state::UNTIL) as u32).filter(|until| *until != 0);
        let known = (state & state::VALID != 0).then_some(reference::Known { address, until, origin });
        reference::Place { used: state != 0, known }
    }
    let requests = |pending: &[u64]| {
        let asked = pending.iter().filter(|word| **word != 0);
        asked.map(|word| (*word as u32, (*word >> 32) as u32)).collect()
    };
    let mac = (learned.mac & LEARNED_MAC != 0).then(|| {
        let [_, _, mac @ ..] = (learned.mac & !LEARNED_MAC).to_be_bytes();
        mac
    });
    reference::Learned {
        mac,
        ip4: learned.ip4.map(|known| place(known.state, Ipv4Addr::from_bits(known.address as u32))),
        ip6: learned.ip6.map(|known| {
            let [first, second] = known.address.map(|pair| u128::from(pair.rotate_left(32)));
            place(known.state, Ipv6Addr::from_bits(first << 64 | second))
        }),
        prefixes: learned.announced.map(|known| place(known.state, known.prefix.rotate_left(32))),
        asked4: requests(&learned.pending4),
        asked6: requests(&learned.pending6),
    }
}
