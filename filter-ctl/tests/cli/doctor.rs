//! `doctor`: each thing that somebody may do to a port is seen by its name and mended, without anything that was
//! counted or learned being lost; and a host where all is well is told so.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData};
use aya::programs::links::{FdLink, PinnedLink};
use filter_common::{ABI_VERSION, Direction, maps, slot};
use filter_ctl::engine::drift;
use filter_ctl::store::Folders;
use filter_tests::cli::{Operator, with_operator};
use filter_tests::foreign::{Intruder, detach_link, overwrite};
use filter_tests::net;
use filter_tests::scene::{PORT, Scene, connect, datagram};
use serde_json::Value;

use super::FILTER_CTL;
use super::profiles::no_ports;

/// Bytes of a record, and where in it `flags`, `policy` and `generation` stand.
const RECORD: usize = 632;

fn pin(operator: &Operator, name: &str) -> PathBuf {
    operator.pins().join(format!("v{ABI_VERSION}")).join(name)
}

fn link(operator: &Operator, direction: Direction) -> PathBuf {
    pin(operator, &format!("links/{}_{direction}", net::ifindex(PORT)))
}

fn array<V: aya::Pod>(operator: &Operator, name: &str) -> Array<MapData, V> {
    let data = MapData::from_pin(pin(operator, &format!("maps/{name}"))).expect("it is pinned");
    Map::Array(data).try_into().expect("it is an array of such values")
}

/// What `doctor` says, and how it ends.
fn diagnose(operator: &Operator, line: &str) -> (i32, Value) {
    let done = operator.run(&format!("--json doctor {line}"));
    let first = done.stdout.lines().next().unwrap_or_default();
    (done.code, serde_json::from_str(first).unwrap_or_else(|error| panic!("{error}: {done:?}")))
}

/// Findings of a severity: their names.
fn checks(diagnosis: &Value, severity: &str) -> Vec<String> {
    let findings = diagnosis["findings"].as_array().into_iter().flatten();
    let of = findings.filter(|finding| finding["severity"] == severity);
    of.map(|finding| finding["check"].as_str().unwrap_or_default().to_owned()).collect()
}

/// A port whose profile forbids port 80, with something counted.
fn attach(operator: &Operator, scene: &Scene) {
    operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
    operator.ok(&format!("attach {PORT} --profile web --profile own-mac-only"));
    scene.comes_out("a datagram", &datagram(1));
    scene.guest.send(&connect(80));
}

/// Whether what is forbidden gets out, and what is allowed does.
fn leaks(scene: &Scene) -> bool {
    let (forbidden, allowed) = (connect(80), datagram(2));
    scene.peer.drain();
    scene.guest.send(&forbidden);
    scene.guest.send(&allowed);
    let mut seen = false;
    let arrived = scene.peer.wait_for(net::SOON, |frame| {
        seen |= frame == forbidden;
        frame == allowed
    });
    assert!(arrived.is_some(), "what is allowed does not get out");
    seen
}

/// Does `harm`, expects these names, mends it, and expects that all is as before.
fn harmed(operator: &Operator, scene: &Scene, expected: &[&str], harm: impl FnOnce()) {
    let before = (operator.counts(PORT), operator.port(PORT)["learned_mac"].clone());
    harm();
    let (code, diagnosis) = diagnose(operator, "");
    assert_eq!(
        (code, checks(&diagnosis, "problem")),
        (7, expected.iter().map(|&it| it.to_owned()).collect())
    );
    let (code, mended) = diagnose(operator, "--repair");
    assert_eq!(code, 0, "{expected:?}: {mended}");
    assert_eq!(mended["repaired"][0]["left"], "", "{mended}");
    assert!(checks(&mended, "problem").is_empty());
    assert_eq!(operator.port(PORT)["learned_mac"], before.1, "{expected:?}: it knows what it learned");
    let counts = operator.counts(PORT);
    let back: Vec<_> = before.0.0.iter().filter(|(rule, count)| counts.of(rule) < **count).collect();
    assert!(back.is_empty(), "{expected:?}: set back: {back:?}");
    let dropped = counts.of("rule web/ports");
    assert!(!leaks(scene), "{expected:?}: what is forbidden is dropped again");
    assert_eq!(operator.counts(PORT).of("rule web/ports"), dropped + 1);
}

