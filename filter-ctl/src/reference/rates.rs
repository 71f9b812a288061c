//! Rates, as buckets of tokens that are filled and emptied by counting.

use std::collections::BTreeMap;

use super::gates::{Gates, Moment, Sets};
use super::packet::Packet;
use crate::policy::{Gate, LimitKey, Measure, Rate};

/// Jiffies of a tick.
const JIFFIES: i128 = 16;

/// Sets as they stand, and buckets that are full at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metered {
    /// The sets.
    pub sets: Sets,
    /// How many jiffies a second has.
    hz: u32,
    buckets: BTreeMap<LimitKey, Bucket>,
}

/// A bucket, in parts of a token, of which there are as many as jiffies in the limit's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    /// What is in it; what was taken that was not there is owed.
    level: i128,
    /// The tick at which that was so.
    at: u32,
}

impl Metered {
    /// With these sets.
    pub fn new(sets: Sets, hz: u32) -> Self {
        Self { sets, hz, buckets: BTreeMap::new() }
    }

    /// Takes from a limit's bucket, if there is a whole token in it.
    fn take(&mut self, key: LimitKey, rate: Rate, burst: u64, now: u32, weight: u64) -> bool {
        let token = i128::from(rate.seconds) * i128::from(self.hz);
        let most = i128::from(burst) * token;
        let bucket = self.buckets.entry(key).or_insert(Bucket { level: most, at: now });
        let elapsed = i128::from(now.wrapping_sub(bucket.at)) * JIFFIES;
        bucket.level = (bucket.level + elapsed * i128::from(rate.amount)).min(most);
        bucket.at = now;
        if bucket.level < token {
            return false;
        }
        bucket.level -= i128::from(weight) * token;
        true
    }
}

impl Gates for Metered {
    fn ask(&mut self, gate: &Gate, packet: &Packet, moment: &Moment) -> bool {
        let &Gate::Rate { rule, measure, rate, burst } = gate else {
            return self.sets.ask(gate, packet, moment);
        };
        let weight = match measure {
            Measure::Packets => 1,
            Measure::Bytes => moment.bytes,
            Measure::Connections if moment.begins => 1,
            Measure::Connections => return true,
        };
        self.take(LimitKey { rule, measure }, rate, burst, moment.now, weight)
    }
}
