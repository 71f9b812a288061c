//! Literal frames: what is read of them, what a port learns of them, and what a policy makes of them. The guard
//! has its own catalogue of frames in the tests crate.

use std::net::Ipv4Addr;

use filter_common::{Cause, Direction, DropReason, Outcome, Verdict};

use super::{Learned, Learning, Packet, Port, VlanTag, judge};
use crate::policy::{Atom, Field, Policy, Program, Rule, RuleKind, Step, Test, Then, When};

const VM: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
const VM_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// UDP from 192.0.2.10 to 192.0.2.20, port 20001 to 5000.
const DATAGRAM: &str =
    "525400aabbcc5254001234560800 4500002300010000 4011f6aac000020ac0000214 4e211388000f3b77 4d303030303031";
/// The same in VLAN 5, priority 3.
const TAGGED: &str = "525400aabbcc525400123456 81006005 0800 4500002300010000 4011f6aac000020ac0000214 4e211388000f3b77 \
     4d303030303031";
/// The virtual machine asks for 192.0.2.20.
const ARP: &str = "ffffffffffff5254001234560806 0001080006040001 525400123456c000020a 000000000000c0000214";
/// A DHCP request from 0.0.0.0, cut behind the UDP header.
const DHCP: &str = "ffffffffffff5254001234560800 4500001c00010000 40117abd00000000ffffffff 0044004300080000";
/// An answer to it.
const DHCP_ANSWER: &str =
    "525400123456525400fe00010800 4500001c00010000 4011f6b1c0000201c000020a 0043004400080000";
/// The virtual machine asks for `2001:db8::20`, with its link-layer address.
const SOLICITATION: &str = "3333ff00002052540012345686dd 6000000000203aff 20010db8000000000000000000000010 \
     ff0200000000000000000001ff000020 870000000000000020010db8000000000000000000000020 0101525400123456";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(|digits| pair(digits).expect("hexadecimal digits")).collect()
}

