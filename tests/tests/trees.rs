//! Random trees of libvirt's filters, in both modes: the graph says what the reference says, and what holds of
//! filters whatever is in them holds of these.

use std::net::Ipv4Addr;

use filter_common::{Direction, Verdict};
use filter_ctl::compile::{Image, compile};
use filter_ctl::datapath::{LOOPBACK, hz};
use filter_ctl::model::{Body, MacAddr, Mode, ParameterText, ProfileName, Timeouts, Value as _};
use filter_ctl::policy::Policy;
use filter_ctl::reference::{Flows, Port, Ticks, judge};
use filter_ctl::resolve::{Parameters, resolve};
use filter_ctl::store::Profiles;
use filter_ctl::xml::{Reading, nwfilter};
use filter_tests::frames::{
    Arp, Ipv4, Ipv6, PEER, PEER_IP6, VM, VM_IP4, VM_IP6, ether_type, ethernet, icmp, tagged, udp,
};
use filter_tests::generate::{Rng, for_each_case};
use filter_tests::golden;
use filter_tests::libvirt::{self, Entry, Layer, Parameter, Profile, Protocol, Reference, Rule, Tree, aim};
use filter_tests::ports::{TestPort, private, runs};
use filter_tests::walked::{Sent, difference};

const MODES: [Mode; 2] = [Mode::Libvirt, Mode::Strict];

/// A tree in one mode.
struct Resolved {
    policy: Policy,
    image: Image,
    port: Port,
}

impl Resolved {
    fn passes(&self, sent: &Sent) -> bool {
        let judged = judge(&self.policy, &mut self.port.clone(), sent.direction, &sent.bytes, sent.outer());
        judged.outcome.verdict == Verdict::Pass
    }
}

fn mac() -> String {
    VM.map(|byte| format!("{byte:02x}")).join(":")
}

fn library(tree: &Tree) -> Profiles {
    let mut profiles = Profiles::shipped().expect("what is shipped can be read");
    for (name, xml) in tree.documents() {
        let parsed =
            nwfilter::parse(&xml, Reading::Lenient).unwrap_or_else(|error| panic!("{name}: {error}\n{xml}"));
        profiles.add(parsed.profile);
    }
    profiles
}

/// The tree as a policy, `None` where it is refused: addresses of the port that do not fit where they are asked
/// for, and ranges that end before they begin.
fn resolved(tree: &Tree, mode: Mode, count_values: bool) -> Option<Resolved> {
    let profiles = library(tree);
    let root: ProfileName = tree.root().parse().expect("it has a name");
    let given = golden::port(&mac(), &tree.parameters).expect("the parameters are fit");
    let parameters = Parameters { mode, count_values, ..given };
    let policy = resolve(&profiles, &[root], &parameters).ok()?;
    let image = compile(&policy).unwrap_or_else(|error| panic!("{error}\n{}", written(tree)));
    let port = Port {
        strict: mode == Mode::Strict,
        mac: parameters.mac.map(|mac| mac.0),
        addresses: parameters.addresses,
        ..Port::default()
    };
    Some(Resolved { policy, image, port })
}

fn written(tree: &Tree) -> String {
    tree.documents().into_iter().map(|(_, xml)| xml).collect::<String>() + &tree.binding()
}

/// Frames that the tree's rules are about, some of them tagged, and others.
fn frames(rng: &mut Rng, tree: &Tree, count: usize) -> Vec<Sent> {
    let mut frames: Vec<Sent> = aim(rng, tree, count / 2)
        .into_iter()
        .map(|frame| Sent { direction: frame.direction, bytes: frame.bytes, tag: None, later: 0 })
        .collect();
    for sent in &mut frames {
        if rng.chance(15) {
            let kind = rng.pick(&[ether_type::VLAN, ether_type::VLAN, ether_type::SERVICE_VLAN]);
            sent.bytes = tagged(&sent.bytes, kind, rng.pick(&[0x0005, 0x0006, 0, 0xa005]));
        }
    }
    while frames.len() < count {
        frames.push(Sent::random(rng, false));
    }
    frames
}

fn show(sent: &Sent) -> String {
    format!("{} {:02x?} {:?}", sent.direction, sent.bytes, sent.tag)
}

/// Whether a run is of as many cases as it is meant to be.
fn is_whole() -> bool {
    std::env::var_os("FILTER_CTL_CASES").is_none()
}

