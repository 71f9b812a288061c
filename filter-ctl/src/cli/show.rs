//! What commands print for people.

use super::flows::{connections, in_words};
use super::table::Table;
use crate::engine::{
    AnswerCount, Attached, Compiled, Connections, Defined, Explained, FlowsChanged, GuardCount, Outcome,
    PortStats, PortView, Updated,
};
use crate::model::{Learn, Mode};
use crate::service::ProfileView;
use crate::store::{Binding, Fail};

/// The profiles there are.
pub fn profiles(profiles: &[ProfileView]) -> String {
    let mut table = Table::new(&["NAME", "ORIGIN", "DIALECT", "DEFAULT", ">ITEMS", "DESCRIPTION"]);
    for profile in profiles {
        let description = profile.description.as_deref().unwrap_or_default();
        let first = description.split(['.', ':', ';']).next().unwrap_or_default().to_owned();
        table.row([
            profile.name.clone(),
            format!("{:?}", profile.origin).to_lowercase(),
            profile.dialect.clone(),
            profile.default.clone().unwrap_or_else(|| "-".to_owned()),
            profile.items.to_string(),
            first,
        ]);
    }
    table.to_string()
}

/// What attaching came to.
pub fn attached(attached: &Attached) -> String {
    let mut text = format!(
        "{} is filtered by {} ({} rules in {} nodes, at most {} steps a packet)\n",
        attached.port,
        attached.profiles.join(", "),
        attached.rules,
        attached.nodes,
        attached.depth
    );
    text += &learns(attached);
    if let Some(changed) = &attached.connections {
        text += &format!("{}\n", of_one_port(changed));
    }
    text
}

/// What a port learns, and what passes before.
fn learns(attached: &Attached) -> String {
    let leases = attached.learn == Learn::Dhcp.name();
    let mut parts = Vec::new();
    if attached.learns_mac {
        parts.push("its MAC address is learned from its first valid frame");
    }
    if attached.learns_ip {
        parts.push(if leases {
            "its IPv4 address is learned by DHCP"
        } else {
            "its IPv4 address is learned from its first ARP or IPv4 packet, or by DHCP"
        });
    }
    if attached.learns_ip6 {
        parts.push(if leases {
            "its IPv6 addresses are learned by DHCPv6"
        } else {
            "its IPv6 addresses are learned from neighbour discovery, or by DHCPv6"
        });
    }
    if parts.is_empty() {
        return String::new();
    }
    let before =
        if attached.learns_ip || attached.learns_ip6 { "; only what that needs passes before" } else { "" };
    format!("{}{before}\n", parts.join(", "))
}

/// What profiles were compiled to.
pub fn compiled(compiled: &Compiled, explain: bool) -> String {
    let mut text = format!(
        "{}: {} rules in {} nodes ({}), at most {} steps a packet; compiled in {}\n",
        compiled.profiles.join(", "),
        compiled.rules,
        compiled.nodes,
        size(compiled.bytes),
        compiled.most_steps,
        time(compiled.microseconds)
    );
    if !explain {
        return text;
    }
    let mut table =
        Table::new(&[">RULES", ">WAYS", ">NODES", ">MEAN", ">SEEN", ">MOST", ">ABOUT", "PACKETS"]);
    for graph in &compiled.graphs {
        table.row([
            graph.rules.to_string(),
            graph.ways.to_string(),
            graph.nodes.to_string(),
            format!("{:.1}", graph.mean_steps),
            graph.seen_steps.to_string(),
            graph.most_steps.to_string(),
            format!("{:.0} ns", graph.estimated_ns),
            graph.packets.join(", "),
        ]);
    }
    text += &format!("\n{table}\n");
    text += "WAYS: combinations of values and ranges in which the rules match. MEAN, SEEN, MOST: steps of a packet, \
             where each way is met once, and at most. ABOUT: what the mean costs while the graph is in the cache.\n";
    if compiled.nodes > 0 {
        text +=
            &format!("Each rule may stand {} times in a graph, to make walks shorter.\n", compiled.copies);
    }
    for graph in compiled.graphs.iter().filter(|graph| !graph.why.is_empty()) {
        let first = graph.packets.first().map_or("", String::as_str);
        let others = if graph.packets.len() > 1 { ", …" } else { "" };
        text += &format!("{first}{others}: {}.\n", graph.why);
    }
    text
}

/// So many of something.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Bytes, for people.
fn size(bytes: usize) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    let kib = bytes as f64 / 1024.0;
    if kib < 1024.0 { format!("{kib:.1} KiB") } else { format!("{:.1} MiB", kib / 1024.0) }
}

