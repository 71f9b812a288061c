//! Programs that are replaced while packets pass: nothing is lost, nothing leaks, nothing is forgotten; and whoever
//! comes after a command that died half-way finishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{ProgramInfo, SchedClassifier};
use filter_common::{ABI_VERSION, Direction, maps};
use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{Ipv4, udp};
use filter_tests::net::{self, SOON, Wire};
use filter_tests::scene::{PORT, Scene, answer, datagram, to_vm4};
use serde_json::json;

use super::FILTER_CTL;

/// The guest sends from its own address, which is learned; it begins connections to a port of UDP, and nobody else
/// begins any. So what comes in passes only as long as its connection is known.
const PROFILE: &str = r#"<FilterPool name="live" default="DROP">
  <Reference profile="own-mac-only"/>
  <FilterEntry name="of-connections"><Action>ACCEPT</Action>
    <IPHeadersFilter><ConnectionState>established</ConnectionState></IPHeadersFilter></FilterEntry>
  <FilterEntry name="question"><Action>ACCEPT</Action><TrafficType>outgoing</TrafficType>
    <IPHeadersFilter><HdrProtocolID>udp</HdrProtocolID><HdrDestPortStart>5000</HdrDestPortStart>
    <ConnectionState>new</ConnectionState></IPHeadersFilter></FilterEntry>
</FilterPool>"#;

/// How often the programs are replaced under the flood.
fn upgrades() -> u64 {
    let number = std::env::var("FILTER_CTL_UPGRADES").ok().and_then(|number| number.parse().ok());
    number.unwrap_or(if std::env::var_os("FILTER_CTL_QUICK").is_some() { 3 } else { 20 })
}

/// Attaches the port, and has it learn its address and follow a connection that is answered.
fn attach(operator: &Operator, scene: &Scene) {
    operator.ok(&format!("create {}", operator.file("live.xml", PROFILE)));
    operator.ok(&format!("attach {PORT} --profile live"));
    scene.comes_out("the first question", &datagram(0));
    scene.gets_in("its answer", &answer(0));
}

fn version(operator: &Operator) -> PathBuf {
    operator.pins().join(format!("v{ABI_VERSION}"))
}

/// The numbers of the pinned programs.
fn pinned(operator: &Operator) -> [u32; 2] {
    Direction::ALL.map(|direction| program_id(&version(operator).join("programs"), direction))
}

fn program_id(folder: &Path, direction: Direction) -> u32 {
    ProgramInfo::from_pin(folder.join(maps::program(direction))).expect("it is pinned").id()
}

/// The numbers of the programs behind the port's links.
fn linked(operator: &Operator) -> [u32; 2] {
    Direction::ALL.map(|direction| {
        let pin = version(operator).join(format!("links/{}_{direction}", net::ifindex(PORT)));
        let link = FdLink::from(PinnedLink::from_pin(pin).expect("the link is pinned"));
        link.info().expect("the kernel says").program_id()
    })
}

/// Says that it is over also when the test fails, or the flood would go on for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends numbered frames that may pass and frames that may not, and expects the ones, in order, and none of the others.
fn flood(
    (from, to): (&Wire, &Wire),
    [allowed, forbidden]: [fn(u32) -> Vec<u8>; 2],
    (sent, over): (&AtomicU64, &AtomicBool),
) {
    /// A tap's queue holds a thousand.
    const AT_ONCE: u32 = 32;
    let mut next = 1;
    while !over.load(Ordering::Relaxed) {
        for number in next..next + AT_ONCE {
            from.send(&forbidden(number));
            from.send(&allowed(number));
        }
        for number in next..next + AT_ONCE {
            let is_ours = |frame: &[u8]| frame.len() == allowed(number).len() && frame.get(23) == Some(&17);
            let arrived = to.wait_for(SOON, is_ours);
            assert_eq!(arrived, Some(allowed(number)), "frame {number}");
        }
        next += AT_ONCE;
        sent.fetch_add(u64::from(AT_ONCE), Ordering::Relaxed);
    }
}

/// A datagram of the guest's from a MAC address that is not its own.
fn spoofed(number: u32) -> Vec<u8> {
    let mut frame = datagram(number);
    frame[6..12].copy_from_slice(&[0x52, 0x54, 0, 0x66, 0x66, 0x66]);
    frame
}

/// A datagram to the guest that belongs to no connection.
fn unasked(number: u32) -> Vec<u8> {
    to_vm4(&Ipv4::default(), udp(5001, 20001, &number.to_be_bytes()))
}

