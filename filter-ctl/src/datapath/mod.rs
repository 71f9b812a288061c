//! The kernel's half: loads the classifiers, pins them, fills their maps, attaches them to ports.
//!
//! The only place that touches aya and BPF. Whoever uses it holds the state's lock: two writers at once would
//! give away the same places.

mod audit;
mod error;
mod flow_table;
mod flows;
mod free;
mod haste;
mod held;
mod hooks;
mod identity;
mod link;
mod log;
mod mapped;
mod occupancy;
mod parameters;
mod pins;
mod preview;
mod publish;
mod putter;
mod run;
mod seed;
mod sets;
mod tables;
mod upgrade;

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use aya::maps::MapData;
use aya::programs::{ProgramError, SchedClassifier};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader};
use filter_common::answer::AnswerCounters;
use filter_common::{Counter, Direction, DropReason, Learned, PortRecord, maps, slot};
use rustix::thread::{CapabilitySet, capabilities};
use serde::{Deserialize, Serialize};

pub use audit::{Auditor, Difference, Pressure};
pub use error::DatapathError;
pub use flow_table::{FlowUse, Recheck};
pub use flows::{FlowSpec, hz, in_time, to_ticks};
pub use held::is_held;
pub use hooks::{HookProgram, Hooks, LinkState};
pub use identity::Build;
pub use log::Diagnostics;
pub use pins::in_bpffs;
pub use publish::{LimitSpec, PortSpec, Prepared, Retired};
pub use putter::Put;
pub use run::LOOPBACK;
pub use sets::{Added, Contents, Stored};
pub use upgrade::{Builds, Replaced, UpgradeOptions};

use haste::Haste;
use held::Held;
use identity::Identity;
use mapped::Kept;
use occupancy::Occupancy;
use pins::Pins;
use tables::Tables;

/// The classifiers, as the build made them: what is loaded.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/filter-ebpf.o"));

/// The name of the global that says which of the classifiers' diagnostics are logged.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

/// Memory of pinned maps that this process keeps, if it does.
static KEPT: OnceLock<Kept> = OnceLock::new();

/// As long as this process lives it keeps the memory of pinned maps from one [`Datapath`] to the next, and holds the links
/// of ports, whatever becomes of their pins. For one that stays, and is the only one that changes anything.
pub fn stay() {
    KEPT.get_or_init(Kept::default);
    held::begin();
}

/// All programs.
const PROGRAMS: [&str; 3] = [maps::PROGRAM_OUT, maps::PROGRAM_IN, maps::PROGRAM_FLOWS];

/// The loaded classifiers and their maps.
pub struct Datapath {
    tables: Tables,
    programs: [SchedClassifier; Direction::COUNT],
    /// What puts flows into tables.
    putter: SchedClassifier,
    occupancy: Occupancy,
    pins: Option<Pins>,
    /// Asked for when something is to be waited for; ends before the lock.
    haste: OnceCell<Option<Haste>>,
    /// Keeps other writers out.
    _lock: Option<File>,
    /// Keeps what is not pinned alive.
    _object: Option<Ebpf>,
}

/// How to load the classifiers. What is loaded already stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Which diagnostics they log.
    pub log: LogLevel,
}

/// Bytes of a classifier's code in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramSize {
    /// As BPF instructions, after the verifier's changes.
    pub translated: u32,
    /// As instructions of the machine; 0 where the kernel interprets.
    pub jitted: u32,
}

/// Which diagnostics the classifiers log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum LogLevel {
    /// None.
    #[default]
    Off = 0,
    /// Errors.
    Error = 1,
    /// Packets that could not be judged, too.
    Warn = 2,
    /// More.
    Info = 3,
    /// All there is.
    Debug = 4,
}

impl LogLevel {
    fn of_number(number: u8) -> Option<Self> {
        [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug]
            .into_iter()
            .find(|it| *it as u8 == number)
    }
}