/// A time, for people.
fn time(microseconds: u128) -> String {
    if microseconds < 10_000 {
        format!("{}.{} ms", microseconds / 1000, microseconds / 100 % 10)
    } else {
        format!("{} ms", microseconds / 1000)
    }
}

/// What defining a profile came to.
pub fn defined(defined: &Defined) -> String {
    let name = &defined.updated.profile;
    match defined.outcome {
        Outcome::Created => format!("{name} is created\n"),
        Outcome::Updated => updated(&defined.updated),
        Outcome::Unchanged => format!("{name} is unchanged\n"),
    }
}

/// What changing a profile came to.
pub fn updated(updated: &Updated) -> String {
    match updated.ports.as_slice() {
        [] => format!("{} is changed; no port uses it\n", updated.profile),
        ports => {
            let connections = match updated.connections.ports.as_slice() {
                [] => String::new(),
                // Of one port it is all said there.
                [_] => format!(" ({})", became(&updated.connections)),
                each => {
                    let each: Vec<String> =
                        each.iter().map(|port| format!("{}: {}", port.port, of_port(port))).collect();
                    format!(" ({}; {})", became(&updated.connections), each.join(", "))
                }
            };
            format!("{} is changed, in force on {}{connections}\n", updated.profile, ports.join(", "))
        }
    }
}

/// What became of connections.
fn became(changed: &Connections) -> String {
    let Connections { kept, cut, lost, .. } = *changed;
    let lost = if lost == 0 { String::new() } else { format!(", {lost} LOST FOR WANT OF ROOM") };
    format!("{} kept, {cut} cut{lost}", connections(kept))
}

/// What became of connections of a port among several.
fn of_port(changed: &FlowsChanged) -> String {
    let FlowsChanged { kept, cut, lost, .. } = *changed;
    let lost = if lost == 0 { String::new() } else { format!(", {lost} lost") };
    format!("{kept} kept, {cut} cut{lost}")
}

/// What became of connections of a port.
fn of_one_port(changed: &FlowsChanged) -> String {
    let FlowsChanged { kept, cut, lost, .. } = *changed;
    became(&Connections { kept, cut, lost, ports: Vec::new() })
}

/// The ports there are.
pub fn ports(ports: &[PortView]) -> String {
    let mut table = Table::new(&[
        "PORT", "STATUS", "PROFILES", "MAC", "IP", "MODE", "FAIL", ">RULES", ">GRAPH", ">SHARED", ">FLOWS",
    ]);
    for port in ports {
        let binding = port.binding.as_ref();
        table.row([
            port.port.clone(),
            port.status.name().to_owned(),
            binding.map_or_else(String::new, |binding| binding.profiles.join(",")),
            address(binding.and_then(|binding| binding.mac.as_deref()), port.learned_mac.as_deref()),
            addresses(binding, port),
            binding.map_or("", |binding| mode(binding.mode)).to_owned(),
            binding.map_or("", |binding| fail(binding.fail)).to_owned(),
            port.rules.to_string(),
            port.graph.map_or_else(|| "-".to_owned(), |graph| graph.to_string()),
            port.sharing.to_string(),
            port.flows.map_or_else(String::new, |flows| format!("{}/{}", flows.used, flows.room)),
        ]);
    }
    if table.is_empty() { "no port is filtered\n".to_owned() } else { table.to_string() }
}

/// Ports with what bindings name.
pub fn bindings(ports: &[PortView]) -> String {
    let mut table = Table::new(&["PORT", "STATUS", "FILTER", "OWNER", "UUID", "LINK"]);
    for port in ports {
        let binding = port.binding.as_ref();
        let owner = binding.and_then(|binding| binding.owner.as_ref());
        table.row([
            port.port.clone(),
            port.status.name().to_owned(),
            binding.map_or_else(String::new, |binding| binding.profiles.join(",")),
            owner.map_or_else(|| "-".to_owned(), |owner| owner.name.clone()),
            owner.map_or_else(|| "-".to_owned(), |owner| owner.uuid.clone()),
            binding.and_then(|binding| binding.link_device.clone()).unwrap_or_default(),
        ]);
    }
    if table.is_empty() { "there are no bindings\n".to_owned() } else { table.to_string() }
}

