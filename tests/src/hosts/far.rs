//! A host behind the neighbour, which is its router: on a link that takes less than both ends believe. So whoever sends
//! it large packets has to learn that from the router.

use crate::net::{Namespace, ip};

use super::{Hosts, INTERFACE, set};

/// The largest packet on the link towards the far host.
pub const NARROW: u32 = 1280;

/// The far host.
#[derive(Debug)]
pub struct Far {
    /// Where its stack is.
    pub namespace: Namespace,
}

impl Far {
    /// Its IPv4 address.
    pub const IP4: [u8; 4] = [198, 51, 100, 30];
    /// Its IPv6 address.
    pub const IP6: [u16; 8] = [0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x30];

    /// Makes it, behind the neighbour of these hosts.
    ///
    /// # Panics
    /// If it cannot be done.
    pub fn new(hosts: &Hosts) -> Self {
        let namespace = Namespace::new().expect("it was possible before");
        hosts.peer.namespace.run(|| {
            ip(&format!("link add far0 type veth peer name {INTERFACE} netns {}", namespace.path()));
            ip(&format!("link set far0 mtu {NARROW} up"));
            ip("addr add 198.51.100.1/24 dev far0");
            ip("addr add 2001:db8:1::1/64 dev far0 nodad");
            set("ipv4/ip_forward", "1");
            set("ipv6/conf/all/forwarding", "1");
        });
        namespace.run(|| {
            crate::net::allow_ipv6();
            ip(&format!("link set {INTERFACE} up"));
            ip(&format!("addr add 198.51.100.30/24 dev {INTERFACE}"));
            ip(&format!("addr add 2001:db8:1::30/64 dev {INTERFACE} nodad"));
            ip("route add default via 198.51.100.1");
            ip("-6 route add default via 2001:db8:1::1");
        });
        hosts.guest.namespace.run(|| {
            ip("route add default via 192.0.2.20");
            ip("-6 route add default via 2001:db8::20");
        });
        Self { namespace }
    }
}
