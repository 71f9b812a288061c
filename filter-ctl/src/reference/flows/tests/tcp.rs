//! TCP.

use filter_common::{Verdict, connection};

use super::packets::{ACK, FIN, RST, SYN, Sent, tcp};
use super::{ANSWER, FIRST, FURTHER, INVALID, Story, state};

fn segment(flags: u8, sequence: u32, acknowledgement: u32) -> Sent {
    tcp(flags, sequence, acknowledgement).sent()
}

/// The virtual machine has connected: its next byte is 101, the peer's 501.
fn connected(mut story: Story) -> Story {
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    assert_eq!(story.back(&segment(SYN | ACK, 500, 101)), ANSWER);
    assert_eq!(story.out(&segment(ACK, 101, 501)), FURTHER);
    assert_eq!(story.count(), 1);
    story
}

/// Both have sent their FIN, and both were acknowledged.
fn closed() -> Story {
    let mut story = connected(Story::new());
    assert_eq!(story.out(&segment(FIN | ACK, 101, 501)), FURTHER);
    assert_eq!(story.back(&segment(FIN | ACK, 501, 102)), ANSWER);
    assert_eq!(story.out(&segment(ACK, 102, 502)), FURTHER);
    story
}

/// How many seconds the connection is remembered from now on, by trying.
fn lasts(story: &Story) -> u32 {
    let alive = |seconds: u32| {
        let mut story = story.clone();
        story.wait(seconds);
        story.count() == 1
    };
    let candidates = [10, 30, 60, 120, 432_000];
    let found: Vec<u32> =
        candidates.into_iter().filter(|&seconds| alive(seconds - 1) && !alive(seconds)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

#[test]
fn a_connection_from_its_first_segment_to_its_last() {
    let mut story = Story::new();
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    assert_eq!(lasts(&story), 120);
    assert_eq!(story.back(&segment(SYN | ACK, 500, 101)), ANSWER);
    assert_eq!(lasts(&story), 60);
    assert_eq!(story.out(&segment(ACK, 101, 501)), FURTHER);
    assert_eq!(lasts(&story), 432_000);
    assert_eq!(story.out(&tcp(ACK, 101, 501).length(300).sent()), FURTHER);
    assert_eq!(story.back(&segment(ACK, 501, 401)), ANSWER);
    assert_eq!(story.back(&tcp(ACK, 501, 401).length(1000).sent()), ANSWER);
    assert_eq!(story.out(&segment(FIN | ACK, 401, 1501)), FURTHER);
    assert_eq!(lasts(&story), 120);
    assert_eq!(story.back(&segment(ACK, 1501, 402)), ANSWER);
    assert_eq!(lasts(&story), 60);
    assert_eq!(story.back(&segment(FIN | ACK, 1501, 402)), ANSWER);
    assert_eq!(lasts(&story), 30);
    assert_eq!(story.out(&segment(ACK, 402, 1502)), FURTHER);
    assert_eq!(lasts(&story), 120);
    // The last one got lost, and the peer asks again.
    assert_eq!(story.back(&segment(FIN | ACK, 1501, 402)), ANSWER);
    assert_eq!(story.out(&segment(ACK, 402, 1502)), FURTHER);
    story.wait(120);
    assert_eq!(story.back(&segment(FIN | ACK, 1501, 402)), INVALID);
    assert_eq!(story.count(), 0);
}

#[test]
fn the_peer_may_connect_too() {
    let mut story = Story::new();
    assert_eq!(story.back(&segment(SYN, 100, 0).six()), FIRST);
    assert_eq!(story.out(&segment(SYN | ACK, 500, 101).six()), ANSWER);
    assert_eq!(story.back(&segment(ACK, 101, 501).six()), FURTHER);
}

#[test]
fn one_side_may_stop_and_the_other_go_on() {
    let mut story = connected(Story::new());
    assert_eq!(story.out(&segment(FIN | ACK, 101, 501)), FURTHER);
    assert_eq!(story.back(&segment(ACK, 501, 102)), ANSWER);
    for byte in 0..5 {
        assert_eq!(story.back(&tcp(ACK, 501 + 100 * byte, 102).length(100).sent()), ANSWER);
        assert_eq!(story.out(&segment(ACK, 102, 601 + 100 * byte)), FURTHER);
        assert_eq!(lasts(&story), 60);
    }
}

#[test]
fn both_may_open_at_once() {
    let mut story = Story::new();
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    assert_eq!(story.back(&segment(SYN, 500, 0)), ANSWER);
    assert_eq!(lasts(&story), 120);
    assert_eq!(story.out(&segment(SYN | ACK, 100, 501)), FURTHER);
    assert_eq!(lasts(&story), 60);
    assert_eq!(story.back(&segment(SYN | ACK, 500, 101)), ANSWER);
    assert_eq!(story.out(&segment(ACK, 101, 501)), FURTHER);
    assert_eq!(lasts(&story), 432_000);
}

#[test]
fn a_syn_may_be_repeated_and_what_follows_must_fit_the_last_one() {
    let mut story = Story::new();
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    // The virtual machine was started again.
    assert_eq!(story.out(&segment(SYN, 70_000, 0)), FIRST);
    // An answer to the first is old, and not one that anything follows from.
    assert_eq!(story.back(&segment(SYN | ACK, 500, 101)), ANSWER);
    assert_eq!(lasts(&story), 120);
    assert_eq!(story.back(&segment(SYN | ACK, 500, 70_002)), INVALID);
    assert_eq!(story.back(&segment(SYN | ACK, 500, 70_001)), ANSWER);
    // And once more, unanswered before: it belongs to the connection.
    assert_eq!(story.out(&segment(SYN, 70_000, 0)), FURTHER);
}

#[test]
fn nothing_but_a_syn_begins_a_connection() {
    for flags in [ACK, SYN | ACK, FIN | ACK, FIN, RST, RST | ACK, 0x08] {
        let mut story = Story::new();
        assert_eq!(story.out(&segment(flags, 100, 200)), INVALID, "{flags:#x}");
        assert_eq!(story.count(), 0);
    }
}

#[test]
fn a_connection_that_was_there_before_is_picked_up_where_that_is_wanted() {
    let mut story = Story::new().loose();
    assert_eq!(story.back(&tcp(ACK, 9000, 70).length(10).sent()), FIRST);
    assert_eq!(story.out(&segment(ACK, 70, 9010)), ANSWER);
    assert_eq!(lasts(&story), 432_000);
    // Where windows are not known, nothing is out of them.
    assert_eq!(story.back(&segment(ACK, 0x8000_0000, 0x4000_0000)), FURTHER);
    assert_eq!(story.out(&segment(FIN | ACK, 70, 9010)), ANSWER);
    assert_eq!(lasts(&story), 120);
    assert_eq!(Story::new().loose().out(&segment(FIN | ACK, 1, 1)), INVALID);
}

#[test]
fn a_reset_closes_in_every_state() {
    let mut story = Story::new();
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    // Nobody listens (RFC 9293 section 3.5.2).
    assert_eq!(story.back(&segment(RST | ACK, 0, 101)), ANSWER);
    assert_eq!(story.count(), 0);
    assert_eq!(story.back(&segment(RST | ACK, 0, 101)), INVALID, "there never was a connection");
    // It tries again.
    assert_eq!(story.out(&segment(SYN, 700, 0)), FIRST);
    assert_eq!(lasts(&story), 120);

    // Whoever sent the SYN may take it back, without knowing what it was.
    assert_eq!(story.out(&segment(RST, 0, 0)), FIRST);
    assert_eq!(story.count(), 0);
    assert_eq!(story.back(&segment(SYN | ACK, 9, 701)), INVALID, "it comes too late");

    // Once there was an answer what is on its way is waited for.
    let mut story = Story::new();
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    assert_eq!(story.back(&segment(SYN | ACK, 500, 101)), ANSWER);
    assert_eq!(story.out(&segment(RST, 101, 0)), FURTHER);
    assert_eq!(lasts(&story), 10);

    let mut story = connected(Story::new());
    assert_eq!(story.back(&segment(RST, 501, 0)), ANSWER);
    assert_eq!(lasts(&story), 10);
    // What was on its way still belongs to it.
    story.wait(9);
    assert_eq!(story.out(&tcp(ACK, 101, 501).length(10).sent()), FURTHER);
    assert_eq!(lasts(&story), 10);
}

#[test]
fn a_reset_out_of_the_window_closes_nothing() {
    let mut story = connected(Story::new());
    assert_eq!(story.back(&segment(RST, 501 + 5000, 0)), INVALID);
    assert_eq!(lasts(&story), 432_000);
    // In reply to the SYN it must acknowledge that.
    let mut story = Story::new();
    assert_eq!(story.out(&segment(SYN, 100_000, 0)), FIRST);
    assert_eq!(story.back(&segment(RST | ACK, 0, 100_002)), INVALID);
    assert_eq!(story.back(&segment(RST | ACK, 0, 7)), ANSWER, "it is about an older one");
    assert_eq!(lasts(&story), 120);
}

/// Its receiver has it already, and says so.
#[test]
fn what_is_too_old_for_the_window_belongs_to_the_connection_and_changes_nothing() {
    let fresh = connected(Story::new());
    for (sequence, acknowledged, is_old) in [
        (501u32.wrapping_sub(1000), 101, false),
        (501u32.wrapping_sub(1001), 101, true),
        (501, 101u32.wrapping_sub(66_000), false),
        (501, 101u32.wrapping_sub(66_001), true),
    ] {
        let mut story = fresh.clone();
        story.wait(100);
        assert_eq!(story.back(&segment(ACK, sequence, acknowledged)), ANSWER);
        assert_eq!(story.port.flows == fresh.port.flows, is_old, "{sequence} {acknowledged}");
        let mut story = fresh.clone();
        assert_eq!(story.back(&segment(RST | ACK, sequence, acknowledged)), ANSWER);
        assert_eq!(lasts(&story), if is_old { 432_000 } else { 10 });
    }
}

#[test]
fn what_is_out_of_the_window_is_invalid() {
    let fresh = connected(Story::new());
    let answer = |packet: &Sent| fresh.clone().back(packet);
    let full = |sequence: u32| tcp(ACK, sequence, 101).length(10).sent();
    // The virtual machine lets the peer send up to 1501.
    assert_eq!(answer(&full(501)), ANSWER);
    assert_eq!(answer(&full(1501)), ANSWER);
    assert_eq!(answer(&full(1502)), INVALID);
    // What was not sent cannot be acknowledged.
    assert_eq!(answer(&segment(ACK, 501, 102)), INVALID);
    assert_eq!(answer(&segment(ACK, 501, 101)), ANSWER);
    // What was invalid has changed nothing.
    let mut story = fresh.clone();
    story.wait(100);
    assert_eq!(story.back(&full(1502)), INVALID);
    assert_eq!(story.port.flows, fresh.port.flows);
}

#[test]
fn windows_are_scaled_where_both_sides_do_so() {
    for (scale, largest) in [(Some(7), 501 + (1000 << 7)), (None, 501 + 1000)] {
        let mut story = Story::new();
        assert_eq!(story.out(&tcp(SYN, 100, 0).scale(7).sent()), FIRST);
        let mut answer = tcp(SYN | ACK, 500, 101);
        answer.scale = scale;
        assert_eq!(story.back(&answer.sent()), ANSWER);
        assert_eq!(story.out(&segment(ACK, 101, 501)), FURTHER);
        assert_eq!(story.clone().back(&tcp(ACK, largest, 101).length(1).sent()), ANSWER, "{scale:?}");
        assert_eq!(story.back(&tcp(ACK, largest + 1, 101).length(1).sent()), INVALID, "{scale:?}");
    }
    // A scale of more than 14 is one of 14 (RFC 7323 section 2.3).
    let mut story = Story::new();
    assert_eq!(story.out(&tcp(SYN, 100, 0).scale(200).sent()), FIRST);
    assert_eq!(story.back(&tcp(SYN | ACK, 500, 101).scale(1).sent()), ANSWER);
    assert_eq!(story.out(&tcp(ACK, 101, 501).window(0xffff).sent()), FURTHER);
    let largest = 501 + (0xffff << 14);
    assert_eq!(story.clone().back(&segment(ACK, largest, 101)), ANSWER);
    assert_eq!(story.back(&segment(ACK, largest + 1, 101)), INVALID);
}

#[test]
fn a_closed_window_takes_a_byte_to_probe_it() {
    let mut story = connected(Story::new());
    assert_eq!(story.back(&tcp(ACK, 501, 101).length(1000).sent()), ANSWER);
    assert_eq!(story.out(&tcp(ACK, 101, 1501).window(0).sent()), FURTHER);
    assert_eq!(story.back(&tcp(ACK, 1501, 101).length(1).sent()), ANSWER);
    assert_eq!(story.clone().back(&segment(ACK, 1502, 101)), ANSWER);
    assert_eq!(story.back(&segment(ACK, 1503, 101)), INVALID);
    assert_eq!(story.out(&tcp(ACK, 101, 1501).window(2000).sent()), FURTHER);
    assert_eq!(story.back(&tcp(ACK, 1503, 101).length(1).sent()), ANSWER);
}

#[test]
fn ports_are_used_again_after_a_close() {
    let mut story = closed();
    assert_eq!(story.out(&segment(SYN, 0x9000_0000, 0)), FIRST);
    assert_eq!(story.back(&segment(SYN | ACK, 7, 0x9000_0001)), ANSWER);
    // The old connection is not there any more.
    assert_eq!(story.back(&segment(FIN | ACK, 501, 102)), INVALID);
    // The other side may be first.
    let mut story = closed();
    assert_eq!(story.back(&segment(SYN, 0x9000_0000, 0)), FIRST);
    assert_eq!(story.out(&segment(SYN | ACK, 7, 0x9000_0001)), ANSWER);
    assert_eq!(story.count(), 1);
}

#[test]
fn a_new_connection_that_may_not_be_leaves_nothing_of_the_old_one() {
    let mut story = closed();
    story.policy = Story::with(vec![state(connection::NEW, Verdict::Drop)]).policy;
    assert_eq!(story.back(&segment(SYN, 0x9000_0000, 0)), FIRST);
    assert_eq!(story.count(), 0);
    assert_eq!(story.back(&segment(FIN | ACK, 501, 102)), INVALID);
}

#[test]
fn a_syn_within_a_connection_changes_nothing() {
    let mut story = connected(Story::new());
    let before = story.clone();
    story.wait(7);
    assert_eq!(story.out(&segment(SYN, 5, 0)), FURTHER);
    assert_eq!(story.back(&segment(SYN, 5, 0)), INVALID);
    assert_eq!(story.back(&segment(SYN | ACK, 500, 101)), ANSWER);
    assert_eq!(story.out(&segment(SYN | ACK, 500, 101)), INVALID);
    assert_eq!(story.port.flows, before.port.flows);
}

/// It belongs to what was there before on these ports; the virtual machine will answer it with a RST.
#[test]
fn an_acknowledgement_in_place_of_an_answer_is_left_to_the_virtual_machine() {
    let mut story = Story::new();
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    assert_eq!(story.back(&segment(ACK, 9999, 7777)), ANSWER);
    // It was no answer that says anything, but one.
    assert_eq!(story.out(&segment(SYN, 100, 0)), FURTHER);
    assert_eq!(lasts(&story), 120);
}

#[test]
fn what_may_not_begin_is_no_connection() {
    let mut story = Story::with(vec![state(connection::NEW, Verdict::Drop)]);
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    assert_eq!(story.count(), 0);
    assert_eq!(story.back(&segment(SYN | ACK, 500, 101)), INVALID);
}

#[test]
fn a_packet_changes_its_connection_even_if_it_is_dropped() {
    let mut story = Story::with(vec![state(connection::REPLY, Verdict::Drop)]);
    assert_eq!(story.out(&segment(SYN, 100, 0)), FIRST);
    assert_eq!(story.back(&segment(SYN | ACK, 500, 101)), ANSWER);
    assert_eq!(story.out(&segment(ACK, 101, 501)), FURTHER);
    assert_eq!(lasts(&story), 432_000);
}

#[test]
fn sequence_numbers_begin_again_at_zero() {
    let mut story = Story::new();
    assert_eq!(story.out(&segment(SYN, u32::MAX, 0)), FIRST);
    assert_eq!(story.back(&segment(SYN | ACK, u32::MAX - 5, 0)), ANSWER);
    assert_eq!(story.out(&segment(ACK, 0, u32::MAX - 4)), FURTHER);
    assert_eq!(story.back(&tcp(ACK, u32::MAX - 4, 0).length(100).sent()), ANSWER);
    assert_eq!(story.out(&segment(ACK, 0, 95)), FURTHER);
    assert_eq!(story.out(&segment(ACK, 0, 96)), INVALID);
}
