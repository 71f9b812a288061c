//! Many ports in one command: all of them or none.

use std::fs;

use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{ether_type, ethernet};
use filter_tests::net::{self, Wire};
use serde_json::{Value, json};

use super::FILTER_CTL;
use super::profiles::no_ports;

/// Names of the ports that `ports` shows, with what each says under `key`.
fn shown(operator: &Operator, key: &str) -> Vec<(String, Value)> {
    let ports = operator.json("ports");
    let ports = ports.as_array().into_iter().flatten();
    ports.map(|port| (port["port"].as_str().unwrap_or_default().to_owned(), port[key].clone())).collect()
}

fn taps(names: &[&str]) -> Vec<Wire> {
    names.iter().map(|name| net::tap(name)).collect()
}

#[test]
fn several_ports_are_attached_at_once_or_not_at_all() {
    with_operator(FILTER_CTL, "many", |operator| {
        let _taps = taps(&["vm0", "vm1", "vm2"]);
        net::bridge("br0", &["vm0"]);
        let attach = "attach vm0 vm1 vm2 --profile generic-layer2";

        let message = operator.fails("attach vm0 vm1 nothing0 --profile generic-layer2", 3);
        assert!(message.contains("`nothing0`"), "{message}");
        operator.fails("attach vm0 br0 --profile generic-layer2", 5);
        operator.fails("attach vm0 vm1 vm0 --profile generic-layer2", 5);
        let message = operator.fails("attach vm0 vm1 --profile generic-layer2 --ip 192.0.2.1", 2);
        assert!(message.contains("--bindings"), "{message}");
        assert_eq!(operator.json("ports"), json!([]));

        let attached = operator.json(attach);
        let names: Vec<&Value> = attached.as_array().unwrap().iter().map(|port| &port["port"]).collect();
        assert_eq!(names, ["vm0", "vm1", "vm2"]);
        assert!(attached.as_array().unwrap().iter().all(|port| port["replaced"] == false));
        assert!(shown(operator, "status").iter().all(|(_, status)| status == "active"));
        assert!(operator.json(attach).as_array().unwrap().iter().all(|port| port["replaced"] == true));

        operator.fails("detach vm0 vm1 nothing0", 3);
        assert_eq!(shown(operator, "status").len(), 3, "none was detached");
        assert_eq!(
            operator.json("detach vm2 vm0"),
            json!([{ "detached": "vm2", "generation": 3 }, { "detached": "vm0", "generation": 3 }])
        );
        assert_eq!(operator.json("detach vm1"), json!({ "detached": "vm1", "generation": 4 }));
        assert_eq!(operator.json("ports"), json!([]));
    });
}

/// What can only fail when others are attached already: a link cannot be pinned where something else is.
#[test]
fn ports_that_were_attached_before_one_failed_are_taken_back() {
    with_operator(FILTER_CTL, "taken_back", |operator| {
        let taps = taps(&["vm0", "vm1", "vm2", "peer0"]);
        net::bridge("br0", &["vm0", "vm1", "vm2", "peer0"]);
        operator.ok("attach vm1 --profile no-vlan");
        let before = operator.port("vm1");
        let pins = fs::read_dir(operator.pins()).unwrap().next().unwrap().unwrap().path().join("links");
        let obstacle = pins.join(format!("{}_in", net::ifindex("vm2")));
        fs::create_dir(&obstacle).unwrap();

        let done = operator.run("attach vm0 vm1 vm2 --profile generic-layer2");
        assert_ne!(done.code, 0);
        assert!(done.stderr.contains("port vm2") && done.stderr.contains("no port was changed"), "{done:?}");
        assert_eq!(shown(operator, "port"), [("vm1".to_owned(), json!("vm1"))]);
        assert_eq!(operator.port("vm1"), before);
        assert_eq!(fs::read_dir(&pins).unwrap().count(), 3, "two links, and what was in the way");
        let frame = ethernet([0xff; 6], [0x52, 0x54, 0, 0, 1, 9], ether_type::ARP, &[0; 28]);
        taps[0].send(&frame);
        assert!(taps[3].wait_for(net::SOON, |seen| seen == frame).is_some(), "vm0 is not filtered");
        fs::remove_dir(&obstacle).unwrap();
        operator.ok("attach vm0 vm1 vm2 --profile generic-layer2");
        assert_eq!(shown(operator, "port").len(), 3);
    });
}

#[test]
fn a_file_gives_each_port_its_addresses() {
    with_operator(FILTER_CTL, "bindings_file", |operator| {
        let _taps = taps(&["vm0", "vm1", "vm2"]);
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "$WEB"))));
        let file = |text: &str| operator.file("ports", text);
        let attach = |text: &str| format!("attach --bindings {} --profile generic-layer2", file(text));
        let message = operator.fails(&attach("vm0 mac=52:54:00:00:00:01\nvm1 mak=1\n"), 5);
        assert!(message.contains("ports:2: found `mak=1`"), "{message}");
        let message = operator.fails(&attach("# nobody\n"), 5);
        assert!(message.ends_with("there is no port in it"), "{message}");
        let message = operator.fails(&attach("vm0\nvm1 mac=nonsense\n"), 5);
        assert!(message.starts_with("port vm1: mac address"), "{message}");
        assert_eq!(operator.run(&format!("{} --mac 52:54:00:00:00:01", attach("vm0"))).code, 2);
        assert_eq!(operator.json("ports"), json!([]));

        let text = "vm0 mac=52:54:00:00:00:01 ip=192.0.2.1 ip=2001:db8::1  # the first\n\n\
                    vm1 mac=52:54:00:00:00:02 ip=192.0.2.2\n\
                    vm2 profile=web param=WEB=80 param=WEB=443\n";
        let attached = operator.json(&attach(text));
        assert_eq!(attached[2]["profiles"], json!(["web"]));
        let bindings = shown(operator, "binding");
        assert_eq!(bindings[0].1["addresses"], json!(["192.0.2.1", "2001:db8::1"]));
        assert_eq!(bindings[1].1["mac"], "52:54:00:00:00:02");
        assert_eq!(bindings[2].1["parameters"], json!({ "WEB": ["80", "443"] }));
    });
}

#[test]
fn ports_show_which_of_them_share_a_graph() {
    with_operator(FILTER_CTL, "sharing", |operator| {
        let _taps = taps(&["vm0", "vm1", "vm2"]);
        operator.ok("attach vm0 --profile generic-layer2 --mac 52:54:00:00:00:01 --ip 192.0.2.1");
        operator.ok("attach vm1 --profile no-vlan");
        operator.ok("attach vm2 --profile generic-layer2");
        let graph = |name: &str| operator.port(name)["graph"].clone();
        assert!(graph("vm0").is_u64());
        assert_eq!(graph("vm0"), graph("vm2"), "attached by different commands");
        assert_ne!(graph("vm0"), graph("vm1"));
        let sharing: Vec<Value> = shown(operator, "sharing").into_iter().map(|(_, count)| count).collect();
        assert_eq!(sharing, [2, 1, 2]);
        assert!(operator.ok("ports").lines().next().unwrap().contains("GRAPH  SHARED"));
    });
}
