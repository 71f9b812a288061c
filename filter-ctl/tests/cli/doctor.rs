//! `doctor`: a host where all is well is told so, and what is not is said, with what else is on the host and its ports,
//! and what keeps us from filtering.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aya::programs::links::{FdLink, PinnedLink};
use filter_common::{ABI_VERSION, maps};
use filter_ctl::engine::drift;
use filter_ctl::store::Folders;
use filter_tests::cli::{Done, Operator, can_meddle, with_operator};
use filter_tests::flood::profile;
use filter_tests::foreign::Intruder;
use filter_tests::frames::{Ipv4, udp};
use filter_tests::net;
use filter_tests::scene::{PORT, Scene, to_vm4, v4};
use serde_json::Value;

use super::FILTER_CTL;
use super::drift::{array, attach, calls_of_bpf, checks, diagnose, leaks, pin};
use super::profiles::no_ports;

#[test]
fn a_healthy_host_is_told_so_and_so_is_one_where_nothing_is_loaded() {
    with_operator(FILTER_CTL, "doctor_healthy", |operator| {
        let text = operator.ok("doctor");
        assert!(text.contains("nothing is loaded: no port is filtered"), "{text}");
        assert!(text.contains("host\n") && text.contains("data path\n") && !text.contains('\x1b'), "{text}");
        let message = operator.fails(&format!("doctor {PORT}"), 3);
        assert!(message.contains("not attached"), "{message}");

        let scene = Scene::new();
        attach(operator, &scene);
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!((code, checks(&diagnosis, "problem")), (0, vec![]), "{diagnosis}");
        let fine = checks(&diagnosis, "ok");
        for check in
            ["kernel", "capabilities", "bpf-file-system", "build", "maps", "filtered", "bridge-netfilter"]
        {
            assert!(fine.iter().any(|found| found == check), "{check}: {diagnosis}");
        }
        let ours = |stack: &Value| {
            stack["programs"].as_array().is_some_and(|it| it.len() == 1)
                && stack["programs"][0]["ours"] == true
        };
        assert!(diagnosis["stacks"].as_array().unwrap().iter().all(ours), "{diagnosis}");
        let text = operator.ok(&format!("doctor {PORT}"));
        assert!(text.contains(&format!("port {PORT}\n")) && text.contains("(ours)"), "{text}");
        operator.fails("doctor vm9", 3);

        // An interface that is gone is no problem.
        drop(scene);
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!((code, checks(&diagnosis, "note").contains(&"gone".to_owned())), (0, true), "{diagnosis}");
    });
}

/// Interfaces and programs of others come and go while it is asked what runs on a hook.
#[test]
fn what_goes_away_while_it_is_looked_at_is_no_problem() {
    with_operator(FILTER_CTL, "doctor_vanish", |operator| {
        if !can_meddle("what_goes_away_while_it_is_looked_at_is_no_problem") {
            return;
        }
        let scene = Scene::new();
        attach(operator, &scene);
        let line = ["--json", "doctor", PORT];
        let all = calls_of_bpf(operator, &line);
        // The n-th call that is one of these.
        let calls = |name: &str| -> Vec<usize> {
            all.iter().enumerate().filter(|(_, call)| call.contains(name)).map(|(at, _)| at + 1).collect()
        };
        let (asked, opened) = (calls("BPF_PROG_QUERY"), calls("BPF_PROG_GET_FD_BY_ID"));
        assert!(asked.len() >= 4 && opened.len() >= asked.len(), "{asked:?} {opened:?}");
        let mut gone = 0;
        for (error, number) in
            asked.iter().map(|call| ("ENODEV", call)).chain(opened.iter().map(|call| ("ENOENT", call)))
        {
            let done = operator.failing_at("bpf", *number, error).args(line).output().unwrap();
            let diagnosis: Value = serde_json::from_slice(&done.stdout).unwrap();
            let wrong = [checks(&diagnosis, "problem"), checks(&diagnosis, "warning")];
            assert_eq!(
                (done.status.code(), wrong),
                (Some(0), [vec![], vec![]]),
                "{error} {number}: {diagnosis}"
            );
            let is_gone = checks(&diagnosis, "note").contains(&"gone".to_owned());
            assert!(error == "ENODEV" || !is_gone, "{number}: {diagnosis}");
            gone += usize::from(is_gone);
        }
        // Two looks are for drift, which does not tell it from one that was gone before; the last two are for what is shown.
        assert_eq!(gone, 2);
    });
}

