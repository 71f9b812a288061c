//! Profiles and what they are converted to: both give each frame the same verdict, by the reference interpreter, on
//! ports that follow connections.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use filter_common::{Cause, Direction, DropReason, Verdict};
use filter_ctl::convert::{CannotSay, Snap, to_filter, to_pool};
use filter_ctl::model::{MacAddr, Mode, ParameterText, Profile, ProfileName, Timeouts};
use filter_ctl::policy::{Field, Policy};
use filter_ctl::reference::{Flows, Packet, Port, Ticks, VlanTag, judge};
use filter_ctl::resolve::{Parameters, resolve};
use filter_ctl::store::Profiles;
use filter_ctl::xml::{Reading, parse, print};
use filter_tests::frames::{VM, VM_IP4, VM_IP6};
use filter_tests::generate::{
    Conversations, Rng, VARIABLES, filter_document, for_each_case, frame, pool_document,
};
use filter_tests::libvirt::{self, aim, tree};
use filter_tests::scene::hex;

/// Frames that a profile and its conversion are asked about.
const FRAMES: usize = 300;

/// Jiffies in a second.
const HZ: u32 = 250;

/// A frame on its way.
struct Sent {
    /// How many ticks pass before.
    wait: u32,
    direction: Direction,
    bytes: Vec<u8>,
    /// The tag that was taken out of it.
    tag: Option<VlanTag>,
}

fn parameters(more: &[(String, String)]) -> Parameters {
    let mut user: BTreeMap<_, Vec<ParameterText>> = BTreeMap::new();
    let known = VARIABLES.iter().flat_map(|(name, values)| values.iter().map(|value| (*name, *value)));
    for (name, value) in known.chain(more.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        let name = name.parse().expect("the name of a variable");
        user.entry(name).or_default().push(value.parse().expect("a value"));
    }
    let addresses = vec![VM_IP4.into(), Ipv4Addr::new(198, 51, 100, 7).into(), VM_IP6.into()];
    Parameters { mac: Some(MacAddr(VM)), addresses, user, mode: Mode::Strict, count_values: false }
}

fn policy(profile: &Profile, parameters: &Parameters) -> Result<Policy, String> {
    let library: HashMap<ProfileName, Profile> = HashMap::from([(profile.name.clone(), profile.clone())]);
    resolve(&library, std::slice::from_ref(&profile.name), parameters).map_err(|error| error.to_string())
}

fn port(parameters: &Parameters) -> Port {
    let flows = Some(Flows::new(Ticks::new(&Timeouts::default(), HZ)));
    Port { strict: true, mac: Some(VM), addresses: parameters.addresses.clone(), flows, ..Port::default() }
}

/// What becomes of a frame; `None` where it is a later fragment whose first one is not known: whether that matters
/// depends on whether a rule asks for more than addresses, be it one that does nothing.
fn verdict(policy: &Policy, port: &mut Port, sent: &Sent) -> Option<Verdict> {
    port.now = port.now.wrapping_add(sent.wait);
    let judgement = judge(policy, port, sent.direction, &sent.bytes, sent.tag);
    let verdict = judgement.outcome.verdict;
    if judgement.outcome.cause == Cause::Guard(DropReason::FragmentUnknown) {
        return None;
    }
    // What is not IP is not answered, so rejecting it is dropping it; and so is what is in SNAP.
    let snap = judgement.packet.llc.is_some_and(|llc| llc.snap.is_some());
    let answers = !snap && judgement.packet.value(Field::SrcIp).is_some();
    Some(if answers { verdict } else { verdict.without_answer() })
}

fn random(rng: &mut Rng) -> Sent {
    let (bytes, tag) = frame(rng);
    let tag = tag.map(|(ether_type, tci)| VlanTag { ether_type, tci });
    Sent { wait: 0, direction: rng.pick(&Direction::ALL), bytes, tag }
}

fn has_snap(sent: &Sent) -> bool {
    let packet = Packet::read(&sent.bytes, sent.tag, true);
    packet.tags.is_empty() && packet.llc.is_some_and(|llc| llc.snap.is_some())
}

/// Whether both mean the same, and the text of the other one says what it is.
fn same(
    one: &Profile,
    other: &Profile,
    parameters: &Parameters,
    frames: &[Sent],
    snap: Snap,
) -> Result<(), String> {
    let show = |what: String| format!("{what}\n{}became\n{}", print(one), print(other));
    // What stands for nothing here is refused alike.
    let Ok(before) = policy(one, parameters) else { return Ok(()) };
    let after = match policy(other, parameters) {
        Ok(after) => after,
        // A value that only the one dialect reads.
        Err(error) if error.contains('$') => return Ok(()),
        Err(error) => return Err(show(error)),
    };
    let text = print(other);
    match parse(&text, None, Reading::Strict) {
        Ok(parsed) if parsed.profile == *other => {}
        Ok(_) => return Err(show("its text says something else".to_owned())),
        Err(error) => return Err(show(error.to_string())),
    }
    let mut ports = [port(parameters), port(parameters)];
    for sent in frames {
        let may_differ = snap == Snap::Dropped && has_snap(sent);
        // What only one of them lets pass must not begin a connection there.
        let untouched = may_differ.then(|| ports.clone());
        let [first, second] = &mut ports;
        let verdicts = [verdict(&before, first, sent), verdict(&after, second, sent)];
        let differ = matches!(verdicts, [Some(first), Some(second)] if first != second);
        if differ && !(may_differ && verdicts[1] == Some(Verdict::Drop)) {
            return Err(show(format!(
                "{verdicts:?}: {} {} {:x?}",
                sent.direction,
                hex(&sent.bytes),
                sent.tag
            )));
        }
        ports = untouched.unwrap_or(ports);
    }
    Ok(())
}

