//! `owner.lock`: whoever holds it owns the data folder.
//!
//! The lock belongs to the open file, so the kernel gives it back when its
//! holder ends, however it ends. What the file says is for people.

use super::HouseholdError;
use rustix::fs::FlockOperation;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Name of the lock file in the data folder.
pub(super) const LOCK_FILE: &str = "owner.lock";
/// Longest note that is read.
const NOTE_MAX: u64 = 200;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct OwnerLock {
    _file: File,
}

impl OwnerLock {
    /// Takes the lock if nobody has it.
    pub fn try_take(home: &Path) -> Result<Option<Self>, HouseholdError> {
        let path = home.join(LOCK_FILE);
        let failed = |source| HouseholdError::Lock { path: path.clone(), source };
        // The standard library opens files close-on-exec: no child keeps the lock.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(failed(error.into())),
        }
        let note = note();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(failed)?;
        Ok(Some(Self { _file: file }))
    }
}

/// What the holder wrote about itself, on one line.
pub fn holder(home: &Path) -> String {
    let mut text = String::new();
    let read = File::open(home.join(LOCK_FILE))
        .and_then(|file| file.take(NOTE_MAX).read_to_string(&mut text));
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match read {
        Ok(_) if !line.is_empty() && line.chars().all(|c| !c.is_control()) => line,
        _ => "unknown".to_owned(),
    }
}

fn note() -> String {
    let start = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| start_time(&stat));
    let start = start.map_or_else(|| "unknown".to_owned(), |ticks| ticks.to_string());
    format!("pid {}\nstart {start}\nversion {}\n", std::process::id(), env!("CARGO_PKG_VERSION"))
}

/// Field 22 of `/proc/PID/stat`. The name in field 2 may hold blanks and
/// brackets, so fields are counted from the last closing one.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let lock = OwnerLock::try_take(home.path()).unwrap().unwrap();
        assert!(OwnerLock::try_take(home.path()).unwrap().is_none());
        assert!(holder(home.path()).starts_with(&format!("pid {} start ", std::process::id())));
        drop(lock);
        assert!(OwnerLock::try_take(home.path()).unwrap().is_some());
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let victim = home.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, home.path().join(LOCK_FILE)).unwrap();
        assert!(OwnerLock::try_take(home.path()).is_err());
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let fields = (3..=30).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(start_time(&format!("12 (a) b) {fields}")), Some(22));
        assert_eq!(start_time("12 (short) S 1"), None);
    }
}
