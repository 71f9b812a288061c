//! Connections: listed, cut, judged anew when a policy changes, moved to larger tables and to other ports, with real
//! sockets behind real interfaces.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{Ipv4, PEER_IP4, VM_IP4, udp};
use filter_tests::net::{Namespace, SOON, ip, until};
use filter_tests::scene::{ADDRESSES, PORT, Scene, to_vm4, v4};
use serde_json::{Value, json};

use super::FILTER_CTL;
use super::traffic::Hosts;

/// What belongs to a connection passes; what begins one only to these ports.
fn filter(ports: std::ops::RangeInclusive<u16>) -> String {
    let (first, last) = ports.into_inner();
    format!(
        "<filter name='web'>
           <rule action='accept' direction='inout' priority='100'><tcp state='ESTABLISHED'/></rule>
           <rule action='accept' direction='out' priority='200'>
             <tcp state='NEW' dstportstart='{first}' dstportend='{last}'/>
           </rule>
           <rule action='accept' direction='out' priority='300'><udp dstportstart='{first}' dstportend='{last}'/></rule>
           <rule action='drop' direction='inout' priority='900'><all/></rule>
         </filter>"
    )
}

fn attach(operator: &Operator, more: &str) -> Value {
    operator.json(&format!("attach {PORT} --profile web {ADDRESSES} {more}"))
}

fn update(operator: &Operator, ports: std::ops::RangeInclusive<u16>, more: &str) -> String {
    operator.ok(&format!("update {} {more}", operator.file("web.xml", filter(ports))))
}

fn define(operator: &Operator) {
    operator.ok(&format!("define {}", operator.file("web.xml", filter(8080..=8099))));
}

