//! What filter-ctl can be asked for: each request is a type, a [`Method`], and what it comes to is its reply.
//!
//! There are two ways to carry a request out, and the same code does it in both. Where the daemon runs it is sent to it
//! ([`wire`]); where none does it is carried out in this process, under the lock ([`Client`]). The daemon holds the lock as long
//! as it runs, so both never work at once.
//!
//! A method takes data and gives data: it reads no file that the caller names, prints nothing, and asks nothing.

mod access;
mod client;
mod document;
mod domain;
mod events;
pub mod failure;
mod flows;
mod health;
mod history;
mod method;
mod migration;
mod parameters;
mod policies;
mod ports;
mod profiles;
mod sets;
mod standing;
mod timeouts;
mod wire;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Mutex as FairMutex, MutexGuard as FairMutexGuard};

use crate::datapath::LoadOptions;
use crate::engine::{Engine, EngineError};
use crate::store::{Author, Folders, Lock, Profiles, Sets};
use crate::xml;
use events::Events;
use failure::Failure;

pub use access::{Access, Rights};
pub use client::{Client, socket_path};
pub use document::Document;
pub use domain::{AttachDomain, CheckDomain, CheckedDomain, ReattachDomain, ReleaseDomain, VerifyDomain};
pub use events::{Event, EventKind};
pub use flows::{CutFlows, ExportFlows, File, FlowsCut, ImportFlows, ListFlows, ListedFlows, SummarizeFlows};
pub use health::{Diagnose, GetBuilds, KnownBuilds, Repair, RepairedPorts, Upgrade, Upgraded};
pub use history::{DiffProfiles, GetLogEntry, ListLog, RestoreProfile, RollBack};
pub use method::{METHODS, Method, Methods};
pub use migration::{RestorePort, SavePort, SavedPort};
pub use policies::{Compile, Explain, Explanations, FrameOf, Subject};
pub use ports::{Attach, AttachedPorts, Detach, DetachedPorts, ListPorts, PortBinding, Ports, Stats};
pub use profiles::{
    CheckedDocument, CopyProfile, CreateProfile, DefineProfile, DumpProfile, DumpedProfile, ImportFilters,
    ListProfiles, ListedProfiles, ProfileView, RemoveProfile, UnreadDocument, UpdateProfile,
    ValidateProfiles, Validated,
};
pub use sets::{
    AddToSet, CreateSet, DestroySet, ListMembers, ListSets, ListedSets, NamedSet, RemoveFromSet, ReplaceSet,
    SetMembers, TestSet, Tested,
};
pub use standing::{Bind, Bound, FailedPort, ListStanding, ListedStanding, Unbind, Unbound};
pub use timeouts::{GetTimeouts, ResetTimeouts, SetTimeouts, TimeoutValues};
pub use wire::{INTERFACE, MONITOR, serve};

/// What all requests work on.
#[derive(Debug)]
pub struct Host {
    folders: Folders,
    /// Held already, by the daemon; else it is taken for each piece of work.
    lock: Option<Lock>,
    /// How many changes the journal keeps.
    keep: AtomicU64,
    /// What is wrong with the configuration, of a daemon.
    misconfigured: Mutex<Option<Misconfigured>>,
    /// One piece of work at a time, in the order in which they came.
    turn: FairMutex<()>,
    /// One at a time of those who look stands in line for that.
    looking: FairMutex<()>,
    /// What happens, for those who listen.
    events: Events,
}

impl Host {
    /// With these folders, under a lock that is held already, or is taken when there is something to change. The journal
    /// keeps so many changes.
    pub fn new(folders: Folders, lock: Option<Lock>, keep: u64) -> Self {
        Self {
            folders,
            lock,
            keep: AtomicU64::new(keep),
            misconfigured: Mutex::default(),
            turn: FairMutex::default(),
            looking: FairMutex::default(),
            events: Events::default(),
        }
    }

    /// From now on the journal keeps so many changes.
    pub fn keep(&self, generations: u64) {
        self.keep.store(generations, Ordering::Relaxed);
    }

