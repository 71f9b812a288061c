//! The inside of a tag, by the letter of XML 1.0: what quick-xml leaves to its caller.

use super::limits;

/// An attribute as it stands in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawAttribute<'a> {
    pub(super) name: &'a str,
    /// Between the quotes, references not yet resolved.
    pub(super) value: &'a str,
    /// Where its name begins, from the start of the scanned text.
    pub(super) at: usize,
    /// Where its value begins.
    pub(super) value_at: usize,
}

/// What is wrong, and where from the start of the scanned text.
pub(super) type Wrong = (usize, &'static str);

/// Scans what follows the name in a tag, without the closing `>` or `/>`.
pub(super) fn attributes(text: &str) -> Result<Vec<RawAttribute<'_>>, Wrong> {
    let mut attributes = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let blanks = rest.len() - rest.trim_start_matches(is_blank).len();
        at += blanks;
        if at == text.len() {
            return Ok(attributes);
        }
        if blanks == 0 {
            return Err((at, "found an attribute, expected a blank before it"));
        }
        if attributes.len() == limits::ATTRIBUTES {
            return Err((at, "found more attributes in one element than 256"));
        }
        let start = at;
        let name = take(text, &mut at, |c| !is_blank(c) && c != '=');
        if !is_name(name) {
            return Err((start, "expected the name of an attribute"));
        }
        take(text, &mut at, is_blank);
        if !text[at..].starts_with('=') {
            return Err((at, "expected `=` and a value in quotes after the name of an attribute"));
        }
        at += 1;
        take(text, &mut at, is_blank);
        let Some(quote @ ('"' | '\'')) = text[at..].chars().next() else {
            return Err((at, "expected a value in quotes after the name of an attribute"));
        };
        at += 1;
        let value_at = at;
        let value = take(text, &mut at, |c| c != quote);
        if at == text.len() {
            return Err((value_at, "found a value whose quotes are not closed"));
        }
        at += 1;
        if let Some(position) = value.find('<') {
            return Err((value_at + position, "found `<` in the value of an attribute, expected `&lt;`"));
        }
        attributes.push(RawAttribute { name, value, at: start, value_at });
    }
}

fn take<'a>(text: &'a str, at: &mut usize, while_is: impl Fn(char) -> bool) -> &'a str {
    let rest = &text[*at..];
    let taken = &rest[..rest.find(|c| !while_is(c)).unwrap_or(rest.len())];
    *at += taken.len();
    taken
}

pub(super) const fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Whether this can be the name of an element or attribute, with a prefix or without. Beyond ASCII it takes
/// more than XML does; no name that means something to us has such characters.
pub(super) fn is_name(text: &str) -> bool {
    let mut parts = text.split(':');
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c) || !c.is_ascii())
    };
    parts.by_ref().take(2).all(plain) && parts.next().is_none()
}

/// Whether XML 1.0 allows this character (production `Char`).
pub(super) const fn is_char(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// Resolves references: the five predefined entities and characters by number.
pub(super) fn resolve(text: &str) -> Result<String, (usize, String)> {
    let mut resolved = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(position) = text[at..].find('&') {
        resolved.push_str(&text[at..at + position]);
        at += position;
        let Some(end) = text[at..].find(';') else {
            return Err((at, "found `&`, expected `&amp;`".to_owned()));
        };
        let name = &text[at + 1..at + end];
        let Some(character) = reference(name) else {
            let name = crate::model::shorten(name);
            return Err((
                at,
                format!(
                    "found the reference `&{name};`, expected `&lt;`, `&gt;`, `&amp;`, `&quot;`, `&apos;` or a \
                     character by number such as `&#65;`; entities cannot be declared"
                ),
            ));
        };
        resolved.push(character);
        at += end + 1;
    }
    resolved.push_str(&text[at..]);
    Ok(resolved)
}

fn reference(name: &str) -> Option<char> {
    let number = match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => name.strip_prefix('#')?,
    };
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).filter(|&c| is_char(c))
}

#[cfg(test)]
mod tests {
    use super::{attributes, is_name, resolve};

    #[test]
    fn attributes_by_the_letter() {
        let found = attributes(" a=\"1\"\n b:c = '2\"' ").unwrap();
        let found: Vec<_> = found.iter().map(|a| (a.name, a.value, a.at, a.value_at)).collect();
        assert_eq!(found, [("a", "1", 1, 4), ("b:c", "2\"", 8, 15)]);
        for wrong in
            [" a=\"1\"b=\"2\"", " a", " a=1", " a=\"1", " =\"1\"", " a=\"<\"", "a=\"1\"", " a b=\"1\""]
        {
            assert!(attributes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn attributes_are_limited() {
        let many = |count| (0..count).fold(String::new(), |text, n| format!("{text} a{n}=''"));
        assert_eq!(attributes(&many(256)).unwrap().len(), 256);
        let more = many(257);
        assert_eq!(attributes(&more).unwrap_err().0, more.len() - "a256=''".len());
    }

    #[test]
    fn names() {
        assert!(is_name("f:Filter-Pool.1") && is_name("_a"));
        for wrong in ["", ":", "a:", ":a", "a:b:c", "1a", "a b", "a/"] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn references() {
        assert_eq!(resolve("a&lt;&#65;&#x42;&amp;amp;").as_deref(), Ok("a<AB&amp;"));
        for wrong in
            ["&", "&a", "&;", "&lol;", "&#0;", "&#xd800;", "&#x110000;", "&#+5;", "&# 5;", "&#;", "&#x;"]
        {
            assert!(resolve(wrong).is_err(), "{wrong}");
        }
    }
}
