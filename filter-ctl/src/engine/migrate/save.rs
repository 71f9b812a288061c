//! A port's state, written down while the port goes on.

use filter_common::{Counter, Direction, PortRecord};
use serde::{Deserialize, Serialize};

use super::super::flows::{self, exported};
use super::super::{Engine, EngineError};
use super::digest::digests;
use super::format::{Counters, Head, RuleCounter, State, encode};
use crate::datapath::{Datapath, DatapathError};
use crate::store::RuleState;

/// What was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSaved {
    /// The port.
    pub port: String,
    /// What it is held to.
    pub profiles: Vec<String>,
    /// Connections that it follows.
    pub flows: usize,
    /// IP addresses that were learned of it.
    pub addresses: usize,
    /// Counters that are not zero.
    pub counters: usize,
    /// Bytes of the file.
    pub bytes: usize,
}

impl Engine {
    /// The state of a port, as a file for [`Engine::restore_port`]. The port goes on as if nobody had looked.
    ///
    /// No policy changes meanwhile. Packets do come: each connection is read as it is at some moment of the
    /// call, and counters last of all.
    ///
    /// # Errors
    /// If the port is not attached, or a profile that it is held to is not there any more.
    pub fn save_port(&mut self, name: &str) -> Result<(PortSaved, Vec<u8>), EngineError> {
        let (datapath, record, applied) = self.in_force(name)?;
        let profiles = digests(self.profiles(), &applied.binding)?;
        let exported = exported(&datapath, &record, &applied)?;
        let addresses = flows::learned_in(&exported)?.addresses.len();
        let counters = counters(&datapath, &record, &applied.rules)?;
        let mut saved = PortSaved {
            port: name.to_owned(),
            profiles: applied.binding.profiles.clone(),
            flows: exported.flows.len(),
            addresses,
            counters: counters.len(),
            bytes: 0,
        };
        let head = Head { port: name.to_owned(), binding: applied.binding, profiles, counters };
        let bytes =
            encode(&State { head, exported }).map_err(|error| EngineError::Invalid(error.to_string()))?;
        saved.bytes = bytes.len();
        Ok((saved, bytes))
    }
}

fn counters(
    datapath: &Datapath,
    record: &PortRecord,
    rules: &[RuleState],
) -> Result<Counters, DatapathError> {
    let mut counters = Counters::default();
    for rule in rules {
        let Counter { packets, bytes } = datapath.counter(rule.counter)?;
        if packets != 0 {
            let RuleState { name, identity, .. } = rule;
            let (identity, rule) = (identity.clone(), name.clone());
            counters.rules.push(RuleCounter { identity, rule, packets, bytes });
        }
    }
    let answers = datapath.answers(record.port);
    for direction in Direction::ALL {
        let name = || direction.name().to_owned();
        let dropped = datapath.guard_counters(record.port, direction).into_iter();
        counters.guard.extend(dropped.map(|(reason, packets)| (name(), reason.name().to_owned(), packets)));
        let at = direction.index();
        if answers.sent[at] != 0 || answers.suppressed[at] != 0 {
            counters.answers.push((name(), answers.sent[at], answers.suppressed[at]));
        }
    }
    Ok(counters)
}
