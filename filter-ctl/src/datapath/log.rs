//! The classifiers' own diagnostics: what they could not judge, and why. Rare by nature, and off unless asked
//! for when they are loaded ([`LoadOptions`](super::LoadOptions)).

use std::os::fd::AsFd as _;
use std::time::Duration;

use aya_log::EbpfLogger;
use filter_common::Direction;
use log::{Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Datapath, DatapathError};

/// Reads diagnostics as they come.
pub struct Diagnostics<F: Fn(String) + Send + Sync> {
    logger: EbpfLogger<Lines<F>>,
}

/// A logger that gives each record to a function as a line.
struct Lines<F>(F);

impl<F: Fn(String) + Send + Sync> Log for Lines<F> {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        (self.0)(format!("{} {}", record.level().as_str().to_lowercase(), record.args()));
    }

    fn flush(&self) {}
}

impl Datapath {
    /// The classifiers' diagnostics; `line` is called with each. There is one reader: two would share them.
    pub fn diagnostics<F: Fn(String) + Send + Sync>(&self, line: F) -> Result<Diagnostics<F>, DatapathError> {
        let call = "the classifiers' log";
        // Both classifiers write to the same buffer.
        let info =
            self.programs[Direction::Out.index()].info().map_err(|error| DatapathError::bpf(call, &error))?;
        let logger = EbpfLogger::init_from_id_with_logger(info.id(), Lines(line))
            .map_err(|error| DatapathError::bpf(call, &error))?;
        Ok(Diagnostics { logger })
    }
}

impl<F: Fn(String) + Send + Sync> Diagnostics<F> {
    /// Gives all that are there, and then those that come within `time`.
    pub fn read(&mut self, time: Duration) {
        self.logger.flush();
        let timeout = Timespec::try_from(time).ok();
        let ready = {
            let mut fds = [PollFd::from_borrowed_fd(self.logger.as_fd(), PollFlags::IN)];
            poll(&mut fds, timeout.as_ref())
        };
        if ready.is_ok_and(|ready| ready != 0) {
            self.logger.flush();
        }
    }
}
