//! `migrate`: a port's state to a file, and from a file to a port.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::flows::connections;
use super::{Context, bytes};
use crate::datapath::FlowSpec;
use crate::engine::{PortRestored, PortSaved};
use crate::service::failure::{Failure, USAGE};
use crate::service::{self, RestorePort, SavePort, SavedPort};

/// What is done with a port's state.
#[derive(Clone, Debug, Subcommand)]
pub enum MigrateCommand {
    /// Write a port's state; the port goes on.
    ///
    /// A summary goes to standard output, or to standard error where the state goes there.
    Save {
        /// The port.
        port: String,
        /// Where to; standard output if it is not said. A file that is there is replaced when the new one is whole.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Attach a port with the state of another, before the guest runs behind it.
    ///
    /// All of it is in force before a packet is judged, or nothing is: a file that is damaged, or of another version,
    /// changes nothing.
    Restore {
        /// The port; it may have another name than where the state was saved.
        port: String,
        /// The file; standard input if none is given.
        file: Option<PathBuf>,
        /// How.
        #[command(flatten)]
        options: RestoreArgs,
    },
}

/// How a state is put in force.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// Put the state in the place of all that the port has, if it is attached already.
    #[arg(long)]
    replace: bool,
    /// Hold the port to profiles that say something else here than where it was saved.
    ///
    /// Connections go on that these would let begin.
    #[arg(long)]
    allow_other_profiles: bool,
    /// The state was saved while the guest still ran: do not hold TCP's sequence numbers against windows any more.
    ///
    /// For connections of the state, as long as they last. Without it segments are dropped whose numbers are beyond what was
    /// allowed when the state was saved.
    #[arg(long)]
    stale: bool,
    /// Make room for so many connections, whatever the binding says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(FlowSpec::MOST)))]
    flows_max: Option<u32>,
}

impl Context {
    pub(super) fn migrate(&self, command: MigrateCommand) -> Result<(), Failure> {
        match command {
            MigrateCommand::Save { port, output } => self.save_port(&port, output.as_deref()),
            MigrateCommand::Restore { port, file, options } => {
                self.restore_port(&port, file.as_deref(), &options)
            }
        }
    }

    fn save_port(&self, port: &str, output: Option<&Path>) -> Result<(), Failure> {
        if output.is_none() && io::stdout().is_terminal() {
            return Err(Failure::new(
                USAGE,
                "a state is no text: give it a file (-o FILE), or standard output one",
            ));
        }
        let SavedPort { saved, file: service::File { bytes } } =
            self.call(SavePort { port: port.to_owned() })?;
        if let Some(path) = output {
            write(path, &bytes).map_err(|error| Failure::io(path, &error))?;
            return self.print(&saved, || said_saved(&saved));
        }
        bytes::write_out(&bytes)?;
        if self.json {
            let text = serde_json::to_string(&saved).map_err(|error| Failure::new(1, error.to_string()))?;
            eprintln!("{text}");
        } else {
            eprint!("{}", said_saved(&saved));
        }
        Ok(())
    }

    fn restore_port(&self, port: &str, file: Option<&Path>, args: &RestoreArgs) -> Result<(), Failure> {
        let restored = bytes::with_file(file, |bytes| {
            self.call(RestorePort {
                port: port.to_owned(),
                file: service::File { bytes },
                replace: args.replace,
                other_profiles: args.allow_other_profiles,
                stale: args.stale,
                flows_max: args.flows_max,
            })
        })?;
        self.print_changed(&restored, || said_restored(&restored))
    }
}

/// Writes a file beside `path`, and puts it in its place when it is whole: what was there stays good until then. A
/// device or a pipe is written to as it is.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let written = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // The error says what is wrong with the folder.
        let _ = fs::remove_file(&aside);
    }
    written
}

fn many(count: usize, one: &str, more: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {more}") }
}

fn parts(flows: usize, addresses: usize, counters: usize) -> String {
    format!(
        "{}, {} and {}",
        connections(flows),
        many(addresses, "learned address", "learned addresses"),
        many(counters, "counter", "counters")
    )
}

fn said_saved(saved: &PortSaved) -> String {
    let PortSaved { port, profiles, flows, addresses, counters, bytes } = saved;
    format!(
        "{port} is saved: {}, {} in {bytes} bytes\n",
        profiles.join(", "),
        parts(*flows, *addresses, *counters)
    )
}

fn said_restored(restored: &PortRestored) -> String {
    let PortRestored { port, saved_of, profiles, flows, addresses, counters, bytes, .. } = restored;
    let mut text = format!(
        "{port} goes on as {saved_of}: {}, {} from {bytes} bytes\n",
        profiles.join(", "),
        parts(*flows, *addresses, *counters)
    );
    if !restored.other_profiles.is_empty() {
        text += &format!(
            "warning: {} here says something else than where the port was saved; {} cut\n",
            restored.other_profiles.join(", "),
            connections(restored.flows_cut)
        );
    } else if restored.flows_cut > 0 {
        text += &format!("warning: {} cut\n", connections(restored.flows_cut));
    }
    if !restored.counters_left.is_empty() {
        text += &format!(
            "warning: nothing here counts what {} counted: {}\n",
            many(restored.counters_left.len(), "counter", "counters"),
            restored.counters_left.join(", ")
        );
    }
    text
}
