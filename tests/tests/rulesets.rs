//! Generated rule sets: what they are written down as means what they mean.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use filter_common::{Cause, Verdict};
use filter_ctl::model::{IpVersion, Mode, Profile};
use filter_ctl::policy::{Policy, RuleKind};
use filter_ctl::reference::{Port, judge};
use filter_ctl::resolve::{Parameters, resolve};
use filter_ctl::xml::{Reading, parse};
use filter_tests::generate::Rng;
use filter_tests::libvirt::{Bench, Fate, Frame};
use filter_tests::net::Namespace;
use filter_tests::not_run::not_run;
use filter_tests::rulesets::{Block, CATALOGUE, Flavour, NftFamily, Rule, RuleSet, Span, Unsayable};

/// Packets that each rule set is asked about.
const PACKETS: usize = 400;

fn parameters() -> Parameters {
    Parameters { mac: None, addresses: Vec::new(), user: [].into(), mode: Mode::Strict, count_values: false }
}

fn policy(profile: &Profile) -> Policy {
    let library = HashMap::from([(profile.name.clone(), profile.clone())]);
    resolve(&library, std::slice::from_ref(&profile.name), &parameters()).expect("it refers to nothing")
}

#[test]
fn profiles_mean_what_the_rules_mean() {
    for flavour in Flavour::ALL {
        for count in [1, 10, 100] {
            let set = RuleSet::generate(flavour, count, 1);
            let policy = policy(&set.to_profile());
            let mut rng = Rng::new(2);
            for _ in 0..PACKETS {
                let packet = set.packet(&mut rng, 70);
                let mut port = Port { strict: true, ..Port::default() };
                let outcome = judge(&policy, &mut port, packet.direction, &packet.frame(), None).outcome;
                let Cause::Rule(rule) = outcome.cause else { panic!("{outcome:?}: {packet:?}") };
                let found = match &policy.rules[rule as usize].kind {
                    RuleKind::Entry(name) => Some(name.clone()),
                    _ => None,
                };
                let expected = set.first_match(&packet).map(|index| format!("r{index}"));
                assert_eq!(
                    (found, outcome.verdict),
                    (expected, set.verdict(&packet)),
                    "{}: {packet:?}",
                    set.name
                );
            }
        }
    }
}

#[test]
fn a_profile_is_what_its_text_says() {
    for flavour in Flavour::ALL {
        let set = RuleSet::generate(flavour, 100, 1);
        let parsed = parse(&set.to_xml(), None, Reading::Strict)
            .unwrap_or_else(|error| panic!("{}: {error}", set.name));
        assert_eq!(parsed.profile, set.to_profile());
    }
}

#[test]
fn filters_mean_what_the_rules_mean() {
    let mut compared = 0;
    for flavour in Flavour::ALL {
        for count in [1, 10, 100] {
            let set = RuleSet::generate(flavour, count, 1);
            let Ok(text) = set.to_nwfilter_xml() else { continue };
            let parsed =
                parse(&text, None, Reading::Strict).unwrap_or_else(|error| panic!("{}: {error}", set.name));
            let policy = policy(&parsed.profile);
            let mut rng = Rng::new(2);
            for _ in 0..PACKETS {
                let packet = set.packet(&mut rng, 70);
                let mut port = Port { strict: true, ..Port::default() };
                let verdict =
                    judge(&policy, &mut port, packet.direction, &packet.frame(), None).outcome.verdict;
                assert_eq!(verdict, set.verdict(&packet), "{}: {packet:?}", set.name);
                compared += 1;
            }
        }
    }
    assert!(compared >= 20 * PACKETS, "{compared}");
}

/// How many in a hundred rules are like that.
fn share(set: &RuleSet, is: impl Fn(&Rule) -> bool) -> usize {
    set.rules.iter().filter(|rule| is(rule)).count() * 100 / set.rules.len()
}

#[test]
fn flavours_have_their_structure() {
    let exact = |rule: &Rule| rule.destination_ports.first == rule.destination_ports.last;
    for family in IpVersion::ALL {
        let length = |block: Block| block.prefix_length(family).expect("there are no masks with holes");
        let host = |rule: &Rule| length(rule.destination) == family.bits();
        let wild = |rule: &Rule| rule.source.is_any() || rule.destination.is_any();
        let acl = RuleSet::generate(Flavour::AccessList(family), 2000, 1);
        assert!(share(&acl, host) > 75 && share(&acl, exact) > 50 && share(&acl, wild) < 30);
        assert_eq!(share(&acl, |rule| !rule.source_ports.is_any()), 0);
        let firewall = RuleSet::generate(Flavour::Firewall(family), 2000, 1);
        assert!(share(&firewall, wild) > 60);
        assert!(share(&firewall, |rule| rule.source_ports == Span::HIGH) > 15);
        let chain = RuleSet::generate(Flavour::IpChain(family), 2000, 1);
        assert!((30..60).contains(&share(&chain, wild)), "{}", share(&chain, wild));
        for set in [&acl, &firewall, &chain] {
            let nested = share(set, |rule| {
                let wider = |other: &Rule| {
                    !other.destination.is_any()
                        && length(other.destination) < length(rule.destination)
                        && other.destination.overlaps(rule.destination)
                };
                set.rules.iter().any(wider)
            });
            let different: HashSet<Block> = set.rules.iter().map(|rule| rule.destination).collect();
            println!("{}: {nested} % nested, {} destinations", set.name, different.len());
            assert!(nested > 30 && different.len() < 1600, "{}", set.name);
        }
    }
    let wild = RuleSet::generate(Flavour::Wild, 1000, 1);
    let none = Rule::any(IpVersion::V4, Verdict::Pass);
    let asked = |rule: &Rule| {
        [
            rule.source != none.source,
            rule.destination != none.destination,
            rule.source_ports != none.source_ports,
            rule.destination_ports != none.destination_ports,
            rule.protocol.is_some(),
            rule.dscp.is_some(),
            rule.vlan.is_some(),
            rule.source_mac != none.source_mac,
            rule.destination_mac != none.destination_mac,
        ]
        .iter()
        .filter(|&&asked| asked)
        .count()
    };
    assert_eq!(share(&wild, |rule| asked(rule) == 2), 100);
}

