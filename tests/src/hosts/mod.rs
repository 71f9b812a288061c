//! Two Linux hosts with real stacks, each in a network namespace: the guest behind the port of a virtual machine, and
//! its neighbour behind another port of the same bridge.
//!
//! Interfaces are taps that the test holds, at the hosts and at the bridge, with a [`Cable`] between them.

mod cable;
mod far;
mod sockets;

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

pub use cable::{Cable, Way};
pub use far::{Far, NARROW};
pub use sockets::{
    A_MOMENT, Echo, abort, answer_datagrams, bulk, connect, datagram_socket, heard, is_answered, listen,
    ping, ping_passes, said, start_connecting,
};

use crate::net::{self, Namespace, Wire, ip, until};
use crate::scene::PORT;

const BRIDGE: &str = "br0";
/// The interface of each host.
pub const INTERFACE: &str = "eth0";
/// The neighbour's port of the bridge.
pub const PEER_PORT: &str = "peer0";
/// The port of [`Hosts::third`].
pub const THIRD_PORT: &str = "third0";
/// The IPv4 address of [`Hosts::third`].
pub const THIRD_IP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 30);

/// A host.
#[derive(Debug)]
pub struct Host {
    /// What leads to it. It goes before the namespace does.
    pub cable: Cable,
    /// Where its stack is.
    pub namespace: Namespace,
}

/// The two hosts, on a bridge in the current namespace.
#[derive(Debug)]
pub struct Hosts {
    /// The guest, with the addresses of [`VM`](crate::frames::VM).
    pub guest: Host,
    /// Its neighbour, with those of [`PEER`](crate::frames::PEER).
    pub peer: Host,
}

impl Hosts {
    /// Makes them, and the bridge.
    ///
    /// # Panics
    /// If it cannot be done.
    pub fn new() -> Self {
        let guest = Host::new(PORT, "52:54:00:12:34:56", 10);
        let peer = Host::new(PEER_PORT, "52:54:00:aa:bb:cc", 20);
        net::bridge(BRIDGE, &[PORT, PEER_PORT]);
        Self { guest, peer }
    }

    /// One more host on the same bridge.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn third(&self) -> Host {
        let third = Host::new(THIRD_PORT, "52:54:00:77:77:77", 30);
        ip(&format!("link set dev {THIRD_PORT} master {BRIDGE}"));
        third
    }

    /// Waits until nothing is on its way between them.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn quiet(&self) {
        // What one cable carries may make the other busy, and back.
        for _ in 0..3 {
            self.guest.cable.settle();
            self.peer.cable.settle();
        }
    }

    /// Waits until both have found their addresses to be unique.
    ///
    /// # Panics
    /// If they do not.
    pub fn settled(&self) {
        for host in [&self.guest, &self.peer] {
            host.namespace.run(|| until("addresses are found to be unique", is_settled));
        }
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    fn new(port: &str, mac: &str, last: u8) -> Self {
        let namespace = Namespace::new().expect("it was possible before");
        let own = namespace.run(|| {
            net::allow_ipv6();
            let own = Wire::tap(INTERFACE, true).expect("taps can be made");
            ip(&format!("link set {INTERFACE} address {mac}"));
            ip(&format!("link set {INTERFACE} up"));
            ip(&format!("addr add 192.0.2.{last}/24 dev {INTERFACE}"));
            ip(&format!("addr add 2001:db8::{last}/64 dev {INTERFACE}"));
            set("ipv4/ping_group_range", "0 2147483647");
            own
        });
        Self { cable: Cable::new(own, net::tap_with(port, true)), namespace }
    }
}

/// Changes a setting below `/proc/sys/net` in the current namespace.
///
/// # Panics
/// If there is no such setting.
pub fn set(setting: &str, value: &str) {
    let file = format!("/proc/sys/net/{setting}");
    fs::write(&file, value).unwrap_or_else(|error| panic!("{file}: {error}"));
}

fn is_settled() -> bool {
    let output = Command::new("ip").args(["-6", "addr", "show", "dev", INTERFACE]).output();
    let text = String::from_utf8_lossy(&output.expect("ip can be run").stdout).into_owned();
    assert!(!text.contains("dadfailed"), "{text}");
    text.contains("fe80::") && !text.contains("tentative")
}
