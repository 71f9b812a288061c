//! The interface is what its description says, for clients that know nothing else.

use std::path::Path;

use filter_ctl::service::{METHODS, MONITOR};
use filter_tests::cli::with_operator;
use filter_tests::net;
use filter_tests::varlink::Varlink;
use serde_json::{Value, json};

use super::FILTER_CTL;

fn binding(profile: &str) -> Value {
    json!({
        "profiles": [profile], "mac": "52:54:00:12:34:56", "addresses": ["192.0.2.10"],
        "parameters": {}, "mode": "strict", "fail": "closed"
    })
}

const WEB: &str =
    r#"<FilterPool name="web" default="DROP"><Description>For a test.</Description></FilterPool>"#;
const FILTER: &str =
    "<filter name='own'><rule action='drop' direction='out'><tcp dstportstart='25'/></rule></filter>";

/// A client that notes what it has called.
struct Caller {
    varlink: Varlink,
    called: Vec<String>,
}

impl Caller {
    #[allow(clippy::needless_pass_by_value, reason = "what is called with is made for the call")]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.called.push(method.to_owned());
        self.varlink.ok(method, &parameters)
    }
}

fn profiles(caller: &mut Caller) {
    let document = |xml: &str| json!({ "file": "given.xml", "xml": xml });
    caller.call("DefineProfile", json!({ "document": document(WEB) }));
    caller.call("UpdateProfile", json!({ "document": document(WEB), "flows": "cut", "reading": "strict" }));
    caller.call("CopyProfile", json!({ "name": "web", "new": "copy" }));
    caller.call("CreateProfile", json!({ "document": document(FILTER), "reading": "lenient" }));
    let listed = caller.call("ListProfiles", json!({}));
    assert!(listed["profiles"].as_array().is_some_and(|profiles| profiles.len() > 10));
    assert!(
        caller.call("DumpProfile", json!({ "profile": "own" }))["xml"]
            .as_str()
            .is_some_and(|xml| xml.contains("<tcp"))
    );
    caller.call("RemoveProfile", json!({ "profile": "copy", "referred": "refuse" }));
    let checked = caller.call(
        "ValidateProfiles",
        json!({
            "documents": [document(WEB), document("<FilterPool"), document(&FILTER.replace("name='own'", "name='x' bad='1'"))],
            "among": []
        }),
    );
    assert_eq!(checked["documents"][1]["valid"], false);
    caller.call(
        "ImportFilters",
        json!({
            "documents": [
                { "file": "a.xml", "xml": FILTER.replace("own", "other") },
                { "file": "b.xml", "error": "b.xml: cannot be read" }
            ],
            "keep_going": true
        }),
    );
}

fn standing_and_ports(caller: &mut Caller) {
    let standing =
        json!({ "name": "all", "selector": { "pattern": "vnet*" }, "binding": binding("own-mac-only") });
    caller.call("Bind", json!({ "standing": standing }));
    caller.call("ListStanding", json!({}));
    caller.call("Unbind", json!({ "name": "all", "detach": true }));
    caller.call("Attach", json!({ "ports": [{ "port": "vm0", "binding": binding("clean-traffic") }] }));
    let ports = caller.call("ListPorts", json!({}));
    assert_eq!(ports["ports"][0]["status"], "active", "{ports}");
    caller.call("Stats", json!({ "port": "vm0" }));
    caller.call("Compile", json!({ "binding": binding("generic-layer2") }));
    let frame = "ffffffffffff525400123456080600010800060400015254001234560a0000010000000000000a000002";
    let explained = caller.call(
        "Explain",
        json!({
            "subject": { "port": "vm0" }, "frames": [{ "hex": frame, "dir": "out" }]
        }),
    );
    assert_eq!(explained["frames"][0]["verdict"], "drop", "{explained}");
    caller.call(
        "Explain",
        json!({
            "subject": { "binding": binding("generic-layer2") }, "frames": [{ "hex": frame, "dir": "in" }]
        }),
    );
}