fn rules(tree: &mut Tree) -> impl Iterator<Item = &mut Rule> {
    tree.filters.iter_mut().flat_map(|filter| &mut filter.entries).filter_map(|entry| match entry {
        Entry::Rule(rule) => Some(rule),
        Entry::Reference(_) => None,
    })
}

/// Takes out rules.
fn retain(tree: &mut Tree, keep: impl Fn(&Rule) -> bool) {
    for filter in &mut tree.filters {
        filter.entries.retain(|entry| match entry {
            Entry::Rule(rule) => keep(rule),
            Entry::Reference(_) => true,
        });
    }
}

fn says(rule: &Rule, names: &[&str]) -> bool {
    rule.elements.iter().any(|element| names.iter().any(|name| element.value(name).is_some()))
}

fn layer(rule: &Rule) -> Layer {
    rule.elements.first().map_or(Layer::Link, |element| Protocol::named(element.protocol).layer)
}

#[test]
fn graphs_of_trees_and_the_reference_agree() {
    let (mut trees, mut refused, mut pairs, mut passed) = (0, 0, 0, 0);
    for_each_case(1_300, |rng| {
        let tree = libvirt::tree(rng, Profile::Stateless);
        let sent = frames(rng, &tree, 100);
        for mode in MODES {
            trees += 1;
            let Some(Resolved { policy, image, port }) = resolved(&tree, mode, false) else {
                refused += 1;
                continue;
            };
            if let Some(found) = difference(&policy, &image, &port, &sent) {
                return Err(format!("{mode:?}: {found}\n{}", written(&tree)));
            }
            pairs += sent.len();
            let resolved = Resolved { policy, image, port };
            passed += sent.iter().step_by(10).filter(|sent| resolved.passes(sent)).count() * 10;
        }
        Ok(())
    });
    println!("{trees} trees, {refused} refused, {pairs} pairs, about {passed} passed");
    if is_whole() {
        assert!(pairs >= 200_000, "only {pairs} pairs of {trees} trees, {refused} refused");
        assert!((pairs / 10..pairs * 9 / 10).contains(&passed), "{passed} of {pairs} passed");
    }
}

#[test]
fn the_loaded_program_does_what_trees_mean() {
    let Some(mut datapath) = private("the_loaded_program_does_what_trees_mean") else { return };
    let mut pairs = 0;
    for_each_case(150, |rng| {
        let tree = libvirt::tree(rng, Profile::Stateless);
        let sent = frames(rng, &tree, 60);
        for mode in MODES {
            let Some(Resolved { policy, image, mut port }) = resolved(&tree, mode, false) else { continue };
            // The loaded program remembers first fragments.
            port.flows = Some(Flows::new(Ticks::new(&Timeouts::default(), hz())));
            let prepared = TestPort::new(LOOPBACK).prepare(&mut datapath, &policy, &image, &port);
            let retired = datapath.publish(prepared);
            datapath.reclaim_at_once(retired.into_iter().collect());
            for sent in sent.iter().filter(|sent| sent.tag.is_none() && runs(&sent.bytes)) {
                let loaded = datapath
                    .run(sent.direction, LOOPBACK, &sent.bytes)
                    .expect("the kernel runs it")
                    .expect("it is long enough");
                let judged = judge(&policy, &mut port, sent.direction, &sent.bytes, None);
                if loaded != judged.outcome {
                    let expected = judged.outcome;
                    return Err(format!(
                        "{mode:?}: {loaded:?}, not {expected:?}: {}\n{}",
                        show(sent),
                        written(&tree)
                    ));
                }
                pairs += 1;
            }
        }
        Ok(())
    });
    println!("{pairs} pairs");
    assert!(!is_whole() || pairs > 10_000, "only {pairs} pairs");
}

