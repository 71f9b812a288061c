//! Pins that go: the daemon holds what was pinned, so ports stay filtered, and all is pinned again.

use std::fs;
use std::path::Path;
use std::process::Command;

use aya::programs::{SchedClassifier, TcAttachType};
use filter_common::{ABI_VERSION, Direction};
use filter_tests::cli::{Operator, with_operator};
use filter_tests::flood::{attach, connection, while_flooded};
use filter_tests::frames::{Arp, PEER_IP4};
use filter_tests::net::{self, until};
use filter_tests::scene::{ADDRESSES, PORT, Scene, arp, datagram, spoofed_datagram};

use super::FILTER_CTL;

fn links(operator: &Operator) -> Vec<std::path::PathBuf> {
    let folder = operator.pins().join(format!("v{ABI_VERSION}/links"));
    Direction::ALL.map(|direction| folder.join(format!("{}_{direction}", net::ifindex(PORT)))).to_vec()
}

/// Does `harm` under a flood, and expects that the daemon puts all right and nothing else happens.
fn harmed(operator: &Operator, harm: impl FnOnce()) {
    let scene = Scene::new();
    let daemon = operator.daemon(&[]);
    attach(operator, &scene);
    let known = connection(operator);
    let learned = operator.port(PORT)["learned_mac"].clone();
    let sent = while_flooded(operator, &scene, |flood| {
        harm();
        daemon.says(&["not as it should be", PORT, "link-missing"]);
        daemon.says(&["put right", PORT]);
        flood.goes_on("after the pins were gone");
        until("the port is shown as filtered", || operator.port(PORT)["status"] == "active");
        operator.ok(&format!("attach {PORT} --profile live"));
        flood.goes_on("after it was attached again");
        assert_eq!(operator.run("doctor").code, 0, "{}", operator.run("doctor").stdout);
    });
    assert!(sent.out > 100 && sent.to_vm > 100, "{sent:?}");
    assert_eq!((connection(operator), &operator.port(PORT)["learned_mac"]), (known, &learned));
    assert!(links(operator).iter().all(|link| link.exists()));
    // It is held no longer than it should be.
    operator.ok(&format!("detach {PORT}"));
    until("nothing runs on the port", || {
        [TcAttachType::Ingress, TcAttachType::Egress]
            .map(|hook| SchedClassifier::query_tcx(PORT, hook).expect("the kernel says").1.len())
            == [0, 0]
    });
    drop(daemon);
}

#[test]
fn a_port_whose_pins_are_removed_stays_filtered() {
    with_operator(FILTER_CTL, "pins_removed", |operator| {
        harmed(operator, || {
            for link in links(operator) {
                fs::remove_file(link).expect("it is there");
            }
        });
    });
}

/// The folder, too: what is pinned again is so behind the daemon's end.
#[test]
fn a_port_whose_folder_of_links_is_removed_stays_filtered() {
    with_operator(FILTER_CTL, "pins_folder", |operator| {
        harmed(operator, || {
            let folder = operator.pins().join(format!("v{ABI_VERSION}/links"));
            fs::remove_dir_all(folder).expect("it is there");
        });
    });
}

/// A file system that is unmounted when the value is gone.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(kind: &str, folder: &'a Path) -> Self {
        fs::create_dir_all(folder).expect("there is a BPF file system");
        let done = Command::new("mount").args(["-t", kind, kind]).arg(folder).status();
        assert!(done.is_ok_and(|done| done.success()), "mount");
        Self(folder)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn ports_stay_filtered_while_the_bpf_file_system_is_unmounted() {
    with_operator(FILTER_CTL, "pins_unmounted", |operator| {
        // What is below it is one, too: there all is pinned again.
        let mounted = Mounted::new("bpf", operator.pins());
        harmed(operator, || {
            drop(mounted);
            assert!(!operator.pins().join(format!("v{ABI_VERSION}")).exists(), "all pins are gone");
        });
    });
}

/// Where there is no place for pins, ports are filtered, and it is said so.
#[test]
fn ports_are_shown_as_filtered_while_nothing_can_be_pinned() {
    with_operator(FILTER_CTL, "pins_nowhere", |operator| {
        let scene = Scene::new();
        let bpf = Mounted::new("bpf", operator.pins());
        let daemon = operator.daemon(&[]);
        operator.ok(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        // Over it, before it goes: there is no moment at which all could be pinned below.
        let other = Mounted::new("tmpfs", operator.pins());
        daemon.says(&["nothing could be put right"]);
        for number in 0..5 {
            assert_eq!(operator.port(PORT)["status"], "active");
            scene.guest.send(&spoofed_datagram(number));
            scene.comes_out("an honest datagram", &datagram(number));
            assert!(!scene.is_out(&spoofed_datagram(number)));
        }
        drop(other);
        until("all is as it was", || operator.run("doctor").code == 0);
        assert_eq!(operator.port(PORT)["status"], "active");
        drop(bpf);
    });
}

/// Pins that go while nobody holds what they pinned take the filter with them. Whoever comes next loads it anew.
#[test]
fn ports_that_have_lost_all_that_was_loaded_are_filtered_again() {
    with_operator(FILTER_CTL, "pins_lost", |operator| {
        let scene = Scene::new();
        let text = "<FilterPool name='guarded' default='ACCEPT'><FilterEntry name='to'><Action>DROP</Action>\
                    <IPHeadersFilter><HdrDestAddressSet>blocked</HdrDestAddressSet></IPHeadersFilter></FilterEntry></FilterPool>";
        operator.ok("set create blocked --type address");
        operator.ok(&format!("set add blocked {PEER_IP4}"));
        operator.ok("set create more --type address");
        operator.ok(&format!("create {}", operator.file("guarded.xml", text)));
        operator.ok(&format!("attach {PORT} --profile guarded --profile own-mac-only"));
        let honest = arp(&Arp::default());
        let is_blocked = || {
            scene.guest.send(&datagram(1));
            scene.comes_out("what is no datagram", &honest);
            !scene.is_out(&datagram(1))
        };
        let lose = || {
            fs::remove_dir_all(operator.pins()).expect("it is there");
            until("nothing is filtered", || {
                scene.guest.send(&datagram(1));
                scene.is_out(&datagram(1))
            });
            // What is on its way has come out.
            scene.comes_out("what is no datagram", &honest);
            scene.peer.drain();
        };
        assert!(is_blocked());
        lose();
        let told = operator.run("doctor");
        assert!(told.code == 7 && told.stdout.contains("no classifier is loaded"), "{told:?}");
        let told = operator.run("doctor --repair");
        assert_eq!(told.code, 0, "{told:?}");
        assert!(is_blocked(), "the set is filled before the port is filtered");
        assert_eq!(operator.port(PORT)["status"], "active");
        lose();
        let daemon = operator.daemon(&[]);
        daemon.says(&["put right", PORT, "link-missing"]);
        assert!(is_blocked());
        assert_eq!(operator.run("doctor").code, 0);
        operator.ok(&format!("detach {PORT}"));
    });
}
