//! What happens is told as it happens, to whoever asks for it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use filter_common::{ABI_VERSION, Direction};
use filter_tests::cli::with_operator;
use filter_tests::net::{self, ip};
use filter_tests::varlink::Varlink;
use serde_json::{Value, json};

use super::FILTER_CTL;

#[test]
fn what_happens_is_told() {
    with_operator(FILTER_CTL, "events", |operator| {
        operator.fails("events -n 1", 3);
        let daemon = operator.daemon(&[]);
        let mut command = operator.command();
        let mut listener =
            command.args(["--json", "events"]).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(listener.stdout.take().expect("it is a pipe")).lines();
        let mut next = |kind: &str| loop {
            let line = lines.next().expect("it goes on").expect("it is text");
            let event: Value = serde_json::from_str(&line).expect("it is JSON");
            assert!(event["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{event}");
            if event["kind"] == kind {
                return event;
            }
        };
        // It has to be connected first: what was before is told to nobody.
        std::thread::sleep(Duration::from_millis(500));
        operator.ok("create-from no-vlan mine");
        let changed = next("changed");
        assert_eq!(changed["generation"], operator.json("log -n 1")["generation"]);
        assert!(
            changed["detail"].as_str().is_some_and(|by| by.contains("create-from no-vlan mine")),
            "{changed}"
        );
        operator.ok("bind all --pattern vnet* --profile mine");
        let tap = net::tap("vnet0");
        let filtered = next("filtered");
        assert_eq!((&filtered["port"], &filtered["generation"]), (&json!("vnet0"), &Value::Null));
        let links = operator.pins().join(format!("v{ABI_VERSION}/links"));
        fs::remove_file(links.join(format!("{}_{}", net::ifindex("vnet0"), Direction::Out)))
            .expect("it is there");
        let drift = next("drift");
        assert_eq!(drift["port"], "vnet0");
        assert!(
            drift["detail"].as_str().is_some_and(|detail| detail.starts_with("link-missing out")),
            "{drift}"
        );
        assert_eq!(next("repaired")["detail"], "link-missing");
        operator.ok("upgrade --again");
        next("upgraded");
        ip("link set vnet0 down");
        drop(tap);
        assert_eq!(next("gone")["port"], "vnet0");
        listener.kill().expect("it is there");
        listener.wait().expect("it ends");

        // Each listener is told, without `more` none; and nobody is missed who goes away.
        let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
        let (error, _) = varlink.call("Monitor", &json!({})).expect_err("it would not end");
        assert_eq!(error, "org.varlink.service.ExpectedMore");
        let ask = json!({ "method": "org.filter-ctl.Monitor", "parameters": {}, "more": true }).to_string();
        varlink.send(ask.as_bytes()).expect("it is read");
        std::thread::sleep(Duration::from_millis(200));
        let table =
            operator.command().args(["events", "-n", "1"]).stdout(Stdio::piped()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(300));
        operator.ok("timeouts set udp=7");
        let reply = varlink.receive().expect("it answers");
        assert_eq!(
            (&reply["continues"], &reply["parameters"]["event"]["kind"]),
            (&json!(true), &json!("changed"))
        );
        let table = table.wait_with_output().expect("it ends by itself");
        let table = String::from_utf8_lossy(&table.stdout).into_owned();
        assert!(
            table.lines().count() == 1
                && table.contains("  changed ")
                && table.contains("timeouts set udp=7"),
            "{table}"
        );
        drop(varlink);
        operator.ok("timeouts reset");
        drop(daemon);
    });
}
