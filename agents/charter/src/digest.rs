//! SHA-256 over bytes and over canonical JSON (RFC 8785).

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// A SHA-256 value, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

/// A value that has no canonical JSON form (a key that is no text, an infinity),
/// or a text that is no digest.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// The value cannot be written as canonical JSON.
    #[error("could not write the value as canonical JSON")]
    Canonical(#[source] serde_json::Error),
    /// The text is not 64 hexadecimal digits.
    #[error("\"{0}\" is not a digest: expected 64 hexadecimal digits")]
    Text(String),
}

impl Digest {
    /// SHA-256 of the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 of several parts, each preceded by its length so that parts
    /// cannot run into each other.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// SHA-256 of the value's canonical JSON.
    pub fn of_json<T: Serialize + ?Sized>(value: &T) -> Result<Self, DigestError> {
        canonical(value).map(|text| Self::of(text.as_bytes()))
    }

    /// The first eight digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

/// The value as canonical JSON (RFC 8785): keys sorted, no blanks, one way to
/// write each number.
pub fn canonical<T: Serialize + ?Sized>(value: &T) -> Result<String, DigestError> {
    serde_json_canonicalizer::to_string(&value).map_err(DigestError::Canonical)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| DigestError::Text(text.chars().take(80).collect()))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
crate::schemas::text!(Digest, "^[0-9a-f]{64}$");

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_order_does_not_change_a_digest() {
        let left = Digest::of_json(&json!({"b": 1, "a": [1.0, "é"]})).unwrap();
        let right = Digest::of_json(&json!({"a": [1, "é"], "b": 1})).unwrap();
        assert_eq!(left, right);
    }

    #[test]
    fn the_empty_text_has_its_known_digest() {
        // FIPS 180-4 example value for the empty message.
        assert_eq!(
            Digest::of(b"").to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Digest::of_parts(&[b"ab", b"c"]), Digest::of_parts(&[b"a", b"bc"]));
    }
}