impl Datapath {
    /// Opens what is pinned below `folder`, or loads and pins it there.
    pub fn open(folder: &Path, options: LoadOptions) -> Result<Self, DatapathError> {
        check_rights()?;
        let pins = Pins::new(folder);
        pins.prepare()?;
        let lock = pins.lock()?;
        if !restored(&pins)? {
            pins.refuse_others()?;
            let identity = Identity { build: Build::own(), secret: secret()?, log: options.log };
            let mut object = load(&identity, None)?;
            flows::initialise(&mut object)?;
            pins.install(|unfinished| pin(&mut object, unfinished, &identity))?;
        }
        upgrade::finish(&pins)?;
        Self::adopt(pins, Some(lock))
    }

    /// Opens what is pinned below `folder`, to change it; `None` where nothing is.
    pub fn open_pinned(folder: &Path) -> Result<Option<Self>, DatapathError> {
        let pins = Pins::new(folder);
        if !pins.exist()? {
            if held::held().is_none_or(Held::is_empty) {
                return Ok(None);
            }
            pins.prepare()?;
        }
        check_rights()?;
        let lock = pins.lock()?;
        if !restored(&pins)? {
            return Ok(None);
        }
        upgrade::finish(&pins)?;
        Self::adopt(pins, Some(lock)).map(Some)
    }

    /// Opens what is pinned below `folder`, to look at it while others may change it; `None` where nothing is.
    pub fn look_at(folder: &Path) -> Result<Option<Self>, DatapathError> {
        let pins = Pins::new(folder);
        if pins.exist()? { Self::adopt(pins, None).map(Some) } else { Ok(None) }
    }

