//! What is asked for again and again comes by itself: one call, and many answers, whatever becomes of the daemon meanwhile.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use filter_tests::cli::{Operator, with_operator};
use filter_tests::net;
use filter_tests::scene::{PORT, Scene, datagram};
use filter_tests::varlink::Varlink;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::FILTER_CTL;

/// A command that goes on; ended when dropped.
struct Watching {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Watching {
    fn new(operator: &Operator, line: &str) -> Self {
        let mut command = operator.command();
        let mut process =
            command.args(line.split(' ')).stdout(Stdio::piped()).spawn().expect("it can be started");
        let output = BufReader::new(process.stdout.take().expect("it is a pipe"));
        Self { process, output }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it goes on");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How many datagrams passed.
fn passed(stats: &Value) -> u64 {
    let rules = stats["rules"].as_array().expect("there are rules").iter();
    rules.map(|rule| rule["packets"].as_u64().expect("it is a number")).sum()
}

#[test]
fn counters_are_watched_whatever_becomes_of_the_daemon() {
    with_operator(FILTER_CTL, "watch_stats", |operator| {
        let scene = Scene::new();
        let mut daemon = operator.daemon(&[]);
        operator.ok(&format!("attach {PORT} --profile own-mac-only"));
        let mut watching = Watching::new(operator, &format!("--json stats {PORT} --watch 1"));
        let mut seen = passed(&watching.next());
        let mut grows = |watching: &mut Watching, number: u32| {
            scene.comes_out("a datagram", &datagram(number));
            // Answers that were on their way, many on a slow machine, do not know of it.
            let (before, until) = (seen, Instant::now() + Duration::from_secs(60));
            while seen == before {
                assert!(Instant::now() < until, "datagram {number} is not counted");
                seen = passed(&watching.next());
            }
            assert!(seen > before, "{before} packets were counted, now {seen}");
        };
        grows(&mut watching, 1);
        grows(&mut watching, 2);
        daemon.signal(Signal::KILL);
        daemon.ended();
        grows(&mut watching, 3);
        let _daemon = operator.daemon(&[]);
        grows(&mut watching, 4);
        // What fails ends it.
        operator.ok(&format!("detach {PORT}"));
        let mut rest = String::new();
        watching.output.read_to_string(&mut rest).expect("it ends");
        assert!(rest.lines().last().is_some_and(|last| last.contains("is not attached")), "{rest}");
        assert_eq!(watching.process.wait().expect("it ended").code(), Some(3));
    });
}

#[test]
fn who_watches_asks_once() {
    with_operator(FILTER_CTL, "watch_once", |operator| {
        operator.ok("list");
        std::fs::create_dir_all(operator.root().join("run")).expect("there is room");
        let listener = UnixListener::bind(operator.socket()).expect("nobody else listens");
        let mut watching = Watching::new(operator, "--json flows vm0 --watch --summary");
        let (mut peer, _) = listener.accept().expect("it connects");
        let mut asked = Vec::new();
        let mut byte = [1];
        while byte != [0] {
            peer.read_exact(&mut byte).expect("it asks");
            asked.push(byte[0]);
        }
        asked.pop();
        let asked: Value = serde_json::from_slice(&asked).expect("it is JSON");
        assert_eq!(
            asked,
            json!({
                "method": "org.filter-ctl.SummarizeFlows", "parameters": { "port": "vm0", "every": 1 }, "more": true
            })
        );
        for used in 0..20 {
            let summary = json!({ "used": used, "notes": 0, "room": 8192, "refused": 0, "moving": false });
            let reply = json!({ "continues": true, "parameters": summary });
            peer.write_all(format!("{reply}\0").as_bytes()).expect("it reads");
            assert_eq!(watching.next()["used"], used);
        }
    });
}

#[test]
fn answers_come_as_often_as_was_asked_for() {
    with_operator(FILTER_CTL, "watch_every", |operator| {
        let _daemon = operator.daemon(&[]);
        let _tap = net::tap(PORT);
        operator.ok(&format!("attach {PORT} --profile own-mac-only"));
        let ask = |every: Value| {
            let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
            let parameters = json!({ "port": PORT, "every": every });
            let more = json!({ "method": "org.filter-ctl.Stats", "parameters": parameters, "more": true });
            varlink.send(more.to_string().as_bytes()).expect("it is read");
            varlink
        };
        for (every, at_least) in [(Value::Null, 1), (json!(1), 1), (json!(2), 2)] {
            let mut varlink = ask(every.clone());
            let begun = Instant::now();
            for _ in 0..3 {
                let reply = varlink.receive().expect("it answers");
                assert_eq!((&reply["continues"], &reply["parameters"]["port"]), (&json!(true), &json!(PORT)));
            }
            let took = begun.elapsed();
            assert!(took >= Duration::from_secs(2 * at_least), "{every}: {took:?}");
        }
        for wrong in [json!(0), json!(3601), json!(-1), json!("1"), json!(1.5)] {
            let reply = ask(wrong.clone()).receive().expect("it answers");
            assert_eq!(reply["error"], "org.varlink.service.InvalidParameter", "{wrong}");
            assert_eq!(reply["parameters"]["parameter"], "every", "{wrong}");
        }
        // Once, whatever is said of times between.
        let mut varlink = Varlink::connect(&operator.socket()).expect("it listens");
        assert_eq!(varlink.ok("Stats", &json!({ "port": PORT, "every": 5 }))["port"], PORT);
        // Who goes away gives its place back at once, however long the time between is.
        for _ in 0..300 {
            let mut varlink = ask(json!(3600));
            varlink.receive().unwrap_or_else(|error| panic!("there is a place: {error}"));
            drop(varlink);
            thread::sleep(Duration::from_millis(1));
        }
    });
}
