//! ICMP and ICMPv6: queries, and errors about other packets.

use filter_common::Direction;

use super::packets::{SYN, Sent, error, query, tcp, udp};
use super::{ANSWER, FIRST, FURTHER, INVALID, Story, UNTRACKED};

const RELATED_REPLY: &str = "related reply";
const RELATED_ORIGINAL: &str = "related original";

#[test]
fn pings_both_ways_with_the_same_identifier() {
    for (request, answer, six) in
        [(8, 0, false), (13, 14, false), (15, 16, false), (17, 18, false), (128, 129, true)]
    {
        let turn = |packet: Sent| if six { packet.six() } else { packet };
        let (request, answer) = (turn(query(request, 7)), turn(query(answer, 7)));
        let mut story = Story::new();
        assert_eq!(story.back(&answer), INVALID);
        assert_eq!(story.out(&request), FIRST);
        assert_eq!(story.out(&answer), INVALID);
        assert_eq!(story.back(&request), FIRST);
        assert_eq!(story.count(), 2);
        assert_eq!(story.back(&answer), ANSWER);
        assert_eq!(story.out(&answer), ANSWER);
        assert_eq!(story.out(&request), FURTHER);
        assert_eq!(story.back(&turn(query(if six { 129 } else { 0 }, 8))), INVALID, "another identifier");
        story.wait(29);
        assert_eq!(story.out(&request), FURTHER);
        story.wait(29);
        assert_eq!(story.count(), 1, "answers do not make it longer");
    }
}

#[test]
fn kinds_of_queries_are_apart() {
    let mut story = Story::new();
    for kind in [8, 13, 15, 17] {
        assert_eq!(story.out(&query(kind, 7)), FIRST);
    }
    assert_eq!(story.count(), 4);
}

#[test]
fn other_messages_belong_to_no_connection() {
    let mut story = Story::new();
    for kind in [1, 2, 6, 9, 10, 19, 40, 42, 128, 255] {
        assert_eq!(story.out(&query(kind, 7)), INVALID, "{kind}");
    }
    for kind in [5, 8, 100, 127, 138, 144, 200] {
        assert_eq!(story.out(&query(kind, 7).six()), INVALID, "{kind}");
    }
    // What keeps a link going is nobody's. Without the guard, which wants a hop limit.
    story.port.strict = false;
    for kind in 130..=137 {
        assert_ne!(story.out(&query(kind, 7).six()), FIRST);
    }
    assert_eq!(story.count(), 0);
}

#[test]
fn an_error_about_a_packet_goes_back_to_its_sender() {
    for (six, kinds) in [(false, &[3, 4, 5, 11, 12][..]), (true, &[1, 2, 3, 4])] {
        for &kind in kinds {
            let turn = |packet: Sent| if six { packet.six() } else { packet };
            let asked = turn(udp(10));
            let quoted = asked.packet(Direction::Out);
            let mut story = Story::new();
            assert_eq!(story.back(&turn(error(kind, &quoted))), INVALID, "nothing was sent");
            assert_eq!(story.out(&asked), FIRST);
            let before = story.port.flows.clone();
            story.wait(3);
            assert_eq!(story.back(&turn(error(kind, &quoted))), RELATED_REPLY);
            // Any router may say so.
            assert_eq!(story.back(&turn(error(kind, &quoted).between(10, 99))), RELATED_REPLY);
            // Of the flow nothing changes.
            assert_eq!(story.port.flows, before);
            // Nobody else may be told, and none that went the other way.
            assert_eq!(story.back(&turn(error(kind, &quoted).between(11, 20))), INVALID);
            assert_eq!(story.out(&turn(error(kind, &quoted))), INVALID);
            // The virtual machine speaks of what came in.
            let answer = asked.packet(Direction::In);
            assert_eq!(story.out(&turn(error(kind, &answer))), RELATED_ORIGINAL);
            story.wait(27);
            assert_eq!(story.back(&turn(error(kind, &quoted))), INVALID, "the flow is over");
        }
    }
}

