//! What docs/nwfilter.md and docs/from-libvirt.md say holds: every filter in them can be read and printed, tables
//! of frames are what the rules make of those frames, one by one or one after the other (those of
//! docs/filter-entry.md too), and the tables of elements, attributes, defects and differences are those of the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use filter_common::{Cause, Direction, Outcome, Verdict, connection};
use filter_ctl::model::nwfilter::{AttributeName, Defect, Kind, Protocol};
use filter_ctl::model::{Mode, Profile, ProfileName, Timeouts};
use filter_ctl::policy::Policy;
use filter_ctl::reference::{Flows, Port, Ticks, judge};
use filter_ctl::resolve::filter::Change;
use filter_ctl::resolve::{Parameters, resolve};
use filter_ctl::store::Profiles;
use filter_ctl::xml::{Reading, filter_binding, nwfilter, parse, print};
use filter_tests::frames::{
    Arp, Ipv4, Ipv6, Mac, PEER, PEER_IP4, PEER_IP6, VM, VM_IP4, VM_IP6, authentication, bpdu, ether_type,
    ethernet, fragment, icmp, icmp6, igmp, llc, protocol, sctp, snap, tagged, tcp, udp, udp_lite,
    with_options,
};

const PAGE: &str = "nwfilter.md";

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A piece of a page, with the line it begins in.
enum Piece {
    Heading(String),
    /// A line of text.
    Text(String),
    /// A fenced block, and its language.
    Code(String, String),
    /// A row of a table, in cells.
    Row(Vec<String>),
}

fn pieces(text: &str) -> Vec<(usize, Piece)> {
    let mut pieces = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((number, language.to_owned(), String::new())),
            (Some(_), Some(_)) => {
                pieces.extend(open.take().map(|(at, language, code)| (at, Piece::Code(language, code))));
            }
            (Some((_, _, code)), None) => *code += &format!("{line}\n"),
            (None, None) => {
                let piece = if let Some(heading) = line.strip_prefix('#') {
                    Piece::Heading(heading.trim_start_matches('#').trim().to_owned())
                } else if let Some(row) = line.strip_prefix('|') {
                    let row = row.trim_end().strip_suffix('|').unwrap_or(row);
                    Piece::Row(row.split('|').map(|cell| cell.trim().to_owned()).collect())
                } else {
                    Piece::Text(line.to_owned())
                };
                pieces.push((number, piece));
            }
        }
    }
    pieces
}

/// Texts in backquotes.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every filter of a page, by line.
fn filters(text: &str) -> Vec<(usize, Profile)> {
    let mut filters = Vec::new();
    for (line, piece) in pieces(text) {
        let Piece::Code(language, code) = piece else { continue };
        if language != "xml" {
            continue;
        }
        if code.trim_start().starts_with("<filterbinding") {
            let read = |text: &str| filter_binding::parse(text, Reading::Strict).map(|parsed| parsed.binding);
            let binding = read(&code).unwrap_or_else(|error| panic!("binding in line {line}: {error}"));
            assert_eq!(read(&filter_binding::print(&binding)).as_ref(), Ok(&binding), "line {line}");
            continue;
        }
        let read = |text: &str| parse(text, None, Reading::Strict).map(|parsed| parsed.profile);
        let profile = read(&code).unwrap_or_else(|error| panic!("filter in line {line}: {error}"));
        let again = read(&print(&profile)).expect("what is printed can be read");
        assert_eq!(print(&again), print(&profile), "line {line}");
        filters.push((line, profile));
    }
    filters
}

/// What the shipped profiles and those of a page are.
fn library(text: &str) -> Profiles {
    let mut profiles = Profiles::shipped().expect("what ships can be read");
    let mut names = BTreeSet::new();
    for (line, profile) in filters(text) {
        assert!(names.insert(profile.name.clone()), "line {line}: a second `{}`", profile.name);
        profiles.add(profile);
    }
    profiles
}

