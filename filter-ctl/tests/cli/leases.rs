//! A real DHCP server (dnsmasq, for both families, which announces prefixes, too) and a real client (dhclient) behind a
//! filtered port: what the server gives unlocks the port, for as long as it gives it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use filter_tests::cli::{Operator, with_operator};
use filter_tests::net::{self, Namespace, allow_ipv6, ip, until};
use filter_tests::not_run::not_run;
use serde_json::Value;

use super::FILTER_CTL;

const PORT: &str = "vm0";
const SERVER: &str = "192.0.2.1";
const SERVER6: &str = "fe80::1";

/// A guest behind a filtered port, and a server beside it on the bridge.
struct Network<'a> {
    operator: &'a Operator,
    guest: Namespace,
    server: Namespace,
    dnsmasq: Option<Child>,
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        self.end_client("4");
        self.end_client("6");
        if let Some(mut dnsmasq) = self.dnsmasq.take() {
            let _ = dnsmasq.kill();
            let _ = dnsmasq.wait();
        }
    }
}

/// Tells a story of a guest in a network; or says that it cannot be told here.
fn with_network(test: &str, attach: &str, options: &str, story: impl FnOnce(&mut Network<'_>) + Send) {
    for program in ["dnsmasq", "dhclient"] {
        if Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            return not_run(test, &format!("there is no {program}"));
        }
    }
    with_operator(FILTER_CTL, test, |operator| {
        let (guest, server) =
            (Namespace::new().expect("one was made"), Namespace::new().expect("one was made"));
        for (namespace, name, mac) in
            [(&guest, PORT, "52:54:00:12:34:56"), (&server, "peer0", "52:54:00:aa:bb:cc")]
        {
            // The stacks find their neighbours themselves.
            namespace.run(|| {
                allow_ipv6();
                // Sockets that ping are for everybody here.
                std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").expect("we are root");
            });
            ip(&format!("link add {name} type veth peer name eth0 address {mac} netns {}", namespace.path()));
        }
        net::bridge("br0", &[PORT, "peer0"]);
        operator.ok(&format!("attach {PORT} --profile generic-layer2 --mac 52:54:00:12:34:56 {attach}"));
        server.run(|| {
            ip("link set eth0 addrgenmode none");
            ip("link set eth0 up");
            ip(&format!("addr add {SERVER}/24 dev eth0"));
            ip(&format!("addr add {SERVER6}/64 dev eth0 nodad"));
            ip("addr add 2001:db8::1/64 dev eth0 nodad");
        });
        let mut network = Network { operator, guest, server, dnsmasq: None };
        network.serve(options);
        story(&mut network);
    });
}

