//! Many random trees, several libvirts at a time: each spends most of its time waiting for the kernel.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filter_common::{Direction, Verdict};

use super::aim::aim;
use super::bench::{Fate, Frame};
use super::case::{Case, Outcome};
use super::oracle::{Measured, Oracle};
use super::random::{Profile, tree};
use crate::frames::{VM, tagged};
use crate::generate::{Rng, frame};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of the first tree.
    pub seed: u64,
    /// How many trees.
    pub filters: u64,
    /// How many frames for each.
    pub frames: usize,
    /// How many of these are the same for all trees; the others are aimed at a tree's rules.
    pub shared: usize,
    /// What trees are made of.
    pub profile: Profile,
    /// How many libvirts work at a time.
    pub workers: usize,
}

impl Options {
    /// `FILTER_CTL_SEED`, `FILTER_CTL_CASES`, `FILTER_CTL_LIBVIRT_FRAMES`, `FILTER_CTL_LIBVIRT_PROFILE`
    /// (`stateless`, `stateful` or `any`) and `FILTER_CTL_LIBVIRT_WORKERS`, or what is usual.
    ///
    /// # Panics
    /// If one of them is not what it should be.
    pub fn from_environment() -> Self {
        let number = |name: &str, default: u64| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
            Err(_) => default,
        };
        let frames = number("FILTER_CTL_LIBVIRT_FRAMES", 500) as usize;
        let profile = match std::env::var("FILTER_CTL_LIBVIRT_PROFILE").as_deref() {
            Ok("any") => Profile::Any,
            // Conversations are a test of their own.
            Ok("stateless" | "stateful") | Err(_) => Profile::Stateless,
            Ok(other) => {
                panic!("FILTER_CTL_LIBVIRT_PROFILE is none of `stateless`, `stateful`, `any`: {other}")
            }
        };
        Self {
            seed: number("FILTER_CTL_SEED", 1),
            filters: number("FILTER_CTL_CASES", 100),
            frames,
            shared: frames * 3 / 5,
            profile,
            workers: number("FILTER_CTL_LIBVIRT_WORKERS", 4).max(1) as usize,
        }
    }
}

/// How it went.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Trees that libvirt took.
    pub measured: u64,
    /// What it had against others, and how often.
    pub refusals: BTreeMap<String, u64>,
    /// Frames that were sent under trees that it took.
    pub frames: u64,
    /// Those that passed.
    pub passed: u64,
    /// Those that passed, but not as they were sent.
    pub changed: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// What was found wrong.
    pub wrong: Vec<String>,
}

impl Summary {
    /// Trees that libvirt did not take.
    pub fn refused(&self) -> u64 {
        self.refusals.values().sum()
    }

    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Measured(measured) => {
                self.measured += 1;
                self.frames += measured.all.len() as u64;
                let count =
                    |is: &dyn Fn(Fate) -> bool| measured.all.iter().filter(|fate| is(**fate)).count() as u64;
                self.passed += count(&|fate| fate.verdict() == Verdict::Pass);
                self.changed += count(&|fate| !matches!(fate, Fate::Passed | Fate::Dropped));
            }
            Outcome::Refused(refused) => {
                // The end of what a tool says; what is before it is different each time.
                let last = refused
                    .0
                    .lines()
                    .find(|line| line.contains("error: internal error"))
                    .unwrap_or(&refused.0);
                let start = last.char_indices().rev().nth(90).map_or(0, |(at, _)| at);
                let line = &last[start..];
                *self.refusals.entry(line.to_owned()).or_default() += 1;
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measured, refused) = (self.measured, self.refused());
        let each = self.elapsed.checked_div((measured + refused) as u32).unwrap_or_default();
        let (frames, passed, changed) = (self.frames, self.passed, self.changed);
        writeln!(
            f,
            "{measured} trees measured, {refused} refused, in {:.1?}: {each:.2?} a tree",
            self.elapsed
        )?;
        writeln!(f, "{frames} frames sent, {passed} passed, {changed} of them not as they were sent")?;
        for (words, count) in &self.refusals {
            writeln!(f, "  refused {count} times: {words}")?;
        }
        Ok(())
    }
}

/// So many random frames that pass where nothing filters them.
pub fn frames(oracle: &Oracle, rng: &mut Rng, count: usize) -> io::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let candidates: Vec<Frame> = (0..count.clamp(16, 1000)).map(|_| random(rng)).collect();
        frames.extend(passing(oracle, candidates)?.0);
    }
    frames.truncate(count);
    Ok(frames)
}