/// The virtual machine of the examples: where nothing else is said, it speaks with its neighbour.
struct Judge<'a> {
    library: &'a Profiles,
}

impl Judge<'_> {
    fn policy(&self, name: &ProfileName, mode: Mode) -> Result<Policy, String> {
        let parameters = Parameters {
            mac: Some(filter_ctl::model::MacAddr(VM)),
            addresses: vec![IpAddr::from(VM_IP4), IpAddr::from(VM_IP6)],
            mode,
            ..Parameters::default()
        };
        resolve(self.library, std::slice::from_ref(name), &parameters).map_err(|error| error.to_string())
    }

    fn verdict(&self, name: &ProfileName, mode: Mode, direction: Direction, frame: &[u8]) -> &'static str {
        let policy = self.policy(name, mode).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut port = Port {
            strict: mode == Mode::Strict,
            mac: Some(VM),
            addresses: vec![IpAddr::from(VM_IP4), IpAddr::from(VM_IP6)],
            ..Port::default()
        };
        in_words(judge(&policy, &mut port, direction, frame, None).outcome)
    }
}

fn in_words(outcome: Outcome) -> &'static str {
    match (outcome.verdict, outcome.cause) {
        (Verdict::Pass, _) => "passes",
        (Verdict::Drop, Cause::Guard(_)) => "dropped by the guard",
        (Verdict::Drop, _) => "dropped",
        (Verdict::RejectPort | Verdict::RejectAdmin | Verdict::RejectIcmp, _) => "rejected",
    }
}

/// What a packet is to its connection.
fn told(bits: u32) -> String {
    let names = [
        (connection::NEW, "new"),
        (connection::ESTABLISHED, "established"),
        (connection::RELATED, "related"),
        (connection::INVALID, "invalid"),
        (connection::ORIGINAL, "original"),
        (connection::REPLY, "reply"),
    ];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "untracked".to_owned() } else { set.join(" ") }
}

/// What a row of a table says of a frame: its kind, then what differs from the plain frame of the kind.
#[derive(Default)]
struct Words<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Words<'a> {
    fn read(text: &'a str) -> Result<(&'a str, Self), String> {
        let mut words = text.split_whitespace();
        let kind = words.next().ok_or("no frame")?;
        let mut said = Vec::new();
        while let Some(word) = words.next() {
            let known = [
                "from",
                "to",
                "port",
                "code",
                "type",
                "dscp",
                "flags",
                "option",
                "vlan",
                "service-vlan",
                "ethertype",
                "opcode",
                "sender",
                "target",
                "cost",
                "fragment",
                "snap",
                "auth",
            ];
            if !known.contains(&word) {
                return Err(format!("`{word}` of `{text}` is unknown"));
            }
            let alone = matches!(word, "fragment" | "snap" | "auth");
            let value = if alone { "" } else { words.next().ok_or(format!("nothing behind `{word}`"))? };
            match (word, value) {
                // `from port 53`: the port of that side.
                ("from" | "to", "port") => {
                    let port = words.next().ok_or("nothing behind `port`")?;
                    said.push((if word == "from" { "from-port" } else { "to-port" }, port));
                }
                _ => said.push((word, value)),
            }
        }
        Ok((kind, Self(said)))
    }

    /// The last value of this name that can be read so.
    fn get<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.0.iter().filter(|(word, _)| *word == name).find_map(|(_, value)| value.parse().ok())
    }

    fn number(&self, name: &str) -> Option<u32> {
        let text: String = self.get(name)?;
        text.strip_prefix("0x")
            .map_or_else(|| text.parse().ok(), |digits| u32::from_str_radix(digits, 16).ok())
    }

    fn byte(&self, name: &str, default: u8) -> u8 {
        self.number(name).map_or(default, |number| u8::try_from(number).expect("a byte"))
    }

    fn word(&self, name: &str, default: u16) -> u16 {
        self.number(name).map_or(default, |number| u16::try_from(number).expect("a number of 16 bits"))
    }

    fn mac(&self, name: &str) -> Option<Mac> {
        self.get::<filter_ctl::model::MacAddr>(name).map(|mac| mac.0)
    }

    fn says(&self, name: &str) -> bool {
        self.0.iter().any(|(word, _)| *word == name)
    }
}

