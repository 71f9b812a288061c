//! Text for people.

use std::fmt;
use std::str::FromStr;

use super::ValueError;
use super::condition::BLANK;

/// What a profile or an entry is for, in one paragraph: not empty, and with single blanks between words, so
/// that line breaks of a file are no part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Description(String);

impl Description {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Description {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let words: Vec<&str> = text.split(BLANK).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Err(ValueError::new(text, "a description"));
        }
        if let Some(wrong) = words.iter().flat_map(|word| word.chars()).find(|&character| !is_text(character))
        {
            return Err(ValueError::new(&wrong.to_string(), "text without control characters"));
        }
        Ok(Self(words.join(" ")))
    }
}

/// Whether a character can stand in a text document (XML 1.0, production `Char`), and controls no terminal.
fn is_text(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::Description;

    #[test]
    fn line_breaks_are_no_part_of_it() {
        let text: Description = "  Own addresses\n\tonly & <nothing>  else.\r\n".parse().unwrap();
        assert_eq!(text.as_str(), "Own addresses only & <nothing> else.");
        for wrong in ["", " \n", "a\u{1b}[2J", "a\u{9b}2J", "a\0"] {
            assert!(wrong.parse::<Description>().is_err(), "{wrong:?}");
        }
    }
}
