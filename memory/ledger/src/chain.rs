//! Hash chains and signed checkpoints.
//!
//! Every event's hash covers all its columns and the hash of the event before it
//! in the same stream. A checkpoint names the newest event of every stream that
//! moved since the checkpoint before, whose hash it covers, and is signed. So
//! nothing up to the newest checkpoint can be changed, reordered or removed
//! without being found by whoever knows the public key.

use charter::digest::Digest;
use charter::ids::Millis;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// What the hash of an event covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link<'a> {
    pub(crate) pos: i64,
    pub(crate) tenant: &'a str,
    pub(crate) stream: &'a str,
    pub(crate) seq: i64,
    pub(crate) at: Millis,
    pub(crate) txn: &'a str,
    pub(crate) body: &'a str,
    pub(crate) prev: Digest,
}

impl Link<'_> {
    pub(crate) fn hash(&self) -> Digest {
        Digest::of_parts(&[
            b"event",
            &self.pos.to_be_bytes(),
            self.tenant.as_bytes(),
            self.stream.as_bytes(),
            &self.seq.to_be_bytes(),
            &self.at.to_be_bytes(),
            self.txn.as_bytes(),
            self.body.as_bytes(),
            &self.prev.0,
        ])
    }
}

/// The newest event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Head {
    /// Whose stream.
    pub tenant: String,
    /// The stream.
    pub stream: String,
    /// Number of its newest event.
    pub seq: i64,
    /// Hash of its newest event.
    pub hash: Digest,
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number, from 1.
    pub n: i64,
    /// When it was made.
    pub at: Millis,
    /// Position of the newest event that it covers.
    pub position: i64,
    /// Hash of the checkpoint before; zeros for the first.
    pub prev: Digest,
    /// Heads of the streams that moved since the checkpoint before, as JSON.
    pub heads: String,
    /// Name of the public key.
    pub key: String,
    /// Hash of all this.
    pub hash: Digest,
    /// Signature of the hash.
    pub signature: Vec<u8>,
}

/// What a checkpoint says, before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) n: i64,
    pub(crate) at: Millis,
    pub(crate) position: i64,
    pub(crate) prev: Digest,
    pub(crate) heads: String,
}

impl Draft {
    pub(crate) fn sign(self, key: &SigningKey) -> Checkpoint {
        let Self { n, at, position, prev, heads } = self;
        let (key_id, signature) = (crate::keys::key_id(&key.verifying_key()), Vec::new());
        let mut checkpoint =
            Checkpoint { n, at, position, prev, heads, key: key_id, hash: prev, signature };
        checkpoint.hash = checkpoint.digest();
        checkpoint.signature = key.sign(&checkpoint.hash.0).to_bytes().to_vec();
        checkpoint
    }
}

impl Checkpoint {
    fn digest(&self) -> Digest {
        Digest::of_parts(&[
            b"checkpoint",
            &self.n.to_be_bytes(),
            &self.at.to_be_bytes(),
            &self.position.to_be_bytes(),
            &self.prev.0,
            self.heads.as_bytes(),
            self.key.as_bytes(),
        ])
    }

    /// What is wrong with it by itself, if anything.
    pub fn fault(&self, key: &VerifyingKey) -> Option<&'static str> {
        if self.hash != self.digest() {
            return Some("its hash does not fit what it says");
        }
        if self.key != crate::keys::key_id(key) {
            return Some("it was signed with another key");
        }
        let signature = Signature::from_slice(&self.signature);
        match signature.map(|signature| key.verify_strict(&self.hash.0, &signature)) {
            Ok(Ok(())) => None,
            _ => Some("its signature is wrong"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn checkpoint() -> Checkpoint {
        let prev = Digest::default();
        Draft { n: 1, at: 2, position: 3, prev, heads: "[]".into() }.sign(&key(1))
    }

    fn check(change: impl Fn(&mut Checkpoint), expect: Option<&str>) {
        let mut changed = checkpoint();
        change(&mut changed);
        assert_eq!(changed.fault(&key(1).verifying_key()), expect);
    }

    #[test]
    fn every_part_of_a_checkpoint_is_covered() {
        let hash = Some("its hash does not fit what it says");
        check(|_| {}, None);
        check(|c| c.n = 2, hash);
        check(|c| c.at = 3, hash);
        check(|c| c.position = 4, hash);
        check(|c| c.prev = Digest::of(b"x"), hash);
        check(|c| c.heads = "[ ]".into(), hash);
        check(|c| c.key = "00000000".into(), hash);
        check(|c| c.signature[5] ^= 1, Some("its signature is wrong"));
        check(|c| c.signature.truncate(9), Some("its signature is wrong"));
    }

    #[test]
    fn another_key_does_not_verify() {
        let fault = checkpoint().fault(&key(2).verifying_key());
        assert_eq!(fault, Some("it was signed with another key"));
    }

    #[test]
    fn every_part_of_an_event_is_covered() {
        let prev = Digest::default();
        let link =
            Link { pos: 1, tenant: "t", stream: "s", seq: 1, at: 1, txn: "x", body: "b", prev };
        let others = [
            Link { pos: 2, ..link },
            Link { tenant: "ts", stream: "", ..link },
            Link { stream: "s2", ..link },
            Link { seq: 2, ..link },
            Link { at: 2, ..link },
            Link { txn: "y", ..link },
            Link { body: "c", ..link },
            Link { prev: Digest::of(b"x"), ..link },
        ];
        assert!(others.iter().all(|other| other.hash() != link.hash()));
    }
}