    /// Loads classifiers of our own, which are gone when this value is: to try policies out.
    pub fn private(options: LoadOptions) -> Result<Self, DatapathError> {
        let identity = Identity { build: Build::own(), secret: secret()?, log: options.log };
        let mut object = load(&identity, None)?;
        flows::initialise(&mut object)?;
        let tables = Tables::open(None, |name| {
            let map = object.take_map(name).ok_or_else(|| missing(name))?;
            map_data(map).ok_or_else(|| missing(name))
        })?;
        let mut program = |name: &'static str| {
            let program = program(&mut object, name)?;
            // A second handle, so that the object can keep the first.
            let info = program.info().map_err(|error| DatapathError::bpf("program", &error))?;
            SchedClassifier::from_program_info(info, name.into())
                .map_err(|error| DatapathError::bpf("program", &error))
        };
        let programs = [program(maps::PROGRAM_OUT)?, program(maps::PROGRAM_IN)?];
        let putter = program(maps::PROGRAM_FLOWS)?;
        let occupancy = Occupancy::scan(&tables);
        Ok(Self {
            tables,
            programs,
            putter,
            occupancy,
            pins: None,
            haste: OnceCell::new(),
            _lock: None,
            _object: Some(object),
        })
    }

    fn adopt(pins: Pins, lock: Option<File>) -> Result<Self, DatapathError> {
        if lock.is_some() {
            haste::end_forgotten(&pins);
            if let Some(held) = held::held() {
                held.find(&pins)?;
            }
        }
        let tables = Tables::open(KEPT.get(), |name| {
            let path = pins.map(name);
            MapData::from_pin(&path).map_err(|error| DatapathError::bpf(path.display().to_string(), &error))
        })?;
        let program = |name: &str| {
            let path = pins.program(name);
            SchedClassifier::from_pin(&path)
                .map_err(|error| DatapathError::bpf(path.display().to_string(), &error))
        };
        let programs = [program(maps::PROGRAM_OUT)?, program(maps::PROGRAM_IN)?];
        let putter = program(maps::PROGRAM_FLOWS)?;
        let occupancy = Occupancy::scan(&tables);
        Ok(Self {
            tables,
            programs,
            putter,
            occupancy,
            pins: Some(pins),
            haste: OnceCell::new(),
            _lock: lock,
            _object: None,
        })
    }

    /// Interfaces that have an entry, whatever it leads to.
    pub fn entries(&self) -> impl Iterator<Item = u32> {
        self.tables.published().map(|(ifindex, _)| ifindex)
    }

    /// Interfaces that have a policy, with its record.
    pub fn published(&self) -> Vec<(u32, PortRecord)> {
        self.records().collect()
    }

    fn records(&self) -> impl Iterator<Item = (u32, PortRecord)> {
        self.tables
            .published()
            .filter_map(|(ifindex, entry)| Some((ifindex, self.record(entry & slot::INDEX)?)))
    }

    /// Whether an interface has a policy.
    pub fn has(&self, ifindex: u32) -> bool {
        self.published_on(ifindex).is_some()
    }

    /// The record that is in force on an interface.
    pub fn published_on(&self, ifindex: u32) -> Option<PortRecord> {
        let entry = self.tables.ifindex.read(ifindex as usize)?;
        self.record(entry & slot::INDEX)
    }

    /// What was learned of the port with this number.
    pub fn learned(&self, port: u32) -> Learned {
        self.tables.learned.read(port as usize).unwrap_or_default()
    }

    /// Sets what is known of the port with this number, as if it had been learned.
    pub fn set_learned(&mut self, port: u32, learned: Learned) {
        let written = self.tables.learned.write(port as usize, learned);
        debug_assert!(written, "the number came from a record");
    }

    /// A counter's sum.
    pub fn counter(&self, index: u32) -> Result<Counter, DatapathError> {
        self.tables.counter(index)
    }

    /// The counters of a record's rules, in the rules' order.
    pub fn counters_of(&self, record: &PortRecord) -> Vec<u32> {
        self.tables.counters_of(record).collect()
    }

    /// The buckets of a record's limits, in the limits' order.
    pub fn buckets_of(&self, record: &PortRecord) -> Vec<u32> {
        self.tables.buckets_of(record).collect()
    }

    /// Packets that the guard dropped at the port with this number.
    pub fn guard_counters(&self, port: u32, direction: Direction) -> Vec<(DropReason, u64)> {
        self.tables.guard_counters(port, direction)
    }

    /// Answers to rejected packets of the port with this number.
    pub fn answers(&self, port: u32) -> AnswerCounters {
        self.tables.answers.read(port as usize).unwrap_or_default()
    }

    /// How many instructions the verifier processed for a direction's classifier, where the kernel says.
    pub fn verified_instructions(&self, direction: Direction) -> Option<u32> {
        self.programs[direction.index()].info().ok()?.verified_instruction_count()
    }

    /// Asks the kernel, where it can be asked, to wait for packets as fast as it can as long as this value lives. Called
    /// before each wait.
    fn hurry(&self) {
        self.haste.get_or_init(|| self.pins.as_ref().and_then(Haste::begin));
    }

    /// Waits until no packet is judged by what was in force before.
    fn wait_for_packets(&mut self) -> Result<(), DatapathError> {
        self.hurry();
        self.tables.wait_for_packets()
    }

    /// How large a direction's classifier is, where the kernel says.
    pub fn program_size(&self, direction: Direction) -> Option<ProgramSize> {
        let info = self.programs[direction.index()].info().ok()?;
        Some(ProgramSize { translated: info.size_translated()?, jitted: info.size_jitted() })
    }

    fn record(&self, index: u32) -> Option<PortRecord> {
        let record = if index == 0 { None } else { self.tables.ports.read(index as usize) };
        record.filter(audit::is_sound)
    }
}

/// Whether anything is pinned, be it again: what is held of what was pinned before is.
fn restored(pins: &Pins) -> Result<bool, DatapathError> {
    if pins.exist()? {
        return Ok(true);
    }
    held::held().map_or(Ok(false), |held| held.restore(pins))
}

