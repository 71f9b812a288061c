//! Numbers, as C's `strtoul` reads them.

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) value: u32,
    /// Whether it stands for a negative one, of which 2³² was made into this.
    pub(super) wrapped: bool,
}

/// Reads a number of this base: blanks may stand before it, and a sign; in base 16 also `0x`. What is below
/// zero wraps around, as unsigned numbers do in C.
pub(super) fn read(text: &str, radix: u32) -> Option<Written> {
    let text = text.trim_start_matches(is_blank);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefix = |text: &str| radix == 16 && (text.starts_with("0x") || text.starts_with("0X"));
    let digits = if prefix(text) { &text[2..] } else { text };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let value = u32::from_str_radix(digits, radix).ok()?;
    if negative {
        Some(Written { value: value.wrapping_neg(), wrapped: value != 0 })
    } else {
        Some(Written { value, wrapped: false })
    }
}

/// Reads a number with a sign, in decimal.
pub(super) fn read_signed(text: &str) -> Option<i32> {
    let text = text.trim_start_matches(is_blank);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// What C's `isspace` takes for a blank.
pub(super) const fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests {
    use super::{Written, read, read_signed};

    #[test]
    fn as_c_reads_them() {
        let plain = |value| Some(Written { value, wrapped: false });
        assert_eq!(read("080", 10), plain(80));
        assert_eq!(read(" \t+80", 10), plain(80));
        assert_eq!(read("1f90", 16), plain(0x1f90));
        assert_eq!(read("0xFF", 16), plain(255));
        assert_eq!(read("-0", 10), plain(0));
        assert_eq!(read("-1", 10), Some(Written { value: u32::MAX, wrapped: true }));
        for wrong in ["", " ", "+", "80 ", "+-1", "0x10", "1f", "4294967296", "８"] {
            assert_eq!(read(wrong, 10), None, "{wrong:?}");
        }
        for wrong in ["0x", "x1", "0x+1", "0x0x1", "100000000"] {
            assert_eq!(read(wrong, 16), None, "{wrong:?}");
        }
        assert_eq!(read_signed(" -500"), Some(-500));
        assert_eq!(read_signed("+5"), Some(5));
        for wrong in ["", "-", "+-5", "5 ", "0x10", "2147483648"] {
            assert_eq!(read_signed(wrong), None, "{wrong:?}");
        }
    }
}
