//! How the daemon begins and ends: one at a time, and nothing changes in the kernel.

use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use filter_common::{ABI_VERSION, Direction};
use filter_tests::cli::{Operator, with_operator};
use filter_tests::foreign::detach_link;
use filter_tests::net::{self, until};
use filter_tests::scene::{ADDRESSES, PORT, Scene, datagram, spoofed_datagram};
use rustix::process::Signal;
use serde_json::Value;

use super::FILTER_CTL;

#[test]
fn there_is_one_daemon_and_commands_ask_it() {
    with_operator(FILTER_CTL, "life_one", |operator| {
        let first = operator.daemon(&[]);
        let mut second = operator.daemon_unready(&[]);
        assert_eq!(second.ended(), Some(4));
        assert!(second.log().contains("a daemon runs already"), "{}", second.log());
        let _tap = net::tap("vm0");
        operator.ok("attach vm0 --profile own-mac-only");
        first.says(&["called", "Attach"]);
        let mut first = first;
        first.signal(Signal::TERM);
        assert_eq!(first.ended(), Some(0));
        // Without it commands do their work themselves.
        assert_eq!(operator.port("vm0")["status"], "active");
        operator.ok("detach vm0");
    });
}

#[test]
fn who_only_looks_is_answered_also_when_the_daemon_goes_away() {
    with_operator(FILTER_CTL, "life_goes_away", |operator| {
        operator.ok("create-from no-vlan mine");
        // A daemon that dies with the request in its hands.
        let dying = || {
            let _ = std::fs::remove_file(operator.socket());
            let listener = UnixListener::bind(operator.socket()).expect("the folder is there");
            thread::spawn(move || {
                let peer = listener.accept().expect("somebody asks");
                drop(listener);
                drop(peer);
            })
        };
        let daemon = dying();
        let listed = operator.json("list");
        assert!(listed.as_array().into_iter().flatten().any(|profile| profile["name"] == "mine"), "{listed}");
        daemon.join().expect("it was asked");
        // Nobody knows whether it was done, so it is not done again.
        let daemon = dying();
        let told = operator.run("destroy mine");
        assert!(told.code == 1 && told.stderr.contains("whether it was done"), "{told:?}");
        daemon.join().expect("it was asked");
        operator.ok("destroy mine");
    });
}

#[test]
fn the_daemon_waits_for_commands_and_commands_for_the_daemon() {
    with_operator(FILTER_CTL, "life_lock", |operator| {
        // Many commands while a daemon begins: each is done, once.
        thread::scope(|scope| {
            let commands: Vec<_> = (0..8)
                .map(|number| {
                    scope.spawn(move || {
                        thread::sleep(Duration::from_millis(20 * number));
                        operator.ok(&format!("set create s{number} --type address"));
                    })
                })
                .collect();
            let daemon = operator.daemon(&[]);
            for command in commands {
                command.join().expect("it is done");
            }
            drop(daemon);
        });
        assert_eq!(operator.json("set list").as_array().map(Vec::len), Some(8));
    });
}

#[test]
fn nothing_passes_and_nothing_is_lost_when_it_ends_or_is_killed() {
    with_operator(FILTER_CTL, "life_ends", |operator| {
        let scene = Scene::new();
        let daemon = operator.daemon(&[]);
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        let before = operator.port(PORT);
        let spoofs_are_dropped = |number: u32| {
            scene.guest.send(&spoofed_datagram(number));
            scene.guest.send(&datagram(number));
            let mut leaked = false;
            let honest = scene.peer.wait_for(net::SOON, |frame| {
                leaked |= frame == spoofed_datagram(number);
                frame == datagram(number)
            });
            assert!(honest.is_some() && !leaked, "{number}");
        };
        spoofs_are_dropped(1);
        let mut daemon = daemon;
        daemon.signal(Signal::KILL);
        assert_eq!(daemon.ended(), None);
        spoofs_are_dropped(2);
        // What is left of a socket nobody listens behind hinders neither commands nor the next daemon.
        assert!(operator.socket().exists());
        assert_eq!(operator.port(PORT), before, "commands see what it saw");
        let again = operator.daemon(&[]);
        spoofs_are_dropped(3);
        assert_eq!(operator.port(PORT), before, "nothing was published again");
        drop(again);
        spoofs_are_dropped(4);
    });
}

