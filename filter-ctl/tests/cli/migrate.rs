//! A port's state taken along to another host: a transfer goes on behind another port, addresses are known there, counters
//! do not go back, announcements pass; and what is damaged, or does not fit, changes nothing.
//!
//! Hosts are network namespaces, each with a root and a folder for pins of its own. Between them is a third, the
//! peer, which is their switch as well.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filter_tests::cli::{Counts, Operator, obstacle};
use filter_tests::frames::{
    Arp, BROADCAST, Ipv4, PEER_IP4, SPOOF, VM, VM_IP4, VM_LINK_LOCAL, advertisement, ether_type, ethernet,
    link_layer, protocol, tcp,
};
use filter_tests::net::{self, Namespace, Wire, ifindex, ip, until};
use filter_tests::not_run::not_run;
use filter_tests::scene::{Scene, arp, connect, datagram, neighbour_discovery, spoofed_datagram, v4, v6};
use serde_json::{Value, json};

use super::FILTER_CTL;

/// Own addresses only, which are learned; connections to some ports, and what belongs to them.
const PROFILE: &str = "
<filter name='moving'>
  <filterref filter='own-mac-only'/>
  <filterref filter='own-arp-only'/>
  <filterref filter='own-ip-only'/>
  <rule action='accept' direction='inout' priority='100'><tcp state='ESTABLISHED'/></rule>
  <rule action='accept' direction='out' priority='200'>
    <tcp state='NEW' dstportstart='8080' dstportend='8099'/>
  </rule>
  <rule action='drop' direction='inout' priority='900'><all/></rule>
</filter>";

/// Where that drops what belongs to no connection.
const DROPPED: &str = "rule moving/#3";

/// A host of virtual machines.
struct Host {
    operator: Operator,
    namespace: Namespace,
}

impl Host {
    fn new(test: &str) -> Self {
        let host = Self { operator: Operator::new(FILTER_CTL, test), namespace: Namespace::new().unwrap() };
        host.define(PROFILE);
        host
    }

    fn define(&self, text: &str) {
        self.ok(&format!("define {}", self.operator.file("profile.xml", text)));
    }

    fn ok(&self, line: &str) -> String {
        self.namespace.run(|| self.operator.ok(line))
    }

    fn json(&self, line: &str) -> Value {
        self.namespace.run(|| self.operator.json(line))
    }

    fn fails(&self, line: &str, code: i32) -> String {
        self.namespace.run(|| self.operator.fails(line, code))
    }

    fn counts(&self, port: &str) -> Counts {
        self.namespace.run(|| self.operator.counts(port))
    }

    /// The same when nothing is on its way any more.
    fn settled_counts(&self, port: &str) -> Counts {
        let mut counts = self.counts(port);
        until("nothing comes any more", || {
            thread::sleep(Duration::from_millis(100));
            let before = std::mem::replace(&mut counts, self.counts(port));
            counts == before
        });
        counts
    }

    fn port(&self, port: &str) -> Value {
        self.namespace.run(|| self.operator.port(port))
    }

    /// The path of a file with the state of a port.
    fn save(&self, port: &str) -> (String, Value) {
        let path = self.operator.files().join("state").display().to_string();
        let saved = self.json(&format!("migrate save {port} -o {path}"));
        assert_eq!(saved["bytes"], fs::metadata(&path).unwrap().len(), "{saved}");
        (path, saved)
    }
}

/// Two hosts, a guest that can be behind a port of either, and a peer that both lead to.
struct Site {
    source: Host,
    destination: Host,
    guest: Namespace,
    peer: Namespace,
}

/// The guest's port at the source, and at the destination.
const PORTS: [&str; 2] = ["vnet0", "vnet7"];

