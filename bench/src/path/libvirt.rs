//! libvirt's network filters, by its own daemon, on a bridge that calls iptables as libvirt wants it.

use std::fs;

use anyhow::{Result, bail, ensure};
use filter_ctl::model::MacAddr;
use filter_tests::frames::{VM, VM_IP4};
use filter_tests::libvirt::{Daemon, binding};

use super::filter::Filter;
use super::policy::Policy;
use crate::bed::{Bed, PORT};

/// Rules that libvirt still loads in less than a minute: it runs a program for each.
const MOST_RULES: usize = 1000;

/// libvirt.
#[derive(Debug, Default)]
pub struct Libvirt {
    daemon: Option<Daemon>,
    defined: Option<String>,
}

impl Filter for Libvirt {
    fn name(&self) -> &'static str {
        "libvirt"
    }

    fn knows(&self, _: &Policy) -> bool {
        true
    }

    fn install(&mut self, bed: &Bed, policy: &Policy) -> Result<()> {
        let set = policy.truth();
        ensure!(set.rules.len() <= MOST_RULES, "it runs a program for each rule, and would take minutes");
        bed.call_iptables()?;
        let daemon = match self.daemon.take() {
            Some(daemon) => self.daemon.insert(daemon),
            None => self.daemon.insert(Daemon::start(&bed.namespace)?),
        };
        let mut commands = Vec::new();
        if let Policy::Rules(set) = policy {
            let file = daemon.folder().join("filter.xml");
            fs::write(&file, set.to_nwfilter_xml()?)?;
            commands.push(format!("nwfilter-define {}", file.display()));
            self.defined = Some(set.name.clone());
        }
        let file = daemon.folder().join("binding.xml");
        fs::write(
            &file,
            binding(&MacAddr(VM).to_string(), &set.name, &[("IP".to_owned(), VM_IP4.to_string())]),
        )?;
        commands.push(format!("nwfilter-binding-create {}", file.display()));
        virsh(daemon, &commands)
    }

    fn remove(&mut self, _: &Bed) -> Result<()> {
        let Some(daemon) = &self.daemon else { return Ok(()) };
        let mut commands = vec![format!("nwfilter-binding-delete {PORT}")];
        commands.extend(self.defined.take().map(|name| format!("nwfilter-undefine {name}")));
        virsh(daemon, &commands)
    }
}

fn virsh(daemon: &Daemon, commands: &[String]) -> Result<()> {
    match daemon.virsh(commands)? {
        Ok(_) => Ok(()),
        Err(complaint) => bail!("libvirt refuses: {complaint}"),
    }
}
