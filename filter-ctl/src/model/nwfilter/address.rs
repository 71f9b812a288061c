//! Addresses and masks, as the system's C library reads and prints them.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Defect, number};
use crate::model::MacAddr;

/// Six groups of one or two hexadecimal digits with `:` between them. Blanks may follow.
pub(super) fn read_mac(text: &str) -> Option<MacAddr> {
    let mut bytes = [0; 6];
    let mut groups = text.trim_end_matches(number::is_blank).split(':');
    for byte in &mut bytes {
        let group = groups.next()?;
        let plain = matches!(group.len(), 1 | 2) && group.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = plain.then(|| u8::from_str_radix(group, 16).ok()).flatten()?;
    }
    groups.next().is_none().then_some(MacAddr(bytes))
}

/// A MAC address of ones, then zeros.
pub(super) fn read_mac_mask(text: &str) -> Option<MacAddr> {
    read_mac(text).filter(|mask| leading_ones(mask.bits().into(), 48).is_some())
}

/// One to four numbers with `.` between them, the last of which fills what is left of the address; each is
/// octal after a zero and hexadecimal after `0x`. An IPv4 address within IPv6 (`::ffff:10.1.2.3`) is one too.
pub(super) fn read_ip4(text: &str) -> Option<(Ipv4Addr, Option<Defect>)> {
    if text.contains(':') {
        return Some((text.parse::<Ipv6Addr>().ok()?.to_ipv4_mapped()?, None));
    }
    let parts: Vec<Part> = text.split('.').map(Part::read).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    let mut bits: u64 = 0;
    for part in first {
        bits = bits << 8 | u64::from(u8::try_from(part.value).ok()?);
    }
    let left = 32_u32.checked_sub(8 * u32::try_from(first.len()).ok()?).filter(|&left| left > 0)?;
    if u64::from(last.value) >> left != 0 {
        return None;
    }
    bits = bits << left | u64::from(last.value);
    let defect = if parts.iter().any(|part| part.octal) {
        Some(Defect::OctalAddress)
    } else if parts.len() < 4 && !(first.is_empty() && last.hexadecimal) {
        Some(Defect::ShortAddress)
    } else {
        None
    };
    Some((Ipv4Addr::from_bits(bits as u32), defect))
}

/// A number of an IPv4 address.
struct Part {
    value: u32,
    /// Whether it is octal, and another number than if it were decimal.
    octal: bool,
    hexadecimal: bool,
}

impl Part {
    fn read(text: &str) -> Option<Self> {
        let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => (digits, 16),
            None if text.len() > 1 && text.starts_with('0') => (text, 8),
            None => (text, 10),
        };
        if !digits.chars().all(|digit| digit.is_digit(radix)) {
            return None;
        }
        let value = u32::from_str_radix(digits, radix).ok()?;
        let octal = radix == 8 && text.parse() != Ok(value);
        Some(Self { value, octal, hexadecimal: radix == 16 })
    }
}

/// A prefix length, or an address of ones, then zeros.
pub(super) fn read_ip4_mask(text: &str) -> Option<(u8, Option<Defect>)> {
    if let Some(written) = number::read(text, 10) {
        return prefix(written, 32);
    }
    let (mask, defect) = read_ip4(text)?;
    Some((leading_ones(mask.to_bits().into(), 32)?, defect))
}

/// A prefix length, or an address of ones, then zeros.
pub(super) fn read_ip6_mask(text: &str) -> Option<(u8, Option<Defect>)> {
    if let Some(written) = number::read(text, 10) {
        return prefix(written, 128);
    }
    Some((leading_ones(text.parse::<Ipv6Addr>().ok()?.to_bits(), 128)?, None))
}

fn prefix(written: number::Written, most: u32) -> Option<(u8, Option<Defect>)> {
    let length = u8::try_from(written.value).ok().filter(|_| written.value <= most)?;
    Some((length, written.wrapped.then_some(Defect::NegativeNumber)))
}

/// How many ones the number begins with, if all after them are zeros.
fn leading_ones(bits: u128, width: u32) -> Option<u8> {
    let aligned = bits << (128 - width);
    let ones = aligned.leading_ones();
    (ones + aligned.trailing_zeros() >= 128 || bits == 0).then_some(ones as u8)
}

/// The text of an IPv6 address. Unlike the standard library it ends in an IPv4 address if all but the last two
/// groups are zero, and the last but one is not.
pub(super) fn write_ip6(address: Ipv6Addr) -> String {
    let segments = address.segments();
    if segments[..6] == [0; 6] && segments[6] != 0 {
        format!("::{}", Ipv4Addr::from_bits(address.to_bits() as u32))
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip4_forms() {
        let plain = |text: &str| Some((text.parse().unwrap(), None));
        assert_eq!(read_ip4("10.1.2.3"), plain("10.1.2.3"));
        assert_eq!(read_ip4("0xa.1.2.3"), plain("10.1.2.3"));
        assert_eq!(read_ip4("10.01.02.03"), plain("10.1.2.3"));
        assert_eq!(read_ip4("0x0a010203"), plain("10.1.2.3"));
        assert_eq!(read_ip4("::ffff:10.1.2.3"), plain("10.1.2.3"));
        let octal = Some((Ipv4Addr::new(8, 1, 2, 3), Some(Defect::OctalAddress)));
        assert_eq!(read_ip4("010.001.002.003"), octal);
        let short = |address| Some((address, Some(Defect::ShortAddress)));
        assert_eq!(read_ip4("10"), short(Ipv4Addr::new(0, 0, 0, 10)));
        assert_eq!(read_ip4("192.0.2"), short(Ipv4Addr::new(192, 0, 0, 2)));
        assert_eq!(read_ip4("10.65536"), short(Ipv4Addr::new(10, 1, 0, 0)));
        for wrong in [
            "",
            ".",
            "10.",
            "256.1.1.1",
            "10.1.2.3.4",
            "10.1.2.3 ",
            "08.1.1.1",
            "0x.1.1.1",
            "1.16777216",
            "4294967296",
            "::1",
            "10.1.2.3/24",
            "+1.1.1.1",
        ] {
            assert_eq!(read_ip4(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn masks() {
        assert_eq!(read_ip4_mask("0xffffff00"), Some((24, None)));
        assert_eq!(read_ip4_mask("0.0.0.0"), Some((0, None)));
        assert_eq!(read_ip4_mask("255.255.255.255"), Some((32, None)));
        assert_eq!(read_ip6_mask("::"), Some((0, None)));
        assert_eq!(read_ip6_mask("ffff:8000::"), Some((17, None)));
        assert_eq!(read_mac_mask("80:0:0:0:0:0"), Some(MacAddr([0x80, 0, 0, 0, 0, 0])));
        for wrong in ["", "33", "-1", "/24", "255.0.255.0", "0.0.0.255"] {
            assert_eq!(read_ip4_mask(wrong), None, "{wrong:?}");
        }
        for wrong in ["129", "ffff:0:ffff::", "255.0.0.0"] {
            assert_eq!(read_ip6_mask(wrong), None, "{wrong:?}");
        }
        for wrong in ["0:0:0:0:0:1", "ff:0:ff:0:0:0", "24"] {
            assert_eq!(read_mac_mask(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn ip6_is_printed_as_the_c_library_does() {
        for text in ["::", "::1", "::ffff", "::10.1.2.3", "::0.1.0.0", "::ffff:10.1.2.3", "a:b::a01:203"] {
            assert_eq!(write_ip6(text.parse().unwrap()), text);
        }
        assert_eq!(write_ip6("0:0:1::".parse().unwrap()), "0:0:1::");
    }
}
