//! The demo that `cargo xtask demo` runs: a virtual machine's tap is filtered, before the reader's eyes.
//!
//! It holds both ends of the wire: frames are real, and so is what it shows of them. What it shows it checks,
//! and it fails if an honest frame is lost or a spoofed one comes through. Interfaces are in a network
//! namespace, files and pins in folders of the demo's own: nothing of the host is touched, and nothing is left.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filter_tests::cli::{Counts, Operator, obstacle};
use filter_tests::frames::{Arp, Ipv4, PEER_IP4, SPOOF, VM_IP4, VM_LINK_LOCAL, dhcp, ether_type, patched};
use filter_tests::frames::{link_layer, protocol, router_advertisement, tagged, tcp};
use filter_tests::net::{Namespace, SOON};
use filter_tests::scene::{
    ADDRESSES, PORT, Scene, answer, arp, connect, datagram, hex, neighbour_discovery, ping, spoofed_datagram,
    v4, v6,
};

/// How many times the profile is changed while frames flow.
const UPDATES: usize = 25;
/// Frames on their way at a time: what a tap's queue is sure to hold.
const WINDOW: u32 = 256;

fn main() -> ExitCode {
    if let Some(obstacle) = obstacle() {
        eprintln!("demo: it needs taps and BPF, which are not to be had here: {obstacle}");
        return ExitCode::FAILURE;
    }
    let operator = Operator::at(binary(), "demo");
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(error) => {
            eprintln!("demo: no network namespace can be made: {error}");
            return ExitCode::FAILURE;
        }
    };
    let begun = Instant::now();
    let failures = namespace.run(|| {
        let mut demo = Demo { operator: &operator, scene: Scene::new(), failures: Vec::new() };
        demo.show();
        demo.failures
    });
    let seconds = begun.elapsed().as_secs_f32();
    if failures.is_empty() {
        println!(
            "\nAll of it was checked, in {seconds:.1} s: nothing honest was lost, nothing spoofed came through."
        );
        return ExitCode::SUCCESS;
    }
    println!("\nThis is not what should have been seen:");
    for failure in failures {
        println!("  {failure}");
    }
    ExitCode::FAILURE
}

/// The command: the one that was built for the demo, or the one beside it.
fn binary() -> PathBuf {
    let beside = || env::current_exe().map(|path| path.with_file_name("filter-ctl")).unwrap_or_default();
    env::var_os("FILTER_CTL_BIN").map_or_else(beside, PathBuf::from)
}

struct Demo<'a> {
    operator: &'a Operator,
    scene: Scene,
    failures: Vec<String>,
}