/// Connections, an object each.
fn listed(operator: &Operator, line: &str) -> Vec<Value> {
    let text = operator.ok(&format!("--json flows {line}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn used(operator: &Operator, port: &str) -> u64 {
    operator.json(&format!("flows {port} --summary"))["used"].as_u64().unwrap()
}

/// A connection between two hosts.
struct Talk {
    client: TcpStream,
    server: TcpStream,
    said: u8,
}

impl Talk {
    fn new(server: &Namespace, client: &Namespace, address: IpAddr, port: u16) -> Self {
        let address = SocketAddr::new(address, port);
        let listener = server.run(|| TcpListener::bind(address).unwrap());
        let client = client.run(|| TcpStream::connect_timeout(&address, SOON).unwrap());
        let (server, _) = listener.accept().unwrap();
        client.set_nodelay(true).unwrap();
        Self { client, server, said: 0 }
    }

    fn hears(&mut self, patience: Duration) -> bool {
        self.said = self.said.wrapping_add(1);
        self.client.write_all(&[self.said]).unwrap();
        self.server.set_read_timeout(Some(patience)).unwrap();
        let mut heard = [0];
        // What was said before, and did not come then, comes before.
        while self.server.read_exact(&mut heard).is_ok() {
            if heard[0] == self.said {
                return true;
            }
        }
        false
    }

    fn lives(&mut self) -> bool {
        self.hears(SOON)
    }

    fn is_cut(&mut self) -> bool {
        !self.hears(Duration::from_millis(700))
    }
}

const PEER: IpAddr = IpAddr::V4(PEER_IP4);

#[test]
fn connections_are_listed_and_cut() {
    with_operator(FILTER_CTL, "flows_listed", |operator| {
        let hosts = Hosts::new();
        define(operator);
        attach(operator, "");
        let mut talk = Talk::new(&hosts.peer, &hosts.guest, PEER, 8080);
        let mut other = Talk::new(&hosts.peer, &hosts.guest, PEER, 8081);
        assert!(talk.lives() && other.lives());
        let flows = listed(operator, PORT);
        assert_eq!(flows.len(), 2, "{flows:?}");
        let flow = listed(operator, &format!("list {PORT} --port 8080")).pop().unwrap();
        assert_eq!(flow["protocol"], "tcp");
        assert_eq!((&flow["state"], &flow["origin"]), (&json!("established"), &json!("out")));
        assert_eq!((&flow["local"], &flow["remote"]), (&json!(VM_IP4), &json!(PEER_IP4)));
        assert_eq!(flow["remote_port"], 8080);
        assert_eq!(flow["local_mac"], "52:54:00:12:34:56");
        assert_eq!(flow["local_port"], talk.client.local_addr().unwrap().port());
        assert!(flow["rule"].as_str().unwrap().starts_with("rule web/"), "{flow}");
        let left = flow["remaining"].as_u64().unwrap();
        assert!((431_990..=432_000).contains(&left), "{left} seconds left of five days");
        assert_eq!(listed(operator, &format!("{PORT} --state syn-sent")), Vec::<Value>::new());
        assert_eq!(listed(operator, &format!("{PORT} --protocol udp")), Vec::<Value>::new());
        assert_eq!(listed(operator, &format!("{PORT} --remote 192.0.2.0/28")), Vec::<Value>::new());
        assert_eq!(listed(operator, &format!("{PORT} --local 192.0.2.0/28 --protocol 6")).len(), 2);
        let text = operator.ok(&format!("flows {PORT}"));
        assert!(text.contains("192.0.2.20:8080") && text.contains("established"), "{text}");
        assert!(text.ends_with("2 connections of 8192 that there is room for\n"), "{text}");
        assert_eq!(operator.port(PORT)["flows"]["used"], 2);
        assert!(operator.ok(&format!("stats {PORT}")).contains("2 connections of 8192"));

        assert_eq!(operator.run(&format!("flows cut {PORT}")).code, 2, "of which, it does not say");
        assert_eq!(operator.json(&format!("flows cut {PORT} --port 8080"))["cut"], 1);
        assert!(talk.is_cut() && other.lives());
        assert_eq!(listed(operator, PORT).len(), 1);
        assert_eq!(operator.ok(&format!("flows cut {PORT} --all")), format!("1 connection of {PORT} cut\n"));
        assert!(other.is_cut());
        // What is held to nothing that asks for connections follows none.
        operator.ok(&format!("attach {PORT} --profile no-vlan"));
        assert!(operator.fails(&format!("flows {PORT}"), 5).contains("follows no connections"));
        assert!(operator.fails("flows nobody0", 3).contains("not attached"));
    });
}

#[test]
fn a_change_judges_connections_anew_keeps_them_or_cuts_them() {
    with_operator(FILTER_CTL, "flows_changed", |operator| {
        let hosts = Hosts::new();
        define(operator);
        attach(operator, "");
        let mut talks: Vec<Talk> =
            (8080..8084).map(|port| Talk::new(&hosts.peer, &hosts.guest, PEER, port)).collect();
        let said = update(operator, 8080..=8082, "");
        assert_eq!(said, format!("web is changed, in force on {PORT} (3 connections kept, 1 cut)\n"));
        assert!(talks[3].is_cut());
        assert!(talks[..3].iter_mut().all(Talk::lives));
        let flows = listed(operator, PORT);
        assert_eq!(flows.len(), 3);
        let named =
            flows.iter().all(|flow| flow["rule"].as_str().is_some_and(|rule| rule.starts_with("rule web/")));
        assert!(named, "rules are those that accept them now: {flows:?}");
        // Nobody asks anew, so they go on under rules that would not let them begin.
        let said = update(operator, 8080..=8081, "--flows keep");
        assert_eq!(said, format!("web is changed, in force on {PORT}\n"));
        assert!(talks[..3].iter_mut().all(Talk::lives));
        // Attaching again is a change, too.
        let attached = attach(operator, "--flows recheck");
        assert_eq!(attached["connections"], json!({ "port": PORT, "kept": 2, "cut": 1 }));
        assert!(talks[2].is_cut());
        assert!(talks[..2].iter_mut().all(Talk::lives));
        let file = operator.file("web.xml", filter(8080..=8090));
        let updated = operator.json(&format!("update {file} --flows cut"));
        let each = json!([{ "port": PORT, "kept": 0, "cut": 2 }]);
        assert_eq!(updated["connections"], json!({ "kept": 0, "cut": 2, "ports": each }));
        assert!(talks.iter_mut().all(Talk::is_cut));
        assert_eq!(used(operator, PORT), 0);
        // What fails changes nothing of them.
        let mut talk = Talk::new(&hosts.peer, &hosts.guest, PEER, 8085);
        let bad = operator.file("web.xml", filter(8080..=8081).replace("8081", "$MISSING"));
        operator.fails(&format!("update {bad} --flows cut"), 5);
        assert!(talk.lives());
    });
}

/// What a set says now decides whether a connection could begin.
#[test]
fn sets_are_asked_when_connections_are_judged() {
    with_operator(FILTER_CTL, "flows_sets", |operator| {
        let hosts = Hosts::new();
        operator.ok("set create friends --type address");
        operator.ok("set add friends 192.0.2.20");
        let begins = "<tcp state='NEW' dstportstart='8080' dstportend='8090'/>";
        let friends = "<all state='NEW' ipset='friends' ipsetflags='dst'/>";
        let text = filter(8080..=8090).replace(begins, friends);
        operator.ok(&format!("define {}", operator.file("web.xml", &text)));
        attach(operator, "");
        let mut talk = Talk::new(&hosts.peer, &hosts.guest, PEER, 8080);
        let again = || attach(operator, "")["connections"].clone();
        assert_eq!(again(), json!({ "port": PORT, "kept": 1, "cut": 0 }));
        assert!(talk.lives());
        operator.ok("set del friends 192.0.2.20");
        assert!(talk.lives(), "the set is not asked for what goes on");
        assert_eq!(again(), json!({ "port": PORT, "kept": 0, "cut": 1 }));
        assert!(talk.is_cut());
    });
}

#[test]
fn a_table_grows_under_traffic() {
    with_operator(FILTER_CTL, "flows_grow", |operator| {
        let hosts = Hosts::new();
        define(operator);
        attach(operator, "--flows-max 64");
        let mut talks: Vec<Talk> =
            (8080..8096).map(|port| Talk::new(&hosts.peer, &hosts.guest, PEER, port)).collect();
        let mut running = Talk::new(&hosts.peer, &hosts.guest, PEER, 8099);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let transfer = scope.spawn(|| {
                let mut rounds = 0;
                while !over.load(Ordering::Relaxed) {
                    assert!(running.lives(), "round {rounds}");
                    rounds += 1;
                }
                rounds
            });
            for places in [256, 64, 4096] {
                let attached = attach(operator, &format!("--flows-max {places}"));
                assert_eq!(attached["connections"]["kept"], 17, "{attached}");
                let summary = operator.json(&format!("flows {PORT} --summary"));
                let expected =
                    json!({ "used": 17, "notes": 0, "room": places, "refused": 0, "moving": false });
                assert_eq!(summary, expected);
            }
            over.store(true, Ordering::Relaxed);
            assert!(transfer.join().unwrap() > 0);
        });
        assert!(talks.iter_mut().all(Talk::lives), "idle ones moved, too");
        let port = operator.port(PORT);
        assert_eq!(port["binding"]["flows_max"], 4096);
        let message = operator.fails(&format!("attach {PORT} --profile web {ADDRESSES} --flows-max 16"), 4);
        assert!(message.contains("17 connections") && message.contains("--flows-max"), "{message}");
        assert_eq!(operator.port(PORT), port);
        assert!(talks.iter_mut().all(Talk::lives));
        assert_eq!(operator.run(&format!("attach {PORT} --profile web --flows-max 0")).code, 2);
    });
}

