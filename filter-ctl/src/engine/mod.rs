//! What the commands do: transactions over the store, the compiler and the kernel.
//!
//! Everything that can fail happens before anything changes: profiles are resolved and compiled for all ports
//! concerned, written to free places of the kernel's maps and to the ports' files, and only then published, by
//! one store a port. What fails before leaves all as it was.

mod attach;
mod batch;
mod bindings;
mod compiled;
mod detach;
mod diff;
mod doctor;
mod domain;
mod domain_ports;
mod drift;
mod explain;
mod flows;
mod history;
mod hook_script;
mod import;
mod learning;
mod log;
mod migrate;
mod planned;
mod profiles;
mod recover;
mod rollback;
mod sets;
mod standing;
mod upgrade;
mod view;
mod warning;

use std::io;

use self::sets::Unreadable;
use crate::compile::CompileError;
use crate::datapath::{Datapath, DatapathError, LOOPBACK, LoadOptions};
use crate::netdev::{self, Interfaces};
use crate::resolve::ResolveError;
use crate::store::{
    Author, Binding, Fail, Folders, History, KEPT, Lock, PortState, Profiles, Sets, StoreError, load_timeouts,
};

pub use attach::{Attached, Progress};
pub use bindings::{document, of_document};
pub use compiled::{Compiled, CompiledGraph, compiled};
pub use diff::{Diff, PortDiff, ProfileDiff, diff};
pub use doctor::{Diagnosis, Finding, PortStack, Severity, StackProgram, diagnose};
pub use domain::{BindingSource, DomainBinding, bindings_of_domain, check_bindings, missing_interface};
pub use domain_ports::{DomainPorts, verify_domain};
pub use drift::{Drift, DriftKind, Repaired, drift, drift_of_hooks};
pub use explain::{Explained, Explainer, FrameToExplain};
pub use flows::{
    Connections, FlowFilter, FlowSummary, FlowView, FlowsChanged, FlowsImported, OldFlows, StageName,
    export_flows, flow_summary, flows, timeouts,
};
pub use hook_script::{HookChanged, HookScript, install_hook, uninstall_hook};
pub use import::{Candidate, Difference, Fate, Import, Imported};
pub use log::{Log, LogEntry, LogFilter, TextChange, log, log_entry};
pub use migrate::{PortRestored, PortSaved, RestoreOptions};
pub use profiles::{Defined, Outcome, Referred, Removed, Updated, validate};
pub use rollback::RolledBack;
pub use sets::{SetChanged, SetView, set_members, sets};
pub use standing::{Settled, StandingView, standing, unsettled};
pub use upgrade::builds;
pub use view::{AnswerCount, Counted, GuardCount, PortStats, PortView, Status, ports, stats};
pub use warning::Warning;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// What the command names is not there.
    #[error("{0}")]
    NotFound(String),
    /// What the command would make is there already, or in use.
    #[error("{0}")]
    Conflict(String),
    /// The command's words make no sense together, or name what cannot be filtered.
    #[error("{0}")]
    Invalid(String),
    /// A profile does not resolve.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A policy cannot be compiled.
    #[error("{profiles}: {error}")]
    Compile {
        /// Of which profiles.
        profiles: String,
        /// Why.
        error: CompileError,
    },
    /// The same for one of several ports; none was changed.
    #[error("port {port}: {error}; no port was changed")]
    Port {
        /// Which port.
        port: String,
        /// Why.
        error: Box<EngineError>,
    },
    /// What is in force on a port, and stays so, is not known any more.
    #[error("port {port} keeps the policy that is in force: {damage}; {why}: `filter-ctl attach` it anew")]
    Unknown {
        /// Which port.
        port: String,
        /// What is wrong with its file.
        damage: String,
        /// Why it cannot be made anew.
        why: Box<EngineError>,
    },
    /// Files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// Netlink.
    #[error("listing network interfaces: {0}")]
    Netlink(io::Error),
}

impl EngineError {
    /// The error of one of several ports.
    fn of_port(self, port: &str) -> Self {
        Self::Port { port: port.to_owned(), error: Box::new(self) }
    }

    /// The error where there is one port only: which one it is about nobody asks.
    #[must_use]
    pub fn of_the_only_port(self) -> Self {
        match self {
            Self::Port { error, .. } => *error,
            error => error,
        }
    }

    pub(crate) fn not_attached(port: &str) -> Self {
        Self::NotFound(format!("port {port} is not attached; `filter-ctl ports` shows those that are"))
    }
}

