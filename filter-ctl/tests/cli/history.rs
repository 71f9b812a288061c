//! What was changed: counted, shown, gone back behind; and what the journal says when commands die, disks are full and
//! lines are damaged.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use filter_ctl::datapath::Datapath;
use filter_tests::cli::{Done, Operator, can_meddle, with_operator};
use filter_tests::net;
use filter_tests::scene::{ADDRESSES, PORT, Scene, connect, datagram};
use serde_json::{Value, json};

use super::FILTER_CTL;
use super::profiles::no_ports;

fn generation(operator: &Operator) -> u64 {
    operator.json("log -n 1")["generation"].as_u64().unwrap()
}

/// The kernel's record of a port: how often it was published.
fn record(operator: &Operator, port: &str) -> Option<u32> {
    let datapath = Datapath::look_at(operator.pins()).unwrap()?;
    Some(datapath.published_on(net::ifindex(port))?.generation)
}

fn web(operator: &Operator, ports: &str) -> String {
    operator.file(&format!("web{ports}.xml"), no_ports("web", ports))
}

/// Whether a connection to this port of the peer can begin.
fn passes(scene: &Scene, port: u16) -> bool {
    scene.guest.send(&connect(port));
    scene.peer.wait_for(Duration::from_millis(200), |seen| seen == connect(port)).is_some()
}

/// The parts of the journal, in order.
fn parts(operator: &Operator) -> Vec<PathBuf> {
    let folder = operator.root().join("state/journal");
    let mut parts: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none())
        .collect();
    parts.sort();
    parts
}

