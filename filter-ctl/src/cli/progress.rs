//! How far a command is that takes its time: one line on the terminal that errors go to.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::service;

/// Whoever waits no longer than this needs no word.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two words.
const PAUSE: Duration = Duration::from_millis(100);

/// A line that says how far it is; gone when the value is.
pub struct Progress {
    done: &'static str,
    next: Instant,
    shown: bool,
}

impl Progress {
    /// `done` is what is counted, and what has happened to it.
    fn new(done: &'static str) -> Self {
        Self { done, next: Instant::now() + PATIENCE, shown: false }
    }

    /// The same, as requests take it.
    pub fn of(done: &'static str) -> Box<service::Progress> {
        let progress = Mutex::new(Self::new(done));
        Box::new(move |count, total| {
            if let Ok(mut progress) = progress.lock() {
                progress.show(count, total);
            }
        })
    }

    /// Says how far it is, if it is time for that and anybody is there to read it.
    fn show(&mut self, count: usize, total: usize) {
        let now = Instant::now();
        if now < self.next || !io::stderr().is_terminal() {
            return;
        }
        self.next = now + PAUSE;
        self.shown = true;
        // To the beginning of the line, and clear what is behind.
        eprint!("\r{count} of {total} {}\x1b[K", self.done);
        let _ = io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}
