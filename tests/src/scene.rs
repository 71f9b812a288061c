//! A virtual machine and its surroundings on the wire: what a test, or the demo, sends and looks for.

use std::sync::{Mutex, PoisonError};

use crate::frames::{
    ALL_NODES, Arp, BROADCAST, Ipv4, Ipv6, Mac, PEER, PEER_IP4, PEER_IP6, VM, VM_IP4, VM_IP6, VM_LINK_LOCAL,
    dhcp, ether_type, ethernet, icmp, protocol, tcp, udp,
};
use crate::net::{self, SOON, Wire};

/// The port of the virtual machine in a [`Scene`].
pub const PORT: &str = "vm0";

/// What [`Scene`]s tell the command of the virtual machine.
pub const ADDRESSES: &str = "--mac 52:54:00:12:34:56 --ip 192.0.2.10 --ip 2001:db8::10";

/// Two taps on a bridge: one is held by the virtual machine, the other by a host on its network.
#[derive(Debug)]
pub struct Scene {
    /// The virtual machine's end of its tap, [`PORT`].
    pub guest: Wire,
    /// The other's end of `peer0`.
    pub peer: Wire,
    /// What came to the other's end, and to the virtual machine's, before something that was waited for.
    others: [Mutex<Vec<Vec<u8>>>; 2],
}

impl Scene {
    /// In the current network namespace.
    ///
    /// # Panics
    /// If the interfaces cannot be made.
    pub fn new() -> Self {
        Self::with(false)
    }

    /// With taps that take super-frames.
    ///
    /// # Panics
    /// If the interfaces cannot be made.
    pub fn with_super_frames() -> Self {
        Self::with(true)
    }

    fn with(vnet_hdr: bool) -> Self {
        let (guest, peer) = (net::tap_with(PORT, vnet_hdr), net::tap_with("peer0", vnet_hdr));
        let scene = Self { guest, peer, others: [const { Mutex::new(Vec::new()) }; 2] };
        net::bridge("br0", &[PORT, "peer0"]);
        scene
    }

    /// Sends a frame from the virtual machine, and waits for it at the other end.
    ///
    /// # Panics
    /// If it does not come.
    pub fn comes_out(&self, what: &str, frame: &[u8]) {
        self.guest.send(frame);
        assert!(Self::comes(&self.peer, &self.others[0], frame), "{what} did not come out");
    }

    /// Sends a frame to the virtual machine, and waits for it there.
    ///
    /// # Panics
    /// If it does not come.
    pub fn gets_in(&self, what: &str, frame: &[u8]) {
        self.peer.send(frame);
        assert!(Self::comes(&self.guest, &self.others[1], frame), "{what} did not get in");
    }

    /// Waits for a frame at an end, and keeps those that come before it.
    fn comes(end: &Wire, others: &Mutex<Vec<Vec<u8>>>, frame: &[u8]) -> bool {
        let mut others = others.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |seen: &[u8]| {
            let found = seen == frame;
            if !found {
                others.push(seen.to_owned());
            }
            found
        };
        end.wait_for(SOON, wanted).is_some()
    }

    /// Whether a frame has come to an end, or waits there; forgets all that have.
    fn has_come(end: &Wire, others: &Mutex<Vec<Vec<u8>>>, frame: &[u8]) -> bool {
        let before = std::mem::take(&mut *others.lock().unwrap_or_else(PoisonError::into_inner));
        // All are read, also behind the one that is found.
        let waiting = end.drain();
        before.iter().chain(&waiting).any(|seen| seen == frame)
    }

    /// Whether the other end has got a frame since it was asked the last time, but for those that were waited for; forgets
    /// all that it has.
    pub fn is_out(&self, frame: &[u8]) -> bool {
        Self::has_come(&self.peer, &self.others[0], frame)
    }

