//! What a change of profiles would change, before it is made: their rules, ports, connections, and whether there is room.
//!
//! All is done as an update does it, up to where something would be written: profiles are resolved and compiled for each
//! port that uses them, places are looked for, and connections are held against the new policies. It takes no lock: what
//! somebody else changes meanwhile is not in it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::rc::Rc;

use filter_common::PortRecord;
use serde::{Deserialize, Serialize};

use super::batch::{check_room, with_spec};
use super::flows::{Judge, OldFlows};
use super::log::unified;
use super::planned::{Planned, Planner};
use super::profiles::{check_references, identified, users_of};
use super::recover::{self, Known};
use super::{EngineError, Warning};
use crate::datapath::{Datapath, FlowSpec};
use crate::model::nwfilter::FilterItem;
use crate::model::{Body, Item, Profile, ProfileName};
use crate::netdev::{self, Interfaces};
use crate::store::{Applied, Folders, Objects, Past, PortState, Profiles, Sets, State};
use crate::xml::{self, Reading};

/// What a change of profiles would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// Profile by profile.
    pub profiles: Vec<ProfileDiff>,
    /// Ports that would get another policy.
    pub ports: Vec<PortDiff>,
    /// Connections that would go on, on all ports together.
    pub kept: usize,
    /// Connections that would not.
    pub cut: usize,
    /// What there is no room for, if there is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_room: Option<String>,
    /// Ports that would keep the policy that is in force, whatever it is, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// What has to be known of the profiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// How a profile would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileDiff {
    /// Its name.
    pub profile: String,
    /// There is none of that name.
    pub is_new: bool,
    /// Rules that would be added, by their names or places in the new text.
    pub added: Vec<String>,
    /// Rules that would be removed, by their names or places in the old text.
    pub removed: Vec<String>,
    /// Rules that would say something else under the same name.
    pub changed: Vec<String>,
    /// The canonical texts' difference, in the form of `diff -u`.
    pub text: String,
}

/// How a port would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortDiff {
    /// Its name.
    pub port: String,
    /// Rules in force, and those that would be.
    pub rules: [usize; 2],
    /// Rules of those that would be new to it.
    pub added: usize,
    /// Rules in force that would be gone.
    pub removed: usize,
    /// Nodes of its graph, and of that which it would get.
    pub nodes: [usize; 2],
    /// Connections that would go on.
    pub kept: usize,
    /// Connections that would not.
    pub cut: usize,
}

/// What would change with these profiles, as they were read; and with those of these names, from what the journal has of
/// them to what their files say.
pub fn diff(
    folders: &Folders,
    documents: Vec<(Profile, Reading)>,
    names: &[ProfileName],
    old_flows: OldFlows,
) -> Result<Diff, EngineError> {
    let stored = Profiles::load(&folders.profiles)?.with_sets(&Sets::new(&folders.sets))?;
    let mut changed = stored.clone();
    let mut result = Diff {
        profiles: Vec::new(),
        ports: Vec::new(),
        kept: 0,
        cut: 0,
        no_room: None,
        unknown: Vec::new(),
        warnings: Vec::new(),
    };
    let mut touched = names.to_vec();
    for name in names {
        let Some((_, after)) = stored.get(name) else {
            return Err(EngineError::NotFound(format!(
                "there is no profile `{name}`, or its file is damaged; `filter-ctl list` shows those there are"
            )));
        };
        result.profiles.push(of_profile(known(folders, name)?.as_ref(), after));
    }
    for (profile, reading) in documents {
        let profile = identified(&stored, profile)?;
        let before = stored.get(&profile.name).map(|(_, before)| before);
        result.profiles.push(of_profile(before, &profile));
        touched.push(profile.name.clone());
        changed.add_read(profile, reading);
    }
    for name in &touched {
        if let Some((_, profile)) = changed.get(name) {
            result.warnings.extend(check_references(&changed, profile)?);
        }
    }
    if let Some(mut datapath) = Datapath::look_at(&folders.bpffs)? {
        let ports = known_ports(folders, &stored, &datapath, &mut result.unknown)?;
        of_ports(&ports, &changed, &touched, (&mut datapath, old_flows), &mut result)?;
    }
    Ok(result)
}

