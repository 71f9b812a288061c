//! What goes wrong: each with its exit code and a sentence that helps, and with nothing half done.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use filter_common::maps::{self, MAX_COUNTERS};
use filter_common::{Direction, Learning};
use filter_ctl::compile::compile;
use filter_ctl::datapath::{Datapath, FlowSpec, LoadOptions, PortSpec};
use filter_tests::cli::{Done, Operator, can_meddle, with_operator};
use filter_tests::foreign::{Intruder, detach_link};
use filter_tests::net::{self, ip, until};
use filter_tests::not_run::not_run;
use filter_tests::ports::pass_all;
use filter_tests::scene::{ADDRESSES, PORT, Scene, connect, datagram, spoofed_datagram};
use serde_json::json;

use super::FILTER_CTL;
use super::drift::{array, pin};
use super::profiles::no_ports;

/// Nothing was attached, pinned to an interface or written down.
fn nothing_is_attached(operator: &Operator) {
    assert_eq!(operator.json("ports"), json!([]));
    let ports = operator.root().join("run/ports");
    let left = fs::read_dir(&ports).map(Iterator::count).unwrap_or_default();
    assert_eq!(left, 0, "files in {}", ports.display());
}

#[test]
fn devices_that_cannot_be_filtered_are_named() {
    with_operator(FILTER_CTL, "devices", |operator| {
        let _tap = net::tap("tap0");
        net::bridge("br0", &["tap0"]);
        let attach =
            |device: &str, code| operator.fails(&format!("attach {device} --profile generic-layer2"), code);
        let message = attach("nothing0", 3);
        assert!(message.contains("no network device `nothing0`") && message.contains("ip link"), "{message}");
        let message = attach("br0", 5);
        assert!(
            message.contains("bridge") && message.contains("attach to the taps that are its ports"),
            "{message}"
        );
        let message = attach("lo", 5);
        assert!(message.contains("loopback") && message.contains("vhost-user"), "{message}");
        ip("tuntap add tun0 mode tun");
        let message = attach("tun0", 5);
        assert!(message.contains("Ethernet") && message.contains("tap"), "{message}");
        nothing_is_attached(operator);
        operator.fails("detach nothing0", 3);
        operator.fails("detach tap0", 3);
        operator.fails("stats tap0", 3);
        // A namespace full of interfaces that are no ports says so.
        assert_eq!(operator.ok("ports"), "no port is filtered\n");
    });
}

#[test]
fn bindings_that_make_no_policy_attach_nothing() {
    with_operator(FILTER_CTL, "bindings", |operator| {
        let _tap = net::tap(PORT);
        let attach = |line: &str, code| operator.fails(&format!("attach {PORT} {line}"), code);
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "$WEB"))));
        let message = attach("--profile web", 5);
        let own = operator.root().join("profiles/web.xml").display().to_string();
        assert!(message.starts_with(&format!("{own}:")) && message.contains("$WEB"), "{message}");
        let message = attach("--profile web --param WEB=99999", 5);
        assert!(message.contains("99999"), "{message}");
        let message = attach("--profile nobody", 3);
        assert!(message.contains("`nobody`"), "{message}");
        let message = attach("--profile generic-layer2 --mac 01:00:5e:00:00:01", 5);
        assert!(message.contains("one station"), "{message}");
        let message = attach("--profile generic-layer2 --mac 52:54:00", 5);
        assert!(message.contains("mac address"), "{message}");
        let message = attach("--profile generic-layer2 --param THIS_MAC=1", 5);
        assert!(message.contains("THIS_MAC"), "{message}");
        assert_eq!(operator.run(&format!("attach {PORT} --profile web --ip 192.0.2")).code, 2);
        assert_eq!(operator.run(&format!("attach {PORT} --profile web --param WEB")).code, 2);
        assert_eq!(operator.run(&format!("attach {PORT} --profile web --mode lax")).code, 2);
        nothing_is_attached(operator);
        let attached = operator.json(&format!("attach {PORT} --profile web --param WEB=80 --param WEB=443"));
        assert_eq!(attached["profiles"], json!(["web"]));
    });
}