/// How many were converted, and why others were not.
#[derive(Default)]
struct Shares {
    of: usize,
    converted: usize,
    there_and_back: usize,
    reasons: BTreeMap<String, usize>,
}

impl Shares {
    fn refused(&mut self, error: &CannotSay) {
        let reason: String = error.reason.chars().take(60).collect();
        *self.reasons.entry(reason).or_default() += 1;
    }

    fn at_least(&self, what: &str, percent: usize) {
        println!(
            "{what}: {} of {} converted, {} there and back",
            self.converted, self.of, self.there_and_back
        );
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in reasons {
            println!("  {count} {reason}");
        }
        assert!(self.of == 1 || self.converted * 100 >= self.of * percent, "{what}: too few");
    }
}

/// Frames of all kinds, and between them conversations.
fn frames(rng: &mut Rng) -> Vec<Sent> {
    let mut conversations = Conversations::new(rng);
    let mut next = |rng: &mut Rng| {
        if rng.chance(60) {
            return random(rng);
        }
        let event = conversations.next(rng);
        let wait = event.wait.wrapping_mul(HZ) / 16;
        Sent { wait, direction: event.direction, bytes: event.bytes, tag: None }
    };
    (0..FRAMES).map(|_| next(rng)).collect()
}

#[test]
fn pools_become_filters() {
    for (snap, percent) in [(Snap::Same, 40), (Snap::Dropped, 50)] {
        let shares = RefCell::new(Shares::default());
        for_each_case(1500, |rng| {
            let text = pool_document(rng);
            // Contradictions are refused by the reader.
            let Ok(parsed) = parse(&text, None, Reading::Strict) else { return Ok(()) };
            let pool = parsed.profile;
            let mut shares = shares.borrow_mut();
            shares.of += 1;
            let filter = match to_filter(&pool, snap) {
                Ok(filter) => filter,
                Err(error) => {
                    shares.refused(&error);
                    return Ok(());
                }
            };
            shares.converted += 1;
            assert_eq!(filter.dialect(), "nwfilter");
            let (parameters, frames) = (parameters(&[]), frames(rng));
            same(&pool, &filter, &parameters, &frames, snap)?;
            if let Ok(back) = to_pool(&filter) {
                shares.there_and_back += 1;
                same(&pool, &back, &parameters, &frames, snap)?;
            }
            Ok(())
        });
        let shares = shares.into_inner();
        shares.at_least(&format!("pools, SNAP {snap:?}"), percent);
        assert!(shares.of == 1 || shares.there_and_back > shares.converted / 3);
    }
}

#[test]
fn filters_become_pools() {
    let shares = RefCell::new(Shares::default());
    for_each_case(1500, |rng| {
        let text = filter_document(rng);
        let Ok(parsed) = parse(&text, None, Reading::Strict) else { return Ok(()) };
        let mut shares = shares.borrow_mut();
        shares.of += 1;
        let pool = match to_pool(&parsed.profile) {
            Ok(pool) => pool,
            Err(error) => {
                shares.refused(&error);
                return Ok(());
            }
        };
        shares.converted += 1;
        let (parameters, frames) = (parameters(&[]), frames(rng));
        same(&parsed.profile, &pool, &parameters, &frames, Snap::Same)?;
        if let Ok(back) = to_filter(&pool, Snap::Same) {
            shares.there_and_back += 1;
            same(&parsed.profile, &back, &parameters, &frames, Snap::Same)?;
        }
        Ok(())
    });
    shares.into_inner().at_least("filters", 50);
}

#[test]
fn filters_of_the_whole_language_become_pools_or_are_refused() {
    let shares = RefCell::new(Shares::default());
    for_each_case(3000, |rng| {
        let profile = rng.pick(&[libvirt::Profile::Stateless, libvirt::Profile::Any]);
        let tree = tree(rng, profile);
        for (name, text) in tree.documents() {
            let Ok(parsed) = parse(&text, None, Reading::Strict) else { continue };
            let mut shares = shares.borrow_mut();
            shares.of += 1;
            let pool = match to_pool(&parsed.profile) {
                Ok(pool) => pool,
                Err(error) => {
                    shares.refused(&error);
                    continue;
                }
            };
            shares.converted += 1;
            // Own addresses are the port's, whatever the tree sets.
            let given: Vec<_> =
                tree.parameters.iter().filter(|(name, _)| name != "IP" && name != "IPV6").cloned().collect();
            let mut frames = frames(rng);
            let aimed = aim(rng, &tree, FRAMES / 2);
            frames.extend(aimed.into_iter().map(|frame| Sent {
                wait: 0,
                direction: frame.direction,
                bytes: frame.bytes,
                tag: None,
            }));
            same(&parsed.profile, &pool, &parameters(&given), &frames, Snap::Same)
                .map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(())
    });
    shares.into_inner().at_least("filters of the whole language", 10);
}

#[test]
fn shipped_profiles_mean_the_same_in_the_other_dialect() {
    let mut rng = Rng::new(1);
    let profiles = Profiles::shipped().expect("they are read");
    let mut converted = 0;
    for (_, profile) in profiles.iter() {
        let frames: Vec<Sent> = (0..10).flat_map(|_| frames(&mut rng)).collect();
        for snap in [Snap::Same, Snap::Dropped] {
            let other = match profile.dialect() {
                "nwfilter" => to_pool(profile),
                _ => to_filter(profile, snap),
            };
            let Ok(other) = other else { continue };
            converted += 1;
            same(profile, &other, &parameters(&[]), &frames, snap).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    assert!(converted >= 2 * 20, "{converted}");
}
