//! `generic-layer2` on real traffic: what is honest passes both ways, each spoof is dropped and counted under
//! the rule that says why.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{
    ALL_NODES, ALL_ROUTERS, Arp, BROADCAST, GATEWAY, Ipv4, Ipv6, PEER, PEER_IP4, PEER_IP6, SPOOF, VM, VM_IP4,
    VM_IP6, VM_LINK_LOCAL, VM_SOLICITED_NODE, advertisement, bpdu, dhcp, ether_type, ethernet, hop_by_hop,
    icmp6, link_layer, llc, patched, protocol, redirect, router_advertisement, router_solicitation, snap,
    solicitation, tagged, tcp, udp,
};
use filter_tests::net::{self, Namespace, SOON, Segmentation, ip, until};
use filter_tests::scene::{
    ADDRESSES, PORT, Scene, arp, connect, datagram, dhcp_client, dhcp_server, neighbour_discovery,
    neighbour_discovery_to_vm, ping, spoofed_datagram, to_vm4, to_vm6, v4, v6,
};

use super::FILTER_CTL;

type Named = (&'static str, Vec<u8>);

fn attach(operator: &Operator) {
    operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
}

/// The solicited-node group of [`PEER_IP6`].
const PEER_SOLICITED_NODE: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x20);

fn rarp(opcode: u16, sender: [u8; 6], target: [u8; 6]) -> Vec<u8> {
    let none = [0; 4].into();
    let packet = Arp {
        opcode,
        sender_mac: sender,
        sender_ip: none,
        target_mac: target,
        target_ip: none,
        ..Arp::default()
    };
    ethernet(BROADCAST, VM, ether_type::RARP, &packet.bytes())
}

fn probe(target: Ipv4Addr) -> Vec<u8> {
    arp(&Arp { sender_ip: [0; 4].into(), target_ip: target, ..Arp::default() })
}

/// A multicast listener message: a hop-by-hop header goes before it.
fn listener(source: Ipv6Addr, kind: u8) -> Vec<u8> {
    let ip = Ipv6 {
        hop_limit: 1,
        source,
        chain: vec![hop_by_hop(8)],
        destination: ALL_NODES,
        protocol: protocol::ICMP6,
        ..Ipv6::default()
    };
    let group = Ipv6Addr::from_bits(0xff02 << 112 | 0x1_ff00_0010);
    v6(&ip, icmp6(kind, 0, &[&[0; 4], &group.octets()[..]].concat()))
}

fn duplicate_detection(target: Ipv6Addr, group: Ipv6Addr) -> Vec<u8> {
    let ip = Ipv6 { source: Ipv6Addr::UNSPECIFIED, destination: group, ..neighbour_discovery() };
    v6(&ip, solicitation(target, &[]))
}

