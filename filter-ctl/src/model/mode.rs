//! How closely a port follows libvirt's engine.

use serde::{Deserialize, Serialize};

/// What a port does where libvirt's engine does not do what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The guard drops malformed and evasive frames before any rule, rules look through VLAN tags, and filters
    /// do what is written in them.
    #[default]
    Strict,
    /// Rules alone decide, VLAN tags are not looked through, and filters do what libvirt's iptables engine makes
    /// of them.
    Libvirt,
}