#[test]
fn each_command_is_one_generation() {
    with_operator(FILTER_CTL, "history", |operator| {
        let names: Vec<String> = (0..20).map(|number| format!("vm{number}")).collect();
        let _taps: Vec<_> = names.iter().map(|name| net::tap(name)).collect();
        let all = names.join(" ");
        assert_eq!(operator.json("log")["entries"], json!([]));
        let file = web(operator, "23");
        let lines = [
            format!("create {file}"),
            format!("attach {all} --profile web"),
            format!("attach vm3 --profile web {ADDRESSES}"),
            format!("update {}", web(operator, "24")),
            "timeouts set udp=7".to_owned(),
            "timeouts reset".to_owned(),
            "set create friends --type address".to_owned(),
            "set destroy friends".to_owned(),
            "create-from web other".to_owned(),
            "destroy other".to_owned(),
            "detach vm0 vm1".to_owned(),
            format!("define {}", operator.file("third.xml", no_ports("third", "1"))),
            "undefine third".to_owned(),
        ];
        for (number, line) in (1..).zip(&lines) {
            let done = operator.json(line);
            let said = if done.is_array() { &done[0]["generation"] } else { &done["generation"] };
            assert_eq!(said, &json!(number), "{line}: {done}");
            assert_eq!(generation(operator), number, "{line}");
        }
        // What changes nothing is none.
        assert_eq!(operator.json(&format!("define {}", web(operator, "24")))["generation"], 13);
        operator.fails("attach vm2 --profile nobody", 3);
        operator.fails(&format!("update {}", operator.file("bad.xml", "<FilterPool name='web'")), 5);
        operator.ok("set list");
        assert_eq!(generation(operator), 13);

        let log = operator.json("log -n 0");
        let entries = log["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 13);
        assert_eq!(entries[0]["generation"], 13, "the newest first");
        let of = |generation: usize| &entries[13 - generation];
        assert_eq!(of(2)["ports"].as_array().unwrap().len(), 20);
        assert_eq!(of(2)["ports"][4]["action"], "attached");
        assert_eq!(of(2)["ports"][4]["binding"]["profiles"], json!(["web"]));
        assert_eq!(of(3)["ports"][0]["action"], "rebound");
        assert_eq!(of(4)["ports"].as_array().unwrap().len(), 20);
        assert_eq!(of(4)["ports"][19]["action"], "updated");
        assert_eq!(of(11)["ports"][1]["action"], "detached");
        assert_eq!(of(7)["sets"], json!([{ "name": "friends", "type": "address", "made": true }]));
        assert_eq!(of(2)["author"]["uid"], 0);
        assert!(of(2)["author"]["command"].as_str().unwrap().contains("attach vm0 vm1 vm2"));
        assert!(of(2)["time"].as_str().unwrap().ends_with('Z'), "{}", of(2));

        // Who looks for something finds it, and people can read it.
        let found = operator.json("log --port vm3");
        assert_eq!(found["entries"].as_array().unwrap().len(), 3);
        assert_eq!(operator.json("log --profile third")["entries"].as_array().unwrap().len(), 2);
        let table = operator.ok("log -n 3");
        assert!(table.starts_with("GENERATION  WHEN") && table.lines().count() == 4, "{table}");
        let one = operator.ok("log 4");
        assert!(one.contains("--- a/web\n+++ b/web\n") && one.contains('+'), "{one}");
        assert!(one.contains(">23<") && one.contains(">24<") && one.contains("port    vm19 "), "{one}");
        operator.fails("log 14", 3);

        // Behind sudo it is who called it.
        let done = operator.run_with("create-from web mine", "", &[("SUDO_UID", "1")]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert_eq!(operator.json("log 14")["author"]["uid"], 1);
    });
}

#[test]
fn a_stale_generation_is_refused() {
    with_operator(FILTER_CTL, "stale", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("create {}", web(operator, "23")));
        operator.ok(&format!("attach {PORT} --profile web"));
        let before = record(operator, PORT);
        let file = web(operator, "24");
        for line in [
            format!("update {file} --if-generation 1"),
            format!("attach {PORT} --profile generic-layer2 --if-generation 3"),
            format!("detach {PORT} --if-generation 1"),
            "destroy web --if-generation 0".to_owned(),
            "timeouts reset --if-generation 1".to_owned(),
            "set create friends --type address --if-generation 1".to_owned(),
            "rollback 1 --if-generation 1".to_owned(),
        ] {
            let message = operator.fails(&line, 4);
            assert!(
                message.contains("generation is 2, expected") && message.contains("filter-ctl log"),
                "{message}"
            );
        }
        assert_eq!(operator.run("list --if-generation 1").code, 2);
        assert_eq!((record(operator, PORT), generation(operator)), (before, 2));
        scene.comes_out("what the next rules forbid", &connect(24));
        assert_eq!(operator.json(&format!("update {file} --if-generation 2"))["generation"], 3);
        assert_eq!(record(operator, PORT), before.map(|count| count + 1));
    });
}

#[test]
fn rolling_back_brings_verdicts_back() {
    with_operator(FILTER_CTL, "rollback", |operator| {
        let scene = Scene::new();
        let _since = net::tap("since0");
        let passes = |port| passes(&scene, port);
        operator.ok(&format!("create {}", web(operator, "23")));
        operator.ok(&format!("attach {PORT} --profile web"));
        operator.ok("timeouts set udp=7");
        operator.ok(&format!("update {}", web(operator, "24")));
        operator.ok("create-from web newer");
        operator.ok(&format!("attach {PORT} --profile no-vlan"));
        operator.ok("timeouts reset");
        operator.ok("attach since0 --profile no-vlan");
        assert!(passes(23) && passes(24));

        let tried = operator.json("rollback 3 --dry-run");
        assert_eq!(tried["generation"], 8);
        assert_eq!((&tried["done"], &tried["rebound"]), (&json!(false), &json!([PORT])));
        assert_eq!(record(operator, PORT), Some(3));
        let done = operator.json("rollback 3");
        assert_eq!(done["generation"], 9);
        assert_eq!(done["rebound"], json!([PORT]));
        assert_eq!((&done["changed"], &done["removed"]), (&json!(["web"]), &json!(["newer"])));
        assert_eq!((&done["timeouts"], &done["attached_since"]), (&json!(true), &json!(["since0"])));
        assert_eq!((passes(23), passes(24)), (false, true), "the first rules are in force");
        assert_eq!(operator.json("timeouts")["udp"], 7);
        operator.fails("dumpxml newer", 3);
        assert_eq!(operator.port("since0")["status"], "active");

        // And back behind that.
        let done = operator.json("rollback 8");
        assert_eq!((&done["added"], &done["generation"]), (&json!(["newer"]), &json!(10)));
        assert!(passes(23) && passes(24));
        assert!(operator.ok("dumpxml web").contains(">24<"));
        // Where there is nothing to do nothing is done.
        assert_eq!(operator.json("rollback 8")["generation"], 10);
        assert_eq!(operator.json("rollback 10")["ports"], json!([]));
        operator.fails("rollback 11", 3);
        // Before a port was attached it is none of ours what it was held to.
        let done = operator.json("rollback 1");
        assert_eq!(done["attached_since"], json!([PORT, "since0"]));
        assert_eq!(operator.port(PORT)["binding"]["profiles"], json!(["no-vlan"]));
    });
}

