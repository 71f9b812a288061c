//! Profiles that reject, in both dialects: what `stats` and `explain` say of them.

use filter_tests::cli::{Operator, with_operator};
use filter_tests::net::SOON;
use filter_tests::scene::{ADDRESSES, PORT, Scene, connect, datagram, hex};
use serde_json::{Value, json};

use super::FILTER_CTL;

const POOL: &str = "<FilterPool name='closed' default='DROP'>
  <FilterEntry name='tcp'><Action>REJECT</Action><TrafficType>outgoing</TrafficType>
    <IPHeadersFilter><HdrProtocolID>tcp</HdrProtocolID></IPHeadersFilter></FilterEntry>
  <FilterEntry name='udp'><Action>REJECT</Action><RejectWith>admin-prohibited</RejectWith>
    <IPHeadersFilter><HdrProtocolID>udp</HdrProtocolID></IPHeadersFilter></FilterEntry>
</FilterPool>";

const FILTER: &str = "<filter name='refused'>
  <rule action='reject' direction='out'><all/></rule>
</filter>";

fn explained(operator: &Operator, line: &str, frame: &[u8]) -> (String, String) {
    let text = operator.ok(&format!("--json explain {line} --hex {}", hex(frame)));
    let one: Value = serde_json::from_str(&text).unwrap();
    assert!(one["disagrees"].is_null(), "{one}");
    (one["verdict"].as_str().unwrap().to_owned(), one["by"].as_str().unwrap().to_owned())
}

fn answers(operator: &Operator) -> Value {
    operator.json(&format!("stats {PORT}"))["answers"].clone()
}

/// Whether the frame is a TCP reset, or an ICMP error with this code.
fn is_reset(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 6 && frame[47] & 4 != 0
}

fn is_error(frame: &[u8], code: u8) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 1 && frame[34..36] == [3, code]
}

#[test]
fn answers_are_sent_counted_and_not_explained_away() {
    with_operator(FILTER_CTL, "reject", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("create {}", operator.file("closed.xml", POOL)));
        operator.ok(&format!("attach {PORT} --profile closed {ADDRESSES}"));
        assert_eq!(answers(operator), json!([]));
        scene.guest.send(&connect(25));
        assert!(scene.guest.wait_for(SOON, is_reset).is_some(), "TCP is reset");
        for _ in 0..2 {
            scene.guest.send(&datagram(1));
            assert!(scene.guest.wait_for(SOON, |frame| is_error(frame, 13)).is_some(), "all else is told");
        }
        let sent = json!([{ "direction": "out", "sent": 3, "suppressed": 0 }]);
        assert_eq!(answers(operator), sent);
        let shown = operator.ok(&format!("stats {PORT}"));
        assert!(shown.contains("ANSWERED  SUPPRESSED  DIR\n       3           0  out\n"), "{shown}");

        // What is only asked for is not answered.
        let tcp = ("reject".to_owned(), "rule closed/tcp".to_owned());
        assert_eq!(explained(operator, PORT, &connect(25)), tcp);
        let udp = ("reject-admin".to_owned(), "rule closed/udp".to_owned());
        assert_eq!(explained(operator, PORT, &datagram(1)), udp);
        assert_eq!(explained(operator, &format!("--profile closed {ADDRESSES}"), &datagram(1)), udp);
        assert_eq!(answers(operator), sent);
        assert_eq!(scene.guest.drain(), Vec::<Vec<u8>>::new());
        // Answers that were sent stay counted when the profile changes, as drops are.
        operator.ok(&format!("update {}", operator.file("closed.xml", POOL.replace("tcp", "icmp"))));
        assert_eq!(answers(operator), sent);
    });
}

#[test]
fn rules_of_libvirts_dialect_answer_as_the_mode_has_it() {
    with_operator(FILTER_CTL, "reject_rules", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("define {}", operator.file("refused.xml", FILTER)));
        operator.ok(&format!("attach {PORT} --profile refused {ADDRESSES}"));
        scene.guest.send(&connect(25));
        assert!(scene.guest.wait_for(SOON, is_reset).is_some(), "strict: TCP is reset");
        scene.guest.send(&datagram(1));
        assert!(scene.guest.wait_for(SOON, |frame| is_error(frame, 3)).is_some(), "all else is told");
        operator.ok(&format!("detach {PORT}"));
        operator.ok(&format!("attach {PORT} --profile refused --mode libvirt {ADDRESSES}"));
        assert_eq!(explained(operator, PORT, &connect(25)).0, "reject-icmp");
        scene.guest.send(&connect(25));
        let told = scene.guest.wait_for(SOON, |frame| is_reset(frame) || is_error(frame, 3));
        assert!(told.is_some_and(|frame| is_error(&frame, 3)), "libvirt: TCP is told as all else is");
    });
}