/// A profile as the journal has it.
fn known(folders: &Folders, name: &ProfileName) -> Result<Option<Profile>, EngineError> {
    let (past, _) = Past::read(folders)?;
    let state = past.state_after(past.last(), &State::default()).unwrap_or_default();
    let Some(digest) = state.profiles.get(name.as_str()) else {
        return Ok(Profiles::shipped()?.get(name).map(|(_, shipped)| shipped.clone()));
    };
    let text = Objects::new(&folders.state).get(digest)?;
    let parsed = xml::parse(&text, Some(name), xml::stored_reading(&text));
    let parsed = parsed
        .map_err(|error| EngineError::Invalid(format!("profile `{name}`, as the journal has it: {error}")))?;
    Ok(Some(parsed.profile))
}

fn of_profile(before: Option<&Profile>, after: &Profile) -> ProfileDiff {
    let name = &after.name;
    let old = before.map(rules).unwrap_or_default();
    let new = rules(after);
    let mut diff = ProfileDiff {
        profile: name.to_string(),
        is_new: before.is_none(),
        added: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        text: String::new(),
    };
    let mut left: Vec<Option<&Rule>> = old.iter().map(Some).collect();
    for rule in &new {
        // By its name, or by what it says where it has none.
        let same = |old: &&mut Option<&Rule>| {
            old.is_some_and(|old| match (&old.name, &rule.name) {
                (Some(old), Some(new)) => old == new,
                (None, None) => old.says == rule.says,
                _ => false,
            })
        };
        match left.iter_mut().find(same).and_then(Option::take) {
            None => diff.added.push(rule.shown.clone()),
            Some(old) if old.says != rule.says => diff.changed.push(rule.shown.clone()),
            Some(_) => {}
        }
    }
    diff.removed = left.into_iter().flatten().map(|rule| rule.shown.clone()).collect();
    let print = |profile: Option<&Profile>| profile.map(xml::print).unwrap_or_default();
    // A document without a UUID has that of the profile in whose place it comes.
    let after = after.clone().with_uuid(Some(before.unwrap_or(after).uuid()));
    let names = [format!("a/{name}"), format!("b/{name}")];
    diff.text = unified((&names[0], &print(before)), (&names[1], &print(Some(&after))));
    diff
}

/// A rule of a profile, a reference, or what it does by default.
struct Rule {
    name: Option<String>,
    shown: String,
    says: u64,
}

