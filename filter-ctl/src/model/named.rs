//! Values that are one of a few names.

/// `Display` and `FromStr` of a type by its `NAMES`; `expected` says what they are, for who wrote another.
macro_rules! named {
    ($type:ident, $expected:expr) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let name = Self::NAMES.iter().find(|(_, value)| value == self).map_or("", |(name, _)| name);
                f.pad(name)
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::model::ValueError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::NAMES.iter().find(|(name, _)| *name == text);
                found.map(|(_, value)| *value).ok_or_else(|| Self::Err::new(text, $expected))
            }
        }
    };
}

pub(super) use named;