impl Site {
    fn new(test: &str) -> Self {
        let site = Self {
            source: Host::new(&format!("{test}_a")),
            destination: Host::new(&format!("{test}_b")),
            guest: Namespace::new().unwrap(),
            peer: Namespace::new().unwrap(),
        };
        site.peer.run(|| net::bridge("br0", &[]));
        for (number, host) in [&site.source, &site.destination].into_iter().enumerate() {
            let (port, guest, peer) = (PORTS[number], site.guest.path(), site.peer.path());
            host.namespace.run(|| {
                ip(&format!("link add {port} type veth peer name eth{number} netns {guest}"));
                ip(&format!("link add up0 type veth peer name host{number} netns {peer}"));
                net::bridge("br0", &[port, "up0"]);
            });
            site.peer.run(|| ip(&format!("link set host{number} master br0 up")));
        }
        site.peer.run(|| ip("addr add 192.0.2.20/24 dev br0"));
        // However long commands take on a busy machine, the guest does not give up, and asks again every second, where
        // the kernel can be told so (6.15).
        site.guest.run(|| {
            fs::write("/proc/sys/net/ipv4/tcp_retries2", "255").unwrap();
            let seldom = "/proc/sys/net/ipv4/tcp_rto_max_ms";
            if Path::new(seldom).exists() {
                fs::write(seldom, "1000").unwrap();
            }
        });
        site
    }

    /// The guest runs behind the source's port (0) or the destination's (1).
    fn guest_runs(&self, at: usize) {
        self.guest.run(|| {
            ip(&format!("link set eth{at} address 52:54:00:12:34:56 up"));
            ip(&format!("addr add 192.0.2.10/24 dev eth{at}"));
        });
    }

    fn guest_stops(&self, at: usize) {
        self.guest.run(|| {
            ip(&format!("link set eth{at} down"));
            ip(&format!("addr flush dev eth{at}"));
        });
    }

    /// Sends a frame as the guest, at the destination, and says whether the peer sees it. It is sent again now and then, as
    /// QEMU announces a guest: whoever looks on beside a transfer does not see all that comes.
    fn comes_out(&self, frame: &[u8], within: Duration) -> bool {
        let peer = self.peer.run(|| Wire::socket(ifindex("host1")).unwrap());
        let guest = self.guest.run(|| Wire::socket(ifindex("eth1")).unwrap());
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            guest.send(frame);
            let step = AGAIN.min(deadline.saturating_duration_since(Instant::now()));
            if peer.wait_for(step, |seen| seen == frame).is_some() {
                return true;
            }
        }
        false
    }
}

/// Between two times that a frame is sent.
const AGAIN: Duration = Duration::from_millis(100);
/// Bytes of a transfer.
const LENGTH: usize = 48 << 20;
const PIECE: usize = 1 << 16;
/// How long a transfer may stand still before it is given up.
const PATIENCE: Duration = Duration::from_secs(40);

/// A piece of what is sent, the same each time.
fn piece(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ state >> 29).to_be_bytes()
    });
    words.take(PIECE / 8).flatten().collect()
}

/// A transfer from the guest to the peer, which takes what comes no faster than so that there is time to do something.
struct Transfer<'a> {
    received: &'a AtomicUsize,
    ended: &'a AtomicBool,
}

impl Transfer<'_> {
    fn has(&self) -> usize {
        self.received.load(Ordering::Acquire)
    }

    /// Waits until so many bytes have come.
    fn reaches(&self, bytes: usize) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.has() < bytes && !self.ended.load(Ordering::Acquire) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        self.has() >= bytes
    }

    /// Whether nothing comes any more although the guest goes on sending: until so many packets of it were `dropped`.
    fn stands_still(&self, mut dropped: impl FnMut() -> u64) -> bool {
        let (has, before) = (self.has(), dropped());
        let deadline = Instant::now() + PATIENCE;
        while dropped() < before + 3 {
            assert!(Instant::now() < deadline, "it sends nothing");
            thread::sleep(Duration::from_millis(20));
        }
        self.has() == has
    }
}

/// What becomes of a transfer.
#[derive(PartialEq, Eq)]
enum Then {
    End,
    GiveUp,
}

