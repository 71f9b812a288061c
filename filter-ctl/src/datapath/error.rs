//! What can go wrong between us and the kernel, in words an operator can act on.

use std::io;
use std::path::{Path, PathBuf};

use aya::programs::ProgramError;
use aya::programs::tc::TcError;
use filter_common::Direction;

use super::identity::Build;

const EPERM: i32 = 1;

/// Why something could not be done in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// We may not.
    #[error("{call}: permission denied; filter-ctl needs root, or CAP_SYS_ADMIN")]
    Permission {
        /// What was tried.
        call: String,
    },
    /// The pins' folder is not in a BPF file system.
    #[error("{0} is not in a BPF file system; mount one: mount -t bpf bpf /sys/fs/bpf")]
    NotBpffs(PathBuf),
    /// The pins are those of another network namespace.
    #[error(
        "{0} holds the classifiers of another network namespace; give each namespace a folder for pins (--bpffs) and a \
         root (--root) of its own"
    )]
    Foreign(PathBuf),
    /// The pins are those of a version of filter-ctl that lays them out otherwise.
    #[error(
        "{} holds a data path of layout version {}, written by filter-ctl {}, with {} ports attached; this filter-ctl \
         ({}) knows version {} and leaves it alone. Detach its ports with the filter-ctl that attached them, then \
         remove {}/v{}", folder.display(), other.version, other.written_by(), other.ports, env!("CARGO_PKG_VERSION"),
        filter_common::ABI_VERSION, folder.display(), other.version
    )]
    OtherLayout {
        /// The pins' folder.
        folder: PathBuf,
        /// What is there.
        other: OtherLayout,
    },
    /// The kernel lacks something.
    #[error("this kernel ({release}) is too old: filter-ctl needs Linux 6.6 or newer, for tcx links")]
    Kernel {
        /// `uname -r`.
        release: String,
    },
    /// A file operation failed.
    #[error("{path}: {error}")]
    Io {
        /// On what.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
    /// The classifiers could not be loaded, or a map not be made or found.
    #[error("{call}: {error}")]
    Bpf {
        /// What was tried.
        call: String,
        /// What the kernel, or aya, said.
        error: String,
    },
    /// No room for what a port needs.
    #[error("no room for {wanted} more {what}: {free} of {total} are free{advice}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many are needed.
        wanted: usize,
        /// How many there are.
        free: usize,
        /// How many there could be.
        total: usize,
        /// What to do.
        advice: &'static str,
    },
    /// An interface index beyond the table.
    #[error(
        "interface index {0} is beyond the table of 1048576; reboot the host, or move the port to a new network namespace"
    )]
    Ifindex(u32),
    /// The interface is gone, or has another name now.
    #[error("{0}: there is no such interface any more")]
    Gone(String),
    /// Attached, but the kernel does not list our program.
    #[error(
        "{port}: the {direction} classifier was attached but the kernel does not run it; see `bpftool net`"
    )]
    NotAttached {
        /// The interface.
        port: String,
        /// Which of the two.
        direction: Direction,
    },
}

/// Pins of another layout version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherLayout {
    /// The layout's version.
    pub version: u32,
    /// The build of its programs, if it says so.
    pub build: Option<Build>,
    /// How many interfaces have links there.
    pub ports: usize,
}

impl OtherLayout {
    /// Which filter-ctl wrote it.
    pub fn written_by(&self) -> String {
        self.build.as_ref().map_or_else(|| "of a version that is not known".to_owned(), ToString::to_string)
    }
}

impl DatapathError {
    pub(super) fn io(path: &Path, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Self::Permission { call: path.display().to_string() };
        }
        Self::Io { path: path.to_owned(), error }
    }

    /// Wraps an error of aya's, with the whole chain of causes.
    pub(super) fn bpf(call: impl Into<String>, error: &(dyn std::error::Error + 'static)) -> Self {
        let call = call.into();
        // EACCES is the verifier's word, not that of access control.
        if errno(error) == Some(EPERM) {
            return Self::Permission { call };
        }
        let mut text = error.to_string();
        for cause in causes(error).skip(1) {
            let more = cause.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
        }
        Self::Bpf { call, error: text }
    }
}

/// The number of the error of the system that is behind an error of aya's.
pub(super) fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    causes(error).find_map(|cause| match cause.downcast_ref() {
        // It hides what is behind it.
        Some(ProgramError::TcError(TcError::IoError(error))) => error.raw_os_error(),
        _ => cause.downcast_ref::<io::Error>()?.raw_os_error(),
    })
}

/// An error, and what is behind it.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}