#[test]
fn what_else_is_on_the_host_is_seen() {
    with_operator(FILTER_CTL, "doctor_host", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        // The host's firewall.
        fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "1").unwrap();
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!(
            (code, checks(&diagnosis, "note")),
            (0, vec!["bridge-netfilter".to_owned()]),
            "{diagnosis}"
        );
        fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0").unwrap();
        // A filter behind us.
        let tc = |line: &str| {
            let done = Command::new("tc").args(line.split(' ')).output().expect("there is tc");
            assert!(done.status.success(), "{line}: {done:?}");
        };
        tc(&format!("qdisc add dev {PORT} clsact"));
        assert_eq!(checks(&diagnose(operator, "").1, "note"), [""; 0]);
        let program = pin(operator, "programs/filter_vm_out");
        tc(&format!("filter add dev {PORT} ingress bpf direct-action object-pinned {}", program.display()));
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!((code, checks(&diagnosis, "note")), (0, vec!["behind".to_owned()]), "{diagnosis}");
        assert_eq!(diagnosis["stacks"][0]["programs"][1]["place"], "clsact");
        tc(&format!("qdisc del dev {PORT} clsact"));

        // Another build's programs, a damaged file of a port, a profile that was changed by hand, a file that is gone.
        let identity = pin(operator, "programs/identity");
        fs::remove_file(&identity).unwrap();
        assert_eq!(checks(&diagnose(operator, "").1, "warning"), ["build"]);
        operator.ok("upgrade");
        // An upgrade that died.
        fs::create_dir(pin(operator, "incoming")).unwrap();
        assert_eq!(checks(&diagnose(operator, "").1, "warning"), ["upgrade"]);
        operator.ok("upgrade");
        let profile = operator.root().join("profiles/web.xml");
        fs::write(&profile, no_ports("web", "443")).unwrap();
        let (code, diagnosis) = diagnose(operator, "--repair");
        assert_eq!((code, checks(&diagnosis, "warning")), (0, vec!["other-rules".to_owned()]), "{diagnosis}");
        assert!(!leaks(&scene), "what was changed by hand is not put in force");
        fs::write(&profile, no_ports("web", "80")).unwrap();
        let file = operator.root().join(format!("run/ports/{}.json", net::ifindex(PORT)));
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(checks(&diagnose(operator, "").1, "problem"), ["file"]);
        fs::remove_file(&file).unwrap();
        assert_eq!(checks(&diagnose(operator, "").1, "problem"), ["stray"]);
        fs::write(&file, &whole).unwrap();
        let done = operator.run("doctor");
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");

        // Another's layout.
        fs::rename(operator.pins().join(format!("v{ABI_VERSION}")), operator.pins().join("v1")).unwrap();
        let done = operator.run("doctor");
        assert_eq!(done.code, 7);
        assert!(
            done.stdout.contains("layout version 1") && done.stderr.contains("1 problem found"),
            "{done:?}"
        );
    });
}