fn frame(direction: Direction, text: &str) -> Result<Vec<u8>, String> {
    let (kind, words) = Words::read(text)?;
    let out = direction == Direction::Out;
    let turn = |ours, theirs| if out { (ours, theirs) } else { (theirs, ours) };
    let (source, destination) = turn(VM, PEER);
    let source = words.mac("from").unwrap_or(source);
    let link =
        |kind: u16, payload: &[u8]| ethernet(words.mac("to").unwrap_or(destination), source, kind, payload);
    let plain = match kind {
        "frame" => link(words.word("ethertype", ether_type::EXPERIMENT), &[0; 46]),
        "bpdu" => {
            let mut bytes = bpdu();
            bytes[4] = words.byte("flags", 1);
            bytes[13..17].copy_from_slice(&words.number("cost").unwrap_or(4).to_be_bytes());
            let group = words.mac("to").unwrap_or([0x01, 0x80, 0xc2, 0, 0, 0]);
            llc(group, source, [0x42, 0x42, 3], &bytes)
        }
        "arp" | "rarp" => {
            let (sender, target) = if out { (VM_IP4, PEER_IP4) } else { (PEER_IP4, VM_IP4) };
            let arp = Arp {
                opcode: words.word("opcode", if kind == "arp" { 1 } else { 3 }),
                sender_mac: words.mac("sender").unwrap_or(source),
                sender_ip: words.get("sender").unwrap_or(sender),
                target_mac: words.mac("target").unwrap_or([0; 6]),
                target_ip: words.get("target").unwrap_or(target),
                ..Arp::default()
            };
            let kind = if kind == "arp" { ether_type::ARP } else { ether_type::RARP };
            ethernet(words.mac("to").unwrap_or([0xff; 6]), source, kind, &arp.bytes())
        }
        _ => ip(kind, &words, out, link)?,
    };
    let plain = if words.says("snap") { snap(&plain) } else { plain };
    Ok(if words.says("vlan") {
        tagged(&plain, ether_type::VLAN, words.word("vlan", 0))
    } else if words.says("service-vlan") {
        tagged(&plain, ether_type::SERVICE_VLAN, words.word("service-vlan", 0))
    } else {
        plain
    })
}

