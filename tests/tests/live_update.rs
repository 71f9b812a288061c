//! Live update: policies change under a flood in both directions, and every frame is judged by one policy as
//! a whole.
//!
//! The policies are made so that a mix shows. Each asks one thing first (the source port), then walks far, and
//! then asks for something else (the destination port) that in every frame of the flood goes with the first.
//! Whoever comes to the end of the way for allowed frames with a forbidden frame was led there by nodes of two
//! policies; a rule that no single policy can reach counts it. There are three policies because with two each
//! would get its own old places back, and nodes that are overwritten by themselves show nothing. The second
//! has the two ways where the first and the third have them the other way round.
//!
//! The same flood with the wait left out shows such frames: that is what the wait is for, and that this test
//! can fail.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aya::programs::SchedClassifier;
use aya::{TestRun, TestRunOptions};
use filter_common::parse::parse;
use filter_common::{Cause, Direction, Key, Node, Nodes, SliceFrame, Verdict, record_flags, walk};
use filter_ctl::compile::{Image, compile};
use filter_ctl::datapath::{Datapath, LOOPBACK, Retired};
use filter_ctl::policy::{Field, Policy, Step, Then, When};
use filter_tests::frames::{Ipv4, PEER, PEER_IP4, VM, VM_IP4, ether_type, ethernet, udp};
use filter_tests::net::{Namespace, SOON, bridge, ifindex, obstacle, tap};
use filter_tests::not_run::not_run;
use filter_tests::ports::{PinFolder, Rules, TestPort, number, strict};
use filter_tests::stall::{Stall, processors, stay_on};

/// Frames of the large flood, at least, and policies published meanwhile, at least.
const FRAMES: u64 = 10_000_000;
const PUBLICATIONS: u32 = 500;
/// Frames that really cross a bridge, at least, and policies published meanwhile, at least.
const REAL_FRAMES: u64 = 200_000;
const REAL_PUBLICATIONS: u32 = 50;
/// What a flood may take; it takes a fraction of that.
const DEADLINE: Duration = Duration::from_secs(180);
/// Each flood wants all processors, so there is one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A frame that every policy lets pass, or one that every policy drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Allowed,
    Forbidden,
}

impl Kind {
    const BOTH: [Self; 2] = [Self::Allowed, Self::Forbidden];

    /// Source and destination port.
    const fn ports(self) -> (u16, u16) {
        match self {
            Self::Allowed => (1000, 1),
            Self::Forbidden => (2000, 2),
        }
    }

    /// The rule that decides, and the one that only a mix of two policies leads to.
    const fn rules(self) -> (&'static str, &'static str) {
        match self {
            Self::Allowed => ("allowed", "lost"),
            Self::Forbidden => ("forbidden", "leaked"),
        }
    }

    fn frame(self, direction: Direction, payload: &[u8]) -> Vec<u8> {
        let (source, destination) = self.ports();
        let datagram = udp(source, destination, payload);
        match direction {
            Direction::Out => ethernet(PEER, VM, ether_type::IPV4, &Ipv4::default().packet(datagram)),
            Direction::In => {
                let ip = Ipv4 { source: PEER_IP4, destination: VM_IP4, ..Ipv4::default() };
                ethernet(VM, PEER, ether_type::IPV4, &ip.packet(datagram))
            }
        }
    }
}

/// Rules have names of their own in each direction.
fn named(direction: Direction, rule: &str) -> String {
    format!("{direction} {rule}")
}

/// All kinds of frames in all directions.
fn ways() -> impl Iterator<Item = (Direction, Kind)> {
    Direction::ALL.into_iter().flat_map(|direction| Kind::BOTH.map(|kind| (direction, kind)))
}

/// The way of one kind of frames: counted [`LENGTH`] times, and then the verdict. Jumps are relative to `start`.
fn way(rules: &mut Rules, direction: Direction, kind: Kind, start: usize) -> Vec<Step> {
    let (own, verdict, other, its_rule) = match kind {
        Kind::Allowed => (kind.rules().0, Verdict::Pass, Kind::Forbidden, "leaked"),
        Kind::Forbidden => (kind.rules().0, Verdict::Drop, Kind::Allowed, "lost"),
    };
    let part = |at| match at {
        0 => "begins",
        _ if at + 1 == LENGTH => "ends",
        _ => "goes on",
    };
    let mut steps: Vec<Step> = (0..LENGTH)
        .map(|at| {
            let rule = rules.rule(&named(direction, &format!("{own} {}", part(at))));
            Step::new(Vec::new(), Some(rule), Then::Go(start + at + 1))
        })
        .collect();
    let strayed = number(Field::DstPort, u32::from(other.ports().1));
    steps.push(rules.verdict(&named(direction, its_rule), vec![strayed], verdict));
    steps.push(rules.verdict(&named(direction, own), Vec::new(), verdict));
    steps
}