impl Demo<'_> {
    fn show(&mut self) {
        println!("A virtual machine is behind the tap {PORT}; a bridge joins it to the tap of another host.");
        println!("We are both: we write frames to one tap and look for them at the other.");

        heading("Without a filter, everything passes");
        self.try_out("a spoofed datagram, in the other host's name", &spoofed_datagram(1), true);

        heading("Attach: the machine may speak for its own addresses only");
        self.run(&format!("attach {PORT} --profile generic-layer2 {ADDRESSES}"));
        self.run("ports");

        heading("Honest frames pass");
        self.try_out("an ARP request", &arp(&Arp::default()), true);
        self.try_out("a ping", &ping(), true);
        self.try_out("a datagram", &datagram(2), true);
        self.try_out("the beginning of a TCP connection", &connect(443), true);
        self.hear("an answer to the machine", &answer(2));

        heading("Spoofed ones are dropped, and counted under the rule that says why");
        for (what, frame) in spoofs() {
            self.try_out(what, &frame, false);
        }

        heading("A profile of our own on top: no telnet");
        let file = self.profile("23");
        println!("{}", indented(&std::fs::read_to_string(&file).unwrap_or_default()));
        self.run(&format!("create {file}"));
        self.run(&format!("attach {PORT} --profile generic-layer2 --profile no-telnet {ADDRESSES}"));
        self.try_out("a telnet connection", &connect(23), false);
        self.try_out("a connection to port 2323", &connect(2323), true);

        heading("Live update: the profile changes while frames flow");
        self.update_under_traffic();
        self.try_out("a connection to port 2323", &connect(2323), false);

        heading("What each rule has met; those that did not change went on counting");
        self.run(&format!("stats {PORT}"));

        heading("Why was the spoofed datagram dropped? Asked of the loaded program, counted nowhere");
        let hex = hex(&spoofed_datagram(1));
        let text = self.run(&format!("explain {PORT} --hex {hex}"));
        self.expect(text.contains("drop by rule own-ip-only/foreign-ip4"), "explain names another rule");

        heading("Detach");
        self.run(&format!("detach {PORT}"));
        self.try_out("the spoofed datagram again", &spoofed_datagram(3), true);
    }

    fn expect(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.failures.push(otherwise.into());
        }
    }

    /// The port's counters; none while it is not attached.
    fn counts(&self) -> Counts {
        let attached = self.operator.run(&format!("stats {PORT}")).code == 0;
        if attached { self.operator.counts(PORT) } else { Counts::default() }
    }

    /// Runs a command and shows it as an operator sees it.
    fn run(&mut self, line: &str) -> String {
        println!("  $ filter-ctl {line}");
        let done = self.operator.run(line);
        print!("{}", indented(&done.stdout));
        print!("{}", indented(&done.stderr));
        self.expect(done.code == 0, format!("filter-ctl {line}: {}", done.stderr.trim()));
        done.stdout
    }

    /// The profile, in a version that drops TCP to these ports.
    fn profile(&self, ports: &str) -> String {
        let text = format!(
            r#"<FilterPool name="no-telnet">
  <FilterEntry name="telnet">
    <Action>DROP</Action>
    <IPHeadersFilter>
      <HdrProtocolID>tcp</HdrProtocolID>
      <HdrDestPortStart>{ports}</HdrDestPortStart>
    </IPHeadersFilter>
  </FilterEntry>
</FilterPool>
"#
        );
        self.operator.file("no-telnet.xml", text)
    }

    /// Sends a frame from the machine, looks for it at the other side and says what became of it.
    fn try_out(&mut self, what: &str, frame: &[u8], passes: bool) {
        let before = self.counts();
        self.scene.guest.send(frame);
        // What goes unanswered is waited for by means of an honest frame behind it.
        let mark = datagram(u32::MAX);
        self.scene.guest.send(&mark);
        let mut seen = false;
        let marked = self.scene.peer.wait_for(SOON, |came| {
            seen |= came == frame;
            came == mark
        });
        let by = self.counts().since(&before);
        let drop = by.into_keys().find(|name| {
            let mut words = ["foreign", "no-vlan/", "no-router", "no-dhcp", "no-telnet/", "guard"].iter();
            name.starts_with("rule ") && words.any(|word| name.contains(word))
        });
        let because = drop.map(|rule| format!("  ({rule})")).unwrap_or_default();
        println!("  {}  {what}{because}", if seen { "passed " } else { "DROPPED" });
        self.expect(marked.is_some(), format!("the frame behind {what} was lost"));
        self.expect(seen == passes, format!("{what} {}", if seen { "came through" } else { "was lost" }));
        self.expect(passes || !because.is_empty(), format!("{what} was counted under no rule"));
    }

    fn hear(&mut self, what: &str, frame: &[u8]) {
        self.scene.peer.send(frame);
        let heard = self.scene.guest.wait_for(SOON, |came| came == frame).is_some();
        println!("  {}  {what}", if heard { "passed " } else { "DROPPED" });
        self.expect(heard, format!("{what} was lost"));
    }

    /// Honest and spoofed frames, as fast as they go, while the profile is changed again and again.
    fn update_under_traffic(&mut self) {
        let (sent, spoofed) = (AtomicU32::new(0), AtomicU32::new(0));
        let (received, leaked) = (AtomicU32::new(0), AtomicU32::new(0));
        let (stop, quiet) = (AtomicBool::new(false), AtomicBool::new(false));
        let get = |number: &AtomicU32| number.load(Ordering::SeqCst);
        let (guest, peer) = (&self.scene.guest, &self.scene.peer);
        peer.drain();
        let before = self.counts();
        let begun = Instant::now();
        let problem = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    if get(&sent).wrapping_sub(get(&received)) >= WINDOW {
                        thread::yield_now();
                        continue;
                    }
                    let number = sent.fetch_add(1, Ordering::SeqCst);
                    guest.send(&datagram(number));
                    if number % 4 == 0 {
                        spoofed.fetch_add(1, Ordering::SeqCst);
                        guest.send(&spoofed_datagram(number));
                    }
                }
            });
            scope.spawn(|| {
                while !quiet.load(Ordering::SeqCst) {
                    let Some(frame) = peer.receive(Instant::now() + Duration::from_millis(50)) else {
                        continue;
                    };
                    match frame.get(26..30) {
                        Some(source) if source == VM_IP4.octets() => received.fetch_add(1, Ordering::SeqCst),
                        Some(source) if source == PEER_IP4.octets() => leaked.fetch_add(1, Ordering::SeqCst),
                        _ => 0,
                    };
                }
            });
            // One change is shown, the others are made.
            let first = self.profile("23 2323");
            println!("  $ filter-ctl update {first}      # {UPDATES} times, two versions in turn");
            let mut problem = None;
            for update in 0..UPDATES {
                let file = self.profile(if update % 2 == 0 { "23 2323" } else { "23" });
                let done = self.operator.run(&format!("update {file}"));
                if update == 0 {
                    print!("{}", indented(&done.stdout));
                }
                if done.code != 0 {
                    problem = Some(done.stderr);
                }
            }
            stop.store(true, Ordering::SeqCst);
            if sender.join().is_err() {
                problem = Some("the sender failed".to_owned());
            }
            let deadline = Instant::now() + Duration::from_secs(2);
            while get(&received) < get(&sent) && Instant::now() < deadline {
                thread::yield_now();
            }
            quiet.store(true, Ordering::SeqCst);
            problem
        });
        let seconds = begun.elapsed().as_secs_f32();
        let (sent, received, leaked) = (get(&sent), get(&received), get(&leaked));
        let lost = sent.saturating_sub(received);
        println!("  {UPDATES} updates in {seconds:.1} s");
        println!("  honest   sent {sent:>8}   received {received:>8}   lost   {lost}");
        println!("  spoofed  sent {:>8}                       leaked {leaked}", get(&spoofed));
        let grown = self.counts().since(&before);
        for (rule, expected) in [("own-ip4", sent), ("foreign-ip4", get(&spoofed))] {
            let counted = grown.get(&format!("rule own-ip-only/{rule}")).copied().unwrap_or_default();
            self.expect(
                counted == u64::from(expected),
                format!("{rule} counted {counted} of {expected} frames"),
            );
        }
        self.expect(problem.is_none(), format!("updating: {}", problem.unwrap_or_default()));
        self.expect(received == sent, format!("{sent} honest frames were sent, {received} received"));
        self.expect(leaked == 0, format!("{leaked} spoofed frames came through"));
        self.expect(sent > WINDOW, "there was no traffic worth the name");
    }
}

