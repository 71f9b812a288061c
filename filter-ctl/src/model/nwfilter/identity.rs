//! UUIDs, as libvirt reads them.

use uuid::Uuid;

use super::number::is_blank;
use crate::model::ValueError;

/// Reads a UUID: sixteen pairs of hexadecimal digits. Dashes may stand before any of the pairs, blanks around
/// the whole.
pub fn parse_uuid(text: &str) -> Result<Uuid, ValueError> {
    scan(text.trim_matches(is_blank))
        .ok_or_else(|| ValueError::new(text, "a UUID such as `3f2504e0-4f89-41d3-9a0c-0305e82c3301`"))
}

fn scan(text: &str) -> Option<Uuid> {
    let mut bytes = [0; 16];
    let mut rest = text;
    for byte in &mut bytes {
        rest = rest.trim_start_matches('-');
        let (pair, tail) = rest.split_at_checked(2)?;
        let plain = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = plain.then(|| u8::from_str_radix(pair, 16).ok()).flatten()?;
        rest = tail;
    }
    rest.is_empty().then(|| Uuid::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::parse_uuid;

    #[test]
    fn forms() {
        let text = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
        for form in [
            text,
            " 3F2504E0-4F89-41D3-9A0C-0305E82C3301\n",
            "3f2504e04f8941d39a0c0305e82c3301",
            "--3f-25-04-e04f8941d39a0c0305e82c3301",
        ] {
            assert_eq!(parse_uuid(form).unwrap().to_string(), text, "{form}");
        }
        for wrong in
            ["", "3f2504e0", "3-f2504e04f8941d39a0c0305e82c3301", &format!("{text}-"), &format!("{text}0")]
        {
            assert!(parse_uuid(wrong).is_err(), "{wrong}");
        }
    }
}
