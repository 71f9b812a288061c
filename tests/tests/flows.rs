//! Connections: random conversations through random policies. What the reference says of them is held against what
//! must be true whoever follows them, and against followers that are wrong in one thing each.

use std::collections::BTreeSet;
use std::net::IpAddr;

use filter_common::{Direction, DropReason, Outcome, Verdict, connection};
use filter_ctl::compile::compile;
use filter_ctl::datapath::{Datapath, LOOPBACK};
use filter_ctl::model::Timeouts;
use filter_ctl::policy::{Atom, Field, Policy, Test};
use filter_ctl::reference::{Flows, Ip, Packet, Port, Ticks, Upper, judge};
use filter_tests::followed::{Expected, Follower, Tally, again, conversation, difference, fewer};
use filter_tests::frames::VM;
use filter_tests::generate::{Rng, for_each_case, shrink, stateful_policy};
use filter_tests::ports::{Rules, TestPort, private};

/// Jiffies in a second, where there is no kernel to ask.
const HZ: u32 = 250;
/// Packets of a case.
const PACKETS: usize = 200;

/// Long enough for packets to keep away from the end of each.
fn timeouts() -> Timeouts {
    "sctp-closing=15".parse().expect("a timeout")
}

/// A port that follows connections, strictly or not, loosely or not. Timeouts are longer than what keeps packets
/// apart from them.
fn port(rng: &mut Rng, hz: u32) -> Port {
    let mut flows = Flows::new(Ticks::new(&timeouts(), hz));
    flows.loose = rng.chance(30);
    let now = rng.bits() as u32;
    Port { strict: rng.chance(80), mac: Some(VM), flows: Some(flows), now, ..Port::default() }
}

/// Addresses and protocol of a packet, and the direction it goes.
type Travel = (Direction, IpAddr, IpAddr, u8);

fn travel(direction: Direction, packet: &Packet) -> Option<Travel> {
    Some(match packet.ip.as_ref()? {
        Ip::V4(ip) => (direction, ip.source.into(), ip.destination.into(), ip.protocol),
        Ip::V6(ip) => (direction, ip.source.into(), ip.destination.into(), ip.protocol),
    })
}

/// The travel of what goes the other way.
fn back((direction, source, destination, protocol): Travel) -> Travel {
    let direction = if direction == Direction::Out { Direction::In } else { Direction::Out };
    (direction, destination, source, protocol)
}

#[test]
fn all_states_are_well_represented() {
    let mut tally = Tally::default();
    let mut unknown_fragments = 0;
    for_each_case(300, |rng| {
        let (policy, port) = (stateful_policy(rng), port(rng, HZ));
        let packets = conversation(rng, &policy, port, HZ, PACKETS);
        let is_unknown = |packet: &&Expected| packet.outcome == Outcome::guard(DropReason::FragmentUnknown);
        unknown_fragments += packets.iter().filter(is_unknown).count();
        tally.add(&packets);
        Ok(())
    });
    println!("{tally:?}, {unknown_fragments} fragments unknown");
    if std::env::var_os("FILTER_CTL_CASES").is_none() {
        let Tally { packets, passed, new, established, related, invalid, untracked } = tally;
        for (what, count, share) in [
            ("passed", passed, 30),
            ("new", new, 10),
            ("established", established, 15),
            ("related", related, 2),
            ("invalid", invalid, 10),
            ("untracked", untracked, 3),
        ] {
            assert!(count * 100 > packets * share, "{count} of {packets} are {what}: less than {share} %");
        }
        assert!(unknown_fragments > 50, "{unknown_fragments} fragments unknown");
    }
}

