//! Standing bindings: ports are filtered as soon as they appear.

use std::time::{Duration, Instant};

use filter_tests::cli::with_operator;
use filter_tests::net::{self, ip, until};
use filter_tests::scene::{ADDRESSES, Scene, datagram, spoofed_datagram};
use serde_json::{Value, json};

use super::FILTER_CTL;

fn status(ports: &Value, name: &str) -> Option<String> {
    let port = ports.as_array()?.iter().find(|port| port["port"] == name)?;
    port["status"].as_str().map(str::to_owned)
}

#[test]
fn ports_are_filtered_as_they_appear_and_forgotten_as_they_vanish() {
    with_operator(FILTER_CTL, "standing_appear", |operator| {
        let daemon = operator.daemon(&[]);
        operator.ok("bind all --pattern vnet* --profile own-mac-only");
        let bound = operator.json("bind one --port vnet7 --profile generic-layer2");
        assert_eq!(bound, json!({ "ports": [], "failed": [] }), "none is there");
        operator.ok("bind machine --for-mac 52:54:00:00:00:09 --profile own-mac-only");
        let taps: Vec<_> = (0..3).map(|number| net::tap(&format!("vnet{number}"))).collect();
        let (other, seventh) = (net::tap("other"), net::tap("vnet7"));
        ip("link set other address fe:54:00:00:00:09");
        until("all ports are filtered", || {
            let ports = operator.json("ports");
            ["vnet0", "vnet1", "vnet2", "vnet7", "other"]
                .iter()
                .all(|name| status(&ports, name).as_deref() == Some("active"))
        });
        assert_eq!(operator.port("vnet1")["binding"]["profiles"], json!(["own-mac-only"]));
        assert_eq!(operator.port("vnet7")["binding"]["profiles"], json!(["generic-layer2"]));
        assert_eq!(operator.port("other")["binding"]["mac"], "52:54:00:00:00:09");
        let bindings = operator.json("bindings");
        assert_eq!(bindings[0]["ports"], json!(["vnet0", "vnet1", "vnet2"]), "{bindings}");
        let line = daemon.says(&["port appeared, and is filtered", "vnet1"]);
        assert!(line.contains("standing=all") && line.contains("microseconds="), "{line}");

        let refused = operator.fails("detach vnet1", 4);
        assert!(refused.contains("standing binding `all`"), "{refused}");
        drop((taps, seventh));
        until("ports that are gone are forgotten", || {
            operator.json("ports").as_array().map(Vec::len) == Some(1)
        });
        daemon.says(&["port is gone", "vnet7"]);

        operator.ok("unbind machine");
        assert_eq!(operator.port("other")["status"], "active", "it stays as it is");
        operator.ok("detach other");
        drop(other);
        operator.fails("unbind machine", 3);
    });
}

#[test]
fn no_frame_passes_a_port_that_is_bound_before_it_is_up() {
    with_operator(FILTER_CTL, "standing_before_up", |operator| {
        let _daemon = operator.daemon(&[]);
        operator.ok(&format!("bind vm --port vm0 --profile generic-layer2 {ADDRESSES}"));
        let scene = Scene::new();
        until("the port is filtered", || status(&operator.json("ports"), "vm0").as_deref() == Some("active"));
        scene.guest.send(&spoofed_datagram(1));
        scene.guest.send(&datagram(2));
        let spoofed = spoofed_datagram(1);
        let mut seen = false;
        let honest = scene.peer.wait_for(net::SOON, |frame| {
            seen |= frame == spoofed;
            frame == datagram(2)
        });
        assert!(honest.is_some() && !seen);
    });
}

#[test]
fn a_bad_binding_keeps_no_other_from_being_in_force() {
    with_operator(FILTER_CTL, "standing_bad", |operator| {
        let refused = operator.fails("bind none --port vm0 --profile no-such-profile", 3);
        assert!(refused.contains("no-such-profile"), "{refused}");
        let refused = operator.fails("bind none --pattern a/b --profile own-mac-only", 5);
        assert!(refused.contains("pattern: found `a/b`"), "{refused}");
        operator.run("bind good --pattern vnet* --profile own-mac-only");
        let web = operator.file("web.xml", r#"<FilterPool name="web" default="DROP"/>"#);
        operator.ok(&format!("create {web}"));
        operator.run("bind bad --pattern vnet1* --profile web");
        // By hand: the command keeps what is in use.
        std::fs::remove_file(operator.root().join("profiles/web.xml")).expect("it is there");
        let daemon = operator.daemon(&[]);
        let taps: Vec<_> = ["vnet0", "vnet1", "vnet2"].map(net::tap).into_iter().collect();
        until("the good ones are filtered", || {
            let ports = operator.json("ports");
            ["vnet0", "vnet2"].iter().all(|name| status(&ports, name).as_deref() == Some("active"))
        });
        daemon.says(&["vnet1", "NOT FILTERED", "no profile `web`"]);
        drop(taps);
    });
}

#[test]
fn a_storm_of_interfaces_leaves_none_unfiltered() {
    with_operator(FILTER_CTL, "standing_storm", |operator| {
        const MANY: usize = 60;
        let _daemon = operator.daemon(&[]);
        operator.ok("bind all --pattern s* --profile own-mac-only");
        // Pairs of which one end has the name; and noise, much more than anybody wants to read.
        for number in 0..MANY {
            ip(&format!("link add s{number} type veth peer name p{number}"));
        }
        for _ in 0..20 {
            for number in 0..MANY {
                ip(&format!("link set p{number} alias again"));
            }
        }
        let begun = Instant::now();
        until("all are filtered", || {
            let ports = operator.json("ports");
            let active = ports.as_array().into_iter().flatten().filter(|port| port["status"] == "active");
            active.count() == MANY
        });
        assert!(begun.elapsed() < Duration::from_secs(60));
        for number in 0..MANY {
            ip(&format!("link del s{number}"));
        }
        until("all are forgotten", || operator.json("ports").as_array().map(Vec::len) == Some(0));
    });
}

/// Its ports may be held to another one, which is not what was asked for.
#[test]
fn a_damaged_binding_is_told() {
    with_operator(FILTER_CTL, "standing_damaged", |operator| {
        let daemon = operator.daemon(&[]);
        operator.ok("bind all --pattern vnet* --profile own-mac-only");
        operator.ok("bind web --for-mac 52:54:00:12:34:56 --profile generic-layer2");
        assert_eq!(operator.run("doctor").code, 0);
        drop(daemon);
        let file = operator.root().join("state/bindings/web.json");
        std::fs::write(&file, "{").expect("there is room");
        let daemon = operator.daemon(&[]);
        daemon.says(&["not as it should be", "binding", "web.json"]);
        let done = operator.run("doctor");
        assert!(
            done.code == 7 && done.stdout.contains("web.json") && done.stdout.contains("unbind"),
            "{done:?}"
        );
        operator.ok("bind web --for-mac 52:54:00:12:34:56 --profile generic-layer2");
        assert_eq!(operator.run("doctor").code, 0);
    });
}
