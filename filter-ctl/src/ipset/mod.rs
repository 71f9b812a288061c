//! Sets of the kernel's firewall, to be taken over: read from the kernel itself, or from what `ipset save` prints.
//!
//! What cannot be kept as it is, is refused, not changed: a set of another type than ours, and a network that is
//! excepted from another (`nomatch`). Members that would go by themselves after a time are told of.

mod netlink;
mod save;

use std::io;

use crate::model::{SetKind, SetMember};

pub use netlink::read;
pub use save::{Listed, parse};

/// A set of the kernel's firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSet {
    /// Its name.
    pub name: String,
    /// What it is here.
    pub kind: SetKind,
    /// What is in it.
    pub members: Vec<SetMember>,
    /// How many of them would go by themselves.
    pub temporary: usize,
}

/// Why a set cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum IpsetError {
    /// The kernel has no sets.
    #[error("this kernel has no ipset (its module ip_set is missing or cannot be loaded)")]
    Unsupported,
    /// It has none of that name.
    #[error("the kernel has no ipset `{0}` in this network namespace; `ipset list -n` shows those there are")]
    NotFound(String),
    /// We may not ask.
    #[error("the kernel's ipsets: permission denied; filter-ctl needs root, or CAP_NET_ADMIN")]
    Permission,
    /// A set that is none of ours.
    #[error("ipset `{name}`: {what}")]
    Foreign {
        /// Its name.
        name: String,
        /// What it is, and what could be taken over.
        what: String,
    },
    /// The kernel says what we do not understand.
    #[error("the kernel's answer about ipsets: {0}")]
    Answer(String),
    /// Netlink.
    #[error("asking the kernel for its ipsets: {0}")]
    Io(#[from] io::Error),
}

/// What our sets are called by ipset, and ours by us.
fn kind(name: &str, type_name: &str) -> Result<SetKind, IpsetError> {
    Ok(match type_name {
        "hash:ip" | "bitmap:ip" => SetKind::Address,
        "hash:net" => SetKind::Network,
        "hash:ip,port" => SetKind::AddressPort,
        "hash:mac" => SetKind::Mac,
        _ => {
            return Err(foreign(
                name,
                format!(
                    "it is of type {type_name}; hash:ip, bitmap:ip, hash:net, hash:ip,port and hash:mac can be taken over"
                ),
            ));
        }
    })
}

fn foreign(name: &str, what: impl Into<String>) -> IpsetError {
    IpsetError::Foreign { name: name.to_owned(), what: what.into() }
}

fn netmask(name: &str) -> IpsetError {
    foreign(
        name,
        "its members are compared with a mask (netmask, bitmask); make it a hash:net, which can be taken over",
    )
}

fn exception(name: &str) -> IpsetError {
    foreign(name, "it has exceptions (nomatch), which sets here do not have")
}
