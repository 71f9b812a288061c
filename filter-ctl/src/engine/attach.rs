//! Attaching ports: one, or many at once, all of them or none.
//!
//! Ports that are new come before those whose binding changes, because attaching classifiers can still fail, and
//! publishing cannot: what was attached is then taken back, and nothing else has changed yet.

use std::borrow::Cow;
use std::collections::HashSet;

use super::batch::{self, Batch, Bring, Ready, keep_last};
use super::bindings::settled;
use super::flows::{Connections, FlowsChanged, OldFlows};
use super::history;
use super::planned::{Planned, Planner};
use super::{Engine, EngineError, Warning};
use crate::datapath::{Datapath, Retired};
use crate::netdev::{Interface, Interfaces};
use crate::store::{Binding, PortState};
use filter_common::{Direction, record_flags};

/// What attaching a port came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attached {
    /// The interface.
    pub port: String,
    /// Its index.
    pub ifindex: u32,
    /// Profiles in force.
    pub profiles: Vec<String>,
    /// Whether the port was attached before, with another binding or the same.
    pub replaced: bool,
    /// Whether it was switched on by then: packets may have passed before.
    pub was_up: bool,
    /// The MAC address is learned from the first valid frame.
    pub learns_mac: bool,
    /// IPv4 addresses are learned.
    pub learns_ip: bool,
    /// IPv6 addresses are.
    pub learns_ip6: bool,
    /// How: `any`, `dhcp` or `none`.
    pub learn: Cow<'static, str>,
    /// Rules of the policy, defaults included.
    pub rules: usize,
    /// Nodes of the decision graph, and those on its longest path.
    pub nodes: usize,
    /// See `nodes`.
    pub depth: usize,
    /// What became of the connections that it followed; nothing where it followed none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<FlowsChanged>,
    /// What was accepted of the document, if it was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Told how many ports are done, of how many.
pub type Progress<'a> = dyn FnMut(usize, usize) + 'a;

/// What may be there already, and what becomes of it.
enum Manner<'a> {
    /// A binding, which changes; what the port has goes on.
    Change,
    /// Nothing.
    New,
    /// A binding, if that is allowed; nothing of what the port has goes on, and it begins with what it is given.
    Afresh { may_replace: bool, bring: &'a mut Bring<'a> },
}

impl Manner<'_> {
    fn batch(&self, old_flows: OldFlows) -> Batch {
        match self {
            Self::Change | Self::New => Batch::new(old_flows),
            Self::Afresh { .. } => Batch::afresh(),
        }
    }

    /// What is wrong with a binding that is there.
    fn conflict(&self, port: &str) -> Option<EngineError> {
        let wrong = match self {
            Self::Change | Self::Afresh { may_replace: true, .. } => return None,
            Self::New => {
                format!("binding '{port}' already exists; `attach` changes it, `binding-delete` removes it")
            }
            Self::Afresh { .. } => format!(
                "port {port} is attached already; --replace puts the saved state in the place of all that it has"
            ),
        };
        Some(EngineError::Conflict(wrong))
    }
}

/// A port, and what it is to do.
struct Wanted {
    interface: Interface,
    binding: Binding,
    planned: Planned,
    state: PortState,
    /// Whether the port is attached already.
    replaces: bool,
}

impl Wanted {
    fn attached(&self) -> Attached {
        let Planned { shared, flags, .. } = &self.planned;
        Attached {
            port: self.interface.name.clone(),
            ifindex: self.interface.ifindex,
            profiles: self.binding.profiles.clone(),
            replaced: self.replaces,
            was_up: self.interface.up,
            learns_mac: flags & record_flags::LEARN_MAC != 0,
            learns_ip: flags & record_flags::LEARN_IP4 != 0,
            learns_ip6: flags & record_flags::LEARN_IP6 != 0,
            learn: self.planned.learning.learn().name().into(),
            rules: shared.policy.rules.len(),
            nodes: shared.image.nodes.len(),
            depth: shared.image.depth,
            connections: None,
            warnings: Vec::new(),
        }
    }
}

impl Engine {
    /// Puts a binding in force on a port: attaches it, or changes what it does.
    pub fn attach(&mut self, name: &str, binding: Binding) -> Result<Attached, EngineError> {
        self.attach_one(name, binding, Manner::Change)
    }

