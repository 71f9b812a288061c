//! The packet that an ICMP error quotes: its IP header and the first bytes behind it.
//!
//! The rest of it is mostly cut off, so the lengths that it states are not held against anything.

use std::net::IpAddr;

use super::packet::Quote;
use super::read::{ip4_at, ip6_at, u16_at};

/// Bytes of an error before what it quotes.
const ERROR_HEADER: usize = 8;
/// Extension headers that are looked through.
const MAX_EXTENSIONS: usize = 4;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Whether an ICMP or ICMPv6 message of this type is an error, which quotes a packet.
pub(super) fn is_error(kind: u8, six: bool) -> bool {
    if six { matches!(kind, 1..=4) } else { matches!(kind, 3 | 4 | 5 | 11 | 12) }
}

/// What an ICMP or ICMPv6 message quotes. `None` where it is no error, or does not tell enough: nothing can be said
/// of a fragment but the first.
pub(super) fn read(message: &[u8], six: bool) -> Option<Quote> {
    if !is_error(*message.first()?, six) {
        return None;
    }
    let quoted = message.get(ERROR_HEADER..)?;
    if six { read6(quoted) } else { read4(quoted) }
}

fn read4(quoted: &[u8]) -> Option<Quote> {
    let header = quoted.get(..20)?;
    let header_length = usize::from(header[0] % 16) * 4;
    let position = u16_at(header, 6) % 0x2000;
    if header[0] / 16 != 4 || header_length < 20 || position != 0 {
        return None;
    }
    Some(Quote {
        source: IpAddr::V4(ip4_at(header, 12)),
        destination: IpAddr::V4(ip4_at(header, 16)),
        protocol: header[9],
        head: head(quoted, header_length)?,
    })
}

fn read6(quoted: &[u8]) -> Option<Quote> {
    let header = quoted.get(..40)?;
    if header[0] / 16 != 6 {
        return None;
    }
    let (mut protocol, mut start) = (header[6], 40);
    let (mut extensions, mut fragments) = (0, 0);
    while matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS) {
        let extension = quoted.get(start..start + 8)?;
        extensions += 1;
        fragments += usize::from(protocol == FRAGMENT);
        if extensions > MAX_EXTENSIONS || fragments > 1 {
            return None;
        }
        if protocol == FRAGMENT {
            if u16_at(extension, 2) / 8 != 0 {
                return None;
            }
            start += 8;
        } else {
            start += usize::from(extension[1]) * 8 + 8;
        }
        protocol = extension[0];
    }
    Some(Quote {
        source: IpAddr::V6(ip6_at(header, 8)),
        destination: IpAddr::V6(ip6_at(header, 24)),
        protocol,
        head: head(quoted, start)?,
    })
}

fn head(quoted: &[u8], start: usize) -> Option<[u8; 8]> {
    quoted.get(start..start + 8)?.try_into().ok()
}