    /// Says what is wrong with the configuration, if anything is, for those who ask what is wrong.
    pub fn set_misconfigured(&self, now: Option<Misconfigured>) {
        *self.misconfigured.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// What is wrong with the configuration.
    pub fn misconfigured(&self) -> Option<Misconfigured> {
        self.misconfigured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where everything is.
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Tells those who listen of something that happens.
    pub fn tell(&self, event: Event) {
        self.events.tell(event);
    }

    /// Tells them of a change, if this is another generation than was known before; who made it is said in a few words.
    pub fn changed(&self, generation: u64, by: &str) {
        self.events.changed(generation, by);
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misconfigured {
    /// What is wrong, and where.
    pub error: String,
    /// What holds instead.
    pub instead: &'static str,
}

/// Who asks, and on what condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Whose change it is in the journal; this process's if nobody is named.
    pub author: Option<Author>,
    /// Nothing is changed unless this is the number of the last change.
    pub if_generation: Option<u64>,
}

/// What has to be known besides what a request came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The last change of the configured state, after a request that changes something.
    pub generation: Option<u64>,
    /// What was found damaged: in the journal, and of ports that keep the policy they have.
    pub notes: Vec<String>,
}

/// Told how much of a long piece of work is done, and how much there is.
pub type Progress = dyn Fn(usize, usize) + Send + Sync;

/// One request, on its way.
pub struct Service<'a> {
    host: &'a Host,
    order: Order,
    progress: Box<Progress>,
    outcome: Mutex<Outcome>,
}

/// An engine, and our turn to use it.
#[derive(Debug)]
pub struct Working<'a> {
    engine: Engine,
    outcome: &'a Mutex<Outcome>,
    _turn: FairMutexGuard<'a, ()>,
    /// If it only looks.
    looking: Option<FairMutexGuard<'a, ()>>,
}

impl Deref for Working<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl DerefMut for Working<'_> {
    fn deref_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.generation = self.engine.generation().ok();
        outcome.notes = self.engine.notes();
    }
}

impl fmt::Debug for Service<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("host", &self.host)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

impl<'a> Service<'a> {
    /// For a request of somebody's.
    pub fn new(host: &'a Host, order: Order) -> Self {
        Self { host, order, progress: Box::new(|_, _| {}), outcome: Mutex::default() }
    }

    /// Says who is told how far long pieces of work are.
    #[must_use]
    pub fn with_progress(mut self, progress: Box<Progress>) -> Self {
        self.progress = progress;
        self
    }

    fn progress(&self, done: usize, total: usize) {
        (self.progress)(done, total);
    }

    /// Tells those who listen to the host.
    fn tell(&self, event: Event) {
        self.host.tell(event);
    }

    /// What has to be known besides what the request came to, when it was carried out.
    pub fn outcome(self) -> Outcome {
        self.outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where everything is.
    pub fn folders(&self) -> &Folders {
        &self.host.folders
    }

    /// An engine to change something with, as soon as nobody else changes anything.
    pub fn engine(&self) -> Result<Working<'_>, Failure> {
        self.engine_with(LoadOptions::default())
    }

    /// The same, to look at something that nobody may change meanwhile. However many look, whoever changes something waits
    /// for two of them at most.
    pub fn engine_to_look(&self) -> Result<Working<'_>, Failure> {
        let looking = self.host.looking.blocking_lock();
        let mut working = self.engine()?;
        working.looking = Some(looking);
        Ok(working)
    }

    /// The same as [`Self::engine`], with what loads the classifiers if they are not loaded.
    pub fn engine_with(&self, options: LoadOptions) -> Result<Working<'_>, Failure> {
        let Host { folders, lock, keep, turn, .. } = self.host;
        // A panic of somebody before has left nothing in memory that would be used again.
        let turn = turn.blocking_lock();
        let open = || {
            let lock = match lock {
                Some(lock) => lock.clone(),
                None => Lock::take(folders)?,
            };
            let mut engine = Engine::open_locked(folders.clone(), options, lock)?;
            engine = engine.with_kept_generations(keep.load(Ordering::Relaxed));
            if let Some(author) = &self.order.author {
                engine = engine.with_author(author.clone());
            }
            match self.order.if_generation {
                Some(expected) => engine.if_generation(expected),
                None => Ok(engine),
            }
        };
        let engine = open().map_err(|error| self.failure(&error))?;
        Ok(Working { engine, outcome: &self.outcome, _turn: turn, looking: None })
    }

    /// All profiles, to look at, with these beside them.
    pub fn profiles(&self, more: &[Document]) -> Result<Profiles, Failure> {
        let mut profiles = Profiles::load(&self.folders().profiles)
            .and_then(|profiles| profiles.with_sets(&Sets::new(&self.folders().sets)))
            .map_err(|error| self.failure(&error.into()))?;
        for document in more {
            profiles.add(document.parse(xml::stored_reading(&document.xml))?.profile);
        }
        Ok(profiles)
    }

    /// An error of the engine's, in words and with an exit code.
    pub fn failure(&self, error: &EngineError) -> Failure {
        Failure::engine(error, self.folders(), None)
    }
}
