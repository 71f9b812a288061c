//! Names of sets.

use std::fmt;
use std::str::FromStr;

use crate::model::{MacAddr, Term, Value, ValueError, Variable};

/// The longest name that the kernel's own sets can have.
const MAX_SET_NAME: usize = 31;

/// The name of a set: what filters of libvirt can name, and what is a file's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetName(String);

impl SetName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_set_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:+- ".contains(&byte);
    text.len() <= MAX_SET_NAME
        && text.bytes().all(plain)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && !text.ends_with(' ')
        && !text.starts_with(Term::<MacAddr>::OWN_PREFIX)
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for SetName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if is_set_name(text) { Ok(Self(text.to_owned())) } else { Err(ValueError::new(text, Self::EXPECTED)) }
    }
}

impl Value for SetName {
    const EXPECTED: &'static str = "the name of a set: at most 31 letters, digits, blanks and `_.:+-`, beginning with a \
                                    letter, a digit or `_`, but not with `THIS_`";

    fn read(text: &str) -> Result<Self, ValueError> {
        text.parse()
    }

    fn may_be(variable: &Variable) -> bool {
        matches!(variable, Variable::User(_))
    }
}

#[cfg(test)]
mod tests {
    use super::SetName;

    #[test]
    fn names_are_names_of_files() {
        let long = "a".repeat(31);
        for text in ["friends", "a.b:c+d-e_f", "0", "_x", "two words", &long] {
            assert_eq!(text.parse::<SetName>().map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["", ".", "..", ".a", "-a", " a", "a ", "a/b", "a\n", "$a", "THIS_SET", &"a".repeat(32)]
        {
            assert!(wrong.parse::<SetName>().is_err(), "{wrong}");
        }
    }
}