    /// Attaches a port that begins with what `bring` gives it: it is there before a packet is judged. One that is
    /// attached already is refused, or, with `may_replace`, forgets all that it has in the same step.
    pub(super) fn attach_afresh(
        &mut self,
        name: &str,
        binding: Binding,
        may_replace: bool,
        bring: &mut Bring<'_>,
    ) -> Result<Attached, EngineError> {
        self.attach_one(name, binding, Manner::Afresh { may_replace, bring })
    }

    fn attach_one(
        &mut self,
        name: &str,
        binding: Binding,
        manner: Manner<'_>,
    ) -> Result<Attached, EngineError> {
        let attached = self.put_in_force(vec![(name.to_owned(), binding)], manner, &mut |_, _| {});
        let mut attached = attached.map_err(EngineError::of_the_only_port)?;
        attached.pop().ok_or_else(|| EngineError::not_attached(name))
    }

    /// Puts bindings in force on ports, in this order, on all or on none.
    pub fn attach_all(
        &mut self,
        bindings: Vec<(String, Binding)>,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Attached>, EngineError> {
        self.put_in_force(bindings, Manner::Change, progress)
    }

    /// The same where none of the ports may be attached already.
    pub fn attach_new(
        &mut self,
        bindings: Vec<(String, Binding)>,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Attached>, EngineError> {
        self.put_in_force(bindings, Manner::New, progress)
    }

    fn put_in_force(
        &mut self,
        bindings: Vec<(String, Binding)>,
        mut manner: Manner<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Attached>, EngineError> {
        let mut planner = Planner::new(&self.profiles);
        let plan = |(name, binding): (String, Binding)| {
            let binding = settled(binding);
            let planned = planner.plan(&binding).map_err(|error| error.of_port(&name))?;
            Ok((name, binding, planned))
        };
        let planned = bindings.into_iter().map(plan).collect::<Result<Vec<_>, EngineError>>()?;
        let (mut datapath, wanted) = self.ports_to_attach(planned)?;
        let mut there = wanted.iter().filter(|it| it.replaces);
        if let Some(conflict) = there.find_map(|it| manner.conflict(&it.interface.name)) {
            return Err(conflict);
        }
        for Wanted { interface, .. } in wanted.iter().filter(|it| it.replaces) {
            // The old policy is in force until all that can fail has not.
            datapath
                .attach(&interface.name, interface.ifindex)
                .map_err(|error| EngineError::from(error).of_port(&interface.name))?;
        }
        let mut attached: Vec<Attached> = wanted.iter().map(Wanted::attached).collect();
        let mut batch = manner.batch(self.old_flows);
        let prepared = wanted.into_iter().try_for_each(|wanted| {
            let Wanted { interface, binding, planned, mut state, .. } = wanted;
            state.name.clone_from(&interface.name);
            batch
                .prepare(&mut datapath, state, &planned, binding)
                .and_then(|()| match &mut manner {
                    Manner::Change | Manner::New => Ok(()),
                    Manner::Afresh { bring, .. } => batch.bring(&mut datapath, bring),
                })
                .map_err(|error| error.of_port(&interface.name))
        });
        let ready = prepared
            .and_then(|()| batch.judge_flows(&datapath))
            .and_then(|()| Ok(batch.save(&self.folders)?))
            .and_then(|()| self.begin(history::Planned { ports: batch.changes(), ..Default::default() }));
        if let Err(error) = ready {
            batch.abandon(&mut datapath, &self.folders)?;
            return Err(error);
        }
        let enforced = self.enforce(&mut datapath, batch, progress);
        let connections = self.finish(enforced)?;
        for changed in connections.ports {
            if let Some(attached) = attached.iter_mut().find(|attached| attached.port == changed.port) {
                attached.connections = Some(changed);
            }
        }
        Ok(attached)
    }

    /// Publishes what is prepared, and attaches the ports that are new.
    fn enforce(
        &self,
        datapath: &mut Datapath,
        batch: Batch,
        progress: &mut Progress<'_>,
    ) -> Result<Connections, EngineError> {
        let (new, replaced) = batch.into_ready();
        let total = new.len() + replaced.len();
        let mut retired = Vec::new();
        let mut in_force: Vec<PortState> = Vec::with_capacity(total);
        let (mut begun, mut made) = (Vec::new(), Vec::new());
        let mut new = new.into_iter();
        let mut failed = None;
        for port in new.by_ref() {
            begun.push(port.before());
            let Ready { state, prepared, .. } = port;
            // A new port's policy is there before its classifiers run: they never meet a port without one.
            retired.extend(datapath.publish(prepared));
            let attached = datapath.attach(&state.name, state.ifindex);
            match attached {
                Ok(directions) => {
                    made.extend(directions.into_iter().map(|direction| (state.ifindex, direction)));
                    in_force.push(state);
                }
                Err(error) => {
                    failed = Some(EngineError::from(error).of_port(&state.name));
                    break;
                }
            }
            progress(in_force.len(), total);
        }
        if let Some(error) = failed {
            // Classifiers that were there before, without a policy, drop everything again.
            datapath.detach_from(made);
            retired.extend(begun.iter().filter_map(|before| datapath.withdraw(before.ifindex())));
            begun.iter().try_for_each(|before| before.restore(&self.folders))?;
            for port in new.chain(replaced) {
                port.before().restore(&self.folders)?;
                datapath.abandon(port.prepared);
            }
            datapath.reclaim(retired)?;
            return Err(error);
        }
        in_force.into_iter().try_for_each(|state| keep_last(state, &self.folders))?;
        let known = (datapath, &self.folders);
        let connections = batch::publish(replaced, self.old_flows, retired, known, &mut |_| {})?;
        progress(total, total);
        Ok(connections)
    }

    /// The interfaces, the kernel's half, and what is known of the ports so far.
    fn ports_to_attach(
        &mut self,
        planned: Vec<(String, Binding, Planned)>,
    ) -> Result<(Datapath, Vec<Wanted>), EngineError> {
        let names: Vec<&str> = planned.iter().map(|(name, ..)| name.as_str()).collect();
        let interfaces = Interfaces::of(&names).map_err(EngineError::Netlink)?;
        let mut seen = HashSet::new();
        let mut wanted = Vec::with_capacity(planned.len());
        for (name, binding, planned) in planned {
            let interface = interfaces.named(&name).ok_or_else(|| {
                EngineError::NotFound(format!(
                    "there is no network device `{name}`; `ip link` shows those there are"
                ))
            })?;
            if let Some(refusal) = interface.refusal() {
                return Err(EngineError::Invalid(refusal));
            }
            if !seen.insert(interface.ifindex) {
                return Err(EngineError::Invalid(format!("port {name} was given twice; give it once")));
            }
            let state = PortState::new(name, interface.ifindex, self.namespace);
            wanted.push(Wanted { interface: interface.clone(), binding, planned, state, replaces: false });
        }
        let mut datapath = Datapath::open(&self.folders.bpffs, self.options)?;
        if let Some(known) = PortState::any(&self.folders)? {
            self.check_namespace(&known)?;
        }
        self.clear_gone(&mut datapath)?;
        let unreadable = self.finish_what_was_begun(&mut datapath)?;
        for Wanted { interface, planned, .. } in &wanted {
            unreadable.refuse(&planned.shared.policy).map_err(|error| error.of_port(&interface.name))?;
        }
        let mut retired: Vec<Retired> = Vec::new();
        for Wanted { interface, state, replaces, .. } in &mut wanted {
            // A damaged file of which nothing is known all the same is replaced.
            if let Ok(Some(known)) = self.known(&datapath, interface) {
                self.check_namespace(&known)?;
                *state = known;
            }
            // Where neither classifier runs the interface may be another that has got the same index, and another
            // guest behind it: what was learned and counted there is not of this one.
            let published = datapath.has(interface.ifindex);
            let runs = |way: Direction| datapath.is_attached(&interface.name, way);
            if published && !(runs(Direction::Out)? || runs(Direction::In)?) {
                retired.extend(datapath.withdraw(interface.ifindex));
            }
            *replaces = datapath.has(interface.ifindex);
        }
        datapath.reclaim(retired)?;
        Ok((datapath, wanted))
    }
}