fn honest_out() -> Vec<Named> {
    let nd = neighbour_discovery;
    let to_peer = |source| Ipv6 { source, destination: PEER_SOLICITED_NODE, ..nd() };
    let own = link_layer(1, VM);
    vec![
        ("an ARP request", arp(&Arp::default())),
        ("an ARP reply", {
            let reply = Arp { opcode: 2, target_mac: PEER, ..Arp::default() };
            ethernet(PEER, VM, ether_type::ARP, &reply.bytes())
        }),
        ("a gratuitous ARP", arp(&Arp { target_ip: VM_IP4, ..Arp::default() })),
        ("an ARP probe for an own address", probe(VM_IP4)),
        ("a RARP announcement", rarp(3, VM, VM)),
        ("an echo request", ping()),
        ("a datagram", datagram(1)),
        ("a TCP segment", connect(443)),
        ("a DHCP discovery", dhcp_client(1)),
        ("a DHCP request", dhcp_client(3)),
        ("a DHCP renewal", v4(&Ipv4::default(), dhcp(1, 3, VM))),
        ("a datagram in SNAP", snap(&datagram(2))),
        ("an IPv6 datagram", v6(&Ipv6::default(), udp(20001, 5000, b"six"))),
        ("a DHCPv6 solicitation", {
            let servers = "ff02::1:2".parse().unwrap();
            v6(
                &Ipv6 { source: VM_LINK_LOCAL, destination: servers, ..Ipv6::default() },
                udp(546, 547, &[1, 0, 0, 1]),
            )
        }),
        ("a neighbour solicitation", v6(&to_peer(VM_IP6), solicitation(PEER_IP6, &own))),
        (
            "a solicitation from the link-local address",
            v6(&to_peer(VM_LINK_LOCAL), solicitation(PEER_IP6, &own)),
        ),
        ("a neighbour advertisement", {
            let ip = Ipv6 { source: VM_IP6, destination: PEER_IP6, ..nd() };
            v6(&ip, advertisement(0x60, VM_IP6, &link_layer(2, VM)))
        }),
        ("an advertisement of the link-local address", v6(&nd(), advertisement(0x20, VM_LINK_LOCAL, &[]))),
        ("duplicate detection", duplicate_detection(VM_IP6, VM_SOLICITED_NODE)),
        ("a router solicitation", v6(&Ipv6 { destination: ALL_ROUTERS, ..nd() }, router_solicitation(&own))),
        ("a router solicitation without an address", {
            let ip = Ipv6 { source: Ipv6Addr::UNSPECIFIED, destination: ALL_ROUTERS, ..nd() };
            v6(&ip, router_solicitation(&[]))
        }),
        ("a listener report", listener(VM_LINK_LOCAL, 131)),
        ("a listener report without an address", listener(Ipv6Addr::UNSPECIFIED, 131)),
        ("a membership report without an address", {
            let group = Ipv4Addr::new(224, 0, 0, 251);
            let ip = Ipv4 {
                source: Ipv4Addr::UNSPECIFIED,
                destination: group,
                protocol: protocol::IGMP,
                ..Ipv4::default()
            };
            v4(&ip, filter_tests::frames::igmp(0x16, group))
        }),
    ]
}

fn honest_in() -> Vec<Named> {
    let nd = neighbour_discovery_to_vm;
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfefe, 1);
    vec![
        ("an ARP request", {
            let request = Arp { sender_mac: PEER, sender_ip: PEER_IP4, target_ip: VM_IP4, ..Arp::default() };
            ethernet(BROADCAST, PEER, ether_type::ARP, &request.bytes())
        }),
        ("a datagram", to_vm4(&Ipv4::default(), udp(5000, 20001, b"four"))),
        (
            "a TCP segment",
            to_vm4(&Ipv4 { protocol: protocol::TCP, ..Ipv4::default() }, tcp(443, 20001, 0x12, b"")),
        ),
        ("a DHCP offer", dhcp_server(2)),
        ("a DHCP acknowledgement", dhcp_server(5)),
        ("an IPv6 datagram", {
            to_vm6(
                &Ipv6 { source: PEER_IP6, destination: VM_IP6, ..Ipv6::default() },
                udp(5000, 20001, b"six"),
            )
        }),
        ("a neighbour solicitation", {
            let ip = Ipv6 { destination: VM_SOLICITED_NODE, ..nd() };
            to_vm6(&ip, solicitation(VM_IP6, &link_layer(1, PEER)))
        }),
        ("a neighbour advertisement", to_vm6(&nd(), advertisement(0x60, PEER_IP6, &link_layer(2, PEER)))),
        ("a router advertisement", {
            let ip = Ipv6 { source: router, destination: ALL_NODES, ..nd() };
            ethernet(
                [0x33, 0x33, 0, 0, 0, 1],
                GATEWAY,
                ether_type::IPV6,
                &ip.packet(router_advertisement(&[])),
            )
        }),
    ]
}

#[test]
fn honest_frames_pass_both_ways() {
    with_operator(FILTER_CTL, "honest_frames", |operator| {
        let scene = Scene::new();
        attach(operator);
        let before = operator.counts(PORT);
        for (what, frame) in honest_out() {
            scene.comes_out(what, &frame);
        }
        for (what, frame) in honest_in() {
            scene.gets_in(what, &frame);
        }
        let grown = operator.counts(PORT).since(&before);
        let dropped: Vec<_> = grown.keys().filter(|name| drops(name)).collect();
        assert!(dropped.is_empty(), "{dropped:?}");
    });
}

