//! `libvirt`: the hook that libvirt calls, its script, and a look at what a domain's document says.

use std::io::{self, Read as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::table::Table;
use super::{Context, hook_log};
use crate::engine::{self, DomainBinding, EngineError, HookChanged, HookScript};
use crate::model::domain::Domain;
use crate::service::failure::{CONFLICT, Failure, INVALID};
use crate::service::{AttachDomain, CheckDomain, ReattachDomain, ReleaseDomain, VerifyDomain};
use crate::xml::{self, FileError, limits};

/// What is done.
#[derive(Clone, Debug, Subcommand)]
pub enum LibvirtCommand {
    /// What libvirt's hook calls, with the domain's document on standard input.
    ///
    /// `prepare`, `migrate` and `restore` check that all that the document names is there; `start` puts it in force on
    /// the taps, on all or on none, before the virtual machine runs; `started` looks whether it is. They fail where
    /// anything is wrong, and libvirt gives up. `reconnect` puts in force what is missing, `stopped` and `release` give
    /// the ports back; they never fail.
    Hook(HookArgs),
    /// Write the script by which libvirt calls us.
    InstallHook {
        /// Hold interfaces to the network filter that they name (`filterref`), where the domain's metadata say nothing
        /// of them. libvirt must have an empty filter of that name, or it filters as well.
        #[arg(long)]
        take_over: bool,
        /// Which machines it is for.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Remove the script.
    UninstallHook {
        /// Which machines it was for.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Show what the document of a domain (`virsh dumpxml`) would bind.
    Show {
        /// The document's file; `-` for standard input.
        file: PathBuf,
        /// As if the hook was installed with --take-over.
        #[arg(long)]
        take_over: bool,
    },
}

/// The hook's arguments.
#[derive(Clone, Debug, Args)]
pub struct HookArgs {
    /// Hold interfaces to the network filter that they name, where the metadata say nothing of them.
    #[arg(long)]
    take_over: bool,
    /// How many seconds to wait for another command that is changing something.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3600))]
    wait: u64,
    /// The domain's name.
    domain: String,
    /// What is going on.
    operation: String,
    /// `begin` or `end`; not looked at.
    suboperation: Option<String>,
    /// Not looked at.
    extra: Option<String>,
}

/// Where libvirt looks for hooks.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// libvirt's driver.
    #[arg(long, value_enum, default_value_t = Driver::Qemu)]
    driver: Driver,
    /// libvirt's folder of hooks.
    #[arg(long, value_name = "DIR", default_value = "/etc/libvirt/hooks")]
    folder: PathBuf,
}

/// Drivers of libvirt whose machines have taps, or veth pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// Virtual machines.
    Qemu,
    /// Containers.
    Lxc,
}

impl Driver {
    const fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }
}

/// What is going on with a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// It is about to come to be here.
    Prepare,
    /// It has its taps, and is about to run.
    Start,
    /// It runs.
    Started,
    /// It runs, and libvirt's daemon has found it again.
    Reconnect,
    /// It has ended.
    Stopped,
}

impl Operation {
    /// By libvirt's name of it; nothing for those that are none of our business.
    fn named(name: &str) -> Option<Self> {
        match name {
            "prepare" | "migrate" | "restore" => Some(Self::Prepare),
            "start" | "attach" => Some(Self::Start),
            "started" => Some(Self::Started),
            "reconnect" => Some(Self::Reconnect),
            "stopped" | "release" => Some(Self::Stopped),
            _ => None,
        }
    }

    /// Whether a failure would kill a machine that runs, or help nobody.
    const fn never_fails(self) -> bool {
        matches!(self, Self::Reconnect | Self::Stopped)
    }
}

impl Context {
    /// `places` are the options that say where profiles, ports and pins are.
    pub(super) fn libvirt(&self, command: LibvirtCommand, places: [Option<&Path>; 2]) -> Result<(), Failure> {
        match command {
            LibvirtCommand::Hook(args) => self.hook(&args),
            LibvirtCommand::InstallHook { take_over, place } => self.install_hook(take_over, &place, places),
            LibvirtCommand::UninstallHook { place } => {
                let changed = engine::uninstall_hook(&place.folder, place.driver.name());
                let changed = changed.map_err(|error| Failure::engine(&error, &self.folders, None))?;
                self.print(&changed, || format!("{} is removed\n", changed.script.display()))
            }
            LibvirtCommand::Show { file, take_over } => self.show_domain(&file, take_over),
        }
    }

    fn hook(&self, args: &HookArgs) -> Result<(), Failure> {
        let Some(operation) = Operation::named(&args.operation) else { return Ok(()) };
        if !operation.never_fails() {
            return self.hook_operation(operation, args).map_err(|failure| {
                Failure::new(failure.code, format!("domain {}: {}", args.domain, failure.message))
            });
        }
        let done = panic::catch_unwind(AssertUnwindSafe(|| self.hook_operation(operation, args)));
        let problem = match done {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure.message,
            Err(_) => "filter-ctl has a defect, and gave up".to_owned(),
        };
        // libvirt tells nobody what a hook said that did not fail.
        hook_log::tell(&format!("domain {}, {}: {problem}", args.domain, args.operation));
        Ok(())
    }

