//! SCTP.

use super::packets::{Sent, sctp};
use super::{ANSWER, FIRST, FURTHER, INVALID, Story};

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;

/// What the virtual machine wants to see, and what the peer does.
const LOCAL: u32 = 0x1111_1111;
const REMOTE: u32 = 0x2222_2222;

fn plain(tag: u32, chunk: u8) -> Sent {
    sctp(tag, chunk, 0, &[0; 12])
}

/// INIT and INIT ACK say which tag their sender wants to see.
fn wants(tag: u32, chunk: u8, wanted: u32) -> Sent {
    sctp(tag, chunk, 0, &[&wanted.to_be_bytes()[..], &[0; 12]].concat())
}

fn associated() -> Story {
    let mut story = Story::new();
    assert_eq!(story.out(&wants(0, INIT, LOCAL)), FIRST);
    assert_eq!(story.back(&wants(LOCAL, INIT_ACK, REMOTE)), ANSWER);
    assert_eq!(story.out(&plain(REMOTE, COOKIE_ECHO)), FURTHER);
    assert_eq!(story.back(&plain(LOCAL, COOKIE_ACK)), ANSWER);
    story
}

/// Whether there is an association after so many seconds, but not after one more.
fn lasts(story: &Story, seconds: u32) -> bool {
    let alive = |seconds: u32| {
        let mut story = story.clone();
        story.wait(seconds);
        story.count() == 1
    };
    alive(seconds - 1) && !alive(seconds)
}

#[test]
fn an_association_from_its_first_packet_to_its_last() {
    let mut story = Story::new();
    assert_eq!(story.out(&wants(0, INIT, LOCAL)), FIRST);
    assert!(lasts(&story, 10));
    assert_eq!(story.back(&wants(LOCAL, INIT_ACK, REMOTE)), ANSWER);
    assert_eq!(story.out(&plain(REMOTE, COOKIE_ECHO)), FURTHER);
    assert!(lasts(&story, 10));
    assert_eq!(story.back(&plain(LOCAL, COOKIE_ACK)), ANSWER);
    assert!(lasts(&story, 210));
    assert_eq!(story.out(&plain(REMOTE, DATA)), FURTHER);
    assert_eq!(story.back(&plain(LOCAL, SACK)), ANSWER);
    assert!(lasts(&story, 210));
    assert_eq!(story.out(&plain(REMOTE, SHUTDOWN)), FURTHER);
    assert!(lasts(&story, 3));
    assert_eq!(story.back(&plain(LOCAL, SHUTDOWN_ACK)), ANSWER);
    assert_eq!(story.out(&plain(REMOTE, SHUTDOWN_COMPLETE)), FURTHER);
    assert!(lasts(&story, 3));
    // And again, from the other side.
    assert_eq!(story.back(&wants(0, INIT, 77)), FIRST);
    assert_eq!(story.out(&wants(77, INIT_ACK, 88)), ANSWER);
}

#[test]
fn packets_carry_the_tag_of_their_receiver() {
    for chunk in [DATA, SACK, HEARTBEAT, ABORT, SHUTDOWN, SHUTDOWN_COMPLETE, INIT_ACK] {
        let packet = |tag: u32| wants(tag, chunk, 99);
        let fresh = associated();
        assert_eq!(fresh.clone().out(&packet(REMOTE)), FURTHER, "{chunk}");
        assert_eq!(fresh.clone().back(&packet(LOCAL)), ANSWER, "{chunk}");
        for tag in [0, LOCAL, 3] {
            let mut story = fresh.clone();
            assert_eq!(story.out(&packet(tag)), INVALID, "{chunk}");
            assert_eq!(story.port.flows, fresh.port.flows);
        }
    }
}

/// Whoever lost its state sends back the tag that came (RFC 9260 section 8.5.1).
#[test]
fn whoever_knows_no_tag_may_reflect_one() {
    for chunk in [ABORT, SHUTDOWN_COMPLETE] {
        let reflected = |tag: u32| sctp(tag, chunk, 1, &[0; 4]);
        let mut story = associated();
        assert_eq!(story.back(&reflected(3)), INVALID);
        assert_eq!(story.back(&reflected(REMOTE)), ANSWER);
        assert!(lasts(&story, 3));
        assert_eq!(associated().back(&reflected(LOCAL)), ANSWER);
    }
    assert_eq!(
        associated().back(&sctp(REMOTE, DATA, 1, &[0; 12])),
        INVALID,
        "of other chunks it means nothing"
    );
}

#[test]
fn only_an_init_without_a_tag_begins() {
    assert_eq!(Story::new().out(&wants(LOCAL, INIT, LOCAL)), INVALID);
    for chunk in [DATA, INIT_ACK, SACK, HEARTBEAT, ABORT, SHUTDOWN, COOKIE_ECHO, COOKIE_ACK] {
        assert_eq!(Story::new().out(&plain(0, chunk)), INVALID, "{chunk}");
        let picked_up = chunk == HEARTBEAT;
        let mut story = Story::new().loose();
        assert_eq!(story.out(&plain(5, chunk)), if picked_up { FIRST } else { INVALID }, "{chunk}");
        if picked_up {
            assert_eq!(story.back(&plain(6, DATA)), ANSWER);
            assert!(lasts(&story, 210));
        }
    }
    // There is no chunk, or not all of it that is needed.
    assert_eq!(Story::new().out(&sctp(0, INIT, 0, &[])), INVALID);
}