/// Strict mode reads nothing into a filter by which more would pass. Where it is meant to differ it may: drops and
/// rules without connections stand in one direction and not in both, types of messages for both directions and
/// source addresses in the other one are heard, and what libvirt hands to its tools wrongly is not wrong here.
#[test]
fn strict_mode_lets_nothing_pass_that_libvirt_drops() {
    let (mut pairs, mut passed, mut stricter) = (0, 0, 0);
    for_each_case(1_200, |rng| {
        let mut tree = libvirt::tree(rng, Profile::Stateless);
        retain(&mut tree, |rule| {
            if layer(rule) == Layer::Link {
                return !says(rule, &["encap-protocol", "dscp", "arpsrcipmask", "arpdstipmask"]);
            }
            let authenticated = rule.elements.iter().any(|element| element.protocol.ends_with("-ipv6"));
            rule.direction == "inout" && !authenticated && !says(rule, &["srcmacaddr", "type"])
        });
        let mut sent = frames(rng, &tree, 100);
        sent.retain(|sent| !is_of_two_vlans(sent));
        let (Some(libvirt), Some(strict)) =
            (resolved(&tree, Mode::Libvirt, false), resolved(&tree, Mode::Strict, false))
        else {
            return Ok(());
        };
        for sent in &sent {
            pairs += 1;
            let (theirs, ours) = (libvirt.passes(sent), strict.passes(sent));
            if ours && !theirs {
                return Err(format!("strict mode lets it pass: {}\n{}", show(sent), written(&tree)));
            }
            passed += u32::from(ours);
            stricter += u32::from(theirs && !ours);
        }
        Ok(())
    });
    println!("{pairs} pairs, {passed} pass, {stricter} pass in libvirt alone");
    assert!(!is_whole() || passed > pairs / 10 && stricter > 0, "{pairs} {passed} {stricter}");
}

/// Whether a priority tag stands before one that names a VLAN: strict mode looks for the VLAN, libvirt at the first
/// tag alone.
fn is_of_two_vlans(sent: &Sent) -> bool {
    let mut tags: Vec<u16> = sent.tag.iter().map(|(_, tci)| tci & 0xfff).collect();
    for bytes in sent.bytes.get(12..).unwrap_or_default().chunks_exact(4) {
        if !matches!(bytes[..2], [0x81 | 0x91, 0] | [0x88, 0xa8]) {
            break;
        }
        tags.push(u16::from_be_bytes([bytes[2], bytes[3]]) & 0xfff);
    }
    tags.len() > 1 && tags[0] == 0
}

/// Whether a rule is about tags as such.
fn speaks_of_tags(tree: &Tree) -> bool {
    let numbers = ["0x8100", "33024", "vlan", "0x88a8", "34984", "0x9100", "37120"];
    tree.filters.iter().any(|filter| {
        filter.chain.as_deref().is_some_and(|chain| chain.starts_with("vlan"))
            || filter.entries.iter().any(|entry| match entry {
                Entry::Rule(rule) => rule.elements.iter().any(|element| {
                    let kind = element.value("protocolid").map(str::to_lowercase);
                    element.protocol == "vlan"
                        || kind.is_some_and(|kind| numbers.contains(&kind.as_str()) || kind.starts_with('$'))
                }),
                Entry::Reference(_) => false,
            })
    })
}

/// A guest cannot hide in tags what a filter forbids that has no rule about tags.
#[test]
fn tags_hide_nothing_in_strict_mode() {
    let (mut pairs, mut passed) = (0, 0);
    for_each_case(1_500, |rng| {
        let tree = libvirt::tree(rng, Profile::Stateless);
        if speaks_of_tags(&tree) {
            return Ok(());
        }
        let Some(strict) = resolved(&tree, Mode::Strict, false) else { return Ok(()) };
        for frame in aim(rng, &tree, 60) {
            let plain = Sent { direction: frame.direction, bytes: frame.bytes, tag: None, later: 0 };
            if plain.bytes[12..14] == [0x81, 0] {
                continue;
            }
            let kind = rng.pick(&[ether_type::VLAN, ether_type::SERVICE_VLAN, ether_type::OLD_SERVICE_VLAN]);
            let tci = rng.pick(&[0x0005, 0, 0xa000, 0x0fff]);
            let inside =
                if rng.chance(20) { tagged(&plain.bytes, ether_type::VLAN, 7) } else { plain.bytes.clone() };
            let hidden = if rng.chance(50) {
                Sent { bytes: tagged(&inside, kind, tci), ..plain.clone() }
            } else {
                Sent { bytes: inside, tag: Some((kind, tci)), ..plain.clone() }
            };
            pairs += 1;
            if strict.passes(&hidden) {
                passed += 1;
                if !strict.passes(&plain) {
                    return Err(format!("{} passes in {}\n{}", show(&plain), show(&hidden), written(&tree)));
                }
            }
        }
        Ok(())
    });
    println!("{pairs} pairs, {passed} pass with tags");
    assert!(!is_whole() || passed > pairs / 20, "{passed} of {pairs}");
}

