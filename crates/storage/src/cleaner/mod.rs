//! Compaction: of every key the log keeps its last record (`LogCleaner`, `Cleaner`).
//! A cleaning is planned under the log's lock, reads and writes without it, and swaps its segments in under it again. Sealed
//! segments do not change meanwhile; what was truncated or deleted makes the cleaning give up. A crash leaves the old
//! segments or the new ones, and never a mixture that lacks a record.

mod compact;
mod offset_map;
mod output;
mod scan;
mod schedule;
mod swap;
mod transactions;

pub use compact::{CleanedLog, clean};
pub use output::CleanedSegment;
pub use schedule::{Cleanable, Cleaning};
pub(crate) use swap::finish_swaps;

use std::io;

use protocol::record::BatchError;

use crate::error::{ReadError, StorageError};

/// Bounds of a cleaning.
#[derive(Debug, Clone, Copy)]
pub struct CleanerSettings {
    /// Memory for the keys of one cleaning, in bytes: `log.cleaner.dedupe.buffer.size` over `log.cleaner.threads`.
    pub dedupe_bytes: u64,
    /// How full that memory may get: `log.cleaner.io.buffer.load.factor`.
    pub load_factor: f64,
    /// Bytes read at a time.
    pub io_buffer_bytes: usize,
    /// What the hashes of keys start from, so that nobody can make keys that collide.
    pub hash_key: [u64; 2],
}

/// How fast a cleaning goes, and whether it goes on.
pub trait Pace {
    /// Called after so many bytes were read or written; waits to hold a rate.
    /// # Errors
    /// [`CleanError::Aborted`] if the cleaning is to end.
    fn moved(&mut self, bytes: u64) -> Result<(), CleanError>;
}

/// Why a log was not cleaned.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The log changed under the cleaning, or nobody wants it any more.
    #[error("the cleaning was given up")]
    Aborted,
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log holds something else than batches there: it stays uncleanable until somebody looks at it.
    #[error("segment {base_offset} is damaged at position {position}: {reason}")]
    Corrupt {
        /// The segment.
        base_offset: i64,
        /// Where in its file.
        position: u64,
        /// What is wrong.
        reason: BatchError,
    },
}

impl From<io::Error> for CleanError {
    fn from(error: io::Error) -> Self {
        // A file that is gone was deleted by retention, or with its topic.
        if error.kind() == io::ErrorKind::NotFound { Self::Aborted } else { Self::Storage(error.into()) }
    }
}

impl From<ReadError> for CleanError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(StorageError::Disk(error)) => error.into(),
            error => Self::Storage(error.into()),
        }
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