#[test]
fn a_program_where_frames_come_first_is_seen() {
    with_operator(FILTER_CTL, "doctor_xdp", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        let intruder = Intruder::xdp(net::ifindex(PORT)).unwrap();
        let (code, diagnosis) = diagnose(operator, "--repair");
        assert_eq!((code, checks(&diagnosis, "warning")), (0, vec!["xdp".to_owned()]), "{diagnosis}");
        let [out, to_vm] = [0, 1].map(|stack| diagnosis["stacks"][stack]["programs"].as_array().unwrap());
        let place = |program: &Value| {
            (
                program["place"].as_str().unwrap().to_owned(),
                program["may_pass_us"] == true,
                program["ours"] == true,
            )
        };
        let ours = ("tcx".to_owned(), false, true);
        assert_eq!(
            out.iter().map(place).collect::<Vec<_>>(),
            [("xdp".to_owned(), true, false), ours.clone()]
        );
        assert_eq!(to_vm.iter().map(place).collect::<Vec<_>>(), [ours]);
        assert!(out[0]["id"].as_u64().is_some_and(|id| id != 0), "{diagnosis}");
        let text = operator.ok("doctor");
        assert!(text.contains("(BEFORE US)") && text.contains("1 warning"), "{text}");
        assert!(!leaks(&scene), "it is only seen");
        drop(intruder);
        assert_eq!(checks(&diagnose(operator, "").1, "warning"), [""; 0]);
    });
}

#[test]
fn what_a_port_was_asked_to_do_is_told_where_it_may_matter() {
    with_operator(FILTER_CTL, "doctor_ports", |operator| {
        let scene = Scene::new();
        attach(operator, &scene);
        operator.ok(&format!("create {}", operator.file("live.xml", profile(""))));
        operator.ok(&format!("attach {PORT} --profile live --fail open --flows-max 8"));
        assert_eq!(checks(&diagnose(operator, "").1, "note"), ["fail-open"]);
        // More connections than there is room for.
        for source in 1..=16 {
            scene.guest.send(&v4(&Ipv4::default(), udp(source, 5000, b"question")));
            scene.peer.send(&to_vm4(&Ipv4::default(), udp(5000, source, b"answer")));
        }
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!((code, checks(&diagnosis, "warning")), (0, vec!["connections".to_owned()]), "{diagnosis}");
        operator.ok(&format!("flows cut {PORT} --all"));
        let (code, diagnosis) = diagnose(operator, "");
        assert_eq!((code, checks(&diagnosis, "warning")), (0, vec![]), "{diagnosis}");
        assert_eq!(checks(&diagnosis, "note"), ["fail-open", "connections"], "some were refused");
    });
}

/// Runs a command line without capabilities.
fn run_without(operator: &Operator, capabilities: &str, line: &str) -> Done {
    let command = operator.command();
    let mut without = Command::new("setpriv");
    let keep_out: Vec<String> = capabilities.split(' ').map(|name| format!("-{name}")).collect();
    without.args(["--bounding-set", &keep_out.join(",")]).arg(command.get_program());
    without.args(line.split_whitespace());
    without.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    without.output().map(Done::from).expect("there is setpriv")
}

/// All files and folders below one.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        found.extend(tree(&path));
        found.push(path);
    }
    found.sort();
    found
}

/// Sets of capabilities without which nothing can be attached.
const DENIED: &str = "permission denied; filter-ctl needs root, or CAP_SYS_ADMIN";
const TAKEN: [&str; 4] = ["all", "sys_admin", "net_admin sys_admin", "bpf perfmon sys_admin"];