#[test]
fn links_that_others_took_away_are_seen_and_attached_again() {
    with_operator(FILTER_CTL, "doctor_links", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        let [out, to_vm] = Direction::ALL.map(|direction| link(operator, direction));
        assert!(!leaks(&scene));
        harmed(operator, &scene, &["link-detached"], || {
            detach_link(&out).unwrap();
            assert!(leaks(&scene), "the classifier is off");
        });
        harmed(operator, &scene, &["link-detached", "link-detached"], || {
            detach_link(&out).unwrap();
            detach_link(&to_vm).unwrap();
        });
        harmed(operator, &scene, &["link-missing"], || fs::remove_file(&to_vm).unwrap());
        harmed(operator, &scene, &["link-missing", "link-missing"], || {
            fs::remove_file(&out).unwrap();
            fs::remove_file(&to_vm).unwrap();
        });
        // What cannot be mended is said.
        fs::remove_file(&out).unwrap();
        fs::create_dir(&out).unwrap();
        let (code, diagnosis) = diagnose(operator, "--repair");
        assert_eq!((code, checks(&diagnosis, "problem")), (7, vec!["link-missing".to_owned()]));
        let left = diagnosis["repaired"][0]["left"].as_str().unwrap_or_default();
        assert!(left.contains(&out.display().to_string()), "{left}");
        fs::remove_dir(&out).unwrap();
        assert_eq!(diagnose(operator, "--repair").0, 0);
        assert!(!leaks(&scene));
    });
}

#[test]
fn a_program_in_front_is_seen_and_put_behind() {
    with_operator(FILTER_CTL, "doctor_order", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        let mut intruders = Vec::new();
        harmed(operator, &scene, &["not-first"], || {
            intruders.push(Intruder::before_all(net::ifindex(PORT), Direction::Out).unwrap());
            assert!(leaks(&scene), "what the intruder accepts never gets to us");
            let (_, diagnosis) = diagnose(operator, PORT);
            let programs = &diagnosis["stacks"][0]["programs"];
            assert_eq!((&programs[0]["may_pass_us"], &programs[0]["ours"]), (&true.into(), &false.into()));
            assert_eq!((&programs[1]["may_pass_us"], &programs[1]["ours"]), (&false.into(), &true.into()));
        });
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!(
            (code, checks(&diagnosis, "note").contains(&"behind".to_owned())),
            (0, true),
            "{diagnosis}"
        );
        harmed(operator, &scene, &["not-first", "not-first"], || {
            let more = Direction::ALL.map(|way| Intruder::before_all(net::ifindex(PORT), way).unwrap());
            intruders.extend(more);
        });
    });
}

#[test]
fn what_others_wrote_to_the_maps_is_seen_and_written_again() {
    with_operator(FILTER_CTL, "doctor_maps", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        let ifindex = net::ifindex(PORT);
        let mut entries: Array<MapData, u32> = array(operator, maps::IFINDEX);
        let mut records: Array<MapData, [u8; RECORD]> = array(operator, maps::PORTS);
        let entry = || array::<u32>(operator, maps::IFINDEX).get(&ifindex, 0).unwrap();
        let word =
            |record: &[u8; RECORD], at: usize| u32::from_ne_bytes(record[at..at + 4].try_into().unwrap());

        harmed(operator, &scene, &["no-entry"], || entries.set(ifindex, 0, 0).unwrap());
        let before = entry();
        harmed(operator, &scene, &["fail-mode"], || {
            entries.set(ifindex, before | slot::FAIL_OPEN, 0).unwrap();
        });
        // A record that has become another interface's, one that is no longer strict, one with an address.
        for (name, at, value) in [("ifindex", 0, 77u32), ("flags", 4, 0), ("mac", 20, 0x5254)] {
            let at_slot = entry() & slot::INDEX;
            let mut record = records.get(&at_slot, 0).unwrap();
            record[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            let expected = if name == "ifindex" { "no-record" } else { "record" };
            harmed(operator, &scene, &[expected], || records.set(at_slot, record, 0).unwrap());
        }
        // The roots of all graphs lead to one node.
        let at_slot = entry() & slot::INDEX;
        let mut record = records.get(&at_slot, 0).unwrap();
        let root = record[40..44].to_owned();
        (0..24).for_each(|number| record[40 + 4 * number..44 + 4 * number].copy_from_slice(&root));
        harmed(operator, &scene, &["record"], || records.set(at_slot, record, 0).unwrap());
        // A node: whatever it was, it is a leaf that lets pass now.
        let record = records.get(&(entry() & slot::INDEX), 0).unwrap();
        let first = word(&record, 40 + 96 + 32 + 128 + 8 + 4) as usize;
        let count = word(&record, 40 + 96 + 32 + 128 + 8 + 8) as usize;
        assert!((1..1000).contains(&count), "{count} nodes");
        let last = (first + count - 1) * 16;
        harmed(operator, &scene, &["graph"], || {
            overwrite(&pin(operator, "maps/filter_nodes"), last, 0x00ff_0000).unwrap();
        });
    });
}