/// A list that nothing else advances with is a set.
#[test]
fn lists_have_no_order() {
    let (mut pairs, mut passed) = (0, 0);
    for_each_case(800, |rng| {
        let mut tree = libvirt::tree(rng, Profile::Stateless);
        for rule in rules(&mut tree) {
            let attributes = rule.elements.iter_mut().flat_map(|element| &mut element.attributes);
            for (number, (_, value)) in attributes.enumerate() {
                if value.starts_with('$') && !value.starts_with("$MAC[") {
                    let name = value.split('[').next().unwrap_or_default();
                    *value = format!("{name}[@{}]", number + 1);
                }
            }
        }
        let mut other = tree.clone();
        shuffle(rng, &mut other.parameters);
        for filter in &mut other.filters {
            for entry in &mut filter.entries {
                if let Entry::Reference(reference) = entry {
                    shuffle(rng, &mut reference.parameters);
                }
            }
        }
        if other == tree {
            return Ok(());
        }
        let sent = frames(rng, &tree, 60);
        for mode in MODES {
            let (one, two) = (resolved(&tree, mode, false), resolved(&other, mode, false));
            if one.is_some() != two.is_some() {
                return Err(format!("{mode:?}: one is refused\n{}\n{}", written(&tree), written(&other)));
            }
            let (Some(one), Some(two)) = (one, two) else { continue };
            for sent in &sent {
                pairs += 1;
                passed += u32::from(one.passes(sent));
                if one.passes(sent) != two.passes(sent) {
                    return Err(format!("{mode:?}: {}\n{}\n{}", show(sent), written(&tree), written(&other)));
                }
            }
        }
        Ok(())
    });
    println!("{pairs} pairs, {passed} pass");
    assert!(!is_whole() || pairs > 10_000 && passed > pairs / 10, "{passed} of {pairs}");
}

fn shuffle(rng: &mut Rng, list: &mut [Parameter]) {
    for end in (1..list.len()).rev() {
        list.swap(end, rng.below(end + 1));
    }
}

/// The tree with a reference to one of the shipped profiles of the other dialect, in a filter that is in force.
fn checked(rng: &mut Rng, tree: &Tree) -> Tree {
    let profiles = Profiles::shipped().expect("what is shipped can be read");
    let pools: Vec<String> = profiles
        .iter()
        .filter(|(_, profile)| matches!(profile.body, Body::Pool(_)))
        .map(|(_, profile)| profile.name.to_string())
        .collect();
    let mut tree = tree.clone();
    let name = pools[rng.below(pools.len())].clone();
    let last = tree.filters.last_mut().expect("the tree has a filter");
    let at = rng.below(last.entries.len() + 1);
    last.entries.insert(at, Entry::Reference(Reference { filter: name, parameters: Vec::new() }));
    tree
}

/// What values are counted by changes nothing but the counters.
#[test]
fn counting_values_changes_no_verdict() {
    let (mut pairs, mut counted) = (0, 0);
    for_each_case(500, |rng| {
        let mut tree = libvirt::tree(rng, Profile::Stateless);
        if rng.chance(30) {
            tree = checked(rng, &tree);
        }
        let sent = frames(rng, &tree, 60);
        for mode in MODES {
            let (whole, each) = (resolved(&tree, mode, false), resolved(&tree, mode, true));
            if whole.is_some() != each.is_some() {
                return Err(format!("{mode:?}: one is refused\n{}", written(&tree)));
            }
            let (Some(whole), Some(each)) = (whole, each) else { continue };
            counted += u32::from(each.policy.rules.len() > whole.policy.rules.len());
            for sent in &sent {
                pairs += 1;
                if whole.passes(sent) != each.passes(sent) {
                    return Err(format!("{mode:?}: {}\n{}", show(sent), written(&tree)));
                }
            }
        }
        Ok(())
    });
    println!("{pairs} pairs, {counted} trees with values counted");
    assert!(!is_whole() || counted > 100, "only {counted} trees had lists");
}

/// What a filter of one rule makes of a frame.
fn drops(rule: &str, mode: Mode, direction: Direction, bytes: Vec<u8>) -> bool {
    let mut profiles = Profiles::default();
    let text = format!("<filter name='f'><rule action='drop' direction='{direction}'>{rule}</rule></filter>");
    profiles.add(nwfilter::parse(&text, Reading::Lenient).unwrap_or_else(|error| panic!("{error}")).profile);
    let root: ProfileName = "f".parse().expect("a name");
    let parameters = Parameters { mode, mac: Some(MacAddr(VM)), ..Parameters::default() };
    let policy = resolve(&profiles, &[root], &parameters).unwrap_or_else(|error| panic!("{error}"));
    let image = compile(&policy).expect("it is small");
    let port = Port { mac: Some(VM), ..Port::default() };
    !Resolved { policy, image, port }.passes(&Sent { direction, bytes, tag: None, later: 0 })
}

