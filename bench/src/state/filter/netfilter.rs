//! The kernel's firewall of IP, called by the bridge, with its connection tracking or without.
//!
//! A namespace's connections are followed as soon as one of its rules asks for them. So a bed whose rules ask for none
//! is what the bridge's call and the rules cost without.

use std::fs;

use anyhow::{Context, Result, bail};

use super::super::service::{self, About};
use super::Filter;
use crate::bed::Bed;

/// Settings and figures of connection tracking.
const TRACKING: &str = "/proc/sys/net/netfilter";
/// Seconds for which connections are kept: longer than they are measured.
const KEPT: &str = "3600";

/// Who loads the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// `iptables`, of whichever kind is installed.
    Iptables,
    /// `nft`.
    Nft,
}

/// Rules in the namespace's firewall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Netfilter {
    pub tool: Tool,
    pub about: About,
    /// Whether the kernel follows connections: it has to, if rules are about them.
    pub followed: bool,
}

impl Filter for Netfilter {
    fn install(&mut self, bed: &Bed, _: u32) -> Result<()> {
        bed.call_iptables()?;
        bed.namespace.run(|| {
            for timeout in ["udp_timeout", "udp_timeout_stream", "tcp_timeout_max_retrans"] {
                let file = format!("{TRACKING}/nf_conntrack_{timeout}");
                fs::write(&file, KEPT).with_context(|| file)?;
            }
            anyhow::Ok(())
        })?;
        match self.tool {
            Tool::Iptables => bed.load("iptables-restore", &[], &service::iptables(self.about)),
            Tool::Nft => bed.load("nft", &["-f", "-"], &service::nft(self.about, self.followed)),
        }
    }

    fn remove(&mut self, bed: &Bed) -> Result<()> {
        match self.tool {
            Tool::Iptables => bed.load(
                "iptables-restore",
                &[],
                "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n",
            ),
            Tool::Nft => bed.load("nft", &["flush", "ruleset"], ""),
        }
    }

    fn most(&self) -> Option<u32> {
        if self.followed { number("max").ok() } else { None }
    }

    fn connections(&self, bed: &Bed) -> Result<Option<u64>> {
        bed.namespace.run(|| number("count")).map(|count| Some(count.into()))
    }

    fn forget(&mut self, bed: &Bed) -> Result<()> {
        if self.followed { bed.load("conntrack", &["--flush"], "") } else { Ok(()) }
    }
}

/// Room for connections of the host's namespaces, and buckets of the table that they lie in. It is put back to what it was
/// when this is gone.
pub(in crate::state) struct Room(Vec<(&'static str, u32)>);

impl Room {
    /// Sees to room for so many, each with a bucket of its own as by default, if the host does not have it anyway.
    pub(in crate::state) fn for_so_many(connections: u32) -> Result<Self> {
        let mut raised = Self(Vec::new());
        // Setting the first of them can change the second.
        for name in ["buckets", "max"] {
            let before = number(name)?;
            if before < connections {
                raised.0.push((name, before));
                set(name, connections)?;
            }
        }
        Ok(raised)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for (name, before) in &self.0 {
            if let Err(error) = set(name, *before) {
                eprintln!("nf_conntrack_{name} is not {before} again, as it was: {error:#}");
            }
        }
    }
}

fn set(name: &str, number: u32) -> Result<()> {
    let file = format!("{TRACKING}/nf_conntrack_{name}");
    fs::write(&file, number.to_string()).with_context(|| file)
}

/// A figure of connection tracking in the current namespace.
fn number(name: &str) -> Result<u32> {
    let file = format!("{TRACKING}/nf_conntrack_{name}");
    match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().with_context(|| file),
        Err(error) => bail!("the kernel follows no connections ({file}: {error})"),
    }
}
