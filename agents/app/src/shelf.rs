//! The playbooks as they stand: read when they are first needed, and again whenever
//! a file of the user's came, went or was written.

use alma::Error;
use alma::config::{self, ConfigError};
use moroni::playbooks::Library;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use surfaces::cli::exit::chain;

/// Playbooks of their own that a user may have.
const PLAYBOOKS_MAX: usize = 500;

/// Name, size and time of each of the user's files.
type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// The shipped playbooks, and the user's own below `playbooks/`.
pub(crate) struct Shelf {
    folder: PathBuf,
    read: Mutex<Option<(Stamp, Arc<Library>)>>,
}

impl Shelf {
    pub(crate) fn new(home: &Path) -> Self {
        Self { folder: home.join("playbooks"), read: Mutex::new(None) }
    }

    /// The playbooks.
    pub(crate) fn library(&self) -> Result<Arc<Library>, Error> {
        let wrong = |error: ConfigError| Error::Usage(chain(&error));
        let stamp = self.stamp().map_err(wrong)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, library)) = read.as_ref().filter(|(known, _)| *known == stamp) {
            return Ok(Arc::clone(library));
        }
        let library = Arc::new(self.open(&stamp).map_err(wrong)?);
        *read = Some((stamp, Arc::clone(&library)));
        Ok(library)
    }

    fn unread(&self, path: &Path, source: std::io::Error) -> ConfigError {
        ConfigError::Read { path: path.to_owned(), source }
    }

    fn stamp(&self) -> Result<Stamp, ConfigError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.unread(&self.folder, error))?,
        };
        let mut stamp = Vec::new();
        for entry in entries.take(PLAYBOOKS_MAX) {
            let path = entry.map_err(|error| self.unread(&self.folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let found = std::fs::metadata(&path).map_err(|error| self.unread(&path, error))?;
                stamp.push((path, found.len(), found.modified().ok()));
            }
        }
        stamp.sort();
        Ok(stamp)
    }

    fn open(&self, stamp: &Stamp) -> Result<Library, ConfigError> {
        let mut own = Vec::new();
        for (path, ..) in stamp {
            let text = config::read(path).map_err(|error| self.unread(path, error))?;
            own.push((path.display().to_string(), text));
        }
        Library::with(own).map_err(|error| ConfigError::Field {
            place: self.folder.display().to_string(),
            message: format!("{}; mend the file, or take it out of the folder", chain(&error)),
        })
    }
}
