//! Whether there is room for what a port is to do, asked without taking it.
//!
//! Places are chosen as [`Datapath::prepare`] chooses them, and held in the memory of whoever asks: nothing is written.
//! So several ports can be asked for together, beside those that have policies now.

use filter_common::PortRecord;
use filter_common::maps::MAX_TABLES;
use filter_common::track::PLACES;

use super::flows::FlowSpec;
use super::publish::{self, PortSpec};
use super::{Datapath, DatapathError};

impl Datapath {
    /// The record that a port would get. `like`: that of a port with an equal image that was asked for before.
    pub fn preview(
        &mut self,
        spec: &PortSpec<'_>,
        like: Option<&PortRecord>,
    ) -> Result<PortRecord, DatapathError> {
        if spec.ifindex as usize >= self.tables.ifindex.len() {
            return Err(DatapathError::Ifindex(spec.ifindex));
        }
        let current = spec.port.and_then(|_| self.published_on(spec.ifindex));
        let slot = self.occupancy.free_slot(self.tables.ports.len())?;
        let port = match spec.port {
            Some(port) => port,
            None => self.occupancy.free_port(self.tables.learned.len())?,
        };
        let missing = spec.counters.iter().filter(|counter| counter.is_none()).count();
        let mut counters = self.occupancy.free_counters(missing, self.tables.counter_count())?;
        let rules = self.occupancy.free_rules(spec.counters.len(), self.tables.rules.len())?;
        let limits = self.occupancy.free_limits(spec.limits.len(), self.tables.limits.len())?;
        let missing = spec.limits.iter().filter(|limit| limit.bucket.is_none()).count();
        let mut buckets = self.occupancy.free_buckets(missing, self.tables.buckets.len())?;
        let fingerprint = like.map_or_else(|| spec.image.fingerprint(), |like| like.policy);
        let there = like.map(|like| like.nodes).or_else(|| self.shared(spec.image, fingerprint));
        let nodes = match there {
            Some(nodes) => nodes,
            None => self.occupancy.free_nodes(spec.image.nodes.len(), self.tables.nodes.len())?,
        };
        let mut record = publish::record(spec, fingerprint, port, nodes, rules);
        (record.limits, record.limit_count) = (limits, spec.limits.len() as u32);
        let follows = spec.image.tracked | spec.image.above_ip != 0;
        let goes_on = current.is_some_and(|current| {
            current.flow_table != 0
                && (spec.image.tracked == 0
                    || (current.flow_mask as usize + 1) * PLACES == FlowSpec::room(spec.flows.places))
        });
        if follows && !goes_on {
            record.flow_table = self.occupancy.free_flow_table(MAX_TABLES)?;
        }
        counters.extend(spec.counters.iter().flatten());
        buckets.extend(spec.limits.iter().filter_map(|limit| limit.bucket));
        self.occupancy.reserve(slot, &record, counters.into_iter(), buckets.into_iter());
        Ok(record)
    }
}