/// What must be true of every flow, told by addresses and protocols alone.
#[test]
fn nothing_is_established_without_a_packet_that_passed() {
    for_each_case(300, |rng| {
        let (policy, mut port) = (stateful_policy(rng), port(rng, HZ));
        let packets = conversation(rng, &policy, port.clone(), HZ, PACKETS);
        let (mut passed, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for sent in &packets {
            port.now = port.now.wrapping_add(sent.wait);
            let judged = judge(&policy, &mut port, sent.direction, &sent.bytes, None);
            let Some(travel) = travel(sent.direction, &judged.packet) else { continue };
            let is = |bit: u32| judged.packet.connection & bit != 0;
            let wrong = |what: &str| Err(format!("{what}: {sent}\n{:#?}", judged.packet));
            if is(connection::ESTABLISHED) {
                let first = if is(connection::REPLY) { back(travel) } else { travel };
                if !passed.contains(&first) {
                    return wrong("nothing passed the original way");
                }
                if is(connection::ORIGINAL) && !seen.contains(&back(travel)) {
                    return wrong("nothing was seen the other way");
                }
            }
            if is(connection::RELATED) {
                let Some(Upper::Icmp { quote: Some(quote), .. }) = judged.packet.upper else {
                    return wrong("no error");
                };
                let (direction, ..) = back(travel);
                let quoted = (direction, quote.source, quote.destination, quote.protocol);
                let first = if is(connection::REPLY) { quoted } else { back(quoted) };
                if !passed.contains(&first) {
                    return wrong("nothing passed that it could be about");
                }
            }
            let states =
                connection::NEW | connection::ESTABLISHED | connection::RELATED | connection::INVALID;
            let ways = connection::ORIGINAL | connection::REPLY;
            let (state, way) = (judged.packet.connection & states, judged.packet.connection & ways);
            let has_way = state != 0 && state != connection::INVALID;
            if state.count_ones() > 1 || way.count_ones() != u32::from(has_way) {
                return wrong("no such state");
            }
            if is(connection::NEW) && is(connection::REPLY) {
                return wrong("new, but an answer");
            }
            seen.insert(travel);
            if judged.outcome.verdict == Verdict::Pass {
                passed.insert(travel);
            }
        }
        Ok(())
    });
}

#[test]
fn what_may_not_begin_leaves_nothing_behind() {
    let state = |bit: u32| Test::is(Field::Connection, Atom::Bits { mask: bit, value: bit });
    let mut rules = Rules::default();
    let steps = vec![
        rules.verdict("new", vec![state(connection::NEW)], Verdict::Drop),
        rules.verdict("related", vec![state(connection::RELATED)], Verdict::Pass),
        rules.verdict("rest", vec![], Verdict::Pass),
    ];
    let policy = rules.policy(steps.clone(), steps);
    for_each_case(50, |rng| {
        let mut port = port(rng, HZ);
        for sent in conversation(rng, &policy, port.clone(), HZ, PACKETS) {
            port.now = port.now.wrapping_add(sent.wait);
            let judged = judge(&policy, &mut port, sent.direction, &sent.bytes, None);
            let belongs = connection::ESTABLISHED | connection::RELATED;
            let flows = port.flows.as_ref().map(|flows| flows.count(port.now));
            if judged.packet.connection & belongs != 0 || flows != Some(0) {
                return Err(format!("{sent} belongs to one of {flows:?} flows"));
            }
        }
        Ok(())
    });
}

/// What makes a port follow connections wrongly.
type Flaw = fn(&mut Port);

/// The loaded classifiers, on the loopback interface.
struct Loaded {
    datapath: Datapath,
    port: TestPort,
    policy: Policy,
    /// How far their clock is ahead of the kernel's, in ticks.
    ahead: u32,
}

impl Loaded {
    fn new(mut datapath: Datapath) -> Self {
        datapath.set_timeouts(&timeouts());
        let nothing = Rules::default().policy(Vec::new(), Vec::new());
        Self { datapath, port: TestPort::new(LOOPBACK), policy: nothing, ahead: 0 }
    }
}

impl Follower for Loaded {
    fn start(&mut self, policy: &Policy, port: &Port) {
        self.port = TestPort::new(LOOPBACK);
        self.policy = policy.clone();
        let retired = self.port.publish(&mut self.datapath, policy, port);
        // Nothing but test runs, which are over, looks into what was there before.
        self.datapath.reclaim_at_once(retired.into_iter().collect());
    }

    fn send(&mut self, wait: u32, direction: Direction, frame: &[u8]) -> Outcome {
        self.ahead = self.ahead.wrapping_add(wait);
        self.datapath.set_clock(self.ahead);
        let found = self.datapath.run(direction, LOOPBACK, frame).expect("the kernel runs it");
        found.expect("it is long enough")
    }

    fn count(&mut self, rule: u32) -> u64 {
        self.port.count(&self.datapath, &self.policy.rules[rule as usize].identity).packets
    }
}

/// How many jiffies a second has: the coarse clock goes on with each.
fn hz() -> u32 {
    let resolution = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse);
    u32::try_from(1_000_000_000 / resolution.tv_nsec).expect("a number of jiffies")
}

/// A million packets, or a few with `--quick`.
#[test]
fn the_loaded_program_follows_connections_as_the_reference_does() {
    let test = "the_loaded_program_follows_connections_as_the_reference_does";
    let Some(datapath) = private(test) else { return };
    let mut loaded = Loaded::new(datapath);
    let (hz, mut tally) = (hz(), Tally::default());
    let cases = if std::env::var_os("FILTER_CTL_QUICK").is_some() { 100 } else { 5_000 };
    for_each_case(cases, |rng| {
        let (policy, port) = (stateful_policy(rng), port(rng, hz));
        if compile(&policy).is_err() {
            return Ok(());
        }
        let packets = conversation(rng, &policy, port.clone(), hz, PACKETS);
        tally.add(&packets);
        match difference(&mut loaded, &policy, &port, &packets) {
            None => Ok(()),
            Some(found) => Err(smaller(&mut loaded, policy, &port, hz, packets).unwrap_or(found)),
        }
    });
    println!("{tally:?}");
}

