//! `doctor`: what is wrong on this host, and what to do about it.

use std::io::{self, IsTerminal as _};

use clap::Args;

use super::Context;
use crate::engine::{Diagnosis, Finding, PortStack, Repaired, Severity};
use crate::service::failure::{CHECK, Failure};
use crate::service::{Diagnose, Repair};

/// What is looked at.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Look at the host and at this port; at all ports if none is named.
    pub port: Option<String>,
    /// Mend first what is not as it was put there: links, records, graphs. Nothing else is touched.
    #[arg(long)]
    pub repair: bool,
}

impl Context {
    pub(super) fn doctor(&self, args: &DoctorArgs) -> Result<(), Failure> {
        let repaired =
            if args.repair { self.call(Repair { port: args.port.clone() })?.ports } else { Vec::new() };
        let diagnosis = self.call(Diagnose { port: args.port.clone() })?;
        let mut value =
            serde_json::to_value(&diagnosis).map_err(|error| Failure::new(1, error.to_string()))?;
        if args.repair {
            value["repaired"] =
                serde_json::to_value(&repaired).map_err(|error| Failure::new(1, error.to_string()))?;
        }
        self.print(&value, || text(&diagnosis, &repaired, io::stdout().is_terminal()))?;
        match diagnosis.count(Severity::Problem) {
            0 => Ok(()),
            problems => {
                let message = format!("{} found", super::show::count(problems, "problem", "problems"));
                Err(Failure::said(CHECK, message, self.json))
            }
        }
    }
}

fn text(diagnosis: &Diagnosis, repaired: &[Repaired], colour: bool) -> String {
    let mut text = String::new();
    for Repaired { port, mended, left } in repaired {
        let mended: Vec<&str> = mended.iter().map(|kind| kind.name()).collect();
        text += &if left.is_empty() {
            format!("{port}: mended {}\n", mended.join(", "))
        } else {
            format!("{port}: could not be mended: {left}\n")
        };
    }
    let mut about = "";
    for finding in &diagnosis.findings {
        if finding.about != about {
            about = &finding.about;
            text += &format!("{}{about}\n", if text.is_empty() { "" } else { "\n" });
            text += &stacks(&diagnosis.stacks, about);
        }
        text += &of_finding(finding, colour);
    }
    let counts = [Severity::Problem, Severity::Warning, Severity::Note];
    let [problems, warnings, notes] = counts.map(|severity| diagnosis.count(severity));
    let count = super::show::count;
    text += &format!(
        "\n{}, {}, {}\n",
        count(problems, "problem", "problems"),
        count(warnings, "warning", "warnings"),
        count(notes, "note", "notes")
    );
    text
}

fn of_finding(finding: &Finding, colour: bool) -> String {
    let escape = match finding.severity {
        _ if !colour => "",
        Severity::Ok => "\x1b[32m",
        Severity::Note => "\x1b[36m",
        Severity::Warning => "\x1b[33m",
        Severity::Problem => "\x1b[1;31m",
    };
    let end = if escape.is_empty() { "" } else { "\x1b[0m" };
    let mut text = format!("  {escape}{:7}{end}  {}\n", finding.severity.name(), finding.found);
    if !finding.means.is_empty() {
        text += &format!("           {}\n", finding.means);
    }
    if !finding.advice.is_empty() {
        text += &format!("           -> {}\n", finding.advice);
    }
    text
}

/// What runs on a port, in order.
fn stacks(stacks: &[PortStack], about: &str) -> String {
    let of_port = stacks.iter().filter(|stack| about.strip_prefix("port ") == Some(&stack.port));
    of_port
        .map(|stack| {
            let programs = stack.programs.iter().map(|program| {
                let id = program.id.map_or_else(String::new, |id| format!(" {id}"));
                let ours = if program.ours { " (ours)" } else { "" };
                let passes = if program.may_pass_us { " (BEFORE US)" } else { "" };
                let name = if program.name.is_empty() { String::new() } else { format!(" {}", program.name) };
                format!("{}{id}{name}{ours}{passes}", program.place)
            });
            let programs: Vec<String> = programs.collect();
            let programs = if programs.is_empty() { "nothing".to_owned() } else { programs.join(", then ") };
            format!("  {:7}  {programs}\n", stack.direction)
        })
        .collect()
}
