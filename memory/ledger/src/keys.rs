//! The key that signs checkpoints: 32 bytes in a file of the owner alone.

use ed25519_dalek::{SigningKey, VerifyingKey};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const KEY_BYTES: usize = 32;

/// The key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or made.
    #[error("could not {operation} the signing key {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("the signing key {} cannot be used: {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The system gives no random bytes.
    #[error("could not draw random bytes for a new signing key: {0}")]
    Entropy(getrandom::Error),
}

/// A key that is in no file yet.
pub fn draw() -> Result<SigningKey, KeyError> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(KeyError::Entropy)?;
    Ok(SigningKey::from_bytes(&bytes))
}

/// The key in this file.
pub fn load(path: &Path) -> Result<SigningKey, KeyError> {
    let io = |source: io::Error| KeyError::Io { operation: "read", path: path.into(), source };
    let unfit = |why: String| KeyError::Unfit { path: path.into(), why };
    // Neither a link, which could lead anywhere, nor a pipe, which would block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| io(e.into()))?;
    let mut file = File::from(file);
    let meta = file.metadata().map_err(io)?;
    if !meta.is_file() {
        return Err(unfit("it is no regular file".into()));
    }
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(unfit(format!("others may read or change it (mode {mode:o}): chmod 600 it")));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(unfit("it belongs to another user".into()));
    }
    if meta.len() != KEY_BYTES as u64 {
        return Err(unfit(format!(
            "it has {} bytes instead of {KEY_BYTES}: restore it from a backup; without it new \
             checkpoints do not continue the signed ones",
            meta.len()
        )));
    }
    let mut bytes = [0; KEY_BYTES];
    file.read_exact(&mut bytes).map_err(io)?;
    Ok(SigningKey::from_bytes(&bytes))
}

/// The public key, by which others can check what this one signed.
pub fn public(key: &SigningKey) -> VerifyingKey {
    key.verifying_key()
}

/// A short name of a public key, as it stands in checkpoints.
pub fn key_id(key: &VerifyingKey) -> String {
    charter::digest::Digest::of(key.as_bytes()).short()
}

/// The name of the installation that signs with this key: the first sixteen digits
/// of the SHA-256 of its public key.
pub fn installation(key: &VerifyingKey) -> String {
    hex::encode(&charter::digest::Digest::of(key.as_bytes()).0[..8])
}

/// Writes the key under another name first: under its own name it is whole or
/// not there, and never replaces one that is.
pub fn keep(path: &Path, key: &SigningKey) -> Result<(), KeyError> {
    let bytes = key.to_bytes();
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let io = |source: io::Error| KeyError::Io { operation: "make", path: path.into(), source };
    let write = || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(&draft, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::hard_link(&draft, path)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    let written = write();
    let removed = std::fs::remove_file(&draft);
    written.map_err(io)?;
    removed.map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.key");
        let key = draw().unwrap();
        keep(&path, &key).unwrap();
        assert_eq!(load(&path).unwrap().to_bytes(), key.to_bytes());
        assert!(keep(&path, &draw().unwrap()).is_err());
        assert_eq!(load(&path).unwrap().to_bytes(), key.to_bytes());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }

    fn refused(spoil: impl Fn(&Path), expect: &str) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.key");
        keep(&path, &draw().unwrap()).unwrap();
        spoil(&path);
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn a_key_that_others_could_have_read_is_refused() {
        refused(
            |path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap(),
            "mode 640",
        );
    }

    #[test]
    fn a_short_key_is_refused() {
        refused(|path| std::fs::write(path, b"short").unwrap(), "5 bytes instead of 32");
    }

    #[test]
    fn a_link_is_refused() {
        refused(
            |path| {
                let other = path.with_extension("other");
                std::fs::rename(path, &other).unwrap();
                std::os::unix::fs::symlink(&other, path).unwrap();
            },
            "could not read",
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let path = Path::new("/nonexistent/ledger.key");
        let error = keep(path, &draw().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "could not make the signing key /nonexistent/ledger.key");
    }
}
