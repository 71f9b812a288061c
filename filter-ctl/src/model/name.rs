//! Names of profiles, entries and variables.

use std::fmt;
use std::str::FromStr;

use super::{Term, ValueError};

/// Longest name.
const MAX_NAME: usize = 64;

/// Letters, digits, `.`, `_` and `-`, beginning with a letter or digit: a name of a file, never a path.
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
    ProfileName, is_name,
    "a profile name: at most 64 letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
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

#[cfg(test)]
mod tests {
    use super::{ProfileName, VariableName};

    #[test]
    fn names_are_no_paths() {
        for text in ["generic-layer2", "VM-specific-layer3", "a", "0.1_b"] {
            assert_eq!(text.parse::<ProfileName>().map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["", ".", "..", ".hidden", "a/b", "../a", "a b", "-a", "ä", &"a".repeat(65)] {
            assert!(wrong.parse::<ProfileName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables() {
        assert!("_DNS_1".parse::<VariableName>().is_ok());
        for wrong in ["", "1a", "a-b", "THIS_IP", "THIS_X", "mac_address", "$a"] {
            assert!(wrong.parse::<VariableName>().is_err(), "{wrong}");
        }
    }
}
