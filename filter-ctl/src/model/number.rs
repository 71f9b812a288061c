//! Numbers with names: the form that most value types have.

/// Reads a decimal number, or a hexadecimal one after `0x`. Decimal numbers have no leading zeros, for some
/// would read them as octal. Numbers too large for the result are refused as any other text is.
pub(super) fn parse_number(text: &str) -> Option<u32> {
    if let Some(digits) = text.strip_prefix("0x") {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return plain.then(|| u32::from_str_radix(digits, 16).ok()).flatten();
    }
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    plain.then(|| text.parse().ok()).flatten()
}

/// A newtype around a number within a range, with names for some of its values.
///
/// The first name of a value is the one that is printed; further ones are only read. Values without a name
/// are printed by the format.
macro_rules! named_number {
    (
        $(#[$attribute:meta])*
        $name:ident($number:ty), $range:expr, $format:literal, $expected:literal, $names:expr
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($number);

        impl $name {
            /// The names of values; the first one of a value is printed.
            pub const NAMES: &'static [(&'static str, $number)] = &$names;

            /// The value of this number, if it is one.
            pub fn new(number: $number) -> Option<Self> {
                ($range).contains(&number).then_some(Self(number))
            }

            /// Its number.
            pub const fn number(self) -> $number {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match Self::NAMES.iter().find(|(_, number)| *number == self.0) {
                    Some((name, _)) => f.pad(name),
                    None => f.pad(&format!($format, self.0)),
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::model::ValueError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::NAMES
                    .iter()
                    .find(|(name, _)| *name == text)
                    .map(|(_, number)| *number)
                    .or_else(|| {
                        $crate::model::number::parse_number(text)
                            .and_then(|number| <$number>::try_from(number).ok())
                    })
                    .and_then(Self::new)
                    .ok_or_else(|| $crate::model::ValueError::new(text, $expected))
            }
        }

        impl $crate::model::Value for $name {
            const EXPECTED: &'static str = $expected;

            fn read(text: &str) -> Result<Self, $crate::model::ValueError> {
                text.parse()
            }
        }
    };
}

pub(super) use named_number;

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(parse_number("0"), Some(0));
        assert_eq!(parse_number("42"), Some(42));
        assert_eq!(parse_number("0x2A"), Some(42));
        assert_eq!(parse_number("0x00000000002a"), Some(42));
        for wrong in ["", "-1", "+1", "042", "0x", "0x+1", "0X2a", "1_0", "4294967296", "0x100000000", "٣"] {
            assert_eq!(parse_number(wrong), None, "{wrong}");
        }
    }
}
