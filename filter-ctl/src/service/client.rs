//! Where a request is carried out: by the daemon where it runs, else here.
//!
//! The daemon holds the lock of the store as long as it runs, and listens on its socket from soon after it has it. So
//! whoever finds nobody behind the socket and gets the lock knows that there is no daemon, and that none comes before the
//! lock is given back; whoever does not get it looks for the daemon again.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::failure::{Failure, KERNEL, NOT_FOUND};
use super::wire::{self, Unanswered};
use super::{Access, Event, Host, Method, Order, Outcome, Progress, Service};
use crate::store::{Folders, Lock, StoreError};

/// Between two attempts to get the lock, or to find the daemon that has it.
const PAUSE: Duration = Duration::from_millis(2);

/// Carries requests out, or has them carried out.
#[derive(Clone, Debug)]
pub struct Client {
    folders: Folders,
    keep: u64,
    if_generation: Option<u64>,
    /// How long it waits for others.
    wait: Option<Duration>,
    outcome: RefCell<Outcome>,
}

impl Client {
    /// For the state in these folders. Where changes are made here, the journal keeps so many.
    pub fn new(folders: Folders, keep: u64) -> Self {
        Self { folders, keep, if_generation: None, wait: None, outcome: RefCell::default() }
    }

    /// Changes something only if this is the number of the last change.
    #[must_use]
    pub fn if_generation(mut self, expected: Option<u64>) -> Self {
        self.if_generation = expected;
        self
    }

    /// Waits no longer than this for others who change something, and for the daemon's answer.
    #[must_use]
    pub fn within(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// What has to be known besides what the last request came to.
    pub fn outcome(&self) -> Outcome {
        self.outcome.borrow().clone()
    }

    /// Has a request carried out.
    pub fn call<M: Method>(&self, method: M) -> Result<M::Reply, Failure> {
        self.call_with(method, Box::new(|_, _| {}))
    }

    /// The same; `progress` is told how far it is.
    pub fn call_with<M: Method>(&self, method: M, progress: Box<Progress>) -> Result<M::Reply, Failure> {
        let deadline = self.wait.map(|wait| Instant::now() + wait);
        let if_generation = self.if_generation.filter(|_| M::ACCESS == Access::Change);
        let mut again = false;
        loop {
            if let Some(socket) = self.daemon()? {
                let (reply, outcome) = match wire::call(socket, &method, if_generation, self.wait, &progress)
                {
                    Ok(answered) => answered,
                    // Who only looks may look again: at the next daemon, or without one.
                    Err(Unanswered::Gone(_)) if M::ACCESS != Access::Change && !again => {
                        again = true;
                        continue;
                    }
                    Err(Unanswered::Failed(failure) | Unanswered::Gone(failure)) => return Err(failure),
                };
                self.outcome.replace(outcome);
                return Ok(reply);
            }
            let lock = if M::ALONE {
                let taken = Lock::try_take(&self.folders);
                let Some(lock) =
                    taken.map_err(|error| Failure::engine(&error.into(), &self.folders, None))?
                else {
                    if deadline.is_some_and(|deadline| deadline < Instant::now()) {
                        return Err(self.busy());
                    }
                    thread::sleep(PAUSE);
                    continue;
                };
                Some(lock)
            } else {
                None
            };
            let host = Host::new(self.folders.clone(), lock, self.keep);
            let order = Order { author: None, if_generation };
            let service = Service::new(&host, order).with_progress(progress);
            let reply = method.carry_out(&service);
            self.outcome.replace(service.outcome());
            return reply;
        }
    }

    fn busy(&self) -> Failure {
        let (path, seconds) = (self.folders.run.join("lock"), self.wait.unwrap_or_default().as_secs());
        Failure::engine(&StoreError::Busy { path, seconds }.into(), &self.folders, None)
    }

    /// Has the daemon tell what happens, and gives it to `each`, until that has enough.
    pub fn monitor(&self, each: impl FnMut(Event) -> ControlFlow<()>) -> Result<(), Failure> {
        let socket = self.daemon()?.ok_or_else(|| {
            Failure::new(NOT_FOUND, "no daemon runs, and nobody else knows what happens: `filter-ctl daemon`")
        })?;
        match wire::monitor_at(socket, each) {
            Err(Unanswered::Failed(failure) | Unanswered::Gone(failure)) => Err(failure),
            Ok(()) => Ok(()),
        }
    }

    /// Has a request carried out again and again, with that time between, and gives what it comes to to `each`, until
    /// that has enough. Daemons may come and go meanwhile.
    pub fn watch<M: Method + Clone>(
        &self,
        method: &M,
        every: Duration,
        mut each: impl FnMut(M::Reply) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        loop {
            if let Some(socket) = self.daemon()? {
                match wire::again(socket, method, every, &mut each) {
                    Err(Unanswered::Gone(_)) => {}
                    Err(Unanswered::Failed(failure)) => return Err(failure),
                    Ok(()) => return Ok(()),
                }
            } else if each(self.call(method.clone())?).is_break() {
                return Ok(());
            }
            thread::sleep(every);
        }
    }

    /// Whether a daemon runs.
    pub fn has_daemon(&self) -> Result<bool, Failure> {
        Ok(self.daemon()?.is_some())
    }

    fn daemon(&self) -> Result<Option<UnixStream>, Failure> {
        let path = socket_path(&self.folders);
        match UnixStream::connect(&path) {
            Ok(socket) => Ok(Some(socket)),
            Err(error) => match error.kind() {
                // Nobody listens. A user who may not look into the folder could do nothing here either.
                io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::PermissionDenied => Ok(None),
                _ => Err(Failure::new(KERNEL, format!("{}: {error}", path.display()))),
            },
        }
    }
}

/// Where the daemon listens.
pub fn socket_path(folders: &Folders) -> PathBuf {
    folders.run.join("socket")
}