#[test]
fn a_forged_quote_is_invalid() {
    let mut story = Story::new();
    let asked = tcp(SYN, 100, 0).sent();
    assert_eq!(story.out(&asked), FIRST);
    let quoted = asked.packet(Direction::Out);
    let forged = |at: usize, value: u8| {
        let mut quoted = quoted.clone();
        quoted[at] = value;
        error(3, &quoted)
    };
    assert_eq!(story.back(&forged(9, 17)), INVALID, "protocol");
    assert_eq!(story.back(&forged(15, 11)), INVALID, "source address");
    assert_eq!(story.back(&forged(19, 21)), INVALID, "destination address");
    assert_eq!(story.back(&forged(21, 0)), INVALID, "source port");
    assert_eq!(story.back(&forged(23, 81)), INVALID, "destination port");
    assert_eq!(story.back(&forged(0, 0x65)), INVALID, "version");
    assert_eq!(story.back(&forged(0, 0x44)), INVALID, "header length");
    assert_eq!(story.back(&forged(0, 0x4f)), INVALID, "header length");
    assert_eq!(story.back(&forged(7, 1)), INVALID, "a later fragment");
    assert_eq!(story.back(&error(3, &quoted).tagged(&[5])), INVALID, "another VLAN");
    // A first fragment, and the least that has to be there.
    assert_eq!(story.back(&forged(6, 0x20)), RELATED_REPLY);
    assert_eq!(story.back(&error(3, &quoted[..28])), RELATED_REPLY);
    assert_eq!(story.back(&error(3, &quoted[..27])), INVALID);
}

#[test]
fn an_error_about_a_query() {
    let mut story = Story::new();
    let ping = query(8, 7);
    assert_eq!(story.out(&ping), FIRST);
    assert_eq!(story.back(&error(3, &ping.packet(Direction::Out))), RELATED_REPLY);
    assert_eq!(story.out(&error(3, &query(0, 7).packet(Direction::In))), RELATED_ORIGINAL);
    // A request of the peer is another flow, and so is another identifier.
    assert_eq!(story.out(&error(3, &ping.packet(Direction::In))), INVALID);
    assert_eq!(story.back(&error(3, &query(8, 8).packet(Direction::Out))), INVALID);
    // No errors about errors.
    let about_ping = error(3, &ping.packet(Direction::Out));
    assert_eq!(story.out(&error(3, &about_ping.packet(Direction::In))), INVALID);
}

#[test]
fn a_quote_may_have_extension_headers() {
    let mut story = Story::new();
    let asked = udp(10).six();
    assert_eq!(story.out(&asked), FIRST);
    let plain = asked.packet(Direction::Out);
    // Each of them eight bytes long; fragment headers say: the first of several.
    let behind = |kinds: &[u8]| {
        let mut quoted = plain[..40].to_vec();
        let numbers: Vec<u8> = kinds.iter().copied().chain([17]).collect();
        quoted[6] = numbers[0];
        for (&kind, &next) in kinds.iter().zip(&numbers[1..]) {
            quoted.extend([next, 0, 0, u8::from(kind == 44), 0, 0, 0, 7]);
        }
        quoted.extend(&plain[40..]);
        error(1, &quoted).six()
    };
    for kinds in [&[0][..], &[60], &[43], &[44], &[0, 43, 44, 60], &[60, 60, 60, 60]] {
        assert_eq!(story.back(&behind(kinds)), RELATED_REPLY, "{kinds:?}");
    }
    for kinds in [&[44, 44][..], &[60, 60, 60, 60, 60], &[51], &[135]] {
        assert_eq!(story.back(&behind(kinds)), INVALID, "{kinds:?}");
    }
}

#[test]
fn neighbours_are_not_followed() {
    let mut story = Story::new();
    let frame = "3333ff00002052540012345686dd 6000000000203aff 20010db8000000000000000000000010 \
                 ff0200000000000000000001ff000020 870000000000000020010db8000000000000000000000020 0101525400123456";
    let digits: Vec<u8> = frame.bytes().filter(|byte| *byte != b' ').collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("digits"))
        .collect();
    let judged = crate::reference::judge(&story.policy, &mut story.port, Direction::Out, &bytes, None);
    assert_eq!(super::in_words(judged.packet.connection), UNTRACKED);
    assert_eq!(judged.outcome, super::by_rule(filter_common::Verdict::Pass, 9));
}
