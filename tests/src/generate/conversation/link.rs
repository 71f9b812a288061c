//! What keeps a link going and belongs to no connection.

use filter_common::Direction;

use crate::frames::{
    Arp, BROADCAST, Header, Ipv6, PEER, PEER_IP6, VM, VM_IP6, VM_LINK_LOCAL, VM_SOLICITED_NODE,
    advertisement, ether_type, ethernet, hop_by_hop, icmp6, link_layer, protocol, solicitation,
};
use crate::generate::Rng;

/// ARP, neighbour discovery, or a multicast listener's report.
pub(super) fn frame(rng: &mut Rng) -> (Direction, Vec<u8>) {
    let discovery = Ipv6 { hop_limit: 255, protocol: protocol::ICMP6, ..Ipv6::default() };
    let six = |ip: &Ipv6, message: Vec<u8>| {
        let group = ip.destination.octets();
        let destination = match group {
            [0xff, .., a, b, c, d] => [0x33, 0x33, a, b, c, d],
            _ => PEER,
        };
        ethernet(destination, VM, ether_type::IPV6, &ip.packet(message))
    };
    match rng.below(4) {
        0 => (Direction::Out, ethernet(BROADCAST, VM, ether_type::ARP, &Arp::default().bytes())),
        1 => {
            let ip = Ipv6 { source: PEER_IP6, destination: VM_SOLICITED_NODE, ..discovery };
            (Direction::In, six(&ip, solicitation(VM_IP6, &link_layer(1, PEER))))
        }
        2 => (Direction::Out, six(&discovery, advertisement(0x60, VM_IP6, &link_layer(2, VM)))),
        _ => {
            let options: Header = hop_by_hop(8);
            let ip = Ipv6 { hop_limit: 1, source: VM_LINK_LOCAL, chain: vec![options], ..discovery };
            let ip = Ipv6 { destination: crate::frames::ALL_ROUTERS, ..ip };
            (Direction::Out, six(&ip, icmp6(143, 0, &[0; 4])))
        }
    }
}
