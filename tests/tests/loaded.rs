//! The loaded classifiers: what the verifier thinks of them, and that they say of each frame what the
//! reference says. Frames are given to them with `BPF_PROG_TEST_RUN`; see `attach.rs` for real interfaces.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filter_common::{Cause, Direction, DropReason, Outcome, SHORT_WALK, Verdict, maps};
use filter_ctl::clock::Clock;
use filter_ctl::compile::{Image, compile};
use filter_ctl::datapath::{Added, Contents, Datapath, LOOPBACK, LoadOptions, LogLevel};
use filter_ctl::model::SetMember;
use filter_ctl::policy::{Field, Policy, Step, Then, When};
use filter_ctl::reference::{Known, Learned, Metered, Place, Port, Sets, judge_with};
use filter_tests::frames::{Case, Tag, catalogue, ether_type, tagged};
use filter_tests::generate::{
    SETS, conversation, for_each_case, frame, learning_port, members, policy, port, reference, shrink,
};
use filter_tests::not_run::not_run;
use filter_tests::ports::{
    PinFolder, Rules, TestPort, learned, number, pass_all, private, private_with, runs, strict, to_learned,
};

/// What the verifier may need for one classifier. It gives up at a million; what is left is for other kernels,
/// which do not all follow the same paths.
const VERIFIER_BUDGET: u32 = 400_000;

/// The tag, if any, back where it stood before the kernel took it out.
fn in_band(frame: &[u8], tag: Option<Tag>) -> Vec<u8> {
    match tag {
        Some((kind, tci)) if frame.len() >= 12 => tagged(frame, kind, tci),
        _ => frame.to_vec(),
    }
}

/// Publishes the policy on the loopback interface, waits for what was there before to be free, and returns the
/// port. It follows neither connections nor fragments: that is tried in `flows.rs`.
fn publish(datapath: &mut Datapath, policy: &Policy, image: &Image, port: &Port) -> TestPort {
    let mut loaded = TestPort::new(LOOPBACK);
    let image = Image { tracked: 0, above_ip: 0, ..image.clone() };
    let prepared = loaded.prepare(datapath, policy, &image, port);
    let retired = datapath.publish(prepared);
    // Nothing but test runs, which are over, walks these graphs; so there is no need to wait for packets.
    datapath.reclaim_at_once(retired.into_iter().collect());
    loaded
}

#[test]
fn the_verifier_needs_far_less_than_it_has() {
    let Some(datapath) = private("the_verifier_needs_far_less_than_it_has") else { return };
    for direction in Direction::ALL {
        let needed = datapath.verified_instructions(direction).expect("Linux says so since 5.16");
        println!("{}: {needed} instructions verified", maps::program(direction));
        assert!(needed < VERIFIER_BUDGET, "{needed} instructions for {}", maps::program(direction));
    }
}

#[test]
fn the_loaded_guard_names_each_reason_and_lets_near_misses_pass() {
    let Some(mut datapath) = private("the_loaded_guard_names_each_reason_and_lets_near_misses_pass") else {
        return;
    };
    let policy = pass_all();
    let image = compile(&policy).expect("it has two nodes");
    let mut wrong = String::new();
    let mut skipped = Vec::new();
    let mut run = 0;
    for strict in [true, false] {
        publish(&mut datapath, &policy, &image, &Port { strict, ..Port::default() });
        for Case { name, reason, bad, near_miss, tag } in catalogue() {
            for (frame, reason) in [(bad, Some(reason)), (near_miss, None)] {
                let frame = in_band(&frame, tag);
                if !runs(&frame) {
                    skipped.push(format!("{name} ({} bytes)", frame.len()));
                    continue;
                }
                for (rule, direction) in (0..).zip(Direction::ALL) {
                    let found = datapath
                        .run(direction, LOOPBACK, &frame)
                        .expect("the kernel runs it")
                        .expect("it is long enough");
                    let expected = match reason {
                        Some(reason) if strict => Outcome::guard(reason),
                        _ => Outcome { verdict: Verdict::Pass, cause: Cause::Rule(rule) },
                    };
                    if found != expected {
                        let _ = writeln!(
                            wrong,
                            "{name}, strict {strict}: {found:?}, not {expected:?}: {frame:02x?}"
                        );
                    }
                    run += 1;
                }
            }
        }
    }
    println!("{run} runs; {} frames that test runs do not take: {skipped:?}", skipped.len());
    assert!(wrong.is_empty(), "{wrong}");
    assert!(skipped.len() * 20 < run, "too many frames were not tried: {skipped:?}");
}

