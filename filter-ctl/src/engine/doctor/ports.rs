//! Ports: what runs on their hooks, and whether it is what should.

use std::collections::HashMap;
use std::io;

use filter_common::Direction;
use serde::{Deserialize, Serialize};

use super::{Finding, Severity};
use crate::datapath::{Datapath, DatapathError};
use crate::engine::drift::{Drift, DriftKind, drift};
use crate::engine::view::{PortView, Status, ports};
use crate::engine::{EngineError, FlowSummary};
use crate::hooks;
use crate::store::{Fail, Folders};

/// All that sees the frames of one direction of a port, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStack {
    /// The port.
    pub port: String,
    /// `out` or `in`.
    pub direction: String,
    /// The programs.
    pub programs: Vec<StackProgram>,
}

/// A program that sees a port's frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackProgram {
    /// Where it is: `xdp`, `tcx`, or `clsact`.
    pub place: String,
    /// Its number in the kernel, if that is known.
    pub id: Option<u32>,
    /// Its name, or the kind of filter.
    pub name: String,
    /// It is ours.
    pub ours: bool,
    /// It stands before ours, and can let frames go where ours does not see them.
    pub may_pass_us: bool,
}

/// Looks at all ports, or at one.
pub(super) fn look(
    folders: &Folders,
    only: Option<&str>,
    findings: &mut Vec<Finding>,
    stacks: &mut Vec<PortStack>,
) -> Result<(), EngineError> {
    let looked = ports(folders).and_then(|(views, _)| Ok((views, drift(folders)?)));
    let (views, wrong) = match looked {
        Ok(looked) => looked,
        Err(error) => {
            findings.push(
                Finding::new(Severity::Problem, "data path", "ports", error.to_string())
                    .means("ports cannot be looked at; what is in force stays"),
            );
            return Ok(());
        }
    };
    let wanted = |port: &str| only.is_none_or(|only| only == port);
    let known = |name: &str| {
        views.iter().any(|view| view.port == name) || wrong.iter().any(|drift| drift.port == name)
    };
    if let Some(only) = only.filter(|only| !known(only)) {
        return Err(EngineError::not_attached(only));
    }
    let xdp = hooks::xdp().unwrap_or_default();
    let datapath = Datapath::look_at(&folders.bpffs)?;
    for view in views.iter().filter(|view| wanted(&view.port)) {
        let about = format!("port {}", view.port);
        let of_port: Vec<&Drift> = wrong.iter().filter(|drift| drift.port == view.port).collect();
        findings.extend(of_port.iter().map(|drift| of_drift(drift, &about)));
        findings.extend(of_view(view, &about, of_port.is_empty()));
        if matches!(view.status, Status::Gone | Status::Elsewhere) {
            continue;
        }
        let Some(datapath) = &datapath else { continue };
        for direction in Direction::ALL {
            match stack(datapath, view, direction, &xdp) {
                Ok(stack) => {
                    findings.extend(of_stack(&stack, &about));
                    stacks.push(stack);
                }
                // It went away meanwhile.
                Err(EngineError::Datapath(DatapathError::Gone(_))) => {
                    findings.push(gone(&about));
                    break;
                }
                Err(error) => {
                    let found = format!("{direction}: what runs there cannot be listed: {error}");
                    findings.push(Finding::new(Severity::Warning, &about, "stack", found));
                }
            }
        }
    }
    // Of what has no file that could be read.
    let viewed = |drift: &Drift| views.iter().any(|view| view.port == drift.port);
    for drift in wrong.iter().filter(|drift| !viewed(drift) && (drift.port.is_empty() || wanted(&drift.port)))
    {
        let about =
            if drift.port.is_empty() { "data path".to_owned() } else { format!("port {}", drift.port) };
        findings.push(of_drift(drift, &about));
    }
    Ok(())
}

fn gone(about: &str) -> Finding {
    Finding::new(Severity::Note, about, "gone", "the interface is gone")
        .advice("the next command that changes something clears it away")
}

fn of_drift(drift: &Drift, about: &str) -> Finding {
    let severity = if drift.kind == DriftKind::OtherRules { Severity::Warning } else { Severity::Problem };
    let direction = drift.direction.as_ref().map_or_else(String::new, |direction| format!("{direction}: "));
    let finding = Finding::new(severity, about, drift.kind.name(), format!("{direction}{}", drift.detail));
    let means = match drift.kind {
        DriftKind::LinkMissing | DriftKind::LinkDetached => "frames of that direction may not be filtered",
        DriftKind::OtherProgram => "another build, or another program, judges its frames",
        DriftKind::NotFirst => {
            "a program before ours can let frames past it, unfiltered (TCX_PASS ends the chain)"
        }
        DriftKind::NoEntry | DriftKind::NoRecord => {
            "its frames are dropped, or pass if it was attached to fail open"
        }
        DriftKind::FailMode => "at a fault its frames would not get what was declared",
        DriftKind::Record | DriftKind::Graph => "frames are judged by something else than its profiles",
        DriftKind::Counters => "what is counted is shown at other rules",
        DriftKind::Limits => "rates are not kept as its profiles say",
        DriftKind::Flows => "connections of the port are not followed",
        DriftKind::OtherRules => "frames are judged by what was in force before",
        DriftKind::Profiles => "what is in force stays; it cannot be put in force again, or mended",
        DriftKind::File => "it is filtered by what is in force, but its rules have no names",
        DriftKind::Stray => "somebody removed a file, or a command died: its rules have no names",
        DriftKind::Binding => "ports it is for are held to another standing binding, or to none",
        DriftKind::Map => "somebody put another map in its place, or this is another build's",
    };
    let port = &drift.port;
    let advice = match drift.kind {
        DriftKind::OtherRules => String::new(),
        DriftKind::Profiles => "mend the profile with `filter-ctl update`".to_owned(),
        DriftKind::File | DriftKind::Stray => {
            format!(
                "`filter-ctl doctor --repair`; if that cannot: `filter-ctl attach {port} …`, or `detach {port}`"
            )
        }
        DriftKind::Binding => "`filter-ctl bind` it again, or `filter-ctl unbind` it".to_owned(),
        DriftKind::Map => "detach the ports, remove the folder of pins, and attach them again".to_owned(),
        _ => "`filter-ctl doctor --repair`".to_owned(),
    };
    finding.means(means).advice(advice)
}

