//! How far a run is: one short line on standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where no terminal can rewrite a line, a new one comes this often.
const REPEAT: Duration = Duration::from_secs(15);

/// The cases of one part, as they are done.
#[derive(Debug)]
pub struct Progress {
    part: &'static str,
    total: usize,
    done: usize,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// For a part with that many cases.
    pub fn new(part: &'static str, total: usize) -> Self {
        Self { part, total, done: 0, shown: None, terminal: std::io::stderr().is_terminal() }
    }

    /// Says which case begins now; those that began before it are done.
    pub fn step(&mut self, case: &str) {
        self.done += 1;
        if !self.terminal && self.shown.is_some_and(|last| last.elapsed() < REPEAT) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = format!("{} {}/{}: {case}", self.part, self.done, self.total.max(self.done));
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            // A line that cannot be shown is no reason to fail.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal && self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
