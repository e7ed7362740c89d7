//! Record batches: Kafka's message format v2, its older formats for reading, and what a broker checks before it appends.
//! Batches stay slices of the buffer they came in; nothing here allocates for a length that the bytes do not hold.

mod batch;
mod builder;
mod compression;
mod control;
mod entry;
mod error;
mod filter;
mod legacy;
mod lz4;
mod snappy;
mod validate;
mod varint;
mod walk;

pub use batch::{
    Batch, BatchHeader, Batches, HEADER_SIZE, LOG_OVERHEAD, MAGIC_V0, MAGIC_V1, MAGIC_V2, NO_LEADER_EPOCH,
    NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, batches, increment_sequence, patch_base_offset,
    patch_leader_epoch, patch_max_timestamp, patch_producer,
};
pub use builder::{BatchBuilder, BatchSettings};
pub use compression::{DECOMPRESSED_LIMIT, compress, decompress};
pub use control::{ControlRecord, ControlRecordType};
pub use entry::{Header, Record, RecordIterator};
pub use error::BatchError;
pub use filter::{Kept, KeyedRecord, emptied, visit_keys};
pub use validate::{CompressionTarget, Origin, RejectedBatch, Rules, ValidBatch, validate};

/// The compression codec of a batch, in Kafka's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Compression {
    /// Not compressed.
    #[default]
    None,
    /// Gzip.
    Gzip,
    /// Snappy in the framing of xerial's `SnappyOutputStream`.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Every codec, by id.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its number in the attributes of a batch.
    #[must_use]
    pub fn id(self) -> i8 {
        self as i8
    }

    /// The codec of a number.
    #[must_use]
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// Its name in configurations and in the output of tools.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of a name in a configuration.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

/// Whose clock the timestamps of a batch come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's, at append.
    LogAppendTime,
}

impl TimestampType {
    /// Its name in configurations and in the output of tools.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }

    /// The type of a name in a configuration.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::CreateTime, Self::LogAppendTime].into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests;