/// Wherever a command dies on the way from one table to another, connections go on, and the next one gets there.
#[test]
fn a_command_that_dies_while_a_table_grows_costs_no_connection() {
    with_operator(FILTER_CTL, "flows_killed", |operator| {
        let hosts = Hosts::new();
        define(operator);
        attach(operator, "--flows-max 64");
        let mut talks: Vec<Talk> =
            (8080..8090).map(|port| Talk::new(&hosts.peer, &hosts.guest, PEER, port)).collect();
        for step in 0..16u64 {
            let places = if step % 2 == 0 { "256" } else { "64" };
            let line = format!("attach {PORT} --profile web {ADDRESSES} --flows-max {places}");
            let mut child = operator
                .command()
                .args(line.split_whitespace())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            thread::sleep(Duration::from_millis(step * 4));
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(talks[step as usize % 10].lives(), "killed after {} ms", step * 4);
            assert_eq!(used(operator, PORT), 10, "killed after {} ms", step * 4);
        }
        attach(operator, "--flows-max 512");
        let summary = operator.json(&format!("flows {PORT} --summary"));
        assert_eq!((&summary["moving"], &summary["used"]), (&json!(false), &json!(10)));
        assert!(talks.iter_mut().all(Talk::lives));
    });
}

/// The guest's interface goes down, and comes up behind another port with its addresses.
#[test]
fn connections_move_to_another_port() {
    with_operator(FILTER_CTL, "flows_moved", |operator| {
        let hosts = Hosts::new();
        define(operator);
        attach(operator, "");
        let mut talk = Talk::new(&hosts.peer, &hosts.guest, PEER, 8080);
        assert!(talk.lives());
        let guest = &hosts.guest;
        ip(&format!("link add vm1 type veth peer name eth1 netns {}", guest.path()));
        ip("link set vm1 master br0 up");
        operator.ok(&format!("attach vm1 --profile web {ADDRESSES}"));
        let file = operator.files().join("flows");
        let exported = operator.command().args(["flows", "export", PORT]).output().unwrap();
        assert!(exported.status.success());
        fs::write(&file, &exported.stdout).unwrap();

        guest.run(|| {
            ip("link set eth0 down");
            ip("addr flush dev eth0");
            ip("link set eth1 address 52:54:00:12:34:56 up");
            ip("addr add 192.0.2.10/24 dev eth1");
        });
        assert!(talk.is_cut(), "the new port knows nothing of it");
        damaged(operator, &exported.stdout);
        assert_eq!(used(operator, "vm1"), 0);
        let imported = operator.json(&format!("flows import vm1 {}", file.display()));
        let expected = json!({ "port": "vm1", "imported": 1, "there": 0, "no_room": 0, "learned": false });
        assert_eq!(imported, expected);
        assert!(talk.lives());
        let flow = listed(operator, "vm1").pop().unwrap();
        assert!(flow["rule"].as_str().unwrap().starts_with("rule web/"), "{flow}");
        // Once more does no harm.
        let imported = operator.json(&format!("flows import vm1 {}", file.display()));
        assert_eq!((&imported["imported"], &imported["there"]), (&json!(0), &json!(1)));
        assert!(talk.lives());
        operator.ok(&format!("attach vm1 --profile web {ADDRESSES} --flows-max 8 --flows cut"));
    });
}

