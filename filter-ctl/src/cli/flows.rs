//! `flows`: connections that a port follows.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::table::Table;
use super::{Context, bytes, say};
use crate::engine::{FlowFilter, FlowSummary, FlowView, FlowsImported, StageName};
use crate::model::{IpNetwork, IpProtocol};
use crate::service::failure::{Failure, USAGE};
use crate::service::{
    CutFlows, ExportFlows, File, FlowsCut, ImportFlows, ListFlows, ListedFlows, SummarizeFlows,
};

/// What is done with connections; they are listed if nothing is said.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct FlowsArgs {
    /// What is done.
    #[command(subcommand)]
    command: Option<FlowsCommand>,
    /// What is listed.
    #[command(flatten)]
    list: ListArgs,
}

/// What is done with connections.
#[derive(Clone, Debug, Subcommand)]
enum FlowsCommand {
    /// List connections; the same as `flows PORT`.
    List(ListArgs),
    /// Take connections out: packets of them belong to none from then on.
    Cut {
        /// The port.
        port: String,
        /// Which.
        #[command(flatten)]
        filter: FilterArgs,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
    /// Write all connections, and what was learned of the port's addresses, to standard output, for `flows import`.
    Export {
        /// The port.
        port: String,
    },
    /// Take connections over that another host has exported, beside those that the port follows.
    ///
    /// A file that is damaged changes nothing.
    Import {
        /// The port.
        port: String,
        /// The file; standard input if none is given.
        file: Option<PathBuf>,
    },
}

/// What is listed.
#[derive(Clone, Debug, Args)]
struct ListArgs {
    /// The port.
    #[arg(required = true)]
    port: Option<String>,
    /// Which connections.
    #[command(flatten)]
    filter: FilterArgs,
    /// Say how many there are, and nothing of each.
    #[arg(long)]
    summary: bool,
    /// List them again every second.
    #[arg(long)]
    watch: bool,
}

/// Which connections.
#[derive(Clone, Debug, Args)]
struct FilterArgs {
    /// Those of this protocol: a name or a number.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<IpProtocol>,
    /// Those that have come this far: new, established, or a state of TCP or SCTP such as `syn-sent` or `time-wait`.
    #[arg(long, value_name = "STATE")]
    state: Option<StageName>,
    /// Those in which the virtual machine has this address, or one of this network.
    #[arg(long, value_name = "ADDRESS[/LENGTH]")]
    local: Option<IpNetwork>,
    /// Those in which the other end has.
    #[arg(long, value_name = "ADDRESS[/LENGTH]")]
    remote: Option<IpNetwork>,
    /// Those in which one of the ends has this port.
    #[arg(long = "port", value_name = "NUMBER")]
    port_number: Option<u16>,
}

impl FilterArgs {
    fn filter(&self) -> FlowFilter {
        FlowFilter {
            protocol: self.protocol,
            state: self.state,
            local: self.local,
            remote: self.remote,
            port: self.port_number,
        }
    }
}

impl Context {
    pub(super) fn flows(&self, args: FlowsArgs) -> Result<(), Failure> {
        match args.command {
            None => self.list_flows(&args.list),
            Some(FlowsCommand::List(list)) => self.list_flows(&list),
            Some(FlowsCommand::Cut { port, filter, all }) => self.cut_flows(&port, &filter.filter(), all),
            Some(FlowsCommand::Export { port }) => self.export_flows(&port),
            Some(FlowsCommand::Import { port, file }) => self.import_flows(&port, file.as_deref()),
        }
    }

    fn list_flows(&self, list: &ListArgs) -> Result<(), Failure> {
        let port = list.port.as_deref().unwrap_or_default();
        let filter = list.filter.filter();
        let every = list.watch.then_some(1);
        if list.summary {
            return self.watch(SummarizeFlows { port: port.to_owned() }, every, |summary| {
                self.print(&summary, || in_words(&summary))
            });
        }
        let chosen = !filter.is_empty();
        self.watch(ListFlows { port: port.to_owned(), filter }, every, |ListedFlows { flows, summary }| {
            self.show_flows(&flows, &summary, chosen)
        })
    }