#[test]
fn pins_have_to_be_in_a_bpf_file_system() {
    with_operator(FILTER_CTL, "no_bpffs", |operator| {
        let _tap = net::tap(PORT);
        let folder = operator.files().join("pins");
        let line = format!("--bpffs {} attach {PORT} --profile generic-layer2", folder.display());
        let message = operator.fails(&line, 6);
        assert!(message.contains("is not in a BPF file system; mount one"), "{message}");
        assert!(message.contains(&folder.display().to_string()), "{message}");
        assert!(!folder.exists(), "nothing was left there");
        nothing_is_attached(operator);
    });
}

#[test]
fn a_damaged_file_of_a_port_is_repaired_by_attaching_anew() {
    with_operator(FILTER_CTL, "damaged", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        let file = operator.root().join(format!("run/ports/{}.json", net::ifindex(PORT)));
        fs::write(&file, "{").unwrap();
        let message = operator.fails(&format!("stats {PORT}"), 1);
        assert!(
            message.contains(&file.display().to_string()) && message.contains("doctor --repair"),
            "{message}"
        );
        scene.guest.send(&spoofed_datagram(1));
        assert!(!scene.is_out(&spoofed_datagram(1)), "the port is still filtered");
        assert_eq!(operator.run("ports").code, 0, "it hides no other");
        operator.ok(&format!("detach {PORT}"));
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        assert_eq!(operator.port(PORT)["status"], "active");
    });
}

#[test]
fn classifiers_that_somebody_took_away_are_missed() {
    with_operator(FILTER_CTL, "taken_away", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        let links = fs::read_dir(operator.pins()).unwrap().flat_map(|version| {
            fs::read_dir(version.unwrap().path().join("links"))
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().path())
        });
        let links: Vec<_> = links.collect();
        assert_eq!(links.len(), 2, "one for each direction");
        fs::remove_file(&links[0]).unwrap();
        until("the port is found not to be filtered", || operator.port(PORT)["status"] == "not-filtered");
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        assert_eq!(operator.port(PORT)["status"], "active");
        scene.guest.send(&spoofed_datagram(1));
        assert_eq!(operator.counts(PORT).of("rule own-ip-only/foreign-ip4"), 1);
    });
}

#[test]
fn one_network_namespace_keeps_out_of_the_ports_of_another() {
    with_operator(FILTER_CTL, "namespaces", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        net::Namespace::new().unwrap().run(|| {
            let _tap = net::tap(PORT);
            let message = operator.fails(&format!("attach {PORT} --profile generic-layer2"), 5);
            assert!(message.contains("another network namespace") && message.contains("--root"), "{message}");
            assert_eq!(operator.port(PORT)["status"], "elsewhere");
            // Nor by way of another state, or of a name and an index that are the same here.
            let other = operator.files().join("other");
            let other = format!("--root {} attach {PORT} --profile no-vlan", other.display());
            assert!(operator.fails(&other, 5).contains("another network namespace"));
            operator.fails(&format!("detach {PORT}"), 5);
            operator.fails(&format!("stats {PORT}"), 3);
        });
        assert_eq!(operator.port(PORT)["status"], "active");
        scene.comes_out("a datagram", &datagram(1));
    });
}

/// A container runtime takes an interface, classifiers and all, into its own namespace.
#[test]
fn an_interface_that_is_moved_elsewhere_stays_filtered() {
    with_operator(FILTER_CTL, "moved", |operator| {
        let scene = Scene::new();
        ip("link add moved0 type veth peer name moved1");
        operator.ok("attach moved0 --profile generic-layer2");
        let elsewhere = net::Namespace::new().unwrap();
        ip(&format!("link set moved0 netns {}", elsewhere.path()));
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        scene.comes_out("a datagram", &datagram(1));
        let pins = |wanted: usize| {
            let folders =
                fs::read_dir(operator.pins()).unwrap().map(|version| version.unwrap().path().join("links"));
            let links: usize = folders.map(|links| fs::read_dir(links).unwrap().count()).sum();
            assert_eq!(links, wanted);
        };
        pins(4);
        operator.ok("detach moved0");
        pins(2);
    });
}

