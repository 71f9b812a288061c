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
pub mod failure;
mod flows;
mod method;
mod policies;
mod ports;
mod profiles;
mod sets;
mod standing;
mod timeouts;
mod wire;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::datapath::LoadOptions;
use crate::engine::{Engine, EngineError};
use crate::store::{Folders, Lock, Profiles, Sets};
use crate::xml;
use failure::Failure;

pub use access::{Access, Rights};
pub use client::{Client, socket_path};
pub use document::Document;
pub use flows::{CutFlows, ExportFlows, File, FlowsCut, ImportFlows, ListFlows, ListedFlows, SummarizeFlows};
pub use method::{METHODS, Method, Methods};
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
pub use wire::{INTERFACE, serve};

/// What methods work on.
pub struct Service {
    folders: Folders,
    /// Held already, by the daemon; else it is taken for each piece of work.
    lock: Option<Lock>,
    /// One piece of work at a time.
    turn: Mutex<()>,
    /// Told how far a long piece of work is.
    progress: Box<Progress>,
}

/// Told how much of a long piece of work is done, and how much there is.
pub type Progress = dyn Fn(usize, usize) + Send + Sync;

/// An engine, and our turn to use it.
#[derive(Debug)]
pub struct Working<'a> {
    engine: Engine,
    _turn: MutexGuard<'a, ()>,
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

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("folders", &self.folders).finish_non_exhaustive()
    }
}

impl Service {
    /// Works in these folders, under a lock that is held already, or is taken when there is something to change.
    pub fn new(folders: Folders, lock: Option<Lock>) -> Self {
        Self { folders, lock, turn: Mutex::new(()), progress: Box::new(|_, _| {}) }
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

    /// Where everything is.
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// An engine to change something with, as soon as nobody else changes anything.
    pub fn engine(&self) -> Result<Working<'_>, Failure> {
        self.engine_with(LoadOptions::default())
    }

    /// The same, with what loads the classifiers if they are not loaded.
    pub fn engine_with(&self, options: LoadOptions) -> Result<Working<'_>, Failure> {
        // A panic of somebody before has left nothing in memory that would be used again.
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = match &self.lock {
            Some(lock) => lock.clone(),
            None => Lock::take(&self.folders).map_err(|error| self.failure(&error.into()))?,
        };
        let engine = Engine::open_locked(self.folders.clone(), options, lock);
        Ok(Working { engine: engine.map_err(|error| self.failure(&error))?, _turn: turn })
    }

    /// All profiles, to look at, with these beside them.
    pub fn profiles(&self, more: &[Document]) -> Result<Profiles, Failure> {
        let mut profiles = Profiles::load(&self.folders.profiles)
            .and_then(|profiles| profiles.with_sets(&Sets::new(&self.folders.sets)))
            .map_err(|error| self.failure(&error.into()))?;
        for document in more {
            profiles.add(document.parse(xml::stored_reading(&document.xml))?.profile);
        }
        Ok(profiles)
    }

    /// An error of the engine's, in words and with an exit code.
    pub fn failure(&self, error: &EngineError) -> Failure {
        Failure::engine(error, &self.folders, None)
    }
}