fn ip(
    kind: &str,
    words: &Words<'_>,
    out: bool,
    link: impl Fn(u16, &[u8]) -> Vec<u8>,
) -> Result<Vec<u8>, String> {
    let from_port = words.word("from-port", if out { 40_000 } else { 443 });
    let to_port = words.word("to-port", if out { 443 } else { 40_000 });
    let (number, payload) = match kind.trim_end_matches("-ipv6") {
        "tcp" => {
            let flags: u8 = words.byte("flags", 0x10);
            let segment = tcp(from_port, to_port, flags, &[]);
            (
                protocol::TCP,
                match words.number("option") {
                    Some(option) => {
                        with_options(&segment, &[u8::try_from(option).expect("a byte"), 4, 5, 180])
                    }
                    None => segment,
                },
            )
        }
        "udp" => (protocol::UDP, udp(from_port, to_port, b"data")),
        "udplite" => (protocol::UDP_LITE, udp_lite(from_port, to_port, 0, b"data")),
        "sctp" => (protocol::SCTP, sctp(from_port, to_port)),
        "esp" => (protocol::ESP, vec![0, 0, 1, 0, 0, 0, 0, 1, 0xab, 0xab, 0xab, 0xab]),
        "ah" => {
            let mut bytes = authentication().1;
            bytes[0] = protocol::UDP;
            bytes.extend(udp(from_port, to_port, b"data"));
            (protocol::AH, bytes)
        }
        "icmp" => (protocol::ICMP, icmp(words.byte("type", 8), words.byte("code", 0), b"data")),
        "icmpv6" => (
            protocol::ICMP6,
            icmp6(words.byte("type", 128), words.byte("code", 0), &[0, 1, 0, 1, 0, 0, 0, 0]),
        ),
        "igmp" => (protocol::IGMP, igmp(0x16, words.get("to").unwrap_or([224, 0, 0, 251].into()))),
        "gre" => (47, vec![0, 0, 8, 0]),
        _ => return Err(format!("no frame begins with `{kind}`")),
    };
    let class = words.byte("dscp", 0) << 2;
    if kind.ends_with("ipv6") || kind == "icmpv6" {
        let (source, destination) = if out { (VM_IP6, PEER_IP6) } else { (PEER_IP6, VM_IP6) };
        let mut chain = Vec::new();
        if words.says("fragment") {
            chain.push(fragment(2, false));
        }
        if words.says("auth") {
            chain.push(authentication());
        }
        let packet = Ipv6 {
            class,
            source: words.get("from").unwrap_or(source),
            destination: words.get("to").unwrap_or(destination),
            chain,
            protocol: number,
            ..Ipv6::default()
        };
        return Ok(link(ether_type::IPV6, &packet.packet(payload)));
    }
    let (source, destination) = if out { (VM_IP4, PEER_IP4) } else { (PEER_IP4, VM_IP4) };
    let packet = Ipv4 {
        tos: class,
        position: if words.says("fragment") { 2 } else { 0 },
        source: words.get("from").unwrap_or(source),
        destination: words.get("to").unwrap_or(if number == protocol::IGMP {
            [224, 0, 0, 251].into()
        } else {
            destination
        }),
        protocol: number,
        ..Ipv4::default()
    };
    Ok(link(ether_type::IPV4, &packet.packet(payload)))
}

/// Tables whose first column is `way`: each row a frame, and what the filter before the table does with it.
#[test]
fn examples_do_what_is_said_of_them() {
    let text = page(PAGE);
    let library = library(&text);
    let judge = Judge { library: &library };
    let mut filter: Option<ProfileName> = None;
    let mut heading: Vec<String> = Vec::new();
    let mut tried: BTreeMap<Protocol, BTreeSet<String>> = BTreeMap::new();
    let mut rows = 0;
    let mut wrong = Vec::new();
    for (line, piece) in pieces(&text) {
        match piece {
            Piece::Code(language, code) if language == "xml" && code.starts_with("<filter ") => {
                filter = parse(&code, None, Reading::Strict).ok().map(|parsed| parsed.profile.name);
            }
            Piece::Row(cells) if cells.get(2).is_some_and(|cell| cell == "told") => heading.clear(),
            Piece::Row(cells) if cells[0] == "way" => {
                let modes = &cells[2..];
                let known = modes == ["verdict"] || modes == ["strict", "libvirt"];
                assert!(cells[1] == "frame" && known, "line {line}: {cells:?}");
                heading = cells;
            }
            Piece::Row(cells) if !heading.is_empty() && !cells[0].starts_with("--") => {
                rows += 1;
                let direction = match cells[0].as_str() {
                    "out" => Direction::Out,
                    "in" => Direction::In,
                    other => panic!("line {line}: found `{other}`, expected `out` or `in`"),
                };
                let name = filter.as_ref().unwrap_or_else(|| panic!("line {line}: no filter before it"));
                let frame = frame(direction, cells[1].trim_matches('`'))
                    .unwrap_or_else(|why| panic!("line {line}: {why}"));
                let of = library.get(name).map(|(_, profile)| profile).and_then(Profile::filter);
                for rule in of.iter().flat_map(|filter| filter.rules()) {
                    if let Some(protocol) = rule.protocol {
                        tried.entry(protocol).or_default().insert(cells[2].clone());
                    }
                }
                for (at, mode) in [(2, Mode::Strict), (3, Mode::Libvirt)] {
                    let said = cells.get(at).unwrap_or(&cells[2]);
                    let found = judge.verdict(name, mode, direction, &frame);
                    if said != found {
                        wrong.push(format!("line {line}, {mode:?}: {} is {found}, not {said}", cells[1]));
                    }
                }
            }
            Piece::Row(_) => {}
            Piece::Heading(_) | Piece::Text(_) | Piece::Code(..) => heading.clear(),
        }
    }
    assert!(wrong.is_empty(), "docs/{PAGE}:\n{}", wrong.join("\n"));
    for (name, protocol) in Protocol::NAMES {
        let verdicts = tried.get(&protocol).map_or(0, BTreeSet::len);
        assert!(verdicts == 2, "`{name}`: no example with frames that pass and frames that do not");
    }
    assert!(rows >= 72, "{rows} frames");
}

