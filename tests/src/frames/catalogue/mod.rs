//! For each reason of the guard, frames that are dropped for it, and their neighbours that are not.

mod ip4;
mod ip6;
mod link;
mod nd;
mod upper;

use filter_common::DropReason;

use super::{Ipv4, Ipv6, PEER, Tag, VM, ether_type, ethernet};

/// A frame that the guard drops, and one that differs as little as possible and passes it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is wrong.
    pub name: &'static str,
    /// The reason it is dropped for.
    pub reason: DropReason,
    /// The frame.
    pub bad: Vec<u8>,
    /// Its sound neighbour.
    pub near_miss: Vec<u8>,
    /// The tag that was taken out of either.
    pub tag: Option<Tag>,
}

/// All cases, in the order of the reasons' numbers.
pub fn catalogue() -> Vec<Case> {
    let mut cases = Vec::new();
    link::add(&mut cases);
    ip4::add(&mut cases);
    ip6::add(&mut cases);
    nd::add(&mut cases);
    upper::add(&mut cases);
    cases.sort_by_key(|case| case.reason);
    cases
}

fn case(reason: DropReason, name: &'static str, bad: Vec<u8>, near_miss: Vec<u8>) -> Case {
    Case { name, reason, bad, near_miss, tag: None }
}

/// A frame from the virtual machine to its neighbour.
fn frame(kind: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(PEER, VM, kind, payload)
}

fn v4(ip: &Ipv4, payload: Vec<u8>) -> Vec<u8> {
    frame(ether_type::IPV4, &ip.packet(payload))
}

fn v6(ip: &Ipv6, payload: Vec<u8>) -> Vec<u8> {
    frame(ether_type::IPV6, &ip.packet(payload))
}

/// Where the network header starts in such a frame.
const NETWORK: usize = 14;
/// Where the upper layer starts behind an IPv4 header without options.
const UPPER4: usize = NETWORK + 20;
/// Where the upper layer starts behind an IPv6 header without extensions.
const UPPER6: usize = NETWORK + 40;
