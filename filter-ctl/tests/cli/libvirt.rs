//! libvirt's hook as libvirt calls it, on real taps: what each operation does, and what it refuses.

use std::fs::{self, File};
use std::process::Command;

use filter_tests::cli::{Done, Operator, with_operator};
use filter_tests::net;
use filter_tests::scene::{PORT, Scene, datagram, spoofed_datagram};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::FILTER_CTL;

const UUID: &str = "9b5d4f6e-0f1c-4c3b-8f0a-2f5d1f3c7a10";
/// What holds a machine to its own addresses.
const HELD: &str = "<f:interface mac='52:54:00:12:34:56'><f:reference profile='generic-layer2' \
                    ip_address='192.0.2.10'/></f:interface>";

/// An interface of a domain, as libvirt writes it when it has made the tap.
fn interface(kind: &str, mac: &str, device: Option<&str>, inside: &str) -> String {
    let target =
        device.map_or_else(String::new, |device| format!("<target dev='{device}'/><alias name='net0'/>"));
    format!(
        "<interface type='{kind}'><mac address='{mac}'/><source bridge='br0'/>{target}{inside}</interface>"
    )
}

fn domain(firewall: &str, interfaces: &str) -> String {
    let metadata = match firewall {
        "" => String::new(),
        firewall => format!(
            "<metadata><f:firewall xmlns:f='urn:filter-ctl:profile:1'>{firewall}</f:firewall></metadata>"
        ),
    };
    format!(
        "<domain type='qemu' id='1'>\n<name>web</name>\n<uuid>{UUID}</uuid>\n{metadata}\n<devices>{interfaces}</devices>\
         </domain>"
    )
}

/// The interface at [`PORT`].
fn at_port() -> String {
    interface("bridge", "52:54:00:12:34:56", Some(PORT), "")
}

fn hook(operator: &Operator, operation: &str, document: &str) -> Done {
    let done = operator.run_with(&format!("libvirt hook -- web {operation} begin -"), document, &[]);
    assert!(!done.stderr.contains("panicked"), "{operation}: {}", done.stderr);
    // What `migrate` and `restore` print libvirt takes for another document.
    assert_eq!(done.stdout, "", "{operation}");
    done
}

fn done(operator: &Operator, operation: &str, document: &str) {
    let done = hook(operator, operation, document);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{operation}");
}

/// Whether no port is filtered.
fn unfiltered(operator: &Operator) -> bool {
    operator.json("ports") == json!([])
}

fn refused(operator: &Operator, operation: &str, document: &str) -> String {
    let done = hook(operator, operation, document);
    assert_ne!(done.code, 0, "{operation}");
    done.stderr
}

#[test]
fn a_machine_is_filtered_from_before_it_runs_until_it_has_ended() {
    with_operator(FILTER_CTL, "libvirt_life", |operator| {
        let scene = Scene::new();
        let before = domain(HELD, &interface("bridge", "52:54:00:12:34:56", None, ""));
        let document = domain(HELD, &at_port());
        for operation in ["migrate", "restore", "prepare"] {
            done(operator, operation, &before);
        }
        assert!(unfiltered(operator), "nothing is in force yet");
        assert!(refused(operator, "started", &document).contains("it is not attached"));

        done(operator, "start", &document);
        done(operator, "started", &document);
        let port = operator.port(PORT);
        assert_eq!(port["status"], "active");
        assert_eq!(port["binding"]["owner"], json!({ "name": "web", "uuid": UUID }));
        assert_eq!(port["binding"]["mac"], "52:54:00:12:34:56");
        assert_eq!(port["binding"]["addresses"], json!(["192.0.2.10"]));
        scene.comes_out("a datagram", &datagram(1));
        scene.guest.send(&spoofed_datagram(2));
        scene.guest.send(&datagram(3));
        let mut spoofed = false;
        let marked = scene.peer.wait_for(net::SOON, |frame| {
            spoofed |= frame == spoofed_datagram(2);
            frame == datagram(3)
        });
        assert!(marked.is_some() && !spoofed);

        // A daemon that starts anew finds it as it is, and puts back what is gone.
        let counts = operator.counts(PORT);
        done(operator, "reconnect", &document);
        assert_eq!(operator.counts(PORT), counts, "it was not attached again");
        assert_eq!(operator.port(PORT)["generation"], port["generation"]);
        operator.ok(&format!("detach {PORT}"));
        done(operator, "reconnect", &document);
        assert_eq!(operator.port(PORT)["status"], "active");
        // What an operator put in force stays.
        operator.ok(&format!("attach {PORT} --profile no-vlan"));
        done(operator, "reconnect", &document);
        assert_eq!(operator.port(PORT)["binding"]["profiles"], json!(["no-vlan"]));
        assert!(refused(operator, "started", &document).contains("it is held to something else"));
        done(operator, "start", &document);

        // Others' ports are left alone when it ends.
        operator.ok("attach peer0 --profile no-vlan");
        done(operator, "stopped", &before);
        done(operator, "release", &before);
        let ports = operator.json("ports");
        assert_eq!(ports.as_array().map(Vec::len), Some(1), "{ports}");
        assert_eq!(ports[0]["port"], "peer0");
        scene.comes_out("a spoof, as nothing is filtered", &spoofed_datagram(4));
    });
}