fn of_view(view: &PortView, about: &str, sound: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    match view.status {
        Status::Gone => {
            findings.push(gone(about));
            return findings;
        }
        Status::Elsewhere => {
            findings.push(
                Finding::new(Severity::Note, about, "elsewhere", "it is in another network namespace")
                    .advice("ask there"),
            );
            return findings;
        }
        Status::Active if sound => {
            let profiles =
                view.binding.as_ref().map(|binding| binding.profiles.join(", ")).unwrap_or_default();
            let found = format!(
                "it is filtered by {profiles}: links, record, {} nodes and counters are as they should be",
                view.nodes
            );
            findings.push(Finding::new(Severity::Ok, about, "filtered", found));
        }
        Status::Active | Status::NotFiltered => {}
    }
    if view.binding.as_ref().is_some_and(|binding| binding.fail == Fail::Open) {
        findings.push(
            Finding::new(Severity::Note, about, "fail-open", "it was attached with --fail open")
                .means("at a fault of the data path its frames pass unfiltered"),
        );
    }
    findings.extend(view.flows.as_ref().and_then(|flows| of_flows(flows, about)));
    findings
}

fn of_flows(flows: &FlowSummary, about: &str) -> Option<Finding> {
    let FlowSummary { used, notes, room, refused, .. } = *flows;
    let full = (used + notes) * 10 >= room * 9;
    if !full && refused == 0 {
        return None;
    }
    let found = format!("{used} connections of {room} that there is room for, {refused} packets refused");
    Some(
        Finding::new(if full { Severity::Warning } else { Severity::Note }, about, "connections", found)
            .means("a connection that finds no room is not begun; those that were answered stay")
            .advice("attach it again with a larger --flows-max"),
    )
}

fn stack(
    datapath: &Datapath,
    view: &PortView,
    direction: Direction,
    xdp: &HashMap<u32, u32>,
) -> Result<PortStack, EngineError> {
    let mut programs = Vec::new();
    // XDP sees what the guest sends, before there is a packet for others to see.
    if let (Direction::Out, Some(&id)) = (direction, xdp.get(&view.ifindex)) {
        let (place, name) = ("xdp".to_owned(), String::new());
        programs.push(StackProgram { place, id: Some(id), name, ours: false, may_pass_us: true });
    }
    let hook = datapath.hooks().programs(&view.port, direction)?;
    let ours = hook.iter().position(|program| program.ours).unwrap_or(hook.len());
    for (position, program) in hook.into_iter().enumerate() {
        programs.push(StackProgram {
            place: "tcx".to_owned(),
            id: Some(program.id),
            name: program.name,
            ours: program.ours,
            may_pass_us: position < ours,
        });
    }
    let filters =
        hooks::filters(view.ifindex, direction).map_err(|error: io::Error| EngineError::Netlink(error))?;
    programs.extend(filters.into_iter().map(|name| StackProgram {
        place: "clsact".to_owned(),
        id: None,
        name,
        ours: false,
        may_pass_us: false,
    }));
    Ok(PortStack { port: view.port.clone(), direction: direction.name().to_owned(), programs })
}

/// What is to be known of programs of others. Those before ours on the hook are drift.
fn of_stack(stack: &PortStack, about: &str) -> Vec<Finding> {
    let name = |program: &StackProgram| {
        let id = program.id.map_or_else(String::new, |id| format!(" {id}"));
        format!("{}{id} {}", program.place, program.name).trim_end().to_owned()
    };
    let mut findings = Vec::new();
    for program in stack.programs.iter().filter(|program| program.place == "xdp") {
        findings.push(
            Finding::new(
                Severity::Warning,
                about,
                "xdp",
                format!("{}: {} runs before us", stack.direction, name(program)),
            )
            .means(
                "it can send frames of the guest elsewhere, unfiltered, and drop some that we do not count",
            )
            .advice("if it is not yours: `ip link set dev PORT xdp off`"),
        );
    }
    let ours = stack.programs.iter().position(|program| program.ours).unwrap_or(stack.programs.len());
    let behind: Vec<String> = stack.programs.iter().skip(ours + 1).map(name).collect();
    if !behind.is_empty() {
        findings.push(
            Finding::new(
                Severity::Note,
                about,
                "behind",
                format!("{}: behind us run {}", stack.direction, behind.join(", ")),
            )
            .means("they see what we let pass, and may drop or change it"),
        );
    }
    findings
}