/// A random frame, and the side that it is sent from: mostly that of its sender.
fn random(rng: &mut Rng) -> Frame {
    let (mut bytes, tag) = frame(rng);
    if let Some((kind, tci)) = tag
        && bytes.len() >= 14
    {
        bytes = tagged(&bytes, kind, tci);
    }
    let from_vm = bytes.get(6..12) == Some(&VM[..]);
    let out = if rng.chance(85) { from_vm } else { !from_vm };
    Frame { direction: if out { Direction::Out } else { Direction::In }, bytes }
}

/// Those of the frames that arrive, and what became of them.
fn passing(oracle: &Oracle, frames: Vec<Frame>) -> io::Result<(Vec<Frame>, Measured)> {
    let base = oracle.base(&frames)?;
    let mut kept = (Vec::new(), Measured { all: Vec::new(), link: Vec::new() });
    for ((frame, all), link) in frames.into_iter().zip(base.all).zip(base.link) {
        if all != Fate::Dropped {
            kept.0.push(frame);
            kept.1.all.push(all);
            kept.1.link.push(link);
        }
    }
    Ok(kept)
}

/// The case that follows from a seed, with the shared frames before its own.
fn case(oracle: &Oracle, options: &Options, seed: u64, shared: &(Vec<Frame>, Measured)) -> io::Result<Case> {
    let mut rng = Rng::new(seed);
    let tree = tree(&mut rng, options.profile);
    let aimed = aim(&mut rng, &tree, options.frames.saturating_sub(shared.0.len()));
    let (own, own_base) = passing(oracle, aimed)?;
    let (mut frames, mut base) = shared.clone();
    frames.extend(own);
    base.all.extend(own_base.all);
    base.link.extend(own_base.link);
    Ok(Case { name: format!("live-{seed}"), seed, tree, frames, shared: shared.0.len(), base })
}

/// Measures trees of as many seeds as the options say, and has `check` look at each. It is called from several
/// threads, each with an oracle of its own, which it may ask more: to [`shrink`](super::shrink) a tree, for one.
/// What it returns as an error is kept in the summary, and the run goes on.
///
/// # Panics
/// If `check` does, or libvirt leaves something behind.
pub fn run(
    options: &Options,
    check: impl Fn(&Case, &Outcome, &Oracle) -> Result<(), String> + Sync,
) -> io::Result<Summary> {
    let begun = Instant::now();
    let shared = {
        let oracle = Oracle::start()?;
        // Not the seed of the first tree: then the frames of a case that is run alone would be others.
        let frames = frames(&oracle, &mut Rng::new(u64::MAX), options.shared)?;
        passing(&oracle, frames)?
    };
    let summary = Mutex::new(Summary::default());
    let wrong = each_in_parallel(options, |oracle, seed| {
        let worked = |error: io::Error| format!("libvirt does not work: {error}");
        let case = case(oracle, options, seed, &shared).map_err(worked)?;
        let outcome = oracle.outcome(&case.tree, &case.frames).map_err(worked)?;
        let checked = check(&case, &outcome, oracle);
        summary.lock().expect("nobody panics while holding it").add(&outcome);
        checked
    })?;
    let mut summary = summary.into_inner().expect("all workers are done");
    (summary.elapsed, summary.wrong) = (begun.elapsed(), wrong);
    Ok(summary)
}

/// Calls `check` for as many seeds as the options say, from several threads, each with an oracle of its own. What it
/// returns as an error is kept, with how to have it again, and the run goes on.
///
/// # Panics
/// If `check` does.
pub fn each_in_parallel(
    options: &Options,
    check: impl Fn(&Oracle, u64) -> Result<(), String> + Sync,
) -> io::Result<Vec<String>> {
    let next = AtomicU64::new(options.seed);
    let wrong = Mutex::new(Vec::new());
    let work = || -> io::Result<()> {
        let oracle = Oracle::start()?;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - options.seed >= options.filters {
                return Ok(());
            }
            if let Err(what) = check(&oracle, seed) {
                let what = format!("{what}\nagain: FILTER_CTL_SEED={seed} FILTER_CTL_CASES=1");
                println!("{what}");
                wrong.lock().expect("nobody panics while holding it").push(what);
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(wrong.into_inner().expect("all workers are done"))
}