fn fields(hex: &str, tci: Option<u16>, strict: bool) -> String {
    let tag = tci.map(|tci| VlanTag { ether_type: 0x88a8, tci });
    let fields = Packet::read(&bytes(hex), tag, strict).fields();
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

fn step(when: Vec<Test>, rule: u32, then: Then) -> Step {
    Step::new(when.into_iter().map(When::Is).collect(), Some(rule), then)
}

fn is(field: Field, value: Atom) -> Test {
    Test::is(field, value)
}

/// The same steps in both directions, and rule 9 drops what is left.
fn policy(mut steps: Vec<Step>) -> Policy {
    steps.push(step(Vec::new(), 9, Then::Verdict(Verdict::Drop)));
    let rule = |number: u32| Rule {
        profile: "p".into(),
        kind: RuleKind::Entry(format!("#{number}")),
        identity: number.to_string(),
    };
    let program = Program { steps };
    Policy { rules: (0..10).map(rule).collect(), programs: [program.clone(), program] }
}

/// Sends a frame; whoever decided, and the rules on the way.
fn send(policy: &Policy, port: &mut Port, direction: Direction, hex: &str) -> (Outcome, Vec<u32>) {
    let judgement = judge(policy, port, direction, &bytes(hex), None);
    (judgement.outcome, judgement.hits)
}

fn by_rule(verdict: Verdict, rule: u32) -> Outcome {
    Outcome { verdict, cause: Cause::Rule(rule) }
}

#[test]
fn fields_in_words() {
    assert_eq!(
        fields(DATAGRAM, None, true),
        "src-mac=52:54:00:12:34:56 dst-mac=52:54:00:aa:bb:cc ether-type=0x0800 src-ip=192.0.2.10 \
         dst-ip=192.0.2.20 dscp=0 protocol=17 src-port=20001 dst-port=5000"
    );
    assert_eq!(
        fields(ARP, Some(0x6005), true),
        "src-mac=52:54:00:12:34:56 dst-mac=ff:ff:ff:ff:ff:ff vlan-type=0x88a8 vlan=5 vlan-priority=3 ether-type=0x0806 \
         arp-hardware=1 arp-protocol=0x0800 arp-opcode=1 arp-src-mac=52:54:00:12:34:56 arp-src-ip=192.0.2.10 \
         arp-dst-mac=00:00:00:00:00:00 arp-dst-ip=192.0.2.20"
    );
    assert_eq!(
        fields(SOLICITATION, None, true),
        "src-mac=52:54:00:12:34:56 dst-mac=33:33:ff:00:00:20 ether-type=0x86dd src-ip=2001:db8::10 \
         dst-ip=ff02::1:ff00:20 dscp=0 hop-limit=255 protocol=58 icmp-type=135 icmp-code=0 \
         nd-target=2001:db8::20 nd-link-layer=52:54:00:12:34:56"
    );
}

#[test]
fn tags_are_looked_through_only_where_strict() {
    let inside = "ether-type=0x0800 src-ip=192.0.2.10 dst-ip=192.0.2.20 dscp=0 protocol=17 src-port=20001 \
                  dst-port=5000";
    let outside = |kind: &str| {
        format!("src-mac=52:54:00:12:34:56 dst-mac=52:54:00:aa:bb:cc vlan-type={kind} vlan=5 vlan-priority=3")
    };
    let (customer, service) = (outside("0x8100"), outside("0x88a8"));
    assert_eq!(fields(TAGGED, None, true), format!("{customer} {inside}"));
    assert_eq!(fields(DATAGRAM, Some(0x6005), true), format!("{service} {inside}"));
    assert_eq!(fields(TAGGED, None, false), format!("{customer} ether-type=0x8100"));
    assert_eq!(fields(DATAGRAM, Some(0x6005), false), format!("{service} ether-type=0x88a8"));
}

#[test]
fn steps_count_jump_and_decide() {
    let udp = || is(Field::Protocol, Atom::Range(17, 17));
    let to_5000 = || is(Field::DstPort, Atom::Range(4000, 5000));
    let policy = policy(vec![
        step(vec![udp()], 0, Then::Go(1)),
        step(
            vec![udp(), is(Field::SrcIp, Atom::Ip4 { value: 0xc000_0200, mask: 0xffff_ff00 })],
            1,
            Then::Go(3),
        ),
        step(Vec::new(), 2, Then::Verdict(Verdict::Drop)),
        step(vec![is(Field::NdTarget, Atom::Range(0, 1))], 3, Then::Verdict(Verdict::Drop)),
        step(vec![to_5000(), udp()], 4, Then::Verdict(Verdict::Pass)),
    ]);
    let mut port = Port { strict: true, ..Port::default() };
    let found = send(&policy, &mut port, Direction::Out, DATAGRAM);
    assert_eq!(found, (by_rule(Verdict::Pass, 4), vec![0, 1]));
    assert_eq!(send(&policy, &mut port, Direction::In, ARP), (by_rule(Verdict::Drop, 2), vec![]));
}

#[test]
fn own_addresses_are_what_was_given() {
    let own = policy(vec![
        step(
            vec![is(Field::SrcMac, Atom::OwnMac), is(Field::SrcIp, Atom::OwnIp)],
            0,
            Then::Verdict(Verdict::Pass),
        ),
        step(vec![is(Field::NdLinkLayer, Atom::OwnMac)], 1, Then::Verdict(Verdict::Pass)),
    ]);
    let mut port = Port { strict: true, mac: Some(VM), addresses: vec![VM_IP.into()], ..Port::default() };
    let rule = |port: &mut Port, hex| send(&own, port, Direction::Out, hex).0;
    assert_eq!(rule(&mut port, DATAGRAM), by_rule(Verdict::Pass, 0));
    assert_eq!(rule(&mut port, SOLICITATION), by_rule(Verdict::Pass, 1));
    // ARP has no IP source address.
    assert_eq!(rule(&mut port, ARP), by_rule(Verdict::Drop, 9));
    port.mac = None;
    assert_eq!(rule(&mut port, DATAGRAM), by_rule(Verdict::Drop, 9));
}

#[test]
fn a_malformed_frame_dies_before_any_rule() {
    let all = policy(vec![step(Vec::new(), 0, Then::Verdict(Verdict::Pass))]);
    let cut = &DATAGRAM[..79];
    let mut port = Port { strict: true, ..Port::default() };
    let found = send(&all, &mut port, Direction::Out, cut);
    assert_eq!(found, (Outcome::guard(DropReason::IpTotalLength), vec![]));
    port.strict = false;
    assert_eq!(send(&all, &mut port, Direction::Out, cut), (by_rule(Verdict::Pass, 0), vec![]));
}

#[test]
fn the_first_sound_frame_of_the_guest_teaches_its_mac() {
    let own = policy(vec![step(vec![is(Field::SrcMac, Atom::OwnMac)], 0, Then::Verdict(Verdict::Pass))]);
    let mut port = Port { learn_mac: true, ..Port::default() };
    let unknown = (Outcome::guard(DropReason::NotLearned), vec![]);
    assert_eq!(send(&own, &mut port, Direction::In, DATAGRAM), unknown);
    assert_eq!(send(&own, &mut port, Direction::Out, &DATAGRAM[..79]), unknown, "it is cut off");
    assert_eq!(send(&own, &mut port, Direction::Out, TAGGED), (by_rule(Verdict::Pass, 0), vec![]));
    assert_eq!(port.learned, Learned { mac: Some(VM), ..Learned::default() });
    let other = DATAGRAM.replace("525400123456", "525400123457");
    assert_eq!(send(&own, &mut port, Direction::Out, &other), (by_rule(Verdict::Drop, 9), vec![]));
    assert_eq!(port.learned.mac, Some(VM));
}

#[test]
fn an_address_is_learned_from_arp_or_ip_and_dhcp_may_pass_before() {
    let all = policy(vec![step(Vec::new(), 0, Then::Verdict(Verdict::Pass))]);
    let unknown = (Outcome::guard(DropReason::NotLearned), vec![]);
    let passes = (by_rule(Verdict::Pass, 0), vec![]);
    let learning = Learning { ip4_max: 1, ..Learning::default() };
    let fresh = Port { strict: true, mac: Some(VM), learn_ip4: true, learning, hz: 250, ..Port::default() };
    let known = |port: &Port| port.learned.ip4[0].known.map(|known| known.address);
    let mut port = fresh.clone();
    for (direction, hex) in [
        (Direction::In, DATAGRAM),
        (Direction::In, DHCP),
        (Direction::Out, DHCP_ANSWER),
        (Direction::Out, &ARP.replace("525400123456c0", "525400123457c0")),
        (Direction::Out, &DATAGRAM.replace("525400123456", "525400123457")),
    ] {
        assert_eq!(send(&all, &mut port, direction, hex), unknown, "{direction} {hex}");
    }
    assert_eq!(send(&all, &mut port, Direction::Out, DHCP), passes);
    assert_eq!(send(&all, &mut port, Direction::In, DHCP_ANSWER), passes);
    assert_eq!(known(&port), None);
    for hex in [ARP, DATAGRAM] {
        let mut port = fresh.clone();
        assert_eq!(send(&all, &mut port, Direction::Out, hex), passes);
        assert_eq!(known(&port), Some(VM_IP));
        assert_eq!(send(&all, &mut port, Direction::In, DATAGRAM), passes);
    }
}