/// Loads the programs, with new maps or against those that are pinned.
fn load(identity: &Identity, pinned: Option<&Pins>) -> Result<Ebpf, DatapathError> {
    if let Ok(version) = KernelVersion::current()
        && version < KernelVersion::new(6, 6, 0)
    {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        return Err(DatapathError::Kernel { release });
    }
    let log = identity.log as u8;
    let mut loader = EbpfLoader::new();
    if let Some(pins) = pinned {
        for name in maps::ALL {
            loader.map_pin_path(name, pins.map(name));
        }
    }
    let mut object = loader
        .override_global(LOG_LEVEL, &log, true)
        .override_global(maps::ANSWER_SECRET, &identity.secret, true)
        .load(OBJECT)
        .map_err(|error| DatapathError::bpf("loading the classifiers", &error))?;
    for name in PROGRAMS {
        load_program(program(&mut object, name)?)
            .map_err(|error| DatapathError::bpf(format!("loading {name}"), &error))?;
    }
    Ok(object)
}

/// An error for those who could load programs, or not even that, and do no more: the kernel opens maps and programs by their
/// numbers for nobody else.
fn check_rights() -> Result<(), DatapathError> {
    if may_change() {
        return Ok(());
    }
    Err(DatapathError::Permission { call: "changing the data path".to_owned() })
}

/// Whether this process has the one capability that is needed, `CAP_SYS_ADMIN`. `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON` are
/// part of it, where it is about BPF, and do not do in its place.
pub fn may_change() -> bool {
    capabilities(None).is_ok_and(|ours| ours.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// What nobody else can know: see [`maps::ANSWER_SECRET`]. It lives in the programs, as long as they do.
fn secret() -> Result<u32, DatapathError> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| DatapathError::Bpf { call: "getrandom".into(), error: error.to_string() })?;
    Ok(u32::from_ne_bytes(bytes) | maps::ANSWER_SECRET_BIT)
}

/// Loads a program. The verifier gives up with `EAGAIN` when a signal, or other work for the thread, comes in
/// while it is at it; so does whoever loads programs, but not at once.
fn load_program(program: &mut SchedClassifier) -> Result<(), ProgramError> {
    const ATTEMPTS: usize = 10;
    let interrupted = |result: &Result<(), ProgramError>| {
        matches!(result, Err(ProgramError::LoadError { io_error, .. })
            if io_error.kind() == io::ErrorKind::WouldBlock)
    };
    let mut result = program.load();
    for _ in 1..ATTEMPTS {
        if !interrupted(&result) {
            break;
        }
        result = program.load();
    }
    result
}

fn pin(object: &mut Ebpf, pins: &Pins, identity: &Identity) -> Result<(), DatapathError> {
    for name in maps::ALL {
        let path = pins.map(name);
        let map = object.map_mut(name).ok_or_else(|| missing(name))?;
        map.pin(&path).map_err(|error| DatapathError::bpf(path.display().to_string(), &error))?;
    }
    pin_programs(object, &pins.programs())?;
    identity.write(&pins.programs())
}

fn pin_programs(object: &mut Ebpf, folder: &Path) -> Result<(), DatapathError> {
    for name in PROGRAMS {
        let path = folder.join(name);
        program(object, name)?
            .pin(&path)
            .map_err(|error| DatapathError::bpf(path.display().to_string(), &error))?;
    }
    Ok(())
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, DatapathError> {
    object
        .program_mut(name)
        .ok_or_else(|| missing(name))?
        .try_into()
        .map_err(|error: ProgramError| DatapathError::bpf(name, &error))
}

fn missing(name: &str) -> DatapathError {
    DatapathError::Bpf { call: name.to_owned(), error: "is not in the classifiers' object".to_owned() }
}

fn map_data(map: aya::maps::Map) -> Option<MapData> {
    use aya::maps::Map;
    match map {
        Map::Array(data) | Map::PerCpuArray(data) | Map::ArrayOfMaps(data) => Some(data),
        _ => None,
    }
}