fn address(given: Option<&str>, learned: Option<&str>) -> String {
    match (given, learned) {
        (Some(given), _) => given.to_owned(),
        (None, Some("")) => "learning".to_owned(),
        (None, Some(learned)) => format!("{learned} (learned)"),
        (None, None) => "-".to_owned(),
    }
}

fn addresses(binding: Option<&Binding>, port: &PortView) -> String {
    let given: Vec<String> = binding
        .map(|binding| binding.addresses.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    let given = given.join(",");
    let learned: Vec<&str> =
        [&port.learned_ip, &port.learned_ip6].into_iter().flatten().map(String::as_str).collect();
    let known: Vec<&str> = learned.iter().copied().filter(|known| !known.is_empty()).collect();
    let known = (!learned.is_empty()).then(|| known.join(","));
    match (given.as_str(), known) {
        ("", known) => address(None, known.as_deref()),
        (given, None) => given.to_owned(),
        (given, Some(known)) => format!("{given},{}", address(None, Some(&known))),
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Strict => "strict",
        Mode::Libvirt => "libvirt",
    }
}

const fn fail(fail: Fail) -> &'static str {
    match fail {
        Fail::Closed => "closed",
        Fail::Hold => "hold",
        Fail::Open => "open",
    }
}

/// A port's counters; `before`, if given, are those of the last time.
pub fn stats(stats: &PortStats, all: bool, before: Option<&PortStats>) -> String {
    let mut rules = Table::new(&[">PACKETS", ">BYTES", ">ADDED", "RULE"]);
    for rule in &stats.rules {
        if all || rule.packets != 0 {
            let then = before.map(|before| {
                before.rules.iter().find(|then| then.rule == rule.rule).map_or(0, |then| then.packets)
            });
            let cells = [rule.packets.to_string(), rule.bytes.to_string(), added(rule.packets, then)];
            rules.row(cells.into_iter().chain([rule.rule.clone()]));
        }
    }
    let mut guard = Table::new(&[">DROPPED", ">ADDED", "DIR", "GUARD", "BECAUSE"]);
    for count in &stats.guard {
        let then = before.map(|before| {
            let same =
                |then: &&GuardCount| (&then.direction, &then.reason) == (&count.direction, &count.reason);
            before.guard.iter().find(same).map_or(0, |then| then.packets)
        });
        let cells = [count.packets.to_string(), added(count.packets, then)];
        let words = [&count.direction, &count.reason, &count.description];
        guard.row(cells.into_iter().chain(words.map(ToString::to_string)));
    }
    let mut answers = Table::new(&[">ANSWERED", ">ADDED", ">SUPPRESSED", ">ADDED", "DIR"]);
    for count in &stats.answers {
        let then = before.map(|before| {
            let same = |then: &&AnswerCount| then.direction == count.direction;
            before.answers.iter().find(same).map_or((0, 0), |then| (then.sent, then.suppressed))
        });
        answers.row([
            count.sent.to_string(),
            added(count.sent, then.map(|(sent, _)| sent)),
            count.suppressed.to_string(),
            added(count.suppressed, then.map(|(_, suppressed)| suppressed)),
            count.direction.to_string(),
        ]);
    }
    let tables: Vec<String> =
        [rules, guard, answers].iter().filter(|table| !table.is_empty()).map(ToString::to_string).collect();
    let mut text =
        if tables.is_empty() { format!("{}: no packet yet\n", stats.port) } else { tables.join("\n") };
    if let Some(flows) = &stats.flows {
        text += &format!("\n{}", in_words(flows));
    }
    text
}

fn added(now: u64, then: Option<u64>) -> String {
    then.map_or_else(String::new, |then| format!("+{}", now.saturating_sub(then)))
}

/// What becomes of a frame.
pub fn explained(explained: &Explained) -> String {
    let mut text =
        format!("frame {}, {}: {} by {}\n", explained.i, explained.dir, explained.verdict, explained.by);
    if let Some(reason) = &explained.reason {
        text += &format!("  because   {reason}\n");
    }
    if !explained.passed.is_empty() {
        text += &format!("  after     {}\n", explained.passed.join(", "));
    }
    let fields: Vec<String> = explained
        .fields
        .iter()
        .map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or_default()))
        .collect();
    text += &format!("  frame     {}\n", fields.join(", "));
    if !explained.loaded_program {
        text += "  note      the kernel runs its program over no frame this short: this is the reference's word\n";
    }
    if let Some(disagrees) = &explained.disagrees {
        text +=
            &format!("  DISAGREES the reference interpreter says {disagrees}: please report this frame\n");
    }
    text
}