/// A frame on its way, its tags all in band.
#[derive(Clone, Debug)]
struct Sent {
    direction: Direction,
    bytes: Vec<u8>,
}

/// Puts members in all sets.
fn fill(datapath: &mut Datapath, sets: &[(u32, Vec<SetMember>)]) {
    for ((kind, number), (_, members)) in SETS.iter().zip(sets) {
        let mut contents = Contents::new(*kind, members.len()).expect("the kernel makes maps");
        for member in members {
            assert_eq!(contents.add(member).expect("the kernel takes members"), Added::There);
        }
        datapath.put_contents(*number, &contents).expect("the kernel takes maps");
    }
}

/// What was run, to show that it was not all alike.
#[derive(Debug, Default)]
struct Seen {
    frames: u32,
    passed: u32,
    by_rule: u32,
    hits: u32,
    learned: u32,
}

/// The port, with what it knows moved to this clock's time: for a year, where it is not over.
fn at(port: &Port, clock: Clock) -> Port {
    fn moved<T: Copy, const N: usize>(places: [Place<T>; N], from: u32, clock: Clock) -> [Place<T>; N] {
        places.map(|place| {
            let later = |known: Known<T>| Known {
                until: known.until.map(|_| clock.now.plus((clock.hz * 86_400 * 10) >> 4).0.max(1)),
                ..known
            };
            Place { known: place.live(from).map(later), ..place }
        })
    }
    let mut port = port.clone();
    port.learned.ip4 = moved(port.learned.ip4, port.now, clock);
    port.learned.ip6 = moved(port.learned.ip6, port.now, clock);
    port.learned.prefixes = moved(port.learned.prefixes, port.now, clock);
    (port.now, port.hz) = (clock.now.0, clock.hz);
    port
}

/// What is known, where, and of whom; whether for ever, but not until when: that depends on the moment.
fn addresses(learned: &Learned, now: u32) -> Vec<String> {
    fn shown<T: Copy + std::fmt::Debug>(places: &[Place<T>], now: u32) -> Vec<String> {
        let known = |(at, place): (usize, &Place<T>)| {
            let known = place.live(now)?;
            Some(format!("{at} {:?} {:?} {}", known.address, known.origin, known.until.is_some()))
        };
        places.iter().enumerate().filter_map(known).collect()
    }
    let transactions = |asked: &[(u32, u32)]| {
        let mut asked: Vec<String> = asked.iter().map(|(it, _)| format!("{it:#x}")).collect();
        asked.sort_unstable();
        asked
    };
    let mut all = vec![format!("{:02x?}", learned.mac)];
    all.retain(|_| learned.mac.is_some());
    all.extend(shown(&learned.ip4, now));
    all.extend(shown(&learned.ip6, now));
    all.extend(shown(&learned.prefixes, now));
    all.extend(transactions(&learned.asked4));
    all.extend(transactions(&learned.asked6));
    all
}

