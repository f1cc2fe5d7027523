//! Human text, kept apart from the record of it so that it can be forgotten.
//!
//! Events, plans and queue messages carry a [`ContentRef`]; the text itself is a
//! [`Content`] row. Forgetting deletes the row with its salt, after which the
//! hash in the event tells nothing about the text.

use crate::digest::Digest;
use crate::ids::{ContentId, Millis, TenantId};
use crate::label::Label;
use crate::ports::Entropy;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Largest content that is stored, in bytes.
pub const CONTENT_BYTES_MAX: usize = 64 << 20;

/// One stored text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its name.
    pub id: ContentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Sixteen random bytes: equal texts have different hashes.
    #[serde(with = "serde_bytes")]
    pub salt: Vec<u8>,
    /// The text, or JSON.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// What an event says of a text.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRef {
    /// Which text.
    pub id: ContentId,
    /// SHA-256(salt ‖ bytes).
    pub sha256: Digest,
    /// Trust and sensitivity of the text.
    pub label: Label,
}

/// A content that cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Larger than [`CONTENT_BYTES_MAX`].
    #[error("the text has {bytes} bytes, more than the {CONTENT_BYTES_MAX} that are kept")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not the JSON that was expected.
    #[error("could not read content {id} as {what}")]
    Parse {
        /// Which content.
        id: ContentId,
        /// The expected kind of value.
        what: &'static str,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// The value cannot be written as JSON.
    #[error("could not write the value as JSON")]
    Write(#[source] serde_json::Error),
}

impl Content {
    /// A new content with a fresh id and salt, and what an event says of it.
    pub fn new(
        tenant: &TenantId,
        bytes: Vec<u8>,
        label: Label,
        now: Millis,
        entropy: &dyn Entropy,
    ) -> Result<(Self, ContentRef), ContentError> {
        if bytes.len() > CONTENT_BYTES_MAX {
            return Err(ContentError::TooLarge { bytes: bytes.len() });
        }
        let mut salt = vec![0; 16];
        entropy.fill(&mut salt);
        let content =
            Self { id: ContentId::new(now, entropy), tenant: tenant.clone(), salt, bytes };
        let reference = ContentRef { id: content.id.clone(), sha256: content.sha256(), label };
        Ok((content, reference))
    }

    /// A new content that holds a value as JSON.
    pub fn of_json<T: Serialize + ?Sized>(
        tenant: &TenantId,
        value: &T,
        label: Label,
        now: Millis,
        entropy: &dyn Entropy,
    ) -> Result<(Self, ContentRef), ContentError> {
        let bytes = serde_json::to_vec(value).map_err(ContentError::Write)?;
        Self::new(tenant, bytes, label, now, entropy)
    }

    /// SHA-256(salt ‖ bytes).
    pub fn sha256(&self) -> Digest {
        let mut all = Vec::with_capacity(self.salt.len() + self.bytes.len());
        all.extend_from_slice(&self.salt);
        all.extend_from_slice(&self.bytes);
        Digest::of(&all)
    }

    /// The bytes as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The bytes as a JSON value of the expected kind.
    pub fn json<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, ContentError> {
        serde_json::from_slice(&self.bytes).map_err(|source| ContentError::Parse {
            id: self.id.clone(),
            what,
            source,
        })
    }
}
