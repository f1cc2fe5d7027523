//! Private folders on disk, one per run.

use super::copy;
use super::error::SandboxError;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A private folder that is removed with this value. Its name says whose it is,
/// so that a later process can remove it if this one is killed.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) folder: PathBuf,
}

impl Scratch {
    pub(super) fn new(scratch: &Path) -> Result<Self, SandboxError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let failed = |error: std::io::Error| SandboxError::helper("prepare a folder for", error);
        let me = crate::process::me();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        fs::create_dir_all(scratch).map_err(failed)?;
        let scratch = scratch.canonicalize().map_err(failed)?;
        let folder = scratch.join(format!("run-{}-{}-{number}", me.pid, me.start));
        fs::create_dir(&folder).map_err(failed)?;
        let this = Self { folder };
        for name in ["root", "upper", "work", "tmp", "tmp/home"] {
            fs::create_dir(this.at(name)).map_err(failed)?;
        }
        Ok(this)
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        copy::remove_tree(&self.folder);
    }
}

/// Removes what runs of dead processes left behind.
pub(super) fn sweep(scratch: &Path) {
    for entry in fs::read_dir(scratch).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| {
            let mut parts = name.strip_prefix("run-")?.splitn(3, '-');
            Some((parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u64>().ok()?))
        });
        if let Some((pid, start)) = owner
            && crate::process::start_time(pid) != Some(start)
        {
            copy::remove_tree(&entry.path());
        }
    }
}