/// Runs the frames one after another through the loaded classifiers and the reference, from the same start,
/// and says where they differ: in the outcome, in what was learned, or, at the end, in what was counted.
fn difference(
    datapath: &mut Datapath,
    (policy, image): (&Policy, &Image),
    (port, sets): (&Port, &Sets),
    frames: &[Sent],
    seen: &mut Seen,
) -> Option<String> {
    // Rates are so slow that nothing comes meanwhile.
    let mut gates = Metered::new(sets.clone(), 1000);
    let loaded = publish(datapath, policy, image, port);
    // The kernel's clock is not ours: times begin now.
    let mut port = at(port, Clock::read());
    datapath.set_learned(loaded.number(), to_learned(&port.learned));
    let mut counts = vec![(0, 0); policy.rules.len()];
    let mut guarded: Vec<(Direction, DropReason)> = Vec::new();
    for sent in frames {
        let found = match datapath.run(sent.direction, LOOPBACK, &sent.bytes) {
            Ok(Some(found)) => found,
            Ok(None) => return Some(format!("the kernel does not run it: {:02x?}", sent.bytes)),
            Err(error) => return Some(format!("{error}: {:02x?}", sent.bytes)),
        };
        port.now = Clock::read().now.0;
        let expected = judge_with(policy, &mut port, &mut gates, sent.direction, &sent.bytes, None);
        let known = addresses(&learned(&datapath.learned(loaded.number())), port.now);
        let found = (found, known);
        let wanted = addresses(&port.learned, port.now);
        if found != (expected.outcome, wanted) {
            return Some(format!(
                "loaded {found:?}\nreference {:?} {:?}\n{sent:02x?}\n{:#?}",
                expected.outcome, port.learned, expected.packet
            ));
        }
        let mut count = |rule: u32| {
            counts[rule as usize].0 += 1;
            counts[rule as usize].1 += sent.bytes.len() as u64;
        };
        expected.hits.iter().copied().for_each(&mut count);
        match expected.outcome.cause {
            Cause::Rule(rule) => count(rule),
            Cause::Guard(reason) => guarded.push((sent.direction, reason)),
        }
        seen.frames += 1;
        seen.hits += expected.hits.len() as u32;
        seen.by_rule += u32::from(matches!(expected.outcome.cause, Cause::Rule(_)));
        seen.passed += u32::from(expected.outcome.verdict == Verdict::Pass);
    }
    seen.learned += addresses(&port.learned, port.now).len() as u32;
    for (rule, expected) in policy.rules.iter().zip(&counts) {
        let found = loaded.count(datapath, &rule.identity);
        if (found.packets, found.bytes) != *expected {
            return Some(format!("{rule} counted {found:?}, not {expected:?}"));
        }
    }
    for direction in Direction::ALL {
        for (reason, found) in datapath.guard_counters(loaded.number(), direction) {
            let expected = guarded.iter().filter(|dropped| **dropped == (direction, reason)).count();
            if found != expected as u64 {
                return Some(format!("{reason} counted {found}, not {expected}"));
            }
        }
        let total: u64 =
            datapath.guard_counters(loaded.number(), direction).iter().map(|(_, count)| count).sum();
        let expected = guarded.iter().filter(|(way, _)| *way == direction).count();
        if total != expected as u64 {
            return Some(format!("the guard counted {total} drops {direction}, not {expected}"));
        }
    }
    None
}

/// The same, and if there is a difference, one of a smaller policy.
fn check(
    datapath: &mut Datapath,
    compiled: (&Policy, &Image),
    port: (&Port, &Sets),
    frames: &[Sent],
    seen: &mut Seen,
) -> Result<(), String> {
    let Some(found) = difference(datapath, compiled, port, frames, seen) else { return Ok(()) };
    let mut again = |policy: &Policy| {
        let image = compile(policy).ok()?;
        difference(datapath, (policy, &image), port, frames, &mut Seen::default())
    };
    let small = shrink(compiled.0.clone(), |smaller| again(smaller).is_some());
    let found = again(&small).unwrap_or(found);
    Err(format!("{found}\n{port:?}\n{:#?}", small.programs))
}