#[test]
fn what_others_take_away_is_put_right_within_a_second() {
    with_operator(FILTER_CTL, "life_drift", |operator| {
        let scene = Scene::new();
        let daemon = operator.daemon(&[]);
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        let counters = operator.counts(PORT);
        let links = operator.pins().join(format!("v{ABI_VERSION}/links"));
        let begun = Instant::now();
        for direction in Direction::ALL {
            detach_link(&links.join(format!("{}_{direction}", net::ifindex(PORT)))).expect("it is a link");
        }
        assert_eq!(operator.port(PORT)["status"], "not-filtered");
        until("it is filtered again", || operator.port(PORT)["status"] == "active");
        let took = begun.elapsed();
        // A second, and what looking takes on a machine that has other things to do.
        assert!(took < Duration::from_secs(3), "{took:?}");
        daemon.says(&["not as it should be", PORT, "link-detached"]);
        daemon.says(&["put right", PORT]);
        scene.guest.send(&spoofed_datagram(1));
        scene.guest.send(&datagram(2));
        let mut leaked = false;
        let honest = scene.peer.wait_for(net::SOON, |frame| {
            leaked |= frame == spoofed_datagram(1);
            frame == datagram(2)
        });
        assert!(honest.is_some() && !leaked);
        let now = operator.counts(PORT);
        assert!(counters.0.iter().all(|(name, before)| now.of(name) >= *before), "counters go on");
    });
}

#[test]
fn a_configuration_that_makes_no_sense_is_told_and_keeps_no_port_from_being_filtered() {
    with_operator(FILTER_CTL, "life_config", |operator| {
        let good = operator.file("good.toml", "log = \"debug\"\n");
        operator.ok(&format!("config check {good}"));
        let bad = operator.file("bad.toml", "log = \"debug\"\nrights = 3\n");
        let told = operator.fails(&format!("config check {bad}"), 5);
        assert!(told.contains("line 2") && told.contains("rights"), "{told}");
        operator.fails("config check /nowhere/filter-ctl.toml", 5);

        let daemon = operator.daemon(&["--config", &bad]);
        daemon.says(&["ERROR", "nobody but root", "bad.toml"]);
        operator.ok(&format!("bind all --pattern {PORT} --profile own-mac-only"));
        let _scene = Scene::new();
        until("it is filtered", || operator.json("ports")[0]["status"] == "active");
        let found = configuration_of(operator).expect("doctor knows");
        assert_eq!(found["severity"], "warning");
        assert!(found["found"].as_str().unwrap().contains("line 2"), "{found}");
        assert!(found["means"].as_str().unwrap().contains("without a configuration"), "{found}");
        // Mended, it is read and done at once: what is logged, too.
        operator.file("bad.toml", "log = \"error\"\ncheck-every-ms = 50\nkeep-generations = 2\n");
        daemon.signal(Signal::HUP);
        until("it is read", || configuration_of(operator).is_none());
        for seconds in 30..60 {
            operator.ok(&format!("timeouts set udp={seconds}"));
        }
        // Old changes go by parts.
        let kept = || operator.json("log -n 0")["entries"].as_array().map_or(0, Vec::len);
        assert!((2..10).contains(&kept()), "{}", kept());
        assert!(!daemon.log().contains("timeouts"), "it logs errors only: {}", daemon.log());
        // And broken again it stays as it was.
        operator.file("bad.toml", "keep-generations = 0\n");
        daemon.signal(Signal::HUP);
        until("it is told", || configuration_of(operator).is_some());
        let found = configuration_of(operator).expect("doctor knows");
        assert!(found["means"].as_str().unwrap().contains("read before"), "{found}");
        operator.ok("timeouts set udp=77");
        assert!((2..10).contains(&kept()), "{}", kept());
    });
}

/// What `doctor` says of the configuration.
fn configuration_of(operator: &Operator) -> Option<Value> {
    let diagnosis = operator.json("doctor");
    let findings = diagnosis["findings"].as_array().expect("there are some");
    findings.iter().find(|finding| finding["check"] == "configuration").cloned()
}