/// Files that are not whole, or something else, are refused and change nothing.
fn damaged(operator: &Operator, good: &[u8]) {
    let import = |name: &str, bytes: &[u8]| {
        let file = operator.file(name, bytes);
        operator.fails(&format!("flows import vm1 {file}"), 5)
    };
    let mut bytes = good.to_vec();
    bytes[good.len() / 2] ^= 4;
    assert!(import("damaged", &bytes).contains("checksum"), "a bit has changed");
    assert!(import("short", &good[..good.len() - 3]).contains("copied whole"));
    assert!(import("foreign", b"#!/bin/sh").contains("no file of connections"));
    bytes = good.to_vec();
    bytes[9] = 9;
    assert!(import("version", &bytes).contains("version 9"));
    assert!(operator.fails("flows import vm1 /nowhere", 3).contains("/nowhere"));
}

/// A source has as many connections as it may, whatever becomes of the rules and the table meanwhile; others have their
/// own.
#[test]
fn a_source_has_so_many_connections_and_no_more() {
    with_operator(FILTER_CTL, "flows_limited", |operator| {
        let hosts = Hosts::new();
        let filter = |comment: &str, most: u32| {
            format!(
                "<filter name='web'>
                   <rule action='drop' direction='in' priority='100'>
                     <tcp dstportstart='22' connlimit-above='{most}'/>
                   </rule>
                   <rule action='accept' direction='in' priority='200'><tcp dstportstart='22'/></rule>
                   <rule action='accept' direction='in' priority='200'><tcp dstportstart='23'/></rule>
                   <rule action='drop' direction='inout' priority='900'><all comment='{comment}'/></rule>
                 </filter>"
            )
        };
        operator.ok(&format!("define {}", operator.file("web.xml", filter("before", 2))));
        attach(operator, "");
        let vm = |port| SocketAddr::new(VM_IP4.into(), port);
        let listeners = [22, 23].map(|port| hosts.guest.run(|| TcpListener::bind(vm(port)).unwrap()));
        let connect = |port| {
            let client =
                hosts.peer.run(|| TcpStream::connect_timeout(&vm(port), Duration::from_millis(700)))?;
            let (server, _) = listeners[usize::from(port == 23)].accept()?;
            client.set_nodelay(true)?;
            std::io::Result::Ok(Talk { client, server, said: 0 })
        };
        let (mut first, mut second) = (connect(22).unwrap(), connect(22).unwrap());
        assert!(connect(22).is_err(), "two are there");
        assert!(first.lives() && second.lives());
        assert!(connect(23).unwrap().lives(), "there is no limit for others");
        operator.ok(&format!("update {}", operator.file("web.xml", filter("after", 2))));
        assert!(connect(22).is_err(), "they still are");
        attach(operator, "--flows-max 20000");
        assert!(connect(22).is_err(), "and in the larger table");
        assert!(first.lives() && second.lives());
        let refused = operator.counts(PORT).of("rule web/#1");
        assert!(refused >= 3, "{refused} were dropped by the rule");

        drop(first);
        let mut third = connect(22).expect("what is closed does not count");
        assert!(connect(22).is_err(), "two are there again");
        let port = second.client.local_addr().unwrap().port();
        operator.ok(&format!("flows cut {PORT} --port {port}"));
        let mut fourth = connect(22).expect("nor does what was cut");
        assert!(third.lives() && fourth.lives());
        operator.ok(&format!("update {}", operator.file("web.xml", filter("after", 1))));
        assert!(third.lives(), "the first one that says something is the one");
        assert!(fourth.is_cut() && third.lives());
    });
}

