//! `explain`: what becomes of a frame and why, from every kind of file, without touching the port.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use filter_tests::cli::{Operator, with_operator};
use filter_tests::frames::{Arp, SPOOF, cut, patched};
use filter_tests::scene::{ADDRESSES, PORT, Scene, arp, datagram, hex, spoofed_datagram};
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::{DataLink, pcapng::PcapNgBlock as _};
use serde_json::Value;

use super::FILTER_CTL;

/// Explains with `--json`: one object a line.
fn explain(operator: &Operator, line: &str) -> Vec<Value> {
    let text = operator.ok(&format!("--json explain {line}"));
    let explained: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (number, one) in explained.iter().enumerate() {
        assert_eq!(one["i"], number, "{one}");
        assert!(one["disagrees"].is_null(), "{one}");
        assert!(["pass", "drop"].contains(&one["verdict"].as_str().unwrap()), "{one}");
    }
    explained
}

fn verdicts(explained: &[Value]) -> Vec<(&str, &str)> {
    let text = |one: &Value, key: &str| -> &str {
        Box::leak(one[key].as_str().unwrap().to_owned().into_boxed_str())
    };
    explained.iter().map(|one| (text(one, "verdict"), text(one, "by"))).collect()
}

const PASSED: (&str, &str) = ("pass", "rule generic-layer2/ipv4");
const SPOOFED: (&str, &str) = ("drop", "rule own-ip-only/foreign-ip4");

#[test]
fn the_catalogue_of_evasions_is_judged_the_same_by_kernel_and_reference() {
    with_operator(FILTER_CTL, "explain_golden", |operator| {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/frames.jsonl");
        let text = fs::read_to_string(&golden).unwrap();
        for mode in ["strict", "libvirt"] {
            let policy = format!("--profile generic-layer2 {ADDRESSES} --mode {mode}");
            let explained = explain(operator, &format!("{policy} --frames {}", golden.display()));
            assert_eq!(explained.len(), text.lines().count());
            for (one, line) in explained.iter().zip(text.lines()) {
                let line: Value = serde_json::from_str(line).unwrap();
                assert_eq!(one["dir"], line["dir"], "{one}");
                let by = one["by"].as_str().unwrap();
                assert!(["rule ", "default ", "guard "].iter().any(|kind| by.starts_with(kind)), "{one}");
                assert_eq!(by.starts_with("guard "), one["reason"].is_string(), "{one}");
            }
            let dropped = explained.iter().filter(|one| one["verdict"] == "drop").count();
            assert!(
                dropped > 100 && dropped < explained.len() - 100,
                "{mode}: {dropped} of {}",
                explained.len()
            );
        }
    });
}