#[test]
fn nothing_is_lost_or_leaks_while_programs_are_replaced_under_a_flood() {
    with_operator(FILTER_CTL, "upgrade_flood", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        let learned = operator.port(PORT)["learned_mac"].clone();
        assert_eq!(learned, "52:54:00:12:34:56");
        let connection = || {
            let flows = operator.ok(&format!("--json flows {PORT}"));
            let flow: serde_json::Value = serde_json::from_str(flows.trim()).expect("there is one");
            (flow["local"].clone(), flow["remote"].clone(), flow["state"].clone())
        };
        let known = connection();
        let (over, out, to_vm) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let start = Instant::now();
        let mut programs = pinned(operator);
        std::thread::scope(|scope| {
            let stop = Stop(&over);
            let (guest, peer) = (&scene.guest, &scene.peer);
            let floods = [
                scope.spawn(|| flood((guest, peer), [datagram, spoofed], (&out, &over))),
                scope.spawn(|| flood((peer, guest), [answer, unasked], (&to_vm, &over))),
            ];
            let mut counts = operator.counts(PORT);
            for number in 1..=upgrades() {
                let replaced = operator.json("upgrade --again");
                assert_eq!((&replaced["replaced"], &replaced["ports"]), (&json!(true), &json!(1)));
                assert!(floods.iter().all(|flood| !flood.is_finished()), "after upgrade {number}");
                let before = std::mem::replace(&mut programs, pinned(operator));
                assert!(before.iter().all(|id| !programs.contains(id)), "they are other programs");
                assert_eq!(linked(operator), programs);
                let now = operator.counts(PORT);
                let back: Vec<_> = counts.0.iter().filter(|(rule, count)| now.of(rule) < **count).collect();
                assert!(back.is_empty(), "counters that went back: {back:?}");
                counts = now;
                if number % 5 == 0 {
                    assert_eq!(connection(), known);
                    assert_eq!(operator.port(PORT)["learned_mac"], learned);
                }
            }
            drop(stop);
        });
        let (out, to_vm) = (out.into_inner(), to_vm.into_inner());
        println!("{} upgrades, {out} and {to_vm} frames of each kind, {:?}", upgrades(), start.elapsed());
        assert!(out > 100 && to_vm > 100);
        assert_eq!((connection(), &operator.port(PORT)["learned_mac"]), (known, &learned));
        let counts = operator.counts(PORT);
        // The first question and its answer were before.
        assert_eq!(counts.of("rule live/of-connections"), out + to_vm + 1);
        assert_eq!(counts.of("rule live/question"), 1, "the connection began once");
        assert_eq!(counts.of("rule own-mac-only/foreign-mac"), out);
        let guard = counts.0.keys().filter(|name| name.starts_with("guard"));
        assert_eq!(guard.count(), 0, "{counts:?}");
        for (wire, forbidden) in [(&scene.peer, [0x66; 3]), (&scene.guest, [0x66; 3])] {
            assert!(!wire.drain().iter().any(|frame| frame.get(9..12) == Some(&forbidden[..])));
        }
    });
}

/// Takes a copy of a folder of pinned programs.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        match fs::read_link(&path) {
            Ok(text) => std::os::unix::fs::symlink(text, to.join(name)).unwrap(),
            Err(_) => SchedClassifier::from_pin(&path).unwrap().pin(to.join(name)).unwrap(),
        }
    }
}

#[test]
fn whoever_comes_next_finishes_what_was_begun() {
    with_operator(FILTER_CTL, "upgrade_dead", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        let (programs, incoming) = (version(operator).join("programs"), version(operator).join("incoming"));
        let old = version(operator).join("old");
        // Dead before the new programs were in their place.
        let before = pinned(operator);
        copy(&programs, &incoming);
        fs::remove_file(incoming.join(maps::PROGRAM_FLOWS)).unwrap();
        operator.ok("timeouts set udp=77");
        operator.ok(&format!("attach {PORT} --profile live"));
        assert!(!incoming.exists(), "it is cleared away");
        assert_eq!((pinned(operator), linked(operator)), (before, before));

        // Dead after that, and before any link had its new program: the links have those of the folder `incoming`.
        copy(&programs, &old);
        operator.ok("upgrade --again");
        fs::rename(&programs, &incoming).unwrap();
        fs::rename(&old, &programs).unwrap();
        assert_ne!(linked(operator), pinned(operator));
        let (port, counts) = (operator.port(PORT), operator.counts(PORT));
        assert_eq!(port["status"], "active", "the port is filtered at any moment");
        assert_eq!(operator.json("upgrade --check")["unfinished"], true);
        // The peer sends: the guest's address, counters and connections are known as before, and so is the connection.
        scene.gets_in("an answer", &answer(1));
        operator.ok(&format!("attach {PORT} --profile live"));
        assert!(!incoming.exists());
        assert_eq!((pinned(operator), linked(operator)), (before, before));
        assert_eq!(operator.port(PORT)["learned_mac"], port["learned_mac"]);
        assert_eq!(operator.counts(PORT).since(&counts).len(), 1, "counters go on");
        scene.gets_in("an answer", &answer(2));
        scene.peer.send(&unasked(1));
        assert!(!scene.is_in(&unasked(1)));
    });
}