/// A difference with as few steps and packets as show it.
fn smaller(
    follower: &mut dyn Follower,
    policy: Policy,
    port: &Port,
    hz: u32,
    packets: Vec<Expected>,
) -> Option<String> {
    let mut differs = |policy: &Policy, packets: &[Expected]| {
        compile(policy).ok()?;
        difference(follower, policy, port, &again(policy, port.clone(), hz, packets)?)
    };
    let packets = fewer(packets, |packets| differs(&policy, packets).is_some());
    let policy = shrink(policy, |policy| differs(policy, &packets).is_some());
    let packets = fewer(packets, |packets| differs(&policy, packets).is_some());
    let found = differs(&policy, &packets)?;
    let kind = if port.strict { "strict" } else { "libvirt" };
    let loose = port.flows.as_ref().is_some_and(|flows| flows.loose);
    Some(format!("{found}\n{kind}, loose {loose}\n{:#?}", policy.programs))
}

#[test]
fn a_difference_is_made_small() {
    let flaw: Flaw = |port| flows(port).loose = !flows(port).loose;
    let mut wrong = Wrong { flaw, running: None };
    let found = (0..100).find_map(|seed| {
        let rng = &mut Rng::new(seed);
        let (policy, port) = (stateful_policy(rng), port(rng, HZ));
        let packets = conversation(rng, &policy, port.clone(), HZ, PACKETS);
        difference(&mut wrong, &policy, &port, &packets)?;
        smaller(&mut wrong, policy, &port, HZ, packets)
    });
    let found = found.expect("somewhere it matters");
    let (packets, _) = found.split_once("\nat the last one").expect("it is about a packet");
    assert!(packets.lines().count() <= 2, "{found}");
}

/// The reference once more, but wrong in one thing.
struct Wrong {
    flaw: Flaw,
    running: Option<(Policy, Port, Vec<u64>)>,
}

impl Follower for Wrong {
    fn start(&mut self, policy: &Policy, port: &Port) {
        let mut port = port.clone();
        (self.flaw)(&mut port);
        self.running = Some((policy.clone(), port, vec![0; policy.rules.len()]));
    }

    fn send(&mut self, wait: u32, direction: Direction, frame: &[u8]) -> Outcome {
        let (policy, port, counts) = self.running.as_mut().expect("it was started");
        port.now = port.now.wrapping_add(wait);
        let judged = judge(policy, port, direction, frame, None);
        for rule in judged.hits {
            counts[rule as usize] += 1;
        }
        if let filter_common::Cause::Rule(rule) = judged.outcome.cause {
            counts[rule as usize] += 1;
        }
        judged.outcome
    }

    fn count(&mut self, rule: u32) -> u64 {
        self.running.as_ref().expect("it was started").2[rule as usize]
    }
}

/// In how many of some cases a follower that is wrong in this is found out.
fn found_out(flaw: Flaw) -> usize {
    let mut wrong = Wrong { flaw, running: None };
    (0..100)
        .filter(|&seed| {
            let rng = &mut Rng::new(seed);
            let (policy, port) = (stateful_policy(rng), port(rng, HZ));
            let packets = conversation(rng, &policy, port.clone(), HZ, PACKETS);
            difference(&mut wrong, &policy, &port, &packets).is_some()
        })
        .count()
}

fn flows(port: &mut Port) -> &mut Flows {
    port.flows.as_mut().expect("the port follows connections")
}

#[test]
fn who_is_wrong_is_found_out() {
    assert_eq!(found_out(|_| ()), 0, "it is not wrong at all");
    let flaws: [(&str, Flaw); 6] = [
        ("nothing is followed", |port| port.flows = None),
        ("loose where it should not be, or not where it should", |port| {
            flows(port).loose = !flows(port).loose;
        }),
        ("there is room for two", |port| flows(port).capacity = Some(2)),
        ("flows live for ever", |port| {
            let long = Timeouts::LONGEST;
            let text: Vec<String> = Timeouts::default()
                .to_string()
                .split(',')
                .map(|one| format!("{}={long}", one.split('=').next().unwrap_or_default()))
                .collect();
            flows(port).timeouts = Ticks::new(&text.join(",").parse().expect("timeouts"), HZ);
        }),
        ("UDP is forgotten too early", |port| {
            let timeouts = "sctp-closing=15,udp=20,udp-stream=100".parse().expect("timeouts");
            flows(port).timeouts = Ticks::new(&timeouts, HZ);
        }),
        ("fragments are forgotten too early", |port| {
            let timeouts = "sctp-closing=15,fragment=1".parse().expect("timeouts");
            flows(port).timeouts = Ticks::new(&timeouts, HZ);
        }),
    ];
    for (what, flaw) in flaws {
        let found = found_out(flaw);
        println!("{what}: found out in {found} of 100");
        assert!(found > 3, "{what}: found out in {found} of 100");
    }
}