#[test]
fn a_record_that_is_no_record_harms_nobody() {
    with_operator(FILTER_CTL, "doctor_garbage", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        let ifindex = net::ifindex(PORT);
        let entry = array::<u32>(operator, maps::IFINDEX).get(&ifindex, 0).unwrap();
        for byte in [0, 0xff] {
            let mut records: Array<MapData, [u8; RECORD]> = array(operator, maps::PORTS);
            let at = array::<u32>(operator, maps::IFINDEX).get(&ifindex, 0).unwrap() & slot::INDEX;
            records.set(at, [byte; RECORD], 0).unwrap();
            let (code, diagnosis) = diagnose(operator, "");
            assert_eq!(
                (code, checks(&diagnosis, "problem")),
                (7, vec!["no-record".to_owned()]),
                "{diagnosis}"
            );
            let (code, mended) = diagnose(operator, "--repair");
            assert_eq!(code, 0, "{mended}");
            // What it knew is gone with the record; it is filtered again.
            scene.comes_out("a datagram", &datagram(1));
            assert!(!leaks(&scene));
        }
        assert_ne!(entry, 0);
    });
}

#[test]
fn a_healthy_host_is_told_so_and_so_is_one_where_nothing_is_loaded() {
    with_operator(FILTER_CTL, "doctor_healthy", |operator| {
        let text = operator.ok("doctor");
        assert!(text.contains("nothing is loaded: no port is filtered"), "{text}");
        assert!(text.contains("host\n") && text.contains("data path\n") && !text.contains('\x1b'), "{text}");
        let message = operator.fails(&format!("doctor {PORT}"), 3);
        assert!(message.contains("not attached"), "{message}");

        let scene = Scene::new();
        attach(operator, &scene);
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!((code, checks(&diagnosis, "problem")), (0, vec![]), "{diagnosis}");
        let fine = checks(&diagnosis, "ok");
        for check in
            ["kernel", "capabilities", "bpf-file-system", "build", "maps", "filtered", "bridge-netfilter"]
        {
            assert!(fine.iter().any(|found| found == check), "{check}: {diagnosis}");
        }
        let ours = |stack: &Value| {
            stack["programs"].as_array().is_some_and(|it| it.len() == 1)
                && stack["programs"][0]["ours"] == true
        };
        assert!(diagnosis["stacks"].as_array().unwrap().iter().all(ours), "{diagnosis}");
        let text = operator.ok(&format!("doctor {PORT}"));
        assert!(text.contains(&format!("port {PORT}\n")) && text.contains("(ours)"), "{text}");
        operator.fails("doctor vm9", 3);

        // An interface that is gone is no problem.
        drop(scene);
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!((code, checks(&diagnosis, "note").contains(&"gone".to_owned())), (0, true), "{diagnosis}");
    });
}

