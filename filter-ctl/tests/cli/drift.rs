//! Drift: each thing that somebody may do to a port is seen by its name and mended, without anything that was counted,
//! learned or followed being lost, and without a forbidden frame getting by meanwhile; what cannot be mended is said, and
//! left alone.

use std::fs;
use std::mem::offset_of;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use aya::maps::{Array, ArrayOfMaps, IterableMap as _, Map, MapData};
use filter_common::limit::Limit;
use filter_common::track::Bucket;
use filter_common::{ABI_VERSION, Class, Direction, Learned, Node, PortRecord, maps, slot};
use filter_tests::cli::{Counts, Operator, Tested, can_meddle, with_operator};
use filter_tests::flood::{connection, profile, unasked};
use filter_tests::foreign::{Intruder, detach_link, give_link, overwrite, take_out};
use filter_tests::frames::Arp;
use filter_tests::net;
use filter_tests::scene::{PORT, Scene, answer, arp, connect, datagram};
use serde_json::{Value, json};

use super::profiles::no_ports;
use super::{DAEMON, FILTER_CTL};

/// Bytes of a record.
const RECORD: usize = size_of::<PortRecord>();

/// Words of a table of connections, an element each.
type FlowBucket = [u64; size_of::<Bucket>() / 8];

/// Maps that are memory, and such as are in a map of maps.
const MEMORY: u32 = 1 << 10;
const INNER: u32 = MEMORY | 1 << 12;

/// Runs a test with a port that is not attached yet. A daemon does what it is asked for, and mends nothing unasked.
fn with_scene(test: &str, story: impl FnOnce(&Operator, &Scene) + Send) {
    with_operator(Tested { daemon: false, ..FILTER_CTL }, test, |operator| {
        let config = operator.file("daemon.toml", "repair = false\n");
        let daemon = DAEMON.then(|| operator.daemon(&["--config", &config]));
        story(operator, &Scene::new());
        drop(daemon);
    });
}

pub(super) fn pin(operator: &Operator, name: &str) -> PathBuf {
    operator.pins().join(format!("v{ABI_VERSION}")).join(name)
}

fn link(operator: &Operator, direction: Direction) -> PathBuf {
    pin(operator, &format!("links/{}_{direction}", net::ifindex(PORT)))
}

pub(super) fn array<V: aya::Pod>(operator: &Operator, name: &str) -> Array<MapData, V> {
    let data = MapData::from_pin(pin(operator, &format!("maps/{name}"))).expect("it is pinned");
    Map::Array(data).try_into().expect("it is an array of such values")
}

/// The slot of the port's record, and the record.
fn record(operator: &Operator) -> (u32, [u8; RECORD]) {
    let entry = array::<u32>(operator, maps::IFINDEX).get(&net::ifindex(PORT), 0).unwrap();
    let at = entry & slot::INDEX;
    (at, array(operator, maps::PORTS).get(&at, 0).unwrap())
}

/// A word of the port's record.
fn word(operator: &Operator, offset: usize) -> u32 {
    u32::from_ne_bytes(record(operator).1[offset..offset + 4].try_into().unwrap())
}

/// Writes over a word of the port's record.
fn set_word(operator: &Operator, offset: usize, word: u32) {
    let (at, mut record) = record(operator);
    record[offset..offset + 4].copy_from_slice(&word.to_ne_bytes());
    array::<[u8; RECORD]>(operator, maps::PORTS).set(at, record, 0).unwrap();
}

/// What `doctor` says, and how it ends.
pub(super) fn diagnose(operator: &Operator, line: &str) -> (i32, Value) {
    let done = operator.run(&format!("--json doctor {line}"));
    let first = done.stdout.lines().next().unwrap_or_default();
    (done.code, serde_json::from_str(first).unwrap_or_else(|error| panic!("{error}: {done:?}")))
}

/// The calls of bpf(2) that a command makes which succeeds, in order.
pub(super) fn calls_of_bpf(operator: &Operator, line: &[&str]) -> Vec<String> {
    let trace = operator.files().join("trace");
    let done = operator.traced("bpf", &trace, &[]).args(line).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let text = fs::read_to_string(&trace).unwrap();
    text.lines().filter(|line| line.contains("bpf(")).map(str::to_owned).collect()
}

