//! Errors of ICMP about a conversation: those that quote what was said pass, and others do not.

use std::net::IpAddr;

use filter_tests::frames::{Ipv4, Ipv6, PEER_IP6, VM_IP6, icmp_error, icmp6_error, protocol};
use filter_tests::hosts::{Far, Way, bulk, connect, listen};
use filter_tests::net::SOON;
use filter_tests::scene::{to_vm4, to_vm6};

use super::keeper::{FAMILIES, Story, at, kept};

/// Bytes of an Ethernet header.
const LINK: usize = 14;

/// The guest finds out by a router's error that the way is narrow, and sends smaller packets.
#[test]
fn the_way_is_found_to_be_narrow() {
    kept("narrow", |story| {
        let far = Far::new(story.hosts);
        let guest = &story.hosts.guest;
        for address in [IpAddr::from(Far::IP4), IpAddr::from(Far::IP6)] {
            let listener = far.namespace.run(|| listen(at(address, 443)));
            guest.cable.watch();
            guest.namespace.run(|| bulk(&listener, || connect(at(address, 443), SOON).unwrap(), 1 << 20));
            let told = |frame: &&Vec<u8>| match address {
                IpAddr::V4(_) => frame.get(23) == Some(&1) && frame.get(34..36) == Some(&[3, 4]),
                IpAddr::V6(_) => frame.get(20) == Some(&58) && frame.get(54) == Some(&2),
            };
            assert!(guest.cable.seen(Way::ToHost).iter().filter(told).count() > 0, "{address}");
        }
    });
}

/// A packet too big, or the like, about `packet`, from the neighbour to the guest; it quotes so much of it.
fn error_quoting(packet: &[u8], quote: &[u8]) -> Vec<u8> {
    let size = 1280u32.to_be_bytes();
    if packet[0] >> 4 == 4 {
        to_vm4(&Ipv4 { protocol: protocol::ICMP, ..Ipv4::default() }, icmp_error(3, 4, size, quote))
    } else {
        let ip = Ipv6 { protocol: protocol::ICMP6, source: PEER_IP6, destination: VM_IP6, ..Ipv6::default() };
        to_vm6(&ip, icmp6_error(2, 0, size, quote))
    }
}

fn error_about(packet: &[u8]) -> Vec<u8> {
    error_quoting(packet, packet)
}

/// Where a packet has its addresses, how long each is, and where what is above begins.
fn layout(packet: &[u8]) -> (usize, usize, usize) {
    if packet[0] >> 4 == 4 { (12, 4, 20) } else { (8, 16, 40) }
}

fn swapped(packet: &[u8]) -> Vec<u8> {
    let (at, length, upper) = layout(packet);
    let mut swapped = packet.to_vec();
    let (source, destination) = swapped[at..at + 2 * length].split_at_mut(length);
    source.swap_with_slice(destination);
    swapped[upper..upper + 4].rotate_left(2);
    swapped
}

fn patched(packet: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    filter_tests::frames::patched(packet.to_vec(), at, bytes)
}

/// Quotes of what was not said: close to what was, each in one point another.
fn forged(packet: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (addresses, length, upper) = layout(packet);
    let other = vec![7; length];
    let protocol = if length == 4 { 9 } else { 6 };
    let short = |bytes: usize| packet[..upper + bytes].to_vec();
    let quotes = vec![
        ("another source port", patched(packet, upper, &[0, 7])),
        ("another destination port", patched(packet, upper + 2, &[0, 7])),
        ("another destination", patched(packet, addresses + length, &other)),
        ("another source", patched(packet, addresses, &other)),
        ("another protocol", patched(packet, protocol, &[17])),
        ("what the neighbour sent itself", swapped(packet)),
        ("a header alone", short(0)),
        ("half a header", packet[..upper / 2].to_vec()),
        ("nothing", Vec::new()),
        ("an error about it", {
            let error = error_about(&packet[..upper + 8]);
            error[LINK..].to_vec()
        }),
    ];
    quotes.into_iter().map(|(what, quote)| (what, error_quoting(packet, &quote))).collect()
}

/// The last packet of the guest's that ends in `text`.
fn said_by_guest(story: &Story<'_>, text: &[u8]) -> Vec<u8> {
    let frame =
        story.hosts.guest.cable.see(Way::FromHost, "what the guest says", |seen| seen.ends_with(text));
    frame[LINK..].to_vec()
}

#[test]
fn errors_pass_that_quote_what_was_said_and_no_others() {
    kept("quotes", |story| {
        let (guest, peer) = (&story.hosts.guest, &story.hosts.peer);
        for (_, other) in FAMILIES {
            let listener = peer.namespace.run(|| listen(at(other, 8085)));
            let stream = guest.namespace.run(|| connect(at(other, 8085), SOON).unwrap());
            let _accepted = listener.accept().unwrap();
            guest.cable.watch();
            std::io::Write::write_all(&mut &stream, b"quote me").unwrap();
            let packet = said_by_guest(story, b"quote me");
            story.never_get_in(&forged(&packet));
            story.gets_in("an error about what was said", &error_about(&packet));
        }
    });
}
