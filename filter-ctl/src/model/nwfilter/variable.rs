//! Variables in attributes of rules.

use std::fmt;

use super::{Defect, number};
use crate::model::ValueError;

/// A variable where a value could stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VariableAccess {
    /// Its name, without `$`: `[a-zA-Z0-9_]*`.
    pub name: String,
    /// Which of its values is meant.
    pub access: Access,
}

/// Which values of a variable are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `$NAME[@n]`: all, one after the other. Variables with the same iterator go in parallel, those with
    /// different ones are combined each with each. `$NAME` is `$NAME[@0]`. 0 to 1000.
    Iterator(u16),
    /// `$NAME[n]`: the one at this position, from 0.
    Element(u32),
}

/// Greatest number of an iterator.
const MAX_ITERATOR: u32 = 1000;

const EXPECTED: &str = "a variable: `$NAME`, `$NAME[@n]` with n from 0 to 1000, or `$NAME[n]`, whose name has letters, \
                        digits and `_`";

/// Whether a character can stand in the name of a variable.
pub(super) const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl VariableAccess {
    /// Reads what stands behind `$`, and says what of it libvirt would read otherwise.
    pub(super) fn read(text: &str) -> Result<(Self, Option<Defect>), ValueError> {
        Self::scan(text).ok_or_else(|| ValueError::new(&format!("${text}"), EXPECTED))
    }

    fn scan(text: &str) -> Option<(Self, Option<Defect>)> {
        let end = text.bytes().position(|byte| !is_name(byte)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let name = name.to_owned();
        if rest.is_empty() {
            return Some((Self { name, access: Access::Iterator(0) }, None));
        }
        let (inside, tail) = rest.strip_prefix('[')?.split_once(']')?;
        let inside = inside.trim_matches(number::is_blank);
        let (iterates, digits) = match inside.strip_prefix('@') {
            Some(digits) => (true, digits),
            None => (false, inside),
        };
        let written = number::read(digits, 10)?;
        let access = if iterates {
            Access::Iterator(u16::try_from(written.value).ok().filter(|_| written.value <= MAX_ITERATOR)?)
        } else {
            Access::Element(written.value)
        };
        let defect = if tail.trim_matches(number::is_blank).is_empty() {
            written.wrapped.then_some(Defect::NegativeNumber)
        } else {
            Some(Defect::VariableTail)
        };
        Some((Self { name, access }, defect))
    }
}

impl fmt::Display for VariableAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.access {
            Access::Iterator(0) => write!(f, "${}", self.name),
            Access::Iterator(iterator) => write!(f, "${}[@{iterator}]", self.name),
            Access::Element(element) => write!(f, "${}[{element}]", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, printed) in [
            ("IP", "$IP"),
            ("", "$"),
            ("IP[@0]", "$IP"),
            ("IP[  @0 ] ", "$IP"),
            ("IP[@ 7]", "$IP[@7]"),
            ("IP[@1000]", "$IP[@1000]"),
            ("IP[ 2 ]", "$IP[2]"),
            ("[1]", "$[1]"),
        ] {
            let (variable, defect) = VariableAccess::read(text).unwrap();
            assert_eq!((variable.to_string().as_str(), defect), (printed, None), "{text}");
        }
        let read = |text| VariableAccess::read(text).unwrap();
        assert_eq!(read("A[1]b").1, Some(Defect::VariableTail));
        let last = VariableAccess { name: "A".to_owned(), access: Access::Element(u32::MAX) };
        assert_eq!(read("A[-1]"), (last, Some(Defect::NegativeNumber)));
        for wrong in ["A.x", " A", "A[", "A[]", "A[a]", "A[@1001]", "A[@-1]", "A[1", "A]", "A[1x]", "ä"] {
            let error = VariableAccess::read(wrong).unwrap_err();
            assert_eq!(error.found, format!("${wrong}"));
        }
    }
}