#[test]
fn rolling_back_to_what_cannot_be_changes_nothing() {
    with_operator(FILTER_CTL, "rollback_vain", |operator| {
        let scene = Scene::new();
        operator.ok("set create friends --type address");
        let entry = "<FilterEntry><Action>DROP</Action><IPHeadersFilter><HdrDestAddressSet>friends\
                     </HdrDestAddressSet></IPHeadersFilter></FilterEntry>";
        let file = operator
            .file("guarded.xml", format!("<FilterPool name='guarded' default='ACCEPT'>{entry}</FilterPool>"));
        operator.ok(&format!("create {file}"));
        operator.ok(&format!("attach {PORT} --profile guarded"));
        operator.ok(&format!("update {}", operator.file("guarded.xml", no_ports("guarded", "23"))));
        operator.ok("set destroy friends");
        let before = (record(operator, PORT), operator.ok("dumpxml guarded"), operator.port(PORT));
        for line in ["rollback 3 --dry-run", "rollback 3"] {
            let done = operator.run(line);
            assert!(done.code != 0 && done.stderr.contains("friends"), "{done:?}");
        }
        assert_eq!((record(operator, PORT), operator.ok("dumpxml guarded"), operator.port(PORT)), before);
        assert_eq!(generation(operator), 5);
        // A profile that a port has come to use since cannot go.
        operator.ok("create-from guarded newer");
        operator.ok(&format!("attach {PORT} --profile newer"));
        operator.ok(&format!("detach {PORT}"));
        operator.ok(&format!("attach {PORT} --profile newer"));
        let done = operator.run("rollback 0");
        assert!(done.code != 0 && done.stderr.contains("newer"), "{done:?}");
        operator.ok("dumpxml newer");
        scene.comes_out("a datagram", &datagram(1));
    });
}

/// What somebody does with an editor is a change, too.
#[test]
fn files_that_were_changed_by_hand_are_found() {
    with_operator(FILTER_CTL, "by_hand", |operator| {
        operator.ok(&format!("create {}", web(operator, "23")));
        let path = operator.root().join("profiles/web.xml");
        let first = fs::read_to_string(&path).unwrap();
        fs::write(&path, first.replace(">23<", ">25<")).unwrap();
        operator.fails("create-from web copy --if-generation 1", 4);
        assert_eq!(generation(operator), 2);
        let entry = operator.json("log 2");
        assert_eq!(entry["author"], Value::Null);
        assert!(entry["diffs"][0]["diff"].as_str().unwrap().contains(">25<"), "{entry}");
        operator.ok("create-from web copy --if-generation 2");
        operator.ok("rollback 1");
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        // A file that is damaged is no change: its last good text is known.
        fs::write(&path, "<FilterPool").unwrap();
        operator.ok("create-from no-vlan other");
        let listed = operator.run("list");
        assert!(listed.stderr.contains("restore-profile web"), "{}", listed.stderr);
        let message = operator.fails("restore-profile other", 4);
        assert!(message.contains("is not damaged"), "{message}");
        operator.ok("restore-profile web");
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        assert!(operator.run("list").stderr.is_empty());
    });
}

