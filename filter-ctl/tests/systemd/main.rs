//! The units of `packaging/systemd`, under a real systemd: what they allow the daemon is what it needs, and whatever becomes of
//! the service, ports stay filtered.
//!
//! A sandbox that is too narrow is seen nowhere else: all other tests run the daemon with all that root may.

mod machine;

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use filter_tests::flood::{Sent, profile, while_flooded_and_counted};
use filter_tests::net;
use filter_tests::scene::{ADDRESSES, PORT, Scene, answer, connect, datagram, spoofed_datagram};
use serde_json::json;

use machine::{Machine, with_machine};

/// Lets the guest connect to hosts of a set.
const FRIENDS: &str = "<FilterEntry name='friends'><Action>ACCEPT</Action><TrafficType>outgoing</TrafficType>\
    <IPHeadersFilter><HdrProtocolID>tcp</HdrProtocolID><HdrDestAddressSet>friends</HdrDestAddressSet></IPHeadersFilter>\
    </FilterEntry>";
const CONFIGURATION: &str = "/etc/filter-ctl/filter-ctl.toml";
const DROP_IN: &str = "/etc/systemd/system/filter-ctl.service.d/test.conf";

/// Attaches the port with a profile that follows connections and asks a set, and has one connection begin.
fn attach(machine: &Machine, scene: &Scene) {
    machine.ok("filter-ctl set create friends --type address");
    machine.write("/tmp/live.xml", &profile(FRIENDS));
    machine.ok("filter-ctl define /tmp/live.xml");
    machine.ok(&format!("filter-ctl attach {PORT} --profile live"));
    scene.comes_out("the first question", &datagram(0));
    scene.gets_in("its answer", &answer(0));
}

/// The one frame gets across, and the other, which was sent before it, does not.
fn passes_alone(scene: &Scene, allowed: &[u8], forbidden: &[u8]) {
    scene.guest.send(forbidden);
    scene.guest.send(allowed);
    let mut leaked = false;
    let passed = scene.peer.wait_for(net::SOON, |frame| {
        leaked |= frame == forbidden;
        frame == allowed
    });
    assert!(passed.is_some() && !leaked, "passed: {}, leaked: {leaked}", passed.is_some());
}

/// Nothing of what the daemon does may be refused to it.
fn nothing_was_refused(machine: &Machine) {
    let journal = machine.journal().to_lowercase();
    for words in ["not permitted", "permission denied", "eperm", "read-only file system", "panicked", "error"]
    {
        assert!(!journal.contains(words), "{words}: {journal}");
    }
}