#[test]
fn a_tap_that_is_gone_is_forgotten() {
    with_operator(FILTER_CTL, "libvirt_gone", |operator| {
        let scene = Scene::new();
        let document = domain(HELD, &at_port());
        done(operator, "start", &document);
        drop(scene);
        net::until("the tap is gone", || net::try_ip(&format!("link show {PORT}")).is_err());
        done(operator, "stopped", &document);
        assert!(unfiltered(operator));
    });
}

#[test]
fn a_start_is_refused_where_anything_is_wrong() {
    with_operator(FILTER_CTL, "libvirt_refused", |operator| {
        let _scene = Scene::new();
        let second = |kind: &str, device: Option<&str>| {
            format!("{}{}", at_port(), interface(kind, "52:54:00:12:34:57", device, ""))
        };
        let both = "<f:reference profile='own-mac-only'/>";
        let nobody = "<f:reference profile='nobody'/>";
        for (operations, firewall, interfaces, error) in [
            (&["prepare", "start"][..], nobody, at_port(), "52:54:00:12:34:56"),
            (&["prepare", "migrate", "restore", "start"], nobody, at_port(), "there is no profile `nobody`"),
            (
                &["prepare", "start"],
                both,
                second("hostdev", None),
                "interface 52:54:00:12:34:57 is a vfio device;",
            ),
            (
                &["prepare", "start"],
                both,
                second("vhostuser", None),
                "is a vhost-user device; packets of passed-through",
            ),
            (&["prepare", "start"], both, second("vdpa", None), "is a vdpa device;"),
            (&["prepare", "start"], both, second("user", None), "give the virtual machine a tap on a bridge"),
            (&["prepare", "start"], both, second("direct", Some("macvtap0")), "is a macvtap device;"),
            (&["start"], both, second("bridge", None), "52:54:00:12:34:57: its document names no tap"),
            (&["start"], both, second("bridge", Some("vnet9")), "there is no network device `vnet9`"),
            (&["start"], both, second("bridge", Some("br0")), "br0 is a bridge device"),
            (
                &["prepare", "start"],
                "<f:interface mac='52:54:00:12:34:99'><f:reference profile='no-vlan'/></f:interface>",
                at_port(),
                "4:58: the domain has no interface with the MAC address 52:54:00:12:34:99",
            ),
            (
                &["start"],
                "<f:interface alias='net7'><f:reference profile='no-vlan'/></f:interface>",
                at_port(),
                "the domain has no interface with the alias net7",
            ),
            (
                &["prepare", "start"],
                "<f:interface mac='52:54:00:12:34:56'/>",
                at_port(),
                "found no `reference`",
            ),
            (
                &["start"],
                "<f:interface mac='52:54:00:12:34:56'><f:reference profile='no-vlan'/></f:interface><f:interface \
                 alias='net0'><f:reference profile='no-vlan'/></f:interface>",
                at_port(),
                "found a second `interface` for interface 52:54:00:12:34:56 (net0, vm0)",
            ),
            (
                &["prepare", "start"],
                "<f:reference profile='no-vlan' A='1'/><f:reference profile='own-mac-only' A='2'/>",
                at_port(),
                "the reference to `own-mac-only` gives `A` as 2, and it is given as 1 elsewhere",
            ),
            (&["prepare", "start"], "<f:rule/>", at_port(), "standard input:4:"),
            (&["prepare", "start"], " ", at_port(), "the `firewall` of its metadata has no `reference`"),
        ] {
            let document = domain(firewall, &interfaces);
            for operation in operations {
                let said = refused(operator, operation, &document);
                assert!(said.contains(error), "{operation}, {firewall}: {said}");
                assert!(said.starts_with("filter-ctl: domain web: "), "{said}");
                assert!(unfiltered(operator), "{operation}, {firewall}: all ports or none");
            }
            // The same kills nothing that runs.
            assert_eq!(hook(operator, "reconnect", &document).code, 0);
            operator.run(&format!("detach {PORT}"));
        }
        for document in ["", "<domain>", "\u{1}", "<network/>"] {
            refused(operator, "start", document);
            for operation in ["reconnect", "stopped", "release"] {
                let done = hook(operator, operation, document);
                assert!(done.code == 0 && done.stderr.contains("domain web, "), "{operation}: {done:?}");
            }
        }
        let huge = domain("", &"<interface type='bridge'/>".repeat(400_000));
        assert!(refused(operator, "start", &huge).contains("expected at most 8388608"));
        // What is none of our business is done at once, whatever is said.
        done(operator, "invented", "<domain>");
        done(operator, "start", &domain("", &second("hostdev", None)));
        assert!(unfiltered(operator));
    });
}

