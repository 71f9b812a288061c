//! Which of a packet's addresses are the port's own: the bits of [`own`].
//!
//! They are found out before every walk, so only those that the packet's class has are compared, and two words
//! of the key at a time.

use crate::forget::forget;
use crate::key::{flags, own, word};
use crate::record::OWN_ADDRESSES;
use crate::{Class, Key, PortRecord};

/// All that [`own`] bits can be.
const ANY_OWN: i32 = 0x3ff;

/// Compares the packet's addresses with the port's own, as far as they were given. `mac` is the port's MAC address as two
/// words of a key ([`Key::pair`]), 0 if there is none.
#[inline(always)]
pub(crate) fn own_bits(record: &PortRecord, mac: u64, class: Class, key: &Key) -> u32 {
    let frame = mac_bits(mac, word::SRC_MAC_HI, own::SRC_MAC, key)
        | mac_bits(mac, word::DST_MAC_HI, own::DST_MAC, key);
    if class.is_ipv4() {
        return ip4_bits(record, frame, key);
    }
    if class.is_ipv6() {
        let mut bits = frame;
        if mac != 0 {
            bits |= link_local_bits(mac, class, key);
        }
        if class as u32 == Class::Ipv6Icmp as u32 {
            bits |= inner_mac_bits(mac, key);
        }
        return ip6_bits(record, bits, class, key);
    }
    if key.get(word::FLAGS) & flags::ARP_ADDRESSES != 0 {
        return ip4_bits(record, frame | inner_mac_bits(mac, key), key);
    }
    frame
}

/// `bit` if the address at `first` of the key is `mac`, and that is not 0.
#[inline(always)]
fn mac_bits(mac: u64, first: u32, bit: u32, key: &Key) -> u32 {
    if key.pair(first) == mac && mac != 0 { bit } else { 0 }
}

#[inline(always)]
fn inner_mac_bits(mac: u64, key: &Key) -> u32 {
    if mac == 0 {
        return 0;
    }
    let mac = mac | u64::from(flags::PRESENT_MAC);
    mac_bits(mac, word::INNER_SRC_MAC_HI, own::INNER_SRC_MAC, key)
        | mac_bits(mac, word::INNER_DST_MAC_HI, own::INNER_DST_MAC, key)
}

#[inline(always)]
fn ip4_bits(record: &PortRecord, mut bits: u32, key: &Key) -> u32 {
    let (source, destination) = (key.get(word::SRC_IP), key.get(word::DST_IP));
    let is = |address| {
        (if source == address { own::SRC_IP } else { 0 })
            | (if destination == address { own::DST_IP } else { 0 })
    };
    for i in 0..OWN_ADDRESSES {
        if i >= record.ip4_count as usize {
            break;
        }
        bits |= is(record.ip4[i]);
        bits = forget::<ANY_OWN>(bits as usize, record.zero as usize) as u32;
    }
    bits
}

#[inline(always)]
fn ip6_bits(record: &PortRecord, mut bits: u32, class: Class, key: &Key) -> u32 {
    for i in 0..OWN_ADDRESSES {
        if i >= record.ip6_count as usize {
            break;
        }
        let address = &record.ip6[i];
        bits |= ip6(address, class, key, [own::SRC_IP, own::DST_IP, own::ND_TARGET]);
        bits = forget::<ANY_OWN>(bits as usize, record.zero as usize) as u32;
    }
    bits
}

#[inline(always)]
fn link_local_bits(mac: u64, class: Class, key: &Key) -> u32 {
    let address = link_local(mac as u32, (mac >> 32) as u32);
    ip6(&address, class, key, [own::SRC_LINK_LOCAL, own::DST_LINK_LOCAL, own::ND_TARGET_LINK_LOCAL])
}

/// The bits for a source, a destination and a neighbour discovery target that is this address.
#[inline(always)]
fn ip6(address: &[u32; 4], class: Class, key: &Key, [source, destination, target]: [u32; 3]) -> u32 {
    let pair = |first: usize| u64::from(address[first]) | u64::from(address[first + 1]) << 32;
    let (first, second) = (pair(0), pair(2));
    let is = |position, bit| {
        if key.pair(position + 2) == second && key.pair(position) == first { bit } else { 0 }
    };
    let mut bits = is(word::SRC_IP, source) | is(word::DST_IP, destination);
    if class as u32 == Class::Ipv6Icmp as u32 {
        bits |= is(word::ND_TARGET, target);
    }
    bits
}

/// The link-local address made from a MAC address: `fe80::` and the modified EUI-64 identifier.
#[inline(always)]
const fn link_local(mac_hi: u32, mac_lo: u32) -> [u32; 4] {
    [0xfe80_0000, 0, (mac_hi ^ 0x0200) << 16 | (mac_lo >> 24) << 8 | 0xff, 0xfe00_0000 | mac_lo & 0x00ff_ffff]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_follows_rfc_4291() {
        assert_eq!(link_local(0x5254, 0x0012_3456), [0xfe80_0000, 0, 0x5054_00ff, 0xfe12_3456]);
    }
}
