//! The command line: the one definition that help, completions and manual pages come from.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use filter_common::Direction;

use crate::datapath::{FlowSpec, LogLevel};
use crate::engine::OldFlows;
use crate::model::{IpNetwork, Learn, Mode};
use crate::store::{Binding, Fail, KEPT, Pickup};
use crate::xml::Reading;

use super::daemon::ConfigCommand;
use super::doctor::DoctorArgs;
use super::flows::FlowsArgs;
use super::history::LogArgs;
use super::libvirt::LibvirtCommand;
use super::migrate::MigrateCommand;
use super::sets::SetCommand;
use super::standing::BindArgs;
use super::timeouts::TimeoutsCommand;
use super::upgrade::UpgradeArgs;
use super::virsh::Virsh;

/// Filters the packets of virtual machines on the host, out of the guests' reach.
///
/// Profiles (XML) say what a virtual machine may send and receive. A profile is put in force on a tap with
/// `attach`, and changed for all ports that use it with `update`; packets are judged in the kernel by a
/// compiled form of it. No daemon is needed: what is attached stays in force.
///
/// Profiles are written in one of two dialects: FilterEntry, or libvirt's network filters (`<filter>`).
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
    /// Go on only if the last change of the configured state has this number (see `log`), for commands that change it.
    #[arg(long, global = true, value_name = "N")]
    pub if_generation: Option<u64>,
    /// Keep so many changes in the journal, and the texts they need.
    #[arg(long, global = true, value_name = "COUNT", env = "FILTER_CTL_KEEP_GENERATIONS", hide = true,
          default_value_t = KEPT, value_parser = clap::value_parser!(u64).range(1..))]
    pub keep_generations: u64,
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
  7  explain: the loaded program and the reference interpreter disagree, or validate, import: some files are bad, or
     set test: it is not in the set, or doctor: there is a problem, or upgrade --check: an upgrade is due

Commands of virsh, with its output, messages and exit status (0 or 1), for scripts:
  nwfilter-define, nwfilter-undefine, nwfilter-list, nwfilter-dumpxml, nwfilter-edit,
  nwfilter-binding-create, nwfilter-binding-delete, nwfilter-binding-list, nwfilter-binding-dumpxml

Start here:
  filter-ctl attach vnet0 --profile generic-layer2
  filter-ctl ports
  filter-ctl stats vnet0";