/// Runs a transfer, and something meanwhile; then lets it end, or not. Whether all bytes came, and were the right ones.
fn transfer(site: &Site, story: impl FnOnce(&Transfer<'_>) -> Then) -> bool {
    let address = SocketAddr::new(PEER_IP4.into(), 8080);
    let listener = site.peer.run(|| TcpListener::bind(address).unwrap());
    let mut client = site.guest.run(|| TcpStream::connect_timeout(&address, PATIENCE).unwrap());
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    let (received, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ends = [client.try_clone().unwrap(), server.try_clone().unwrap()];
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let all = (0..LENGTH / PIECE).all(|number| client.write_all(&piece(number)).is_ok());
            all && client.shutdown(Shutdown::Write).is_ok()
        });
        let receiver = scope.spawn(|| {
            let mut right = true;
            let mut buffer = vec![0; PIECE];
            for number in 0..LENGTH / PIECE {
                if server.read_exact(&mut buffer).is_err() {
                    right = false;
                    break;
                }
                right &= buffer == piece(number);
                received.fetch_add(PIECE, Ordering::Release);
                thread::sleep(Duration::from_millis(1));
            }
            ended.store(true, Ordering::Release);
            right && server.read(&mut buffer).is_ok_and(|more| more == 0)
        });
        if story(&Transfer { received: &received, ended: &ended }) == Then::GiveUp {
            for stream in &ends {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        let (sent, right) = (sender.join().unwrap(), receiver.join().unwrap());
        sent && right
    })
}

fn with_site(test: &str, story: impl FnOnce(&Site)) {
    if let Some(obstacle) = obstacle() {
        return not_run(test, &obstacle);
    }
    let site = Site::new(test);
    let said = site.source.ok(&format!("attach {} --profile moving", PORTS[0]));
    assert!(said.contains("learned"), "{said}");
    site.guest_runs(0);
    story(&site);
}

/// RARP as QEMU announces a guest: who asks, and who is asked for, is the guest.
fn rarp(source: [u8; 6], asked: [u8; 6]) -> Vec<u8> {
    let none = [0; 4].into();
    let packet = Arp {
        opcode: 3,
        sender_mac: asked,
        sender_ip: none,
        target_mac: asked,
        target_ip: none,
        ..Arp::default()
    };
    ethernet(BROADCAST, source, ether_type::RARP, &packet.bytes())
}

fn gratuitous_arp() -> Vec<u8> {
    arp(&Arp { target_ip: VM_IP4, ..Arp::default() })
}

fn advertised() -> Vec<u8> {
    v6(&neighbour_discovery(), advertisement(0x20, VM_LINK_LOCAL, &link_layer(2, VM)))
}

#[test]
fn a_transfer_goes_on_at_another_host() {
    with_site("migrate_transfer", |site| {
        let (source, destination) = (&site.source, &site.destination);
        let whole = transfer(site, |transfer| {
            assert!(transfer.reaches(LENGTH / 4), "it has begun");
            site.guest_stops(0);
            let before = source.settled_counts(PORTS[0]);
            let (file, saved) = source.save(PORTS[0]);
            assert_eq!((&saved["flows"], &saved["addresses"]), (&json!(1), &json!(1)), "{saved}");
            assert_eq!(source.counts(PORTS[0]), before, "saving disturbs nothing");
            assert_eq!(source.port(PORTS[0])["status"], "active");

            let restored = destination.json(&format!("migrate restore {} {file}", PORTS[1]));
            assert_eq!((&restored["flows"], &restored["addresses"]), (&json!(1), &json!(1)), "{restored}");
            assert_eq!(restored["saved_of"], PORTS[0]);
            assert_eq!(restored["counters"], saved["counters"]);
            let after = destination.counts(PORTS[1]);
            for (name, packets) in &before.0 {
                assert!(after.of(name) >= *packets, "{name}: {packets} before, {} after", after.of(name));
            }
            assert!(before.of("rule moving/#1") > 100, "{before:?}");
            let port = destination.port(PORTS[1]);
            assert_eq!(
                (&port["learned_ip"], &port["learned_mac"]),
                (&json!("192.0.2.10"), &json!("52:54:00:12:34:56"))
            );
            assert_eq!(port["flows"]["used"], 1);
            site.guest_runs(1);
            assert!(site.comes_out(&rarp(VM, VM), PATIENCE), "the switch hears where the guest is now");
            assert!(transfer.reaches(LENGTH), "it goes on");
            let end = destination.counts(PORTS[1]);
            assert!(end.of("rule moving/#1") > after.of("rule moving/#1") + 100);
            assert_eq!(source.counts(PORTS[0]), before, "nothing comes by there any more");
            Then::End
        });
        assert!(whole, "all bytes are the right ones");
    });
}

