//! One partition's log in Kafka's on-disk format, synchronous, over a `Disk`. One owner writes a log; any number of
//! readers take its published view. What was synced survives a crash; what was not may be lost, but never damages the rest.

mod checkpoint;
pub mod cleaner;
mod config;
mod error;
mod flush;
mod index_file;
mod leader_epochs;
mod log;
mod log_dir;
mod log_view;
mod meta_properties;
mod offset_index;
mod place;
mod producer_state;
mod recovery;
mod retention;
mod segment;
mod time_index;
mod truncation;
mod txn_index;
mod verification;

pub use config::LogConfig;
pub use error::{AppendError, ReadError, StorageError};
pub use flush::Unsynced;
pub use log::{AppendRequest, AppendResult, Log};
pub use log_dir::{Checkpoints, LogDir, LogDirOptions};
pub use log_view::{FileSlice, LogView, LogViewCell};
pub use meta_properties::{META_PROPERTIES, MetaProperties};
pub use producer_state::ProducerState;
pub use recovery::OpenOptions;
pub use retention::Removed;
pub use segment::Segment;
pub use time_index::TimestampAndOffset;
pub use txn_index::AbortedTxn;
pub use verification::VerificationGuard;

#[cfg(test)]
mod crash_tests;