/// Whether the counter is of packets that were dropped under `generic-layer2`.
fn drops(counter: &str) -> bool {
    let dropping = [
        "rule own-mac-only/foreign-mac",
        "rule own-arp-only/foreign-sender",
        "rule own-ip-only/foreign-ip4",
        "rule own-ip-only/foreign-ip6",
        "rule no-nd-spoofing/foreign-duplicate-detection",
        "rule no-nd-spoofing/solicitation-foreign-link-layer",
        "rule no-nd-spoofing/advertisement-foreign-link-layer",
        "rule no-nd-spoofing/advertisement-foreign",
        "default generic-layer2",
        "rule generic-layer2/bridge-control",
    ];
    let pools = ["guard ", "rule no-router-advertisement/", "rule no-dhcp-server/", "rule no-vlan/"];
    dropping.contains(&counter) || pools.iter().any(|pool| counter.starts_with(pool))
}

const MAC: &str = "rule own-mac-only/foreign-mac";
const ARP: &str = "rule own-arp-only/foreign-sender";
const IP4: &str = "rule own-ip-only/foreign-ip4";
const IP6: &str = "rule own-ip-only/foreign-ip6";
const DEFAULT: &str = "default generic-layer2";
const BRIDGE: &str = "rule generic-layer2/bridge-control";

fn ip4_spoof() -> Vec<u8> {
    spoofed_datagram(7)
}

fn mac_spoof() -> Vec<u8> {
    patched(datagram(8), 6, &SPOOF)
}

fn arp_spoof() -> Vec<u8> {
    arp(&Arp { opcode: 2, sender_ip: PEER_IP4, ..Arp::default() })
}

/// Each with the counter that must grow.
fn spoofs() -> Vec<(&'static str, Named)> {
    let mut spoofs = link_layer_spoofs();
    spoofs.extend(internet_spoofs());
    spoofs.extend(neighbour_spoofs());
    spoofs.extend(hidden_spoofs());
    spoofs
}

fn link_layer_spoofs() -> Vec<(&'static str, Named)> {
    vec![
        (MAC, ("a datagram from another MAC", mac_spoof())),
        (MAC, ("the router's MAC", patched(datagram(9), 6, &GATEWAY))),
        (MAC, ("an unknown EtherType from another MAC", ethernet(PEER, SPOOF, ether_type::EXPERIMENT, b"x"))),
        (ARP, ("an ARP sender with another MAC", arp(&Arp { sender_mac: SPOOF, ..Arp::default() }))),
        (ARP, ("an ARP sender with another's address", arp(&Arp { sender_ip: PEER_IP4, ..Arp::default() }))),
        (ARP, ("an ARP reply for another's address", arp_spoof())),
        (ARP, ("an ARP probe for another's address", probe(PEER_IP4))),
        (ARP, ("a RARP request for another", rarp(3, VM, SPOOF))),
        (ARP, ("a RARP request of another", rarp(3, SPOOF, VM))),
        (ARP, ("a RARP reply", rarp(4, VM, VM))),
        (DEFAULT, ("an unknown EtherType", ethernet(PEER, VM, ether_type::EXPERIMENT, b"experiment"))),
        (BRIDGE, ("LLDP", ethernet([1, 0x80, 0xc2, 0, 0, 0x0e], VM, 0x88cc, &[0; 46]))),
        (BRIDGE, ("spanning tree", llc([1, 0x80, 0xc2, 0, 0, 0], VM, [0x42, 0x42, 3], &bpdu()))),
        (DEFAULT, ("IPX in LLC", llc(PEER, VM, [0xe0, 0xe0, 3], &[0; 40]))),
        ("guard out SourceMacMulticast", ("a group as source", patched(datagram(10), 6, &[0x53]))),
    ]
}