#[test]
fn addresses_are_known_and_others_are_not() {
    with_site("migrate_addresses", |site| {
        site.guest
            .run(|| drop(TcpStream::connect_timeout(&SocketAddr::new(PEER_IP4.into(), 8080), PATIENCE)));
        let destination = &site.destination;
        site.guest_stops(0);
        let (file, _) = site.source.save(PORTS[0]);
        destination.ok(&format!("migrate restore {} {file}", PORTS[1]));
        site.guest_runs(1);
        for (what, frame) in [
            ("another address", {
                let ip = Ipv4 { source: [192, 0, 2, 77].into(), protocol: protocol::TCP, ..Ipv4::default() };
                v4(&ip, tcp(20_002, 8080, 2, b""))
            }),
            ("an announcement of another", rarp(VM, SPOOF)),
            ("an announcement from another", rarp(SPOOF, VM)),
        ] {
            let before = destination.counts(PORTS[1]);
            assert!(!site.comes_out(&frame, Duration::from_millis(300)), "{what} is dropped");
            let since = destination.counts(PORTS[1]).since(&before);
            let dropped =
                since.keys().any(|name| name.starts_with("rule own-") || name.starts_with("guard out"));
            assert!(dropped, "{what} is counted where it was dropped: {since:?}");
        }
        assert!(
            site.comes_out(&connect(8080), PATIENCE),
            "the known address passes, although nothing was learned here"
        );
    });
}

#[test]
fn without_its_connection_the_transfer_breaks() {
    with_site("migrate_without", |site| {
        let whole = transfer(site, |transfer| {
            assert!(transfer.reaches(LENGTH / 4), "it has begun");
            site.guest_stops(0);
            let (file, _) = site.source.save(PORTS[0]);
            site.destination.ok(&format!("migrate restore {} {file}", PORTS[1]));
            site.destination.ok(&format!("flows cut {} --all", PORTS[1]));
            site.guest_runs(1);
            assert!(site.comes_out(&rarp(VM, VM), PATIENCE));
            let dropped = || site.destination.counts(PORTS[1]).of(DROPPED);
            assert!(transfer.stands_still(dropped), "strict ports pick nothing up");
            Then::GiveUp
        });
        assert!(!whole);
    });
}

/// The state is older than the guest's last segments. Windows as they were do not let it go on; without them it does.
#[test]
fn a_state_of_a_guest_that_went_on_is_of_use() {
    with_site("migrate_stale", |site| {
        let whole = transfer(site, |transfer| {
            assert!(transfer.reaches(LENGTH / 8), "it has begun");
            let (file, saved) = site.source.save(PORTS[0]);
            assert_eq!(saved["flows"], 1);
            assert!(transfer.reaches(LENGTH / 8 + (16 << 20)), "saving does not hold it up");
            site.guest_stops(0);
            let restore = format!("migrate restore {} {file}", PORTS[1]);
            site.destination.ok(&restore);
            site.guest_runs(1);
            assert!(site.comes_out(&rarp(VM, VM), PATIENCE));
            let dropped = || site.destination.counts(PORTS[1]).of(DROPPED);
            assert!(transfer.stands_still(dropped), "what it sends is beyond the window");
            assert!(site.destination.fails(&restore, 4).contains("--replace"));
            let restored = site.destination.json(&format!("{restore} --replace --stale"));
            assert_eq!((&restored["replaced"], &restored["flows"]), (&json!(true), &json!(1)));
            assert!(transfer.reaches(LENGTH), "it goes on");
            Then::End
        });
        assert!(whole, "all bytes are the right ones");
    });
}