#[test]
fn a_port_is_asked_and_does_not_notice() {
    with_operator(FILTER_CTL, "explain_port", |operator| {
        let scene = Scene::new();
        operator.ok(&format!("attach {PORT} --profile generic-layer2"));
        // Nothing is learned: the frames teach the copy that is asked, one after the other, not the port.
        let lines: Vec<String> = [datagram(1), spoofed_datagram(2), patched(datagram(3), 6, &SPOOF)]
            .iter()
            .map(|frame| format!(r#"{{"hex":"{}"}}"#, hex(frame)))
            .collect();
        let file = operator.file("frames.jsonl", lines.join("\n"));
        let explained = explain(operator, &format!("{PORT} --frames {file}"));
        assert_eq!(verdicts(&explained), [PASSED, SPOOFED, ("drop", "rule own-mac-only/foreign-mac")]);
        assert_eq!(operator.port(PORT)["learned_mac"], "");
        let counts = operator.counts(PORT);
        assert!(counts.0.values().all(|&count| count == 0), "{counts:?}");

        // What the port learned meanwhile, the copy knows.
        scene.comes_out("the first datagram", &datagram(4));
        let before = operator.counts(PORT);
        let asked = |frame: &[u8], dir: &str| {
            let explained = explain(operator, &format!("{PORT} --dir {dir} --hex {}", hex(frame)));
            let (verdict, by) = verdicts(&explained)[0];
            (verdict.to_owned(), by.to_owned())
        };
        let of = |(verdict, by): (&str, &str)| (verdict.to_owned(), by.to_owned());
        assert_eq!(asked(&spoofed_datagram(5), "out"), of(SPOOFED));
        assert_eq!(asked(&spoofed_datagram(5), "in"), of(PASSED));
        assert_eq!(asked(&datagram(6), "out"), of(PASSED));
        assert_eq!(operator.counts(PORT), before, "explaining counts nowhere");
        // And what is asked does not disturb what is in force.
        scene.comes_out("a datagram", &datagram(7));
        assert_eq!(operator.json("ports").as_array().unwrap().len(), 1);
    });
}

#[test]
fn people_are_told_what_was_read_and_why() {
    with_operator(FILTER_CTL, "explain_text", |operator| {
        let policy = format!("--profile generic-layer2 {ADDRESSES}");
        // As people paste them: with blanks and colons, quoted by the shell.
        let pasted = hex(&spoofed_datagram(1)).as_bytes().chunks(2).fold(String::new(), |text, pair| {
            format!("{text}{}{}", if text.is_empty() { "" } else { ":" }, std::str::from_utf8(pair).unwrap())
        });
        let text = operator.ok(&format!("explain {policy} --hex {pasted}"));
        for part in ["frame 0, out: drop by rule own-ip-only/foreign-ip4", "192.0.2.20", "own-mac"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let truncated = hex(&cut(datagram(1), 30));
        let text = operator.ok(&format!("explain {policy} --hex {truncated}"));
        assert!(text.contains("by guard Ip") && text.contains("because"), "{text}");
    });
}

#[test]
fn captures_of_both_kinds_are_read() {
    with_operator(FILTER_CTL, "explain_captures", |operator| {
        let frames = [datagram(1), spoofed_datagram(2), arp(&Arp::default())];
        let policy = format!("--profile generic-layer2 {ADDRESSES}");
        for path in [pcap(operator, DataLink::ETHERNET, &frames), pcapng(operator, &frames)] {
            let explained = explain(operator, &format!("{policy} --read {}", path.display()));
            assert_eq!(verdicts(&explained), [PASSED, SPOOFED, ("pass", "rule generic-layer2/arp")]);
        }
        let raw = pcap(operator, DataLink::RAW, &frames);
        let message = operator.fails(&format!("explain {policy} --read {}", raw.display()), 5);
        assert!(message.contains("expected Ethernet"), "{message}");
        let none = operator.file("none.pcap", "x");
        let message = operator.fails(&format!("explain {policy} --read {none}"), 5);
        assert!(message.contains("expected a pcap or pcapng capture"), "{message}");
        let message = operator.fails(&format!("explain {policy} --read /nowhere.pcap"), 3);
        assert!(message.contains("/nowhere.pcap"), "{message}");
    });
}

fn pcap(operator: &Operator, datalink: DataLink, frames: &[Vec<u8>]) -> PathBuf {
    let path = operator.files().join("capture.pcap");
    let header = PcapHeader { datalink, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(File::create(&path).unwrap(), header).unwrap();
    for frame in frames {
        let packet = PcapPacket::new(std::time::Duration::ZERO, frame.len() as u32, frame);
        writer.write_packet(&packet).unwrap();
    }
    path
}

fn pcapng(operator: &Operator, frames: &[Vec<u8>]) -> PathBuf {
    let path = operator.files().join("capture.pcapng");
    let mut writer = PcapNgWriter::new(File::create(&path).unwrap()).unwrap();
    let interface = InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen: 0, options: vec![] };
    writer.write_block(&interface.into_block()).unwrap();
    for frame in frames {
        let packet = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: std::time::Duration::ZERO,
            original_len: frame.len() as u32,
            data: frame.into(),
            options: vec![],
        };
        writer.write_block(&packet.into_block()).unwrap();
    }
    path
}

#[test]
fn profiles_of_a_folder_are_tried_before_they_are_installed() {
    with_operator(FILTER_CTL, "explain_folder", |operator| {
        let folder = operator.files().join("drafts");
        fs::create_dir(&folder).unwrap();
        let draft = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        draft("no-5000.xml", r#"<FilterPool name="no-5000"><Reference profile="draft"/></FilterPool>"#);
        draft(
            "draft.xml",
            r#"<FilterPool name="draft">
                <FilterEntry name="to-5000"><Action>DROP</Action>
                <IPHeadersFilter><HdrProtocolID>udp</HdrProtocolID><HdrDestPortStart>$PORT</HdrDestPortStart></IPHeadersFilter>
                </FilterEntry></FilterPool>"#,
        );
        let frame = hex(&datagram(1));
        let line = format!("--profile no-5000 --param PORT=5000 --hex {frame}");
        let folder_option = format!("--profile-dir {}", folder.display());
        let explained = explain(operator, &format!("{line} {folder_option}"));
        assert_eq!(verdicts(&explained), [("drop", "rule draft/to-5000")]);
        let other =
            format!("--profile no-5000 --param PORT=5001 --param PORT=5002 --hex {frame} {folder_option}");
        assert_eq!(verdicts(&explain(operator, &other)), [("pass", "default no-5000")]);
        // Nothing of it was kept.
        let message = operator.fails(&format!("explain {line}"), 3);
        assert!(message.contains("no-5000"), "{message}");

        draft("bad.xml", "<FilterPool name='bad'><Nonsense/></FilterPool>");
        let message = operator.fails(&format!("explain {line} {folder_option}"), 5);
        assert!(message.contains("bad.xml:1:"), "{message}");
    });
}

#[test]
fn what_is_no_frame_is_an_error() {
    with_operator(FILTER_CTL, "explain_errors", |operator| {
        let policy = format!("explain --profile generic-layer2 {ADDRESSES}");
        let message = operator.fails(&format!("{policy} --hex 0g"), 5);
        assert!(message.contains("`0g`"), "{message}");
        let message = operator.fails(&format!("{policy} --hex 123"), 5);
        assert!(message.contains("3 hexadecimal digits"), "{message}");
        let file = operator.file("bad.jsonl", "{\"hex\":\"00\"}\n\n{\"hex\":\"00\",\"dir\":\"up\"}\n");
        let message = operator.fails(&format!("{policy} --frames {file}"), 5);
        assert!(message.contains("bad.jsonl:3:") && message.contains("`up`"), "{message}");
        let message = operator.fails(&format!("explain vm9 --hex {}", hex(&datagram(1))), 3);
        assert!(message.contains("vm9 is not attached"), "{message}");
        // The command line itself: nothing to explain, or nobody to ask.
        assert_eq!(operator.run(&policy).code, 2);
        assert_eq!(operator.run("explain --hex 00").code, 2);
        assert_eq!(operator.run(&format!("explain {PORT} --profile generic-layer2 --hex 00")).code, 2);
    });
}