/// The dialects of profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// Entries of the proposal, with a default.
    FilterEntry,
    /// A network filter of libvirt.
    Nwfilter,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a profile, or change the one of its name and all ports that use it at once, or none.
    ///
    /// A document that says what is said already changes nothing. A filter keeps its UUID: a document without one
    /// changes the filter of its name, one with another UUID is refused. A filter may refer to filters that are
    /// not there yet, with a warning; no port can be held to it before they are.
    Define {
        /// The profile's file.
        file: PathBuf,
        /// How it is read.
        #[command(flatten)]
        reading: ReadingArgs,
        /// What becomes of connections.
        #[command(flatten)]
        change: ChangeArgs,
        /// Say what would change, as `diff` does, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove a profile that no port uses, even if others refer to it.
    ///
    /// Those that refer to it are named; no port can be held to them any more.
    Undefine {
        /// The profile's name, or its UUID.
        #[arg(value_name = "NAME|UUID")]
        name: String,
    },
    /// Add a profile.
    #[command(alias = "nwfilter-create")]
    Create {
        /// The profile's file.
        file: PathBuf,
        /// How it is read.
        #[command(flatten)]
        reading: ReadingArgs,
        /// What becomes of connections.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Remove a profile that nobody uses.
    #[command(alias = "nwfilter-destroy")]
    Destroy {
        /// The profile's name, or its UUID.
        #[arg(value_name = "NAME|UUID")]
        name: String,
    },
    /// List profiles.
    List,
    /// Print a profile in its canonical form.
    Dumpxml {
        /// The profile's name, or its UUID.
        #[arg(value_name = "NAME|UUID")]
        name: String,
        /// Convert it to this dialect, if it can be said there.
        #[arg(long = "as", value_name = "DIALECT")]
        dialect: Option<Dialect>,
        /// Let the filter drop frames with SNAP that the pool lets pass, where it cannot be said otherwise.
        #[arg(long, requires = "dialect")]
        drop_snap: bool,
    },
    /// Change a profile, and all ports that use it at once, or none.
    #[command(alias = "nwfilter-update")]
    Update {
        /// The file with what the profile shall be from now on.
        file: PathBuf,
        /// How it is read.
        #[command(flatten)]
        reading: ReadingArgs,
        /// What becomes of connections.
        #[command(flatten)]
        change: ChangeArgs,
        /// Say what would change, as `diff` does, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Change a profile in $EDITOR.
    ///
    /// What was typed is never lost: where it is refused the editor can be entered again, and the text stays
    /// in a file that is named. A profile is read as it was when it was stored, unless told otherwise.
    Edit {
        /// The profile's name, or its UUID.
        #[arg(value_name = "NAME|UUID")]
        name: String,
        /// How it is read.
        #[command(flatten)]
        reading: ReadingArgs,
        /// What becomes of connections.
        #[command(flatten)]
        change: ChangeArgs,
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
        /// How they are read.
        #[command(flatten)]
        reading: ReadingArgs,
    },
    /// Take over the filters of a libvirt host.
    ///
    /// Reads all files *.xml of a folder, such as /etc/libvirt/nwfilter, and says of each what becomes of it, and
    /// what its rules mean here (in strict mode) that they do not mean to libvirt. Filters that mean what the
    /// shipped ones of their names mean are left to those. Nothing is changed unless all files are good.
    Import {
        /// The folder.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Import the files that are good, and leave the others.
        #[arg(long)]
        keep_going: bool,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// How they are read.
        #[command(flatten)]
        reading: ReadingArgs,
        /// What becomes of connections.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Filter ports, or change what they do: all that are named, or, if one of them cannot be, none.
    ///
    /// Addresses that the profiles need and that are not given are learned: the MAC address from the guest's first valid
    /// frame, IP addresses as --learn says; nothing but what learning needs passes before. `ports` shows what was
    /// learned.
    Attach {
        /// The tap, or the host's end of a veth pair; several may be given, if they need no addresses.
        #[arg(value_name = "PORT", required_unless_present = "bindings", conflicts_with = "bindings")]
        ports: Vec<String>,
        /// Attach the ports in this file, a line each: `PORT [mac=MAC] [ip=ADDRESS]… [param=NAME=VALUE]…
        /// [profile=NAME]… [learn=HOW] [learn-max=COUNT] [prefix=PREFIX]… [dhcp-server=ADDRESS]… [flows-max=N]
        /// [pickup=HOW]`.
        ///
        /// What the command line says holds for all of them; a profile in a line stands in place of those there, and
        /// a parameter in place of the one of its name. Empty lines, and what follows a `#`, are ignored.
        #[arg(long, value_name = "FILE")]
        bindings: Option<PathBuf>,
        /// What the ports are held to.
        #[command(flatten)]
        binding: BindingArgs,
        /// What becomes of connections.
        #[command(flatten)]
        change: ChangeArgs,
        /// Which diagnostics the classifiers log for `kernel-log`, if this is what loads them: they are
        /// loaded with the first port.
        #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
        kernel_log: LogLevel,
    },
    /// Stop filtering ports: all that are named, or, if one of them is not filtered, none.
    Detach {
        /// The port; several may be given.
        #[arg(value_name = "PORT", required = true)]
        ports: Vec<String>,
    },
    /// List ports: what is in force on them, and what was learned of them.
    Ports,
    /// Hold ports to profiles as soon as they appear: a port by its name, ports by what their names look like, or the port of
    /// a virtual machine by its MAC address.
    ///
    /// The daemon attaches them. Ports that are there already and not filtered are attached at once. A binding of the same
    /// name gives way. Where several are for a port, that with its name goes first, then that with its MAC address, then that
    /// with the longest pattern.
    Bind(Box<BindArgs>),
    /// Forget a standing binding. Ports that are held to it stay filtered.
    Unbind {
        /// Its name.
        name: String,
        /// Stop filtering them, too.
        #[arg(long)]
        detach: bool,
    },
    /// List standing bindings, and the ports that they are for.
    Bindings,
    /// Keep ports filtered as they come and go, repair what others take away, and carry out what commands ask for.
    ///
    /// While it runs it alone changes anything: commands ask it. When it ends, all stays in force. Meant to be started by
    /// systemd, which the packaged units do.
    Daemon {
        /// The configuration; without one, all is as the defaults say.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Say what happens, as it happens, until interrupted: changes, ports that come and go, what was found and put right. Needs
    /// the daemon.
    Events {
        /// End after so many events.
        #[arg(short = 'n', long, value_name = "COUNT")]
        count: Option<u64>,
    },
    /// Look at the daemon's configuration.
    Config {
        /// What is done.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Filter a port as a binding of libvirt (`<filterbinding>`) says.
    ///
    /// The port must be there, and not be filtered yet: `attach` changes what it is held to.
    BindingCreate {
        /// The binding's file.
        file: PathBuf,
        /// How it is read.
        #[command(flatten)]
        reading: ReadingArgs,
        /// What the document does not say.
        #[command(flatten)]
        port: PortArgs,
    },
    /// Stop filtering a port; the same as `detach`.
    BindingDelete {
        /// The port.
        port: String,
    },
    /// List ports with the filters and the virtual machines that bindings name.
    BindingList,
    /// Print what a port is held to as a binding of libvirt.
    ///
    /// There is one for each port that is held to one profile and was given its MAC address, however it was
    /// attached. Addresses that were learned are not in it.
    BindingDumpxml {
        /// The port.
        port: String,
    },
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
        /// Show rules over lists value by value; for ports attached with --count-values.
        #[arg(long)]
        expand: bool,
    },
    /// List the connections that a port follows, take some out, or take them along to another host.
    Flows(FlowsArgs),
    /// Take a port along to another host: its binding, what was learned of it, its connections and its counters.
    Migrate {
        /// What is done.
        #[command(subcommand)]
        command: MigrateCommand,
    },
    /// Show or change how long connections are remembered after a packet of them.
    ///
    /// Holds for all ports of this host, and for each connection from its next packet on. Kept on disk.
    Timeouts {
        /// What is done; they are shown if nothing is said.
        #[command(subcommand)]
        command: Option<TimeoutsCommand>,
    },
    /// Make, fill and look at named sets, which profiles ask for: addresses, networks, addresses with ports, MAC
    /// addresses.
    ///
    /// A profile names a set, and members come and go while it is in force: each change is in force at once, and
    /// nothing is compiled. Sets are kept on disk, and outlive a reboot.
    Set {
        /// What is done.
        #[command(subcommand)]
        command: SetCommand,
    },
    /// Filter virtual machines of libvirt from their first packet on, as their definitions say.
    ///
    /// The metadata of a domain name profiles for its interfaces; libvirt's hook puts them in force when it starts.
    Libvirt {
        /// What is done.
        #[command(subcommand)]
        command: LibvirtCommand,
    },
    /// Say what a change of profiles would change: rules, ports, connections, and whether there is room.
    ///
    /// A file is compared with the profile of its name, and what would become of ports and connections is what `update`
    /// would make of them. A name stands for a profile whose file was changed by hand: what it says is compared with what
    /// the journal has of it. Takes no lock and changes nothing.
    Diff {
        /// Files of profiles, or names of profiles.
        #[arg(value_name = "FILE|NAME", required = true)]
        profiles: Vec<String>,
        /// How files are read.
        #[command(flatten)]
        reading: ReadingArgs,
        /// What would become of connections.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show what was changed, by whom and when: profiles, ports, timeouts, and which sets there are.
    Log(LogArgs),
    /// Configure again what was configured behind an earlier change, all of it or nothing.
    ///
    /// Goes back to the profiles and timeouts of then, and holds ports that are attached now and were then to what they
    /// were held to. Ports that were not attached then stay attached, and are named. It is a change of its own, and can be
    /// gone back behind. What is in sets stays.
    Rollback {
        /// The change, as `log` shows it; 0 is before the first.
        generation: u64,
        /// Say what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// What becomes of connections.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Put the last good text of a profile back whose file is damaged.
    RestoreProfile {
        /// The profile's name.
        name: String,
        /// What becomes of connections.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Compile profiles, attach nothing, and say what came out: nodes, memory, steps.
    ///
    /// Packets take as many steps through the graph as it takes to tell their rule from all others: seldom more than
    /// twenty. With --explain each graph is shown, what a packet costs in it, and why.
    Compile(CompileArgs),
    /// Say what becomes of a frame, and why.
    ///
    /// Runs the loaded program over the frames, in order, and the reference interpreter beside it. A port's
    /// counters do not count these frames, and it learns nothing from them.
    Explain(ExplainArgs),
    /// Look for all that could be wrong with filtering on this host: what it means, and what to do. Exits with 7 if there is
    /// a problem.
    ///
    /// Kernel, permissions, other programs on the ports' hooks, links, records, graphs, how full maps are, builds.
    Doctor(DoctorArgs),
    /// Put this filter-ctl's programs in the place of those that are loaded, on all ports, while packets pass.
    ///
    /// Policies, counters, connections and learned addresses stay as they are. Other commands go on with the loaded
    /// programs, whichever build they are of.
    Upgrade(UpgradeArgs),
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
    /// virsh's own.
    #[command(flatten)]
    Virsh(Virsh),
}

/// How filters of libvirt are read.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ReadingArgs {
    /// Read filters of libvirt as libvirt does, which ignores or replaces much of what is written: with a warning
    /// for each, where it would be refused.
    #[arg(long)]
    pub lenient: bool,
    /// Refuse what libvirt reads as something else than is written (the default).
    #[arg(long, conflicts_with = "lenient")]
    pub strict: bool,
}

impl ReadingArgs {
    /// How documents are read.
    pub fn reading(self) -> Reading {
        self.reading_or(Reading::Strict)
    }

    /// How documents are read, where nothing was said in this way.
    pub fn reading_or(self, default: Reading) -> Reading {
        match (self.lenient, self.strict) {
            (true, _) => Reading::Lenient,
            (_, true) => Reading::Strict,
            (false, false) => default,
        }
    }
}

/// What a port does, whatever it is held to.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct PortArgs {
    /// Whether malformed and evasive frames are dropped before any rule (strict), or rules alone decide
    /// (libvirt).
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
    /// What becomes of packets that the data path cannot judge: dropped (closed, hold) or passed (open).
    #[arg(long, value_enum, default_value_t)]
    pub fail: Fail,
    /// Count rules of filters that go through lists value by value, for `stats --expand`. Ports share less then.
    #[arg(long)]
    pub count_values: bool,
    /// Have room for so many connections, or the next power of two; 8192 if nothing is said.
    ///
    /// For ports whose profiles ask for the state of connections. A port that is attached with another number gets
    /// another table, and its connections move there while packets pass.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(FlowSpec::MOST)))]
    pub flows_max: Option<u32>,
    /// Whether a packet in the middle of a connection of which nothing is known begins one (loose), or belongs to none
    /// (strict). As nothing else is said, strict in strict mode and loose in libvirt mode.
    #[arg(long, value_enum, value_name = "HOW")]
    pub pickup: Option<Pickup>,
}

impl PortArgs {
    /// What the options say of a binding.
    pub fn binding(self) -> Binding {
        let guest = GuestArgs {
            mac: None,
            addresses: Vec::new(),
            parameters: Vec::new(),
            learn: LearnArgs::default(),
        };
        of_options(&[], &guest, self)
    }
}

/// What becomes of connections when a policy changes.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ChangeArgs {
    /// What becomes of connections that ports follow: those go on that could begin under the new policy (recheck), all
    /// (keep), or none (cut).
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub flows: OldFlows,
}

/// What profiles ask for of the virtual machine behind a port.
#[derive(Clone, Debug, Args)]
pub struct GuestArgs {
    /// The virtual machine's MAC address (THIS_MAC, or $MAC in filters of libvirt).
    #[arg(long, value_name = "MAC")]
    pub mac: Option<String>,
    /// An IP address of the virtual machine (THIS_IP, or $IP and $IPV6 in filters of libvirt); several may be
    /// given.
    #[arg(long = "ip", value_name = "ADDRESS")]
    pub addresses: Vec<IpAddr>,
    /// A parameter of the profiles ($NAME); given again, it is a list.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// How its addresses are learned.
    #[command(flatten)]
    pub learn: LearnArgs,
}

/// How addresses are learned that are not given.
#[derive(Clone, Debug, Default, Args)]
pub struct LearnArgs {
    /// How IP addresses are learned: from DHCP and from what the guest uses (any), from DHCP alone (dhcp), or not at all
    /// (none). Families of which an address is given are not learned. Without this, `any` if no address is given, else
    /// `none`; the same as `--param CTRL_IP_LEARNING=HOW`.
    #[arg(long, value_name = "any|dhcp|none")]
    pub learn: Option<Learn>,
    /// How many addresses of each family may be learned, at most 8 (default: one of IPv4, four of IPv6).
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=8))]
    pub learn_max: Option<u8>,
    /// A prefix within which addresses are learned; several may be given. Without one of a family, IPv4 anywhere, IPv6 in
    /// the prefixes that routers announce.
    #[arg(long = "prefix", value_name = "PREFIX")]
    pub prefixes: Vec<IpNetwork>,
    /// A DHCP server, or relay, whose answers are trusted; several may be given. Without one of a family, all are. The
    /// same as `--param DHCPSERVER=ADDRESS`.
    #[arg(long = "dhcp-server", value_name = "ADDRESS")]
    pub servers: Vec<IpAddr>,
}

/// What a port is held to.
#[derive(Debug, Args)]
pub struct BindingArgs {
    /// A profile; several are checked one after the other, and a packet must pass them all.
    #[arg(long = "profile", value_name = "NAME", required_unless_present = "bindings")]
    pub profiles: Vec<String>,
    /// What the profiles ask for.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// What it does besides.
    #[command(flatten)]
    pub port: PortArgs,
}

impl BindingArgs {
    /// The binding that the options describe.
    pub fn binding(&self) -> Binding {
        of_options(&self.profiles, &self.guest, self.port)
    }
}

/// What options say of a port.
pub(super) fn of_options(profiles: &[String], guest: &GuestArgs, port: PortArgs) -> Binding {
    let mut parameters = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (name, value) in &guest.parameters {
        parameters.entry(name.clone()).or_default().push(value.clone());
    }
    let LearnArgs { learn, learn_max, prefixes, servers } = &guest.learn;
    if let Some(learn) = learn {
        parameters.entry(Learn::PARAMETER.to_owned()).or_default().push(learn.to_string());
    }
    for server in servers {
        parameters.entry(Learn::SERVERS.to_owned()).or_default().push(server.to_string());
    }
    Binding {
        profiles: profiles.to_vec(),
        mac: guest.mac.clone(),
        addresses: guest.addresses.clone(),
        parameters,
        mode: port.mode,
        fail: port.fail,
        count_values: port.count_values,
        learn_max: *learn_max,
        learn_prefixes: prefixes.iter().map(ToString::to_string).collect(),
        flows_max: port.flows_max,
        pickup: port.pickup,
        owner: None,
        link_device: None,
    }
}

pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// What is to be compiled.
#[derive(Debug, Args)]
pub struct CompileArgs {
    /// The profiles.
    #[arg(value_name = "PROFILE", required = true)]
    pub profiles: Vec<String>,
    /// What the profiles ask for.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// What a port does besides.
    #[command(flatten)]
    pub port: PortArgs,
    /// Look for profiles in this folder too, before the installed ones.
    #[arg(long, value_name = "DIR")]
    pub profile_dir: Option<PathBuf>,
    /// Show each graph, what a packet costs in it, and why it looks as it does.
    #[arg(long)]
    pub explain: bool,
}

impl CompileArgs {
    /// The binding that the options describe.
    pub fn binding(&self) -> Binding {
        of_options(&self.profiles, &self.guest, self.port)
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
    /// The virtual machine's MAC address (THIS_MAC, or $MAC in filters of libvirt).
    #[arg(long, value_name = "MAC", requires = "profiles")]
    pub mac: Option<String>,
    /// An IP address of the virtual machine (THIS_IP, or $IP and $IPV6 in filters of libvirt); several may be
    /// given.
    #[arg(long = "ip", value_name = "ADDRESS", requires = "profiles")]
    pub addresses: Vec<IpAddr>,
    /// A parameter of the profiles ($NAME); given again, it is a list.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter, requires = "profiles")]
    pub parameters: Vec<(String, String)>,
    /// Whether malformed and evasive frames are dropped before any rule.
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
    /// Whether a packet in the middle of a connection of which nothing is known begins one (loose).
    #[arg(long, value_enum, value_name = "HOW", requires = "profiles")]
    pub pickup: Option<Pickup>,
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
        let guest = GuestArgs {
            mac: self.mac.clone(),
            addresses: self.addresses.clone(),
            parameters: self.parameters.clone(),
            learn: LearnArgs::default(),
        };
        let port =
            PortArgs { mode: self.mode, fail: Fail::Closed, pickup: self.pickup, ..PortArgs::default() };
        of_options(&self.profiles, &guest, port)
    }
}

impl Command {
    /// Whether it takes the lock, and may change what is configured or in force.
    pub const fn changes(&self) -> bool {
        !matches!(
            self,
            Self::List
                | Self::Dumpxml { .. }
                | Self::Validate { .. }
                | Self::Ports
                | Self::BindingList
                | Self::BindingDumpxml { .. }
                | Self::Stats { .. }
                | Self::Log(_)
                | Self::Diff { .. }
                | Self::Compile(_)
                | Self::KernelLog { .. }
                | Self::Completions { .. }
                | Self::Man { .. }
                | Self::Virsh(
                    Virsh::List | Virsh::Dumpxml(_) | Virsh::BindingList | Virsh::BindingDumpxml(_)
                )
        )
    }
}