fn internet_spoofs() -> Vec<(&'static str, Named)> {
    let foreign6 = |source: &str| Ipv6 { source: source.parse().unwrap(), ..Ipv6::default() };
    let from_vm6 = |source, destination| v6(&Ipv6::default(), udp(source, destination, &[2, 0, 0, 1]));
    vec![
        (IP4, ("another's IPv4 source", ip4_spoof())),
        ("rule no-router-advertisement/ip4-router", {
            let ip = Ipv4 { protocol: protocol::ICMP, ..Ipv4::default() };
            ("an IPv4 redirect", v4(&ip, filter_tests::frames::icmp(5, 1, &[0; 28])))
        }),
        (
            IP4,
            ("an echo request in another's name", {
                v4(&Ipv4 { source: [198, 51, 100, 1].into(), protocol: protocol::ICMP, ..Ipv4::default() }, {
                    filter_tests::frames::icmp(8, 0, b"abcdefgh")
                })
            }),
        ),
        (
            IP4,
            ("a TCP segment in another's name", {
                v4(&Ipv4 { source: PEER_IP4, protocol: protocol::TCP, ..Ipv4::default() }, tcp(1, 2, 2, b""))
            }),
        ),
        (
            // No first fragment in that name has passed.
            "guard out FragmentUnknown",
            ("a later fragment in another's name", {
                v4(&Ipv4 { source: PEER_IP4, position: 64, ..Ipv4::default() }, vec![0; 64])
            }),
        ),
        (IP6, ("another's IPv6 source", v6(&foreign6("2001:db8::20"), udp(1, 2, b"x")))),
        (IP6, ("another's link-local source", v6(&foreign6("fe80::1"), udp(1, 2, b"x")))),
        (
            IP6,
            ("another's IPv6 source behind extension headers", {
                v6(&Ipv6 { chain: vec![hop_by_hop(8)], ..foreign6("2001:db8::20") }, udp(1, 2, b"x"))
            }),
        ),
        ("rule no-dhcp-server/dhcp4-from-server", ("a DHCP offer", v4(&Ipv4::default(), dhcp(2, 2, PEER)))),
        (
            "rule no-dhcp-server/dhcp4-to-client",
            ("a DHCP offer from another port", { v4(&Ipv4::default(), udp(1067, 68, &[2; 240])) }),
        ),
        ("rule no-dhcp-server/dhcp6-from-server", ("a DHCPv6 advertisement", from_vm6(547, 546))),
        (
            "rule no-dhcp-server/dhcp6-to-client",
            ("a DHCPv6 advertisement from another port", from_vm6(1547, 546)),
        ),
        (
            "guard out IpSourceRoute",
            ("a source route", {
                v4(&Ipv4 { options: vec![131, 7, 4, 192, 0, 2, 20, 0], ..Ipv4::default() }, udp(1, 2, b"x"))
            }),
        ),
    ]
}

