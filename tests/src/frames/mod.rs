//! Frames for tests: builders for every header the filter knows, and a catalogue of what its guard drops.
//!
//! Builders write what they are told, also what is wrong; lengths and checksums they fill in are right.
//! Nothing here uses code of the filter.

mod catalogue;
mod dhcp;
mod ip;
mod link;
mod segment;
mod upper;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use catalogue::{Case, catalogue};
pub use dhcp::{Dhcp4, association6, dhcp6, option6, prefix_information};
pub use ip::{
    Header, Ipv4, Ipv6, authentication, destination_options, fragment, hop_by_hop, protocol, routing,
};
pub use link::{Arp, Tag, bpdu, ether_type, ethernet, llc, snap, tagged, topology_change};
pub use segment::{Sctp, Tcp, chunk, flag};
pub use upper::{
    advertisement, dccp, dhcp, icmp, icmp_error, icmp6, icmp6_error, igmp, link_layer, options, redirect,
    router_advertisement, router_solicitation, sctp, solicitation, tcp, udp, udp_lite, with_options,
};

/// A MAC address.
pub type Mac = [u8; 6];

/// The virtual machine.
pub const VM: Mac = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// A host on the same network.
pub const PEER: Mac = [0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc];
/// The router.
pub const GATEWAY: Mac = [0x52, 0x54, 0x00, 0xfe, 0x00, 0x01];
/// An address that is nobody's.
pub const SPOOF: Mac = [0x52, 0x54, 0x00, 0x12, 0x34, 0x57];
/// Everybody.
pub const BROADCAST: Mac = [0xff; 6];
/// The virtual machine's IPv4 address.
pub const VM_IP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The neighbour's IPv4 address.
pub const PEER_IP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
/// The virtual machine's IPv6 address.
pub const VM_IP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
/// The neighbour's IPv6 address.
pub const PEER_IP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x20);
/// The virtual machine's link-local address.
pub const VM_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0x00ff, 0xfe12, 0x3456);
/// The solicited-node group of [`VM_IP6`].
pub const VM_SOLICITED_NODE: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x10);
/// All nodes.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// `frame` with `bytes` in place of what was at `offset`.
pub fn patched(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The first `length` bytes of `frame`.
pub fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

/// The checksum of RFC 1071 over several runs of bytes, each but the last of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_follows_rfc_1071() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), [0x22, 0x0d]);
    }

    #[test]
    fn a_udp_datagram_is_what_another_stack_sends() {
        // From a capture of a Linux guest.
        let literal = "525400aabbcc525400123456080045000023000100004011f6aac000020ac00002144e211388000f3b77\
                       4d303030303031";
        let ip = Ipv4 { protocol: protocol::UDP, id: 1, ttl: 64, ..Ipv4::default() };
        let frame = ethernet(PEER, VM, ether_type::IPV4, &ip.packet(udp(20001, 5000, b"M000001")));
        let digit = |at: usize| u8::from_str_radix(&literal[at..at + 2], 16).expect("hexadecimal digits");
        assert_eq!(frame, (0..literal.len()).step_by(2).map(digit).collect::<Vec<u8>>());
    }
}
