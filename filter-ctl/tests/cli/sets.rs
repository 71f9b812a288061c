//! Named sets: traffic judged by them while they change, and what is left of them when commands die.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use filter_ctl::datapath::{Added, Contents, Datapath};
use filter_ctl::model::{SetKind, SetMember, SetName};
use filter_ctl::store::Sets;
use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{Ipv4, Ipv6, PEER_IP4, udp};
use filter_tests::net;
use filter_tests::not_run::not_run;
use filter_tests::scene::{ADDRESSES, PORT, Scene, answer, datagram, ping, to_vm6, v6};
use serde_json::json;

use super::FILTER_CTL;
use super::drift::diagnose;
use super::profiles::no_ports;

/// A pool that drops what an entry says, and nothing else.
fn pool(operator: &Operator, name: &str, entries: &[(&str, &str)]) -> String {
    let mut text = format!("<FilterPool name='{name}' default='ACCEPT'>\n");
    for (entry, conditions) in entries {
        let _ = writeln!(text, "<FilterEntry name='{entry}'><Action>DROP</Action>{conditions}</FilterEntry>");
    }
    operator.file(&format!("{name}.xml"), text + "</FilterPool>\n")
}

fn ip(conditions: &str) -> String {
    format!("<IPHeadersFilter>{conditions}</IPHeadersFilter>")
}

fn ethernet(conditions: &str) -> String {
    format!("<Hdr8021Filter>{conditions}</Hdr8021Filter>")
}

fn blocked(scene: &Scene, frame: &[u8]) -> bool {
    scene.guest.send(frame);
    // What is sent behind it has come out: it would have, too.
    scene.comes_out("a marker", &v6(&Ipv6::default(), udp(20001, 9, b"marker")));
    !scene.is_out(frame)
}

/// The members that the kernel and the disk have of a set; both must have the same.
fn agreed(operator: &Operator, name: &str) -> BTreeSet<SetMember> {
    let name: SetName = name.parse().unwrap();
    let file = Sets::new(&operator.root().join("sets")).load(&name).unwrap().unwrap();
    let datapath = Datapath::look_at(operator.pins()).unwrap().unwrap();
    let contents = datapath.contents(file.head.number, file.head.kind).unwrap().unwrap();
    for member in &file.members {
        assert!(contents.has(member).unwrap(), "{member} is not in the kernel");
    }
    assert_eq!(contents.count(), file.members.len(), "the kernel has others");
    file.members.into_iter().collect()
}

#[test]
fn a_set_is_in_force_the_moment_it_changes() {
    with_operator(FILTER_CTL, "set_traffic", |operator| {
        let scene = Scene::new();
        operator.ok("set create blocked --type address");
        let file = pool(
            operator,
            "guarded",
            &[
                ("to", &ip("<HdrDestAddressSet>blocked</HdrDestAddressSet>")),
                ("from", &ip("<HdrSrcAddressSet>$SET</HdrSrcAddressSet><HdrProtocolID>udp</HdrProtocolID>")),
            ],
        );
        operator.ok(&format!("create {file}"));
        operator.ok(&format!("attach {PORT} --profile guarded --param SET=blocked"));
        scene.comes_out("a datagram", &datagram(1));
        let added = operator.json(&format!("set add blocked {PEER_IP4} 2001:db8::99"));
        assert_eq!(added, json!({ "name": "blocked", "added": 2, "removed": 0, "members": 2 }));
        scene.guest.send(&datagram(2));
        scene.peer.send(&answer(1));
        scene.gets_in(
            "another protocol of the same peer",
            &filter_tests::scene::to_vm4(
                &Ipv4 { protocol: 1, ..Ipv4::default() },
                filter_tests::frames::icmp(8, 0, b"abcdefgh"),
            ),
        );
        assert!(!scene.is_out(&datagram(2)) && !scene.is_in(&answer(1)));
        let counts = operator.counts(PORT);
        assert_eq!((counts.of("rule guarded/to"), counts.of("rule guarded/from")), (1, 1));
        // The other family has its own members.
        scene.comes_out("IPv6", &v6(&Ipv6::default(), udp(20001, 5000, b"six")));
        scene.gets_in("IPv6", &to_vm6(&Ipv6::default(), udp(5000, 20001, b"six")));

        let again = operator.json(&format!("set add blocked {PEER_IP4}"));
        assert_eq!((again["added"].as_u64(), again["members"].as_u64()), (Some(0), Some(2)));
        operator.ok(&format!("set del blocked {PEER_IP4} 192.0.2.250"));
        scene.comes_out("a datagram", &datagram(3));
        operator.ok(&format!("set add blocked {PEER_IP4}"));
        scene.guest.send(&datagram(4));
        operator.ok("set flush blocked");
        scene.comes_out("a datagram", &datagram(5));
        assert!(!scene.is_out(&datagram(4)));
        assert!(agreed(operator, "blocked").is_empty());
    });
}

