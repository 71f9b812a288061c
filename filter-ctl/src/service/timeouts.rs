//! How long connections live.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::failure::{Failure, INVALID};
use super::{Access, Method, Service};
use crate::engine;
use crate::model::{Timeout, Timeouts, ValueError};

/// All timeouts, by name, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeoutValues {
    /// The seconds.
    pub timeouts: BTreeMap<String, u32>,
}

impl TimeoutValues {
    fn of(timeouts: &Timeouts) -> Self {
        let value = |&timeout: &Timeout| (timeout.name().to_owned(), timeouts.get(timeout));
        Self { timeouts: Timeout::ALL.iter().map(value).collect() }
    }
}

/// Says what holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetTimeouts {}

impl Method for GetTimeouts {
    const NAME: &'static str = "GetTimeouts";
    const ACCESS: Access = Access::Read;
    type Reply = TimeoutValues;

    fn carry_out(self, service: &Service) -> Result<TimeoutValues, Failure> {
        let timeouts = engine::timeouts(service.folders()).map_err(|error| service.failure(&error))?;
        Ok(TimeoutValues::of(&timeouts))
    }
}

/// Changes some; the others stay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetTimeouts {
    /// Seconds, by name.
    pub timeouts: BTreeMap<String, u32>,
}

impl Method for SetTimeouts {
    const NAME: &'static str = "SetTimeouts";
    const ACCESS: Access = Access::Change;
    type Reply = TimeoutValues;

    fn carry_out(self, service: &Service) -> Result<TimeoutValues, Failure> {
        let changes: Result<Vec<(Timeout, u32)>, ValueError> =
            self.timeouts.iter().map(|(name, &seconds)| Ok((name.parse()?, seconds))).collect();
        let changes = changes.map_err(|error| Failure::new(INVALID, format!("timeout: {error}")))?;
        let timeouts = service.engine()?.set_timeouts(&changes).map_err(|error| service.failure(&error))?;
        Ok(TimeoutValues::of(&timeouts))
    }
}

/// Puts the default ones in their place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetTimeouts {}

impl Method for ResetTimeouts {
    const NAME: &'static str = "ResetTimeouts";
    const ACCESS: Access = Access::Change;
    type Reply = TimeoutValues;

    fn carry_out(self, service: &Service) -> Result<TimeoutValues, Failure> {
        let timeouts = service.engine()?.reset_timeouts().map_err(|error| service.failure(&error))?;
        Ok(TimeoutValues::of(&timeouts))
    }
}