#[test]
fn the_loaded_program_is_the_reference_over_generated_frames() {
    let Some(mut datapath) = private("the_loaded_program_is_the_reference_over_generated_frames") else {
        return;
    };
    let mut seen = Seen::default();
    let (mut policies, mut asking) = (0, 0);
    for_each_case(600, |rng| {
        let policy = policy(rng);
        let Ok(image) = compile(&policy) else { return Ok(()) };
        policies += 1;
        let port = port(rng);
        let sets = members(rng);
        if !policy.sets().is_empty() {
            asking += 1;
            fill(&mut datapath, &sets);
        }
        let frames: Vec<Sent> = std::iter::from_fn(|| {
            let (bytes, tag) = frame(rng);
            Some(Sent { direction: rng.pick(&Direction::ALL), bytes: in_band(&bytes, tag) })
        })
        .filter(|sent| runs(&sent.bytes))
        .take(50)
        .collect();
        check(&mut datapath, (&policy, &image), (&port, &reference(&sets)), &frames, &mut seen)
    });
    println!("{policies} policies, {asking} of them ask for sets, {seen:?}");
    if std::env::var_os("FILTER_CTL_CASES").is_none() {
        assert!(asking > policies / 5, "{asking} of {policies} policies ask for sets");
        assert!(policies >= 400, "only {policies} policies could be compiled");
        assert!(seen.by_rule > seen.frames / 4 && seen.passed > seen.frames / 10, "{seen:?}");
        assert!(seen.hits > seen.frames / 50 && seen.learned > policies / 20, "{seen:?}");
    }
}

/// The same over conversations by which addresses are learned.
#[test]
fn the_loaded_program_learns_what_the_reference_learns() {
    let Some(mut datapath) = private("the_loaded_program_learns_what_the_reference_learns") else { return };
    let policy = pass_all();
    let image = compile(&policy).expect("it has two nodes");
    let mut seen = Seen::default();
    for_each_case(60, |rng| {
        let port = learning_port(rng);
        let frames: Vec<Sent> = std::iter::from_fn(|| {
            let (direction, bytes) = conversation(rng);
            Some(Sent { direction, bytes })
        })
        .filter(|sent| runs(&sent.bytes))
        .take(80)
        .collect();
        check(&mut datapath, (&policy, &image), (&port, &Sets::default()), &frames, &mut seen)
    });
    println!("{seen:?}");
    if std::env::var_os("FILTER_CTL_CASES").is_none() {
        assert!(seen.learned > 150 && seen.passed > seen.frames / 4, "{seen:?}");
    }
}

/// A walk that is longer than the quick loop counts on its way, and ends, as any other.
#[test]
fn long_walks_are_the_reference_too() {
    let Some(mut datapath) = private("long_walks_are_the_reference_too") else { return };
    let mut rules = Rules::default();
    let steps = 4 * SHORT_WALK;
    let mut program: Vec<Step> = (0..steps)
        .map(|step| {
            // Every third is for other frames.
            let kind = if step % 3 == 0 { ether_type::ARP } else { ether_type::IPV4 };
            let when = vec![When::Is(number(Field::EtherType, kind.into()))];
            Step::new(when, Some(rules.rule(&format!("r{step}"))), Then::Go(step + 1))
        })
        .collect();
    program.push(rules.verdict("last", vec![number(Field::Protocol, 17)], Verdict::Drop));
    program.push(rules.verdict("default", vec![], Verdict::Pass));
    let policy = rules.policy(program.clone(), program);
    let image = compile(&policy).unwrap_or_else(|error| panic!("{error}"));
    assert!(image.depth > 2 * SHORT_WALK, "only {} steps", image.depth);
    let frames: Vec<Sent> = catalogue()
        .into_iter()
        .filter(|case| case.tag.is_none() && runs(&case.near_miss))
        .map(|case| case.near_miss)
        .flat_map(|bytes| Direction::ALL.map(|direction| Sent { direction, bytes: bytes.clone() }))
        .collect();
    let mut seen = Seen::default();
    check(&mut datapath, (&policy, &image), (&strict(), &Sets::default()), &frames, &mut seen)
        .unwrap_or_else(|found| panic!("{found}"));
    assert!(seen.hits > 10_000 && seen.passed > 20, "{seen:?}");
}

