//! Who may ask the daemon for what, and what those who may not can do to it.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filter_tests::cli::{Daemon, Done, Operator, with_operator};
use filter_tests::generate::Rng;
use filter_tests::net;
use filter_tests::varlink::Varlink;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use serde_json::{Value, json};

use super::FILTER_CTL;

/// Numbers that no user and no group of a host has.
const STRANGER: u32 = 61_234;
const CHANGERS: u32 = 61_235;
const READERS: u32 = 61_236;

/// Runs a command line as another user, in this group.
fn as_user(operator: &Operator, group: u32, line: &str) -> Done {
    let mut command = Command::new(operator.files().join("filter-ctl"));
    command.env("FILTER_CTL_ROOT", operator.root()).env("FILTER_CTL_BPFFS", operator.pins());
    command.args(line.split_whitespace()).uid(STRANGER).gid(group).current_dir("/");
    Done::from(command.output().expect("it can be started"))
}

fn with_groups(operator: &Operator) -> String {
    // Folders on the way to the socket are open in places where they should be.
    for folder in [operator.files().to_owned(), operator.root()] {
        std::fs::create_dir_all(&folder).expect("there is room");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(&folder, open).expect("it is ours");
    }
    // What was built may lie where others may not go.
    std::fs::copy(FILTER_CTL, operator.files().join("filter-ctl")).expect("there is room");
    operator.file("daemon.toml", format!("change-group = \"{CHANGERS}\"\nread-group = \"{READERS}\"\n"))
}

#[test]
fn groups_say_who_may_look_and_who_may_change() {
    with_operator(FILTER_CTL, "access_groups", |operator| {
        let config = with_groups(operator);
        let daemon = operator.daemon(&["--config", &config]);
        let _tap = net::tap("vm0");

        let done = as_user(operator, CHANGERS, "attach vm0 --profile own-mac-only");
        assert_eq!(done.code, 0, "{}", done.stderr);
        let done = as_user(operator, READERS, "ports");
        assert!(done.code == 0 && done.stdout.contains("own-mac-only"), "{}{}", done.stdout, done.stderr);
        for line in
            ["list", "stats vm0", "dumpxml generic-layer2", "timeouts", "set list", "compile own-mac-only"]
        {
            let done = as_user(operator, READERS, line);
            assert_eq!(done.code, 0, "{line}: {}", done.stderr);
        }
        for line in ["detach vm0", "attach vm0 --profile generic-layer2", "timeouts reset", "unbind all"] {
            let done = as_user(operator, READERS, line);
            assert_eq!(done.code, 6, "{line}: {}", done.stderr);
            assert!(done.stderr.contains("may look, and not change"), "{line}: {}", done.stderr);
            let done = as_user(operator, STRANGER, line);
            assert_eq!(done.code, 6, "{line}: {}", done.stderr);
            assert!(done.stderr.contains("may neither look nor change"), "{line}: {}", done.stderr);
        }
        assert_eq!(as_user(operator, STRANGER, "ports").code, 6);
        assert_eq!(
            operator.port("vm0")["binding"]["profiles"],
            json!(["own-mac-only"]),
            "nothing has changed"
        );
        daemon.says(&["access denied", &format!("user={STRANGER}"), "Detach"]);

        // Nobody needs to be a stranger for ever.
        operator.file("daemon.toml", format!("change-group = \"{STRANGER}\"\n"));
        daemon.signal(rustix::process::Signal::HUP);
        daemon.says(&["read again"]);
        assert_eq!(as_user(operator, STRANGER, "detach vm0").code, 0);
        assert_eq!(as_user(operator, READERS, "ports").code, 6);
        // What makes no sense changes nothing.
        operator.file("daemon.toml", "change-group = \"no-such-group\"\n");
        daemon.signal(rustix::process::Signal::HUP);
        daemon.says(&["goes on with what it read before", "no-such-group"]);
        assert_eq!(as_user(operator, STRANGER, "ports").code, 0);
        // One that begins with it knows nobody but root.
        drop(daemon);
        let _daemon = operator.daemon(&["--config", &config]);
        assert_eq!(as_user(operator, STRANGER, "ports").code, 6);
        operator.ok("ports");
    });
}

