//! Weights that stay in their file until they are needed.
//!
//! A tensor is read by position, never mapped: a file that is cut short or replaced
//! while it is in use is an error then, and not the end of the process.

use crate::compute::formats::{Format, dequantise};
use crate::compute::matrix::Matrix;
use crate::compute::panel::Layout;
use crate::compute::processor::Processor;
use crate::error::LoadError;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that weights are read from.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    file: File,
    /// What it was when it was opened.
    state: State,
}

/// What tells a file from itself at another time: length, and when it changed last.
type State = (u64, i64, i64);

fn state(file: &File) -> std::io::Result<State> {
    file.metadata().map(|found| (found.len(), found.mtime(), found.mtime_nsec()))
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>, LoadError> {
        let file = crate::qwen::files::open(path)?;
        let read = |source| LoadError::Read { path: path.to_owned(), source };
        let state = state(&file).map_err(read)?;
        Ok(Arc::new(Self { path: path.to_owned(), file, state }))
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<(), WeightsError> {
        let failed = |source| WeightsError::Read { path: self.path.clone(), source };
        match self.file.read_exact_at(bytes, at) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(self.changed()),
            Err(error) => Err(failed(error)),
        }
    }

    fn changed(&self) -> WeightsError {
        WeightsError::Changed { path: self.path.clone() }
    }

    /// Makes sure that the file is the one that was opened.
    fn check(&self) -> Result<(), WeightsError> {
        let failed = |source| WeightsError::Read { path: self.path.clone(), source };
        if state(&self.file).map_err(failed)? == self.state { Ok(()) } else { Err(self.changed()) }
    }
}

/// Why weights could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be read.
    #[error("could not read the weights in {path}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is another than the one that was opened.
    #[error("{path} has changed since it was opened: start again to load what is there now", path = path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// A tensor that the model needs is not in its files.
    #[error("the tensor {name} is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A token that the model does not have.
    #[error("there is no token {token}: the model has {tokens}")]
    Token {
        /// Which.
        token: u32,
        /// How many there are.
        tokens: usize,
    },
    /// The threads that compute could not be started.
    #[error("could not start the threads that compute")]
    Threads {
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A graphics processor could not do something.
    #[error("the graphics processor could not compute")]
    Device {
        /// What it says.
        #[source]
        source: Box<candle_core::Error>,
    },
    /// There is no room.
    #[error("there is no memory for {bytes} bytes of weights: free some, or use a smaller model")]
    Room {
        /// How much is missing.
        bytes: usize,
    },
}

/// Where a tensor lies.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) source: Arc<Source>,
    pub(crate) format: Format,
    /// Its first byte in the file.
    pub(crate) at: u64,
    /// Rows first; a vector is one row.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Tensor {
    /// A row as numbers.
    pub(crate) fn row(
        &self,
        row: usize,
        bytes: &mut Vec<u8>,
        out: &mut [f32],
    ) -> Result<(), WeightsError> {
        bytes.resize(self.format.bytes(self.columns), 0);
        self.source.read(self.at + (row * bytes.len()) as u64, bytes)?;
        dequantise(self.format, bytes, out);
        Ok(())
    }

    /// Makes sure that its file is the one that was opened.
    pub(crate) fn check(&self) -> Result<(), WeightsError> {
        self.source.check()
    }

    /// All of it as it lies in its file.
    #[cfg(any(test, feature = "cuda", feature = "metal"))]
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, WeightsError> {
        let size = self.format.bytes(self.columns) * self.rows;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| WeightsError::Room { bytes: size })?;
        bytes.resize(size, 0);
        self.source.read(self.at, &mut bytes)?;
        self.source.check()?;
        Ok(bytes)
    }

    /// A vector as numbers.
    pub(crate) fn vector(&self) -> Result<Vec<f32>, WeightsError> {
        let mut out = vec![0.0; self.columns];
        self.row(0, &mut Vec::new(), &mut out)?;
        self.source.check()?;
        Ok(out)
    }

    /// The matrix, packed by all threads.
    fn pack(&self, processor: &Processor) -> Result<Matrix, WeightsError> {
        let layout = Layout { format: self.format, columns: self.columns };
        let size = self.format.bytes(self.columns);
        let read =
            |row: usize, bytes: &mut [u8]| self.source.read(self.at + (row * size) as u64, bytes);
        let room = || WeightsError::Room { bytes: self.rows * size };
        let matrix = processor.pack(layout, self.rows, read).ok_or_else(room)??;
        self.source.check()?;
        Ok(matrix)
    }
}

/// A matrix that is packed when it is first used.
#[derive(Debug)]
pub(crate) struct Weight {
    tensor: Tensor,
    packed: Option<Matrix>,
}

impl Weight {
    pub(crate) fn new(tensor: Tensor) -> Self {
        Self { tensor, packed: None }
    }

    /// The matrix.
    pub(crate) fn matrix(&mut self, processor: &Processor) -> Result<&Matrix, WeightsError> {
        let packed = match self.packed.take() {
            Some(packed) => packed,
            None => self.tensor.pack(processor)?,
        };
        Ok(self.packed.insert(packed))
    }
}