fn rules(profile: &Profile) -> Vec<Rule> {
    let mut rules = Vec::new();
    match &profile.body {
        Body::Pool(pool) => {
            let mut number = 0;
            for item in &pool.items {
                match item {
                    Item::Entry(entry) => {
                        number += 1;
                        let name = entry.name.as_ref().map(ToString::to_string);
                        let shown = name.clone().unwrap_or_else(|| format!("#{number}"));
                        rules.push(Rule { name, shown, says: hash(item) });
                    }
                    Item::Reference(reference) => rules.push(Rule {
                        name: None,
                        shown: format!("reference to {}", reference.profile),
                        says: hash(item),
                    }),
                }
            }
            let name = "default".to_owned();
            rules.push(Rule { shown: name.clone(), name: Some(name), says: hash(&pool.default) });
        }
        Body::Filter(filter) => {
            let mut number = 0;
            for item in &filter.items {
                let shown = match item {
                    FilterItem::Rule(_) => {
                        number += 1;
                        format!("#{number}")
                    }
                    FilterItem::Reference(reference) => format!("reference to {}", reference.filter),
                };
                rules.push(Rule { name: None, shown, says: hash(item) });
            }
        }
    }
    rules
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// All ports. Those of which nothing is known are named, with the reason.
fn known_ports(
    folders: &Folders,
    stored: &Profiles,
    datapath: &Datapath,
    unknown: &mut Vec<String>,
) -> Result<Vec<PortState>, EngineError> {
    let (mut ports, _) = PortState::load_all(folders)?;
    let interfaces = Interfaces::read().map_err(EngineError::Netlink)?;
    let namespace = netdev::namespace().map_err(EngineError::Netlink)?;
    for interface in recover::strays(datapath, &interfaces, &ports) {
        ports.retain(|port| port.ifindex != interface.ifindex);
        match recover::known((folders, stored, namespace), datapath, interface) {
            Ok(Known::Written(state) | Known::Recovered(state)) => ports.push(state),
            Ok(Known::Nothing) => {}
            Err(error @ EngineError::Unknown { .. }) => unknown.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(ports)
}

fn of_ports(
    ports: &[PortState],
    changed: &Profiles,
    touched: &[ProfileName],
    (datapath, old_flows): (&mut Datapath, OldFlows),
    result: &mut Diff,
) -> Result<(), EngineError> {
    let mut planner = Planner::new(changed);
    let mut images = HashMap::new();
    for state in users_of(changed, touched, ports) {
        let Some(record) = datapath.published_on(state.ifindex) else { continue };
        let Some(current) = state.of_generation(record.generation) else { continue };
        let planned = planner.plan(&current.binding).map_err(|error| error.of_port(&state.name))?;
        let places = current.binding.flows_max.unwrap_or(FlowSpec::PLACES);
        if old_flows != OldFlows::Cut
            && planned.shared.image.tracked != 0
            && let Err(error) = check_room(datapath, Some(&record), places)
        {
            result.no_room.get_or_insert_with(|| format!("port {}: {error}", state.name));
        }
        let image = Rc::clone(&planned.shared.image);
        let like = images.get(&Rc::as_ptr(&image)).map(|(_, record)| record);
        let next = with_spec(state, (Some(&record), false), &planned, &current.binding, old_flows, |spec| {
            datapath.preview(spec, like)
        });
        match next {
            Ok(next) => {
                let flows = flows_of(datapath, (&record, &next), &planned, old_flows)?;
                images.entry(Rc::as_ptr(&image)).or_insert((image, next));
                result.ports.push(of_port(&state.name, (current, &record), &planned, flows));
            }
            Err(error) => {
                result.no_room.get_or_insert_with(|| format!("port {}: {error}", state.name));
                result.ports.push(of_port(&state.name, (current, &record), &planned, (0, 0)));
            }
        }
    }
    result.kept = result.ports.iter().map(|port| port.kept).sum();
    result.cut = result.ports.iter().map(|port| port.cut).sum();
    Ok(())
}

fn of_port(
    name: &str,
    (current, record): (&Applied, &PortRecord),
    planned: &Planned,
    (kept, cut): (usize, usize),
) -> PortDiff {
    let shared = &planned.shared;
    let old: std::collections::HashSet<&str> =
        current.rules.iter().map(|rule| rule.identity.as_str()).collect();
    let stay = shared.policy.rules.iter().filter(|rule| old.contains(rule.identity.as_str())).count();
    PortDiff {
        port: name.to_owned(),
        rules: [current.rules.len(), shared.policy.rules.len()],
        added: shared.policy.rules.len() - stay,
        removed: current.rules.len().saturating_sub(stay),
        nodes: [record.node_count as usize, shared.image.nodes.len()],
        kept,
        cut,
    }
}

/// How many connections would go on, and how many would not.
fn flows_of(
    datapath: &Datapath,
    (record, next): (&PortRecord, &PortRecord),
    planned: &Planned,
    old_flows: OldFlows,
) -> Result<(usize, usize), EngineError> {
    let image = &planned.shared.image;
    if record.tracked == 0 || image.tracked == 0 {
        return Ok((0, 0));
    }
    let now = datapath.now()?;
    let mut next = *next;
    // Who is behind the port is known by what was learned of it.
    next.port = record.port;
    let counters = vec![0; next.rule_count as usize];
    let judge = Judge::new(image, (&next, &counters), datapath, now);
    let (mut kept, mut cut) = (0, 0);
    datapath.each_flow(record, now, |flow| {
        let goes_on = match old_flows {
            OldFlows::Keep => true,
            OldFlows::Cut => false,
            OldFlows::Recheck => judge.accepts(&flow).is_some(),
        };
        if goes_on { kept += 1 } else { cut += 1 }
    })?;
    Ok((kept, cut))
}
