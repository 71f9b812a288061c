//! UDP and what is followed like it: both ways, in VLANs, and what becomes of it in time.

use filter_common::{Direction, Outcome, Verdict, connection};

use super::packets::{ACK, Sent, other, tcp, udp};
use super::{ANSWER, FIRST, FURTHER, INVALID, Story, UNTRACKED, by_rule, is, state};
use crate::policy::{Field, Test};

#[test]
fn a_question_is_answered_from_where_it_went() {
    let mut story = Story::new();
    assert_eq!(story.out(&udp(10)), FIRST);
    assert_eq!(story.out(&udp(10)), FIRST);
    assert_eq!(story.back(&udp(10).ports(40_000, 54)), FIRST);
    assert_eq!(story.back(&udp(10).between(10, 21)), FIRST);
    assert_eq!(story.back(&udp(10).between(11, 20)), FIRST);
    assert_eq!(story.back(&udp(10).six()), FIRST);
    assert_eq!(story.back(&udp(10)), ANSWER);
    assert_eq!(story.out(&udp(10)), FURTHER);
}

#[test]
fn an_answered_flow_lives_longer() {
    for (protocol, has_ports, unanswered, answered) in
        [(17, true, 30, 120), (136, true, 30, 120), (33, true, 600, 600), (47, false, 600, 600)]
    {
        let packet = if protocol == 17 { udp(10) } else { other(protocol, has_ports) };
        let mut story = Story::new();
        assert_eq!(story.out(&packet), FIRST);
        story.wait(unanswered - 1);
        // That it is seen again counts.
        assert_eq!(story.out(&packet), FIRST);
        story.wait(unanswered);
        assert_eq!(story.count(), 0, "{protocol}");
        assert_eq!(story.back(&packet), FIRST, "it was over: {protocol}");
        assert_eq!(story.out(&packet), ANSWER);
        story.wait(answered - 1);
        assert_eq!(story.back(&packet), FURTHER, "{protocol}");
        story.wait(answered);
        assert_eq!(story.count(), 0, "{protocol}");
    }
}

#[test]
fn protocols_are_apart() {
    let mut story = Story::new();
    for packet in [udp(10), other(136, true), other(33, true), other(47, false), other(50, false)] {
        assert_eq!(story.out(&packet), FIRST);
    }
    assert_eq!(story.count(), 5);
    // Between the same two, all of such a protocol is one flow.
    let mut different = other(47, false);
    different = different.tagged(&[]);
    assert_eq!(story.back(&different), ANSWER);
    assert_eq!(story.back(&tcp(ACK, 1, 1).sent()), INVALID);
}

#[test]
fn icmp_of_the_other_version_is_nothing() {
    assert_eq!(Story::new().out(&other(58, false)), INVALID);
}

#[test]
fn vlans_are_apart() {
    let tags: [&[u16]; 6] = [&[], &[5], &[6], &[5, 6], &[6, 5], &[5, 5]];
    let mut story = Story::new();
    for tags in tags {
        assert_eq!(story.out(&udp(10).tagged(tags)), FIRST, "{tags:?}");
    }
    for tags in tags {
        assert_eq!(story.back(&udp(10).tagged(tags)), ANSWER, "{tags:?}");
    }
    // A tag that only carries a priority is none.
    assert_eq!(story.out(&udp(10).tagged(&[0])), FURTHER);
    assert_eq!(story.out(&udp(10).tagged(&[0, 5])), FURTHER);
    assert_eq!(story.out(&udp(10).tagged(&[5, 0])), FURTHER);
    assert_eq!(story.count(), tags.len());
}

#[test]
fn only_what_is_asked_for_is_followed() {
    let udp_only = vec![Test::number(Field::IpVersion, 4), Test::number(Field::Protocol, 17)];
    let mut asks = udp_only.clone();
    asks.push(is(connection::ESTABLISHED));
    let mut story = Story::with(vec![(asks, Verdict::Drop)]);
    assert_eq!(story.out(&udp(10)), FIRST);
    assert_eq!(story.back(&udp(10)), ANSWER);
    for packet in [udp(10).six(), other(47, false), tcp(ACK, 1, 1).sent()] {
        assert_eq!(story.out(&packet), UNTRACKED);
        assert_eq!(story.back(&packet), UNTRACKED);
    }
    assert_eq!(story.count(), 1);
    // A rule that UDP does not reach.
    let mut story =
        Story::with(vec![(udp_only.clone(), Verdict::Pass), state(connection::NEW, Verdict::Pass)]);
    assert_eq!(story.out(&udp(10)), UNTRACKED);
    assert_eq!(story.out(&udp(10).six()), FIRST);
    // Errors can be about anything.
    let mut story = Story::with(vec![(udp_only, Verdict::Pass), state(connection::RELATED, Verdict::Pass)]);
    assert_eq!(story.out(&udp(10)), FIRST);
}

#[test]
fn rules_see_what_a_packet_is() {
    let mut story = Story::with(vec![
        state(connection::NEW, Verdict::Pass),
        state(connection::REPLY, Verdict::Pass),
        state(connection::ESTABLISHED | connection::ORIGINAL, Verdict::Drop),
    ]);
    let mut send = |direction, packet: &Sent| -> Outcome { story.send(direction, packet).0 };
    assert_eq!(send(Direction::In, &udp(10)), by_rule(Verdict::Pass, 0));
    assert_eq!(send(Direction::Out, &udp(10)), by_rule(Verdict::Pass, 1));
    assert_eq!(send(Direction::In, &udp(10)), by_rule(Verdict::Drop, 2));
    // What is not IP has no such field.
    let not = !is(connection::NEW);
    let mut story = Story::with(vec![(vec![!not.clone()], Verdict::Drop), (vec![not], Verdict::Drop)]);
    let arp = [&[0xff; 6][..], &[0x52, 0x54, 0, 0, 0, 2, 0x88, 0xb5], &[0; 40]].concat();
    let judged = crate::reference::judge(&story.policy, &mut story.port, Direction::Out, &arp, None);
    assert_eq!(judged.outcome, by_rule(Verdict::Drop, 1));
}

/// Without the guard, what it would have dropped is invalid, whatever it seems to be.
#[test]
fn what_is_malformed_is_invalid() {
    let mut story = Story::new();
    story.port.strict = false;
    assert_eq!(story.out(&udp(10)), FIRST);
    let before = story.port.flows.clone();
    story.wait(5);
    for packet in [udp(10).ports(0, 53), tcp(0x29, 1, 1).sent(), tcp(3, 1, 1).sent()] {
        assert_eq!(story.back(&packet), INVALID);
    }
    let mut cut_short = udp(10).frame(Direction::Out);
    cut_short.truncate(40);
    let judged = crate::reference::judge(&story.policy, &mut story.port, Direction::Out, &cut_short, None);
    assert_eq!(judged.packet.connection, connection::INVALID);
    assert_eq!(story.port.flows, before);
    // Tags are not looked through there.
    assert_eq!(story.out(&udp(10).tagged(&[5])), UNTRACKED);
}
