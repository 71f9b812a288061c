//! Running times of several competitors, measured in turns.
//!
//! Every round measures each once, and begins with another one than the round before. So what changes while a run
//! goes on (the CPU's frequency, the host's other guests) is spread over all, and samples of one round belong
//! together.

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Samples of each competitor.
    pub rounds: usize,
    /// Runs of a program for one sample.
    pub runs: u32,
}

/// Runs a program that many times.
pub type Competitor<'a> = Box<dyn Fn(u32) -> Result<()> + 'a>;

/// Measures all of them in turns: ns for each run, a list for each competitor in the rounds' order. `round` is told
/// which one begins.
pub fn rounds(
    competitors: &[Competitor<'_>],
    effort: Effort,
    mut round: impl FnMut(usize),
) -> Result<Vec<Vec<f64>>> {
    let mut samples = vec![Vec::with_capacity(effort.rounds); competitors.len()];
    for number in 0..effort.rounds {
        round(number);
        for turn in 0..competitors.len() {
            let position = (turn + number) % competitors.len();
            samples[position].push(sample(|times| competitors[position](times), effort.runs)?);
        }
    }
    Ok(samples)
}

/// CPU time of this thread, in the kernel too, for each run: whoever else runs in between does not count. The
/// kernel's own figure is in whole ns.
///
/// Half as many runs go before that do not count: those who were measured before have filled the caches with theirs.
pub fn sample(competitor: impl Fn(u32) -> Result<()>, runs: u32) -> Result<f64> {
    competitor(runs / 2)?;
    let before = cpu_time();
    competitor(runs)?;
    Ok((cpu_time() - before) / f64::from(runs))
}

/// CPU time of this thread so far, in ns.
#[allow(clippy::cast_precision_loss, reason = "differences of a few seconds at most are of interest")]
pub fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn turns_rotate_and_the_first_runs_do_not_count() {
        let calls = RefCell::new(Vec::new());
        let competitor = |name: char| -> Competitor<'_> {
            let calls = &calls;
            Box::new(move |runs| {
                calls.borrow_mut().push((name, runs));
                Ok(())
            })
        };
        let competitors = [competitor('a'), competitor('b')];
        let samples = rounds(&competitors, Effort { rounds: 2, runs: 8 }, |_| ()).expect("nothing fails");
        assert_eq!(samples.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        let turn = |name| [(name, 4), (name, 8)];
        assert_eq!(*calls.borrow(), [turn('a'), turn('b'), turn('b'), turn('a')].concat());
    }
}