/// What announces a guest after it has moved passes with the profiles that ship, if its addresses are given, and if they
/// were learned before; what announces another does not.
#[test]
fn announcements_pass_after_the_move() {
    let test = "announcements_pass_after_the_move";
    if let Some(obstacle) = obstacle() {
        return not_run(test, &obstacle);
    }
    let given = "--mac 52:54:00:12:34:56 --ip 192.0.2.10 --ip fe80::5054:ff:fe12:3456";
    let hosts = [Host::new("announce_a"), Host::new("announce_b")];
    for (profile, six) in [("generic-layer2", true), ("clean-traffic", false), ("clean-traffic-strict", true)]
    {
        for addresses in [given, "--mac 52:54:00:12:34:56", ""] {
            let file = hosts[0].namespace.run(|| {
                let scene = Scene::new();
                hosts[0].operator.ok(&format!("attach vm0 --profile {profile} {addresses}"));
                scene.comes_out("a request", &arp(&Arp::default()));
                if six {
                    scene.comes_out("an advertisement", &advertised());
                }
                let (file, _) = hosts[0].save("vm0");
                hosts[0].operator.ok("detach vm0");
                ip("link del br0");
                file
            });
            hosts[1].namespace.run(|| {
                let scene = Scene::new();
                hosts[1].operator.ok(&format!("migrate restore vm0 {file}"));
                let what = |what: &str| format!("{what} ({profile} {addresses})");
                scene.comes_out(&what("RARP"), &rarp(VM, VM));
                scene.comes_out(&what("a gratuitous ARP"), &gratuitous_arp());
                if six {
                    scene.comes_out(&what("an advertisement"), &advertised());
                }
                scene.comes_out(&what("a datagram"), &datagram(1));
                for spoofed in [rarp(VM, SPOOF), rarp(SPOOF, VM), rarp(SPOOF, SPOOF), spoofed_datagram(2)] {
                    scene.guest.send(&spoofed);
                    scene.comes_out("another datagram", &datagram(3));
                    assert!(!scene.is_out(&spoofed), "{}", what("a spoof"));
                }
                hosts[1].operator.ok("detach vm0");
                ip("link del br0");
            });
        }
    }
}

/// Nothing is attached with what cannot be put in force as a whole, and the message says why.
#[test]
fn what_does_not_fit_changes_nothing() {
    with_site("migrate_refused", |site| {
        let (source, destination) = (&site.source, &site.destination);
        let refused = |file: &str, more: &str, code: i32| {
            let message = destination.fails(&format!("migrate restore {} {file} {more}", PORTS[1]), code);
            assert_eq!(destination.json("ports"), json!([]), "nothing is attached");
            let ports = destination.operator.root().join("run/ports");
            assert_eq!(fs::read_dir(&ports).map(Iterator::count).unwrap_or_default(), 0, "or written down");
            message
        };
        assert!(source.fails("migrate save vnet9", 3).contains("not attached"));
        let (file, _) = source.save(PORTS[0]);
        let good = fs::read(&file).unwrap();
        let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            destination.operator.file(name, bytes)
        };
        let half = good.len() / 2;
        assert!(refused(&changed("bit", &|bytes| bytes[half] ^= 4), "", 5).contains("checksum"));
        assert!(refused(&changed("short", &|bytes| bytes.truncate(half)), "", 5).contains("copied whole"));
        assert!(
            refused(&changed("newer", &|bytes| bytes[9] = 2), "", 5).contains("found version 2, expected 1")
        );
        assert!(
            refused(&changed("foreign", &|bytes| bytes.fill(b'x')), "", 5).contains("no state of a port")
        );
        assert!(refused("/nowhere", "", 3).contains("/nowhere"));

        // The name means something else here.
        destination.define(&PROFILE.replace("8099", "8098"));
        let message = refused(&file, "", 4);
        assert!(message.contains("`moving`") && message.contains("--allow-other-profiles"), "{message}");
        let restored =
            destination.json(&format!("migrate restore {} {file} --allow-other-profiles", PORTS[1]));
        assert_eq!(restored["other_profiles"], json!(["moving"]));
        destination.ok(&format!("detach {}", PORTS[1]));
        destination.ok("undefine moving");
        assert!(refused(&file, "", 3).contains("`moving`"), "it is named");
        assert!(
            refused(&file, "--allow-other-profiles", 3).contains("`moving`"),
            "it is needed all the same"
        );
        destination.define(PROFILE);

        destination.ok(&format!("attach {} --profile moving --mac 52:54:00:00:00:01", PORTS[1]));
        let before = destination.port(PORTS[1]);
        let restore = format!("migrate restore {} {file}", PORTS[1]);
        assert!(destination.fails(&restore, 4).contains("--replace"));
        assert_eq!(destination.port(PORTS[1]), before);
        destination.ok(&format!("{restore} --replace"));
        assert_eq!(destination.port(PORTS[1])["binding"]["mac"], Value::Null);
        assert!(destination.fails(&restore.replace(PORTS[1], "vnet9"), 3).contains("vnet9"));
    });
}

