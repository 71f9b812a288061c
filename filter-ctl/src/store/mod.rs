//! What filter-ctl keeps in files: profiles, sets, timeouts, and what it knows of each port.
//!
//! Profiles are XML below the configuration folder; those that ship are part of the program. Sets and timeouts are beside them. Ports are below
//! the runtime folder, which does not outlive a reboot, as the ports themselves do not. Every file is written
//! whole. One lock, of the runtime folder, serialises all who change anything.

mod files;
mod history;
mod learned;
mod ports;
mod profiles;
mod sealed;
mod sets;
mod standing;
mod timeouts;

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

pub use crate::model::{Fail, Pickup};
pub use history::{
    Actual, Author, Digest, Entry, History, KEPT, Objects, Past, PortAction, PortChange, ProfileChange,
    SetChange, State, TimeoutsChange, Was, boot, last_generation,
};
pub use learned::{AnnouncedPrefix, LearnedAddress, LearnedFrom, LearnedState};
pub use ports::{Applied, Binding, Owner, PortState, RuleState};
pub use profiles::{Origin, Profiles};
pub use sets::{Change, ChangeAction, Damage, Journal, SetContents, SetHead, Sets};
pub use standing::{Selector, Standing};
pub use timeouts::{load_timeouts, reset_timeouts, save_timeouts};

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// The operator's profiles.
    pub profiles: PathBuf,
    /// The sets that profiles name.
    pub sets: PathBuf,
    /// The file that says how long connections live.
    pub timeouts: PathBuf,
    /// What is known of ports, and the lock.
    pub run: PathBuf,
    /// What outlives a reboot and no operator writes by hand.
    pub state: PathBuf,
    /// Pins of programs, maps and links, in a BPF file system.
    pub bpffs: PathBuf,
}

impl Folders {
    /// The standard places, or, with a root, all but the pins below it.
    pub fn new(root: Option<&Path>, bpffs: Option<&Path>) -> Self {
        let bpffs = bpffs.unwrap_or(Path::new("/sys/fs/bpf/filter-ctl")).to_owned();
        match root {
            Some(root) => Self {
                profiles: root.join("profiles"),
                sets: root.join("sets"),
                timeouts: root.join("timeouts"),
                run: root.join("run"),
                state: root.join("state"),
                bpffs,
            },
            None => Self {
                profiles: "/etc/filter-ctl/profiles".into(),
                sets: "/etc/filter-ctl/sets".into(),
                timeouts: "/etc/filter-ctl/timeouts".into(),
                run: "/run/filter-ctl".into(),
                state: "/var/lib/filter-ctl".into(),
                bpffs,
            },
        }
    }
}

/// Why something could not be kept, or found again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system said so.
    #[error("{}: {error}", path.display())]
    Io {
        /// On what.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
    /// A file is not what we wrote.
    #[error("{}: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// Another command holds the lock.
    #[error("{}: another command has held this for {seconds} s; `fuser` says which", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl StoreError {
    fn io(path: &Path, error: impl Into<io::Error>) -> Self {
        Self::Io { path: path.to_owned(), error: error.into() }
    }
}

/// Held while something is changed; given back when its last copy is dropped, and by the kernel when its holder dies.
#[derive(Clone, Debug)]
pub struct Lock {
    _file: Arc<File>,
}

impl Lock {
    /// Waits until nobody else changes anything.
    pub fn take(folders: &Folders) -> Result<Self, StoreError> {
        let (path, file) = Self::file(folders)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| StoreError::io(&path, error))?;
        Ok(Self { _file: Arc::new(file) })
    }

    /// The same without waiting; `None` where somebody else holds it.
    pub fn try_take(folders: &Folders) -> Result<Option<Self>, StoreError> {
        let (path, file) = Self::file(folders)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: Arc::new(file) })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(StoreError::io(&path, error)),
        }
    }

    /// Nobody else may open it: whoever can may hold it for ever.
    fn file(folders: &Folders) -> Result<(PathBuf, File), StoreError> {
        files::create_folder(&folders.run)?;
        let path = folders.run.join("lock");
        let fail = |error| StoreError::io(&path, error);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        Ok((path, file))
    }
}