fn neighbour_spoofs() -> Vec<(&'static str, Named)> {
    let nd = neighbour_discovery;
    let foreign = "rule no-nd-spoofing/advertisement-foreign";
    let foreign_mac = "rule no-nd-spoofing/advertisement-foreign-link-layer";
    let solicits = "rule no-nd-spoofing/solicitation-foreign-link-layer";
    vec![
        ("rule no-router-advertisement/router-advertisement", {
            ("a router advertisement", v6(&nd(), router_advertisement(&[])))
        }),
        ("rule no-router-advertisement/redirect", {
            let ip = Ipv6 { destination: PEER_IP6, ..nd() };
            ("a redirect", v6(&ip, redirect(VM_LINK_LOCAL, "2001:db8:1::1".parse().unwrap(), &[])))
        }),
        ("rule no-router-advertisement/multicast-listener-query", {
            ("a listener query", listener(VM_LINK_LOCAL, 130))
        }),
        (foreign, ("an advertisement for another", v6(&nd(), advertisement(0x20, PEER_IP6, &[])))),
        (
            foreign_mac,
            ("an advertisement for another with the own MAC", {
                v6(&nd(), advertisement(0x20, PEER_IP6, &link_layer(2, VM)))
            }),
        ),
        (
            foreign_mac,
            ("an advertisement for itself with another's MAC", {
                v6(&nd(), advertisement(0x20, VM_IP6, &link_layer(2, SPOOF)))
            }),
        ),
        (
            solicits,
            ("a solicitation with another's MAC", {
                let ip = Ipv6 { source: VM_IP6, destination: PEER_SOLICITED_NODE, ..nd() };
                v6(&ip, solicitation(PEER_IP6, &link_layer(1, SPOOF)))
            }),
        ),
        (
            solicits,
            ("a router solicitation with another's MAC", {
                v6(&Ipv6 { destination: ALL_ROUTERS, ..nd() }, router_solicitation(&link_layer(1, SPOOF)))
            }),
        ),
        (
            IP6,
            ("duplicate detection of another's address", duplicate_detection(PEER_IP6, PEER_SOLICITED_NODE)),
        ),
        (
            IP6,
            ("an advertisement in another's name", {
                v6(&Ipv6 { source: PEER_IP6, ..nd() }, advertisement(0x20, PEER_IP6, &[]))
            }),
        ),
    ]
}

/// The same behind what a careless filter does not look through.
fn hidden_spoofs() -> Vec<(&'static str, Named)> {
    let (vlan, service) = (ether_type::VLAN, ether_type::SERVICE_VLAN);
    let double = |frame: &[u8]| tagged(&tagged(frame, vlan, 7), service, 5);
    let tags = "rule no-vlan/tagged";
    vec![
        (MAC, ("SNAP, another MAC", snap(&mac_spoof()))),
        (ARP, ("SNAP, an ARP reply for another", snap(&arp_spoof()))),
        (IP4, ("SNAP, another's IPv4 source", snap(&ip4_spoof()))),
        (MAC, ("a tag, another MAC", tagged(&mac_spoof(), vlan, 5))),
        (ARP, ("a tag, an ARP reply for another", tagged(&arp_spoof(), vlan, 5))),
        (IP4, ("a tag, another's IPv4 source", tagged(&ip4_spoof(), vlan, 5))),
        (MAC, ("two tags, another MAC", double(&mac_spoof()))),
        (ARP, ("two tags, an ARP reply for another", double(&arp_spoof()))),
        (IP4, ("two tags, another's IPv4 source", double(&ip4_spoof()))),
        (IP4, ("two tags of a kind, another's IPv4 source", tagged(&tagged(&ip4_spoof(), vlan, 7), vlan, 5))),
        (MAC, ("a priority tag, another MAC", tagged(&mac_spoof(), vlan, 0xe000))),
        (ARP, ("a priority tag, an ARP reply for another", tagged(&arp_spoof(), vlan, 0x6000))),
        (IP4, ("a priority tag, another's IPv4 source", tagged(&ip4_spoof(), vlan, 0xa000))),
        (IP4, ("a tag of zeros, another's IPv4 source", tagged(&ip4_spoof(), vlan, 0))),
        (IP4, ("a tag and SNAP, another's IPv4 source", tagged(&snap(&ip4_spoof()), vlan, 5))),
        (tags, ("a tag, honest", tagged(&datagram(11), vlan, 5))),
        (tags, ("a tag of zeros, honest", tagged(&datagram(12), vlan, 0))),
        (tags, ("two tags, honest", double(&datagram(13)))),
        (
            "guard out VlanPriorityStacked",
            ("two priority tags", { tagged(&tagged(&datagram(14), vlan, 0), vlan, 0) }),
        ),
    ]
}