/// The steps of one direction: frames of the kind `first` are asked for, and the others go on.
fn program(rules: &mut Rules, direction: Direction, first: Kind, other: Verdict) -> Vec<Step> {
    let second = if first == Kind::Allowed { Kind::Forbidden } else { Kind::Allowed };
    // All else is decided at once, or each kind of packets would have graphs of its own, and they be large.
    let datagrams = vec![number(Field::IpVersion, 4), number(Field::Protocol, 17)];
    let mut steps = vec![
        Step::new(datagrams.into_iter().map(When::Is).collect(), None, Then::Go(2)),
        rules.verdict(&named(direction, "other"), Vec::new(), other),
    ];
    let others = way(rules, direction, second, 3);
    let asked = number(Field::SrcPort, u32::from(first.ports().0));
    let start = 3 + others.len();
    steps.push(Step::new(vec![asked.into()], None, Then::Go(start)));
    steps.extend(others);
    steps.extend(way(rules, direction, first, start));
    steps
}

/// How often a frame is counted on its way, at most: a graph may be 256 steps deep.
const LENGTH: usize = 220;

/// The three policies. Rules have the same numbers in all of them.
fn policies() -> Vec<(Policy, Image)> {
    // What is said of other packets makes the third different from the first.
    let shapes =
        [(Kind::Allowed, Verdict::Pass), (Kind::Forbidden, Verdict::Pass), (Kind::Allowed, Verdict::Drop)];
    let mut rules = Rules::default();
    for direction in Direction::ALL {
        program(&mut rules, direction, Kind::Allowed, Verdict::Pass);
    }
    let policy = |(first, others)| {
        let mut rules = rules.clone();
        let [out, to_vm] = Direction::ALL.map(|direction| program(&mut rules, direction, first, others));
        let policy = rules.policy(out, to_vm);
        let image = compile(&policy).expect("the ways are within the limits");
        (policy, image)
    };
    shapes.into_iter().map(policy).collect()
}

/// Whether a policy's places are free only when no packet can be on its way through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    ForPackets,
    /// The mistake.
    NotAtAll,
}

/// Publishes one policy after another.
struct Publisher<'a> {
    datapath: &'a mut Datapath,
    port: &'a mut TestPort,
    policies: &'a [(Policy, Image)],
    count: u32,
}

impl Publisher<'_> {
    fn publish(&mut self, wait: Wait) {
        let (policy, image) = &self.policies[self.count as usize % self.policies.len()];
        let prepared = self.port.prepare(self.datapath, policy, image, &strict());
        let retired: Vec<Retired> = self.datapath.publish(prepared).into_iter().collect();
        match wait {
            Wait::ForPackets => self.datapath.reclaim(retired).expect("the kernel waits"),
            Wait::NotAtAll => self.datapath.reclaim_at_once(retired),
        }
        self.count += 1;
    }

    /// What the rule counted, and whether it could.
    fn count(&self, direction: Direction, rule: &str) -> u64 {
        self.port.count(self.datapath, &named(direction, rule)).packets
    }

    /// Frames that were led astray, and drops of the data path itself.
    fn mixed(&self) -> u64 {
        let astray: u64 = ways().map(|(direction, kind)| self.count(direction, kind.rules().1)).sum();
        let faults = Direction::ALL.into_iter().flat_map(|direction| {
            self.datapath.guard_counters(self.port.number(), direction).into_iter().map(|(_, count)| count)
        });
        astray + faults.sum::<u64>()
    }

    /// Every frame under its rule, each step of its way included, and nothing anywhere else.
    fn assert_exact(&self, sent: impl Fn(Direction, Kind) -> u64) {
        for direction in Direction::ALL {
            assert_eq!(self.datapath.guard_counters(self.port.number(), direction), [], "{direction}");
            for kind in Kind::BOTH {
                let (rule, mix) = kind.rules();
                assert_eq!(self.count(direction, mix), 0, "{direction}: {kind:?} frames that met a mix");
                assert_eq!(self.count(direction, rule), sent(direction, kind), "{direction}: {rule}");
                for part in ["begins", "ends"] {
                    let step = format!("{rule} {part}");
                    assert_eq!(self.count(direction, &step), sent(direction, kind), "{direction}: {step}");
                }
            }
        }
    }
}

/// How many frames were sent so far, by direction and kind.
#[derive(Debug, Default)]
struct Sent([[AtomicU64; 2]; Direction::COUNT]);

impl Sent {
    fn of(&self, direction: Direction, kind: Kind) -> u64 {
        self.0[direction.index()][kind as usize].load(Ordering::Relaxed)
    }

