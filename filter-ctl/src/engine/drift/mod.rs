//! Drift: where what the kernel has is not what was put there.
//!
//! Nobody but filter-ctl should touch its links and maps. Somebody may all the same: another tool detaches a program, puts
//! its own in front, removes pins, writes to a map. For each port this holds against its file and its profiles
//!
//! - the hooks: both links are pinned and on their hooks, with the pinned programs, and nobody runs before them;
//! - the entry, the record, its tables and the graph's nodes, word by word.
//!
//! Looking takes no lock and changes nothing. It may fall into a change, so what is found counts only if it is found again
//! a moment later.
//!
//! A port whose interface is gone is no drift, nor is one whose profiles say something else by now than when they were put
//! in force: that is told, and left alone.

mod repair;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use filter_common::Direction;
use serde::{Deserialize, Serialize};

use super::EngineError;
use super::batch;
use super::planned::{Planned, Planner};
use crate::datapath::{
    Auditor, Datapath, DatapathError, Difference, HookProgram, Hooks, LOOPBACK, LinkState, PortSpec,
};
use crate::netdev::{self, Interfaces};
use crate::store::{Applied, Folders, PortState, Profiles, Sets, Standing};

pub use repair::Repaired;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriftKind {
    /// The pin of a link is not there.
    LinkMissing,
    /// The link is pinned, and its program is not on the hook.
    LinkDetached,
    /// The link has another program than the pinned one.
    OtherProgram,
    /// Other programs run before ours.
    NotFirst,
    /// The interface's entry leads to no record.
    NoEntry,
    /// It leads to a record that cannot be one, or is another interface's.
    NoRecord,
    /// The entry's fail mode is not the declared one.
    FailMode,
    /// Fields of the record are others.
    Record,
    /// The nodes of the graph are others.
    Graph,
    /// Rules are counted elsewhere.
    Counters,
    /// Limits are others.
    Limits,
    /// The table of connections is not there, or is of another size.
    Flows,
    /// The profiles say something else by now than what is in force.
    OtherRules,
    /// The profiles cannot be resolved or compiled any more.
    Profiles,
    /// The port's file is damaged.
    File,
    /// The interface has a policy or links of ours, and no file says why.
    Stray,
    /// A standing binding's file is damaged.
    Binding,
    /// A map is not as the programs have it.
    Map,
}

impl DriftKind {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkMissing => "link-missing",
            Self::LinkDetached => "link-detached",
            Self::OtherProgram => "other-program",
            Self::NotFirst => "not-first",
            Self::NoEntry => "no-entry",
            Self::NoRecord => "no-record",
            Self::FailMode => "fail-mode",
            Self::Record => "record",
            Self::Graph => "graph",
            Self::Counters => "counters",
            Self::Limits => "limits",
            Self::Flows => "flows",
            Self::OtherRules => "other-rules",
            Self::Profiles => "profiles",
            Self::File => "file",
            Self::Stray => "stray",
            Self::Binding => "binding",
            Self::Map => "map",
        }
    }

    /// Whether it is mended by attaching links again.
    const fn is_of_links(self) -> bool {
        matches!(self, Self::LinkMissing | Self::LinkDetached | Self::OtherProgram | Self::NotFirst)
    }

    /// Whether it is mended by a file that is made anew.
    const fn is_of_files(self) -> bool {
        matches!(self, Self::File | Self::Stray)
    }

    /// Whether [`Engine::repair`] mends it.
    pub const fn is_repairable(self) -> bool {
        !matches!(self, Self::OtherRules | Self::Profiles | Self::Binding | Self::Map)
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The port; empty where it is no port's.
    pub port: String,
    /// Its index; 0 where it is no port's.
    pub ifindex: u32,
    /// What is wrong.
    pub kind: DriftKind,
    /// Where, if it is about one direction: `out` or `in`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// More of it, in words.
    pub detail: String,
}

/// How long a change may take in which a look may fall.
const A_MOMENT: Duration = Duration::from_millis(50);
/// How often it is looked again before something counts.
const LOOKS: usize = 3;

/// What is wrong with the ports of this namespace; takes no lock, changes nothing.
pub fn drift(folders: &Folders) -> Result<Vec<Drift>, EngineError> {
    lasting(|| look(folders))
}

/// The same of hooks alone: whether our programs are on them, and first. That is what others change, and it is quickly
/// looked at.
pub fn drift_of_hooks(folders: &Folders) -> Result<Vec<Drift>, EngineError> {
    lasting(|| look_at_hooks(folders))
}