#[test]
fn each_spoof_is_dropped_and_counted_under_its_rule() {
    with_operator(FILTER_CTL, "spoofs", |operator| {
        let scene = Scene::new();
        attach(operator);
        let mut before = operator.counts(PORT);
        let mut wrong = Vec::new();
        for (counter, (what, frame)) in spoofs() {
            scene.guest.send(&frame);
            // An honest frame behind it: once that is here, the spoof would be too.
            let mark = datagram(0x6d61_726b);
            scene.guest.send(&mark);
            let mut leaked = false;
            let came = scene.peer.wait_for(SOON, |seen| {
                leaked |= seen != mark;
                seen == mark
            });
            assert!(came.is_some(), "{what}: the honest frame behind it was lost");
            if leaked {
                wrong.push(format!("{what} was seen at the other side"));
            }
            let counts = operator.counts(PORT);
            let grown: BTreeMap<_, _> =
                counts.since(&before).into_iter().filter(|(name, _)| drops(name)).collect();
            if grown != BTreeMap::from([(counter.to_owned(), 1)]) {
                wrong.push(format!("{what}: {grown:?}, expected 1 {counter}"));
            }
            before = counts;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn super_frames_are_judged_and_counted_by_their_segments() {
    with_operator(FILTER_CTL, "super_frames", |operator| {
        let scene = Scene::with_super_frames();
        attach(operator);
        let before = operator.counts(PORT);
        let payload = vec![0x5a; 40_000];
        let segment = |source| {
            let ip = Ipv4 { source, protocol: protocol::TCP, ..Ipv4::default() };
            v4(&ip, tcp(20001, 443, 0x10, &payload))
        };
        let size = 1448;
        let segments = payload.len().div_ceil(usize::from(size)) as u64;
        scene.guest.send_segments(&segment(PEER_IP4), Segmentation { headers: 54, size });
        scene.guest.send_segments(&segment(VM_IP4), Segmentation { headers: 54, size });
        // Guests may leave it to the host to find out how long the headers are.
        scene.guest.send_segments(&segment(VM_IP4), Segmentation { headers: 0, size });
        for _ in 0..2 {
            let come = scene.peer.wait_for(SOON, |seen| seen.len() > 40_000).expect("a super-frame passes");
            assert_eq!(come[26..30], VM_IP4.octets(), "the spoofed one came first");
        }
        let grown = operator.counts(PORT).since(&before);
        assert_eq!(grown.get(IP4), Some(&segments), "{grown:?}");
        assert_eq!(grown.get("rule own-ip-only/own-ip4"), Some(&(2 * segments)), "{grown:?}");
        assert_eq!(grown.get("rule generic-layer2/ipv4"), Some(&(2 * segments)), "{grown:?}");
    });
}

/// Two Linux hosts with a bridge between them: the guest behind the filtered end of a veth pair.
pub struct Hosts {
    pub guest: Namespace,
    pub peer: Namespace,
}

impl Hosts {
    pub fn new() -> Self {
        let hosts = Self { guest: Namespace::new().unwrap(), peer: Namespace::new().unwrap() };
        for (host, name, address, last) in
            [(&hosts.guest, PORT, "52:54:00:12:34:56", 10), (&hosts.peer, "peer0", "52:54:00:aa:bb:cc", 20)]
        {
            host.run(net::allow_ipv6);
            ip(&format!("link add {name} type veth peer name eth0 address {address} netns {}", host.path()));
            host.run(|| {
                ip("link set eth0 up");
                ip(&format!("addr add 192.0.2.{last}/24 dev eth0"));
                ip(&format!("addr add 2001:db8::{last}/64 dev eth0"));
                // Sockets that ping are for everybody here.
                std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").unwrap();
            });
        }
        net::bridge("br0", &[PORT, "peer0"]);
        hosts
    }

    /// Waits until duplicate detection, which the filter must let pass, is over in both.
    fn settled(&self) {
        for host in [&self.guest, &self.peer] {
            host.run(|| {
                until("addresses are found to be unique", || {
                    let mut command = std::process::Command::new("ip");
                    let output = command.args(["-6", "addr", "show", "dev", "eth0"]).output().unwrap();
                    let text = String::from_utf8_lossy(&output.stdout).into_owned();
                    assert!(!text.contains("dadfailed"), "{text}");
                    text.contains("fe80::") && !text.contains("tentative")
                });
            });
        }
    }
}

fn exchange(guest: &UdpSocket, message: &[u8], expected: impl Fn(&[u8]) -> bool) {
    guest.set_read_timeout(Some(SOON)).unwrap();
    guest.send(message).unwrap();
    let mut buffer = [0; 2048];
    loop {
        let length = guest.recv(&mut buffer).unwrap_or_else(|error| panic!("no answer: {error}"));
        if expected(&buffer[..length]) {
            return;
        }
    }
}

/// An echo request of the kernel's ping socket.
fn ping_from_here(to: IpAddr) {
    use rustix::net::{AddressFamily, SocketType, ipproto};
    let (family, protocol, kind) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    let socket = UdpSocket::from(rustix::net::socket(family, SocketType::DGRAM, Some(protocol)).unwrap());
    socket.connect(SocketAddr::new(to, 0)).unwrap();
    let answer = if kind == 8 { 0 } else { 129 };
    exchange(&socket, &[kind, 0, 0, 0, 0, 0, 0, 1, b'p', b'i', b'n', b'g'], |message| message[0] == answer);
}

fn udp_echo(hosts: &Hosts, address: IpAddr) {
    let server = hosts.peer.run(|| UdpSocket::bind(SocketAddr::new(address, 5000)).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            server.set_read_timeout(Some(SOON)).unwrap();
            let mut buffer = [0; 64];
            let (length, from) = server.recv_from(&mut buffer).expect("the datagram comes");
            server.send_to(&buffer[..length], from).unwrap();
        });
        hosts.guest.run(|| {
            let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let socket = UdpSocket::bind(SocketAddr::new(any, 0)).unwrap();
            socket.connect(SocketAddr::new(address, 5000)).unwrap();
            exchange(&socket, b"datagram", |message| message == b"datagram");
        });
    });
}

fn tcp_megabyte(server: &Namespace, client: &Namespace, address: IpAddr) {
    const LENGTH: usize = 1 << 20;
    let listener = server.run(|| TcpListener::bind(SocketAddr::new(address, 8080)).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            assert!(received.iter().all(|&byte| byte == 0x5a));
            stream.write_all(&received.len().to_be_bytes()).unwrap();
        });
        client.run(|| {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, 8080), SOON).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            stream.write_all(&vec![0x5a; LENGTH]).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(usize::from_be_bytes(answer), LENGTH);
        });
    });
}

