//! Where a request is carried out: by the daemon where it runs, else here.
//!
//! The daemon holds the lock of the store as long as it runs, and listens on its socket from before it does. So
//! whoever finds nobody behind the socket and gets the lock knows that there is no daemon, and that none comes before the
//! lock is given back.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::failure::{Failure, KERNEL};
use super::{Method, Progress, Service, wire};
use crate::store::{Folders, Lock};

/// Between two attempts to get the lock, or to find the daemon that has it.
const PAUSE: Duration = Duration::from_millis(2);

/// Carries requests out, or has them carried out.
#[derive(Clone, Debug)]
pub struct Client {
    folders: Folders,
}

impl Client {
    /// For the state in these folders.
    pub fn new(folders: Folders) -> Self {
        Self { folders }
    }

    /// Has a request carried out.
    pub fn call<M: Method>(&self, method: M) -> Result<M::Reply, Failure> {
        self.call_with(method, Box::new(|_, _| {}))
    }

    /// The same; where it is done here, `progress` is told how far it is.
    pub fn call_with<M: Method>(&self, method: M, progress: Box<Progress>) -> Result<M::Reply, Failure> {
        loop {
            if let Some(socket) = self.daemon()? {
                return wire::call(socket, &method);
            }
            let lock = if M::ALONE {
                let taken = Lock::try_take(&self.folders);
                let taken = taken.map_err(|error| Failure::engine(&error.into(), &self.folders, None))?;
                let Some(lock) = taken else {
                    thread::sleep(PAUSE);
                    continue;
                };
                Some(lock)
            } else {
                None
            };
            return method.carry_out(&Service::new(self.folders.clone(), lock).with_progress(progress));
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