#[test]
fn each_type_of_set_is_looked_up_by_its_own() {
    with_operator(FILTER_CTL, "set_types", |operator| {
        let scene = Scene::new();
        for (name, kind) in [("nets", "network"), ("services", "address-port"), ("stations", "mac")] {
            operator.ok(&format!("set create {name} --type {kind}"));
        }
        let file = pool(
            operator,
            "typed",
            &[
                ("net", &ip("<HdrDestAddressSet>nets</HdrDestAddressSet>")),
                ("service", &ip("<HdrDestAddressPortSet>services</HdrDestAddressPortSet>")),
                ("client", &ip("<HdrSrcAddressPortSet>services</HdrSrcAddressPortSet>")),
                ("station", &ethernet("<HdrDestMACSet8021>stations</HdrDestMACSet8021>")),
                ("own", &ethernet("<HdrSrcMACSet8021>stations</HdrSrcMACSet8021>")),
            ],
        );
        operator.ok(&format!("create {file}"));
        operator.ok(&format!("attach {PORT} --profile typed"));
        for (set, member, others) in [
            ("nets", "192.0.2.0/27", "192.0.2.128/25"),
            ("services", "192.0.2.20,udp:5000", "192.0.2.20,tcp:5000"),
            ("services", "192.0.2.10,udp:20001", "192.0.2.10,udp:5000"),
            ("stations", "52:54:00:aa:bb:cc", "52:54:00:aa:bb:cd"),
            ("stations", "52:54:00:12:34:56", "52:54:00:12:34:57"),
        ] {
            operator.ok(&format!("set add {set} {others}"));
            scene.comes_out(member, &datagram(1));
            operator.ok(&format!("set add {set} {member}"));
            scene.guest.send(&datagram(2));
            scene.guest.send(&datagram(2));
            assert_eq!(operator.run(&format!("set test {set} {member}")).code, 0);
            operator.ok(&format!("set del {set} {member}"));
            scene.comes_out(member, &datagram(3));
            assert!(!scene.is_out(&datagram(2)), "{member}");
            let tested = operator.run(&format!("--json set test {set} {member}"));
            assert_eq!((tested.code, tested.stdout.contains("\"in\":false")), (7, true), "{}", tested.stdout);
        }
        let counts = operator.counts(PORT);
        for rule in ["net", "service", "client", "station", "own"] {
            assert_eq!(counts.of(&format!("rule typed/{rule}")), 2, "{rule}");
        }
        // A network within another goes without it.
        operator.ok("set add nets 192.0.0.0/16 192.0.2.0/24");
        assert_eq!(operator.run("set test nets 192.0.2.20").code, 0);
        operator.ok("set del nets 192.0.2.0/24");
        assert!(blocked(&scene, &datagram(4)), "the wider one is there");
        operator.ok("set add services 192.0.2.20,icmp:8/0");
        operator.ok("set flush nets");
        assert!(blocked(&scene, &ping()));
        scene.comes_out("what is no ping", &datagram(5));
    });
}

/// `ipset` of libvirt's filters: sides, the other way round in rules for both directions, and negation.
#[test]
fn filters_of_libvirt_ask_for_sets() {
    with_operator(FILTER_CTL, "set_nwfilter", |operator| {
        let scene = Scene::new();
        operator.ok("set create peers --type address");
        operator.ok("set create services --type address-port");
        let filter = |name: &str, attributes: &str| {
            let text = format!(
                "<filter name='{name}' chain='root'><rule action='drop' direction='inout' priority='500'>\
                 <all {attributes}/></rule></filter>"
            );
            operator.ok(&format!("define {}", operator.file(&format!("{name}.xml"), text)));
        };
        // The rule is written from the side of frames to the machine.
        filter("to-peers", "ipset='peers' ipsetflags='src'");
        filter("not-peers", "match='no' ipset='$PEERS' ipsetflags='src,dst'");
        filter("services", "ipset='services' ipsetflags='src,src'");
        operator.ok(&format!("attach {PORT} --profile to-peers"));
        scene.comes_out("a datagram", &datagram(1));
        operator.ok(&format!("set add peers {PEER_IP4}"));
        scene.guest.send(&datagram(2));
        scene.peer.send(&answer(2));
        operator.ok(&format!("attach {PORT} --profile not-peers --param PEERS=peers"));
        scene.comes_out("what is in the set", &datagram(3));
        scene.gets_in("what is in the set", &answer(3));
        assert!(!scene.is_out(&datagram(2)) && !scene.is_in(&answer(2)));
        operator.ok("set flush peers");
        scene.guest.send(&datagram(4));
        // libvirt forgets the negation when it makes its rules.
        operator.ok(&format!("attach {PORT} --profile not-peers --param PEERS=peers --mode libvirt"));
        scene.comes_out("what is not in the set", &datagram(5));
        assert!(!scene.is_out(&datagram(4)));
        operator.ok(&format!("set add peers {PEER_IP4}"));
        scene.guest.send(&datagram(6));
        operator.ok(&format!("attach {PORT} --profile services"));
        scene.comes_out("a datagram", &datagram(7));
        assert!(!scene.is_out(&datagram(6)));
        operator.ok("set add services 192.0.2.20,udp:5000");
        scene.guest.send(&datagram(8));
        scene.peer.send(&answer(8));
        operator.ok("set flush services");
        scene.comes_out("a datagram", &datagram(9));
        assert!(!scene.is_out(&datagram(8)) && !scene.is_in(&answer(8)));
        // A list of sets: what is in one of them.
        operator.ok("set create others --type address");
        let parameters = "--param PEERS=others --param PEERS=peers";
        filter("in-one", "ipset='$PEERS' ipsetflags='src'");
        operator.ok(&format!("attach {PORT} --profile in-one {parameters}"));
        scene.guest.send(&datagram(10));
        operator.ok("set flush peers");
        scene.comes_out("a datagram", &datagram(11));
        assert!(!scene.is_out(&datagram(10)));
    });
}

