//! A daemon of a thousand ports: all are attached, changed, taken over by the next daemon and detached in one go each, and one
//! more comes and goes as if it was alone. What it took is in the test's output; what it must do is checked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use filter_common::{ABI_VERSION, Direction};
use filter_ctl::datapath::Datapath;
use filter_tests::cli::{Daemon, Operator, with_operator};
use filter_tests::flood::profile;
use filter_tests::net::{self, Wire, until};
use filter_tests::scene::{PORT, Scene, datagram, spoofed_datagram};
use filter_tests::varlink::Varlink;
use serde_json::{Value, json};

use super::FILTER_CTL;

const MANY: usize = 1000;
/// How often one more port comes and goes.
const TIMES: usize = 15;

/// Does something and says how long it took.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    println!("{what}: {:.1?}", begun.elapsed());
    done
}

/// What a process has of memory: its own, and with the maps of the kernel that it looks into, now and at most.
fn memory(daemon: &Daemon) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.map(|line| line.trim_matches([':', ' ', '\t']).to_owned()).unwrap_or_default()
    };
    format!("{} ({} with maps, {} at most)", of("RssAnon"), of("VmRSS"), of("VmHWM"))
}

/// How often each interface was published, and the numbers of the links on it: whoever installs anew has others.
fn installed(operator: &Operator) -> BTreeMap<u32, (u32, [u32; 2])> {
    use aya::programs::links::{FdLink, PinnedLink};
    let datapath = Datapath::look_at(operator.pins()).expect("it can be opened").expect("it is there");
    let links = operator.pins().join(format!("v{ABI_VERSION}/links"));
    let link = |ifindex: u32, direction: Direction| {
        let pin = PinnedLink::from_pin(links.join(format!("{ifindex}_{direction}"))).expect("it is pinned");
        FdLink::from(pin).info().expect("the kernel says").id()
    };
    let ports = datapath.published().into_iter();
    ports
        .map(|(ifindex, record)| (ifindex, (record.generation, Direction::ALL.map(|way| link(ifindex, way)))))
        .collect()
}

fn active(operator: &Operator) -> usize {
    let ports = operator.json("ports");
    ports.as_array().into_iter().flatten().filter(|port| port["status"] == "active").count()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Attaches all taps once more, for a client who asks for more than the last word.
fn says_how_far_it_is(client: &mut Varlink) {
    let port = |number| {
        json!({ "port": format!("t{number}"), "binding": {
            "profiles": ["own-mac-only"], "mac": null, "addresses": [], "parameters": {}, "mode": "strict", "fail": "closed"
        } })
    };
    let ports: Vec<Value> = (0..MANY).map(port).collect();
    let call = json!({ "method": "org.filter-ctl.Attach", "parameters": { "ports": ports }, "more": true });
    client.send(call.to_string().as_bytes()).expect("it is read");
    let mut said = Vec::new();
    let last = loop {
        let reply = client.receive().expect("it answers");
        if reply["continues"] != true {
            break reply;
        }
        client.check("Attach", &call["parameters"], &reply);
        assert_eq!(reply["parameters"]["progress"]["total"], MANY, "{reply}");
        said.push(reply["parameters"]["progress"]["done"].as_u64().expect("it is a number"));
    };
    println!("attached once more; on the way it was said {said:?}");
    assert!(said.len() > 1 && said.is_sorted(), "{said:?}");
    assert_eq!(last["parameters"]["ports"].as_array().map(Vec::len), Some(MANY));
}

#[test]
fn a_daemon_of_a_thousand_ports() {
    with_operator(FILTER_CTL, "thousand", |operator| {
        let scene = Scene::new();
        let taps: Vec<Wire> = (0..MANY).map(|number| net::tap(&format!("t{number}"))).collect();
        let daemon = operator.daemon(&[]);
        println!("memory of the daemon: {}", memory(&daemon));
        operator.ok(&format!("create {}", operator.file("live.xml", profile(""))));
        let mut bindings = format!("{PORT} mac=52:54:00:12:34:56 ip=192.0.2.10\n");
        for number in 1..MANY {
            let (high, low) = (number / 250, number % 250 + 1);
            writeln!(bindings, "t{number} mac=52:54:00:00:{high:02x}:{low:02x} ip=10.0.{high}.{low}")
                .expect("it is text");
        }
        let file = operator.file("bindings", bindings);
        let attached = timed("1,000 ports attached", || {
            operator.json(&format!("attach --bindings {file} --profile live --profile generic-layer2"))
        });
        assert_eq!(attached.as_array().map(Vec::len), Some(MANY));
        assert_eq!(timed("1,000 ports shown", || active(operator)), MANY);
        let judged = |number: u32| {
            scene.guest.send(&spoofed_datagram(number));
            scene.comes_out("an honest datagram", &datagram(number));
            assert!(!scene.is_out(&spoofed_datagram(number)));
        };
        judged(1);

        let entry = "<FilterEntry name='more'><Action>DROP</Action></FilterEntry>";
        let updated: Value = timed("a profile updated for all of them", || {
            operator.json(&format!("update {}", operator.file("live.xml", profile(entry))))
        });
        assert_eq!(updated["ports"].as_array().map(Vec::len), Some(MANY), "{updated}");
        println!("memory of the daemon: {}", memory(&daemon));

        let before = installed(operator);
        assert_eq!(before.len(), MANY);
        timed("the daemon told to end", || drop(daemon));
        judged(2);
        let daemon = timed("the next daemon ready", || operator.daemon(&[]));
        assert_eq!(installed(operator), before, "it takes over, and installs nothing");
        judged(3);

        // The first tap has no binding. The daemon is asked by another client, so that no command's start is in the time.
        let mut client = Varlink::connect(&operator.socket()).expect("it listens");
        let binding = json!({
            "profiles": ["own-mac-only"], "mac": null, "addresses": [], "parameters": {}, "mode": "strict", "fail": "closed"
        });
        let mut times = [const { Vec::new() }; 2];
        let attach = json!({ "ports": [{ "port": "t0", "binding": binding }] });
        let detach = json!({ "ports": ["t0"] });
        for _ in 0..TIMES {
            for (times, (method, parameters)) in
                times.iter_mut().zip([("Attach", &attach), ("Detach", &detach)])
            {
                let begun = Instant::now();
                client.ok(method, parameters);
                times.push(begun.elapsed());
            }
        }
        let [attach, detach] = times.map(median);
        println!("one more port attached: {attach:.1?}; detached: {detach:.1?} (medians of {TIMES})");
        assert_eq!(installed(operator), before, "it is nothing to the others");

        let names: Vec<String> = (1..MANY).map(|number| format!("t{number}")).collect();
        timed("1,000 ports detached", || operator.ok(&format!("detach {PORT} {}", names.join(" "))));
        assert_eq!(operator.json("ports").as_array().map(Vec::len), Some(0));
        scene.guest.send(&spoofed_datagram(4));
        until("nothing is filtered any more", || scene.is_out(&spoofed_datagram(4)));
        println!("memory of the daemon: {}", memory(&daemon));
        says_how_far_it_is(&mut client);
        drop(taps);
    });
}
