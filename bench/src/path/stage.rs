//! One policy, put in force by every filter that can: each is held against the truth, then all are measured in turns.

use anyhow::{Context, Result, bail, ensure};
use filter_common::Verdict;
use filter_tests::generate::Rng;

use super::filter::Filter;
use super::flow::{Flow, Kind};
use super::policy::Policy;
use crate::bed::{Bed, Effort, Source};

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

/// What was measured of a contender: its position, and a list of samples for each flow, in ns for each frame. Samples
/// of one round have one position in all lists.
#[derive(Clone, Debug)]
pub struct Times {
    /// Its position among the contenders.
    pub contender: usize,
    /// Samples by flow.
    pub by_flow: Vec<Vec<f64>>,
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
        let beds = || positions.iter().map(|&position| &contenders[position].bed);
        // All beds are alike, and so is what is written to them.
        let Some(messages) = beds().next().map(|bed| flow.messages(bed)) else { continue };
        let mut sources: Vec<Source<'_>> =
            beds().map(|bed| source(bed, flow, &messages, effort)).collect::<Result<_>>()?;
        for round in 0..effort.rounds {
            for turn in 0..sources.len() {
                let which = (turn + round) % sources.len();
                times[which].by_flow[index].push(sources[which].sample()?);
            }
        }
    }
    Ok(times)
}

/// The queue at the other end is full when the first kind of a direction was measured, and stays so.
fn source<'a>(bed: &'a Bed, flow: &Flow, messages: &'a [Vec<u8>], effort: Effort) -> Result<Source<'a>> {
    if flow.kind == Kind::Latest {
        bed.fill(flow.direction, messages)?;
    }
    Source::new(bed, flow.direction, messages, effort)
}
