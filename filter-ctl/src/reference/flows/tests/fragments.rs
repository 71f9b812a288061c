//! Fragments: a note of the first is what lets the others pass, where ports are asked for.

use filter_common::{Direction, DropReason, Outcome, Verdict, connection};

use super::packets::{Sent, other, udp};
use super::{FIRST, Story, UNTRACKED, by_rule};
use crate::policy::{Field, Test};

const UNKNOWN: Outcome = Outcome::guard(DropReason::FragmentUnknown);

/// To port 53 by rule 0; what else is UDP is dropped by rule 1.
fn story() -> Story {
    Story::with(vec![
        (vec![Test::number(Field::DstPort, 53)], Verdict::Pass),
        (vec![Test::number(Field::Protocol, 17)], Verdict::Drop),
    ])
}

fn first() -> Sent {
    // With the eight bytes of the header, three times eight.
    udp(16).part(7, 0, true)
}

fn later() -> Sent {
    other(17, false).part(7, 24, false)
}

impl Story {
    fn goes(&mut self, packet: &Sent) -> Outcome {
        self.send(Direction::Out, packet).0
    }
}

#[test]
fn later_fragments_go_where_the_first_went() {
    for six in [false, true] {
        let turn = |packet: Sent| if six { packet.six() } else { packet };
        let mut story = story();
        assert_eq!(story.goes(&turn(later())), UNKNOWN, "it came first");
        assert_eq!(story.goes(&turn(first())), by_rule(Verdict::Pass, 0));
        assert_eq!(story.goes(&turn(later())), by_rule(Verdict::Pass, 0));
        for another in [
            later().part(8, 24, false),
            later().between(10, 21),
            later().between(11, 20),
            later().tagged(&[5]),
        ] {
            assert_eq!(story.goes(&turn(another)), UNKNOWN);
        }
        assert_eq!(story.goes(&turn(other(47, false).part(7, 24, false))), UNKNOWN, "another protocol");
        assert_eq!(story.send(Direction::In, &turn(later())).0, UNKNOWN, "it goes the other way");
        story.wait(29);
        assert_eq!(story.goes(&turn(later())), by_rule(Verdict::Pass, 0));
        story.wait(1);
        assert_eq!(story.goes(&turn(later())), UNKNOWN, "nothing makes the note last longer");
    }
}

#[test]
fn fragments_of_what_was_dropped_are_dropped() {
    let mut story = story();
    let first = first().ports(40_000, 54);
    assert_eq!(story.goes(&first), by_rule(Verdict::Drop, 1));
    assert_eq!(story.goes(&later()), UNKNOWN);
}

/// The number behind the fragment header is the same in all fragments; the protocol stands only in the first.
#[test]
fn headers_may_stand_behind_the_fragment_header() {
    let mut story = story();
    assert_eq!(story.goes(&first().six().with_options_behind()), by_rule(Verdict::Pass, 0));
    assert_eq!(story.goes(&later().six()), UNKNOWN);
    assert_eq!(story.goes(&other(60, false).six().part(7, 24, false)), by_rule(Verdict::Pass, 0));
}

#[test]
fn a_first_fragment_is_a_packet_of_its_connection() {
    let mut story = Story::new();
    assert_eq!(story.out(&first()), FIRST);
    assert_eq!(story.out(&later()), UNTRACKED);
    assert_eq!(story.back(&udp(3)), super::ANSWER);
    assert_eq!(story.count(), 1);
}

#[test]
fn where_nobody_asks_for_ports_fragments_are_packets() {
    let mut story = Story::with(vec![(vec![Test::number(Field::Protocol, 17)], Verdict::Drop)]);
    assert_eq!(story.goes(&later()), by_rule(Verdict::Drop, 0));
    assert_eq!(story.goes(&other(47, false).part(7, 24, false)), by_rule(Verdict::Pass, 9));
}

/// libvirt's engine puts them together where connections of any packets of that IP version are followed. Here the first
/// one says what the others are; what it says nothing of is judged like any packet.
#[test]
fn without_the_guard_later_fragments_of_what_passed_pass() {
    for six in [false, true] {
        let turn = |packet: Sent| if six { packet.six() } else { packet };
        let is_tcp = Test::number(Field::Protocol, 6);
        let followed = vec![
            (vec![is_tcp, super::is(connection::NEW)], Verdict::Pass),
            (vec![Test::number(Field::DstPort, 53)], Verdict::Pass),
            (vec![Test::number(Field::Protocol, 17)], Verdict::Drop),
        ];
        let mut story = Story::with(followed.clone());
        story.port.strict = false;
        assert_eq!(story.goes(&turn(later())), by_rule(Verdict::Drop, 2), "it came first");
        assert_eq!(story.goes(&turn(first())), by_rule(Verdict::Pass, 1));
        assert_eq!(story.goes(&turn(later())), by_rule(Verdict::Pass, 1));
        assert_eq!(story.goes(&turn(later().part(8, 24, false))), by_rule(Verdict::Drop, 2));
        assert_eq!(story.goes(&turn(first().ports(40_000, 54).part(9, 0, true))), by_rule(Verdict::Drop, 2));
        assert_eq!(story.goes(&turn(later().part(9, 24, false))), by_rule(Verdict::Drop, 2));
        // Nobody follows connections.
        let mut story = Story::with(followed[1..].to_vec());
        story.port.strict = false;
        assert_eq!(story.goes(&turn(first())), by_rule(Verdict::Pass, 0));
        assert_eq!(story.goes(&turn(later())), by_rule(Verdict::Drop, 1));
    }
}