#[test]
fn what_asks_for_a_set_that_is_not_there_is_refused() {
    with_operator(FILTER_CTL, "set_refused", |operator| {
        let _tap = net::tap(PORT);
        let file =
            pool(operator, "guarded", &[("to", &ip("<HdrDestAddressSet>blocked</HdrDestAddressSet>"))]);
        operator.ok(&format!("create {file}"));
        let attach = format!("attach {PORT} --profile guarded");
        let message = operator.fails(&attach, 5);
        assert!(message.contains("guarded.xml:3:"), "{message}");
        assert!(message.contains("HdrDestAddressSet: there is no set `blocked`"), "{message}");
        assert!(message.contains("filter-ctl set create 'blocked' --type TYPE"), "{message}");
        operator.ok("set create blocked --type mac");
        let message = operator.fails(&attach, 5);
        assert!(
            message.contains("is of type `mac`, expected one of type `address` or `network`"),
            "{message}"
        );
        operator.ok("set destroy blocked");
        operator.ok("set create blocked --type network");
        operator.ok(&attach);
        let filter = "<filter name='f'><rule action='drop' direction='in'><all ipset='blocked' \
                      ipsetflags='src'/></rule></filter>";
        operator.ok(&format!("define {}", operator.file("f.xml", filter)));
        operator.ok("set create ports --type address-port");
        for (set, expected) in [("nothing", "there is no set `nothing`"), ("ports", "expected two flags")] {
            let text = filter.replace("blocked", set);
            operator.ok(&format!("define {}", operator.file("f.xml", text)));
            let message = operator.fails(&format!("attach {PORT} --profile f"), 5);
            assert!(message.contains(expected), "{message}");
        }
        // What is in force stays: its set cannot go, and a profile cannot change to one that is not there.
        let message = operator.fails("set destroy blocked", 4);
        assert!(message.contains(&format!("in use by ports {PORT}")), "{message}");
        let other =
            pool(operator, "guarded", &[("to", &ip("<HdrDestAddressSet>nothing</HdrDestAddressSet>"))]);
        let message = operator.fails(&format!("update {other}"), 5);
        assert!(message.contains("no set `nothing`"), "{message}");
        let sets = operator.json("set list");
        assert_eq!(
            sets,
            json!([
                { "name": "blocked", "type": "network", "members": 0, "ports": [PORT] },
                { "name": "ports", "type": "address-port", "members": 0, "ports": [] },
            ])
        );
        operator.ok(&format!("detach {PORT}"));
        operator.ok("set destroy blocked");

        operator.fails("set create ports --type mac", 4);
        operator.fails("set add nothing 192.0.2.1", 3);
        let message = operator.fails("set add ports 192.0.2.1,tcp:80 192.0.2.1", 5);
        assert!(message.contains("set `ports`, of type address-port: found `192.0.2.1`"), "{message}");
        assert_eq!(operator.json("set list ports"), json!([]), "all or none");
        let list = operator.file("list", "192.0.2.1,80\n\n192.0.2.1,tcp # no port\n");
        let message = operator.fails(&format!("set import ports {list}"), 5);
        assert!(message.starts_with(&format!("{list}:3:1: found `192.0.2.1,tcp`")), "{message}");
        assert_eq!(operator.run("set create .. --type mac").code, 2);
        operator.fails("set import ports /nowhere", 3);
    });
}