#[test]
fn the_loaded_program_is_the_reference_over_frames_of_a_real_network() {
    let test = "the_loaded_program_is_the_reference_over_frames_of_a_real_network";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/frames.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        not_run(test, "there is no tests/golden/frames.jsonl");
        return;
    };
    let Some(mut datapath) = private(test) else { return };
    let mut skipped = 0;
    let frames: Vec<Sent> = text
        .lines()
        .map(golden)
        .filter(|sent| {
            skipped += u32::from(!runs(&sent.bytes));
            runs(&sent.bytes)
        })
        .collect();
    let mut seen = Seen::default();
    let mut policies = 0;
    // A policy without an opinion first, so that the guard's is heard; then whatever comes.
    let quiet = pass_all();
    let image = compile(&quiet).expect("it has two nodes");
    for strict in [true, false] {
        let port = Port { strict, ..Port::default() };
        check(&mut datapath, (&quiet, &image), (&port, &Sets::default()), &frames, &mut seen)
            .unwrap_or_else(|what| panic!("{what}"));
    }
    for_each_case(20, |rng| {
        let policy = policy(rng);
        let Ok(image) = compile(&policy) else { return Ok(()) };
        policies += 1;
        let sets = members(rng);
        fill(&mut datapath, &sets);
        check(&mut datapath, (&policy, &image), (&port(rng), &reference(&sets)), &frames, &mut seen)
    });
    println!("{} frames, {skipped} not run, {policies} policies, {seen:?}", frames.len());
    assert!(frames.len() > 1200 && skipped < 20, "{} frames, {skipped} not run", frames.len());
}

/// A row of the golden frames.
fn golden(line: &str) -> Sent {
    let row: serde_json::Value = serde_json::from_str(line).expect("a row of JSON");
    let text = |field: &str| row[field].as_str().unwrap_or_else(|| panic!("{field} of {row}"));
    let hex = text("hex");
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    let bytes = (0..hex.len()).step_by(2).map(digit).collect();
    Sent { direction: text("dir").parse().expect("in or out"), bytes }
}

/// A frame on an interface without a policy is no port's, and the declared fail mode is all that can judge it.
#[test]
fn an_interface_without_a_policy_drops_as_such() {
    let Some(mut datapath) = private("an_interface_without_a_policy_drops_as_such") else { return };
    let frame = catalogue().remove(0).near_miss;
    for direction in Direction::ALL {
        let found = datapath
            .run(direction, LOOPBACK, &frame)
            .expect("the kernel runs it")
            .expect("it is long enough");
        assert_eq!(found, Outcome::guard(DropReason::NoPolicy), "nothing was published");
    }
    let mut port = TestPort::new(LOOPBACK);
    assert!(port.publish(&mut datapath, &pass_all(), &strict()).is_none(), "there was no policy before");
    let found = datapath
        .run(Direction::Out, LOOPBACK, &frame)
        .expect("the kernel runs it")
        .expect("it is long enough");
    assert_eq!(found.verdict, Verdict::Pass, "a policy was published");
    let retired = datapath.withdraw(LOOPBACK).expect("there was a policy");
    datapath.reclaim(vec![retired]).expect("the kernel waits");
    let found = datapath
        .run(Direction::Out, LOOPBACK, &frame)
        .expect("the kernel runs it")
        .expect("it is long enough");
    assert_eq!(found, Outcome::guard(DropReason::NoPolicy), "the policy was withdrawn");
}