impl Network<'_> {
    /// Starts the server, in place of the one before.
    fn serve(&mut self, options: &str) {
        if let Some(mut before) = self.dnsmasq.take() {
            before.kill().expect("it runs");
            before.wait().expect("it ends");
        }
        let folder = self.operator.files().to_owned();
        let leases = folder.join("dnsmasq.leases");
        let started = self.server.run(|| {
            Command::new("dnsmasq")
                .args(["--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--interface=eth0"])
                .args([
                    "--bind-interfaces",
                    "--user=root",
                    "--no-ping",
                    "--dhcp-authoritative",
                    "--pid-file=",
                ])
                .arg(format!("--dhcp-leasefile={}", leases.display()))
                .args(options.split_whitespace())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        });
        self.dnsmasq = Some(started.expect("dnsmasq can be started"));
    }

    fn files(&self, family: &str) -> [PathBuf; 2] {
        let folder = self.operator.files();
        [folder.join(format!("dhclient{family}.leases")), folder.join(format!("dhclient{family}.pid"))]
    }

    /// The script that dhclient calls when it has an address, or has it no longer.
    fn script(&self) -> String {
        let text = "#!/bin/sh\n\
            case $reason in\n\
            BOUND|RENEW|REBIND|REBOOT) ip addr replace $new_ip_address/24 dev $interface;;\n\
            BOUND6|RENEW6|REBIND6) ip addr replace $new_ip6_address/128 dev $interface nodad;;\n\
            PREINIT) ip link set $interface up;;\n\
            PREINIT6) ip link set $interface up; sleep 2;;\n\
            EXPIRE|RELEASE|STOP) ip addr flush dev $interface scope global;;\n\
            esac\n\
            exit 0\n";
        let path = self.operator.file("dhclient-script", text);
        Command::new("chmod").args(["755", &path]).status().expect("it is our file");
        path
    }

    /// Runs the client once in the guest; whether it got what it asked for.
    fn client(&self, options: &str, family: &str) -> bool {
        let script = self.script();
        let [leases, pid] = self.files(family);
        self.guest.run(|| {
            Command::new("timeout")
                .args(["20", "dhclient", "-1", "-v", "-sf", &script, "-lf"])
                .arg(&leases)
                .arg("-pf")
                .arg(&pid)
                .args(options.split_whitespace())
                .arg("eth0")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("dhclient can be started")
                .success()
        })
    }

    /// Ends a client in the background, if there is one, without a word to the server.
    fn end_client(&self, family: &str) {
        let [_, pid] = self.files(family);
        let pid = std::fs::read_to_string(pid).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    fn known(&self) -> Vec<Value> {
        self.operator.port(PORT)["learned"]["addresses"].as_array().cloned().unwrap_or_default()
    }

    fn knows(&self, address: &str) -> bool {
        self.known().iter().any(|known| known["address"].as_str().is_some_and(|it| it.starts_with(address)))
    }

    /// Whether the guest gets an answer from there.
    fn reaches(&self, address: &str) -> bool {
        self.guest.run(|| answers(None, address))
    }
}

/// Whether somebody answers an echo request from here, the kernel's own, from this address if one is named.
fn answers(from: Option<&str>, to: &str) -> bool {
    use rustix::net::{AddressFamily, SocketType, ipproto};
    let to: IpAddr = to.parse().expect("it is an address");
    let (family, protocol, kind) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    let socket =
        rustix::net::socket(family, SocketType::DGRAM, Some(protocol)).expect("ping sockets are allowed");
    if let Some(from) = from {
        let from = SocketAddr::new(from.parse().expect("it is an address"), 0);
        rustix::net::bind(&socket, &from).expect("the address is the guest's");
    }
    let socket = UdpSocket::from(socket);
    if socket.connect(SocketAddr::new(to, 0)).is_err() {
        return false;
    }
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("it is more than nothing");
    (0..3).any(|number| {
        let sent = socket.send(&[kind, 0, 0, 0, 0, 0, 0, number, b'p', b'i', b'n', b'g']);
        sent.is_ok() && socket.recv(&mut [0; 256]).is_ok()
    })
}