/// All the same without a data path: sets are filled before the first port, and are there when it comes.
#[test]
fn sets_outlive_the_data_path() {
    with_operator(FILTER_CTL, "set_outlives", |operator| {
        let scene = Scene::new();
        operator.ok("set create blocked --type address");
        operator.ok("set create empty --type network");
        operator.ok(&format!("set add blocked {PEER_IP4} 192.0.2.77"));
        operator.ok("set del blocked 192.0.2.77");
        assert_eq!(operator.run("set test blocked 192.0.2.77").code, 7);
        let entry = ip("<HdrDestAddressSet>blocked</HdrDestAddressSet>");
        operator.ok(&format!("create {}", pool(operator, "guarded", &[("to", &entry)])));
        // A frame can be explained, too, with sets as they are.
        let hex: String = datagram(1).iter().map(|byte| format!("{byte:02x}")).collect();
        let explain = format!("explain --profile guarded --hex {hex}");
        let explained = operator.json(&explain);
        assert_eq!(explained["by"], "rule guarded/to", "{explained}");
        operator.ok(&format!("attach {PORT} --profile guarded {ADDRESSES}"));
        assert!(blocked(&scene, &datagram(1)));
        agreed(operator, "blocked");

        // As after a reboot: pins and state of ports are gone.
        operator.ok(&format!("detach {PORT}"));
        fs::remove_dir_all(operator.pins()).unwrap();
        fs::remove_dir_all(operator.root().join("run")).unwrap();
        operator.ok(&format!("attach {PORT} --profile guarded {ADDRESSES}"));
        assert!(blocked(&scene, &datagram(2)));
        let explained = operator.json(&format!("explain {PORT} --hex {hex}"));
        assert_eq!((&explained["by"], explained.get("disagrees")), (&json!("rule guarded/to"), None));
        operator.ok("set flush blocked");
        let explained = operator.json(&format!("explain {PORT} --hex {hex}"));
        assert_eq!((&explained["by"], explained.get("disagrees")), (&json!("default guarded"), None));

        // A damaged file says so, hides no other, and what is in force stays.
        operator.ok(&format!("set add blocked {PEER_IP4}"));
        let path = operator.root().join("sets/blocked");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, "something else").unwrap();
        let done = operator.run("set list");
        assert!(done.stderr.contains("sets/blocked: its first line is not that of a set"), "{}", done.stderr);
        assert!(done.stdout.contains("empty"), "{}", done.stdout);
        operator.fails("set add blocked 192.0.2.1", 1);
        operator.ok("set add empty 10.0.0.0/8");
        operator.ok("set create more --type mac");
        assert!(blocked(&scene, &datagram(3)));
        // What is wrong may be behind the first line: only who asks for the set is refused, once it is needed.
        let text = String::from_utf8(whole.clone()).unwrap();
        fs::write(&path, text.replacen("version=", "version=1", 1).replacen('\n', "\nx\n", 1)).unwrap();
        let attach = |profile: &str| operator.run(&format!("attach {PORT} --profile {profile} {ADDRESSES}"));
        let done = attach("guarded");
        assert_eq!(
            (done.code, done.stderr.contains("sets/blocked: a line at byte")),
            (1, true),
            "{}",
            done.stderr
        );
        assert!(blocked(&scene, &datagram(4)), "what was in force is");
        assert_eq!(operator.run("set add blocked 192.0.2.1").code, 1);
        operator.ok("set add empty 10.64.0.0/10");
        assert_eq!(attach("no-vlan").code, 0, "it asks for no set");
        scene.comes_out("a datagram", &datagram(5));
        fs::write(&path, whole).unwrap();
        assert_eq!(attach("guarded").code, 0);
        assert!(blocked(&scene, &datagram(6)));
        assert_eq!(agreed(operator, "blocked").len(), 1);
    });
}