/// What is wrong again when it is looked at again.
fn lasting(look: impl Fn() -> Result<Vec<Drift>, EngineError>) -> Result<Vec<Drift>, EngineError> {
    let mut found = look()?;
    for _ in 1..LOOKS {
        if found.is_empty() {
            break;
        }
        thread::sleep(A_MOMENT);
        let again = look()?;
        found.retain(|drift| again.contains(drift));
    }
    Ok(found)
}

fn look_at_hooks(folders: &Folders) -> Result<Vec<Drift>, EngineError> {
    let mut found = Vec::new();
    let on_hooks = match Hooks::look_at(&folders.bpffs) {
        Ok(Some(hooks)) => hooks,
        Ok(None) => {
            let (states, _) = PortState::load_all(folders)?;
            let namespace = netdev::namespace().map_err(EngineError::Netlink)?;
            let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
            return Ok(lost(&states, &interfaces, namespace).collect());
        }
        Err(DatapathError::Foreign(_)) => return Ok(found),
        Err(error) => return Err(error.into()),
    };
    let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
    for ifindex in PortState::indices(folders)? {
        let Some(interface) = interfaces.at(ifindex) else { continue };
        hooks(&on_hooks, &interface.name, ifindex, &mut found)?;
    }
    Ok(found)
}

/// Ports whose files say that they are filtered, where nothing is loaded: pins went, and nobody held what was pinned.
fn lost(states: &[PortState], interfaces: &Interfaces, namespace: u64) -> impl Iterator<Item = Drift> {
    states.iter().filter(move |state| state.namespace == namespace).filter_map(|state| {
        Some(Drift {
            port: interfaces.at(state.ifindex)?.name.clone(),
            ifindex: state.ifindex,
            kind: DriftKind::LinkMissing,
            direction: None,
            detail: "no classifier is loaded".to_owned(),
        })
    })
}

/// What is wrong on the hooks of a port.
fn hooks(hooks: &Hooks, name: &str, ifindex: u32, found: &mut Vec<Drift>) -> Result<(), EngineError> {
    for direction in Direction::ALL {
        let hook = match hooks.programs(name, direction) {
            // It went away meanwhile, which is no drift, and nothing that keeps others from being looked at.
            Err(DatapathError::Gone(_)) => return Ok(()),
            hook => hook?,
        };
        let link = hooks.link(ifindex, direction);
        if let Some((kind, detail)) = hook_drift(&hook, link) {
            let direction = Some(direction.name().to_owned());
            found.push(Drift { port: name.to_owned(), ifindex, kind, direction, detail });
        }
    }
    Ok(())
}

fn look(folders: &Folders) -> Result<Vec<Drift>, EngineError> {
    let namespace = netdev::namespace().map_err(EngineError::Netlink)?;
    let (datapath, foreign) = match Datapath::look_at(&folders.bpffs) {
        Err(DatapathError::Foreign(_)) => (None, true),
        looked => (looked?, false),
    };
    let profiles = Profiles::load(&folders.profiles)?.with_sets(&Sets::new(&folders.sets))?;
    let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
    let (states, damaged) = PortState::load_all(folders)?;
    let mut found = Vec::new();
    let drift = |port: &str, ifindex, kind, detail: String| Drift {
        port: port.to_owned(),
        ifindex,
        kind,
        direction: None,
        detail,
    };
    for (ifindex, error) in &damaged {
        if let Some(interface) = interfaces.at(*ifindex) {
            found.push(drift(&interface.name, *ifindex, DriftKind::File, error.to_string()));
        }
    }
    let (_, damaged_bindings) = Standing::load_all(folders)?;
    found.extend(damaged_bindings.iter().map(|error| drift("", 0, DriftKind::Binding, error.to_string())));
    let Some(datapath) = &datapath else {
        if !foreign {
            found.extend(lost(&states, &interfaces, namespace));
        }
        return Ok(found);
    };
    for (map, wrong) in datapath.wrong_maps() {
        found.push(drift("", 0, DriftKind::Map, format!("{map}: {wrong}")));
    }
    let known: BTreeSet<u32> =
        states.iter().map(|state| state.ifindex).chain(damaged.iter().map(|(ifindex, _)| *ifindex)).collect();
    let published = datapath.published().into_iter().map(|(ifindex, _)| ifindex);
    let strays: BTreeSet<u32> = published.chain(datapath.linked()).collect();
    for &ifindex in strays.difference(&known).filter(|&&ifindex| ifindex != LOOPBACK) {
        if let Some(interface) = interfaces.at(ifindex) {
            let detail = "there is a policy or a link of it, and no file of a port".to_owned();
            found.push(drift(&interface.name, ifindex, DriftKind::Stray, detail));
        }
    }
    let mut look = Look {
        datapath,
        hooks: datapath.hooks(),
        planner: Planner::new(&profiles),
        kept: Vec::new(),
        auditor: Auditor::default(),
    };
    for state in states.iter().filter(|state| state.namespace == namespace) {
        let Some(interface) = interfaces.at(state.ifindex) else { continue };
        look.port(&interface.name, state, &mut found)?;
    }
    Ok(found)
}