#[test]
fn the_lease_of_a_server_unlocks_the_port_until_it_is_given_back() {
    let attach = format!("--learn dhcp --dhcp-server {SERVER}");
    with_network("lease4", &attach, "--dhcp-range=192.0.2.100,192.0.2.110,1h", |network| {
        // An address of its own gets a guest nowhere.
        network.guest.run(|| {
            ip("link set eth0 up");
            ip("addr add 192.0.2.77/24 dev eth0");
        });
        assert!(!network.reaches(SERVER) && network.known().is_empty());
        network.guest.run(|| ip("addr flush dev eth0"));

        assert!(network.client("-4", "4"), "the client gets no lease");
        let known = network.known();
        assert_eq!(known.len(), 1, "{known:?}");
        assert!(known[0]["address"].as_str().is_some_and(|it| it.starts_with("192.0.2.10")), "{known:?}");
        assert_eq!(known[0]["from"], "lease");
        let left = known[0]["expires_in"].as_u64().expect("it ends");
        assert!((3_500..=3_602).contains(&left), "{left} s of an hour");
        assert!(network.reaches(SERVER));

        // What was learned outlives a change of the profile, and attaching again.
        let twin = network.operator.ok("dumpxml own-ip-only");
        network.operator.ok(&format!("update {}", network.operator.file("own-ip-only.xml", twin)));
        assert!(network.reaches(SERVER));
        network
            .operator
            .ok(&format!("attach {PORT} --profile generic-layer2 --mac 52:54:00:12:34:56 {attach}"));
        assert!(network.reaches(SERVER) && network.known().len() == 1);

        // An address of its own gets it nowhere now, either.
        network.guest.run(|| ip("addr add 192.0.2.77/24 dev eth0"));
        let spoofed = network.guest.run(|| answers(Some("192.0.2.77"), SERVER));
        assert!(!spoofed, "it speaks from an address that nobody leased");
        network.guest.run(|| ip("addr del 192.0.2.77/24 dev eth0"));

        // Given back, it is gone.
        assert!(network.client("-4 -r", "4"));
        until("the release is heard", || network.known().is_empty());
        network.guest.run(|| ip("addr replace 192.0.2.100/24 dev eth0"));
        assert!(!network.reaches(SERVER));
    });
}

#[test]
fn a_server_that_is_not_trusted_gives_nothing() {
    let range = "--dhcp-range=192.0.2.100,192.0.2.110,1h";
    with_network("untrusted", "--learn dhcp --dhcp-server 192.0.2.254", range, |network| {
        assert!(!network.client("-4", "4"));
        assert!(network.known().is_empty());
        assert!(network.operator.counts(PORT).of("guard in DhcpUntrusted") > 0);
    });
}

/// Asks again and again until the answer is yes, for so many seconds.
fn until_within(seconds: u64, what: &str, mut answer: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(seconds);
    while !answer() {
        assert!(std::time::Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_lease_of_dhcpv6_unlocks_ipv6() {
    let range = "--dhcp-range=2001:db8::100,2001:db8::110,64,1h";
    let attach = format!("--learn dhcp --dhcp-server {SERVER6}");
    with_network("lease6", &attach, range, |network| {
        network.guest.run(|| ip("link set eth0 up"));
        assert!(network.client("-6", "6"), "the client gets no lease");
        let known = network.known();
        assert_eq!(known.len(), 1, "{known:?}");
        assert_eq!(known[0]["from"], "lease");
        assert!(network.knows("2001:db8::1"), "{known:?}");
        network.guest.run(|| ip("route add 2001:db8::/64 dev eth0"));
        assert!(network.reaches("2001:db8::1"));
        assert!(network.client("-6 -r", "6"));
        until("the release is heard", || network.known().is_empty());
    });
}

#[test]
fn addresses_that_a_guest_makes_of_an_announced_prefix_are_learned() {
    let announce = "--enable-ra --dhcp-range=2001:db8::,ra-only,64,1h";
    with_network("slaac", "--learn any", announce, |network| {
        network.guest.run(|| {
            std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_ra", "2").expect("there is IPv6");
            ip("link set eth0 up");
        });
        until_within(40, "the guest makes itself an address", || network.knows("2001:db8:"));
        let known = network.known();
        let made =
            known.iter().find(|it| it["address"].as_str().is_some_and(|it| it.starts_with("2001:db8:")));
        assert_eq!(made.map(|made| &made["from"]), Some(&Value::from("neighbour")));
        // On a busy machine it may come second.
        until_within(10, "its link-local address is known", || network.knows("fe80::5054:ff:fe12:3456"));
        until_within(10, "the guest's address is no longer tentative", || network.reaches("2001:db8::1"));
        // One that is in no such prefix is not.
        network.guest.run(|| ip("addr add 2001:db8:bad::5/64 dev eth0 nodad"));
        assert!(!network.knows("2001:db8:bad"));
    });
}