/// Ports of a profile whose file is damaged keep what they had, until its good text is back.
#[test]
fn a_damaged_profile_leaves_its_ports_alone() {
    with_operator(FILTER_CTL, "damaged_text", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("create {}", web(operator, "23")));
        operator.ok(&format!("attach {PORT} --profile web"));
        let path = operator.root().join("profiles/web.xml");
        fs::write(&path, "<FilterPool").unwrap();
        operator.fails(&format!("attach {PORT} --profile web"), 3);
        operator.ok("create-from no-vlan other");
        assert_eq!(record(operator, PORT), Some(1));
        assert!(!passes(&scene, 23));
        let done = operator.json("restore-profile web");
        assert_eq!(done["ports"], json!([PORT]));
        // Going back to where we are puts it back as well.
        fs::write(&path, "<FilterPool").unwrap();
        operator.ok("rollback 3");
        assert!(operator.ok("dumpxml web").contains(">23<"));
        // A text that is gone, or is not what was kept, is said to be.
        let objects = operator.root().join("state/objects");
        fs::write(&path, "<FilterPool").unwrap();
        for object in fs::read_dir(&objects).unwrap() {
            fs::write(object.unwrap().path(), "what is this").unwrap();
        }
        let message = operator.fails("restore-profile web", 1);
        assert!(message.contains("not what was written"), "{message}");
        fs::remove_dir_all(&objects).unwrap();
        let message = operator.fails("restore-profile web", 1);
        assert!(message.contains("is missing"), "{message}");
        assert!(operator.ok("log 1").contains("is missing"));
        assert_eq!(operator.json("log")["generation"], 5);
        scene.comes_out("a datagram", &datagram(2));
    });
}

#[test]
fn a_journal_that_was_cut_or_damaged_goes_on() {
    with_operator(FILTER_CTL, "journal", |operator| {
        let _tap = net::tap(PORT);
        operator.ok(&format!("create {}", web(operator, "23")));
        operator.ok(&format!("attach {PORT} --profile web"));
        operator.ok(&format!("update {}", web(operator, "24")));
        let part = parts(operator).pop().unwrap();
        let whole = fs::read(&part).unwrap();
        let text: Vec<u8> = whole.iter().copied().filter(|&byte| byte != 0).collect();
        let end = text.iter().rposition(|&byte| byte != b'\n').unwrap() + 1;
        let last = text[..end].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
        // The line that says that the update is done.
        assert!(
            text[last..end].starts_with(b"{\"done\":3}"),
            "{}",
            String::from_utf8_lossy(&text[last..end])
        );
        for cut in last..end {
            fs::write(&part, &text[..cut]).unwrap();
            let log = operator.json("log");
            assert_eq!(log["generation"], 2, "cut at {cut}");
            assert_eq!(log["unsettled"]["generation"], 3);
        }
        // It was done, as the next command finds.
        let mut torn = whole.clone();
        torn[last + 4..].fill(b'\n');
        fs::write(&part, &torn).unwrap();
        assert_eq!(operator.json("create-from web other")["generation"], 4);
        let log = operator.json("log");
        assert_eq!(log["entries"][1]["generation"], 3);
        assert_eq!(log["entries"][1]["interrupted"], Value::Null, "{log}");
        assert_eq!(log["damaged"], Value::Null);

        // A bit in the middle.
        let mut damaged = fs::read(&part).unwrap();
        let at = String::from_utf8_lossy(&damaged).find("{\"begun\":{\"generation\":2").unwrap();
        damaged[at + 40] ^= 4;
        fs::write(&part, &damaged).unwrap();
        let done = operator.run("log");
        assert_eq!(done.code, 0);
        assert!(
            done.stderr.contains("damaged in line 4") && done.stderr.contains("generation 2 is lost"),
            "{done:?}"
        );
        let done = operator.run("destroy other");
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(done.stderr.contains(".damaged"), "{}", done.stderr);
        let aside = part.with_extension("damaged");
        assert_eq!(fs::read(&aside).unwrap(), damaged);
        assert_eq!(generation(operator), 5);
        let message = operator.fails("log 2", 1);
        assert!(message.contains("lost"), "{message}");
        // What was before it is not known of ports, and what was behind it is.
        let message = operator.fails("rollback 1", 4);
        assert!(message.contains("not known"), "{message}");
        assert_eq!(operator.json("rollback 3")["changed"], json!([]));
        assert_eq!(operator.json("rollback 4")["added"], json!(["other"]));
    });
}

