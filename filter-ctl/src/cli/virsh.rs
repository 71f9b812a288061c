//! virsh's commands for network filters, under their names, with its output, so that scripts go on.
//!
//! What virsh prints on success is printed to the byte, the empty line behind it included. Errors are two lines,
//! virsh's own and ours, and every failure is exit status 1. Tables are sorted as virsh sorts them, without regard to
//! case. Documents are read as libvirt reads them, with
//! warnings, and strictly with `--validate`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Subcommand};
use serde_json::json;

use super::Context;
use super::args::{ChangeArgs, PortArgs, ReadingArgs};
use crate::engine::Referred;
use crate::model::Profile;
use crate::service::failure::Failure;
use crate::xml::{self, FileError, nwfilter};

/// virsh's commands.
#[derive(Debug, Subcommand)]
pub enum Virsh {
    /// virsh: define or update a network filter from an XML file.
    #[command(name = "nwfilter-define", hide = true)]
    Define(Document),
    /// virsh: undefine a network filter.
    #[command(name = "nwfilter-undefine", hide = true)]
    Undefine(Filter),
    /// virsh: list network filters.
    #[command(name = "nwfilter-list", hide = true)]
    List,
    /// virsh: network filter information in XML.
    #[command(name = "nwfilter-dumpxml", hide = true)]
    Dumpxml(Filter),
    /// virsh: edit XML configuration for a network filter.
    #[command(name = "nwfilter-edit", hide = true)]
    Edit(Filter),
    /// virsh: create a network filter binding from an XML file.
    #[command(name = "nwfilter-binding-create", hide = true)]
    BindingCreate(Document),
    /// virsh: delete a network filter binding.
    #[command(name = "nwfilter-binding-delete", hide = true)]
    BindingDelete(Port),
    /// virsh: list network filter bindings.
    #[command(name = "nwfilter-binding-list", hide = true)]
    BindingList,
    /// virsh: network filter binding in XML.
    #[command(name = "nwfilter-binding-dumpxml", hide = true)]
    BindingDumpxml(Port),
}

/// A file, in either of virsh's ways.
#[derive(Debug, Args)]
pub struct Document {
    /// The file.
    #[arg(value_name = "FILE", required_unless_present = "file_option")]
    file: Option<PathBuf>,
    /// The file.
    #[arg(long = "file", value_name = "FILE", id = "file_option", conflicts_with = "file")]
    named: Option<PathBuf>,
    /// Refuse what libvirt reads as something else than is written.
    #[arg(long)]
    validate: bool,
}

impl Document {
    fn path(&self) -> &Path {
        self.file.as_deref().or(self.named.as_deref()).unwrap_or(Path::new(""))
    }

    fn reading(&self) -> ReadingArgs {
        ReadingArgs { lenient: !self.validate, strict: self.validate }
    }
}

/// A filter, in either of virsh's ways.
#[derive(Debug, Args)]
pub struct Filter {
    /// The filter's name, or its UUID.
    #[arg(value_name = "NWFILTER", required_unless_present = "nwfilter_option")]
    nwfilter: Option<String>,
    /// The filter's name, or its UUID.
    #[arg(long = "nwfilter", value_name = "NWFILTER", id = "nwfilter_option", conflicts_with = "nwfilter")]
    named: Option<String>,
}

impl Filter {
    fn text(&self) -> &str {
        self.nwfilter.as_deref().or(self.named.as_deref()).unwrap_or_default()
    }
}

/// A port, in either of virsh's ways.
#[derive(Debug, Args)]
pub struct Port {
    /// The port.
    #[arg(value_name = "BINDING", required_unless_present = "binding_option")]
    binding: Option<String>,
    /// The port.
    #[arg(long = "binding", value_name = "BINDING", id = "binding_option", conflicts_with = "binding")]
    named: Option<String>,
}

impl Port {
    fn text(&self) -> &str {
        self.binding.as_deref().or(self.named.as_deref()).unwrap_or_default()
    }
}