#[test]
fn packets_hit_rules_of_all_parts_of_a_set() {
    for family in CATALOGUE {
        let set = RuleSet::generate(family.flavour, 1000, family.seed);
        assert_eq!(set, RuleSet::generate(family.flavour, 1000, family.seed));
        let mut rng = Rng::new(1);
        let packets: Vec<_> = (0..2000).map(|_| set.packet(&mut rng, 80)).collect();
        let hit: Vec<usize> = packets.iter().filter_map(|packet| set.first_match(packet)).collect();
        let late = hit.iter().filter(|&&index| index >= 500).count();
        let passed = packets.iter().filter(|packet| set.verdict(packet) == Verdict::Pass).count();
        let shadowed = (0..set.rules.len()).filter(|&index| {
            let packet = set.packet_of(&mut rng, index);
            set.first_match(&packet) != Some(index)
        });
        let shadowed = shadowed.count();
        println!(
            "{}: {} of 2000 hit, {late} late, {passed} pass, {shadowed} of 1000 rules hidden",
            set.name,
            hit.len()
        );
        assert!(hit.len() > 1200 && late > 200 && passed > 400 && shadowed < 500, "{}", set.name);
    }
}

/// Gives `program` the rules, and says what it has against them.
fn load(program: &str, arguments: &[&str], rules: &str) -> Result<(), String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    child
        .stdin
        .take()
        .expect("it is a pipe")
        .write_all(rules.as_bytes())
        .map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Has the kernel judge packets on a bridge, by what `render` made of rule sets, and `load` loads.
fn compare_live(
    name: &str,
    program: &str,
    arguments: &[&str],
    at_least: usize,
    render: impl Fn(&RuleSet) -> Result<String, Unsayable>,
) {
    if let Some(obstacle) = filter_tests::net::obstacle() {
        return not_run(name, &obstacle);
    }
    if let Err(error) = Command::new(program).arg("--version").output() {
        return not_run(name, &format!("{program}: {error}"));
    }
    let empty = render(&RuleSet::generate(Flavour::ALL[0], 0, 1)).expect("there is nothing to be said");
    let namespace = Namespace::new().expect("it was possible before");
    if let Err(error) = namespace.run(|| load(program, arguments, &empty.replace("vm0", "lo"))) {
        return not_run(name, &format!("the kernel takes no rules of {program}: {error}"));
    }
    let mut compared = 0;
    for flavour in Flavour::ALL {
        for count in [10, 100, 300] {
            let set = RuleSet::generate(flavour, count, 1);
            let Ok(rules) = render(&set) else { continue };
            let bench = Bench::new("vm0").expect("there are taps and bridges");
            bench.call_iptables(false).expect("the namespace is ours");
            bench
                .namespace()
                .run(|| load(program, arguments, &rules))
                .unwrap_or_else(|error| panic!("{name}: {}: {error}\n{rules}", set.name));
            let mut rng = Rng::new(2);
            let packets: Vec<_> = (0..PACKETS).map(|_| set.packet(&mut rng, 70)).collect();
            let frames: Vec<Frame> = packets
                .iter()
                .map(|packet| Frame { direction: packet.direction, bytes: packet.frame() })
                .collect();
            for (packet, fate) in packets.iter().zip(bench.send(&frames)) {
                let expected = set.verdict(packet);
                assert_eq!(
                    fate.verdict(),
                    expected,
                    "{name}: {}: {packet:?} {:?}",
                    set.name,
                    set.first_match(packet)
                );
                assert!(matches!(fate, Fate::Passed | Fate::Dropped), "{fate:?}");
            }
            compared += 1;
        }
    }
    assert!(compared >= at_least, "{name}: only {compared} rule sets could be said");
}

#[test]
fn nftables_agrees_rule_by_rule() {
    for family in [NftFamily::Bridge, NftFamily::Netdev] {
        compare_live("nftables_agrees_rule_by_rule", "nft", &["-f", "-"], 20, |set| {
            set.to_nft_linear(family, "vm0")
        });
    }
}

#[test]
fn nftables_agrees_with_sets() {
    for family in [NftFamily::Bridge, NftFamily::Netdev] {
        compare_live("nftables_agrees_with_sets", "nft", &["-f", "-"], 18, |set| {
            set.to_nft_sets(family, "vm0")
        });
    }
}

#[test]
fn ebtables_agrees() {
    compare_live("ebtables_agrees", "ebtables-restore", &[], 18, |set| set.to_ebtables("vm0"));
}

#[test]
fn access_lists_need_few_maps() {
    for family in CATALOGUE.iter().filter(|family| matches!(family.flavour, Flavour::AccessList(_))) {
        let set = RuleSet::generate(family.flavour, 1000, family.seed);
        let maps = set.nft_maps().expect("addresses, protocols and ports are all it asks for");
        println!("{}: {maps} maps", set.name);
        assert!(maps <= 8, "{}: {maps} maps", set.name);
    }
}
