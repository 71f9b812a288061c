//! `set`: named sets, their members, and those of the kernel's firewall taken over.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Subcommand};
use serde_json::json;

use super::progress::Progress;
use super::table::Table;
use super::{Context, say};
use crate::engine::SetChanged;
use crate::ipset::{self, IpsetError, Listed};
use crate::model::{SetKind, SetName};
use crate::service::failure::{CHECK, Failure, INVALID, KERNEL, NOT_FOUND, USAGE};
use crate::service::{
    AddToSet, CreateSet, DestroySet, ListMembers, ListSets, ListedSets, NamedSet, RemoveFromSet, ReplaceSet,
    SetMembers, TestSet, Tested,
};

/// What is done with sets.
#[derive(Clone, Debug, Subcommand)]
pub enum SetCommand {
    /// Make a set with nothing in it.
    Create {
        /// Its name.
        name: SetName,
        /// What is in it.
        #[arg(long = "type", value_name = "TYPE")]
        kind: SetKind,
    },
    /// Remove a set that no port asks for.
    Destroy {
        /// Its name.
        name: SetName,
    },
    /// Add members, all or none; at once in force on all ports that ask for the set.
    Add {
        /// The set's name.
        name: SetName,
        /// `192.0.2.1`, `192.0.2.0/24`, `192.0.2.1,tcp:443` or `52:54:00:12:34:56`, by the set's type.
        #[arg(required = true)]
        entry: Vec<String>,
    },
    /// Take members out, all or none.
    Del {
        /// The set's name.
        name: SetName,
        /// As for `add`.
        #[arg(required = true)]
        entry: Vec<String>,
    },
    /// List sets, or what is in one.
    List {
        /// The set's name.
        name: Option<SetName>,
    },
    /// Take all members out of a set, in one step.
    Flush {
        /// The set's name.
        name: SetName,
    },
    /// Add what a file lists, or what an ipset of the kernel holds; all or none, in one step.
    ///
    /// A file has a member on each line, and remarks behind a `#`; or it is what `ipset save` prints.
    #[command(group = ArgGroup::new("source").required(true).args(["file", "ipset"]))]
    Import {
        /// The set's name.
        name: SetName,
        /// The file; `-` is standard input.
        file: Option<PathBuf>,
        /// Take the members of this set of the kernel's firewall, as `ipset list` shows them.
        #[arg(long, value_name = "KERNELSET")]
        ipset: Option<String>,
        /// Put them in the place of what is in the set: packets meet the old members or the new.
        #[arg(long)]
        replace: bool,
        /// Take members for good that would go by themselves after a time.
        #[arg(long)]
        ignore_timeouts: bool,
    },
    /// Say whether something is in a set; exit code 7 if it is not.
    ///
    /// For a set of networks: whether an address, or a network as a whole, lies in one of them.
    Test {
        /// The set's name.
        name: SetName,
        /// As for `add`.
        entry: String,
    },
}

impl Context {
    pub(super) fn set(&self, command: SetCommand) -> Result<(), Failure> {
        match command {
            SetCommand::Create { name, kind } => {
                let made = self.call(CreateSet { set: name.to_string(), kind })?;
                self.print_changed(&made, || format!("set {name} is made, of type {kind}\n"))
            }
            SetCommand::Destroy { name } => {
                let NamedSet { set } = self.call(DestroySet { set: name.to_string() })?;
                self.print_changed(&json!({ "name": set }), || format!("set {name} is removed\n"))
            }
            SetCommand::Add { name, entry } => {
                self.changed(&self.call(AddToSet { set: name.to_string(), members: entry })?)
            }
            SetCommand::Del { name, entry } => {
                self.changed(&self.call(RemoveFromSet { set: name.to_string(), members: entry })?)
            }
            SetCommand::List { name: None } => self.list_sets(),
            SetCommand::List { name: Some(name) } => {
                let SetMembers { members } = self.call(ListMembers { set: name.to_string() })?;
                self.print(&members, || members.iter().map(|member| format!("{member}\n")).collect())
            }
            SetCommand::Flush { name } => {
                self.changed(&self.call(ReplaceSet { set: name.to_string(), members: Vec::new() })?)
            }
            SetCommand::Import { name, file, ipset, replace, ignore_timeouts } => {
                let kind = self.set_kind(&name)?;
                let listed = match (&file, &ipset) {
                    (_, Some(kernel_set)) => of_kernel(&name, kind, kernel_set)?,
                    (Some(path), None) => of_file(&name, kind, path)?,
                    (None, None) => return Err(Failure::new(USAGE, "no file was given")),
                };
                if listed.temporary > 0 && !ignore_timeouts {
                    return Err(Failure::new(
                        INVALID,
                        format!(
                            "{} members would go by themselves after a time, which those of sets here do not; \
                             --ignore-timeouts takes them for good",
                            listed.temporary
                        ),
                    ));
                }
                let set = name.to_string();
                let members = listed.members.iter().map(ToString::to_string).collect();
                let progress = Progress::of("members loaded");
                self.changed(&if replace {
                    self.client.call_with(ReplaceSet { set, members }, progress)?
                } else {
                    self.client.call_with(AddToSet { set, members }, progress)?
                })
            }
            SetCommand::Test { name, entry } => self.test_set(&name, &entry),
        }
    }