/// What is negated is asked of frames that have it.
#[test]
fn negated_types_are_those_of_messages() {
    let echo = Ipv4 { protocol: 1, ..Ipv4::default() };
    let whole = ethernet(PEER, VM, ether_type::IPV4, &echo.packet(icmp(8, 0, b"12345678")));
    let later = Ipv4 { position: 4, ..echo };
    let later = ethernet(PEER, VM, ether_type::IPV4, &later.packet(icmp(8, 0, b"12345678")));
    for (rule, drops_whole) in [
        ("<icmp match='no' type='0'/>", true),
        ("<icmp match='no' type='8'/>", false),
        ("<icmp match='no' type='8' code='1'/>", true),
    ] {
        assert_eq!(drops(rule, Mode::Strict, Direction::Out, whole.clone()), drops_whole, "{rule}");
        assert!(!drops(rule, Mode::Strict, Direction::Out, later.clone()), "{rule}");
    }
}

/// No address is in a range that ends before it begins, and all are outside.
#[test]
fn ranges_that_end_before_they_begin_are_empty_in_libvirt_mode() {
    let ip = Ipv4 { protocol: 17, ..Ipv4::default() };
    let bytes = ethernet(PEER, VM, ether_type::IPV4, &ip.packet(udp(5000, 5001, b"")));
    for (negation, expected) in [("", false), ("match='no'", true)] {
        let rule = format!("<all {negation} srcipfrom='255.255.255.255' srcipto='0.0.0.1'/>");
        assert_eq!(drops(&rule, Mode::Libvirt, Direction::Out, bytes.clone()), expected, "{rule}");
    }
}

/// libvirt's mask of the sender's address stays for that of the target, where it has none.
#[test]
fn the_mask_of_one_arp_address_stays_for_the_other_in_libvirt_mode() {
    let arp = Arp {
        target_ip: Ipv4Addr::new(10, 9, 9, 9),
        sender_ip: Ipv4Addr::new(10, 1, 2, 3),
        ..Arp::default()
    };
    let bytes = ethernet(PEER, VM, ether_type::ARP, &arp.bytes());
    let rule = "<arp arpsrcipaddr='10.0.0.0' arpsrcipmask='8' arpdstipaddr='10.1.2.3'/>";
    assert!(drops(rule, Mode::Libvirt, Direction::Out, bytes.clone()));
    assert!(!drops(rule, Mode::Strict, Direction::Out, bytes));
}

/// Lists that advance together are pairs, and a negated list is one rule for each value.
#[test]
fn lists_that_advance_together_are_pairs() {
    let mut profiles = Profiles::default();
    let root: ProfileName = "f".parse().expect("a name");
    let list = |texts: [&str; 2]| texts.map(|text| ParameterText::read(text).expect("a value")).to_vec();
    let parameters = Parameters {
        mac: Some(MacAddr(VM)),
        user: [("A", ["10.0.0.1", "10.0.0.2"]), ("B", ["10.0.1.1", "10.0.1.2"])]
            .map(|(name, texts)| (name.parse().expect("a name"), list(texts)))
            .into(),
        ..Parameters::default()
    };
    for (rule, from, to, dropped) in [
        ("<all srcipaddr='$A' dstipaddr='$B'/>", [10, 0, 0, 1], [10, 0, 1, 1], true),
        ("<all srcipaddr='$A' dstipaddr='$B'/>", [10, 0, 0, 1], [10, 0, 1, 2], false),
        ("<all srcipaddr='$A' dstipaddr='$B[@1]'/>", [10, 0, 0, 1], [10, 0, 1, 2], true),
        ("<all match='no' srcipaddr='$A'/>", [10, 0, 0, 1], [10, 0, 1, 2], true),
    ] {
        let text = format!("<filter name='f'><rule action='drop' direction='out'>{rule}</rule></filter>");
        profiles.add(nwfilter::parse(&text, Reading::Strict).expect("it is well-formed").profile);
        let policy = resolve(&profiles, std::slice::from_ref(&root), &parameters).expect("it resolves");
        let image = compile(&policy).expect("it is small");
        let ip = Ipv4 { source: from.into(), destination: to.into(), protocol: 17, ..Ipv4::default() };
        let bytes = ethernet(PEER, VM, ether_type::IPV4, &ip.packet(udp(5000, 5001, b"")));
        let resolved = Resolved { policy, image, port: Port::default() };
        let sent = Sent { direction: Direction::Out, bytes, tag: None, later: 0 };
        assert_eq!(!resolved.passes(&sent), dropped, "{rule} {from:?} {to:?}");
    }
}