    fn hook_operation(&self, operation: Operation, args: &HookArgs) -> Result<(), Failure> {
        let domain = read_domain(Path::new("-"))?;
        let fail = |error: EngineError| Failure::engine(&error, &self.folders, None);
        let client = self.client.clone().within(Duration::from_secs(args.wait));
        if operation == Operation::Stopped {
            client.call(ReleaseDomain { uuid: domain.uuid.clone() })?;
            return Ok(());
        }
        let bindings = engine::bindings_of_domain(&domain, args.take_over).map_err(fail)?;
        if matches!(operation, Operation::Prepare | Operation::Start)
            && let Some(missing) = engine::missing_interface(&domain, operation == Operation::Prepare)
        {
            return Err(Failure::new(INVALID, missing));
        }
        if bindings.is_empty() {
            return Ok(());
        }
        match operation {
            Operation::Prepare => client.call(CheckDomain { bindings }).map(drop),
            Operation::Start => client.call(AttachDomain { bindings }).map(drop),
            Operation::Started => client.call(VerifyDomain { bindings }).map(drop),
            Operation::Reconnect => {
                let done = client.call(ReattachDomain { bindings })?;
                match done.problems.as_slice() {
                    [] => Ok(()),
                    problems => Err(Failure::new(CONFLICT, problems.join("; "))),
                }
            }
            Operation::Stopped => Ok(()),
        }
    }

    fn install_hook(
        &self,
        take_over: bool,
        place: &PlaceArgs,
        [root, bpffs]: [Option<&Path>; 2],
    ) -> Result<(), Failure> {
        let here = |error: &io::Error| Failure::io(Path::new("."), error);
        let program = std::env::current_exe().map_err(|error| here(&error))?;
        let mut options = Vec::new();
        for (name, path) in [("--root", root), ("--bpffs", bpffs)] {
            let Some(path) = path else { continue };
            let path = std::path::absolute(path).map_err(|error| Failure::io(path, &error))?;
            options.push(format!("{name}={}", path.display()));
        }
        let folder = std::path::absolute(&place.folder).map_err(|error| here(&error))?;
        let driver = place.driver.name().to_owned();
        let script = HookScript { folder, driver, program, options, take_over };
        let changed =
            engine::install_hook(&script).map_err(|error| Failure::engine(&error, &self.folders, None))?;
        self.print(&changed, || installed(&changed, place.driver))
    }

    fn show_domain(&self, file: &Path, take_over: bool) -> Result<(), Failure> {
        let domain = read_domain(file)?;
        let bindings = engine::bindings_of_domain(&domain, take_over)
            .map_err(|error| Failure::engine(&error, &self.folders, None))?;
        if let Some(missing) = engine::missing_interface(&domain, false) {
            eprintln!("filter-ctl: {missing}");
        }
        for refusal in bindings.iter().filter_map(DomainBinding::refusal) {
            eprintln!("filter-ctl: {refusal}");
        }
        self.print(&bindings, || shown(&domain, &bindings))
    }
}

fn installed(changed: &HookChanged, driver: Driver) -> String {
    let script = changed.script.display();
    if !changed.restart {
        return format!("{script} is written anew, and in force\n");
    }
    let daemons = match driver {
        Driver::Qemu => "libvirtd, or virtqemud",
        Driver::Lxc => "libvirtd, or virtlxcd",
    };
    format!(
        "{script} is written\nRestart libvirt's daemon ({daemons}), which looks for hooks when it starts; machines go on \
         running.\n"
    )
}

fn shown(domain: &Domain, bindings: &[DomainBinding]) -> String {
    let mut text = format!("{} {}\n", domain.name, domain.uuid);
    if bindings.is_empty() {
        text.push_str("nothing is bound: its metadata have no firewall\n");
        return text;
    }
    let mut table = Table::new(&["MAC", "ALIAS", "DEVICE", "TYPE", "PROFILES", "IP", "FROM"]);
    for bound in bindings {
        let plain = |text: &Option<String>| text.clone().unwrap_or_default();
        let addresses: Vec<String> = bound.binding.addresses.iter().map(ToString::to_string).collect();
        table.row([
            bound.binding.mac.clone().or_else(|| bound.mac.clone()).unwrap_or_default(),
            plain(&bound.alias),
            plain(&bound.device),
            bound.kind.clone().unwrap_or_else(|| "later".to_owned()),
            bound.binding.profiles.join(", "),
            addresses.join(", "),
            bound.source.name().to_owned(),
        ]);
    }
    text + &table.to_string()
}

/// Reads a domain's document, from standard input if the file is `-`.
fn read_domain(file: &Path) -> Result<Domain, Failure> {
    if file != Path::new("-") {
        let text = xml::read_profile_file(file)?;
        return xml::domain::parse(&text)
            .map_err(|error| Failure::new(INVALID, error.in_file(file).to_string()));
    }
    let shown = Path::new("standard input");
    let mut bytes = Vec::new();
    let size = io::stdin()
        .lock()
        .take(limits::DOCUMENT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io(shown, &error))? as u64;
    if size > limits::DOCUMENT {
        let path = shown.to_owned();
        return Err(FileError::TooLarge { path, size }.into());
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Failure::new(INVALID, format!("{}: {error}", shown.display())))?;
    xml::domain::parse(&text).map_err(|error| Failure::new(INVALID, error.in_file(shown).to_string()))
}