/// A port that a conversation goes through.
struct Side {
    mode: Mode,
    policy: Policy,
    port: Port,
}

/// Tables whose third column is `told`: packets that come one after the other, what each is to its connection, and what
/// the profile before the table does with it: a filter in either mode, a pool in strict mode.
#[test]
fn conversations_go_as_is_said_of_them() {
    let mut rows = 0;
    for name in [PAGE, "filter-entry.md"] {
        let text = page(name);
        let mut profile: Option<Profile> = None;
        let mut conversation: Option<Vec<Side>> = None;
        for (line, piece) in pieces(&text) {
            match piece {
                Piece::Code(language, code) if language == "xml" => {
                    profile = parse(&code, Some(&"example".parse().unwrap()), Reading::Strict)
                        .ok()
                        .map(|parsed| parsed.profile);
                }
                Piece::Row(cells) if cells.get(2).is_some_and(|cell| cell == "told") => {
                    assert_eq!(cells, ["way", "frame", "told", "verdict"], "{name}, line {line}");
                    let profile =
                        profile.clone().unwrap_or_else(|| panic!("{name}, line {line}: no profile before"));
                    let mut library = Profiles::shipped().expect("what ships can be read");
                    library.add(profile.clone());
                    let judge = Judge { library: &library };
                    let modes: &[Mode] =
                        if name == PAGE { &[Mode::Strict, Mode::Libvirt] } else { &[Mode::Strict] };
                    let sides = modes.iter().map(|&mode| {
                        let policy = judge.policy(&profile.name, mode);
                        let policy = policy.unwrap_or_else(|error| panic!("{name}, line {line}: {error}"));
                        let strict = mode == Mode::Strict;
                        let mut flows = Flows::new(Ticks::new(&Timeouts::default(), 250));
                        flows.loose = !strict;
                        let flows = Some(flows);
                        let addresses = vec![IpAddr::from(VM_IP4), IpAddr::from(VM_IP6)];
                        let port = Port { strict, mac: Some(VM), addresses, flows, ..Port::default() };
                        Side { mode, policy, port }
                    });
                    conversation = Some(sides.collect());
                }
                Piece::Row(cells) if !cells[0].starts_with("--") => {
                    let Some(sides) = &mut conversation else { continue };
                    rows += 1;
                    let direction = if cells[0] == "out" { Direction::Out } else { Direction::In };
                    let frame = frame(direction, cells[1].trim_matches('`'))
                        .unwrap_or_else(|why| panic!("{name}, line {line}: {why}"));
                    for Side { mode, policy, port } in sides {
                        let judgement = judge(policy, port, direction, &frame, None);
                        let found =
                            [told(judgement.packet.connection), in_words(judgement.outcome).to_owned()];
                        assert_eq!(cells[2..], found, "{name}, line {line}, {mode:?}: {}", cells[1]);
                    }
                }
                Piece::Row(_) => {}
                Piece::Heading(_) | Piece::Text(_) | Piece::Code(..) => conversation = None,
            }
        }
    }
    assert!(rows >= 24, "{rows} packets");
}

