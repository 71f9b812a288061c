//! Traffic that is written to a bed again and again, in samples of about the same CPU time.

use anyhow::Result;
use filter_common::Direction;

use super::Bed;
use crate::parts::Options;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Samples of each filter and flow.
    pub rounds: usize,
    /// CPU time for a sample, in ns.
    pub block: f64,
}

impl Effort {
    /// What the options leave time for.
    pub const fn of(options: &Options) -> Self {
        if options.quick { Self { rounds: 3, block: 2e6 } } else { Self { rounds: 31, block: 1e7 } }
    }
}

/// A bed with traffic that is written to it.
pub struct Source<'a> {
    bed: &'a Bed,
    direction: Direction,
    messages: &'a [Vec<u8>],
    /// How many make a sample.
    count: usize,
    /// The next one: samples go on where those before them ended, so that slow filters are measured over all flows,
    /// too.
    next: usize,
}

impl<'a> Source<'a> {
    /// Most frames of a sample.
    pub const MOST: usize = 20_000;

    /// Finds out how many of the messages, of which there is at least one, make a sample.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the quotient is bounded")]
    #[allow(clippy::cast_precision_loss, reason = "a few thousand frames")]
    pub fn new(bed: &'a Bed, direction: Direction, messages: &'a [Vec<u8>], effort: Effort) -> Result<Self> {
        const LEAST: f64 = 16.0;
        const TRIAL: usize = 16;
        let each = bed.time(direction, messages.iter().cycle().take(TRIAL))?;
        let count = (effort.block / each).clamp(LEAST, Self::MOST as f64) as usize;
        Ok(Self { bed, direction, messages, count, next: 0 })
    }

    /// One sample. Before it as much traffic goes the same way that is not measured, for the caches are another
    /// filter's.
    pub fn sample(&mut self) -> Result<f64> {
        self.write()?;
        self.write()
    }

    fn write(&mut self) -> Result<f64> {
        let messages = self.messages[self.next..].iter().chain(self.messages.iter().cycle());
        let time = self.bed.time(self.direction, messages.take(self.count))?;
        self.next = (self.next + self.count) % self.messages.len();
        Ok(time)
    }
}