/// Findings of a severity: their names.
pub(super) fn checks(diagnosis: &Value, severity: &str) -> Vec<String> {
    let findings = diagnosis["findings"].as_array().into_iter().flatten();
    let of = findings.filter(|finding| finding["severity"] == severity);
    of.map(|finding| finding["check"].as_str().unwrap_or_default().to_owned()).collect()
}

/// What is wrong, and whether that makes the command fail as it should.
fn problems(operator: &Operator, line: &str) -> Vec<String> {
    let (code, diagnosis) = diagnose(operator, line);
    let problems = checks(&diagnosis, "problem");
    assert_eq!(code, if problems.is_empty() { 0 } else { 7 }, "{diagnosis}");
    problems
}

/// A port whose profile forbids port 80, with something counted.
pub(super) fn attach(operator: &Operator, scene: &Scene) {
    operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
    operator.ok(&format!("attach {PORT} --profile web --profile own-mac-only"));
    scene.comes_out("a datagram", &datagram(1));
    scene.guest.send(&connect(80));
}

/// Whether what is forbidden gets out, and what is allowed does.
pub(super) fn leaks(scene: &Scene) -> bool {
    scene.peer.drain();
    has_leaked(scene)
}

/// The same, of all that was sent before, too.
fn has_leaked(scene: &Scene) -> bool {
    let (forbidden, allowed) = (connect(80), datagram(2));
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

/// Sends what is forbidden all the time while `work` is done: none of it gets out.
fn shut<T>(scene: &Scene, work: impl FnOnce() -> T) -> T {
    /// The sender ends also where the work panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    scene.peer.drain();
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                scene.guest.send(&connect(80));
                thread::sleep(Duration::from_micros(200));
            }
        });
        let _over = Over(&over);
        work()
    });
    assert!(!has_leaked(scene), "what is forbidden got out meanwhile");
    done
}

/// Does `harm`, expects these names, mends it, and expects that all is as before.
fn harmed(operator: &Operator, scene: &Scene, expected: &[&str], harm: impl FnOnce()) {
    let before = (operator.counts(PORT), operator.port(PORT)["learned_mac"].clone());
    harm();
    assert_eq!(problems(operator, ""), expected);
    mended(operator, scene, expected, &before);
}

/// The same with a harm that lets nothing forbidden by, nor does its mending.
fn harmed_shut(operator: &Operator, scene: &Scene, expected: &[&str], harm: impl FnOnce()) {
    let before = (operator.counts(PORT), operator.port(PORT)["learned_mac"].clone());
    shut(scene, || {
        harm();
        assert_eq!(problems(operator, ""), expected);
        assert_eq!(problems(operator, "--repair"), [""; 0]);
    });
    mended(operator, scene, &[], &before);
}

/// Mends what is expected, and expects that nothing was lost of what was counted and learned before.
fn mended(operator: &Operator, scene: &Scene, expected: &[&str], (counted, learned): &(Counts, Value)) {
    let (code, mended) = diagnose(operator, "--repair");
    assert_eq!(code, 0, "{expected:?}: {mended}");
    if expected.is_empty() {
        assert_eq!(mended["repaired"], json!([]), "nothing was left to mend");
    } else {
        assert_eq!(mended["repaired"][0]["left"], "", "{mended}");
        assert_eq!(mended["repaired"][0]["mended"], json!(expected), "{mended}");
    }
    assert!(checks(&mended, "problem").is_empty());
    assert_eq!(operator.port(PORT)["learned_mac"], *learned, "{expected:?}: it knows what it learned");
    let counts = operator.counts(PORT);
    let back: Vec<_> = counted.0.iter().filter(|(rule, count)| counts.of(rule) < **count).collect();
    assert!(back.is_empty(), "{expected:?}: set back: {back:?}");
    let dropped = counts.of("rule web/ports");
    assert!(!leaks(scene), "{expected:?}: what is forbidden is dropped again");
    assert_eq!(operator.counts(PORT).of("rule web/ports"), dropped + 1);
}