#[test]
fn what_else_is_on_the_host_is_seen() {
    with_operator(FILTER_CTL, "doctor_host", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        // The host's firewall.
        fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "1").unwrap();
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!(
            (code, checks(&diagnosis, "note")),
            (0, vec!["bridge-netfilter".to_owned()]),
            "{diagnosis}"
        );
        fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0").unwrap();
        // A filter behind us.
        let tc = |line: &str| {
            let done = std::process::Command::new("tc").args(line.split(' ')).output().expect("there is tc");
            assert!(done.status.success(), "{line}: {done:?}");
        };
        tc(&format!("qdisc add dev {PORT} clsact"));
        assert_eq!(checks(&diagnose(operator, "").1, "note"), [""; 0]);
        let program = pin(operator, "programs/filter_vm_out");
        tc(&format!("filter add dev {PORT} ingress bpf direct-action object-pinned {}", program.display()));
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!((code, checks(&diagnosis, "note")), (0, vec!["behind".to_owned()]), "{diagnosis}");
        assert_eq!(diagnosis["stacks"][0]["programs"][1]["place"], "clsact");
        tc(&format!("qdisc del dev {PORT} clsact"));

        // Another build's programs, a damaged file of a port, a profile that was changed by hand, a file that is gone.
        let identity = pin(operator, "programs/identity");
        fs::remove_file(&identity).unwrap();
        assert_eq!(checks(&diagnose(operator, "").1, "warning"), ["build"]);
        operator.ok("upgrade");
        let profile = operator.root().join("profiles/web.xml");
        fs::write(&profile, no_ports("web", "443")).unwrap();
        let (code, diagnosis) = diagnose(operator, "--repair");
        assert_eq!((code, checks(&diagnosis, "warning")), (0, vec!["other-rules".to_owned()]), "{diagnosis}");
        assert!(!leaks(&scene), "what was changed by hand is not put in force");
        fs::write(&profile, no_ports("web", "80")).unwrap();
        let file = operator.root().join(format!("run/ports/{}.json", net::ifindex(PORT)));
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(checks(&diagnose(operator, "").1, "problem"), ["file"]);
        fs::remove_file(&file).unwrap();
        assert_eq!(checks(&diagnose(operator, "").1, "problem"), ["stray"]);
        fs::write(&file, &whole).unwrap();
        let done = operator.run("doctor");
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");

        // Another's layout.
        fs::rename(operator.pins().join(format!("v{ABI_VERSION}")), operator.pins().join("v1")).unwrap();
        let done = operator.run("doctor");
        assert_eq!(done.code, 7);
        assert!(
            done.stdout.contains("layout version 1") && done.stderr.contains("1 problem found"),
            "{done:?}"
        );
    });
}

/// Many ports on which all is right: nothing is installed again, and it is seen quickly.
#[test]
fn many_right_ports_are_looked_at_in_no_time_and_left_alone() {
    with_operator(FILTER_CTL, "doctor_many", |operator| {
        let count: u32 = if std::env::var_os("FILTER_CTL_QUICK").is_some() { 20 } else { 200 };
        let mut lines = String::new();
        for number in 0..count {
            net::ip(&format!("link add name v{number} type veth peer name w{number}"));
            lines += &format!(
                "v{number} mac=52:54:00:00:00:{:02x} ip=192.0.2.{}\n",
                number % 250,
                number % 250 + 1
            );
        }
        operator.ok(&format!("attach --bindings {} --profile generic-layer2", operator.file("ports", lines)));
        let links = || -> Vec<u32> {
            let entries = fs::read_dir(pin(operator, "links")).unwrap();
            let mut ids: Vec<u32> = entries
                .map(|entry| PinnedLink::from_pin(entry.unwrap().path()).unwrap())
                .map(|link| FdLink::from(link).info().unwrap().id())
                .collect();
            ids.sort_unstable();
            ids
        };
        let ifindex = net::ifindex("v0");
        let entry = || array::<u32>(operator, maps::IFINDEX).get(&ifindex, 0).unwrap();
        let before = (links(), entry());
        assert_eq!(before.0.len(), 2 * count as usize);
        let folders = Folders::new(Some(&operator.root()), Some(operator.pins()));
        let start = Instant::now();
        let found = drift(&folders).unwrap();
        let took = start.elapsed();
        assert_eq!(found, []);
        println!("{count} ports in {took:?}, {:?} each", took / count);
        assert!(took / count < Duration::from_millis(5), "{took:?}");
        let (code, diagnosis) = diagnose(operator, "--repair");
        assert_eq!((code, checks(&diagnosis, "problem")), (0, vec![]));
        assert_eq!((links(), entry()), before, "nothing was installed again");
    });
}
