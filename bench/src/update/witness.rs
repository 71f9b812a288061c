//! A witness on another processor: it sends the same frame again and again, and notes when its verdict changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use filter_common::{Direction, Verdict};
use filter_ctl::datapath::Datapath;
use filter_tests::ports::PinFolder;
use filter_tests::stall::{processors, stay_on};

/// Longer than any change takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A witness, and who makes the changes, each on a processor of its own where there are two: else one would wait
/// for the other's turn.
pub(super) struct Witness {
    processor: Option<usize>,
}

impl Witness {
    /// Leaves the last processor to the witness; this thread stays on the first.
    pub(super) fn new() -> Self {
        let all = processors();
        if let Some(&first) = all.first() {
            stay_on(first);
        }
        Self { processor: all.last().copied() }
    }

    /// Does `work`, while the witness looks at the port. The work's outcome and when the new verdict was first seen.
    pub(super) fn watch<R>(
        &self,
        pins: &PinFolder,
        port: u32,
        frame: &[u8],
        new: Verdict,
        work: impl FnOnce() -> Result<R>,
    ) -> Result<(R, Instant)> {
        let looking = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looking = &looking;
            let witness = scope.spawn(move || {
                if let Some(processor) = self.processor {
                    stay_on(processor);
                }
                look(pins, port, frame, new, looking)
            });
            while !looking.load(Ordering::SeqCst) && !witness.is_finished() {
                std::thread::yield_now();
            }
            let done = work()?;
            let seen = witness.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok((done, seen))
        })
    }
}

/// Looks at the port until the verdict is new; `looking` once the old one was seen.
fn look(pins: &PinFolder, port: u32, frame: &[u8], new: Verdict, looking: &AtomicBool) -> Result<Instant> {
    let datapath = Datapath::look_at(pins.path())?.context("nothing is pinned")?;
    let verdict = || {
        let outcome = datapath.run(Direction::Out, port, frame)?;
        anyhow::Ok(outcome.context("the kernel takes the frame")?.verdict)
    };
    let old = verdict()?;
    looking.store(true, Ordering::SeqCst);
    if old == new {
        bail!("the verdict was new before the change");
    }
    let begun = Instant::now();
    while verdict()? != new {
        if begun.elapsed() > PATIENCE {
            bail!("the new verdict never came");
        }
    }
    Ok(Instant::now())
}
