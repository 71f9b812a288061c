//! What references, defaults, parameters and names come to.

use std::collections::HashMap;

use filter_common::{Direction, Verdict};

use super::{Parameters, needs_ip, needs_mac, resolve};
use crate::model::{IpVersion, Profile, ProfileName};
use crate::policy::{Atom, Field, Policy, Then};
use crate::xml::filter_entry;

fn library(texts: &[&str]) -> HashMap<ProfileName, Profile> {
    texts
        .iter()
        .map(|text| {
            let profile = filter_entry::parse(text, None).unwrap_or_else(|error| panic!("{error}: {text}"));
            (profile.name.clone(), profile)
        })
        .collect()
}

fn names(names: &[&str]) -> Vec<ProfileName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// The policy of a port that refers to the first profile.
fn policy(texts: &[&str], first: &str) -> Policy {
    resolve(&library(texts), &names(&[first]), &Parameters::default()).unwrap()
}

fn refused(texts: &[&str], first: &str) -> String {
    resolve(&library(texts), &names(&[first]), &Parameters::default()).unwrap_err().to_string()
}

/// Steps of a direction as `rule → what`.
fn steps(policy: &Policy, direction: Direction) -> Vec<String> {
    policy
        .program(direction)
        .steps
        .iter()
        .map(|step| {
            let rule = step.rule.map_or_else(String::new, |rule| policy.rules[rule as usize].to_string());
            match step.then {
                Then::Verdict(verdict) => format!("{rule} → {verdict}"),
                Then::Go(target) => format!("{rule} → {target}"),
            }
        })
        .collect()
}

const CHECK: &str = r#"<FilterPool name="check" default="DROP">
  <FilterEntry name="web"><Action>ACCEPT</Action>
    <IPHeadersFilter><HdrProtocolID>tcp</HdrProtocolID><HdrDestPortStart>80</HdrDestPortStart></IPHeadersFilter>
  </FilterEntry>
</FilterPool>"#;

#[test]
fn a_reference_is_a_check_whose_accept_goes_on_behind_it() {
    let outer = r#"<FilterPool name="outer"><reference profile="check"/>
      <FilterEntry name="rest"><Action>DROP</Action></FilterEntry></FilterPool>"#;
    let policy = policy(&[CHECK, outer], "outer");
    let expected =
        ["rule check/web → 2", "default check → drop", "rule outer/rest → drop", "default outer → pass"];
    assert_eq!(steps(&policy, Direction::Out), expected);
}

#[test]
fn a_final_reference_is_read_as_if_its_entries_stood_there() {
    let outer = r#"<FilterPool name="outer" default="DROP">
      <reference profile="check" f:accept="final" xmlns:f="urn:filter-ctl:profile:1"/></FilterPool>"#;
    let policy = policy(&[CHECK, outer], "outer");
    assert_eq!(steps(&policy, Direction::In), ["rule check/web → pass", "default outer → drop"]);
}

#[test]
fn several_profiles_of_a_port_must_all_accept() {
    let second = r#"<FilterPool name="second"/>"#;
    let policy =
        resolve(&library(&[CHECK, second]), &names(&["check", "second"]), &Parameters::default()).unwrap();
    let expected = ["rule check/web → 2", "default check → drop", "default second → pass"];
    assert_eq!(steps(&policy, Direction::Out), expected);
}

#[test]
fn parameters_hold_inside_their_reference_and_are_inherited() {
    let inner = r#"<FilterPool name="inner"><FilterEntry name="e"><Action>DROP</Action>
      <IPHeadersFilter><HdrSrcAddress>THIS_IP</HdrSrcAddress><HdrProtocolID>tcp</HdrProtocolID>
      <HdrDestPortStart>$PORT</HdrDestPortStart></IPHeadersFilter></FilterEntry></FilterPool>"#;
    let middle = r#"<FilterPool name="middle"><reference profile="inner"/></FilterPool>"#;
    let outer = r#"<FilterPool name="outer">
      <reference profile="middle" ip_address="192.0.2.1" PORT="25"/></FilterPool>"#;
    let policy = policy(&[inner, middle, outer], "outer");
    let step = &policy.program(Direction::Out).steps[0];
    let any_of = |field: Field| &step.tests().find(|test| test.field == field).unwrap().any_of;
    assert_eq!(any_of(Field::SrcIp), &[Atom::Ip4 { value: 0xc000_0201, mask: u32::MAX }]);
    assert_eq!(any_of(Field::DstPort), &[Atom::Range(25, 25)]);
    assert!(!needs_ip(&policy, IpVersion::V4), "the address was given by the reference");
    let error = refused(&[inner, middle], "middle");
    assert!(error.contains("$PORT") && error.contains("--param PORT=VALUE"), "{error}");
}