    fn show_flows(&self, flows: &[FlowView], summary: &FlowSummary, chosen: bool) -> Result<(), Failure> {
        if self.json {
            return flows.iter().try_for_each(|flow| self.print(flow, String::new));
        }
        let mut text = if flows.is_empty() { String::new() } else { format!("{}\n", table(flows)) };
        if chosen {
            text += &format!("{} shown; ", flows.len());
        }
        say(&(text + &in_words(summary)));
        Ok(())
    }

    fn cut_flows(&self, port: &str, filter: &FlowFilter, all: bool) -> Result<(), Failure> {
        if filter.is_empty() != all {
            let message = if all {
                "--all means all connections; leave it out, or what tells some from others"
            } else {
                "which connections? Tell some from others (--remote and so on), or take all (--all)"
            };
            return Err(Failure::new(USAGE, message));
        }
        let FlowsCut { cut } = self.call(CutFlows { port: port.to_owned(), filter: filter.clone() })?;
        self.print(&json!({ "port": port, "cut": cut }), || format!("{} of {port} cut\n", connections(cut)))
    }

    fn export_flows(&self, port: &str) -> Result<(), Failure> {
        if io::stdout().is_terminal() {
            return Err(Failure::new(USAGE, "what is exported is no text: give standard output a file"));
        }
        let File { bytes } = self.call(ExportFlows { port: port.to_owned() })?;
        bytes::write_out(&bytes)
    }

    fn import_flows(&self, port: &str, file: Option<&Path>) -> Result<(), Failure> {
        let imported = bytes::with_file(file, |bytes| {
            self.call(ImportFlows { port: port.to_owned(), file: File { bytes } })
        })?;
        self.print(&imported, || {
            let FlowsImported { imported, there, no_room, learned, .. } = &imported;
            let mut text = format!("{port} goes on with {}", connections(*imported));
            if *there > 0 {
                text += &format!(", and follows {there} of the file already");
            }
            if *no_room > 0 {
                text += &format!("; THERE WAS NO ROOM FOR {no_room}");
            }
            if *learned {
                text += "; it knows the addresses that were learned";
            }
            text + "\n"
        })
    }
}

/// So many connections, in words.
pub fn connections(count: usize) -> String {
    if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") }
}

/// How full a table is, in words.
pub fn in_words(summary: &FlowSummary) -> String {
    let FlowSummary { used, notes, room, refused, moving } = *summary;
    let mut text = format!("{} of {room} that there is room for", connections(used));
    if notes > 0 {
        text += &format!(", {notes} notes of fragments");
    }
    if refused > 0 {
        text += &format!("; {refused} packets REFUSED for want of room");
    }
    if moving {
        text += "; on their way to another table";
    }
    text + "\n"
}

fn table(flows: &[FlowView]) -> Table {
    let mut table =
        Table::new(&["PROTOCOL", "STATE", "FROM", "LOCAL", "REMOTE", ">VLAN", ">IDLE", ">LEFT", "RULE"]);
    for flow in flows {
        let end = |address: std::net::IpAddr, port: Option<u16>| {
            port.map_or_else(
                || address.to_string(),
                |port| std::net::SocketAddr::new(address, port).to_string(),
            )
        };
        let vlans: Vec<String> = flow.vlans.iter().map(ToString::to_string).collect();
        let remote = end(flow.remote, flow.remote_port);
        let remote = flow.identifier.map_or(remote.clone(), |identifier| format!("{remote} id {identifier}"));
        table.row([
            flow.protocol.clone(),
            flow.state.to_string(),
            if flow.origin == "out" { "local" } else { "remote" }.to_owned(),
            end(flow.local, flow.local_port),
            remote,
            vlans.join("."),
            format!("{}s", flow.idle),
            format!("{}s", flow.remaining),
            flow.rule.clone().unwrap_or_default(),
        ]);
    }
    table
}
