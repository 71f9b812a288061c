//! Names of profiles, entries and variables.

use std::fmt;
use std::str::FromStr;

use super::{Term, ValueError};

/// Longest name of an entry or variable.
const MAX_NAME: usize = 64;
/// Longest name of a profile. With an ending it is the name of a file.
const MAX_PROFILE_NAME: usize = 128;

/// Printable ASCII but `/`, and but what XML has to escape. It begins with no dot, which would hide a file, and
/// no dash, which would be an option, and neither begins nor ends with a blank: a name of a file, never a path.
fn is_profile_name(text: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !b"/<>&\"'".contains(&byte);
    text.len() <= MAX_PROFILE_NAME
        && text.bytes().all(plain)
        && text.starts_with(|first| !matches!(first, '.' | '-' | ' '))
        && !text.ends_with(' ')
}

/// Letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Letters, digits and `_`, beginning with no digit, and none of the names that already mean something.
fn is_variable(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !matches!(text, "mac_address" | "ip_address")
        && !text.starts_with(Term::<super::MacAddr>::OWN_PREFIX)
}

macro_rules! name {
    ($(#[$attribute:meta])* $name:ident, $is:expr, $expected:literal) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                if $is(text) { Ok(Self(text.to_owned())) } else { Err(ValueError::new(text, $expected)) }
            }
        }
    };
}

name! {
    /// The name of a profile. Names are names, never paths: no `/`, no leading dot.
    ProfileName, is_profile_name,
    "a profile name: at most 128 printable ASCII characters without `/`, `<`, `>`, `&` and quotes, beginning with no \
     `.`, `-` or blank, and ending with no blank"
}

name! {
    /// The name of an entry within its profile.
    EntryName, is_name,
    "an entry name: at most 64 letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
}

name! {
    /// The name of a user's parameter, written `$NAME` where its value is meant.
    VariableName, is_variable,
    "a parameter name: at most 64 letters, digits and `_`, beginning with no digit; `THIS_…`, `mac_address` \
     and `ip_address` have a meaning already"
}

impl VariableName {
    /// The name of a parameter that a port is given, where libvirt's names may stand, which are wider: letters,
    /// digits and `_` in any order. What cannot be written as `$NAME` in a pool can be in a filter.
    pub fn of_port(text: &str) -> Result<Self, ValueError> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(text, "a parameter name: letters, digits and `_`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryName, ProfileName, VariableName};

    #[test]
    fn names_are_no_paths() {
        let long = "a".repeat(128);
        for text in ["generic-layer2", "VM-specific-layer3", "a", "0.1_b", "_x", "a b", "(1) x:%$\\", &long] {
            assert_eq!(text.parse::<ProfileName>().map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for wrong in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../a",
            " a",
            "a ",
            "-a",
            "ä",
            "a\n",
            "a\tb",
            "a'b",
            "a\"b",
            "a&b",
            "<a>",
            "a\u{7f}",
            &"a".repeat(129),
        ] {
            assert!(wrong.parse::<ProfileName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn entries() {
        assert!("a-1".parse::<EntryName>().is_ok());
        for wrong in ["", "a b", "_a", &"a".repeat(65)] {
            assert!(wrong.parse::<EntryName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables() {
        assert!("_DNS_1".parse::<VariableName>().is_ok());
        for wrong in ["", "1a", "a-b", "THIS_IP", "THIS_X", "mac_address", "$a"] {
            assert!(wrong.parse::<VariableName>().is_err(), "{wrong}");
        }
        for name in ["_DNS_1", "1a", "THIS_IP", "mac_address", &"a".repeat(100)] {
            assert_eq!(VariableName::of_port(name).map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for wrong in ["", "a-b", "$a", "a b"] {
            assert!(VariableName::of_port(wrong).is_err(), "{wrong}");
        }
    }
}
