//! `diff`, and `--dry-run` of `update` and `define`: what a change of profiles would change.

use std::path::Path;

use super::Context;
use super::args::ChangeArgs;
use super::flows::connections;
use super::table::Table;
use crate::engine::{Diff, ProfileDiff};
use crate::service::DiffProfiles;
use crate::service::failure::Failure;
use crate::xml::Reading;

impl Context {
    /// Documents are given by their files, profiles that are kept by their names.
    pub(super) fn diff(&self, what: &[String], reading: Reading, change: ChangeArgs) -> Result<(), Failure> {
        let (mut documents, mut names) = (Vec::new(), Vec::new());
        for text in what {
            let path = Path::new(text);
            if text.contains('/') || path.extension().is_some_and(|it| it == "xml") || path.is_file() {
                documents.push(self.document(path, reading)?.0);
            } else {
                names.push(text.clone());
            }
        }
        let profiles = names;
        let diff =
            self.call(DiffProfiles { documents, profiles, reading, flows: change.flows, must_be: false })?;
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
        let documents = vec![self.document(file, reading)?.0];
        let flows = change.flows;
        let diff = self.call(DiffProfiles { documents, profiles: Vec::new(), reading, flows, must_be })?;
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
    for port in &diff.unknown {
        text += &format!("{port}\n");
    }
    match &diff.no_room {
        Some(problem) => text += &format!("THERE IS NO ROOM: {problem}\n"),
        None => text += "nothing was changed\n",
    }
    text
}
