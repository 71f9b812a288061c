//! The command line: the one definition that help, completions and manual pages come from.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use filter_common::Direction;

use crate::datapath::LogLevel;
use crate::store::{Binding, Fail, Mode};

/// Filters the packets of virtual machines on the host, out of the guests' reach.
///
/// Profiles (XML) say what a virtual machine may send and receive. A profile is put in force on a tap with
/// `attach`, and changed for all ports that use it with `update`; packets are judged in the kernel by a
/// compiled form of it. No daemon is needed: what is attached stays in force.
///
/// Directions are the virtual machine's: `out` is from it, `in` is to it.
#[derive(Debug, Parser)]
#[command(name = "filter-ctl", version, max_term_width = 100, after_long_help = EXIT_CODES)]
pub struct Cli {
    /// Keep profiles and the state of ports below this folder, not in /etc and /run.
    #[arg(long, global = true, value_name = "DIR", env = "FILTER_CTL_ROOT")]
    pub root: Option<PathBuf>,
    /// Pin programs and maps below this folder, which must be in a BPF file system.
    ///
    /// Give it together with --root: a folder of pins belongs to one state.
    #[arg(long, global = true, value_name = "DIR", env = "FILTER_CTL_BPFFS")]
    pub bpffs: Option<PathBuf>,
    /// Print JSON for programs, not text for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed for a reason not listed here
  2  the command line makes no sense
  3  what was named is not there (a profile, a port, a device, a file)
  4  a conflict: it is there already, or in use
  5  bad input: a profile, a value, a device that cannot be filtered
  6  the kernel or its permissions
  7  explain: the loaded program and the reference interpreter disagree, or validate: some files are bad

Start here:
  filter-ctl attach vnet0 --profile generic-layer2
  filter-ctl ports
  filter-ctl stats vnet0";

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a profile.
    #[command(alias = "nwfilter-create")]
    Create {
        /// The profile's file.
        file: PathBuf,
    },
    /// Remove a profile that nobody uses.
    #[command(alias = "nwfilter-destroy")]
    Destroy {
        /// The profile's name.
        name: String,
    },
    /// List profiles.
    #[command(alias = "nwfilter-list")]
    List,
    /// Print a profile in its canonical form.
    #[command(alias = "nwfilter-dumpxml")]
    Dumpxml {
        /// The profile's name.
        name: String,
    },
    /// Change a profile, and all ports that use it at once, or none.
    #[command(alias = "nwfilter-update")]
    Update {
        /// The file with what the profile shall be from now on.
        file: PathBuf,
    },
    /// Change a profile in $EDITOR.
    ///
    /// What was typed is never lost: where it is refused the editor can be entered again, and the text stays
    /// in a file that is named.
    #[command(alias = "nwfilter-edit")]
    Edit {
        /// The profile's name.
        name: String,
    },
    /// Make a profile that says the same as another.
    #[command(alias = "nwfilter-create-from")]
    CreateFrom {
        /// The profile that is there.
        name: String,
        /// The new one's name.
        new: String,
    },
    /// Check profiles in files without keeping them.
    Validate {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Look for profiles that they refer to in this folder too, before the installed ones.
        #[arg(long, value_name = "DIR")]
        profile_dir: Option<PathBuf>,
    },
    /// Filter a port, or change what it does.
    ///
    /// Addresses that the profiles need and that are not given are learned from the guest's first valid frame
    /// (MAC) and its first ARP or IPv4 packet (IP); nothing but what learning needs passes before. `ports`
    /// shows what was learned.
    Attach {
        /// The tap, or the host's end of a veth pair.
        port: String,
        /// What the port is held to.
        #[command(flatten)]
        binding: BindingArgs,
        /// Which diagnostics the classifiers log for `kernel-log`, if this is what loads them: they are
        /// loaded with the first port.
        #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
        kernel_log: LogLevel,
    },
    /// Stop filtering a port.
    Detach {
        /// The port.
        port: String,
    },
    /// List ports: what is in force on them, and what was learned of them.
    Ports,
    /// Show the counters of a port, by rule and by drop reason.
    Stats {
        /// The port.
        port: String,
        /// Show them again every so many seconds, with what was added.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
              value_parser = clap::value_parser!(u64).range(1..=3600))]
        watch: Option<u64>,
        /// Show rules that no packet has met, too.
        #[arg(long)]
        all: bool,
    },
    /// Say what becomes of a frame, and why.
    ///
    /// Runs the loaded program over the frames, in order, and the reference interpreter beside it. A port's
    /// counters do not count these frames, and it learns nothing from them.
    Explain(ExplainArgs),
    /// Print the classifiers' own diagnostics as they come: packets they could not judge.
    ///
    /// There are none unless the classifiers were loaded with `attach --kernel-log`.
    KernelLog {
        /// Print what is there and end.
        #[arg(long)]
        once: bool,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder.
    Man {
        /// The folder.
        folder: PathBuf,
    },
}

