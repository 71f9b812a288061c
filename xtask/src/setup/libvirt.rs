//! A live libvirt, for `test --libvirt` and for the benchmark that measures it: nothing else installs it.
//!
//! Only the daemon, its driver for network filters and its client are installed, not the packages that start it
//! as a service or make networks: tests start their own.

use anyhow::Result;

use super::apt::{Choice, Need, install};
use super::firewall;
use crate::process::which;

/// Installs what is missing of it.
pub fn install_missing() -> Result<()> {
    let mut needs = Vec::new();
    let daemon = ["virtnwfilterd", "libvirtd"].into_iter().any(|program| which(program).is_some());
    if !daemon || which("virsh").is_none() {
        needs.push(Need {
            what: "libvirt".to_owned(),
            why: "its verdicts are what ours are compared with",
            choices: vec![
                // Since Debian 13 drivers have packages of their own.
                Choice::any(&[
                    "libvirt-daemon-driver-nwfilter",
                    "libvirt-daemon",
                    "libvirt-daemon-config-nwfilter",
                    "libvirt-clients",
                ]),
                Choice::any(&["libvirt-daemon", "libvirt-daemon-config-nwfilter", "libvirt-clients"]),
            ],
        });
    }
    needs.extend(firewall::missing("libvirt's filters are rules of ebtables and iptables"));
    install(&needs)
}
