//! Files of ports that are damaged, cut short, stale or gone: they are made anew, or their ports stay as they are; nobody else
//! waits for it.

use std::fs;
use std::path::PathBuf;

use filter_tests::cli::{Operator, with_operator};
use filter_tests::net;
use filter_tests::scene::{ADDRESSES, PORT, Scene, connect, datagram, spoofed_datagram};
use serde_json::{Value, json};

use super::profiles::no_ports;
use super::{DAEMON, FILTER_CTL};

fn file(operator: &Operator, port: &str) -> PathBuf {
    operator.root().join(format!("run/ports/{}.json", net::ifindex(port)))
}

/// All that a file of a port can say: limits, sets, lists, connections, learned addresses, options.
fn attach(operator: &Operator) {
    let entry = |name: &str, conditions: &str| {
        format!("<FilterEntry name='{name}'><Action>DROP</Action>{conditions}</FilterEntry>\n")
    };
    let text = format!(
        "<FilterPool name='web' default='ACCEPT'>\n{}{}{}</FilterPool>\n",
        entry(
            "ports",
            "<IPHeadersFilter><HdrProtocolID>tcp</HdrProtocolID><HdrDestPortStart>$WEB</HdrDestPortStart></IPHeadersFilter>"
        ),
        entry("listed", "<IPHeadersFilter><HdrDestAddressSet>bad</HdrDestAddressSet></IPHeadersFilter>"),
        entry(
            "many",
            "<IPHeadersFilter><HdrProtocolID>icmp</HdrProtocolID></IPHeadersFilter>\
             <LimitFilter><PacketRate>1/hour</PacketRate><PacketBurst>7</PacketBurst></LimitFilter>"
        ),
    );
    operator.ok("set create other --type address");
    operator.ok("set create bad --type address");
    operator.ok(&format!("create {}", operator.file("web.xml", text)));
    operator.ok(&format!(
        "attach {PORT} --profile web --profile own-mac-only --profile clean-traffic --param WEB=80 --param WEB=443 \
         --flows-max 4096 --learn-max 3 --fail hold"
    ));
}

