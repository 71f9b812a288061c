//! `bind`, `unbind`, `bindings`: what ports are held to when they appear.

use clap::{ArgGroup, Args};

use super::args::{GuestArgs, PortArgs, of_options};
use super::table::Table;
use super::{Context, show};
use crate::model::MacAddr;
use crate::service::failure::Failure;
use crate::service::{Bind, Bound, ListStanding, ListedStanding, Unbind, Unbound};
use crate::store::{Selector, Standing};

/// A standing binding.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("selector").required(true).multiple(true).args(["port_name", "pattern", "for_mac"]))]
pub struct BindArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Hold the port of this name to it.
    #[arg(long = "port", value_name = "PORT")]
    port_name: Option<String>,
    /// Hold all ports to it whose names look like this: `*` stands for any characters, `?` for one.
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<String>,
    /// Hold the port of the virtual machine with this MAC address to it; the filter knows the machine by it, too.
    #[arg(long, value_name = "MAC")]
    for_mac: Option<MacAddr>,
    /// A profile; several are checked one after the other, and a packet must pass them all.
    #[arg(long = "profile", value_name = "NAME", required = true)]
    profiles: Vec<String>,
    /// What the profiles ask for.
    #[command(flatten)]
    guest: GuestArgs,
    /// What the ports do besides.
    #[command(flatten)]
    port: PortArgs,
}

impl BindArgs {
    fn standing(self) -> Standing {
        let mut binding = of_options(&self.profiles, &self.guest, self.port);
        if binding.mac.is_none() {
            binding.mac = self.for_mac.map(|mac| mac.to_string());
        }
        let selector = Selector { port: self.port_name, pattern: self.pattern, mac: self.for_mac };
        Standing { name: self.name, selector, binding }
    }
}

impl Context {
    pub(super) fn bind(&self, args: BindArgs) -> Result<(), Failure> {
        let standing = args.standing();
        let name = standing.name.clone();
        let daemon = self.client.has_daemon()?;
        let bound = self.call(Bind { standing })?;
        let Bound { ports, failed } = &bound;
        for failed in failed {
            eprintln!("filter-ctl: port {}: {}", failed.port, failed.why);
        }
        if !daemon {
            eprintln!("filter-ctl: no daemon runs: ports that appear are not filtered before it is started");
        }
        self.print(&bound, || {
            let kept = format!("standing binding {name} is kept\n");
            std::iter::once(kept).chain(ports.iter().map(show::attached)).collect()
        })
    }

    pub(super) fn unbind(&self, name: &str, detach: bool) -> Result<(), Failure> {
        let unbound = self.call(Unbind { name: name.to_owned(), detach })?;
        let Unbound { ports, detached } = &unbound;
        self.print(&unbound, || {
            let ports = match (ports.as_slice(), detached) {
                ([], _) => String::new(),
                (ports, true) => format!("; {} not filtered any more", ports.join(", ")),
                (ports, false) => format!("; {} stay filtered as they are", ports.join(", ")),
            };
            format!("standing binding {name} is forgotten{ports}\n")
        })
    }

    pub(super) fn list_standing(&self) -> Result<(), Failure> {
        let ListedStanding { bindings, damaged } = self.call(ListStanding {})?;
        for problem in damaged {
            eprintln!("filter-ctl: {problem}");
        }
        self.print(&bindings, || {
            if bindings.is_empty() {
                return "there are no standing bindings\n".to_owned();
            }
            let mut table = Table::new(&["BINDING", "FOR", "PROFILES", "PORTS"]);
            for standing in &bindings {
                let Selector { port, pattern, mac } = &standing.selector;
                let words = [port.clone(), pattern.clone(), mac.map(|mac| mac.to_string())];
                table.row([
                    standing.name.clone(),
                    words.into_iter().flatten().collect::<Vec<_>>().join(" "),
                    standing.binding.profiles.join(","),
                    standing.ports.join(" "),
                ]);
            }
            table.to_string()
        })
    }
}