/// Runs a command that is killed at its n-th call of one of these system calls. `None`: it got to its end before.
fn killed_at(operator: &Operator, calls: &str, number: usize, line: &str) -> Option<()> {
    let mut command = operator.killed_at(calls, number);
    command.args(line.split_whitespace());
    let done = command.output().unwrap();
    (!done.status.success()).then_some(())
}

/// Wherever a command dies, the next one writes down what was done of it, and no more.
#[test]
fn a_journal_tells_the_truth_of_commands_that_died() {
    with_operator(FILTER_CTL, "journal_killed", |operator| {
        if !can_meddle("a_journal_tells_the_truth_of_commands_that_died") {
            return;
        }
        let _scene = Scene::new();
        operator.ok(&format!("create {}", web(operator, "23")));
        operator.ok(&format!("attach {PORT} --profile web"));
        let (mut died, mut port) = (0, 1000);
        let mut said = [0; 2];
        for (round, calls) in ["fdatasync", "fsync", "rename", "pwrite64,write"]
            .into_iter()
            .flat_map(|calls| (1..14).map(move |n| (n, calls)))
        {
            port += 1;
            let file = web(operator, &port.to_string());
            let (before, last) = (record(operator, PORT), generation(operator));
            if killed_at(operator, calls, round, &format!("update {file}")).is_none() {
                continue;
            }
            died += 1;
            // Another change settles it.
            let next = operator.json("timeouts set udp=9")["generation"].as_u64().unwrap();
            let stored = operator.ok("dumpxml web").contains(&format!(">{port}<"));
            let published = record(operator, PORT) != before;
            let log = operator.json("log -n 2");
            let was_said = next == last + 2;
            said[usize::from(was_said)] += 1;
            assert_eq!(was_said, stored || published, "{calls} {round}: {log}");
            if was_said {
                let entry = &log["entries"][1];
                assert_eq!(entry["profiles"].is_array(), stored, "{calls} {round}: {entry}");
                assert_eq!(entry["ports"].is_array(), published, "{calls} {round}: {entry}");
                assert_eq!(entry["interrupted"] == true, !(stored && published), "{calls} {round}: {entry}");
            }
        }
        println!("{died} commands died, {} of them with something done", said[1]);
        assert!(died >= 8 && said.iter().all(|&count| count > 0), "{died} died: {said:?}");
    });
}

/// Runs a script in which `$F` is the command and `$STATE` its folder, among mounts of its own.
fn among_mounts(operator: &Operator, script: &str) -> Done {
    let state = operator.root().join("state");
    fs::create_dir_all(&state).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script]);
    command.env("FILTER_CTL_ROOT", operator.root()).env("FILTER_CTL_BPFFS", operator.pins());
    command.env("F", FILTER_CTL.binary).env("STATE", state).output().unwrap().into()
}