#[test]
fn commands_are_done_by_the_service() {
    with_machine("commands_are_done_by_the_service", |machine| {
        let booted = machine.service("MainPID");
        assert_eq!(
            machine.ok("systemctl is-active filter-ctl.service filter-ctl.socket"),
            "active\nactive\n"
        );
        assert_eq!(machine.service("NRestarts"), "0");
        assert_eq!(
            (machine.service("Type"), machine.service("WatchdogUSec")),
            ("notify".into(), "30s".into())
        );
        assert!(machine.journal().contains("ready config="), "{}", machine.journal());

        machine.ok("systemctl stop filter-ctl.service");
        machine.ok("filter-ctl list");
        machine.other_process(&booted);

        let scene = Scene::new();
        attach(machine, &scene);
        machine.ok("filter-ctl set add friends 192.0.2.20");
        scene.comes_out("a segment to a friend", &connect(80));
        machine.write("/tmp/live.xml", &profile(""));
        machine.ok("filter-ctl update /tmp/live.xml");
        passes_alone(&scene, &datagram(1), &connect(81));
        assert_eq!(machine.counts(PORT).of("rule live/friends"), 0, "it is gone");
        machine.ok("filter-ctl timeouts set udp=77");
        assert!(machine.ok("filter-ctl timeouts").contains("77"));

        machine.ok("filter-ctl bind late --pattern late* --profile own-mac-only");
        let _late = net::tap("late0");
        machine.wait("the port that came late is filtered", || machine.status("late0") == "active");
        machine.ok(&format!("filter-ctl migrate save {PORT} -o /tmp/saved"));
        let _moved = net::tap("moved0");
        machine.ok("filter-ctl migrate restore moved0 /tmp/saved");
        assert_eq!(machine.status("moved0"), "active");
        let connection = |port: &str| {
            let flow = machine.json(&format!("flows {port}"));
            ["local", "remote", "state"].map(|key| flow[key].clone())
        };
        assert_eq!(connection("moved0"), connection(PORT));
        assert_eq!(machine.counts("moved0").of("rule live/question"), 1);

        // Who asked is known by the kernel's word, and what was typed from /proc.
        let log = machine.json("log");
        let mut commands =
            log["entries"].as_array().into_iter().flatten().map(|change| &change["author"]["command"]);
        let typed = json!(format!("filter-ctl attach {PORT} --profile live"));
        assert!(commands.any(|command| *command == typed), "{log}");

        // A few descriptors a port: the daemon raises its limit, as far as the unit has it.
        let limits = machine.ok(&format!("cat /proc/{}/limits", machine.service("MainPID")));
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
        let files: Vec<&str> = files.split_whitespace().collect();
        assert!(files.len() == 3 && files[0] == files[1] && files[0] != "1024", "{limits}");

        // Attaching is quick if the kernel can be told to hurry. Who cannot end that again leaves a mark of it.
        let hurry = format!("/proc/{}/root/sys/kernel/rcu_expedited", machine.service("MainPID"));
        let opened = OpenOptions::new().write(true).open(machine.path(&hurry));
        assert!(opened.is_ok(), "{opened:?}");
        assert!(!machine.path("/sys/fs/bpf/filter-ctl/haste").exists());
        let other = OpenOptions::new().write(true).open(machine.path(&hurry.replace("expedited", "normal")));
        assert!(other.is_err_and(|error| error.kind() == ErrorKind::ReadOnlyFilesystem), "nothing else");

        let journal = machine.journal();
        for method in [
            "CreateSet",
            "AddToSet",
            "DefineProfile",
            "UpdateProfile",
            "Attach",
            "SetTimeouts",
            "Bind",
            "RestorePort",
        ] {
            assert!(
                journal.contains(&format!("method=\"{method}\"")),
                "{method} is not the daemon's work: {journal}"
            );
        }
        nothing_was_refused(machine);
        let by_service = machine.ok("filter-ctl doctor");
        machine.ok("systemctl stop filter-ctl.service filter-ctl.socket");
        assert_eq!(by_service, machine.ok("filter-ctl doctor"));
        let exposure = machine.ok("systemd-analyze security filter-ctl.service");
        let exposure = exposure.lines().last().unwrap_or_default();
        println!("{exposure}");
        let number = exposure.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        assert!(number.is_some_and(|number| number < 3.0), "{exposure}");
    });
}

/// Runs a story under a flood in which nothing may be lost or leak. Links are the same afterwards.
fn harmed(machine: &Machine, story: impl FnOnce(&dyn Fn(&str))) -> Sent {
    let scene = Scene::new();
    attach(machine, &scene);
    let links = machine.links(PORT);
    assert_eq!(links.len(), 2);
    let sent = while_flooded_and_counted(
        || machine.counts(PORT),
        &scene,
        |flood| {
            story(&|when: &str| flood.goes_on(when));
            assert_eq!(machine.links(PORT), links);
        },
    );
    assert!(sent.out > 100 && sent.to_vm > 100, "{sent:?}");
    assert_eq!(machine.ok("systemctl is-active filter-ctl.service filter-ctl.socket"), "active\nactive\n");
    assert_eq!(machine.status(PORT), "active");
    sent
}

