//! `log`, `rollback` and `restore-profile`: what was changed, and going back.

use clap::Args;

use super::args::ChangeArgs;
use super::table::Table;
use super::{Context, show};
use crate::engine::{LogEntry, LogFilter, RolledBack};
use crate::service::failure::Failure;
use crate::service::{GetLogEntry, ListLog, RestoreProfile, RollBack};
use crate::store::{Author, Entry, PortAction};

/// Which changes are shown.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// Show this change as a whole, with the texts that changed.
    #[arg(value_name = "GENERATION", conflicts_with_all = ["count", "port", "profile"])]
    generation: Option<u64>,
    /// Show so many, the newest first; 0 shows all.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    count: usize,
    /// Those that touched this port.
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// Those that changed this profile.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

impl Context {
    pub(super) fn log(&self, args: &LogArgs) -> Result<(), Failure> {
        if let Some(generation) = args.generation {
            let entry = self.call(GetLogEntry { generation })?;
            return self.print(&entry, || whole(&entry));
        }
        let filter = LogFilter { count: args.count, port: args.port.clone(), profile: args.profile.clone() };
        let log = self.call(ListLog { filter })?;
        if !self.json {
            for problem in &log.damaged {
                eprintln!("filter-ctl: {problem}");
            }
        }
        self.print(&log, || {
            let mut table = Table::new(&[">GENERATION", "WHEN", "WHO", "CHANGED", "COMMAND"]);
            if let Some(entry) = &log.unsettled {
                let mut cells = cells(entry);
                cells[3] = format!("(not settled yet) {}", cells[3]);
                table.row(cells);
            }
            log.entries.iter().for_each(|entry| table.row(cells(entry)));
            if table.is_empty() { "nothing was changed\n".to_owned() } else { table.to_string() }
        })
    }

    pub(super) fn roll_back(
        &self,
        generation: u64,
        dry_run: bool,
        change: ChangeArgs,
    ) -> Result<(), Failure> {
        let result = self.call(RollBack { generation, dry_run, flows: change.flows })?;
        self.print_changed(&result, || rolled_back(&result))
    }

    pub(super) fn restore_profile(&self, name: &str, change: ChangeArgs) -> Result<(), Failure> {
        let updated = self.call(RestoreProfile { profile: name.to_owned(), flows: change.flows })?;
        self.print_changed(&updated, || show::updated(&updated))
    }
}

fn cells(entry: &Entry) -> [String; 5] {
    let (who, command) = author(entry.author.as_ref());
    [entry.generation.to_string(), entry.time.clone(), who, summary(entry), command]
}

fn author(author: Option<&Author>) -> (String, String) {
    match author {
        Some(author) => (author.user.clone(), author.command.clone()),
        None => ("unknown".to_owned(), "(files were changed without filter-ctl)".to_owned()),
    }
}

/// So many names, or how many there are.
fn names<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    match names.len() {
        0 => None,
        1..=3 => Some(format!("{what}{} {}", if names.len() == 1 { "" } else { "s" }, names.join(" "))),
        count => Some(format!("{count} {what}s")),
    }
}

/// What changed, in a few words.
fn summary(entry: &Entry) -> String {
    let parts = [
        names("profile", entry.profiles.iter().map(|change| change.name.as_str())),
        names("port", entry.ports.iter().map(|change| change.port.as_str())),
        entry.timeouts.as_ref().map(|_| "timeouts".to_owned()),
        names("set", entry.sets.iter().map(|change| change.name.as_str())),
        entry.interrupted.then(|| "INTERRUPTED".to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// One change.
fn whole(whole: &LogEntry) -> String {
    let LogEntry { entry, diffs } = whole;
    let (who, command) = author(entry.author.as_ref());
    let mut text = format!("generation {}, {}\n", entry.generation, entry.time);
    match &entry.author {
        Some(Author { uid, pid, .. }) => text += &format!("by      {who} (user {uid}), process {pid}\n"),
        None => text += &format!("by      {who}\n"),
    }
    text += &format!("command {command}\n");
    if entry.interrupted {
        text += &format!("INTERRUPTED: not done were {}\n", entry.unfinished.join(", "));
    }
    for set in &entry.sets {
        text +=
            &format!("set     {} ({}) {}\n", set.name, set.kind, if set.made { "made" } else { "removed" });
    }
    if let Some(change) = &entry.timeouts {
        let say = |text: &Option<String>| text.clone().unwrap_or_else(|| "the default ones".to_owned());
        text +=
            &format!("timeouts before: {}\ntimeouts after: {}\n", say(&change.before), say(&change.after));
    }
    for port in &entry.ports {
        let to = |binding: &crate::store::Binding| binding.profiles.join(", ");
        let what = match &port.action {
            PortAction::Attached { binding } => format!("attached to {}", to(binding)),
            PortAction::Rebound { was, binding } => {
                format!("attached to {} (before: {})", to(binding), to(was))
            }
            PortAction::Updated => "held to other rules".to_owned(),
            PortAction::Detached { was: Some(was) } => format!("detached (before: {})", to(was)),
            PortAction::Detached { was: None } => "detached".to_owned(),
        };
        text += &format!("port    {} {what}\n", port.port);
    }
    for (change, diff) in entry.profiles.iter().zip(diffs) {
        let what = match (&change.before, &change.after) {
            (None, Some(after)) => format!("added ({after})"),
            (Some(before), None) => format!("removed ({before})"),
            (before, after) if before == after => "written again".to_owned(),
            (Some(before), Some(after)) => format!("changed ({before} to {after})"),
            (None, None) => "written again".to_owned(),
        };
        text += &format!("profile {} {what}\n{}", change.name, diff.diff);
        if let Some(problem) = &diff.problem {
            text += &format!("  {problem}\n");
        }
    }
    text
}

fn rolled_back(result: &RolledBack) -> String {
    let RolledBack { to, done, added, removed, changed, timeouts, rebound, ports, .. } = result;
    let mut text = if *done {
        format!("what was configured in generation {to} is configured again\n")
    } else {
        format!("rolling back to generation {to} would change:\n")
    };
    let then = ["as they were".to_owned()];
    let mut list = |what: &str, names: &[String]| {
        if !names.is_empty() {
            text += &format!("  {what}: {}\n", names.join(", "));
        }
    };
    list("profiles added", added);
    list("profiles removed", removed);
    list("profiles changed", changed);
    list("timeouts", if *timeouts { &then } else { &[] });
    list("ports held to what they were", rebound);
    list("ports with other rules", ports);
    list("ports that were not attached then, and stay", &result.attached_since);
    list("ports that were attached then, and stay away", &result.detached_since);
    text
}
