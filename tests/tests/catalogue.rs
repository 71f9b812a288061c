//! The guard: every reason has frames that it is given for, and neighbours of them that pass. The data path's
//! parser and the reference are held against the same frames.

use std::collections::BTreeSet;

use filter_common::parse::parse;
use filter_common::{DropReason, Key, SliceFrame, Tag, record_flags};
use filter_ctl::reference::{Packet, VlanTag};
use filter_tests::frames::{Case, Tag as OuterTag, catalogue};

fn of_parser(frame: &[u8], tag: Option<OuterTag>) -> Option<DropReason> {
    let frame = match tag {
        Some((ether_type, tci)) => SliceFrame::with_tag(frame, Tag { ether_type, tci }),
        None => SliceFrame::new(frame),
    };
    parse(&frame, record_flags::STRICT, &mut Key::new(), 0).anomaly()
}

fn of_reference(frame: &[u8], tag: Option<OuterTag>) -> Option<DropReason> {
    Packet::read(frame, tag.map(|(ether_type, tci)| VlanTag { ether_type, tci }), true).anomaly()
}

fn failures(judge: fn(&[u8], Option<OuterTag>) -> Option<DropReason>) -> Vec<String> {
    let mut failures = Vec::new();
    for Case { name, reason, bad, near_miss, tag } in catalogue() {
        let found = judge(&bad, tag);
        if found != Some(reason) {
            failures.push(format!("{reason}, {name}: {found:?} for {bad:02x?} {tag:x?}"));
        }
        if let Some(found) = judge(&near_miss, tag) {
            failures.push(format!("{reason}, beside {name}: {found} for {near_miss:02x?} {tag:x?}"));
        }
    }
    failures
}

#[test]
fn the_reference_names_each_reason() {
    let failures = failures(of_reference);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_parser_names_each_reason() {
    let failures = failures(of_parser);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_reason_of_the_guard_has_a_case() {
    let covered: BTreeSet<_> = catalogue().iter().map(|case| case.reason).collect();
    let not_of_the_guard = [
        DropReason::NoPolicy,
        DropReason::StepLimit,
        DropReason::GraphFault,
        DropReason::NotLearned,
        DropReason::DhcpUntrusted,
        DropReason::Unreadable,
        // Of connections and fragments, which take more than one packet.
        DropReason::FragmentUnknown,
        DropReason::FlowTableFull,
        DropReason::FlowContended,
    ];
    let missing: Vec<_> = DropReason::ALL
        .iter()
        .filter(|reason| !covered.contains(reason) && !not_of_the_guard.contains(reason))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