/// The graph of a port says what it asks for, too: no set is taken from a port whose file is damaged, or gone.
#[test]
fn a_set_stays_whatever_becomes_of_the_files_of_its_ports() {
    with_operator(FILTER_CTL, "set_users", |operator| {
        let scene = Scene::new();
        for name in ["blocked", "unused"] {
            operator.ok(&format!("set create {name} --type address"));
        }
        operator.ok(&format!("set add blocked {PEER_IP4}"));
        let entry = ip("<HdrDestAddressSet>blocked</HdrDestAddressSet>");
        operator.ok(&format!("create {}", pool(operator, "guarded", &[("to", &entry)])));
        operator.ok(&format!("attach {PORT} --profile guarded"));
        let path = operator.root().join(format!("run/ports/{}.json", net::ifindex(PORT)));
        let whole = fs::read(&path).unwrap();
        let harm = |damaged: bool| {
            if damaged { fs::write(&path, "{").unwrap() } else { fs::remove_file(&path).unwrap() }
        };
        let refused = |what: &str| {
            let message = operator.fails("set destroy blocked", 4);
            assert!(message.contains(&format!("in use by ports {PORT}")), "{what}: {message}");
            assert!(blocked(&scene, &datagram(1)), "{what}");
            message
        };
        for damaged in [true, false] {
            harm(damaged);
            refused("what can be made anew");
            assert_eq!(fs::read(&path).unwrap(), whole, "it is made anew");
        }

        // What its profile said is not known either: now nothing but the kernel knows what is in force.
        let profile = operator.root().join("profiles/guarded.xml");
        let text = fs::read(&profile).unwrap();
        fs::write(&profile, no_ports("guarded", "443")).unwrap();
        let set = operator.root().join("sets/blocked");
        for damaged in [true, false] {
            harm(damaged);
            let members = fs::read(&set).unwrap();
            let message = refused("what cannot");
            assert!(message.contains("`filter-ctl attach` makes known again"), "{message}");
            assert!(message.ends_with(&format!("on {PORT}")), "{message}");
            // The set's file is gone as well: nobody else gets its number.
            fs::remove_file(&set).unwrap();
            operator.ok("set create other --type address");
            operator.ok("set add other 192.0.2.99");
            assert!(blocked(&scene, &datagram(2)), "it keeps its members, and its number");
            fs::write(&set, &members).unwrap();
            // It tells of the port, too.
            assert_eq!(operator.run("set destroy other").code, 0, "nobody asks for it");
            operator.ok(&format!("set add blocked 192.0.2.{}", 100 + u8::from(damaged)));
            fs::write(&path, &whole).unwrap();
        }
        harm(true);
        refused("once more");
        assert_eq!(operator.run("set destroy unused").code, 0);
        fs::write(&profile, text).unwrap();
        operator.ok(&format!("attach {PORT} --profile guarded"));
        refused("what is known again");
        operator.ok(&format!("detach {PORT}"));
        operator.ok("set destroy blocked");
    });
}

/// A file that was copied here, or came from another host, has the number of another set: its members are not put in the
/// place of those that are in force.
#[test]
fn a_set_does_not_take_the_number_of_another() {
    with_operator(FILTER_CTL, "set_numbers", |operator| {
        let scene = Scene::new();
        operator.ok("set create blocked --type address");
        operator.ok(&format!("set add blocked {PEER_IP4}"));
        let entry = ip("<HdrDestAddressSet>blocked</HdrDestAddressSet>");
        operator.ok(&format!("create {}", pool(operator, "guarded", &[("to", &entry)])));
        operator.ok(&format!("attach {PORT} --profile guarded"));
        let [set, copy] = ["blocked", "copy"].map(|name| operator.root().join("sets").join(name));
        let whole = fs::read_to_string(&set).unwrap();
        let foreign = whole.lines().next().unwrap().replacen("version=", "version=1", 1) + "\n";
        for (what, text) in [("from another host", &foreign), ("from here", &whole)] {
            fs::write(&copy, text).unwrap();
            // Any change catches up.
            operator.ok("set create other --type address");
            operator.ok("set add other 192.0.2.99");
            assert!(blocked(&scene, &datagram(1)), "{what}");
            let told = "sets `blocked` and `copy` have one number";
            let listed = operator.run("set list");
            assert!(listed.stderr.contains(told), "{what}: {listed:?}");
            assert!(
                listed.stdout.contains("blocked") && listed.stdout.contains("copy"),
                "{what}: {listed:?}"
            );
            for line in [
                "set add copy 192.0.2.1",
                "set flush copy",
                "set add blocked 192.0.2.1",
                &format!("attach {PORT} --profile guarded"),
            ] {
                let message = operator.fails(line, 1);
                assert!(message.contains(told), "{what}: {line}: {message}");
            }
            assert_eq!(operator.run(&format!("attach {PORT} --profile guarded --profile no-vlan")).code, 1);
            assert!(blocked(&scene, &datagram(2)), "{what}");
            let message = operator.fails("set destroy blocked", 4);
            assert!(message.contains(&format!("in use by ports {PORT}")), "{message}");
            operator.ok("set destroy copy");
            operator.ok("set destroy other");
            assert!(blocked(&scene, &datagram(3)), "{what}: what was in force is");
            assert_eq!(agreed(operator, "blocked").len(), 1, "{what}");
        }

        // The other is gone, by hand.
        fs::write(&copy, foreign).unwrap();
        fs::remove_file(&set).unwrap();
        operator.ok("set create other --type address");
        assert!(blocked(&scene, &datagram(4)));
        let message = operator.fails("set add copy 192.0.2.1", 1);
        assert!(message.contains("sets/copy: its number is that of set `blocked`"), "{message}");
        let message = operator.fails("set destroy copy", 4);
        assert!(message.contains(&format!("in use by ports {PORT}")), "{message}");
        fs::write(&set, whole).unwrap();
        operator.ok("set destroy copy");
        operator.ok("set add blocked 192.0.2.1");
        assert_eq!(agreed(operator, "blocked").len(), 2);
        assert!(blocked(&scene, &datagram(5)));
    });
}