/// Nothing is taken from connections that were answered; what finds no room is dropped and counted.
#[test]
fn a_full_table_refuses_what_is_new() {
    with_operator(FILTER_CTL, "flows_full", |operator| {
        let scene = Scene::new();
        define(operator);
        attach(operator, "--flows-max 8");
        let out = |port: u16| v4(&Ipv4::default(), udp(port, 8080, b"out"));
        let back = |port: u16| to_vm4(&Ipv4::default(), udp(8080, port, b"back"));
        for port in 20_001..=20_008 {
            scene.comes_out("a datagram", &out(port));
            scene.gets_in("its answer", &back(port));
        }
        let summary = operator.json(&format!("flows {PORT} --summary"));
        assert_eq!((&summary["used"], &summary["room"]), (&json!(8), &json!(8)));
        scene.guest.send(&out(20_009));
        until("it is refused", || operator.counts(PORT).of("guard out FlowTableFull") == 1);
        assert!(!scene.is_out(&out(20_009)));
        scene.comes_out("a datagram", &out(20_003));
        scene.gets_in("its answer", &back(20_003));
        assert!(operator.ok(&format!("stats {PORT}")).contains("1 packets REFUSED"));
        assert_eq!(operator.port(PORT)["flows"]["refused"], 1);
        operator.ok(&format!("flows cut {PORT} --port 20008"));
        scene.comes_out("what was refused", &out(20_009));
    });
}

#[test]
fn timeouts_are_kept_and_hold_at_once() {
    with_operator(FILTER_CTL, "timeouts", |operator| {
        assert_eq!(operator.json("timeouts")["tcp-established"], 432_000);
        assert_eq!(operator.json("timeouts set udp=1 tcp-established=86400")["udp"], 1);
        assert_eq!(operator.json("timeouts show")["tcp-established"], 86_400);
        assert!(operator.ok("timeouts").contains("432000"), "the default stands beside it");
        for wrong in ["udp=0", "udp=31536001", "upd=7", "udp"] {
            assert_eq!(operator.run(&format!("timeouts set {wrong}")).code, 2, "{wrong}");
        }
        let scene = Scene::new();
        define(operator);
        attach(operator, "");
        let frame = v4(&Ipv4::default(), udp(20_001, 8080, b"out"));
        scene.comes_out("a datagram", &frame);
        until("a second is over", || used(operator, PORT) == 0);
        operator.ok("timeouts set udp=77");
        scene.comes_out("a datagram", &frame);
        let left = listed(operator, PORT)[0]["remaining"].as_u64().unwrap();
        assert!((70..=77).contains(&left), "{left}");
        operator.ok("timeouts reset");
        assert_eq!(operator.json("timeouts")["udp"], 30);
        fs::write(operator.root().join("timeouts"), "udp=never").unwrap();
        assert!(operator.fails("timeouts", 1).contains("timeouts reset"));
        operator.ok("timeouts reset");
    });
}