#[test]
fn what_cannot_be_written_down_is_not_done() {
    with_operator(FILTER_CTL, "disk_full", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("create {}", web(operator, "23")));
        operator.ok(&format!("attach {PORT} --profile web"));
        operator.ok("create-from web spare");
        let before = (record(operator, PORT), operator.ok("dumpxml web"), operator.port(PORT));
        let file = web(operator, "24");
        let tiny = "mount -t tmpfs -o size=16k tmpfs $STATE &&";
        let read_only = "mount --bind $STATE $STATE && mount -o remount,ro,bind $STATE &&";
        for (mount, expected) in [(tiny, "No space left on device"), (read_only, "Read-only file system")] {
            for line in [
                format!("update {file}"),
                format!("attach {PORT} --profile no-vlan"),
                format!("detach {PORT}"),
                "destroy spare".to_owned(),
                "timeouts set udp=3".to_owned(),
                "set create friends --type address".to_owned(),
            ] {
                let done = among_mounts(operator, &format!("{mount} exec $F {line}"));
                assert_ne!(done.code, 0, "{line}");
                assert!(done.stderr.contains(expected), "{line}: {}", done.stderr);
            }
        }
        assert_eq!((record(operator, PORT), operator.ok("dumpxml web"), operator.port(PORT)), before);
        assert_eq!((generation(operator), operator.json("set list")), (3, json!([])));
        assert_eq!(operator.json("timeouts")["udp"], 30);
        scene.comes_out("a datagram", &datagram(1));
        operator.ok(&format!("update {file}"));
        // A disk that runs full on the way: each command is done as a whole, and stands in the journal, or is not.
        let script = "mount -t tmpfs -o size=160k tmpfs $STATE && for n in $(seq 1 400); do \
                      $F create-from web copy$n >/dev/null 2>&1 || break; done; \
                      $F --json log -n 1; $F --json list";
        let done = among_mounts(operator, script);
        let lines: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let copies = lines[1].as_array().unwrap().iter();
        let copies = copies.filter(|it| it["name"].as_str().unwrap().starts_with("copy")).count() as u64;
        assert!((1..400).contains(&copies), "{copies}");
        assert_eq!(lines[0]["generation"], copies, "{}", lines[0]);
    });
}

/// Old changes go, with the texts that only they need; what is kept can be gone back to.
#[test]
fn old_generations_are_forgotten() {
    with_operator(FILTER_CTL, "kept", |operator| {
        operator.ok(&format!("create {}", web(operator, "1")));
        for port in 2..30 {
            let file = web(operator, &port.to_string());
            operator.ok(&format!("update {file} --keep-generations 5"));
        }
        let log = operator.json("log -n 0");
        let first = log["first"].as_u64().unwrap();
        assert!((15..=24).contains(&first), "{first}");
        assert!(parts(operator).len() <= 3);
        let objects = fs::read_dir(operator.root().join("state/objects")).unwrap().count();
        assert!(objects <= 16, "{objects}");
        operator.fails("rollback 3", 3);
        // All that is kept, also the first of a part, whose text is older than the part.
        for port in first.max(2)..30 {
            operator.ok(&format!("rollback {port} --keep-generations 60"));
            assert!(operator.ok("dumpxml web").contains(&format!(">{port}<")), "{port}");
        }
    });
}

