//! Files that say whether they are whole: JSON, with a version of its form and a checksum of what it says.
//!
//! ```text
//! {"version":1,"sum":"5b2f7a31c0d4e6a8…","content":{ … }}
//! ```
//!
//! The checksum is that of the text of `content`, byte by byte: it tells of disks and of hands, not of enemies.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::StoreError;

/// Digits of a checksum.
const SUM: usize = 32;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<'a> {
    version: u32,
    sum: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// The text of a file that says this, in a form of this version.
pub(super) fn seal(version: u32, content: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let content = serde_json::value::to_raw_value(content)?;
    serde_json::to_vec(&Sealed { version, sum: sum(content.get()), content: &content })
}

/// What the text of a file at `path` says, if it is whole, and in a form of this version.
pub(super) fn unseal<T: DeserializeOwned>(version: u32, path: &Path, text: &[u8]) -> Result<T, StoreError> {
    let damaged = |message: String| StoreError::Damaged { path: path.to_owned(), message };
    let sealed: Sealed = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
    if sealed.version != version {
        return Err(damaged(format!("found version {}, expected {version}", sealed.version)));
    }
    if sealed.sum != sum(sealed.content.get()) {
        return Err(damaged("its checksum is another's: it was changed, by a disk or by hand".to_owned()));
    }
    serde_json::from_str(sealed.content.get()).map_err(|error| damaged(error.to_string()))
}

fn sum(text: &str) -> String {
    let mut sum = hexadecimal(text.as_bytes());
    sum.truncate(SUM);
    sum
}

/// The SHA-256 of a text, in hexadecimal.
pub(super) fn hexadecimal(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_bit_is_another_is_seen() {
        let content = vec![("one".to_owned(), 1), ("two".to_owned(), 2)];
        let good = seal(3, &content).expect("it can be written");
        let path = Path::new("it");
        let unseal = |text: &[u8]| unseal::<Vec<(String, u32)>>(3, path, text);
        assert_eq!(unseal(&good).expect("it is whole"), content);
        for cut in 0..good.len() {
            assert!(unseal(&good[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..good.len() * 8 {
            let mut text = good.clone();
            text[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&text).is_err(), "bit {bit}: {}", String::from_utf8_lossy(&text));
        }
        let other = seal(4, &content).expect("it can be written");
        let told = unseal(&other).expect_err("it is another's").to_string();
        assert_eq!(told, "it: found version 4, expected 3");
    }
}