/// What a port is held to.
#[derive(Debug, Args)]
pub struct BindingArgs {
    /// A profile; several are checked one after the other, and a packet must pass them all.
    #[arg(long = "profile", value_name = "NAME", required = true)]
    pub profiles: Vec<String>,
    /// The virtual machine's MAC address (THIS_MAC).
    #[arg(long, value_name = "MAC")]
    pub mac: Option<String>,
    /// An IP address of the virtual machine (THIS_IP); several may be given.
    #[arg(long = "ip", value_name = "ADDRESS")]
    pub addresses: Vec<IpAddr>,
    /// A parameter of the profiles ($NAME); given again, it is a list.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// Whether malformed and evasive frames are dropped before any rule (strict), or rules alone decide
    /// (libvirt).
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
    /// What becomes of packets that the data path cannot judge: dropped (closed, hold) or passed (open).
    #[arg(long, value_enum, default_value_t)]
    pub fail: Fail,
}

impl BindingArgs {
    /// The binding that the options describe.
    pub fn binding(&self) -> Binding {
        let mut parameters = std::collections::BTreeMap::<String, Vec<String>>::new();
        for (name, value) in &self.parameters {
            parameters.entry(name.clone()).or_default().push(value.clone());
        }
        Binding {
            profiles: self.profiles.clone(),
            mac: self.mac.clone(),
            addresses: self.addresses.clone(),
            parameters,
            mode: self.mode,
            fail: self.fail,
        }
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// What is to be explained.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("policy").required(true).args(["port", "profiles"]))]
#[command(group = ArgGroup::new("source").required(true).args(["hex", "read", "frames"]))]
pub struct ExplainArgs {
    /// The port whose policy is asked.
    pub port: Option<String>,
    /// In place of a port: a profile; see `attach`.
    #[arg(long = "profile", value_name = "NAME")]
    pub profiles: Vec<String>,
    /// The virtual machine's MAC address (THIS_MAC).
    #[arg(long, value_name = "MAC", requires = "profiles")]
    pub mac: Option<String>,
    /// An IP address of the virtual machine (THIS_IP); several may be given.
    #[arg(long = "ip", value_name = "ADDRESS", requires = "profiles")]
    pub addresses: Vec<IpAddr>,
    /// A parameter of the profiles ($NAME); given again, it is a list.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter, requires = "profiles")]
    pub parameters: Vec<(String, String)>,
    /// Whether malformed and evasive frames are dropped before any rule.
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
    /// Look for profiles in this folder too, before the installed ones.
    #[arg(long, value_name = "DIR", requires = "profiles")]
    pub profile_dir: Option<PathBuf>,
    /// Which way frames go that do not say so themselves.
    #[arg(long, value_name = "out|in", default_value_t = Direction::Out)]
    pub dir: Direction,
    /// A frame in hexadecimal, from its destination MAC address on; blanks and colons are ignored.
    #[arg(long, value_name = "FRAME")]
    pub hex: Option<String>,
    /// Frames of a capture: pcap or pcapng, Ethernet.
    #[arg(long, value_name = "FILE")]
    pub read: Option<PathBuf>,
    /// Frames of a file with a JSON object a line: `hex`, and `dir` if the frame's way is another.
    #[arg(long, value_name = "FILE")]
    pub frames: Option<PathBuf>,
}

impl ExplainArgs {
    /// The binding that the options describe, if they name profiles.
    pub fn binding(&self) -> Binding {
        let args = BindingArgs {
            profiles: self.profiles.clone(),
            mac: self.mac.clone(),
            addresses: self.addresses.clone(),
            parameters: self.parameters.clone(),
            mode: self.mode,
            fail: Fail::Closed,
        };
        args.binding()
    }
}
