//! Commands and the daemon, killed anywhere: at a system call of any of their steps, or at any time.
//!
//! A publication, an attachment, a write to the store and an adoption are rows of system calls, and stores to memory between
//! them. So a kill at each call is a fault in each of their steps, in the very binary that is shipped; a kill at a random time
//! is one between them. All of it happens under a flood through one port, which must go on as if nothing was.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use filter_tests::cli::{Operator, can_meddle, with_operator};
use filter_tests::flood::{attach, connection, gone_back, profile, while_flooded};
use filter_tests::generate::Rng;
use filter_tests::net::{self, Wire, until};
use filter_tests::scene::{PORT, Scene};
use rustix::process::{Pid, Signal};

use super::FILTER_CTL;

/// System calls that change something, or whose answer something hangs on, by what they do; not all of them are everywhere.
const CALLS: [&str; 9] = [
    "bpf",
    "?rename,?renameat,renameat2",
    "fsync,fdatasync",
    "openat",
    "?unlink,unlinkat,?rmdir",
    "?mkdir,mkdirat,?symlink,symlinkat",
    "write,pwrite64",
    "sendto,recvfrom,recvmsg,sendmsg",
    "mmap,munmap,flock",
];
/// Longer than most commands take.
const LONG: usize = 60_000;
/// A port that comes and goes; the flood does not touch it.
const OTHER: &str = "other0";

fn kills() -> usize {
    let number = std::env::var("FILTER_CTL_KILLS").ok().and_then(|number| number.parse().ok());
    number.unwrap_or(if std::env::var_os("FILTER_CTL_QUICK").is_some() { 8 } else { 40 })
}

/// Where something is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Before a thread's n-th call of these.
    Call(&'static str, usize),
    /// So long after its start.
    After(Duration),
}

impl Moment {
    fn random(rng: &mut Rng) -> Self {
        if rng.chance(40) {
            return Self::After(Duration::from_micros(rng.below(LONG) as u64));
        }
        // Early calls are more, and most kinds of calls are few.
        let below = 1 << (1 + rng.below(7));
        Self::Call(rng.pick(&CALLS), 1 + rng.below(below))
    }

    /// Starts the command, which is to die then; with [`Moment::After`] the caller sees to that.
    fn start(self, operator: &Operator, line: &str) -> Child {
        let mut command = match self {
            Self::After(_) => operator.command(),
            Self::Call(calls, number) => operator.killed_at(calls, number),
        };
        command
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("it can be started")
    }

    /// Whether it died of it: it is waited for until then, or until it has done its work.
    fn kill(self, mut process: Child) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        if let Self::After(time) = self {
            std::thread::sleep(time);
            // It may have ended by itself.
            let _ = process.kill();
        }
        // strace ends as what it runs did.
        process.wait().expect("it is our child").signal() == Some(Signal::KILL.as_raw())
    }
}

/// What is done next, so that all goes round and round.
#[derive(Default)]
struct Round {
    number: usize,
}

impl Round {
    /// An update of the flood's profile: one rule is another.
    fn update(&mut self, operator: &Operator) -> String {
        self.number += 1;
        let entry = format!(
            "<FilterEntry name='more'><Action>DROP</Action><IPHeadersFilter><HdrProtocolID>tcp</HdrProtocolID>\
             <HdrDestPortStart>{}</HdrDestPortStart></IPHeadersFilter></FilterEntry>",
            self.number
        );
        format!("update {}", operator.file("live.xml", profile(&entry)))
    }

    /// A command that changes something of the ports, the store or the programs.
    fn line(&mut self, operator: &Operator, rng: &mut Rng) -> String {
        self.number += 1;
        let number = self.number;
        match rng.below(10) {
            0 | 1 => self.update(operator),
            2 => format!("attach {PORT} --profile live"),
            3 | 4 => format!("attach {OTHER} --profile live"),
            5 => format!("detach {OTHER}"),
            6 => "upgrade --again".to_owned(),
            7 => format!("set add friends 192.0.2.{}", number % 250),
            8 => format!("bind spare --pattern none{number} --profile live"),
            _ => format!("timeouts set udp={}", 60 + number % 100),
        }
    }
}