#[test]
fn circles_and_missing_profiles_are_named() {
    let a = r#"<FilterPool name="a"><reference profile="b"/></FilterPool>"#;
    let b = "<FilterPool name=\"b\">\n <reference profile=\"a\"/></FilterPool>";
    let error = refused(&[a, b], "a");
    assert!(error.contains("profile b, 2:2") && error.contains("a → b → a"), "{error}");
    let error = refused(&[a], "a");
    assert!(error.contains("there is no profile `b`"), "{error}");
}

#[test]
fn references_that_multiply_are_refused_before_they_fill_memory() {
    let mut texts: Vec<String> = (0..24)
        .map(|i| {
            let (name, next) = (format!("p{i}"), format!("p{}", i + 1));
            format!(r#"<FilterPool name="{name}"><reference profile="{next}"/><reference profile="{next}"/></FilterPool>"#)
        })
        .collect();
    texts.push(
        r#"<FilterPool name="p24"><FilterEntry><Action>DROP</Action></FilterEntry></FilterPool>"#.to_owned(),
    );
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let error = refused(&texts, "p0");
    assert!(error.contains("more than 10000 references"), "{error}");
}

#[test]
fn entries_without_a_name_are_known_by_what_they_say() {
    let entry = |port: u16| {
        format!(
            "<FilterEntry><Action>DROP</Action><IPHeadersFilter><HdrProtocolID>udp</HdrProtocolID>\
             <HdrDestPortStart>{port}</HdrDestPortStart></IPHeadersFilter></FilterEntry>"
        )
    };
    let pool = |entries: &[u16]| {
        let entries: String = entries.iter().map(|port| entry(*port)).collect();
        format!("<FilterPool name=\"p\">{entries}</FilterPool>")
    };
    let before = policy(&[&pool(&[53, 53, 123])], "p");
    let after = policy(&[&pool(&[67, 53, 53, 123])], "p");
    for rule in &before.rules {
        assert!(after.rules.iter().any(|same| same.identity == rule.identity), "{rule}");
    }
    assert_eq!(before.rules[2].to_string(), "rule p/#3");
    assert_eq!(after.rules[3].to_string(), "rule p/#4");
    assert_eq!(after.rules[3].identity, before.rules[2].identity);
    let identities: std::collections::HashSet<_> = after.rules.iter().map(|rule| &rule.identity).collect();
    assert_eq!(identities.len(), after.rules.len(), "two rules share a counter");
}

#[test]
fn what_must_be_learned_is_what_packets_are_compared_with() {
    let only = |field: &str, value: &str| {
        format!(
            "<FilterPool name=\"p\"><FilterEntry><Action>DROP</Action><IPHeadersFilter><HdrIPVersion>6</HdrIPVersion>\
             <{field}>{value}</{field}></IPHeadersFilter></FilterEntry></FilterPool>"
        )
    };
    let six = policy(&[&only("HdrSrcAddress", "THIS_IP")], "p");
    assert!(
        !needs_ip(&six, IpVersion::V4) && needs_ip(&six, IpVersion::V6) && !needs_mac(&six),
        "an IPv4 address would tell nothing"
    );
    let link_local = policy(&[&only("HdrSrcAddress", "THIS_LINK_LOCAL")], "p");
    assert!(
        needs_mac(&link_local)
            && !needs_ip(&link_local, IpVersion::V4)
            && !needs_ip(&link_local, IpVersion::V6)
    );
    let both =
        policy(&[&only("HdrSrcAddress", "THIS_IP").replace("<HdrIPVersion>6</HdrIPVersion>", "")], "p");
    assert!(needs_ip(&both, IpVersion::V4) && needs_ip(&both, IpVersion::V6));
}

#[test]
fn a_policy_ends_in_a_verdict_in_both_directions() {
    let one_way = r#"<FilterPool name="p" default="DROP"><FilterEntry name="o"><Action>ACCEPT</Action>
      <TrafficType>outgoing</TrafficType></FilterEntry></FilterPool>"#;
    let policy = policy(&[one_way], "p");
    for direction in Direction::ALL {
        let last = policy.program(direction).steps.last().unwrap();
        assert!(last.when.is_empty() && last.then == Then::Verdict(Verdict::Drop));
    }
    assert_eq!(steps(&policy, Direction::In), ["default p → drop"]);
}