fn timeouts_and_sets(caller: &mut Caller) {
    caller.call("SetTimeouts", json!({ "timeouts": { "udp": 31 } }));
    assert_eq!(caller.call("GetTimeouts", json!({}))["timeouts"]["udp"], 31);
    caller.call("ResetTimeouts", json!({}));
    caller.call("CreateSet", json!({ "set": "s", "type": "address" }));
    caller.call("AddToSet", json!({ "set": "s", "members": ["192.0.2.1", "192.0.2.2"] }));
    caller.call("RemoveFromSet", json!({ "set": "s", "members": ["192.0.2.2"] }));
    caller.call("ReplaceSet", json!({ "set": "s", "members": ["192.0.2.3"] }));
    assert_eq!(caller.call("ListMembers", json!({ "set": "s" }))["members"], json!(["192.0.2.3"]));
    assert_eq!(caller.call("TestSet", json!({ "set": "s", "member": "192.0.2.3" }))["in"], true);
    caller.call("ListSets", json!({}));
    caller.call("DestroySet", json!({ "set": "s" }));
}

fn connections(caller: &mut Caller) {
    caller.call("Attach", json!({ "ports": [{ "port": "vm0", "binding": binding("stateful-web-server") }] }));
    caller.call("ListFlows", json!({ "port": "vm0", "filter": { "protocol": "tcp" } }));
    caller.call("SummarizeFlows", json!({ "port": "vm0" }));
    caller.call("CutFlows", json!({ "port": "vm0" }));
    let file = caller.call("ExportFlows", json!({ "port": "vm0" }));
    caller.call("ImportFlows", json!({ "port": "vm0", "file": { "bytes": file["bytes"] } }));
    let saved = caller.call("SavePort", json!({ "port": "vm0" }));
    caller.call("RestorePort", json!({ "port": "vm0", "file": saved["file"], "replace": true }));
}

fn health_and_domains(caller: &mut Caller) {
    caller.call("Diagnose", json!({ "port": "vm0" }));
    assert_eq!(caller.call("Repair", json!({}))["ports"], json!([]));
    assert_eq!(caller.call("GetBuilds", json!({}))["builds"]["unfinished"], false);
    assert_eq!(caller.call("Upgrade", json!({}))["replaced"]["replaced"], false);
    let mut owned = binding("own-mac-only");
    owned["owner"] = json!({ "name": "web", "uuid": "3f0b8b0e-7d0e-4c5e-9d0a-5b8f6a2f1c11" });
    let port = |device: Value, kind: Value, mac: &str| {
        json!({
            "mac": mac, "device": device, "alias": null, "kind": kind, "source": "metadata", "binding": owned
        })
    };
    let bindings = json!([
        port(json!("vm0"), json!("bridge"), "52:54:00:12:34:56"),
        port(Value::Null, Value::Null, "52:54:00:12:34:57")
    ]);
    caller.call("CheckDomain", json!({ "bindings": bindings }));
    assert_eq!(caller.call("AttachDomain", json!({ "bindings": bindings }))["attached"], json!(["vm0"]));
    assert_eq!(caller.call("VerifyDomain", json!({ "bindings": bindings }))["kept"], json!(["vm0"]));
    assert_eq!(caller.call("ReattachDomain", json!({ "bindings": bindings }))["kept"], json!(["vm0"]));
    assert_eq!(
        caller.call("ListStanding", json!({}))["bindings"].as_array().map(Vec::len),
        Some(1),
        "for later"
    );
    let released = caller.call("ReleaseDomain", json!({ "uuid": owned["owner"]["uuid"] }));
    assert_eq!(released["released"], json!(["vm0"]));
    assert_eq!(
        caller.call("ListStanding", json!({}))["bindings"],
        json!([]),
        "nothing is kept for it any more"
    );
}