    fn add(&self, direction: Direction, kind: Kind, count: u64) {
        self.0[direction.index()][kind as usize].fetch_add(count, Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.0.iter().flatten().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// Says that it is over also when a test fails, or the flood would go on for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the classifier of one direction over both kinds of frames until it is over, on a processor that stands
/// still now and then.
fn flood(pins: &PinFolder, direction: Direction, sent: &Sent, over: &AtomicBool) {
    /// So many frames in a call: the kernel's grace periods wait for its end.
    const AT_ONCE: u32 = 256;
    let processors = processors();
    let processor = processors[direction.index() % processors.len()];
    stay_on(processor);
    let _stall = Stall::on(processor).expect("whoever may load classifiers may do that");
    let program = SchedClassifier::from_pin(pins.program(direction)).expect("the classifiers are pinned");
    let frames = Kind::BOTH.map(|kind| (kind, kind.frame(direction, b"flood")));
    while !over.load(Ordering::Relaxed) {
        for (kind, frame) in &frames {
            let options = TestRunOptions { data_in: Some(frame), repeat: AT_ONCE, ..TestRunOptions::new() };
            program.test_run(options).expect("the kernel runs it");
            sent.add(direction, *kind, u64::from(AT_ONCE));
        }
    }
}

/// Publishes under a flood of test runs in both directions until `enough`.
fn publish_under_flood(
    publisher: &mut Publisher<'_>,
    pins: &PinFolder,
    wait: Wait,
    mut enough: impl FnMut(&Publisher<'_>, &Sent) -> bool,
) -> Sent {
    let (sent, over) = (Sent::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let stop = Stop(&over);
        for direction in Direction::ALL {
            let (sent, over) = (&sent, &over);
            scope.spawn(move || flood(pins, direction, sent, over));
        }
        while !enough(publisher, &sent) {
            publisher.publish(wait);
        }
        drop(stop);
    });
    sent
}

/// A graph that is overwritten by another under a walk.
struct Overwritten<'a> {
    before: &'a [Node],
    after: &'a [Node],
    /// So many nodes are read before.
    left: Cell<usize>,
}

impl Nodes for Overwritten<'_> {
    fn node(&self, index: u32) -> Option<Node> {
        let nodes = if self.left.get() > 0 { self.before } else { self.after };
        self.left.set(self.left.get().saturating_sub(1));
        nodes.get(index as usize).copied()
    }
}

/// What the floods below rest on: two of three policies are written over one that lies the other way round,
/// and then almost wherever a frame is on its way, it ends under a rule that no policy alone leads to.
#[test]
fn a_mix_would_show() {
    let policies = policies();
    for (number, (_, before)) in policies.iter().enumerate() {
        // While one is in force the next is prepared, so it is the next but one that gets the place.
        let (policy, after) = &policies[(number + 2) % policies.len()];
        assert_eq!(before.nodes.len(), after.nodes.len(), "the one fits where the other was");
        for (direction, kind) in ways() {
            let mut key = Key::new();
            let frame = kind.frame(direction, b"flood");
            let parsed = parse(&SliceFrame::new(&frame), record_flags::STRICT, &mut key, 0);
            let root = before.roots[parsed.class().expect("the frame is sound").root(direction)];
            let strays = |left: &usize| {
                let left = Cell::new(*left);
                let nodes = Overwritten { before: &before.nodes, after: &after.nodes, left };
                let cause = walk(&nodes, &key, root, &mut |_| ()).cause;
                let Cause::Rule(rule) = cause else { panic!("{cause:?}") };
                policy.rules[rule as usize].identity == named(direction, kind.rules().1)
            };
            let strayed = (0..before.depth).filter(strays).count();
            let expected = if number == 0 { 0 } else { LENGTH };
            assert!(strayed >= expected, "policy {number}, {direction}, {kind:?}: {strayed} places");
        }
    }
}

#[test]
fn no_frame_of_a_flood_meets_a_mix_of_two_policies() {
    let test = "no_frame_of_a_flood_meets_a_mix_of_two_policies";
    let pins = PinFolder::new("flood");
    let Some(mut datapath) = pins.open(test) else { return };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let policies = policies();
    let mut port = TestPort::new(LOOPBACK);
    let mut publisher = Publisher { datapath: &mut datapath, port: &mut port, policies: &policies, count: 0 };
    publisher.publish(Wait::ForPackets);

    let start = Instant::now();
    let sent = publish_under_flood(&mut publisher, &pins, Wait::ForPackets, |publisher, sent| {
        assert!(start.elapsed() < DEADLINE, "{sent:?} and {} publications in time", publisher.count);
        publisher.count >= PUBLICATIONS && sent.total() >= FRAMES
    });
    println!("{} frames, {} publications, {:?}", sent.total(), publisher.count, start.elapsed());
    publisher.assert_exact(|direction, kind| sent.of(direction, kind));
    for direction in Direction::ALL {
        for kind in Kind::BOTH {
            let (sent, all) = (sent.of(direction, kind), sent.total());
            assert!(sent > all / 20, "{direction}: hardly any {kind:?} frames: {sent} of {all}");
        }
    }
}

#[test]
fn without_the_wait_frames_meet_mixes() {
    let test = "without_the_wait_frames_meet_mixes";
    let pins = PinFolder::new("mix");
    if processors().len() < 2 {
        return not_run(test, "one processor alone cannot be in a classifier and in a publication");
    }
    let Some(mut datapath) = pins.open(test) else { return };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let policies = policies();
    let mut port = TestPort::new(LOOPBACK);
    let mut publisher = Publisher { datapath: &mut datapath, port: &mut port, policies: &policies, count: 0 };
    publisher.publish(Wait::ForPackets);

    let start = Instant::now();
    let sent = publish_under_flood(&mut publisher, &pins, Wait::NotAtAll, |publisher, _| {
        publisher.count % 16 == 0 && (publisher.mixed() > 0 || start.elapsed() > DEADLINE)
    });
    println!(
        "{} mixed of {} frames, {} publications, {:?}",
        publisher.mixed(),
        sent.total(),
        publisher.count,
        start.elapsed()
    );
    assert!(publisher.mixed() > 0, "the test would not see a mix if there were one");
}

/// The same over a real bridge, with frames that are looked at where they arrive.
#[test]
fn no_real_frame_is_lost_or_leaked() {
    let test = "no_real_frame_is_lost_or_leaked";
    if let Some(reason) = obstacle() {
        return not_run(test, &reason);
    }
    let pins = PinFolder::new("real");
    let Some(mut datapath) = pins.open(test) else { return };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let policies = policies();
    let namespace = Namespace::new().expect("it was possible before");
    namespace.run(|| {
        let (vm, peer) = (tap("vm"), tap("peer"));
        bridge("br", &["vm", "peer"]);
        let mut port = TestPort::new(ifindex("vm"));
        let mut publisher =
            Publisher { datapath: &mut datapath, port: &mut port, policies: &policies, count: 0 };
        publisher.publish(Wait::ForPackets);
        publisher.datapath.attach("vm", ifindex("vm")).expect("a tap takes the classifiers");

        let (sent, over) = (Sent::default(), AtomicBool::new(false));
        let start = Instant::now();
        std::thread::scope(|scope| {
            let stop = Stop(&over);
            let (sent, over) = (&sent, &over);
            let (vm, peer) = (&vm, &peer);
            let out = scope.spawn(move || converse(Direction::Out, (vm, peer), sent, over));
            let to_vm = scope.spawn(move || converse(Direction::In, (peer, vm), sent, over));
            while publisher.count < REAL_PUBLICATIONS || sent.total() < REAL_FRAMES {
                let alive = !out.is_finished() && !to_vm.is_finished();
                assert!(alive && start.elapsed() < DEADLINE, "{sent:?}");
                publisher.publish(Wait::ForPackets);
            }
            drop(stop);
        });
        println!("{} frames, {} publications, {:?}", sent.total(), publisher.count, start.elapsed());
        publisher.assert_exact(|direction, kind| sent.of(direction, kind));
        datapath.detach(ifindex("vm"));
    });
}

/// Sends numbered frames of both kinds from one end and expects the allowed ones, and none else, in order at
/// the other, until it is over.
fn converse(
    direction: Direction,
    (from, to): (&filter_tests::net::Wire, &filter_tests::net::Wire),
    sent: &Sent,
    over: &AtomicBool,
) {
    /// So many frames are on their way at once; a tap's queue holds a thousand.
    const AT_ONCE: u64 = 64;
    let mut next: u64 = 0;
    while !over.load(Ordering::Relaxed) {
        let batch = next..next + AT_ONCE;
        for number in batch.clone() {
            for kind in Kind::BOTH {
                from.send(&kind.frame(direction, &number.to_be_bytes()));
                sent.add(direction, kind, 1);
            }
        }
        for number in batch {
            let expected = Kind::Allowed.frame(direction, &number.to_be_bytes());
            let arrived = to.wait_for(SOON, |frame| is_of_the_flood(direction, frame));
            assert_eq!(arrived.as_ref(), Some(&expected), "{direction}: frame {number}");
        }
        next += AT_ONCE;
    }
    assert_eq!(to.drain().iter().filter(|frame| is_of_the_flood(direction, frame)).count(), 0, "{direction}");
}

/// The host itself may have something to say.
fn is_of_the_flood(direction: Direction, frame: &[u8]) -> bool {
    let source = if direction == Direction::Out { VM } else { PEER };
    frame.get(6..12) == Some(&source[..]) && frame.get(12..14) == Some(&ether_type::IPV4.to_be_bytes()[..])
}