#[test]
fn links_that_others_took_away_are_seen_and_attached_again() {
    with_scene("drift_links", |operator, scene| {
        attach(operator, scene);
        let [out, to_vm] = Direction::ALL.map(|direction| link(operator, direction));
        assert!(!leaks(scene));
        harmed(operator, scene, &["link-detached"], || {
            detach_link(&out).unwrap();
            assert!(leaks(scene), "the classifier is off");
        });
        harmed(operator, scene, &["link-detached", "link-detached"], || {
            detach_link(&out).unwrap();
            detach_link(&to_vm).unwrap();
        });
        harmed(operator, scene, &["link-missing"], || fs::remove_file(&to_vm).unwrap());
        harmed(operator, scene, &["link-missing", "link-missing"], || {
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
        assert!(!leaks(scene));
    });
}

#[test]
fn a_program_in_front_is_seen_and_put_behind() {
    with_scene("drift_order", |operator, scene| {
        attach(operator, scene);
        let mut intruders = Vec::new();
        harmed(operator, scene, &["not-first"], || {
            intruders.push(Intruder::before_all(net::ifindex(PORT), Direction::Out).unwrap());
            assert!(leaks(scene), "what the intruder accepts never gets to us");
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
        harmed(operator, scene, &["not-first", "not-first"], || {
            let more = Direction::ALL.map(|way| Intruder::before_all(net::ifindex(PORT), way).unwrap());
            intruders.extend(more);
        });
        // While places are changed nothing gets by.
        harmed_shut(operator, scene, &["not-first"], || {
            intruders.push(Intruder::looking_on(net::ifindex(PORT), Direction::Out).unwrap());
        });
    });
}

/// Wherever putting ours first fails: the port is not without a classifier afterwards.
#[test]
fn a_port_stays_filtered_where_ours_cannot_be_put_first() {
    with_scene("drift_order_fails", |operator, scene| {
        if DAEMON || !can_meddle("a_port_stays_filtered_where_ours_cannot_be_put_first") {
            return;
        }
        attach(operator, scene);
        let line = ["doctor", "--repair", PORT];
        let before_us = || Intruder::looking_on(net::ifindex(PORT), Direction::Out).unwrap();
        let first = before_us();
        let calls = calls_of_bpf(operator, &line);
        // The last two: the copy in front, and ours.
        let made = |call: &usize| calls[*call].contains("BPF_LINK_CREATE");
        let last: Vec<usize> = (0..calls.len()).rev().filter(made).take(2).collect();
        let [ours, copy] = last[..] else { panic!("{last:?}") };
        drop(first);
        for (number, call) in calls.iter().enumerate().take(ours + 4).skip(copy) {
            let other = before_us();
            let done = operator.failing_at("bpf", number + 1, "ENOMEM").args(line).output().unwrap();
            drop(other);
            assert!(!leaks(scene), "call {number}, {call}: {done:?}");
            assert_eq!(problems(operator, "--repair"), [""; 0], "call {number}, {call}");
            assert!(!leaks(scene), "call {number} is mended");
        }
    });
}

#[test]
fn another_program_behind_a_link_is_seen_and_gives_way() {
    with_scene("drift_program", |operator, scene| {
        attach(operator, scene);
        let [out, to_vm] = Direction::ALL.map(|direction| link(operator, direction));
        harmed(operator, scene, &["other-program"], || {
            give_link(&out, None).unwrap();
            assert!(leaks(scene), "nobody judges what the guest sends");
        });
        harmed(operator, scene, &["other-program", "other-program"], || {
            give_link(&out, None).unwrap();
            give_link(&to_vm, None).unwrap();
        });
        // It is one of ours, but of the other direction.
        let other = pin(operator, &format!("programs/{}", maps::PROGRAM_OUT));
        harmed(operator, scene, &["other-program"], || give_link(&to_vm, Some(&other)).unwrap());
    });
}

#[test]
fn what_others_wrote_to_the_maps_is_seen_and_written_again() {
    with_scene("drift_maps", |operator, scene| {
        attach(operator, scene);
        let ifindex = net::ifindex(PORT);
        let mut entries: Array<MapData, u32> = array(operator, maps::IFINDEX);
        harmed_shut(operator, scene, &["no-entry"], || entries.set(ifindex, 0, 0).unwrap());
        // A record that has become another interface's, one that is no longer strict, one with an address, one that no
        // file speaks of.
        for (expected, offset, value) in [
            ("no-record", offset_of!(PortRecord, ifindex), 77),
            ("record", offset_of!(PortRecord, flags), 0),
            ("record", offset_of!(PortRecord, mac_hi), 0x5254),
            ("record", offset_of!(PortRecord, generation), 77),
        ] {
            harmed(operator, scene, &[expected], || set_word(operator, offset, value));
        }
        // The roots of all graphs lead to one node.
        let roots = offset_of!(PortRecord, roots);
        harmed(operator, scene, &["record"], || {
            let root = word(operator, roots);
            (1..Direction::COUNT * Class::COUNT).for_each(|it| set_word(operator, roots + 4 * it, root));
        });
        // A node: whatever it was, it is a leaf that lets pass now.
        let [first, count] = [offset_of!(PortRecord, nodes), offset_of!(PortRecord, node_count)]
            .map(|offset| word(operator, offset) as usize);
        assert!((1..1000).contains(&count), "{count} nodes");
        harmed(operator, scene, &["graph"], || {
            let last = (first + count - 1) * size_of::<Node>();
            overwrite(&pin(operator, "maps/filter_nodes"), last, 0x00ff_0000).unwrap();
        });
    });
}

#[test]
fn a_record_that_is_no_record_harms_nobody() {
    with_scene("drift_garbage", |operator, scene| {
        attach(operator, scene);
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
            assert!(!leaks(scene));
        }
        assert_ne!(entry, 0);
    });
}

#[test]
fn the_fail_mode_is_put_back_whichever_it_is() {
    with_scene("drift_fail", |operator, scene| {
        attach(operator, scene);
        let ifindex = net::ifindex(PORT);
        let entry = || array::<u32>(operator, maps::IFINDEX).get(&ifindex, 0).unwrap();
        for (mode, declared) in [("closed", 0), ("open", slot::FAIL_OPEN)] {
            operator.ok(&format!("attach {PORT} --profile web --profile own-mac-only --fail {mode}"));
            assert_eq!(entry() & slot::FAIL_OPEN, declared, "{mode}");
            harmed_shut(operator, scene, &["fail-mode"], || {
                array::<u32>(operator, maps::IFINDEX).set(ifindex, entry() ^ slot::FAIL_OPEN, 0).unwrap();
            });
            assert_eq!(entry() & slot::FAIL_OPEN, declared, "{mode}");
        }
    });
}

#[test]
fn rules_that_are_counted_elsewhere_are_seen_and_count_on() {
    with_scene("drift_counters", |operator, scene| {
        attach(operator, scene);
        let file = operator.root().join(format!("run/ports/{}.json", net::ifindex(PORT)));
        let state: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let rules = state["content"]["applied"][0]["rules"].as_array().unwrap();
        let counter = |position: usize| u32::try_from(rules[position]["counter"].as_u64().unwrap()).unwrap();
        let ports = rules.iter().position(|rule| rule["name"] == "rule web/ports").unwrap();
        let other = (0..rules.len()).find(|&position| position != ports).unwrap();
        let count_at = |position: usize, counter: u32| {
            let at = word(operator, offset_of!(PortRecord, rules)) as usize + position;
            overwrite(&pin(operator, "maps/filter_rules"), 4 * at, counter).unwrap();
        };
        let counted = || operator.counts(PORT).of("rule web/ports");

        harmed_shut(operator, scene, &["counters"], || {
            count_at(ports, 0);
            let before = counted();
            scene.guest.send(&connect(80));
            assert_eq!(counted(), before, "it is counted where nobody looks");
        });
        harmed_shut(operator, scene, &["counters"], || {
            count_at(ports, counter(other));
            count_at(other, counter(ports));
        });
        harmed_shut(operator, scene, &["counters"], || {
            let offset = offset_of!(PortRecord, rules);
            set_word(operator, offset, word(operator, offset) + 1);
        });
    });
}

#[test]
fn limits_that_others_wrote_are_seen_and_buckets_go_on() {
    const BURST: u64 = 20;
    with_scene("drift_limits", |operator, scene| {
        let udp = "<IPHeadersFilter><HdrProtocolID>udp</HdrProtocolID></IPHeadersFilter>";
        let limited = format!(
            "<FilterPool name='limited' default='ACCEPT'>
               <FilterEntry name='within'><Action>ACCEPT</Action>{udp}<LimitFilter><PacketRate>1/day</PacketRate>
                 <PacketBurst>{BURST}</PacketBurst></LimitFilter></FilterEntry>
               <FilterEntry name='beyond'><Action>DROP</Action>{udp}</FilterEntry>
             </FilterPool>"
        );
        operator.ok(&format!("create {}", operator.file("limited.xml", limited)));
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
        operator.ok(&format!("attach {PORT} --profile web --profile own-mac-only --profile limited"));
        scene.comes_out("a datagram", &datagram(1));
        let limits = || word(operator, offset_of!(PortRecord, limits));
        let write = |offset: usize, word: u32| {
            let at = limits() as usize * size_of::<Limit>() + offset;
            overwrite(&pin(operator, "maps/filter_limits"), at, word).unwrap();
        };
        // Nothing is beyond it; it is about bytes; its bucket is another; it is another limit, or none.
        harmed_shut(operator, scene, &["limits"], || write(offset_of!(Limit, tolerance) + 4, 0x7fff_ffff));
        harmed_shut(operator, scene, &["limits"], || write(offset_of!(Limit, measure), 1));
        harmed_shut(operator, scene, &["limits"], || write(offset_of!(Limit, bucket), 77));
        harmed_shut(operator, scene, &["limits"], || {
            set_word(operator, offset_of!(PortRecord, limits), limits() + 1);
        });
        // What was taken was never given back.
        let within = operator.counts(PORT).of("rule limited/within");
        assert!((2..BURST).contains(&within), "{within}");
        (0..30).for_each(|number| scene.guest.send(&datagram(number)));
        scene.comes_out("what has no limit", &arp(&Arp::default()));
        let counts = operator.counts(PORT);
        assert_eq!(
            (counts.of("rule limited/within"), counts.of("rule limited/beyond")),
            (BURST, 30 + within - BURST)
        );
    });
}

#[test]
fn tables_of_connections_that_others_took_are_seen_and_made_again() {
    with_scene("drift_flows", |operator, scene| {
        operator.ok(&format!("create {}", operator.file("live.xml", profile(""))));
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
        operator.ok(&format!("attach {PORT} --profile web --profile live"));
        let table = || word(operator, offset_of!(PortRecord, flow_table));
        let (tables, mask) = (pin(operator, "maps/filter_flows"), offset_of!(PortRecord, flow_mask));
        let put = |buckets: u32| {
            let new = Array::<MapData, FlowBucket>::create(buckets, INNER).unwrap();
            let there = Map::ArrayOfMaps(MapData::from_pin(&tables).unwrap());
            let mut there: ArrayOfMaps<MapData, MapData> = there.try_into().unwrap();
            there.set(table(), new.map(), 0).unwrap();
        };
        let buckets = word(operator, mask) + 1;
        let harms: [(&str, &dyn Fn()); 5] = [
            ("taken out", &|| take_out(&tables, table()).unwrap()),
            ("smaller", &|| put(1)),
            ("larger", &|| put(2 * buckets)),
            ("not the record's", &|| set_word(operator, mask, 2 * buckets - 1)),
            ("none", &|| set_word(operator, offset_of!(PortRecord, flow_table), 0)),
        ];
        for (number, (what, harm)) in (0..).zip(harms) {
            scene.comes_out(what, &datagram(number));
            scene.gets_in(what, &answer(number));
            harmed_shut(operator, scene, &["flows"], harm);
            scene.comes_out(what, &datagram(number));
            scene.gets_in(what, &answer(number));
            scene.peer.send(&unasked(number));
            scene.gets_in(what, &answer(number));
            assert_eq!(word(operator, mask) + 1, buckets, "{what}: it is as large as before");
        }
        // A table to move from that is not there keeps nobody from looking into the one that is.
        let known = connection(operator);
        for (number, mask) in [(77, buckets - 1), (78, 0)] {
            harmed_shut(operator, scene, &["flows"], || {
                set_word(operator, offset_of!(PortRecord, flow_previous_mask), mask);
                set_word(operator, offset_of!(PortRecord, flow_previous), number);
            });
            assert_eq!(connection(operator), known, "it goes on");
            scene.gets_in("an answer", &answer(9));
        }
        scene.guest.drain();
        scene.peer.send(&unasked(9));
        scene.gets_in("an answer", &answer(10));
    });
}

#[test]
fn another_map_is_told_and_left_alone() {
    with_scene("drift_map", |operator, scene| {
        attach(operator, scene);
        let (path, away) = (pin(operator, "maps/filter_learned"), pin(operator, "maps/away"));
        let before = record(operator);
        fs::rename(&path, &away).unwrap();
        let small = Array::<MapData, [u8; size_of::<Learned>()]>::create(10, MEMORY).unwrap();
        small.map().pin(&path).unwrap();
        for line in ["", "--repair"] {
            let (code, diagnosis) = diagnose(operator, line);
            assert_eq!((code, checks(&diagnosis, "problem")), (7, vec!["map".to_owned()]), "{diagnosis}");
            assert!(diagnosis.to_string().contains("filter_learned: it is"), "{diagnosis}");
            assert!(line.is_empty() || diagnosis["repaired"] == json!([]), "{diagnosis}");
        }
        assert_eq!(record(operator), before, "nothing was published again");
        assert!(!leaks(scene), "the programs go on with theirs");
        // One that is like ours, and that no program knows.
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        let entries = pin(operator, "maps/filter_ifindex");
        fs::rename(&entries, &away).unwrap();
        let same = Array::<MapData, u32>::create(u32::try_from(maps::MAX_IFINDEX).unwrap(), MEMORY).unwrap();
        same.map().pin(&entries).unwrap();
        let (code, diagnosis) = diagnose(operator, "--repair");
        let mut found = checks(&diagnosis, "problem");
        found.sort();
        assert_eq!((code, found), (7, vec!["map".to_owned(), "no-entry".to_owned()]), "{diagnosis}");
        let left = diagnosis["repaired"][0]["left"].as_str().unwrap_or_default();
        assert!(left.contains("filter_ifindex") && left.contains("use another one"), "{diagnosis}");
        assert!(operator.fails("upgrade --again", 6).contains("filter_ifindex"));
        assert!(!leaks(scene), "what is in force stays");
        fs::remove_file(&entries).unwrap();
        fs::rename(&away, &entries).unwrap();
        assert_eq!(problems(operator, ""), [""; 0]);
        fs::rename(&path, &away).unwrap();
        // One whose values have another size cannot even be looked into.
        let strange = Array::<MapData, [u8; 8]>::create(10, MEMORY).unwrap();
        strange.map().pin(&path).unwrap();
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!((code, checks(&diagnosis, "problem")), (7, vec!["loaded".to_owned()]), "{diagnosis}");
        let refused = operator.fails(&format!("attach {PORT} --profile web"), 6);
        assert!(refused.contains("filter_learned"), "{refused}");
        assert!(!leaks(scene));
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        assert_eq!(problems(operator, ""), [""; 0]);
        assert_eq!(record(operator), before);
    });
}

#[test]
fn a_profile_that_cannot_be_read_is_told_and_what_is_in_force_stays() {
    with_scene("drift_profiles", |operator, scene| {
        attach(operator, scene);
        operator.ok("attach peer0 --profile no-vlan");
        let peer = net::ifindex("peer0");
        let file = operator.root().join("profiles/web.xml");
        let whole = fs::read_to_string(&file).unwrap();
        let damages = [
            ("cut off", Some(whole[..whole.len() / 2].to_owned())),
            ("of nothing known", Some(whole.replace("HdrDestPortStart", "HdrDestPort"))),
            (
                "with a name that is none",
                Some(whole.replace("<FilterEntry", "<Reference profile='no'/><FilterEntry")),
            ),
            ("gone", None),
        ];
        for (what, text) in damages {
            match text {
                Some(text) => fs::write(&file, text).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            let before = record(operator);
            assert_eq!(problems(operator, ""), ["profiles"], "{what}");
            let (_, mended) = diagnose(operator, "--repair");
            assert_eq!(
                (checks(&mended, "problem"), &mended["repaired"]),
                (vec!["profiles".to_owned()], &json!([])),
                "{what}"
            );
            assert_eq!(record(operator), before, "{what}: it is left alone");
            assert!(!leaks(scene), "{what}: what is in force stays");
            // It keeps neither another port nor its own links from being mended.
            array::<u32>(operator, maps::IFINDEX).set(peer, 0, 0).unwrap();
            detach_link(&link(operator, Direction::Out)).unwrap();
            let mut found = problems(operator, "");
            found.sort();
            assert_eq!(found, ["link-detached", "no-entry", "profiles"], "{what}");
            let (code, mended) = diagnose(operator, "--repair");
            assert_eq!((code, checks(&mended, "problem")), (7, vec!["profiles".to_owned()]), "{what}");
            let mut done: Vec<_> = mended["repaired"].as_array().unwrap().clone();
            done.sort_by_key(|it| it["port"].to_string());
            assert_eq!(
                done,
                [
                    json!({ "port": "peer0", "mended": ["no-entry"], "left": "" }),
                    json!({ "port": PORT, "mended": ["link-detached"], "left": "" })
                ],
                "{what}"
            );
            assert!(!leaks(scene), "{what}");
            fs::write(&file, &whole).unwrap();
            assert_eq!(problems(operator, ""), [""; 0], "{what}");
        }
    });
}
