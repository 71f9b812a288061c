//! `diff`, and `--dry-run` of `update` and `define`: what a change of profiles would change.

use std::path::Path;

use super::args::ChangeArgs;
use super::failure::Failure;
use super::flows::connections;
use super::table::Table;
use super::{Context, profiles};
use crate::engine::{self, Diff, ProfileDiff};
use crate::xml::{self, Reading};

impl Context {
    /// Documents are given by their files, profiles that are kept by their names.
    pub(super) fn diff(&self, what: &[String], reading: Reading, change: ChangeArgs) -> Result<(), Failure> {
        let (mut documents, mut names) = (Vec::new(), Vec::new());
        for text in what {
            let path = Path::new(text);
            if text.contains('/') || path.extension().is_some_and(|it| it == "xml") || path.is_file() {
                let parsed = xml::read_profile_with(path, reading)?;
                self.warn(path, &parsed.warnings.into_iter().map(Into::into).collect::<Vec<_>>());
                documents.push((parsed.profile, reading));
            } else {
                names.push(profiles::profile_name(text)?);
            }
        }
        let diff = engine::diff(&self.folders, documents, &names, change.flows)
            .map_err(|error| self.failure(&error))?;
        self.print(&diff, || shown(&diff))
    }

    /// What putting a document in force would change. With `must_be`: only if there is a profile of its name.
    pub(super) fn try_out(
        &self,
        file: &Path,
        reading: Reading,
        change: ChangeArgs,
        must_be: bool,
    ) -> Result<(), Failure> {
        let parsed = xml::read_profile_with(file, reading)?;
        let name = parsed.profile.name.clone();
        if must_be && self.profiles()?.get(&name).is_none() {
            return Err(profiles::no_profile(name.as_str()));
        }
        self.warn(file, &parsed.warnings.into_iter().map(Into::into).collect::<Vec<_>>());
        let diff = engine::diff(&self.folders, vec![(parsed.profile, reading)], &[], change.flows)
            .map_err(|error| self.failure_in(&error, file, &name))?;
        self.print(&diff, || shown(&diff))
    }
}

fn shown(diff: &Diff) -> String {
    let mut text = String::new();
    for profile in &diff.profiles {
        let ProfileDiff { profile: name, is_new, added, removed, changed, text: difference } = profile;
        let mut parts = Vec::new();
        for (what, rules) in [("added", added), ("removed", removed), ("changed", changed)] {
            if !rules.is_empty() {
                parts.push(format!("{what}: {}", rules.join(", ")));
            }
        }
        let new = if *is_new { " is new;" } else { "" };
        if difference.is_empty() {
            text += &format!("{name} stays as it is\n");
        } else if parts.is_empty() {
            text += &format!("{name}:{new} the same rules, otherwise written or in another order\n");
        } else {
            text += &format!("{name}:{new} rules {}\n", parts.join("; "));
        }
        text += difference;
    }
    if diff.ports.is_empty() {
        text += "no port uses it\n";
    } else {
        let mut table = Table::new(&["PORT", "RULES", ">NEW", ">GONE", "NODES", ">KEPT", ">CUT"]);
        for port in &diff.ports {
            table.row([
                port.port.clone(),
                format!("{} -> {}", port.rules[0], port.rules[1]),
                port.added.to_string(),
                port.removed.to_string(),
                format!("{} -> {}", port.nodes[0], port.nodes[1]),
                port.kept.to_string(),
                port.cut.to_string(),
            ]);
        }
        text += &format!("{table}{} kept, {} cut\n", connections(diff.kept), diff.cut);
    }
    match &diff.no_room {
        Some(problem) => text += &format!("THERE IS NO ROOM: {problem}\n"),
        None => text += "nothing was changed\n",
    }
    text
}