#[test]
fn who_lacks_a_capability_is_told_so_and_nothing_is_half_done() {
    with_operator(FILTER_CTL, "doctor_capabilities", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("create {}", operator.file("web.xml", no_ports("web", "80"))));
        let found = |capabilities: &str| -> Value {
            let done = run_without(operator, capabilities, "--json doctor");
            assert_eq!(done.code, 7, "{capabilities}: {done:?}");
            let first = done.stdout.lines().next().unwrap_or_default();
            let diagnosis: Value = serde_json::from_str(first).unwrap();
            assert!(checks(&diagnosis, "problem").contains(&"capabilities".to_owned()), "{diagnosis}");
            let findings = diagnosis["findings"].as_array().unwrap();
            findings.iter().find(|finding| finding["check"] == "capabilities").unwrap()["found"].clone()
        };
        let state = || {
            let ports = tree(&operator.root().join("run/ports"));
            let files: Vec<_> = ports.iter().map(|file| fs::read(file).unwrap()).collect();
            (ports, files, tree(operator.pins()))
        };
        let before = state();
        for capabilities in TAKEN {
            assert_eq!(found(capabilities), "no CAP_SYS_ADMIN");
            let done = run_without(operator, capabilities, &format!("attach {PORT} --profile web"));
            assert_eq!((done.code, done.stdout.as_str()), (6, ""), "{capabilities}: {done:?}");
            assert!(done.stderr.contains(DENIED), "{capabilities}: {done:?}");
            assert_eq!(state(), before, "{capabilities}: nothing is there that was not");
        }
        // The same where programs are loaded, and a port has a policy.
        operator.ok("destroy web");
        attach(operator, &scene);
        let entries = |name: &str| array::<u32>(operator, maps::IFINDEX).get(&net::ifindex(name), 0).unwrap();
        let before = (state(), entries(PORT), operator.counts(PORT));
        for capabilities in TAKEN {
            assert_eq!(found(capabilities), "no CAP_SYS_ADMIN");
            for line in ["attach peer0 --profile web", "upgrade --again"] {
                let done = run_without(operator, capabilities, line);
                assert_eq!((done.code, done.stdout.as_str()), (6, ""), "{capabilities}: {line}: {done:?}");
                assert!(done.stderr.contains(DENIED), "{capabilities}: {line}: {done:?}");
            }
            assert_eq!(entries("peer0"), 0, "{capabilities}");
            assert_eq!((state(), entries(PORT), operator.counts(PORT)), before, "{capabilities}");
        }
        assert!(!leaks(&scene));
        // One stands for all.
        for line in ["doctor", "attach peer0 --profile web", "detach peer0"] {
            let done = run_without(operator, "net_admin bpf perfmon", line);
            assert_eq!(done.code, 0, "{line}: {done:?}");
        }
    });
}

/// Many ports on which all is right: nothing is installed again, and it is seen quickly.
#[test]
fn many_right_ports_are_looked_at_in_no_time_and_left_alone() {
    with_operator(FILTER_CTL, "doctor_many", |operator| {
        let count: u32 = if std::env::var_os("FILTER_CTL_QUICK").is_some() { 20 } else { 200 };
        let mut lines = String::new();
        for number in 0..count {
            net::ip(&format!("link add name v{number} type veth peer name w{number}"));
            lines += &format!(
                "v{number} mac=52:54:00:00:00:{:02x} ip=192.0.2.{}\n",
                number % 250,
                number % 250 + 1
            );
        }
        operator.ok(&format!("attach --bindings {} --profile generic-layer2", operator.file("ports", lines)));
        let links = || -> Vec<u32> {
            let entries = fs::read_dir(pin(operator, "links")).unwrap();
            let mut ids: Vec<u32> = entries
                .map(|entry| PinnedLink::from_pin(entry.unwrap().path()).unwrap())
                .map(|link| FdLink::from(link).info().unwrap().id())
                .collect();
            ids.sort_unstable();
            ids
        };
        let ifindex = net::ifindex("v0");
        let entry = || array::<u32>(operator, maps::IFINDEX).get(&ifindex, 0).unwrap();
        let before = (links(), entry());
        assert_eq!(before.0.len(), 2 * count as usize);
        let folders = Folders::new(Some(&operator.root()), Some(operator.pins()));
        let start = Instant::now();
        let found = drift(&folders).unwrap();
        let took = start.elapsed();
        assert_eq!(found, []);
        println!("{count} ports in {took:?}, {:?} each", took / count);
        assert!(took / count < Duration::from_millis(5), "{took:?}");
        let (code, diagnosis) = diagnose(operator, "--repair");
        assert_eq!((code, checks(&diagnosis, "problem")), (0, vec![]));
        assert_eq!((links(), entry()), before, "nothing was installed again");
    });
}