/// A look at many ports, which have much in common.
struct Look<'a> {
    datapath: &'a Datapath,
    hooks: Hooks,
    planner: Planner<'a>,
    /// Images are known to the auditor by their addresses.
    kept: Vec<Planned>,
    auditor: Auditor,
}

impl Look<'_> {
    fn port(&mut self, name: &str, state: &PortState, found: &mut Vec<Drift>) -> Result<(), EngineError> {
        let drift = |kind, detail: String| Drift {
            port: name.to_owned(),
            ifindex: state.ifindex,
            kind,
            direction: None,
            detail,
        };
        hooks(&self.hooks, name, state.ifindex, found)?;
        let record = self.datapath.published_on(state.ifindex);
        let applied = record.and_then(|record| state.of_generation(record.generation));
        let Some(applied) = applied.or(state.applied.last()) else {
            found.push(drift(DriftKind::File, "it says of no policy that it is in force".to_owned()));
            return Ok(());
        };
        let planned = match self.planner.plan(&applied.binding) {
            Ok(planned) => planned,
            Err(error) => {
                found.push(drift(DriftKind::Profiles, error.to_string()));
                return Ok(());
            }
        };
        let differences = audit(&mut self.auditor, self.datapath, state.ifindex, applied, &planned);
        self.kept.push(planned);
        for difference in differences {
            let (kind, detail) = in_words(difference);
            found.push(drift(kind, detail));
        }
        Ok(())
    }
}

/// What is wrong on a hook.
fn hook_drift(hook: &[HookProgram], link: LinkState) -> Option<(DriftKind, String)> {
    let position = |id: u32| hook.iter().position(|program| program.id == id);
    let id = match link {
        LinkState::Missing => return Some((DriftKind::LinkMissing, "no link is pinned".to_owned())),
        LinkState::Strange => {
            return Some((DriftKind::LinkMissing, "what is pinned in its place is no link".to_owned()));
        }
        LinkState::Pinned(id) => id,
    };
    let Some(position) = position(id) else {
        return Some((DriftKind::LinkDetached, format!("its program {id} is not on the hook")));
    };
    if !hook[position].ours {
        return Some((DriftKind::OtherProgram, format!("it has program {id}, which is not the pinned one")));
    }
    let before: Vec<String> =
        hook[..position].iter().map(|program| format!("{} {}", program.id, program.name)).collect();
    (!before.is_empty()).then(|| {
        (
            DriftKind::NotFirst,
            format!("before it run {}; what they accept never gets to it", before.join(", ")),
        )
    })
}

pub(super) fn audit(
    auditor: &mut Auditor,
    datapath: &Datapath,
    ifindex: u32,
    applied: &Applied,
    planned: &Planned,
) -> Vec<Difference> {
    let Applied { generation, binding, rules, .. } = applied;
    let counters: Vec<Option<u32>> = rules.iter().map(|rule| Some(rule.counter)).collect();
    let (_, limits) = batch::limits(&planned.shared.policy, Some(applied));
    let addresses = planned.addresses();
    let spec = PortSpec {
        generation: *generation,
        counters: &counters,
        limits: &limits,
        ..planned.spec(ifindex, binding, &addresses)
    };
    auditor.audit(datapath, &spec)
}

fn in_words(difference: Difference) -> (DriftKind, String) {
    let (kind, detail) = match difference {
        Difference::NoEntry => (DriftKind::NoEntry, "the interface's entry is 0: every packet is dropped"),
        Difference::NoRecord => (
            DriftKind::NoRecord,
            "the interface's entry leads to a record that is not its own, or none at all",
        ),
        Difference::FailMode => (DriftKind::FailMode, "the entry does not say the declared fail mode"),
        Difference::Record(fields) => {
            return (DriftKind::Record, format!("the record differs in {}", fields.join(", ")));
        }
        Difference::Graph => (DriftKind::Graph, "nodes of its graph were overwritten"),
        Difference::OtherRules => (
            DriftKind::OtherRules,
            "its profiles say something else by now than what is in force: a file was changed by hand, or an update \
             died; `update` the profile, or `attach` the port again",
        ),
        Difference::Counters => (DriftKind::Counters, "its rules are not counted where its file says"),
        Difference::Limits => (DriftKind::Limits, "its limits were overwritten"),
        Difference::Flows => (DriftKind::Flows, "its table of connections is not there, or of another size"),
    };
    (kind, detail.to_owned())
}
