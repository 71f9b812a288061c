//! What the graphs of a policy ask for that has to be found out before the walk: connections, and what is above IP.
//!
//! Nobody pays for what no graph asks. A class is looked at in both directions: who asks for the connection of what
//! comes in has to have seen what went out.

use filter_common::{Class, Direction, Node, NodeKind, connection, flags, own, word};

/// Something asks for the connection.
const CONNECTION: u8 = 1;
/// For packets that are related to one of another class.
const RELATED: u8 = 1 << 1;
/// For what only the first fragment of a packet has.
const ABOVE_IP: u8 = 1 << 2;

/// Classes in which connections are followed, and those in which something above IP is asked for: a bit for each.
pub(super) fn classes(nodes: &[Node], roots: &[u32]) -> (u32, u32) {
    let asked = from_each(nodes);
    let of = |class: Class| {
        let root = |direction| roots.get(class.root(direction)).and_then(|&root| asked.get(root as usize));
        Direction::ALL.into_iter().filter_map(root).fold(0, |all, asked| all | asked)
    };
    let ip = Class::ALL.into_iter().filter(|class| class.is_ipv4() || class.is_ipv6());
    let related = ip.clone().any(|class| of(class) & RELATED != 0);
    let (mut tracked, mut above_ip) = (0, 0);
    for class in ip {
        let bit = 1 << class as u32;
        if related || of(class) & CONNECTION != 0 {
            tracked |= bit;
        }
        if of(class) & (ABOVE_IP | CONNECTION) != 0 {
            above_ip |= bit;
        }
    }
    // What follows the header of an IPv6 fragment can be one more extension header: only the first fragment tells
    // the protocol.
    let six =
        Class::ALL.into_iter().filter(|class| class.is_ipv6()).fold(0, |all, class| all | 1 << class as u32);
    if above_ip & six != 0 {
        above_ip |= 1 << Class::Ipv6Other as u32;
    }
    (tracked, above_ip)
}

/// What is asked from each node on. Children stand before their parents.
fn from_each(nodes: &[Node]) -> Vec<u8> {
    let mut asked: Vec<u8> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let at = |child: u32| asked.get(child as usize).copied().unwrap_or(0);
        let run = |first: u32, count: u32| (first..first + count).map(at).fold(0, |all, asked| all | asked);
        let all = u32::MAX;
        asked.push(match node.kind() {
            None | Some(NodeKind::Leaf { .. }) => 0,
            Some(NodeKind::Range { word, yes, no, .. }) => here(word, all) | at(yes) | at(no),
            Some(NodeKind::Mask { word, mask, yes, no, .. }) => here(word, mask) | at(yes) | at(no),
            Some(NodeKind::Cut { word, last, first, .. }) => here(word, all) | run(first, last + 1),
            Some(NodeKind::Hash { word, mask, shift, first, .. }) => {
                here(word, mask) | run(first, 1 << (u32::BITS - shift))
            }
            Some(NodeKind::Hit { next, .. }) => at(next),
            Some(NodeKind::Candidate { target, next, .. }) => at(target) | at(next),
        });
    }
    asked
}

/// What a node asks for that looks at these bits of a word.
const fn here(word: u32, mask: u32) -> u8 {
    match word {
        word::OWN => {
            let bits = mask >> own::CONNECTION & connection::ALL;
            let related = if bits & connection::RELATED != 0 { RELATED } else { 0 };
            let own = own::ND_TARGET | own::ND_TARGET_LINK_LOCAL | own::INNER_SRC_MAC;
            let above = if mask & own != 0 { ABOVE_IP } else { 0 };
            (if bits != 0 { CONNECTION } else { 0 }) | related | above
        }
        word::FLAGS => {
            if mask & (0xff | flags::TCP | flags::ND_TARGET) == 0 {
                0
            } else {
                ABOVE_IP
            }
        }
        word::SRC_PORT | word::DST_PORT | word::INNER_SRC_MAC_HI..word::ENCAPSULATED => ABOVE_IP,
        _ => 0,
    }
}