/// A first line that counts more than there can be is damaged like any other, and stops nothing.
#[test]
fn a_file_that_counts_more_members_than_a_set_has_is_damaged() {
    with_operator(FILTER_CTL, "set_counts", |operator| {
        let _tap = net::tap(PORT);
        operator.ok("set create many --type address");
        operator.ok(&format!("attach {PORT} --profile generic-layer2"));
        let path = operator.root().join("sets/many");
        let whole = fs::read_to_string(&path).unwrap();
        for (what, number) in [
            ("members", 99_999_999_999),
            ("members", 1_000_001),
            ("members", u64::MAX),
            ("bytes", u64::MAX),
            ("bytes", u64::MAX - 40),
            ("bytes", 1 << 63),
            ("bytes", 1 << 40),
        ] {
            let harmed = whole.replacen(&format!("{what}=0"), &format!("{what}={number}"), 1);
            // Of the text that the kernel has the journal is read, else all of it.
            let version = if what == "bytes" { "version=" } else { "version=1" };
            fs::write(&path, harmed.replacen("version=", version, 1)).unwrap();
            let listed = operator.run("set list");
            assert_eq!(listed.code, 0, "{what}={number}: {listed:?}");
            operator.ok("set create other --type address");
            assert!(listed.stderr.contains("sets/many: its first line"), "{what}={number}: {listed:?}");
            operator.fails("set list many", 1);
            operator.ok("set destroy other");
        }
        // The last version there is gives way to another.
        let last = whole.split(' ').find(|word| word.starts_with("version=")).unwrap();
        fs::write(&path, whole.replacen(last, &format!("version={}", u64::MAX), 1)).unwrap();
        let imported = operator.run_with("set import many - --replace", "192.0.2.1\n", &[]);
        assert_eq!(imported.code, 0, "{imported:?}");
        assert_eq!(agreed(operator, "many").len(), 1);
    });
}

/// A data path that was loaded anew lacks the members of a set whose file is damaged: no port that asks for it comes into
/// force, be it the first or the last.
#[test]
fn no_port_comes_into_force_by_a_set_that_cannot_be_loaded() {
    with_operator(FILTER_CTL, "set_anew", |operator| {
        let ports = [PORT, "vm1", "vm2"];
        let _taps = ports.map(net::tap);
        operator.ok("set create blocked --type address");
        operator.ok(&format!("set add blocked {PEER_IP4}"));
        let entry = ip("<HdrDestAddressSet>blocked</HdrDestAddressSet>");
        operator.ok(&format!("create {}", pool(operator, "guarded", &[("to", &entry)])));
        operator.ok(&format!("attach {} --profile guarded", ports.join(" ")));
        let path = operator.root().join("sets/blocked");
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.replacen('\n', "\nx\n", 1)).unwrap();
        fs::remove_dir_all(operator.pins()).unwrap();
        let (code, diagnosis) = diagnose(operator, "--repair");
        assert_eq!(code, 7, "{diagnosis}");
        let repaired = diagnosis["repaired"].as_array().unwrap();
        assert_eq!(repaired.len(), ports.len(), "{diagnosis}");
        for port in repaired {
            let left = port["left"].as_str().unwrap();
            assert!(left.contains("sets/blocked: a line at byte"), "{port}");
        }
    });
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number)
}

fn list(numbers: impl Iterator<Item = u32>) -> String {
    numbers.fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{}", address(number));
        text
    })
}