#[test]
fn explain_knows_the_connections_of_a_port() {
    with_operator(FILTER_CTL, "flows_explained", |operator| {
        let hosts = Hosts::new();
        define(operator);
        attach(operator, "");
        let mut talk = Talk::new(&hosts.peer, &hosts.guest, PEER, 8080);
        assert!(talk.lives());
        let port = talk.client.local_addr().unwrap().port();
        let explained = |frame: &[u8], dir: &str| {
            let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
            let explained = operator.json(&format!("explain {PORT} --dir {dir} --hex {hex}"));
            (explained["verdict"].clone(), explained["fields"]["connection"].clone())
        };
        let new = v4(&Ipv4::default(), udp(20_001, 8080, b""));
        assert_eq!(explained(&new, "out"), (json!("pass"), json!("new original")));
        let answer = to_vm4(&Ipv4::default(), udp(8080, 20_001, b""));
        assert_eq!(explained(&answer, "in"), (json!("drop"), json!("new original")));
        let tcp = Ipv4 { protocol: 6, ..Ipv4::default() };
        let reset = |flags| v4(&tcp, filter_tests::frames::tcp(port, 8080, flags, b""));
        // Of two segments half of all sequence numbers apart one is beyond the window, whatever the connection began with; the
        // other may be an old one, sent again. And one of no connection.
        let far = [0_u32, 1 << 31].map(|sequence| {
            explained(&filter_tests::frames::patched(reset(0x10), 38, &sequence.to_be_bytes()), "out").1
        });
        assert!(far.contains(&json!("invalid")), "{far:?}");
        let stray = v4(&tcp, filter_tests::frames::tcp(7, 8080, 0x10, b""));
        assert_eq!(explained(&stray, "out"), (json!("drop"), json!("invalid")));
        let flows = listed(operator, PORT);
        assert_eq!(flows.len(), 1, "what is tried out begins nothing: {flows:?}");
        assert!(talk.lives());
        // With a real answer the question is known.
        hosts.guest.run(|| {
            let socket = std::net::UdpSocket::bind("192.0.2.10:20001").unwrap();
            socket.send_to(b"out", "192.0.2.20:8080").unwrap();
        });
        until("it is followed", || listed(operator, &format!("{PORT} --protocol udp")).len() == 1);
        assert_eq!(explained(&answer, "in"), (json!("pass"), json!("established reply")));
        assert_eq!(listed(operator, &format!("{PORT} --state established --protocol udp")).len(), 0);
    });
}

#[test]
fn libvirt_mode_picks_connections_up() {
    with_operator(FILTER_CTL, "flows_pickup", |operator| {
        let hosts = Hosts::new();
        define(operator);
        attach(operator, "--pickup loose");
        let mut talk = Talk::new(&hosts.peer, &hosts.guest, PEER, 8080);
        operator.ok(&format!("flows cut {PORT} --all"));
        assert!(talk.lives(), "its next segment begins it anew");
        assert_eq!(listed(operator, PORT)[0]["picked_up"], true);
        assert_eq!(operator.port(PORT)["binding"]["pickup"], "loose");
        attach(operator, "--pickup strict --flows cut");
        assert!(talk.is_cut());
        // As lines of a file say it.
        let file =
            operator.file("ports", format!("{PORT} mac=52:54:00:12:34:56 pickup=loose flows-max=100\n"));
        operator.ok(&format!("attach --bindings {file} --profile web"));
        assert!(talk.lives());
        assert_eq!(operator.port(PORT)["flows"]["room"], 128);
        let file = operator.file("ports", format!("{PORT} flows-max=many\n"));
        assert!(
            operator.fails(&format!("attach --bindings {file} --profile web"), 5).contains("1 to 2097152")
        );
    });
}

/// As scripts watch: a line each second until they have seen enough.
#[test]
fn connections_can_be_watched() {
    with_operator(FILTER_CTL, "flows_watched", |operator| {
        let scene = Scene::new();
        define(operator);
        attach(operator, "");
        scene.comes_out("a datagram", &v4(&Ipv4::default(), udp(20_001, 8080, b"out")));
        let mut command: Command = operator.command();
        command.args(["--json", "flows", PORT, "--watch"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut seen: Vec<u8> = Vec::new();
        let mut output = child.stdout.take().unwrap();
        while String::from_utf8_lossy(&seen).lines().count() < 2 {
            let mut buffer = [0; 4096];
            let length = output.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "it ended");
            seen.extend(&buffer[..length]);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    });
}