#[test]
fn strangers_reach_nothing_but_the_socket() {
    with_operator(FILTER_CTL, "access_files", |operator| {
        let config = with_groups(operator);
        let _daemon = operator.daemon(&["--config", &config]);
        let run = operator.root().join("run");
        for (file, mode) in [("lock", 0o600), ("socket", 0o666), (".", 0o711)] {
            use std::os::unix::fs::PermissionsExt as _;
            let found = run.join(file).metadata().expect("it is there").permissions().mode() & 0o777;
            assert_eq!(found, mode, "{file}: {found:o}");
        }
    });
}

/// Asks something that must be answered soon, whatever others do.
fn answers(operator: &Operator) -> Duration {
    let begun = Instant::now();
    let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
    varlink.ok("ListPorts", &json!({}));
    begun.elapsed()
}

#[test]
fn malformed_huge_slow_and_abandoned_messages_do_no_harm() {
    with_operator(FILTER_CTL, "access_fuzz", |operator| {
        let daemon = operator.daemon(&[]);
        let _tap = net::tap("vm0");
        operator.ok("attach vm0 --profile own-mac-only");
        let before = operator.port("vm0");
        let connect = || UnixStream::connect(operator.socket()).expect("it listens");
        let good = json!({
            "method": "org.filter-ctl.Detach", "parameters": { "ports": ["vm0"] }
        })
        .to_string();
        let mut rng = Rng::new(1);
        // Cut, and never finished.
        for length in 0..good.len() {
            let mut socket = connect();
            socket.write_all(&good.as_bytes()[..length]).expect("it is read");
        }
        // Each byte another one: what is still a call is one of something else, or of nothing.
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = bytes[at].wrapping_add(1 + (rng.below(254)) as u8);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if serde_json::from_str::<Value>(&text).is_ok_and(|value| {
                value["method"] == "org.filter-ctl.Detach" && value["parameters"]["ports"] == json!(["vm0"])
            }) {
                continue;
            }
            let mut socket = connect();
            socket.set_read_timeout(Some(net::SOON)).expect("it is a socket");
            let _ = socket.write_all(&bytes).and_then(|()| socket.write_all(&[0]));
            let mut answer = Vec::new();
            let mut byte = [0];
            while socket.read(&mut byte).is_ok_and(|read| read > 0) && byte != [0] {
                answer.push(byte[0]);
            }
            if let Ok(answer) = serde_json::from_slice::<Value>(&answer) {
                assert!(answer["error"].is_string(), "{text}: {answer}");
            }
        }
        // Nothing but brackets: deeper than anybody reads.
        let mut socket = connect();
        let _ = socket.write_all(&vec![b'['; 1 << 20]).and_then(|()| socket.write_all(&[0]));
        // Values of other types, and unknown ones.
        let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
        for (method, parameters) in [
            ("Detach", json!({ "ports": "vm0" })),
            ("Detach", json!({ "ports": ["vm0"], "force": true })),
            ("Detach", json!([])),
            ("Attach", json!({ "ports": [{ "port": "vm0", "binding": { "profiles": 3 } }] })),
            ("CutFlows", json!({ "port": "vm0", "filter": { "local": "nowhere" } })),
            ("Explain", json!({ "subject": { "port": "vm0" }, "frames": [{ "hex": "xyz", "dir": "out" }] })),
            ("ImportFlows", json!({ "port": "vm0", "file": { "bytes": "!" } })),
        ] {
            let (error, told) = varlink.call(method, &parameters).expect_err("it makes no sense");
            assert_eq!(
                (error.as_str(), &told["code"]),
                ("org.filter-ctl.Failed", &json!(5)),
                "{method}: {told}"
            );
        }
        let unknown = varlink.exchange(&json!({ "method": "org.filter-ctl.Destroy" })).expect("it answers");
        assert_eq!(unknown["error"], "org.varlink.service.MethodNotFound");
        let unknown = varlink.exchange(&json!({ "method": "com.example.Destroy" })).expect("it answers");
        assert_eq!(unknown["error"], "org.varlink.service.InterfaceNotFound");
        // Slow ones, many of them, hold nobody up.
        let slow: Vec<UnixStream> = (0..100)
            .map(|_| {
                let mut socket = connect();
                socket.write_all(b"{\"method\"").expect("it is read");
                socket
            })
            .collect();
        assert!(answers(operator) < Duration::from_secs(5));
        drop(slow);
        // One that asks for more and reads nothing.
        let mut deaf = connect();
        let message = json!({ "method": "org.filter-ctl.ListPorts", "parameters": {}, "more": true });
        deaf.write_all(message.to_string().as_bytes())
            .and_then(|()| deaf.write_all(&[0]))
            .expect("it is read");
        // And one that hands in what takes long, and goes away.
        for _ in 0..10 {
            let mut socket = connect();
            let message = json!({
                "method": "org.filter-ctl.Compile",
                "parameters": { "binding": before["binding"], "among": [] }
            });
            socket
                .write_all(message.to_string().as_bytes())
                .and_then(|()| socket.write_all(&[0]))
                .expect("it is read");
        }
        assert!(answers(operator) < Duration::from_secs(5));
        assert_eq!(operator.port("vm0"), before, "nothing has changed");
        drop(deaf);
        assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    });
}

