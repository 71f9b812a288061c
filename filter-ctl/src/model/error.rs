//! The error of every value type.

use std::borrow::Cow;

/// How much of a wrong text an error repeats.
const SHOWN: usize = 60;

/// A text that is no value of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found `{found}`, expected {expected}")]
pub struct ValueError {
    /// What stood there, cut to a length fit for a message.
    pub found: String,
    /// What could have stood there.
    pub expected: Cow<'static, str>,
}

impl ValueError {
    /// The error for `found` where `expected` belongs.
    pub fn new(found: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { found: shorten(found), expected: expected.into() }
    }
}

/// A text fit for a message: control characters escaped, long ones cut.
pub(crate) fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(escape).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn escape(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = (!character.is_control()).then_some(character);
    escaped.into_iter().flatten().chain(plain)
}