/// Does what commands say. Holds the lock as long as it lives.
#[derive(Debug)]
pub struct Engine {
    folders: Folders,
    profiles: Profiles,
    options: LoadOptions,
    namespace: u64,
    old_flows: OldFlows,
    author: Author,
    keep: u64,
    history: Option<History>,
    /// What has to be known besides what a command came to.
    notes: Vec<String>,
    _lock: Lock,
}

impl Engine {
    /// Opens the store, for changing, as soon as nobody else changes it.
    pub fn open(folders: Folders, options: LoadOptions) -> Result<Self, EngineError> {
        let lock = Lock::take(&folders)?;
        Self::open_locked(folders, options, lock)
    }

    /// The same under a lock of the store that is held already.
    pub fn open_locked(folders: Folders, options: LoadOptions, lock: Lock) -> Result<Self, EngineError> {
        let profiles = Profiles::load(&folders.profiles)?.with_sets(&Sets::new(&folders.sets))?;
        let namespace = netdev::namespace().map_err(EngineError::Netlink)?;
        Ok(Self {
            folders,
            profiles,
            options,
            namespace,
            old_flows: OldFlows::default(),
            author: Author::of_process(),
            keep: KEPT,
            history: None,
            notes: Vec::new(),
            _lock: lock,
        })
    }

    /// Says what becomes of connections when policies change.
    pub fn set_old_flows(&mut self, old_flows: OldFlows) {
        self.old_flows = old_flows;
    }

    /// Brings the kernel to where a command before would have brought it that died, or that loaded it anew: sets,
    /// timeouts, and connections on their way to another table. Gives the sets of which the kernel lacks something.
    fn finish_what_was_begun(&mut self, datapath: &mut Datapath) -> Result<Unreadable, EngineError> {
        let unreadable = self.catch_up(datapath)?;
        match load_timeouts(&self.folders) {
            Ok(timeouts) => datapath.set_timeouts(&timeouts),
            // What the kernel has stays.
            Err(error @ StoreError::Damaged { .. }) => self.notes.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        let moving = datapath.moving();
        datapath.finish_moving(&moving)?;
        Ok(unreadable)
    }

    /// All profiles.
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// Forgets ports whose interfaces are gone, in the kernel too: an index, or a name, that is used again gets
    /// nothing of theirs.
    fn clear_gone(&self, datapath: &mut Datapath) -> Result<(), EngineError> {
        let is_there = netdev::indices().map_err(EngineError::Netlink)?;
        let written = PortState::indices(&self.folders)?;
        let mut gone: Vec<u32> =
            datapath.entries().chain(datapath.linked()).chain(written.iter().copied()).collect();
        gone.sort_unstable();
        gone.dedup();
        // An interface that is not here may be in another namespace, with its classifiers.
        gone.retain(|&ifindex| (ifindex == LOOPBACK || !is_there(ifindex)) && datapath.is_gone(ifindex));
        let retired = gone.iter().filter_map(|&ifindex| datapath.withdraw(ifindex)).collect();
        for &ifindex in &gone {
            datapath.forget_links(ifindex);
        }
        datapath.reclaim(retired)?;
        for ifindex in gone.into_iter().filter(|ifindex| written.binary_search(ifindex).is_ok()) {
            PortState::remove(&self.folders, ifindex)?;
        }
        Ok(())
    }

    /// All ports of interfaces that are there, by name. Those that are not known any more stand among the notes.
    fn all_ports(&mut self, mut datapath: Option<&mut Datapath>) -> Result<Vec<PortState>, EngineError> {
        let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
        let (mut ports, _) = PortState::load_all(&self.folders)?;
        ports.iter().try_for_each(|port| self.check_namespace(port))?;
        if let Some(datapath) = &mut datapath {
            self.clear_gone(datapath)?;
        }
        if let Some(datapath) = datapath {
            self.recover(datapath, &interfaces, &mut ports)?;
            ports.sort_by(|a, b| a.name.cmp(&b.name));
        }
        ports.retain_mut(|port| {
            let Some(interface) = interfaces.at(port.ifindex) else { return false };
            port.name.clone_from(&interface.name);
            true
        });
        Ok(ports)
    }

    /// Ports of several namespaces have no place in one folder: the same index is another interface's in each.
    fn check_namespace(&self, port: &PortState) -> Result<(), EngineError> {
        if port.namespace == self.namespace {
            return Ok(());
        }
        Err(EngineError::Invalid(format!(
            "{} holds port {} of another network namespace; give each namespace a root (--root) and a folder for \
             pins (--bpffs) of its own",
            self.folders.run.display(),
            port.name
        )))
    }
}

fn fail_open(binding: &Binding) -> bool {
    binding.fail == Fail::Open
}