/// What a filter accepts is still asked of the profiles of the other dialect that it refers to.
#[test]
fn what_is_accepted_is_still_checked() {
    let mut profiles = Profiles::shipped().expect("what is shipped can be read");
    let text =
        "<filter name='f'><rule action='accept' direction='out'/><filterref filter='own-ip-only'/></filter>";
    profiles.add(nwfilter::parse(text, Reading::Strict).expect("it is well-formed").profile);
    let root: ProfileName = "f".parse().expect("a name");
    for mode in MODES {
        let addresses = vec![VM_IP4.into()];
        let parameters = Parameters {
            mode,
            mac: Some(MacAddr(VM)),
            addresses: addresses.clone(),
            ..Parameters::default()
        };
        let policy = resolve(&profiles, std::slice::from_ref(&root), &parameters).expect("it resolves");
        let image = compile(&policy).expect("it is small");
        let resolved = Resolved { policy, image, port: Port { mac: Some(VM), addresses, ..Port::default() } };
        for (source, passes) in [(VM_IP4, true), (Ipv4Addr::new(10, 9, 9, 9), false)] {
            let ip = Ipv4 { source, protocol: 17, ..Ipv4::default() };
            let bytes = ethernet(PEER, VM, ether_type::IPV4, &ip.packet(udp(5000, 5001, b"")));
            let sent = Sent { direction: Direction::Out, bytes, tag: None, later: 0 };
            assert_eq!(resolved.passes(&sent), passes, "{mode:?} {source}");
        }
    }
}

/// Addresses of one family that are written out take none of the other away from a profile of the other dialect.
#[test]
fn counting_values_leaves_the_port_all_its_addresses() {
    let mut profiles = Profiles::shipped().expect("what is shipped can be read");
    let text = "<filter name='f'><filterref filter='own-ip-only'/></filter>";
    profiles.add(nwfilter::parse(text, Reading::Strict).expect("it is well-formed").profile);
    let root: ProfileName = "f".parse().expect("a name");
    let other = Ipv4Addr::new(192, 0, 2, 99);
    let addresses = vec![VM_IP4.into(), other.into(), VM_IP6.into()];
    let of = |source| {
        let packet = Ipv6 { source, destination: PEER_IP6, protocol: 17, ..Ipv6::default() };
        let bytes = ethernet(PEER, VM, ether_type::IPV6, &packet.packet(udp(5000, 5001, b"")));
        Sent { direction: Direction::Out, bytes, tag: None, later: 0 }
    };
    for count_values in [false, true] {
        let parameters = Parameters {
            count_values,
            mac: Some(MacAddr(VM)),
            addresses: addresses.clone(),
            ..Parameters::default()
        };
        let policy = resolve(&profiles, std::slice::from_ref(&root), &parameters).expect("it resolves");
        let image = compile(&policy).expect("it is small");
        let port = Port { strict: true, mac: Some(VM), addresses: addresses.clone(), ..Port::default() };
        let resolved = Resolved { policy, image, port };
        assert!(resolved.passes(&of(VM_IP6)), "{count_values}");
        assert!(!resolved.passes(&of(PEER_IP6)), "{count_values}");
    }
}

/// A reference to a profile of the other dialect is a check: whatever else there is, nothing more passes.
#[test]
fn a_check_never_lets_more_pass() {
    let (mut pairs, mut dropped) = (0, 0);
    for_each_case(500, |rng| {
        let tree = libvirt::tree(rng, Profile::Stateless);
        let with = checked(rng, &tree);
        let sent = frames(rng, &tree, 60);
        for mode in MODES {
            let (Some(without), Some(with)) = (resolved(&tree, mode, false), resolved(&with, mode, false))
            else {
                continue;
            };
            for sent in &sent {
                pairs += 1;
                match (without.passes(sent), with.passes(sent)) {
                    (false, true) => {
                        return Err(format!("{mode:?}: it passes: {}\n{}", show(sent), written(&tree)));
                    }
                    (true, false) => dropped += 1,
                    _ => {}
                }
            }
        }
        Ok(())
    });
    println!("{pairs} pairs, {dropped} dropped by the check");
    assert!(!is_whole() || dropped > pairs / 100, "{dropped} of {pairs}");
}