fn spoofs() -> Vec<(&'static str, Vec<u8>)> {
    let spoofed = spoofed_datagram(1);
    let claim = Arp { opcode: 2, sender_ip: PEER_IP4, ..Arp::default() };
    let server = v4(&Ipv4::default(), dhcp(2, 2, SPOOF));
    let advertisement = router_advertisement(&link_layer(1, filter_tests::frames::VM));
    let router =
        v6(&filter_tests::frames::Ipv6 { source: VM_LINK_LOCAL, ..neighbour_discovery() }, advertisement);
    let segment =
        v4(&Ipv4 { source: PEER_IP4, protocol: protocol::TCP, ..Ipv4::default() }, tcp(1, 2, 2, b""));
    vec![
        ("another MAC address", patched(datagram(4), 6, &SPOOF)),
        ("an ARP reply for the other host's address", arp(&claim)),
        ("a datagram in the other host's name", spoofed.clone()),
        ("a TCP segment in the other host's name", segment),
        ("the same datagram behind a VLAN tag", tagged(&spoofed, ether_type::VLAN, 5)),
        ("and behind two", tagged(&tagged(&spoofed, ether_type::VLAN, 7), ether_type::SERVICE_VLAN, 5)),
        ("an IPv6 router advertisement", router),
        ("a DHCP offer", server),
    ]
}

fn heading(text: &str) {
    println!("\n== {text} ==");
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect::<Vec<_>>().concat()
}