#[test]
fn what_hangs_does_not_hang_libvirt() {
    with_operator(FILTER_CTL, "libvirt_lock", |operator| {
        let _scene = Scene::new();
        let document = domain(HELD, &at_port());
        done(operator, "start", &document);
        let lock = File::options().write(true).open(operator.root().join("run/lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let with_wait = |operation: &str| {
            operator.run_with(&format!("libvirt hook --wait 0 -- web {operation} begin -"), &document, &[])
        };
        let start = with_wait("start");
        assert!(
            start.code == 1 && start.stderr.contains("another command has held this for 0 s"),
            "{start:?}"
        );
        for operation in ["reconnect", "stopped"] {
            let said = with_wait(operation);
            assert!(said.code == 0 && said.stderr.contains("another command"), "{said:?}");
        }
        // Looking takes no lock.
        assert_eq!(with_wait("prepare").code, 0);
        assert_eq!(with_wait("started").code, 0);
    });
}

#[test]
fn references_of_libvirts_are_taken_over_where_metadata_say_nothing() {
    with_operator(FILTER_CTL, "libvirt_take_over", |operator| {
        let _scene = Scene::new();
        let reference =
            "<filterref filter='clean-traffic'><parameter name='IP' value='192.0.2.10'/></filterref>";
        let other = interface("bridge", "52:54:00:12:34:57", Some("peer0"), reference);
        let document = domain(HELD, &format!("{}{other}", at_port()));
        let take_over = |document: &str| {
            operator.run_with("libvirt hook --take-over -- web start begin -", document, &[])
        };
        assert_eq!(take_over(&document).code, 0);
        assert_eq!(operator.port(PORT)["binding"]["profiles"], json!(["generic-layer2"]));
        let taken = operator.port("peer0");
        assert_eq!(taken["binding"]["profiles"], json!(["clean-traffic"]));
        assert_eq!(taken["binding"]["addresses"], json!(["192.0.2.10"]));
        assert!(operator.ok("nwfilter-binding-dumpxml peer0").contains(UUID));
        done(operator, "stopped", &document);

        let unknown = domain("", &other.replace("clean-traffic", "nobody"));
        let failed = take_over(&unknown);
        assert!(failed.code != 0 && failed.stderr.contains("there is no profile `nobody`"), "{failed:?}");
        done(operator, "start", &unknown);
        assert!(unfiltered(operator), "nothing is taken over without being asked to");
    });
}

#[test]
fn what_would_be_bound_is_shown() {
    with_operator(FILTER_CTL, "libvirt_show", |operator| {
        let firewall = format!(
            "<f:parameter name='DNS' value='192.0.2.53'/>{HELD}<f:interface mac='52:54:00:12:34:99' hotplug='yes' \
             fail='open' learn='dhcp' learn_max='2'><f:reference profile='no-vlan'/><f:reference profile='own-mac-only'/>\
             <f:parameter name='DNS' value='192.0.2.54'/></f:interface>"
        );
        let interfaces =
            at_port() + &interface("hostdev", "52:54:00:12:34:57", None, "<filterref filter='x'/>");
        let file = operator.file("web.xml", domain(&firewall, &interfaces));
        assert_eq!(
            operator.ok(&format!("libvirt show {file}")),
            format!(
                "web {UUID}\n\
                 MAC                ALIAS  DEVICE  TYPE    PROFILES               IP          FROM\n\
                 52:54:00:12:34:56  net0   vm0     bridge  generic-layer2         192.0.2.10  metadata\n\
                 52:54:00:12:34:99                 later   no-vlan, own-mac-only              metadata\n"
            )
        );
        let shown: Value = operator.json(&format!("libvirt show {file}"));
        assert_eq!(shown[0]["binding"]["parameters"], json!({ "DNS": ["192.0.2.53"] }));
        let later = &shown[1];
        assert_eq!((&later["mac"], &later["kind"]), (&json!("52:54:00:12:34:99"), &Value::Null));
        assert_eq!(
            later["binding"]["parameters"],
            json!({ "CTRL_IP_LEARNING": ["dhcp"], "DNS": ["192.0.2.54"] })
        );
        assert_eq!((&later["binding"]["fail"], &later["binding"]["learn_max"]), (&json!("open"), &json!(2)));
        let done = operator.run(&format!("libvirt show {file} --take-over"));
        assert!(done.code == 0 && done.stderr.contains("is a vfio device"), "{done:?}");
        assert!(done.stdout.contains("hostdev") && done.stdout.contains("filterref"), "{}", done.stdout);
        // A document on standard input; one that binds nothing.
        let plain = operator.run_with("libvirt show -", &domain("", &at_port()), &[]);
        assert!(plain.stdout.contains("nothing is bound"), "{plain:?}");
        operator.fails("libvirt show /nowhere.xml", 3);
    });
}

#[test]
fn the_script_calls_this_command_with_its_places() {
    with_operator(FILTER_CTL, "libvirt_install", |operator| {
        let _scene = Scene::new();
        let folder = operator.files().join("libvirt");
        let hooks = folder.join("hooks");
        let install = format!("libvirt install-hook --folder {}", hooks.display());
        assert!(operator.fails(&install, 3).contains("libvirt is not installed here"));
        fs::create_dir(&folder).unwrap();
        assert!(operator.ok(&install).contains("Restart libvirt's daemon (libvirtd, or virtqemud)"));
        assert!(operator.ok(&format!("{install} --take-over")).contains("written anew, and in force"));
        assert!(operator.ok(&format!("{install} --driver lxc")).contains("virtlxcd"));

        let script = hooks.join("qemu.d/filter-ctl");
        let document = operator.file("web.xml", domain(HELD, &at_port()));
        let call = |operation: &str| {
            Command::new(&script)
                .args(["web", operation, "begin", "-"])
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .stdin(File::open(&document).unwrap())
                .output()
                .map(Done::from)
                .unwrap()
        };
        for operation in ["prepare", "start", "started", "reconnect"] {
            let done = call(operation);
            assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{operation}");
        }
        assert_eq!(operator.port(PORT)["status"], "active");
        assert_eq!(call("stopped").code, 0);
        assert!(unfiltered(operator));

        let uninstall = format!("libvirt uninstall-hook --folder {}", hooks.display());
        operator.ok(&uninstall);
        assert!(operator.fails(&uninstall, 3).contains("it is not installed"));
        fs::write(&script, "#!/bin/sh\n").unwrap();
        assert!(operator.fails(&install, 4).contains("was not written by filter-ctl"));
        operator.fails(&uninstall, 4);
    });
}
