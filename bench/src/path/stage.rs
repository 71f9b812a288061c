//! One policy, put in force by every filter that can: each is held against the truth, then all are measured in turns.

use anyhow::{Context, Result, bail, ensure};
use filter_common::{Direction, Verdict};
use filter_tests::generate::Rng;

use super::bed::Bed;
use super::filter::Filter;
use super::flow::{Flow, Kind};
use super::policy::Policy;
use crate::parts::Options;

/// Random packets that each filter is asked about before it is measured.
const CHECKS: usize = 400;
/// Packets of each flow that are seen to arrive.
const CHECKS_OF_FLOW: usize = 64;

/// A filter with a bed of its own.
pub struct Contender {
    /// The filter.
    pub filter: Box<dyn Filter>,
    /// Its bed.
    pub bed: Bed,
    /// Whether it filters at all.
    pub is_filter: bool,
}

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

/// What was measured of a contender: its position, and a list of samples for each flow, in ns for each frame. Samples
/// of one round have one position in all lists.
#[derive(Clone, Debug)]
pub struct Times {
    /// Its position among the contenders.
    pub contender: usize,
    /// Samples by flow.
    pub by_flow: Vec<Vec<f64>>,
}

/// A bed with traffic that is written to it.
struct Source<'a> {
    bed: &'a Bed,
    direction: Direction,
    messages: Vec<Vec<u8>>,
    /// How many make a sample.
    count: usize,
    /// The next one: samples go on where those before them ended, so that slow filters are measured over all flows,
    /// too.
    next: usize,
}

impl Contender {
    /// The filter's verdicts are the policy's, and all that is measured arrives.
    pub fn check(&self, policy: &Policy, flows: &[Flow], rng: &mut Rng) -> Result<()> {
        let truth = policy.truth();
        self.bed.drain();
        for _ in 0..CHECKS {
            let packet = truth.packet(rng, 70);
            let expected = if self.is_filter { truth.verdict(&packet) } else { Verdict::Pass };
            let found = self.bed.verdict(&packet)?;
            ensure!(
                found == expected,
                "its verdict is wrong: {found}, but rule {:?} says {expected} of {packet:?}",
                truth.first_match(&packet)
            );
        }
        for flow in flows {
            for packet in flow.packets().iter().take(CHECKS_OF_FLOW) {
                if flow.kind == Kind::Bulk {
                    self.bed.check_bulk(packet).with_context(|| format!("{flow}"))?;
                } else if self.bed.verdict(packet)? != Verdict::Pass {
                    bail!("a packet of {flow} does not arrive: {packet:?}");
                }
            }
        }
        Ok(())
    }
}

/// Measures those of the contenders that are named by their positions.
pub fn measure(
    contenders: &[Contender],
    positions: &[usize],
    flows: &[Flow],
    effort: Effort,
) -> Result<Vec<Times>> {
    let empty = vec![Vec::with_capacity(effort.rounds); flows.len()];
    let mut times: Vec<Times> =
        positions.iter().map(|&contender| Times { contender, by_flow: empty.clone() }).collect();
    for (index, flow) in flows.iter().enumerate() {
        let beds = positions.iter().map(|&position| &contenders[position].bed);
        let mut sources: Vec<Source<'_>> =
            beds.map(|bed| Source::new(bed, flow, effort)).collect::<Result<_>>()?;
        for round in 0..effort.rounds {
            for turn in 0..sources.len() {
                let which = (turn + round) % sources.len();
                times[which].by_flow[index].push(sources[which].sample()?);
            }
        }
    }
    Ok(times)
}

impl<'a> Source<'a> {
    /// Fills the queue at the other end, and finds out how many frames make a sample.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the quotient is bounded")]
    fn new(bed: &'a Bed, flow: &Flow, effort: Effort) -> Result<Self> {
        const LEAST: f64 = 16.0;
        const MOST: f64 = 20_000.0;
        const TRIAL: usize = 16;
        let (direction, messages) = (flow.direction, flow.messages(bed));
        if flow.kind == Kind::Latest {
            bed.fill(direction, &messages)?;
        }
        let each = bed.time(direction, messages.iter().cycle().take(TRIAL))?;
        let count = (effort.block / each).clamp(LEAST, MOST) as usize;
        Ok(Self { bed, direction, messages, count, next: 0 })
    }

    /// One sample. Before it as much traffic goes the same way that is not measured, for the caches are another
    /// filter's.
    fn sample(&mut self) -> Result<f64> {
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