/// What the journal costs a command on one port.
#[test]
fn the_journal_is_quick() {
    with_operator(FILTER_CTL, "journal_quick", |operator| {
        let _tap = net::tap(PORT);
        let line = format!("attach {PORT} --profile generic-layer2");
        let mut times: Vec<Duration> = (0..60)
            .map(|_| {
                let begun = Instant::now();
                operator.ok(&line);
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("attach: {:.1} ms, median", times[30].as_secs_f64() * 1e3);
    });
}

/// What `diff` says an update would change is what it changes.
#[test]
fn a_difference_is_what_an_update_makes() {
    with_operator(FILTER_CTL, "diff", |operator| {
        let scene = Scene::new();
        let pool = |extra: &str, port: u16| {
            let established = "<FilterEntry name='known'><Action>ACCEPT</Action><IPHeadersFilter><ConnectionState>\
                               established</ConnectionState></IPHeadersFilter></FilterEntry>";
            let begin = |port: u16| {
                format!(
                    "<FilterEntry name='begin'><Action>ACCEPT</Action><IPHeadersFilter><HdrProtocolID>tcp\
                     </HdrProtocolID><HdrDestPortStart>{port}</HdrDestPortStart><ConnectionState>new\
                     </ConnectionState></IPHeadersFilter></FilterEntry>"
                )
            };
            let text = format!(
                "<FilterPool name='strict' default='DROP'>{established}{}{extra}</FilterPool>",
                begin(port)
            );
            operator.file(&format!("strict{port}{}.xml", extra.len()), text)
        };
        let extra =
            "<FilterEntry name='more'><Action>DROP</Action><TrafficType>incoming</TrafficType></FilterEntry>";
        operator.ok(&format!("create {}", pool("", 80)));
        operator.ok(&format!("attach {PORT} --profile strict"));
        scene.comes_out("a connection's beginning", &connect(80));
        let before = (record(operator, PORT), generation(operator), operator.ok("dumpxml strict"));
        let followed = operator.json(&format!("flows {PORT} --summary"));
        assert_eq!(followed["used"], 1, "{followed}");

        let same = operator.json(&format!("diff {}", pool(extra, 80)));
        assert_eq!((&same["kept"], &same["cut"]), (&json!(1), &json!(0)), "{same}");
        assert_eq!(same["profiles"][0]["added"], json!(["more"]));
        let file = pool(extra, 81);
        let other = operator.json(&format!("diff {file}"));
        assert_eq!((&other["kept"], &other["cut"]), (&json!(0), &json!(1)), "{other}");
        let profile = &other["profiles"][0];
        assert_eq!((&profile["added"], &profile["changed"]), (&json!(["more"]), &json!(["begin"])));
        assert_eq!((&profile["removed"], &profile["is_new"]), (&json!([]), &json!(false)));
        assert!(profile["text"].as_str().unwrap().contains("\n+") && other["no_room"].is_null(), "{other}");
        for command in ["update", "define"] {
            assert_eq!(operator.json(&format!("{command} {file} --dry-run")), other);
        }
        assert_eq!(operator.json(&format!("diff {file} --flows keep"))["kept"], 1);
        let text = operator.ok(&format!("diff {file}"));
        assert!(
            text.contains("rules added: more; changed: begin") && text.contains("nothing was changed"),
            "{text}"
        );
        assert_eq!((record(operator, PORT), generation(operator), operator.ok("dumpxml strict")), before);
        assert_eq!(operator.json(&format!("flows {PORT} --summary")), followed);

        let port = &other["ports"][0];
        assert_eq!(port["port"], PORT);
        let shown = operator.port(PORT);
        assert_eq!((&port["rules"][0], &port["nodes"][0]), (&shown["rules"], &shown["nodes"]));
        let updated = operator.json(&format!("update {file}"));
        assert_eq!(updated["connections"]["cut"], 1, "{updated}");
        let shown = operator.port(PORT);
        assert_eq!((&port["rules"][1], &port["nodes"][1]), (&shown["rules"], &shown["nodes"]));
        // What is said already is no difference, and a file that was changed by hand is one.
        assert_eq!(operator.json("diff strict")["profiles"][0]["text"], "");
        let path = operator.root().join("profiles/strict.xml");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace(">81<", ">82<")).unwrap();
        assert_eq!(operator.json("diff strict")["profiles"][0]["changed"], json!(["begin"]));
        operator.fails("diff nobody", 3);
        operator.fails(&format!("update {} --dry-run", operator.file("n.xml", no_ports("nobody", "1"))), 3);
    });
}