#[test]
fn ports_stay_filtered_whatever_becomes_of_the_service() {
    with_machine("ports_stay_filtered_whatever_becomes_of_the_service", |machine| {
        let begun = Instant::now();
        let sent = harmed(machine, |goes_on| {
            let links = machine.links(PORT);
            let same = |when: &str| {
                goes_on(when);
                assert_eq!(machine.links(PORT), links, "{when}");
            };
            // More often than systemd tries by default.
            let mut process = machine.service("MainPID");
            for _ in 0..7 {
                machine.ok("systemctl kill --signal=KILL --kill-who=main filter-ctl.service");
                process = machine.other_process(&process);
                same("after it was killed");
            }
            assert_eq!(machine.service("NRestarts"), "7");
            machine.ok("systemctl restart filter-ctl.service");
            same("after it was started again");
            machine.ok("systemctl stop filter-ctl.service");
            thread::sleep(Duration::from_millis(100));
            same("while it is stopped");
            // A core of the daemon is of no use here, and large.
            machine.write(DROP_IN, "[Service]\nWatchdogSec=2s\nLimitCORE=0\n");
            machine.ok("systemctl daemon-reload");
            machine.ok("systemctl start filter-ctl.service");
            process = machine.service("MainPID");
            machine.ok("systemctl kill --signal=STOP --kill-who=main filter-ctl.service");
            machine.says("Watchdog timeout", 0);
            std::fs::remove_file(machine.path(DROP_IN)).expect("it was written");
            machine.ok("systemctl daemon-reload");
            machine.other_process(&process);
            same("after it was stopped by a signal");
        });
        nothing_was_refused(machine);
        println!("{sent:?}, {:?}", begun.elapsed());
    });
}

#[test]
fn ports_stay_filtered_while_the_service_has_no_bpf_file_system() {
    with_machine("ports_stay_filtered_while_the_service_has_no_bpf_file_system", |machine| {
        harmed(machine, |goes_on| {
            // One that finds folders of ours there when its mounts are made: it may keep none of them.
            machine.ok("systemctl restart filter-ctl.service");
            let process = machine.service("MainPID");
            machine.ok("umount /sys/fs/bpf");
            machine.says("nothing could be put right", 0);
            assert!(machine.links(PORT).is_empty());
            // Some more of its rounds.
            thread::sleep(Duration::from_secs(2));
            goes_on("while there is no BPF file system");
            machine.ok("mount -t bpf bpf /sys/fs/bpf");
            machine.wait("all is pinned again", || machine.links(PORT).len() == 2);
            machine.wait("the port is shown as filtered", || machine.status(PORT) == "active");
            goes_on("after all was pinned again");
            machine.ok("filter-ctl doctor");
            assert_eq!(machine.service("MainPID"), process, "it lives");
        });
    });
}

#[test]
fn a_service_with_a_bad_configuration_says_so_and_filters() {
    with_machine("a_service_with_a_bad_configuration_says_so_and_filters", |machine| {
        let scene = Scene::new();
        machine.ok(&format!("filter-ctl attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        let process = machine.service("MainPID");

        // A running one goes on with what it had.
        machine.write(CONFIGURATION, "rights = 3\n");
        machine.ok("systemctl reload filter-ctl.service");
        machine.says("unknown field `rights`", 0);
        assert_eq!(machine.service("MainPID"), process);

        // One that begins with it filters all the same.
        machine.ok("systemctl restart filter-ctl.service");
        let status = machine.run("systemctl status --lines=20 filter-ctl.service").stdout;
        let state = status.lines().find(|line| line.contains("Status: ")).unwrap_or_default();
        assert!(state.contains("nobody but root") && state.contains(CONFIGURATION), "{status}");
        assert!(status.contains("unknown field `rights`"), "{status}");
        passes_alone(&scene, &datagram(1), &spoofed_datagram(1));
        machine.ok("filter-ctl timeouts set udp=77");
        let told = machine.run("filter-ctl doctor").stdout;
        assert!(told.contains(CONFIGURATION) && told.contains("systemctl reload filter-ctl"), "{told}");

        machine.write(CONFIGURATION, "log = \"debug\"\n");
        machine.ok("systemctl reload filter-ctl.service");
        machine.wait("it has read it again", || machine.journal().contains("log: Debug"));
        let status = machine.run("systemctl status --lines=0 filter-ctl.service").stdout;
        assert!(!status.contains("Status: "), "{status}");
        assert!(!machine.run("filter-ctl doctor").stdout.contains(CONFIGURATION));
    });
}