#[test]
fn an_upgrade_is_done_where_another_build_is_pinned() {
    with_operator(FILTER_CTL, "upgrade_due", |operator| {
        let scene = Scene::new();
        assert!(operator.ok("upgrade").contains("nothing is loaded"));
        assert!(operator.ok("upgrade --check").contains("nothing is loaded"));
        attach(operator, &scene);
        let before = pinned(operator);
        assert_eq!(operator.json("upgrade")["replaced"], false);
        assert!(operator.ok("upgrade --check").contains("of this build"));
        assert_eq!(pinned(operator), before);
        let identity = version(operator).join("programs/identity");
        let own = fs::read_link(&identity).unwrap().display().to_string();

        // Another build's, and one that does not say whose it is.
        let secret = own.split(',').find(|part| part.starts_with("secret=")).unwrap();
        let text = format!("version=9.8.7,build=0123456789abcdef,{secret},log=2");
        for other in [Some(text.as_str()), None] {
            fs::remove_file(&identity).unwrap();
            if let Some(text) = other {
                std::os::unix::fs::symlink(text, &identity).unwrap();
            }
            let before = pinned(operator);
            let done = operator.run("upgrade --check");
            assert_eq!(done.code, 7, "{done:?}");
            assert!(done.stdout.contains(if other.is_some() {
                "9.8.7 (01234567)"
            } else {
                "without a name"
            }));
            operator.ok(&format!("attach {PORT} --profile live"));
            assert_eq!(pinned(operator), before, "other commands go on with what is there");
            assert!(operator.ok("upgrade").contains("on 1 port"));
            assert_ne!(pinned(operator), before);
            assert_eq!(linked(operator), pinned(operator));
            let now = fs::read_link(&identity).unwrap().display().to_string();
            assert_eq!(
                now.contains(secret),
                other.is_some(),
                "the secret is handed on, if it is known: {now}"
            );
            assert_eq!(now.ends_with("log=2"), other.is_some(), "so is what is logged");
            operator.ok("upgrade --check");
        }
        scene.gets_in("an answer", &answer(1));
    });
}

#[test]
fn maps_of_another_layout_are_left_alone() {
    with_operator(FILTER_CTL, "upgrade_layout", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        let (ours, theirs) = (version(operator), operator.pins().join("v1"));
        fs::rename(&ours, &theirs).unwrap();
        for line in ["ports", "upgrade", &format!("attach {PORT} --profile live"), &format!("detach {PORT}")]
        {
            let message = operator.fails(line, 4);
            let says = ["layout version 1", "with 1 ports attached", "filter-ctl 0.1.0", "remove"];
            assert!(says.iter().all(|part| message.contains(part)), "{line}: {message}");
        }
        assert!(!ours.exists(), "nothing was loaded beside it");
        scene.peer.send(&unasked(1));
        scene.gets_in("an answer", &answer(1));
        fs::rename(&theirs, &ours).unwrap();
        assert_eq!(operator.port(PORT)["status"], "active");

        // Its number is right, but a map is not: it is seen before anything changes.
        let before = pinned(operator);
        let (learned, answers) = (ours.join("maps/filter_learned"), ours.join("maps/filter_answers"));
        fs::remove_file(&learned).unwrap();
        fs::rename(&answers, &learned).unwrap();
        let done = operator.run("upgrade --again");
        assert_eq!(done.code, 6, "{done:?}");
        assert!(
            done.stderr.contains("filter_learned") && done.stderr.contains("another build's map"),
            "{done:?}"
        );
        assert_eq!((pinned(operator), linked(operator)), (before, before));
    });
}