/// As many members as a set can have: loaded, looked up, added to and replaced; and what that takes.
#[test]
fn a_million_members() {
    const MILLION: u32 = 1_000_000;
    with_operator(FILTER_CTL, "set_million", |operator| {
        let scene = Scene::new();
        operator.ok("set create many --type address");
        let entry = ip("<HdrDestAddressSet>many</HdrDestAddressSet>");
        operator.ok(&format!("create {}", pool(operator, "guarded", &[("to", &entry)])));
        operator.ok(&format!("attach {PORT} --profile guarded"));
        let file = operator.file("million", list(0..MILLION - 1));
        let timed = |what: &str, line: &str| {
            let begun = Instant::now();
            let done = operator.json(line);
            println!("{what}: {} ms", begun.elapsed().as_millis());
            done
        };
        let done = timed("import of 999,999 addresses", &format!("set import many {file}"));
        assert_eq!(done["members"], MILLION - 1);
        scene.comes_out("what is not among them", &datagram(1));
        let done = timed("add of one to them", &format!("set add many {PEER_IP4}"));
        assert_eq!(done["members"], MILLION);
        assert!(blocked(&scene, &datagram(2)));
        let message = operator.fails("set add many 192.0.2.1", 5);
        assert!(message.contains("1000001 members; it can have 1000000"), "{message}");
        for number in [0, 1, 77_777, MILLION - 2] {
            assert_eq!(operator.run(&format!("set test many {}", address(number))).code, 0, "{number}");
        }
        assert_eq!(operator.run(&format!("set test many {}", address(MILLION - 1))).code, 7);
        assert_eq!(agreed(operator, "many").len(), MILLION as usize);
        let half = operator.file("half", list(0..MILLION / 2));
        timed("replacement by 500,000", &format!("set import many {half} --replace"));
        scene.comes_out("what is not among them any more", &datagram(3));
        assert_eq!(agreed(operator, "many").len(), MILLION as usize / 2);
        timed("flush", "set flush many");
        assert!(agreed(operator, "many").is_empty());
    });
    what_an_update_takes();
}

