//! Drift: where what the kernel has is not what was put there.
//!
//! Nobody but filter-ctl should touch its links and maps. Somebody may all the same: another tool detaches a program, puts
//! its own in front, removes pins, writes to a map. For each port this holds against its file and its profiles
//!
//! - the hooks: both links are pinned and on their hooks, with the pinned programs, and nobody runs before them;
//! - the entry, the record, its tables and the graph's nodes, word by word.
//!
//! Looking takes no lock and changes nothing. It may fall into a change, so what is found counts only if it is found again
//! a moment later. Repairing writes what is wrong and nothing else: links are attached again; a policy is published
//! again, with its counters, learned addresses and connections where the old record still says which they are.
//!
//! A port whose interface is gone is no drift, nor is one whose profiles say something else by now than when they were put
//! in force: that is told, and left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use filter_common::Direction;
use serde::{Deserialize, Serialize};

use super::batch::{self, Batch};
use super::flows::OldFlows;
use super::planned::{Planned, Planner};
use super::{Engine, EngineError, fail_open};
use crate::datapath::{
    Auditor, Datapath, DatapathError, Difference, HookProgram, Hooks, LOOPBACK, LinkState, PortSpec,
};
use crate::netdev::{self, Interface, Interfaces};
use crate::store::{Applied, Folders, PortState, Profiles, Sets};

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
        !matches!(self, Self::OtherRules | Self::Profiles | Self::Map)
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

/// What became of a port's drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// The port.
    pub port: String,
    /// What was mended.
    pub mended: Vec<DriftKind>,
    /// Why the rest was not; empty if all was.
    pub left: String,
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
        Ok(None) | Err(DatapathError::Foreign(_)) => return Ok(found),
        Err(error) => return Err(error.into()),
    };
    let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
    for ifindex in PortState::indices(folders)? {
        let Some(interface) = interfaces.at(ifindex) else { continue };
        hooks(&on_hooks, &interface.name, ifindex, &mut found)?;
    }
    Ok(found)
}

/// What is wrong on the hooks of a port.
fn hooks(hooks: &Hooks, name: &str, ifindex: u32, found: &mut Vec<Drift>) -> Result<(), EngineError> {
    for direction in Direction::ALL {
        let hook = hooks.programs(name, direction)?;
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
    let datapath = match Datapath::look_at(&folders.bpffs) {
        Err(DatapathError::Foreign(_)) => None,
        looked => looked?,
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
    let Some(datapath) = &datapath else { return Ok(found) };
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

impl Engine {
    /// Mends what is wrong, port by port: one that cannot be mended keeps no other from it.
    pub fn repair(&mut self, drift: &[Drift]) -> Result<Vec<Repaired>, EngineError> {
        let mut ports: BTreeMap<u32, Vec<&Drift>> = BTreeMap::new();
        for drift in drift.iter().filter(|drift| drift.kind.is_repairable()) {
            ports.entry(drift.ifindex).or_default().push(drift);
        }
        let datapath = Datapath::open_pinned(&self.folders.bpffs)?.filter(|_| !ports.is_empty());
        let Some(mut datapath) = datapath else { return Ok(Vec::new()) };
        let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
        let mut repaired = Vec::new();
        for (ifindex, drift) in ports {
            let Some(interface) = interfaces.at(ifindex) else { continue };
            let outcome = self.repair_port(&mut datapath, interface, &drift);
            repaired.push(Repaired {
                port: interface.name.clone(),
                mended: drift.iter().filter(|_| outcome.is_ok()).map(|drift| drift.kind).collect(),
                left: outcome.err().map(|error| error.to_string()).unwrap_or_default(),
            });
        }
        Ok(repaired)
    }

    fn repair_port(
        &self,
        datapath: &mut Datapath,
        interface: &Interface,
        drift: &[&Drift],
    ) -> Result<(), EngineError> {
        let Interface { name, ifindex, .. } = interface;
        let (name, ifindex) = (name.as_str(), *ifindex);
        // First of all its file: it is known then what is to be mended.
        let state = match self.known(datapath, interface) {
            // It is the record that is wrong, then, where there is a file.
            Err(error @ EngineError::Unknown { .. }) => {
                Some(PortState::load(&self.folders, ifindex).ok().flatten().ok_or(error)?)
            }
            known => known?,
        };
        let mut state = state.ok_or_else(|| EngineError::not_attached(name))?;
        self.check_namespace(&state)?;
        name.clone_into(&mut state.name);
        // Then the policy: classifiers that are attached without one drop everything.
        if drift.iter().any(|drift| !drift.kind.is_of_links() && !drift.kind.is_of_files()) {
            self.republish(datapath, state)?;
        }
        let of_links = |drift: &&&Drift| drift.kind.is_of_links() && drift.kind != DriftKind::NotFirst;
        if drift.iter().any(|drift| of_links(&drift)) {
            datapath.attach(name, ifindex)?;
        }
        let mut behind = Vec::new();
        let hooks = datapath.hooks();
        for direction in Direction::ALL {
            let hook = hooks.programs(name, direction)?;
            if hook.iter().position(|program| program.ours).is_some_and(|position| position > 0) {
                behind.push((name.to_owned(), ifindex, direction));
            }
        }
        Ok(datapath.come_first(&behind)?)
    }

    /// Puts a port's policy in force again as its file and its profiles say, and nothing where that is so already.
    fn republish(&self, datapath: &mut Datapath, mut state: PortState) -> Result<(), EngineError> {
        let ifindex = state.ifindex;
        let last = state.applied.last().cloned();
        if let (None, Some(last)) = (datapath.published_on(ifindex), &last) {
            datapath.revive(ifindex, last.generation, fail_open(&last.binding));
        }
        let record = datapath.published_on(ifindex);
        let known = record.and_then(|record| state.of_generation(record.generation)).cloned();
        let Some(mut applied) = known.or(last) else { return Err(EngineError::not_attached(&state.name)) };
        let planned = Planned::new(&self.profiles, &applied.binding)?;
        if audit(&mut Auditor::default(), datapath, ifindex, &applied, &planned).is_empty() {
            return Ok(());
        }
        // What the file says of counters holds, whatever generation the record has come to.
        if let Some(record) = record {
            applied.generation = record.generation;
        }
        let binding = applied.binding.clone();
        state.applied = vec![applied];
        let mut batch = Batch::new(OldFlows::Keep);
        let prepared = batch.prepare(datapath, state, &planned, binding);
        if let Err(error) = prepared.and_then(|()| Ok(batch.save(&self.folders)?)) {
            batch.abandon(datapath, &self.folders)?;
            return Err(error);
        }
        let (new, replaced) = batch.into_ready();
        let ready = new.into_iter().chain(replaced).collect();
        batch::publish(ready, OldFlows::Keep, Vec::new(), (datapath, &self.folders), &mut |_| {})?;
        // What the damaged record named was not all its own.
        datapath.look_again();
        Ok(())
    }
}