/// What an operator sees who has `bpftool` and nothing else: names that say whose programs and maps these are,
/// and values by the names of their fields. A map of maps has values without a type, and a ring buffer no
/// elements, so these two are only listed.
#[test]
fn bpftool_shows_names_and_fields() {
    let test = "bpftool_shows_names_and_fields";
    if let Err(error) = Command::new("bpftool").arg("version").output() {
        not_run(test, &format!("bpftool: {error}"));
        return;
    }
    let pins = PinFolder::new("bpftool");
    let Some(mut datapath) = pins.open(test) else { return };
    // Something to show.
    let mut port = TestPort::new(LOOPBACK);
    assert!(port.publish(&mut datapath, &pass_all(), &strict()).is_none());

    let listed = |kind: &str| -> Vec<String> {
        let output = Command::new("bpftool").args([kind, "list", "-j"]).output().expect("bpftool runs");
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a list of objects");
        rows.iter().filter_map(|row| Some(row["name"].as_str()?.to_owned())).collect()
    };
    let names = listed("map");
    for map in maps::ALL {
        assert!(names.iter().any(|name| name == map), "`bpftool map list` has no {map}: {names:?}");
    }
    let names = listed("prog");
    for direction in Direction::ALL {
        let program = maps::program(direction);
        assert!(names.iter().any(|name| name == program), "`bpftool prog list` has no {program}: {names:?}");
    }

    let fields: [(&str, &[&str]); 13] = [
        (maps::IFINDEX, &["\"key\": 0", "\"value\": 0"]),
        (
            maps::PORTS,
            &["\"policy\": ", "\"generation\": ", "\"mac_hi\": ", "\"ip6_count\": ", "\"roots\": ["],
        ),
        (maps::NODES, &["\"nodes\": [", "\"lo\": ", "\"span\": ", "\"yes\": ", "\"no\": "]),
        (maps::RULES, &["\"counters\": ["]),
        (maps::COUNTERS, &["\"cpu\": 0", "\"packets\": ", "\"bytes\": "]),
        (maps::GUARD, &["\"out\": [", "\"in\": ["]),
        (maps::LEARNED, &["\"mac\": ", "\"ip4\": "]),
        (maps::SET_STATES, &["\"version\": ", "\"applied\": "]),
        (maps::LIMITS, &["\"limits\": [", "\"bucket\": ", "\"tolerance\": ", "\"cost\": "]),
        (maps::BUCKETS, &["\"full\": ["]),
        (maps::ANSWERS, &["\"due\": ", "\"sent\": [", "\"suppressed\": ["]),
        (maps::SETTINGS, &["\"secrets\": [", "\"timeouts\": ["]),
        (maps::ROOM, &["\"cpu\": 0", "\"words\": ["]),
    ];
    assert_eq!(fields.len() + 4, maps::ALL.len(), "all maps but those of maps");
    for (map, fields) in fields {
        let path = pins.path().join(format!("v{}", filter_common::ABI_VERSION)).join("maps").join(map);
        let shown = beginning_of_dump(&path);
        for field in fields {
            assert!(shown.contains(field), "{map} is shown without {field}: {shown:.2000}");
        }
    }
}

/// The first part of what `bpftool map dump` prints; the largest map would take minutes.
fn beginning_of_dump(map: &Path) -> String {
    let mut bpftool = Command::new("bpftool")
        .args(["map", "dump", "pinned"])
        .arg(map)
        .stdout(Stdio::piped())
        .spawn()
        .expect("bpftool runs");
    let mut shown = Vec::new();
    let output = bpftool.stdout.take().expect("it was asked for");
    output.take(256 << 10).read_to_end(&mut shown).expect("bpftool prints");
    let _ = bpftool.kill();
    bpftool.wait().expect("it ends");
    String::from_utf8_lossy(&shown).into_owned()
}

/// Diagnostics are off unless the classifiers were loaded with them, and then name the interface and why.
#[test]
fn the_classifiers_log_what_they_cannot_judge_if_they_were_loaded_so() {
    let frame = catalogue().remove(0).near_miss;
    for (level, expected) in [(LogLevel::Off, 0), (LogLevel::Warn, 2)] {
        let test = "the_classifiers_log_what_they_cannot_judge_if_they_were_loaded_so";
        let Some(datapath) = private_with(test, LoadOptions { log: level }) else { return };
        for direction in Direction::ALL {
            datapath.run(direction, LOOPBACK, &frame).expect("the kernel runs it");
        }
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let mut diagnostics =
            datapath.diagnostics(move |line| sink.lock().expect("not poisoned").push(line)).expect("a log");
        diagnostics.read(Duration::ZERO);
        let lines = lines.lock().expect("not poisoned");
        assert_eq!(lines.len(), expected, "{lines:?}");
        let reason = DropReason::NoPolicy as u32;
        for line in &*lines {
            assert!(line.starts_with("warn") && line.contains("ifindex 1"), "{line}");
            assert!(line.ends_with(&format!("drop reason {reason}")), "{line}");
        }
    }
}