#[test]
fn two_linux_hosts_talk_through_the_filter() {
    with_operator(FILTER_CTL, "linux_hosts", |operator| {
        let hosts = Hosts::new();
        attach(operator);
        hosts.settled();
        for peer in [IpAddr::from(PEER_IP4), IpAddr::from(PEER_IP6)] {
            hosts.guest.run(|| ping_from_here(peer));
            udp_echo(&hosts, peer);
            tcp_megabyte(&hosts.peer, &hosts.guest, peer);
        }
        for vm in [IpAddr::from(VM_IP4), IpAddr::from(VM_IP6)] {
            hosts.peer.run(|| ping_from_here(vm));
            tcp_megabyte(&hosts.guest, &hosts.peer, vm);
        }
        let counts = operator.counts(PORT);
        for rule in ["ipv4", "ipv6", "arp"] {
            assert_ne!(counts.of(&format!("rule generic-layer2/{rule}")), 0, "{rule}: {counts:?}");
        }
        let honest = counts.0.iter().filter(|(name, count)| drops(name) && **count != 0);
        assert_eq!(honest.collect::<Vec<_>>(), vec![], "honest packets were dropped");

        // The same host under an address that is not its own.
        hosts.guest.run(|| {
            ip("addr add 192.0.2.66/24 dev eth0");
            let socket = UdpSocket::bind("192.0.2.66:0").unwrap();
            socket.connect(SocketAddr::new(IpAddr::from(PEER_IP4), 5001)).unwrap();
            socket.send(b"spoofed").unwrap();
        });
        until("the spoofed datagram is counted", || operator.counts(PORT).of(IP4) == 1);
    });
}