/// A port's status; nothing if it is not attached.
fn status(operator: &Operator, name: &str) -> Option<String> {
    let ports = operator.json("ports");
    let port = ports.as_array()?.iter().find(|port| port["port"] == name)?;
    port["status"].as_str().map(str::to_owned)
}

/// The next one finds its way, whoever it is, and afterwards all is as it should be.
fn go_on(operator: &Operator, rng: &mut Rng, what: &str) {
    let is_sound = || {
        let other = status(operator, OTHER);
        operator.run("doctor").code == 0 && other.is_none_or(|status| status == "active")
    };
    match rng.below(3) {
        0 => {
            operator.ok("timeouts set udp=99");
            // It is about no port.
            operator.run("doctor --repair");
        }
        1 => {
            operator.run("doctor --repair");
        }
        _ => {
            let daemon = operator.daemon(&[]);
            until("the daemon has put things right", is_sound);
            drop(daemon);
        }
    }
    assert!(is_sound(), "{what}: {} {}", operator.run("doctor").stdout, operator.ok("ports"));
    operator.ok(&format!("attach {PORT} --profile live"));
    operator.ok("log -n 3");
}

#[test]
fn whatever_is_killed_nothing_is_lost_leaks_or_is_forgotten() {
    const TEST: &str = "whatever_is_killed_nothing_is_lost_leaks_or_is_forgotten";
    with_operator(FILTER_CTL, "kill", |operator| {
        if !can_meddle(TEST) {
            return;
        }
        let seed = std::env::var("FILTER_CTL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        let mut rng = Rng::new(seed);
        let scene = Scene::new();
        let mut other = net::tap(OTHER);
        attach(operator, &scene);
        operator.ok("set create friends --type address");
        operator.ok("timeouts set udp=99");
        let known = connection(operator);
        let begun = Instant::now();
        let (mut died, mut rounds, mut round) = ([0; 4], 0, Round::default());
        let sent = while_flooded(operator, &scene, |flood| {
            let mut counts = operator.counts(PORT);
            while died.iter().sum::<usize>() < kills() {
                rounds += 1;
                assert!(rounds < 20 * kills(), "hardly anything dies: {died:?} in {rounds}");
                let moment = Moment::random(&mut rng);
                let line = round.line(operator, &mut rng);
                // The command itself; a daemon that adopts what is there; a daemon that does the command's work; the tap.
                let kind = rng.below(4);
                let what = format!(
                    "round {rounds} (FILTER_CTL_SEED={seed}), {moment:?}, {}",
                    ["", "adopting ", "by daemon ", "without its tap "][kind].to_owned() + &line
                );
                let mut has_died = true;
                match kind {
                    0 => has_died = moment.kill(moment.start(operator, &line)),
                    1 => {
                        operator.run(&line);
                        adopting(operator, moment);
                    }
                    2 => working(operator, moment, &line),
                    _ => other = vanishing(operator, moment, other),
                }
                flood.goes_on(&what);
                if !has_died {
                    continue;
                }
                died[kind] += 1;
                // Seen as the dead left it.
                assert_eq!(status(operator, PORT).as_deref(), Some("active"), "{what}");
                let now = operator.counts(PORT);
                assert_eq!(gone_back(&counts, &now), [""; 0], "{what}");
                counts = now;
                go_on(operator, &mut rng, &what);
                flood.goes_on(&what);
                assert_eq!(connection(operator), known, "{what}");
                assert_eq!(operator.port(PORT)["learned_mac"], "52:54:00:12:34:56", "{what}");
            }
        });
        println!(
            "killed {died:?} (commands, daemons that begin, daemons that work, taps) of {rounds}; {sent:?}, {:?}",
            begun.elapsed()
        );
        assert!(died.iter().all(|&died| died > 0), "{died:?}");
        assert!(sent.out > 100 && sent.to_vm > 100, "{sent:?}");
    });
}

/// An update dies before each of its writes in turn, also between its publication and the file that says so.
#[test]
fn an_update_that_dies_at_any_write_forgets_no_counter() {
    const TEST: &str = "an_update_that_dies_at_any_write_forgets_no_counter";
    with_operator(FILTER_CTL, "kill_writes", |operator| {
        if !can_meddle(TEST) {
            return;
        }
        let scene = Scene::new();
        attach(operator, &scene);
        let mut round = Round::default();
        let mut died = 0;
        let sent = while_flooded(operator, &scene, |flood| {
            let mut counts = operator.counts(PORT);
            for calls in ["?rename,?renameat,renameat2", "fsync,fdatasync", "write,pwrite64"] {
                for number in 1.. {
                    let line = round.update(operator);
                    let moment = Moment::Call(calls, number);
                    if !moment.kill(moment.start(operator, &line)) {
                        break;
                    }
                    died += 1;
                    let what = format!("{moment:?}");
                    for look in ["as it was left", "after the next command"] {
                        let now = operator.counts(PORT);
                        assert_eq!(gone_back(&counts, &now), [""; 0], "{what}, {look}");
                        assert!(
                            counts.0.keys().all(|rule| now.0.contains_key(rule)),
                            "{what}, {look}: {now:?}"
                        );
                        counts = now;
                        operator.ok(&format!("attach {PORT} --profile live"));
                    }
                    flood.goes_on(&what);
                }
            }
        });
        println!("{died} updates died; {sent:?}");
        assert!(died >= 8, "{died}");
    });
}

/// A tap vanishes while it is attached, and another of its name comes. Nothing is known of that one: it is not filtered, and
/// shown so.
fn vanishing(operator: &Operator, moment: Moment, tap: Wire) -> Wire {
    let line = format!("attach {OTHER} --profile live");
    let after = match moment {
        Moment::After(time) => time,
        Moment::Call(_, number) => Duration::from_micros(200 * number as u64),
    };
    let mut command = Moment::After(after).start(operator, &line);
    std::thread::sleep(after);
    drop(tap);
    command.wait().expect("it is our child");
    let tap = net::tap(OTHER);
    // A change of anything forgets what is gone.
    operator.ok(&format!("attach {PORT} --profile live"));
    assert_eq!(status(operator, OTHER), None, "another tap's state is not its own");
    tap
}

/// A daemon dies while it begins; or somewhat later, then it has begun.
fn adopting(operator: &Operator, moment: Moment) {
    let daemon = moment.start(operator, "daemon");
    end(daemon, moment, || std::thread::sleep(Duration::from_millis(100)));
}

/// A daemon dies while a command waits for it: the command says so, or its work was done.
fn working(operator: &Operator, moment: Moment, line: &str) {
    // Of the last one: nobody is behind it.
    let _ = std::fs::remove_file(operator.socket());
    let daemon = moment.start(operator, "daemon");
    let began = Instant::now();
    while !operator.socket().exists() && began.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(1));
    }
    end(daemon, moment, || {
        // With the dead daemon's lock gone it may be done in process.
        operator.run(line);
    });
}

/// Has the daemon die at its moment, or, if that is a call it does not get to during `work`, then.
fn end(mut daemon: Child, moment: Moment, work: impl FnOnce() + Send) {
    match moment {
        Moment::After(time) => std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(time);
                let _ = rustix::process::kill_process(Pid::from_child(&daemon), Signal::KILL);
            });
            work();
        }),
        Moment::Call(..) => work(),
    }
    // Whatever traces it is not killed before it, and ends with it.
    let pid = daemon.id();
    let traced = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let traced = traced.split_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?));
    for process in traced.chain((!matches!(moment, Moment::Call(..))).then(|| Pid::from_child(&daemon))) {
        let _ = rustix::process::kill_process(process, Signal::KILL);
    }
    daemon.wait().expect("it is our child");
}
