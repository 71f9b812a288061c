//! Programs that are replaced while packets pass: nothing is lost, nothing leaks, nothing is forgotten; and whoever
//! comes after a command that died half-way finishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{ProgramInfo, SchedClassifier};
use filter_common::{ABI_VERSION, Direction, maps};
use filter_tests::cli::{Operator, with_operator};
use filter_tests::flood::{attach, connection, gone_back, unasked, while_flooded};
use filter_tests::net;
use filter_tests::scene::{PORT, Scene, answer};
use serde_json::json;

use super::FILTER_CTL;

/// How often the programs are replaced under the flood.
fn upgrades() -> u64 {
    let number = std::env::var("FILTER_CTL_UPGRADES").ok().and_then(|number| number.parse().ok());
    number.unwrap_or(if std::env::var_os("FILTER_CTL_QUICK").is_some() { 3 } else { 20 })
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

#[test]
fn nothing_is_lost_or_leaks_while_programs_are_replaced_under_a_flood() {
    with_operator(FILTER_CTL, "upgrade_flood", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        let learned = operator.port(PORT)["learned_mac"].clone();
        assert_eq!(learned, "52:54:00:12:34:56");
        let known = connection(operator);
        let start = Instant::now();
        let mut programs = pinned(operator);
        let sent = while_flooded(operator, &scene, |flood| {
            let mut counts = operator.counts(PORT);
            for number in 1..=upgrades() {
                let replaced = operator.json("upgrade --again");
                assert_eq!((&replaced["replaced"], &replaced["ports"]), (&json!(true), &json!(1)));
                flood.goes_on(&format!("after upgrade {number}"));
                let before = std::mem::replace(&mut programs, pinned(operator));
                assert!(before.iter().all(|id| !programs.contains(id)), "they are other programs");
                assert_eq!(linked(operator), programs);
                let now = operator.counts(PORT);
                assert_eq!(gone_back(&counts, &now), [""; 0]);
                counts = now;
                if number % 5 == 0 {
                    assert_eq!(connection(operator), known);
                    assert_eq!(operator.port(PORT)["learned_mac"], learned);
                }
            }
        });
        println!("{} upgrades, {sent:?} frames of each kind, {:?}", upgrades(), start.elapsed());
        assert!(sent.out > 100 && sent.to_vm > 100);
        assert_eq!((connection(operator), &operator.port(PORT)["learned_mac"]), (known, &learned));
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