/// What becomes of a file.
fn harms(whole: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let mut letter = whole.to_vec();
    let at = letter.windows(5).position(|text| text == b"\"web\"").expect("it names its profile");
    letter[at + 1] = b'v';
    vec![
        ("gone", None),
        ("empty", Some(Vec::new())),
        ("cut short", Some(whole[..whole.len() / 2].to_vec())),
        ("a letter is another", Some(letter)),
        ("something else", Some(vec![0; 4096])),
        ("of another version", Some(br#"{"version":1,"name":"vm0","ifindex":3,"applied":[]}"#.to_vec())),
    ]
}

#[test]
fn a_file_that_is_damaged_or_gone_is_made_anew_as_it_was() {
    with_operator(FILTER_CTL, "recover_anew", |operator| {
        let scene = Scene::new();
        let _other = net::tap("vm1");
        attach(operator);
        operator.ok("attach vm1 --profile no-vlan");
        scene.comes_out("a datagram", &datagram(1));
        scene.guest.send(&connect(80));
        let path = file(operator, PORT);
        for (what, text) in harms(&fs::read(&path).unwrap()) {
            let whole = fs::read(&path).unwrap();
            let (counts, generation) = (operator.counts(PORT), operator.port(PORT)["generation"].clone());
            let learned = operator.port(PORT)["learned_mac"].clone();
            assert!(counts.of("rule web/ports") > 0, "there is something to lose");
            match &text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            assert!(operator.run("ports").stdout.contains("vm1"), "{what}: it hides no other");
            // Any change finds it: this one is of another port.
            let changed = operator.run("attach vm1 --profile no-vlan --profile no-multicast");
            assert_eq!(changed.code, 0, "{what}: {changed:?}");
            let repaired = operator.json("doctor --repair");
            assert!(
                repaired["findings"].as_array().unwrap().iter().all(|found| found["severity"] != "problem"),
                "{what}: {repaired}"
            );
            assert_eq!(
                String::from_utf8_lossy(&fs::read(&path).unwrap()),
                String::from_utf8_lossy(&whole),
                "{what}: it says what it said"
            );
            if let Some(text) = &text {
                assert_eq!(&fs::read(path.with_extension("damaged")).unwrap(), text, "{what}: it is kept");
            }
            let port = operator.port(PORT);
            assert_eq!((&port["generation"], &port["learned_mac"]), (&generation, &learned), "{what}");
            assert_eq!(operator.counts(PORT).since(&counts).len(), 0, "{what}");
            // What uses its profile goes on with its counters.
            let before = operator.counts(PORT);
            scene.guest.send(&connect(80));
            scene.comes_out("a datagram", &datagram(2));
            assert!(!scene.is_out(&connect(80)), "{what}");
            let grown = operator.counts(PORT).since(&before);
            assert_eq!(grown.get("rule web/ports"), Some(&1), "{what}: {grown:?}");
        }
        operator.ok(&format!("detach {PORT} vm1"));
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn an_update_goes_on_where_a_file_is_damaged_and_takes_its_port_along() {
    with_operator(FILTER_CTL, "recover_update", |operator| {
        let scene = Scene::new();
        let _other = net::tap("vm1");
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
        operator.ok(&format!("attach {PORT} --profile web"));
        operator.ok("attach vm1 --profile web");
        scene.guest.send(&connect(80));
        scene.comes_out("a datagram", &datagram(1));
        assert!(!scene.is_out(&connect(80)));
        for (what, text) in harms(&fs::read(file(operator, PORT)).unwrap()) {
            let dropped = operator.counts(PORT).of("rule web/ports");
            let path = file(operator, PORT);
            match &text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let other = operator.file("web.xml", no_ports("web", "85"));
            let seen = operator.json(&format!("diff {other}"));
            assert_eq!(seen["ports"].as_array().map(Vec::len), Some(2), "{what}: {seen}");
            let changed = operator.json(&format!("update {other}"));
            assert_eq!(changed["ports"], json!([PORT, "vm1"]), "{what}");
            assert_eq!(changed["notes"], Value::Null, "{what}");
            scene.guest.send(&connect(85));
            scene.comes_out("a datagram", &datagram(2));
            assert!(!scene.is_out(&connect(85)), "{what}: it is under the new text");
            let now = operator.counts(PORT).of("rule web/ports");
            assert!(now >= dropped, "{what}: {now} < {dropped}");
            operator.ok(&format!("update {}", operator.file("web.xml", no_ports("web", "80"))));
        }
    });
}

/// A port of which nothing can be known any more.
#[test]
fn a_port_that_nobody_knows_any_more_keeps_its_policy_and_stops_no_other() {
    with_operator(FILTER_CTL, "recover_unknown", |operator| {
        let scene = Scene::new();
        let _other = net::tap("vm1");
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
        operator.ok(&format!("create {}", operator.file("mail.xml", no_ports("mail", "25"))));
        operator.ok(&format!("attach {PORT} --profile web --profile own-ip-only {ADDRESSES}"));
        operator.ok("attach vm1 --profile web --profile mail");
        let path = file(operator, PORT);
        fs::write(&path, "{").unwrap();
        // What its profile said is not known either.
        fs::write(operator.root().join("profiles/web.xml"), no_ports("web", "443")).unwrap();
        for line in ["update", "define"] {
            let text =
                operator.file("mail.xml", no_ports("mail", if line == "update" { "26" } else { "27" }));
            let seen = operator.json(&format!("diff {text}"));
            assert_eq!(seen["ports"].as_array().map(Vec::len), Some(1), "{seen}");
            assert!(seen["unknown"][0].as_str().is_some_and(|told| told.contains(PORT)), "{seen}");
            let changed = operator.json(&format!("{line} {text}"));
            assert_eq!(changed["ports"], json!(["vm1"]));
            let note = changed["notes"][0].as_str().unwrap_or_default().to_owned();
            for word in [PORT, "keeps the policy that is in force", "attach", path.to_str().unwrap()] {
                assert!(note.contains(word), "{note}");
            }
        }
        let changed = operator.run(&format!("update {}", operator.file("web.xml", no_ports("web", "81"))));
        assert_eq!(changed.code, 0, "{changed:?}");
        assert!(changed.stderr.contains("keeps the policy that is in force"), "{changed:?}");
        scene.guest.send(&connect(80));
        scene.guest.send(&spoofed_datagram(1));
        scene.comes_out("a datagram", &datagram(1));
        assert!(!scene.is_out(&connect(80)) && !scene.is_out(&spoofed_datagram(1)), "it is still filtered");
        let repaired = operator.run("--json doctor --repair");
        assert_eq!(repaired.code, 7, "{repaired:?}");
        assert!(repaired.stdout.contains("keeps the policy that is in force"), "{repaired:?}");
        assert_eq!(fs::read(&path).unwrap(), b"{", "it stays where it is");
        // Attached anew it is like others.
        operator.ok(&format!("attach {PORT} --profile web --profile own-ip-only {ADDRESSES}"));
        assert_eq!(operator.port(PORT)["status"], "active");
        let changed = operator.json(&format!("update {}", operator.file("web.xml", no_ports("web", "82"))));
        assert_eq!((&changed["ports"], &changed["notes"]), (&json!([PORT, "vm1"]), &Value::Null));
        assert_eq!(operator.run("doctor").code, 0);
    });
}

/// A file that says what was long ago is no description of what is in force.
#[test]
fn a_file_from_long_ago_is_not_believed() {
    with_operator(FILTER_CTL, "recover_stale", |operator| {
        let _scene = Scene::new();
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
        operator.ok(&format!("attach {PORT} --profile web"));
        let path = file(operator, PORT);
        let old = fs::read(&path).unwrap();
        operator.ok(&format!("update {}", operator.file("web.xml", no_ports("web", "85"))));
        let new = fs::read(&path).unwrap();
        fs::write(&path, &old).unwrap();
        let changed = operator.json(&format!("update {}", operator.file("web.xml", no_ports("web", "86"))));
        assert_eq!(changed["ports"], json!([PORT]), "it is not left behind");
        assert_ne!(fs::read(&path).unwrap(), new);
        assert_eq!(operator.run("doctor").code, 0);
        if DAEMON {
            // The daemon finds it by itself: no command tells it.
            let now = fs::read(&path).unwrap();
            fs::write(&path, &old[..10]).unwrap();
            let found = || fs::read(&path).is_ok_and(|text| text == now);
            let begun = std::time::Instant::now();
            while !found() {
                assert!(begun.elapsed().as_secs() < 120, "the daemon does not find it");
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        }
    });
}