/// What the page calls the values of an attribute.
fn values(kind: Kind) -> String {
    match kind {
        Kind::Number { min, max } => format!("{min} to {max}"),
        Kind::Decimal(max) => format!("0 to {max}, decimal"),
        Kind::EtherType(min) => format!("EtherType from {min:#x}"),
        Kind::ArpOpcode => "opcode".to_owned(),
        Kind::IpProtocol => "protocol".to_owned(),
        Kind::Mac => "MAC".to_owned(),
        Kind::MacMask => "MAC mask".to_owned(),
        Kind::Ip4 | Kind::Ip6 => "IP".to_owned(),
        Kind::Ip4Mask | Kind::Ip6Mask => "IP mask".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::States => "states".to_owned(),
        Kind::TcpFlags => "TCP flags".to_owned(),
        Kind::IpsetName => "set".to_owned(),
        Kind::IpsetSides => "sides".to_owned(),
    }
}

fn slug(heading: &str) -> String {
    let plain = heading.to_lowercase();
    plain
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Tables whose first column is `attribute`, by heading; and under which other headings there are more, in
/// lines that begin with `And `.
#[test]
fn tables_of_attributes_are_those_of_the_code() {
    type Table = BTreeMap<String, String>;
    let mut tables: BTreeMap<String, (Table, Vec<String>)> = BTreeMap::new();
    let mut elements: BTreeMap<String, String> = BTreeMap::new();
    let (mut under, mut inside) = (String::new(), false);
    for (line, piece) in pieces(&page(PAGE)) {
        match piece {
            Piece::Heading(heading) => {
                under = slug(&heading);
                for name in code(&heading) {
                    let name = name.trim_matches(['<', '>']).to_owned();
                    if name.parse::<Protocol>().is_ok() {
                        assert!(elements.insert(name, under.clone()).is_none(), "line {line}: a second time");
                    }
                }
                inside = false;
            }
            Piece::Row(cells) if cells[0] == "attribute" => inside = true,
            Piece::Row(cells) if inside && !cells[0].starts_with("--") => {
                for name in code(&cells[0]) {
                    let table = &mut tables.entry(under.clone()).or_default().0;
                    assert!(
                        table.insert(name.to_owned(), cells[1].clone()).is_none(),
                        "line {line}: {name} twice"
                    );
                }
            }
            Piece::Row(_) => {}
            Piece::Text(line) => {
                inside = false;
                if line.starts_with("And ") {
                    let more = line.split("](#").skip(1).filter_map(|rest| rest.split_once(')'));
                    tables
                        .entry(under.clone())
                        .or_default()
                        .1
                        .extend(more.map(|(anchor, _)| anchor.to_owned()));
                }
            }
            Piece::Code(..) => inside = false,
        }
    }
    for (name, protocol) in Protocol::NAMES {
        let under = elements.get(name).unwrap_or_else(|| panic!("no heading for `{name}`"));
        let (own, more) = tables.get(under).cloned().unwrap_or_default();
        let mut listed = own;
        for anchor in more {
            let (table, _) =
                tables.get(&anchor).unwrap_or_else(|| panic!("`{name}`: no table under {anchor}"));
            listed.extend(table.clone());
        }
        let meant: Table = protocol
            .attributes()
            .iter()
            .map(|specification| (specification.name.to_string(), values(specification.kind)))
            .collect();
        assert_eq!(listed, meant, "`{name}`");
    }
    let all: BTreeSet<&str> = AttributeName::ALL.iter().map(|name| name.as_str()).collect();
    let listed: BTreeSet<&str> =
        tables.values().flat_map(|(table, _)| table.keys().map(String::as_str)).collect();
    assert_eq!(listed, all);
}

/// The rows of the table under a heading.
fn table(text: &str, of: &str) -> Vec<Vec<String>> {
    let mut under = String::new();
    let mut rows = Vec::new();
    for (_, piece) in pieces(text) {
        match piece {
            Piece::Heading(heading) => under = heading,
            Piece::Row(cells) if under == of && cells[0].starts_with('`') => rows.push(cells),
            _ => {}
        }
    }
    rows
}

#[test]
fn names_of_values_are_those_of_the_code() {
    let text = page(PAGE);
    let rows = table(&text, "Values");
    for (cell, kind) in [
        ("`EtherType`", Kind::EtherType(0x600)),
        ("`opcode`", Kind::ArpOpcode),
        ("`protocol`", Kind::IpProtocol),
    ] {
        let row = rows.iter().find(|row| row[0] == cell).unwrap_or_else(|| panic!("no row {cell}"));
        let listed: BTreeSet<&str> = code(&row[1]).collect();
        for (name, _) in kind.names() {
            assert!(listed.contains(name), "{cell}: no `{name}`");
        }
    }
}

#[test]
fn the_table_of_defects_lists_each_once_and_its_example_is_one() {
    let rows = table(&page(PAGE), "What is refused in strict reading");
    let listed: Vec<&str> = rows.iter().filter_map(|row| code(&row[0]).next()).collect();
    let all: Vec<&str> = Defect::ALL.iter().map(|defect| defect.as_str()).collect();
    assert_eq!(listed, all);
    for (row, defect) in rows.iter().zip(Defect::ALL) {
        for example in code(&row[3]) {
            let rule = |inside: &str| format!("<rule action='drop' direction='in'>{inside}</rule>");
            let document = |inside: &str| format!("<filter name='example'>{inside}</filter>");
            let document = if example.starts_with("<filter ") {
                example.to_owned()
            } else if ["<rule", "<filterref", "<uuid"].iter().any(|start| example.starts_with(start)) {
                document(example)
            } else if example == "comment='…'" {
                document(&rule(&format!("<mac comment='{}'/>", "x".repeat(257))))
            } else {
                document(&rule(example))
            };
            let error = nwfilter::parse(&document, Reading::Strict).err();
            // Those that are read as they are written.
            let as_written = matches!(defect, Defect::PortNegation | Defect::IpsetNegated);
            let refused = (!as_written).then_some(*defect);
            assert_eq!(error.and_then(|error| error.defect), refused, "{example}");
            let read = nwfilter::parse(&document, Reading::Lenient);
            let read = read.unwrap_or_else(|error| panic!("{example}: {error}"));
            assert!(read.warnings.iter().any(|warning| warning.defect == *defect), "{example}");
        }
        assert!(code(&row[3]).count() > 0, "no example of {}", defect.as_str());
    }
}

/// All there are; the compiler asks for new ones.
const fn next(change: Change) -> Option<Change> {
    Some(match change {
        Change::NotMirrored => Change::AnswersNotAccepted,
        Change::AnswersNotAccepted => Change::TypedBothWays,
        Change::TypedBothWays => Change::MacBothWays,
        Change::MacBothWays => Change::ResetsTcp,
        Change::ResetsTcp => Change::AllTraffic,
        Change::AllTraffic => Change::SeesIntoTags,
        Change::SeesIntoTags => Change::CodePoint,
        Change::CodePoint => Change::Encapsulated,
        Change::Encapsulated => Change::ArpMask,
        Change::ArpMask => Change::AuthenticationHeader,
        Change::AuthenticationHeader => Change::PortNegation,
        Change::PortNegation => Change::Works,
        Change::Works => Change::SeenToBegin,
        Change::SeenToBegin => Change::ErrorsAreRelated,
        Change::ErrorsAreRelated => Change::CountsConnections,
        Change::CountsConnections => Change::KernelSet,
        Change::KernelSet => Change::SetNegation,
        Change::SetNegation => return None,
    })
}

#[test]
fn the_table_of_differences_has_all_that_import_names() {
    let text = page("from-libvirt.md");
    filters(&text);
    let listed: Vec<String> = table(&text, "What differs").into_iter().map(|row| row[0].clone()).collect();
    let all: Vec<String> = std::iter::successors(Some(Change::NotMirrored), |change| next(*change))
        .map(|change| format!("`{change:?}`"))
        .collect();
    assert_eq!(listed, all);
}
