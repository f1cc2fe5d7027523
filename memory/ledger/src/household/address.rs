//! Where the owner listens: `alma.sock` in the data folder.
//!
//! The name of a socket may have 107 bytes. A folder with a longer name is
//! reached through an open handle of it, `/proc/self/fd/N/alma.sock`, so that
//! the socket lies in the data folder in every case.

use super::HouseholdError;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

/// Name of the socket in the data folder.
pub(super) const SOCKET_FILE: &str = "alma.sock";
/// `sun_path` has 108 bytes and ends in a zero.
const NAME_MAX: usize = 107;
/// How long the socket of a killed owner may go on answering.
const LINGER: Duration = Duration::from_millis(250);

/// Makes the data folder, or makes sure that it is ours and closed to others.
pub(super) fn prepare_home(home: &Path) -> Result<(), HouseholdError> {
    let failed = |source| HouseholdError::Home { path: home.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(failed)?;
    let data = std::fs::metadata(home).map_err(failed)?;
    if data.uid() != rustix::process::geteuid().as_raw() {
        return Err(HouseholdError::OthersHome { path: home.to_owned(), uid: data.uid() });
    }
    if data.mode() & 0o077 != 0 {
        tracing::info!(home = %home.display(), "closing the data folder to other users");
        std::fs::set_permissions(home, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

/// A name of the socket that is short enough; good as long as it lives.
struct ShortName {
    name: PathBuf,
    _folder: Option<File>,
}

fn short_name(home: &Path) -> io::Result<ShortName> {
    let path = home.join(SOCKET_FILE);
    if path.as_os_str().as_bytes().len() <= NAME_MAX {
        return Ok(ShortName { name: path, _folder: None });
    }
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let folder = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(home)?;
    let name = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET_FILE}", folder.as_raw_fd()));
    Ok(ShortName { name, _folder: Some(folder) })
}

/// Removes the socket of an owner that is gone. Only for the holder of the lock,
/// before the ledger is opened: if somebody still answers, the lock file was
/// deleted under a living owner.
pub(super) async fn vacate(home: &Path) -> Result<(), HouseholdError> {
    let path = home.join(SOCKET_FILE);
    let failed = |source| HouseholdError::Socket { path: path.clone(), source };
    match std::fs::symlink_metadata(&path) {
        Ok(data) if data.file_type().is_socket() => {}
        Ok(_) => return Err(HouseholdError::InTheWay(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    // The kernel closes the files of a killed owner one by one: the lock can be
    // free a moment before the socket is.
    let began = Instant::now();
    while connect(home).await?.is_some() {
        if began.elapsed() > LINGER {
            return Err(HouseholdError::TwoOwners { path });
        }
        tokio::time::sleep(LINGER / 50).await;
    }
    std::fs::remove_file(&path).map_err(failed)
}

/// Listens. Only for the holder of the lock.
pub(super) fn listen(home: &Path) -> Result<UnixListener, HouseholdError> {
    let path = home.join(SOCKET_FILE);
    let failed = |source| HouseholdError::Socket { path: path.clone(), source };
    let short = short_name(home).map_err(failed)?;
    let listener = UnixListener::bind(&short.name).map_err(failed)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Connects to the owner; `None` if nobody listens.
pub(super) async fn connect(home: &Path) -> Result<Option<UnixStream>, HouseholdError> {
    let failed = |source| HouseholdError::Socket { path: home.join(SOCKET_FILE), source };
    let short = short_name(home).map_err(failed)?;
    match UnixStream::connect(&short.name).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::WouldBlock => Ok(None),
            _ => Err(failed(error)),
        },
    }
}

/// Removes the socket of an owner that ends.
pub(super) fn remove(home: &Path) {
    let path = home.join(SOCKET_FILE);
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, path = %path.display(), "the socket stays behind; the next owner replaces it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(home: &Path) {
        prepare_home(home).unwrap();
        assert!(connect(home).await.unwrap().is_none());
        let listener = listen(home).unwrap();
        let mode = std::fs::metadata(home.join(SOCKET_FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(connect(home).await.unwrap().is_some());
        assert!(matches!(vacate(home).await, Err(HouseholdError::TwoOwners { .. })));
        drop(listener);
        assert!(connect(home).await.unwrap().is_none(), "a stale socket is nobody");
        vacate(home).await.unwrap();
        assert!(listen(home).is_ok(), "a stale socket is replaced");
    }

    #[tokio::test]
    async fn the_owner_listens_in_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        check(&folder.path().join("home")).await;
    }

    #[tokio::test]
    async fn a_long_name_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        check(&folder.path().join("a".repeat(100)).join("é".repeat(100))).await;
    }

    #[test]
    fn the_folder_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        prepare_home(folder.path()).unwrap();
        assert_eq!(std::fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET_FILE);
        std::fs::write(&path, "notes").unwrap();
        let found = vacate(folder.path()).await;
        assert!(matches!(found, Err(HouseholdError::InTheWay(_))));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "notes");
    }
}