/// The most memory that a daemon has had, in kilobytes.
fn most_memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    peak.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

#[test]
fn a_huge_message_is_refused_before_it_is_dear() {
    with_operator(FILTER_CTL, "access_huge", |operator| {
        let daemon = operator.daemon(&[]);
        let mut socket = UnixStream::connect(operator.socket()).expect("it listens");
        let piece = vec![b' '; 1 << 20];
        let mut sent = 0;
        while sent < 256 << 20 && socket.write_all(&piece).is_ok() {
            sent += piece.len();
        }
        assert!(sent < 256 << 20, "nothing ends it");
        let kilobytes = most_memory(&daemon);
        assert!(kilobytes < 400_000, "{kilobytes} kB");
        thread::sleep(Duration::from_millis(10));
        assert!(answers(operator) < Duration::from_secs(5));
    });
}

#[test]
fn a_dense_message_is_no_larger_than_it_is() {
    with_operator(FILTER_CTL, "access_dense", |operator| {
        let daemon = operator.daemon(&[]);
        let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
        let before = most_memory(&daemon);
        let mut refused = |method: &str, parameters: &str| {
            let message = format!(r#"{{"method":"org.filter-ctl.{method}","parameters":{parameters}}}"#);
            varlink.send(message.as_bytes()).expect("it is read");
            let told = varlink.receive().expect("it answers");
            assert_eq!(told["error"], "org.filter-ctl.Failed", "{told}");
            assert_eq!(told["parameters"]["code"], 5, "{told}");
        };
        for piece in ["0,", r#"{"a":0},"#, "[],"] {
            let many = piece.repeat((8 << 20) / piece.len());
            refused("Detach", &format!(r#"{{"ports":[{many}0]}}"#));
            refused("Stats", &format!(r#"{{"port":"vm0","other":[{many}0],"every":1}}"#));
            refused("Stats", &format!("[{many}0]"));
            refused("Explain", &format!(r#"{{"subject":{{}},"frames":[{many}0]}}"#));
        }
        let more = most_memory(&daemon) - before;
        assert!(more < 100_000, "{more} kB");
    });
}

#[test]
fn who_may_only_look_has_little_to_say() {
    with_operator(FILTER_CTL, "access_little", |operator| {
        let config = with_groups(operator);
        let daemon = operator.daemon(&["--config", &config]);
        let validate = |length: usize| {
            let document = json!({ "file": "a.xml", "xml": " ".repeat(length) });
            let parameters = json!({ "documents": [document] });
            json!({ "method": "org.filter-ctl.ValidateProfiles", "parameters": parameters })
        };
        let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
        let told = varlink.exchange(&validate(5 << 20)).expect("it answers");
        assert!(told["error"].is_null(), "root may: {told}");
        thread::scope(|scope| {
            scope.spawn(|| {
                become_user(STRANGER, READERS);
                let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
                let told = varlink.exchange(&validate(3 << 20)).expect("it answers");
                assert!(told["error"].is_null(), "{told}");
                let told = varlink.exchange(&validate(5 << 20)).expect("it answers");
                assert_eq!(told["parameters"]["code"], 5, "{told}");
                let message = told["parameters"]["message"].as_str().unwrap_or_default();
                assert!(message.contains("4194304 bytes"), "{message}");
            });
        });
        daemon.says(&["a message was too long", &format!("user={STRANGER}")]);
        assert_eq!(as_user(operator, READERS, "ports").code, 0);
    });
}

#[test]
fn who_has_much_explained_keeps_no_change_waiting() {
    with_operator(FILTER_CTL, "access_explain", |operator| {
        let config = with_groups(operator);
        let _daemon = operator.daemon(&["--config", &config]);
        let _tap = net::tap("vm0");
        operator.ok("attach vm0 --profile own-mac-only");
        let frame = "ffffffffffff525400123456080600010800060400015254001234560a0000010000000000000a000002";
        let explain = |count: usize| {
            let frames = vec![json!({ "hex": frame, "dir": "out" }); count];
            let parameters = json!({ "subject": { "port": "vm0" }, "frames": frames });
            json!({ "method": "org.filter-ctl.Explain", "parameters": parameters })
        };
        let (many, most) = (explain(20_000).to_string() + "\0", explain(4096).to_string() + "\0");
        let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _over = Over(&over);
            for _ in 0..16 {
                scope.spawn(|| {
                    become_user(STRANGER, READERS);
                    let mut socket = UnixStream::connect(operator.socket()).expect("it listens");
                    let mut answer = vec![0; 1 << 20];
                    for asked in [&many, &most].into_iter().cycle() {
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                        socket.write_all(asked.as_bytes()).expect("it is read");
                        let mut read = 0;
                        while read == 0 || answer[read - 1] != 0 {
                            read = socket.read(&mut answer).expect("it answers");
                            assert!(read > 0, "it is not refused");
                        }
                    }
                });
            }
            thread::sleep(Duration::from_secs(1));
            for seconds in 1..=5 {
                let begun = Instant::now();
                varlink.ok("SetTimeouts", &json!({ "timeouts": { "udp": 30 + seconds } }));
                let took = begun.elapsed();
                assert!(took < Duration::from_secs(10), "{took:?}");
            }
        });
        let explained = varlink.exchange(&explain(4096)).expect("it answers");
        assert_eq!(explained["parameters"]["frames"].as_array().map(Vec::len), Some(4096));
        for count in [4097, 20_000] {
            let told = varlink.exchange(&explain(count)).expect("it answers");
            assert_eq!(told["parameters"]["code"], 5, "{told}");
            let message = told["parameters"]["message"].as_str().unwrap_or_default();
            assert!(message.contains("4096"), "{message}");
        }
    });
}

/// Makes this thread, and no other, one of another user, in this group.
fn become_user(user: u32, group: u32) {
    set_thread_groups(&[]).expect("it is root's");
    set_thread_gid(Gid::from_raw(group)).expect("it is root's");
    set_thread_uid(Uid::from_raw(user)).expect("it is root's");
}

/// Has as many connections as one user may have, in this group, and makes a new one for each that is ended.
fn crowds(socket: &Path, user: u32, group: u32, over: &AtomicBool) {
    become_user(user, group);
    let connect = || {
        let socket = UnixStream::connect(socket).expect("it listens");
        socket.set_nonblocking(true).expect("it is a socket");
        socket
    };
    let mut sockets: Vec<UnixStream> = (0..32).map(|_| connect()).collect();
    while !over.load(Ordering::Relaxed) {
        for socket in &mut sockets {
            match socket.read(&mut [0; 1024]) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => *socket = connect(),
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// It is over when this is dropped, also where something has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something while many users of this group have all places they can get.
fn in_a_crowd(operator: &Operator, group: u32, then: impl FnOnce()) {
    let (socket, over) = (operator.socket(), AtomicBool::new(false));
    thread::scope(|scope| {
        let _over = Over(&over);
        for user in 0..12 {
            let (socket, over) = (&socket, &over);
            scope.spawn(move || crowds(socket, 70_000 + user, group, over));
        }
        thread::sleep(Duration::from_millis(500));
        then();
    });
}

#[test]
fn nobody_takes_the_place_of_one_who_may_do_more() {
    with_operator(FILTER_CTL, "access_places", |operator| {
        let config = with_groups(operator);
        let daemon = operator.daemon(&["--config", &config]);
        let is_answered = |group: Option<u32>| {
            for _ in 0..5 {
                let begun = Instant::now();
                let done =
                    group.map_or_else(|| operator.run("ports"), |group| as_user(operator, group, "ports"));
                assert_eq!(done.code, 0, "{group:?}: {}", done.stderr);
                assert!(begun.elapsed() < Duration::from_secs(5), "{group:?}: {:?}", begun.elapsed());
            }
        };
        in_a_crowd(operator, STRANGER, || {
            daemon.says(&["too many connections"]);
            is_answered(None);
            is_answered(Some(CHANGERS));
            is_answered(Some(READERS));
        });
        in_a_crowd(operator, READERS, || {
            is_answered(None);
            is_answered(Some(CHANGERS));
        });
        in_a_crowd(operator, CHANGERS, || is_answered(None));
        // All places are given back.
        thread::sleep(Duration::from_millis(500));
        is_answered(Some(CHANGERS));
        is_answered(Some(READERS));
    });
}
