//! A private copy of the workspace, for machines where an overlay cannot be had.
//! Links are copied as links, devices and sockets not at all.

use charter::tool::Cancel;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Most bytes of a copied workspace.
pub(super) const COPY_BYTES_MAX: u64 = 2 << 30;
/// Most files and folders of a copied workspace.
pub(super) const COPY_ENTRIES_MAX: usize = 200_000;

/// Why a copy could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// More than is ever copied.
    #[error(
        "the folder is too large to copy: more than {COPY_ENTRIES_MAX} entries or \
         {COPY_BYTES_MAX} bytes"
    )]
    TooLarge,
    /// The call was cancelled.
    #[error("cancelled while copying the folder")]
    Cancelled,
    /// The system refuses.
    #[error("could not copy {path:?}")]
    Os {
        /// What was being copied.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What a copied file looked like when it was made. The change time cannot be
/// set by programs, so equal stamps mean equal bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(meta: &fs::Metadata) -> Self {
        Self { inode: meta.ino(), bytes: meta.size(), changed: (meta.ctime(), meta.ctime_nsec()) }
    }
}

/// The copied files, relative to the copy.
pub(super) type Manifest = BTreeMap<PathBuf, Stamp>;

/// Copies a folder into an empty one.
pub(super) fn copy_tree(from: &Path, to: &Path, cancel: &Cancel) -> Result<Manifest, CopyError> {
    let mut manifest = Manifest::new();
    let mut open = vec![PathBuf::new()];
    let (mut entries, mut bytes) = (0_usize, 0_u64);
    while let Some(folder) = open.pop() {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| CopyError::Os { path, source }
        };
        let source = from.join(&folder);
        for entry in fs::read_dir(&source).map_err(at(&source))? {
            if cancel.is_cancelled() {
                return Err(CopyError::Cancelled);
            }
            let entry = entry.map_err(at(&source))?;
            let path = folder.join(entry.file_name());
            let (old, new) = (entry.path(), to.join(&path));
            let meta = fs::symlink_metadata(&old).map_err(at(&old))?;
            entries += 1;
            bytes = bytes.saturating_add(if meta.is_file() { meta.size() } else { 0 });
            if entries > COPY_ENTRIES_MAX || bytes > COPY_BYTES_MAX {
                return Err(CopyError::TooLarge);
            }
            if meta.is_dir() {
                fs::create_dir(&new).map_err(at(&old))?;
                open.push(path);
            } else if meta.is_symlink() {
                fs::read_link(&old).and_then(|to| symlink(to, &new)).map_err(at(&old))?;
            } else if meta.is_file() {
                fs::copy(&old, &new).map_err(at(&old))?;
                let copied = fs::symlink_metadata(&new).map_err(at(&new))?;
                manifest.insert(path, Stamp::of(&copied));
            }
        }
    }
    Ok(manifest)
}

/// Removes a folder whose contents may have taken away permissions from
/// themselves. What cannot be removed is left to the next sweep.
pub(super) fn remove_tree(folder: &Path) {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let is_folder = fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_dir());
        if !is_folder {
            continue;
        }
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o700));
        let entries = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
        open.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "a scratch folder could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_links_and_stamps_tell_change() {
        let from = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        fs::create_dir(from.path().join("a")).unwrap();
        fs::write(from.path().join("a/x"), "1").unwrap();
        symlink("/etc/passwd", from.path().join("out")).unwrap();
        let manifest = copy_tree(from.path(), to.path(), &Cancel::default()).unwrap();
        assert!(to.path().join("out").is_symlink());
        let stamp = || Stamp::of(&fs::symlink_metadata(to.path().join("a/x")).unwrap());
        assert_eq!(manifest.get(Path::new("a/x")), Some(&stamp()));
        fs::write(to.path().join("a/x"), "2").unwrap();
        assert_ne!(manifest.get(Path::new("a/x")), Some(&stamp()));
    }

    #[test]
    fn a_cancelled_copy_stops() {
        let from = tempfile::tempdir().unwrap();
        fs::write(from.path().join("x"), "1").unwrap();
        let cancel = Cancel::default();
        cancel.cancel();
        let to = tempfile::tempdir().unwrap();
        let error = copy_tree(from.path(), to.path(), &cancel).unwrap_err();
        assert!(matches!(error, CopyError::Cancelled), "{error}");
    }

    #[test]
    fn a_folder_without_permissions_can_be_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("work/work");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&root.path().join("work"));
        assert!(!root.path().join("work").exists());
    }
}
