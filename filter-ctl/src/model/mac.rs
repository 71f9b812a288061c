//! MAC addresses (IEEE 802 clause 8).

use std::fmt;
use std::str::FromStr;

use super::{Value, ValueError, Variable};

/// A MAC address, or a mask of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Its 48 bits as a number, the first byte being the most significant.
    pub fn bits(self) -> u64 {
        self.0.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte))
    }

    /// Whether it addresses a group: multicast or broadcast.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it is `00:00:00:00:00:00`.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.0.map(|byte| format!("{byte:02x}"));
        f.pad(&groups.join(":"))
    }
}

impl FromStr for MacAddr {
    type Err = ValueError;

    /// Six groups of one or two hexadecimal digits, between them `:` or `-`, the same one throughout.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut groups = text.split(separator);
        for byte in &mut bytes {
            *byte = groups.next().and_then(group).ok_or_else(|| ValueError::new(text, Self::EXPECTED))?;
        }
        match groups.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(ValueError::new(text, Self::EXPECTED)),
        }
    }
}

fn group(text: &str) -> Option<u8> {
    let plain = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

impl Value for MacAddr {
    const EXPECTED: &'static str = "a MAC address such as `52:54:00:12:34:56`";

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse()
    }

    fn may_be(variable: &Variable) -> bool {
        matches!(variable, Variable::ThisMac | Variable::User(_))
    }
}

#[cfg(test)]
mod tests {
    use super::MacAddr;

    #[test]
    fn separators_and_short_groups() {
        let mac = MacAddr([0x52, 0x54, 0, 1, 0xa, 0xff]);
        for text in ["52:54:00:01:0a:ff", "52-54-00-01-0A-FF", "52:54:0:1:a:FF"] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        assert_eq!(mac.to_string(), "52:54:00:01:0a:ff");
        for wrong in [
            "",
            "52:54:00:01:0a",
            "52:54:00:01:0a:ff:00",
            "52:54-00:01:0a:ff",
            "525400010aff",
            "52:54:00:01:0a:fff",
            "52:54:00:01:0a:",
            "52:54:00:01:0a:+f",
            "52:54:00:01:0a:ff ",
        ] {
            assert!(wrong.parse::<MacAddr>().is_err(), "{wrong}");
        }
    }
}