fn history(caller: &mut Caller, root: &Path) {
    let document = |xml: &str| json!({ "file": "given.xml", "xml": xml });
    let log = caller.call("ListLog", json!({ "filter": { "count": 3 } }));
    let last = log["generation"].as_u64().expect("it is a number");
    caller.call("GetLogEntry", json!({ "generation": last }));
    let changed = WEB.replace("For a test.", "For another.");
    let difference =
        caller.call("DiffProfiles", json!({ "documents": [document(&changed)], "must_be": true }));
    assert_eq!(difference["profiles"][0]["is_new"], false, "{difference}");
    caller.call("RollBack", json!({ "generation": last, "dry_run": true }));
    let web = root.join("profiles/web.xml");
    std::fs::write(web, "<FilterPool").expect("there is room");
    caller.call("RestoreProfile", json!({ "profile": "web" }));
    caller.call("Attach", json!({ "ports": [{ "port": "vm0", "binding": binding("clean-traffic") }] }));
    let detached = caller.call("Detach", json!({ "ports": ["vm0"] }));
    assert_eq!(detached["ports"], json!(["vm0"]));
    assert!(detached["generation"].as_u64() > Some(last), "{detached}");
}

#[test]
fn each_method_does_what_the_description_says() {
    with_operator(FILTER_CTL, "interface_methods", |operator| {
        let _daemon = operator.daemon(&[]);
        let _tap = net::tap("vm0");
        let varlink = Varlink::connect(&operator.socket()).expect("it listens");
        let mut described = varlink.methods();
        let mut known: Vec<String> = METHODS.iter().map(|method| method.name.to_owned()).collect();
        described.sort();
        known.sort();
        // What goes on is asked for in a way of its own.
        described.retain(|method| method != MONITOR);
        assert_eq!(described, known);
        let mut caller = Caller { varlink, called: Vec::new() };
        profiles(&mut caller);
        standing_and_ports(&mut caller);
        timeouts_and_sets(&mut caller);
        connections(&mut caller);
        health_and_domains(&mut caller);
        history(&mut caller, &operator.root());
        let Caller { mut varlink, mut called } = caller;
        called.sort();
        called.dedup();
        assert_eq!(called, known, "each was called");
        let stale = json!({ "ports": ["vm0"], "if_generation": 1 });
        let (error, told) = varlink.call("Detach", &stale).expect_err("much has changed since");
        assert_eq!((error.as_str(), &told["code"]), ("org.filter-ctl.Failed", &json!(4)), "{told}");
        let (error, told) = varlink.call("Detach", &json!({ "ports": ["vm0"] })).expect_err("it is gone");
        assert_eq!((error.as_str(), &told["code"]), ("org.filter-ctl.Failed", &json!(3)));
    });
}

#[test]
fn it_says_what_it_is_and_repeats_what_it_is_asked_to() {
    with_operator(FILTER_CTL, "interface_info", |operator| {
        let _daemon = operator.daemon(&[]);
        let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
        let info = varlink.exchange(&json!({ "method": "org.varlink.service.GetInfo" })).expect("it answers");
        assert_eq!(info["parameters"]["interfaces"], json!(["org.varlink.service", "org.filter-ctl"]));
        let more = json!({ "method": "org.filter-ctl.ListPorts", "parameters": {}, "more": true });
        varlink.send(more.to_string().as_bytes()).expect("it is read");
        let _tap = net::tap("vm0");
        assert_eq!(varlink.receive().expect("it answers")["parameters"]["ports"], json!([]));
        operator.ok("attach vm0 --profile own-mac-only");
        let seen = (0..30).any(|_| {
            let reply = varlink.receive().expect("it goes on");
            assert_eq!(reply["continues"], true, "{reply}");
            reply["parameters"]["ports"][0]["port"] == "vm0"
        });
        assert!(seen, "what has changed meanwhile is in a later answer");
    });
}