    fn changed(&self, changed: &SetChanged) -> Result<(), Failure> {
        self.print(changed, || {
            let SetChanged { name, added, removed, members } = changed;
            let what = match (added, removed) {
                (0, 0) => "nothing to change".to_owned(),
                (added, 0) => format!("{added} added"),
                (0, removed) => format!("{removed} taken out"),
                (added, removed) => format!("{added} added, {removed} taken out"),
            };
            format!("set {name}: {what}, {members} members\n")
        })
    }

    fn set_kind(&self, name: &SetName) -> Result<SetKind, Failure> {
        let ListedSets { sets, damaged } = self.call(ListSets {})?;
        if let Some(set) = sets.iter().find(|set| set.name == name.as_str()) {
            return Ok(set.kind);
        }
        for problem in damaged {
            eprintln!("filter-ctl: {problem}");
        }
        let message = format!("there is no set `{name}`; `filter-ctl set list` shows those there are");
        Err(Failure::new(NOT_FOUND, message))
    }

    fn list_sets(&self) -> Result<(), Failure> {
        let ListedSets { sets, damaged } = self.call(ListSets {})?;
        for problem in damaged {
            eprintln!("filter-ctl: {problem}");
        }
        self.print(&sets, || {
            if sets.is_empty() {
                return "there are no sets\n".to_owned();
            }
            let mut table = Table::new(&["SET", "TYPE", ">MEMBERS", "PORTS"]);
            for set in &sets {
                let (name, kind) = (set.name.clone(), set.kind.to_string());
                table.row([name, kind, set.members.to_string(), set.ports.join(" ")]);
            }
            table.to_string()
        })
    }

    fn test_set(&self, name: &SetName, entry: &str) -> Result<(), Failure> {
        let Tested { is_in } = self.call(TestSet { set: name.to_string(), member: entry.to_owned() })?;
        if self.json {
            say(&format!("{}\n", json!({ "set": name.as_str(), "entry": entry, "in": is_in })));
        } else if is_in {
            say(&format!("{entry} is in set {name}\n"));
        }
        if is_in {
            return Ok(());
        }
        Err(Failure::said(CHECK, format!("{entry} is not in set {name}"), self.json))
    }
}

fn of_file(name: &SetName, kind: SetKind, path: &Path) -> Result<Listed, Failure> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|error| Failure::io(path, &error))?;
    ipset::parse(&text, name.as_str(), kind)
        .map_err(|error| Failure::new(INVALID, format!("{}:{error}", path.display())))
}

fn of_kernel(name: &SetName, kind: SetKind, kernel_set: &str) -> Result<Listed, Failure> {
    let set = ipset::read(kernel_set).map_err(|error| {
        let code = match &error {
            IpsetError::NotFound(_) => NOT_FOUND,
            IpsetError::Foreign { .. } => INVALID,
            _ => KERNEL,
        };
        Failure::new(code, error.to_string())
    })?;
    if set.kind != kind {
        return Err(Failure::new(
            INVALID,
            format!(
                "ipset `{kernel_set}` is `{}` here, and set `{name}` is of type `{kind}`; make another: `filter-ctl set \
                 create NAME --type {}`",
                set.kind, set.kind
            ),
        ));
    }
    Ok(set.into())
}