/// With other profiles those connections go on that these would let begin. What finds no room keeps all away.
#[test]
fn connections_are_held_against_other_profiles_and_have_to_fit() {
    with_site("migrate_other", |site| {
        let (source, destination) = (&site.source, &site.destination);
        let address = |port: u16| SocketAddr::new(PEER_IP4.into(), port);
        let listeners: Vec<TcpListener> =
            (8080..8096).map(|port| site.peer.run(|| TcpListener::bind(address(port)).unwrap())).collect();
        let _talks: Vec<TcpStream> = (8080..8096)
            .map(|port| site.guest.run(|| TcpStream::connect_timeout(&address(port), PATIENCE).unwrap()))
            .collect();
        let (file, saved) = source.save(PORTS[0]);
        assert_eq!(saved["flows"], 16);
        let restore = format!("migrate restore {} {file}", PORTS[1]);
        let message = destination.fails(&format!("{restore} --flows-max 8"), 4);
        assert!(message.contains("of 16 connections") && message.contains("--flows-max"), "{message}");
        assert_eq!(destination.json("ports"), json!([]));
        destination.define(&PROFILE.replace("8099", "8083"));
        let said = destination.ok(&format!("{restore} --allow-other-profiles"));
        assert!(said.contains("4 connections") && said.contains("12 connections cut"), "{said}");
        assert!(said.contains("1 counter counted: rule moving/#2\n"), "the rule is another one: {said}");
        assert_eq!(destination.port(PORTS[1])["flows"]["used"], 4);
        drop(listeners);
    });
}

/// Wherever a command dies, the next one does all of it.
#[test]
fn a_restore_that_dies_is_done_again() {
    with_site("migrate_killed", |site| {
        let (source, destination) = (&site.source, &site.destination);
        let address = SocketAddr::new(PEER_IP4.into(), 8080);
        let _listener = site.peer.run(|| TcpListener::bind(address).unwrap());
        let _talk = site.guest.run(|| TcpStream::connect_timeout(&address, PATIENCE).unwrap());
        let (file, saved) = source.save(PORTS[0]);
        destination.ok(&format!("migrate restore {} {file}", PORTS[1]));
        let line = format!("migrate restore {} {file} --replace", PORTS[1]);
        for step in 0..16 {
            let mut command = destination.operator.command();
            command.args(line.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = destination.namespace.run(|| command.spawn().unwrap());
            thread::sleep(Duration::from_millis(step * 3));
            child.kill().unwrap();
            child.wait().unwrap();
            let port = destination.port(PORTS[1]);
            assert_eq!((&port["status"], &port["flows"]["used"]), (&json!("active"), &json!(1)), "{step}");
            assert_eq!(port["learned_ip"], "192.0.2.10", "{step}");
        }
        let restored = destination.json(&line);
        assert_eq!((&restored["flows"], &restored["counters"]), (&json!(1), &saved["counters"]));
    });
}

/// As over a network: what one command writes the other reads.
#[test]
fn a_state_goes_through_a_pipe() {
    with_site("migrate_pipe", |site| {
        let restored = site.source.namespace.run(|| {
            let mut save = site.source.operator.command();
            let mut save = save
                .args(["migrate", "save", PORTS[0]])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let state = save.stdout.take().unwrap();
            let restored = site.destination.namespace.run(|| {
                let mut restore = site.destination.operator.command();
                restore.args(["migrate", "restore", PORTS[1]]).stdin(state).output().unwrap()
            });
            let mut said = String::new();
            save.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(said.starts_with("vnet0 is saved: moving, 0 connections"), "{said}");
            assert!(save.wait().unwrap().success());
            restored
        });
        let said = String::from_utf8(restored.stdout).unwrap();
        assert!(said.starts_with("vnet7 goes on as vnet0: moving, 0 connections"), "{said}");
        // What is no whole state is refused from there as well.
        let mut restore = site.destination.operator.command();
        restore
            .args(["migrate", "restore", PORTS[1], "--replace"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let done = site.destination.namespace.run(|| {
            let mut child = restore.spawn().unwrap();
            child.stdin.take().unwrap().write_all(b"fltstate").unwrap();
            child.wait_with_output().unwrap()
        });
        assert_eq!(done.status.code(), Some(5));
        assert!(String::from_utf8_lossy(&done.stderr).contains("standard input: found 8 bytes"));
    });
}