/// Runs one of virsh's commands.
pub fn run(context: &Context, command: &Virsh) -> Result<(), Failure> {
    match command {
        Virsh::Define(document) => {
            let file = document.path();
            let shown = file.display();
            let heading = format!("Failed to define network filter from {shown}");
            readable(file)?;
            let defined = context
                .defined(file, document.reading().reading(), ChangeArgs::default())
                .map_err(under(heading))?;
            let name = &defined.updated.profile;
            context.print_changed(&defined, || format!("Network filter {name} defined from {shown}\n\n"))
        }
        Virsh::Undefine(filter) => {
            let text = filter.text();
            let name = known(context, text)?.name;
            let removed = context
                .removed(name.as_str(), Referred::Remove)
                .map_err(under(format!("Failed to undefine network filter {text}")))?;
            context.print_changed(&json!({ "undefined": removed.profile, "ports": removed.ports }), || {
                format!("Network filter {text} undefined\n\n")
            })
        }
        Virsh::List => {
            let profiles = context.profiles().map_err(under("Failed to list network filters".to_owned()))?;
            let mut rows: Vec<[String; 2]> =
                profiles.into_iter().map(|profile| [profile.uuid, profile.name]).collect();
            rows.sort_by_key(|[_, name]| name.to_ascii_lowercase());
            let list: Vec<_> =
                rows.iter().map(|[uuid, name]| json!({ "uuid": uuid, "name": name })).collect();
            context.print(&list, || table(["UUID", "Name"], &rows))
        }
        Virsh::Dumpxml(filter) => {
            let profile = known(context, filter.text())?;
            let text = match profile.filter() {
                Some(filter) => nwfilter::print(&profile.name, filter),
                None => xml::print(&profile),
            };
            context.print(&json!({ "name": profile.name.as_str(), "xml": text }), || format!("{text}\n"))
        }
        Virsh::Edit(filter) => {
            let name = known(context, filter.text())?.name;
            let lenient = ReadingArgs { lenient: true, strict: false };
            let edited = context
                .edited(name.as_str(), lenient, ChangeArgs::default())
                .map_err(under(format!("Failed to edit network filter {name}")))?
                .1;
            let outcome = if edited.is_some() { "edited" } else { "not changed" };
            context.print_changed(&json!({ "profile": name.as_str(), "changed": edited.is_some() }), || {
                format!("Network filter {name} XML configuration {outcome}.\n\n")
            })
        }
        Virsh::BindingCreate(document) => {
            let file = document.path();
            let shown = file.display();
            readable(file)?;
            let attached = context
                .bound(file, document.reading().reading(), PortArgs::default())
                .map_err(under(format!("Failed to create network filter from {shown}")))?;
            context.print_changed(&attached, || {
                format!("Network filter binding on {} created from {shown}\n\n", attached.port)
            })
        }
        Virsh::BindingDelete(port) => {
            let port = port.text();
            context.detached(port).map_err(under(format!("failed to get nwfilter binding '{port}'")))?;
            context.print_changed(&json!({ "deleted": port }), || {
                format!("Network filter binding on {port} deleted\n\n")
            })
        }
        Virsh::BindingList => {
            let bindings =
                context.bindings().map_err(under("Failed to list network filter bindings".to_owned()))?;
            let mut rows: Vec<[String; 2]> = bindings
                .iter()
                .map(|port| {
                    let profiles = port.binding.as_ref().map(|binding| binding.profiles.join(","));
                    [port.port.clone(), profiles.unwrap_or_default()]
                })
                .collect();
            rows.sort_by_key(|[port, _]| port.to_ascii_lowercase());
            let list: Vec<_> =
                rows.iter().map(|[port, filter]| json!({ "port": port, "filter": filter })).collect();
            context.print(&list, || table(["Port Dev", "Filter"], &rows))
        }
        Virsh::BindingDumpxml(port) => {
            let name = port.text();
            let text = context
                .binding_document(name)
                .map_err(under(format!("failed to get nwfilter binding '{name}'")))?;
            context.print(&json!({ "port": name, "xml": text }), || format!("{text}\n"))
        }
    }
}

/// The failure below one of virsh's lines.
fn under(heading: String) -> impl FnOnce(Failure) -> Failure {
    move |failure| Failure { code: 1, heading: Some(heading), ..failure }
}

/// virsh has one line only for files that it cannot open.
fn readable(file: &Path) -> Result<(), Failure> {
    match xml::read_profile_file(file) {
        Err(FileError::Io { source, .. }) => {
            let system = source.to_string();
            let cause = system.split(" (os error").next().unwrap_or_default();
            let message = format!("Failed to open file '{}': {cause}", file.display());
            Err(Failure { heading: Some(String::new()), ..Failure::new(1, message) })
        }
        // What else is wrong with it is said below the command's own line.
        _ => Ok(()),
    }
}

fn known(context: &Context, text: &str) -> Result<Profile, Failure> {
    let heading = || format!("failed to get nwfilter '{text}'");
    let (_, profile) = context.profile(text).map_err(under(heading()))?;
    Ok(profile)
}

/// virsh's tables: a blank before each column, and the last one as wide as its longest cell.
fn table(heads: [&str; 2], rows: &[[String; 2]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].chars().count()]).max().unwrap_or(0)
    };
    let first = width(0);
    let line = |one: &str, other: &str| {
        let fill = " ".repeat(first.saturating_sub(one.chars().count()));
        format!(" {one}{fill}   {other}\n")
    };
    let mut text = line(heads[0], heads[1]);
    text += &format!("{}\n", "-".repeat(first + width(1) + 6));
    for [one, other] in rows {
        text += &line(one, other);
    }
    text + "\n"
}

/// What virsh says of a command line of one of its commands that makes no sense; `None` if it is none of those.
pub fn misuse(arguments: &[OsString], error: &clap::Error) -> Option<String> {
    use clap::CommandFactory as _;
    if !error.use_stderr() {
        return None;
    }
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let command = Virsh::augment_subcommands(super::args::Cli::command());
    let name = words.iter().find(|word| {
        command.find_subcommand(word.as_ref()).is_some_and(|found| {
            found.get_name().starts_with("nwfilter-") && found.get_name() == word.as_ref()
        })
    })?;
    let invalid = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.clone(),
        Some(ContextValue::Strings(arguments)) => arguments.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    Some(match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            let option = invalid.trim_matches(['<', '>', '-']).to_lowercase();
            let option = option.split([' ', '|', '>']).next().unwrap_or_default();
            format!("command '{name}' requires <{option}> option")
        }
        ErrorKind::UnknownArgument if invalid.starts_with('-') => {
            format!("command '{name}' doesn't support option {invalid}")
        }
        ErrorKind::UnknownArgument => format!("unexpected data '{invalid}'"),
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    })
}