    /// The same of the virtual machine.
    pub fn is_in(&self, frame: &[u8]) -> bool {
        Self::has_come(&self.guest, &self.others[1], frame)
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame from the virtual machine to the other host with an IPv4 packet.
pub fn v4(ip: &Ipv4, payload: Vec<u8>) -> Vec<u8> {
    ethernet(PEER, VM, ether_type::IPV4, &ip.packet(payload))
}

/// A frame from the virtual machine to the other host, or to a group, with an IPv6 packet.
pub fn v6(ip: &Ipv6, payload: Vec<u8>) -> Vec<u8> {
    ethernet(group_or(ip, PEER), VM, ether_type::IPV6, &ip.packet(payload))
}

fn group_or(ip: &Ipv6, station: Mac) -> Mac {
    match ip.destination.octets() {
        [0xff, .., a, b, c, d] => [0x33, 0x33, a, b, c, d],
        _ => station,
    }
}

/// A frame from the virtual machine to all with an ARP packet.
pub fn arp(arp: &Arp) -> Vec<u8> {
    ethernet(BROADCAST, VM, ether_type::ARP, &arp.bytes())
}

/// A datagram as the virtual machine sends it, with a number in it that tells it from others.
pub fn datagram(number: u32) -> Vec<u8> {
    v4(&Ipv4::default(), udp(20001, 5000, &number.to_be_bytes()))
}

/// A datagram from an address that is another's.
pub fn spoofed_datagram(number: u32) -> Vec<u8> {
    v4(
        &Ipv4 { source: PEER_IP4, destination: VM_IP4, ..Ipv4::default() },
        udp(20001, 5000, &number.to_be_bytes()),
    )
}

/// A datagram to the virtual machine.
pub fn answer(number: u32) -> Vec<u8> {
    to_vm4(&Ipv4::default(), udp(5000, 20001, &number.to_be_bytes()))
}

/// `ip` with the payload, from the other host to the virtual machine.
pub fn to_vm4(ip: &Ipv4, payload: Vec<u8>) -> Vec<u8> {
    let back = Ipv4 { source: PEER_IP4, destination: VM_IP4, ..ip.clone() };
    ethernet(VM, PEER, ether_type::IPV4, &back.packet(payload))
}

/// The IPv6 packet, from the other host to the virtual machine.
pub fn to_vm6(ip: &Ipv6, payload: Vec<u8>) -> Vec<u8> {
    ethernet(group_or(ip, VM), PEER, ether_type::IPV6, &ip.packet(payload))
}

/// What a DHCP client without an address sends: 1 discovers, 3 requests.
pub fn dhcp_client(kind: u8) -> Vec<u8> {
    let ip = Ipv4 { source: [0; 4].into(), destination: [255; 4].into(), ..Ipv4::default() };
    ethernet(BROADCAST, VM, ether_type::IPV4, &ip.packet(dhcp(1, kind, VM)))
}

/// What a DHCP server answers: 2 offers, 5 acknowledges.
pub fn dhcp_server(kind: u8) -> Vec<u8> {
    to_vm4(&Ipv4::default(), dhcp(2, kind, VM))
}

/// An ICMP echo request of the virtual machine.
pub fn ping() -> Vec<u8> {
    v4(&Ipv4 { protocol: protocol::ICMP, ..Ipv4::default() }, icmp(8, 0, b"abcdefgh"))
}

/// A TCP segment of the virtual machine: its first.
pub fn connect(port: u16) -> Vec<u8> {
    v4(&Ipv4 { protocol: protocol::TCP, ..Ipv4::default() }, tcp(20001, port, 2, b""))
}

/// Headers of neighbour discovery: nobody passes it on. From the virtual machine's link-local address to all.
pub fn neighbour_discovery() -> Ipv6 {
    Ipv6 {
        hop_limit: 255,
        source: VM_LINK_LOCAL,
        destination: ALL_NODES,
        protocol: protocol::ICMP6,
        ..Ipv6::default()
    }
}

/// Headers of neighbour discovery between the two global addresses, towards the virtual machine.
pub fn neighbour_discovery_to_vm() -> Ipv6 {
    Ipv6 { source: PEER_IP6, destination: VM_IP6, ..neighbour_discovery() }
}

/// A frame as `explain --hex` takes it.
pub fn hex(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