/// Prints what a single change costs the kernel; it has to be microseconds, whatever is in the set.
fn what_an_update_takes() {
    for (kind, what) in [(SetKind::Address, "addresses"), (SetKind::Network, "networks")] {
        let member = |number: u32| match kind {
            SetKind::Network => SetMember::read(kind, &format!("{}/32", address(number))).unwrap(),
            _ => SetMember::Address(IpAddr::V4(address(number))),
        };
        let Ok(mut contents) = Contents::new(kind, 200_000) else { return };
        for number in 0..200_000 {
            assert_eq!(contents.add(&member(number)).unwrap(), Added::There);
        }
        let mut times: Vec<Duration> = (200_000..202_000)
            .map(|number| {
                let member = member(number);
                let begun = Instant::now();
                contents.add(&member).unwrap();
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        let median = times[times.len() / 2];
        println!("one more of 200,000 {what}: {:.1} µs in the kernel", median.as_secs_f64() * 1e6);
        assert!(median < Duration::from_micros(200), "{median:?}");
    }
}

/// Lets a command run for a while, and kills it.
fn killed(operator: &Operator, line: &str, after: Duration) -> bool {
    let mut command: Command = operator.command();
    let mut child =
        command.args(line.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(after);
    let finished = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    child.wait().unwrap();
    !finished
}

/// Wherever a command dies, a set holds what it held before or what it was to hold, on disk and, after the next
/// command, in the kernel; and nothing that was accepted is gone.
#[test]
fn commands_that_die_leave_whole_sets() {
    with_operator(FILTER_CTL, "set_killed", |operator| {
        let scene = Scene::new();
        operator.ok("set create many --type address");
        operator.ok("set create few --type address");
        let entry = ip("<HdrDestAddressSet>many</HdrDestAddressSet>");
        operator.ok(&format!("create {}", pool(operator, "guarded", &[("to", &entry)])));
        operator.ok(&format!("attach {PORT} --profile guarded"));
        let texts = [list(0..20_000), list(10_000..40_000)];
        let files = [operator.file("one", &texts[0]), operator.file("two", &texts[1])];
        let members = |text: &str| -> BTreeSet<SetMember> {
            text.lines().map(|line| SetMember::read(SetKind::Address, line).unwrap()).collect()
        };
        let wanted = [members(&texts[0]), members(&texts[1])];
        let begun = Instant::now();
        operator.ok(&format!("set import many {} --replace", files[0]));
        let whole = begun.elapsed();
        let mut deaths = 0;
        let mut accepted = BTreeSet::new();
        for round in 0..24_u32 {
            let next = 1 - round as usize % 2;
            let after = whole * (round + 1) / 20;
            deaths +=
                u32::from(killed(operator, &format!("set import many {} --replace", files[next]), after));
            // A change of another set is a command like any other: it catches up.
            let member = format!("192.0.2.{round}");
            operator.ok(&format!("set add few {member}"));
            accepted.insert(SetMember::read(SetKind::Address, &member).unwrap());
            let there = agreed(operator, "many");
            assert!(wanted.contains(&there), "round {round}: {} members", there.len());
            assert_eq!(agreed(operator, "few"), accepted);
        }
        assert!(deaths >= 8, "only {deaths} commands died on the way");
        // The same for single changes: they die before the line, in it, or behind it.
        let before = operator.json("set list few").as_array().unwrap().len();
        let begun = Instant::now();
        operator.ok("set add few 203.0.113.0");
        let whole = begun.elapsed();
        let mut died = 0;
        for round in 0..40 {
            let line = format!("set add few 198.51.100.{round}");
            died += u32::from(killed(operator, &line, whole * (round + 4) / 40));
        }
        assert!((4..=39).contains(&died), "{died} of 40 additions died");
        operator.ok("set add few 203.0.113.1");
        let few = agreed(operator, "few");
        assert!(few.len() > before && few.is_superset(&accepted), "{} of {before}", few.len());
        println!("{deaths} imports and {died} additions died");
        scene.comes_out("a datagram", &datagram(1));
    });
}

/// A journal that was cut by a machine that went down: the kernel is given what the disk has.
#[test]
fn a_journal_that_was_cut_is_what_counts() {
    with_operator(FILTER_CTL, "set_journal", |operator| {
        let _tap = net::tap(PORT);
        operator.ok("set create friends --type address");
        operator.ok(&format!("attach {PORT} --profile generic-layer2"));
        operator.ok("set add friends 192.0.2.1");
        let path = operator.root().join("sets/friends");
        let one = fs::read(&path).unwrap();
        // A line that the kernel does not know of yet, and the beginning of another.
        operator.ok("set add friends 192.0.2.2 192.0.2.3");
        let two = fs::read(&path).unwrap();
        fs::write(&path, [&two[..], b"+192.0.2"].concat()).unwrap();
        operator.ok("set del friends 192.0.2.1");
        assert_eq!(agreed(operator, "friends").len(), 2);
        assert!(!fs::read_to_string(&path).unwrap().contains("+192.0.2-"));
        // A longer journal than the kernel's: as if a command had died before it told the kernel.
        let three = fs::read(&path).unwrap();
        fs::write(&path, [&three[..], &two[one.len()..]].concat()).unwrap();
        operator.ok("set list");
        operator.ok("set create others --type mac");
        assert_eq!(agreed(operator, "friends").len(), 2, "added again, which changes nothing");
        // So many changes that the file is written anew.
        for round in 0..6 {
            let many: Vec<String> =
                (0..1000).map(|number| address(round * 1000 + number).to_string()).collect();
            operator.ok(&format!("set add friends {}", many.join(" ")));
        }
        let first = fs::read_to_string(&path).unwrap();
        assert!(
            !first.starts_with("filter-ctl set 1 address number=1 ") || first.contains("members="),
            "{first:.80}"
        );
        assert_eq!(agreed(operator, "friends").len(), 6002);
        assert!(first.matches('+').count() < 6, "the journal was folded in");
    });
}

#[test]
fn sets_of_the_kernels_firewall_are_taken_over() {
    with_operator(FILTER_CTL, "set_ipset", |operator| {
        let ipset = |line: &str| {
            let done = Command::new("ipset").args(line.split_whitespace()).output();
            done.is_ok_and(|done| done.status.success())
        };
        operator.ok("set create mine --type address");
        if !ipset("create kernel hash:ip") {
            let message = operator.fails("set import mine --ipset kernel", 6);
            assert!(message.contains("this kernel has no ipset"), "{message}");
            return not_run("sets_of_the_kernels_firewall_are_taken_over", "no ipset");
        }
        for number in 0..5000 {
            assert!(number % 50 != 0 || ipset(&format!("add kernel {}", address(number))));
        }
        let imported = operator.json("set import mine --ipset kernel");
        assert_eq!(imported["members"], 100);
        let saved = Command::new("ipset").arg("save").output().unwrap().stdout;
        operator.ok("set flush mine");
        let file = operator.file("saved", &saved);
        assert_eq!(operator.json(&format!("set import mine {file}"))["members"], 100);
        assert_eq!(operator.json("set list mine")[1], json!("10.0.0.50"));
        let message = operator.fails("set import mine --ipset nothing", 3);
        assert!(message.contains("no ipset `nothing`"), "{message}");
        assert!(ipset("create nets hash:net timeout 600") && ipset("add nets 10.0.0.0/8"));
        let message = operator.fails("set import mine --ipset nets", 5);
        assert!(message.contains("set create NAME --type network"), "{message}");
        operator.ok("set create nets --type network");
        let message = operator.fails("set import nets --ipset nets", 5);
        assert!(message.contains("--ignore-timeouts"), "{message}");
        operator.ok("set import nets --ipset nets --ignore-timeouts");
        assert_eq!(operator.json("set list nets"), json!(["10.0.0.0/8"]));
        let piped = operator.run_with("set import nets - --replace", "10.0.0.0/9\n", &[]);
        assert_eq!(piped.code, 0, "{}", piped.stderr);
        assert_eq!(operator.json("set list nets"), json!(["10.0.0.0/9"]));
    });
}
