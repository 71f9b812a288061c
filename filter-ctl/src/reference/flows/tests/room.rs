//! Who has to go where there is no room for another flow.

use filter_common::{Direction, DropReason, Outcome, Verdict};

use super::packets::{ACK, RST, SYN, Sent, tcp, udp};
use super::{Story, by_rule};

const FULL: Outcome = Outcome::guard(DropReason::FlowTableFull);
const PASS: Outcome = by_rule_nine();

const fn by_rule_nine() -> Outcome {
    Outcome { verdict: Verdict::Pass, cause: filter_common::Cause::Rule(9) }
}

fn story(capacity: usize) -> Story {
    let mut story = Story::new();
    story.flows().capacity = Some(capacity);
    story
}

/// A datagram of flow number so and so.
fn flow(number: u16) -> Sent {
    udp(10).ports(1000 + number, 53)
}

impl Story {
    fn both_ways(&mut self, packet: &Sent) {
        assert_eq!(self.send(Direction::Out, packet).0, PASS);
        assert_eq!(self.send(Direction::In, packet).0, PASS);
    }

    fn begins(&mut self, packet: &Sent) -> Outcome {
        self.send(Direction::Out, packet).0
    }

    fn knows(&self, packet: &Sent) -> bool {
        self.clone().out(packet) != super::FIRST || {
            // One that was never answered is known if that does not make one more.
            let mut story = self.clone();
            story.flows().capacity = None;
            story.out(packet);
            story.count() == self.count()
        }
    }
}

#[test]
fn answered_flows_stay() {
    let mut story = story(2);
    story.both_ways(&flow(1));
    story.both_ways(&flow(2));
    assert_eq!(story.begins(&flow(3)), FULL);
    assert_eq!(story.begins(&flow(1)), PASS, "it is there");
    assert_eq!(story.count(), 2);
}

#[test]
fn the_oldest_that_was_never_answered_goes() {
    let mut story = story(3);
    story.both_ways(&flow(1));
    assert_eq!(story.begins(&flow(2)), PASS);
    assert_eq!(story.begins(&flow(3)), PASS);
    // That it is seen again does not make it younger.
    assert_eq!(story.begins(&flow(2)), PASS);
    assert_eq!(story.begins(&flow(4)), PASS);
    assert!(
        story.knows(&flow(1)) && !story.knows(&flow(2)) && story.knows(&flow(3)) && story.knows(&flow(4))
    );
}

#[test]
fn what_is_over_goes_before_what_is_closed_and_that_before_notes() {
    let closed = |story: &mut Story| {
        story.both_ways(&tcp(SYN, 100, 0).sent());
        assert_eq!(story.send(Direction::In, &tcp(RST | ACK, 0, 101).sent()).0, PASS);
    };
    let mut story = story(4);
    assert_eq!(story.begins(&flow(1)), PASS);
    story.wait(30);
    closed(&mut story);
    // A flow, and a note.
    let first = udp(16).ports(7, 53).part(7, 0, true);
    let later = super::packets::other(17, false).part(7, 24, false);
    assert_eq!(story.begins(&first), PASS);
    assert_eq!(story.send(Direction::Out, &later).0, PASS);
    // The first is over.
    assert_eq!(story.begins(&flow(2)), PASS);
    let is_closed = |story: &Story| story.clone().back(&tcp(RST, 0, 0).sent()) != super::INVALID;
    assert!(is_closed(&story));
    // Then goes the closed one.
    assert_eq!(story.begins(&flow(3)), PASS);
    assert!(!is_closed(&story));
    assert_eq!(story.send(Direction::Out, &later).0, PASS);
    // Then the note.
    assert_eq!(story.begins(&flow(4)), PASS);
    assert_eq!(story.send(Direction::Out, &later).0, Outcome::guard(DropReason::FragmentUnknown));
    assert_eq!(by_rule(Verdict::Pass, 9), PASS);
}
