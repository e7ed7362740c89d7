//! Why a log refuses.

use std::io;
use std::path::PathBuf;

use protocol::ErrorCode;
use protocol::record::BatchError;
use protocol::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

/// Why a log or a log directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk refused.
    #[error("disk error: {0}")]
    Disk(#[from] io::Error),
    /// An earlier sync failed: nothing may be promised any more.
    #[error("the log is offline after a disk error")]
    Offline,
    /// The log was deleted.
    #[error("the log was deleted")]
    Deleted,
    /// The directory belongs to a topic of the same name that was deleted.
    #[error("{} belongs to another topic of that name: it says {found}, the cluster says {expected}", path.display())]
    InconsistentTopicId {
        /// The partition's directory.
        path: PathBuf,
        /// Id in `partition.metadata`.
        found: protocol::Uuid,
        /// Id that the cluster gives.
        expected: protocol::Uuid,
    },
    /// Another process uses the directory.
    #[error(
        "Failed to acquire lock on file .lock in {}. A Kafka instance in another process or thread is using this directory.",
        .0.display()
    )]
    Locked(PathBuf),
    /// The directory was formatted for another node or cluster.
    #[error("{} has {name}={found} in its meta.properties, this node has {expected}", path.display())]
    InconsistentDir {
        /// The log directory.
        path: PathBuf,
        /// The property that differs.
        name: &'static str,
        /// What the file says.
        found: String,
        /// What the node says.
        expected: String,
    },
    /// A file says what it cannot say.
    #[error("malformed {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl StorageError {
    /// Whether the disk itself failed, so that nothing on it can be trusted to work: not a full one, which refuses writes
    /// only, nor a file that is damaged.
    #[must_use]
    pub fn is_disk_failure(&self) -> bool {
        // ENFILE and EMFILE: the process has too many files open.
        const DESCRIPTORS: [i32; 2] = [23, 24];
        match self {
            Self::Disk(error) => {
                !error.raw_os_error().is_some_and(|code| DESCRIPTORS.contains(&code))
                    && !matches!(
                        error.kind(),
                        io::ErrorKind::StorageFull
                            | io::ErrorKind::QuotaExceeded
                            | io::ErrorKind::FileTooLarge
                            | io::ErrorKind::InvalidData
                            | io::ErrorKind::OutOfMemory
                    )
            }
            Self::Offline
            | Self::Deleted
            | Self::InconsistentTopicId { .. }
            | Self::Locked(_)
            | Self::InconsistentDir { .. }
            | Self::Malformed { .. } => false,
        }
    }

    /// The code that a client is answered with.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Disk(_) | Self::Offline | Self::Locked(_) | Self::InconsistentDir { .. } | Self::Malformed { .. } => {
                ErrorCode::KafkaStorageError
            }
            Self::Deleted => ErrorCode::NotLeaderOrFollower,
            Self::InconsistentTopicId { .. } => ErrorCode::InconsistentTopicId,
        }
    }
}

/// Why records cannot be appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The log cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The bytes are no record batches.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The batch does not fit into a segment.
    #[error(
        "Message batch size is {size} bytes in append, which exceeds the maximum configured segment size of {limit}."
    )]
    LargerThanSegment {
        /// Size of the batch, in bytes.
        size: usize,
        /// `segment.bytes`.
        limit: u32,
    },
    /// An idempotent producer skipped or repeated a sequence (KIP-98).
    #[error(
        "Out of order sequence number for producer {producer_id}: {got} (incoming seq. number), {last} (current end sequence number)"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// The sequence it sent.
        got: Sequence,
        /// The last sequence that the log has of it.
        last: Sequence,
    },
    /// A producer that a newer one with its id has replaced.
    #[error("Epoch of producer {producer_id} is {got}, which is smaller than the last seen epoch {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch it sent.
        got: ProducerEpoch,
        /// The last epoch that the log has of it.
        current: ProducerEpoch,
    },
    /// A record outside of any transaction from a producer with an open one.
    #[error("Expected transactional write from producer {producer_id}")]
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
    },
    /// A transaction marker of a coordinator that was replaced.
    #[error("Invalid coordinator epoch for producer {producer_id}: {got} (zombie), {current} (current)")]
    CoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the marker.
        got: i32,
        /// The last epoch that the log has of it.
        current: i32,
    },
    /// A leader sent a follower records that do not follow on its log.
    #[error("Unexpected offset in append: {got}, next offset is {expected}")]
    UnexpectedOffset {
        /// First offset of the records.
        got: Offset,
        /// The log end offset.
        expected: Offset,
    },
    /// A leader epoch below the one that the log is in.
    #[error("leader epoch {got} is older than the log's {current}")]
    StaleLeaderEpoch {
        /// Epoch of the append.
        got: LeaderEpoch,
        /// Epoch of the log's last record.
        current: LeaderEpoch,
    },
}

impl AppendError {
    /// The code that a client is answered with.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Storage(error) => error.code(),
            Self::Batch(error) => error.code(),
            Self::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
            Self::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
            Self::UnexpectedOffset { .. } => ErrorCode::UnknownServerError,
            Self::StaleLeaderEpoch { .. } => ErrorCode::NotLeaderOrFollower,
        }
    }
}

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log does not have the offset: it was deleted, or is not written yet.
    #[error("offset {offset} is outside of the log's range {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// First offset of the log.
        log_start_offset: Offset,
        /// Offset after the log's last record.
        log_end_offset: Offset,
    },
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log holds something else than batches there.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

impl ReadError {
    /// The code that a client is answered with.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Storage(error) => error.code(),
            Self::Batch(error) => error.code(),
        }
    }
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error.into())
    }
}
