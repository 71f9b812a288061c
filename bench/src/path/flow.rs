//! What is sent while time is measured.

use std::fmt;

use anyhow::Result;
use filter_common::Direction;
use filter_tests::frames::protocol;
use filter_tests::generate::Rng;
use filter_tests::rulesets::Packet;

use super::policy::Policy;
use crate::bed::Bed;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One flow of UDP in 64-byte frames: of those that pass, the one that is decided latest.
    Latest,
    /// Random flows of UDP and TCP, in frames of 64 bytes, too.
    Flows,
    /// One flow of TCP in super-frames of 60,014 bytes, again the one that is decided latest.
    Bulk,
}

/// Traffic in one direction.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Which way it goes.
    pub direction: Direction,
    /// Its kind.
    pub kind: Kind,
    packets: Vec<Packet>,
}

impl Flow {
    /// All traffic that is measured for a policy.
    pub fn all(policy: &Policy, rng: &mut Rng) -> Result<Vec<Self>> {
        let mut flows = Vec::new();
        for direction in Direction::ALL {
            let latest = policy.latest(rng, direction, protocol::UDP)?;
            let bulk = policy.latest(rng, direction, protocol::TCP)?;
            flows.push(Self { direction, kind: Kind::Latest, packets: vec![latest] });
            flows.push(Self { direction, kind: Kind::Flows, packets: policy.flows(rng, direction)? });
            flows.push(Self { direction, kind: Kind::Bulk, packets: vec![bulk] });
        }
        Ok(flows)
    }

    /// What is written to a tap, one after another.
    pub fn messages(&self, bed: &Bed) -> Vec<Vec<u8>> {
        self.packets
            .iter()
            .map(|packet| if self.kind == Kind::Bulk { bed.bulk(packet) } else { bed.message(packet) })
            .collect()
    }

    /// The packets it consists of.
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }
}

impl fmt::Display for Flow {
    /// As in the names of groups.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Latest => "udp-64",
            Kind::Flows => "flows-64",
            Kind::Bulk => "tcp-60k",
        };
        write!(f, "{kind}-{}", self.direction)
    }
}