/// What was in force before a change that fails is in force after it.
#[test]
fn attaching_again_in_vain_leaves_the_port_as_it_was() {
    with_operator(FILTER_CTL, "in_vain", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        // Something else stands where the pin was: it is of no use, and is replaced.
        let pin = fs::read_dir(operator.pins()).unwrap().next().unwrap().unwrap().path();
        let pin = pin.join("links").join(format!("{}_in", net::ifindex(PORT)));
        fs::remove_file(&pin).unwrap();
        std::os::unix::fs::symlink("/nowhere", &pin).unwrap();
        operator.run(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        scene.guest.send(&spoofed_datagram(1));
        assert!(
            !scene.is_out(&spoofed_datagram(1)),
            "the way out is filtered, whatever became of the way in"
        );
    });
}

/// A file that was meant to say something is not replaced by a shipped profile that says something else.
#[test]
fn a_damaged_profile_is_nobody() {
    with_operator(FILTER_CTL, "damaged_profile", |operator| {
        let scene = Scene::new();
        operator.ok(&format!(
            "update {}",
            operator.file("v.xml", r#"<FilterPool name="no-vlan" default="DROP"/>"#)
        ));
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        let file = operator.root().join("profiles/no-vlan.xml");
        fs::write(&file, "<FilterPool").unwrap();
        let message = operator.fails(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"), 5);
        assert!(message.contains("no profile `no-vlan`"), "{message}");
        scene.guest.send(&datagram(1));
        assert!(
            !scene.is_out(&datagram(1)),
            "the operator's own no-vlan, which lets nothing pass, is still in force"
        );
        let listed = operator.run("list");
        assert!(listed.stderr.contains("no-vlan.xml:1:"), "{}", listed.stderr);
    });
}

#[test]
fn a_full_table_is_said_and_changes_nothing() {
    with_operator(FILTER_CTL, "full", |operator| {
        let scene = Scene::new();
        let _other = net::tap("other0");
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
        operator.ok(&format!("attach {PORT} --profile web"));
        // Somebody has nearly all the counters there are.
        let image = compile(&pass_all()).unwrap();
        let counters = vec![None; MAX_COUNTERS - 8];
        let spec = PortSpec {
            ifindex: net::ifindex("peer0"),
            generation: 1,
            port: None,
            image: &image,
            counters: &counters,
            flags: 0,
            fail_open: false,
            mac: None,
            ip4: &[],
            ip6: &[],
            limits: &[],
            flows: FlowSpec::default(),
            answers: filter_common::answer::Rate::default(),
            learning: Learning::default(),
        };
        let mut datapath = Datapath::open(operator.pins(), LoadOptions::default()).unwrap();
        let prepared = datapath.prepare(&spec).unwrap();
        assert!(datapath.publish(prepared).is_none());
        drop(datapath);

        let message = operator.fails("attach other0 --profile generic-layer2", 6);
        assert!(message.contains("no room for") && message.contains("counters"), "{message}");
        let ports = operator.json("ports");
        assert_eq!(ports.as_array().unwrap().len(), 1, "{ports}");

        let entry = "<FilterEntry><Action>DROP</Action></FilterEntry>";
        let file =
            operator.file("web.xml", format!("<FilterPool name='web'>{}</FilterPool>", entry.repeat(20)));
        let before = operator.port(PORT);
        let message = operator.fails(&format!("update {file}"), 6);
        assert!(message.contains("no room for") && message.contains("no port was changed"), "{message}");
        assert_eq!(operator.port(PORT), before);
        assert!(operator.ok("dumpxml web").contains("HdrDestPortStart"), "the profile is as it was");
        scene.guest.send(&connect(80));
        scene.comes_out("a datagram", &datagram(1));
        assert_eq!(operator.counts(PORT).of("rule web/ports"), 1, "and so is the policy");
        // What fits is no trouble, nor is the port of which nobody knows.
        let done = operator.run(&format!("update {}", operator.file("web.xml", no_ports("web", "81"))));
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.stderr.contains("port peer0 keeps the policy that is in force"), "{done:?}");
        scene.comes_out("what was forbidden", &connect(80));
    });
}

/// Runs a command as nobody, who owns the root.
fn as_nobody(operator: &Operator, line: &str) -> Done {
    const NOBODY: u32 = 65534;
    let folder = operator.files().join("nobody");
    if !folder.exists() {
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(operator.files(), fs::Permissions::from_mode(0o755)).unwrap();
        // Where the command was built may be closed to others.
        fs::copy(FILTER_CTL.binary, operator.files().join("filter-ctl")).unwrap();
        std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = std::process::Command::new(operator.files().join("filter-ctl"));
    command.args(line.split_whitespace()).uid(NOBODY).gid(NOBODY).current_dir("/");
    command.env("FILTER_CTL_ROOT", &folder).env("FILTER_CTL_BPFFS", operator.pins());
    command.output().unwrap().into()
}

#[test]
fn who_is_not_root_is_told_what_is_needed() {
    with_operator(FILTER_CTL, "not_root", |operator| {
        let _tap = net::tap(PORT);
        if as_nobody(operator, "--version").code != 0 {
            return not_run("not_root", "nobody can run nothing from the folder for temporary files");
        }
        for line in [
            &format!("attach {PORT} --profile generic-layer2"),
            &format!("--root /nobody attach {PORT} --profile generic-layer2"),
            "explain --profile generic-layer2 --hex 00",
            "--root /run detach lo",
        ] {
            let done = as_nobody(operator, line);
            assert_eq!(done.code, 6, "{line}: {}", done.stderr);
            let message = done.stderr.to_lowercase();
            assert!(
                message.contains("permission denied") && message.contains("root"),
                "{line}: {}",
                done.stderr
            );
        }
        // Profiles of one's own need nobody's leave.
        assert_eq!(as_nobody(operator, "create-from no-vlan mine").code, 0);
        assert_eq!(as_nobody(operator, "destroy mine").code, 0);
        assert_eq!(as_nobody(operator, "list").code, 0);
        nothing_is_attached(operator);
    });
}

/// The port's policy was lost, and its classifiers drop everything: a command that fails must not open it.
#[test]
fn a_port_that_drops_everything_does_so_where_attaching_it_with_others_fails() {
    with_operator(FILTER_CTL, "attach_fails_closed", |operator| {
        /// More than a hook takes.
        const PROGRAMS: usize = 64;
        let scene = Scene::new();
        let _other = net::tap("vm1");
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
        operator.ok(&format!("attach {PORT} --profile web"));
        let full: Vec<_> = (0..PROGRAMS)
            .map_while(|_| Intruder::looking_on(net::ifindex("vm1"), Direction::Out).ok())
            .collect();
        assert!(full.len() >= 60, "{}", full.len());
        array::<u32>(operator, maps::IFINDEX).set(net::ifindex(PORT), 0, 0).unwrap();
        let told = operator.fails(&format!("attach {PORT} vm1 --profile web"), 6);
        assert!(told.contains("vm1") && told.contains("no port was changed"), "{told}");
        assert_eq!(operator.json("ports").as_array().map(Vec::len), Some(1), "it is known all the same");
        scene.guest.send(&datagram(7));
        scene.guest.send(&connect(80));
        assert_eq!(operator.run("doctor --repair").code, 0);
        scene.comes_out("a datagram", &datagram(8));
        assert!(!scene.is_out(&datagram(7)) && !scene.is_out(&connect(80)), "it was open for a while");
    });
}

/// A port that has lost its classifiers is known all the same when it could not be attached again.
#[test]
fn a_port_that_could_not_be_attached_again_is_not_forgotten() {
    with_operator(FILTER_CTL, "attach_fails_known", |operator| {
        if !can_meddle("a_port_that_could_not_be_attached_again_is_not_forgotten") {
            return;
        }
        let _scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile own-mac-only"));
        let line = ["attach", PORT, "--profile", "own-mac-only"];
        let mut failed = 0;
        for number in 1.. {
            for direction in Direction::ALL {
                let link = pin(operator, &format!("links/{}_{direction}", net::ifindex(PORT)));
                if link.exists() {
                    detach_link(&link).unwrap();
                }
            }
            let done = operator.failing_at("write,rename", number, "EIO").args(line).output().unwrap();
            assert_eq!(operator.json("ports")[0]["port"], PORT, "call {number}: {done:?}");
            if done.status.success() {
                break;
            }
            failed += 1;
        }
        assert!(failed > 0, "no call failed");
        assert_eq!(operator.port(PORT)["status"], "active");
    });
}
