//! Why bytes are not record batches.

use crate::{DecodeError, ErrorCode};

/// Why bytes are not the record batches they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The buffer ends inside a batch: a fetch cut off at its limit, or a torn write at the end of a log.
    #[error("{wanted} bytes needed for the batch, {left} left")]
    Truncated {
        /// Bytes that the batch needs.
        wanted: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A size field that is below the header's size.
    #[error("record batch is corrupt (the size {size} is smaller than the minimum allowed overhead {minimum})")]
    TooSmall {
        /// Size of the batch by its length field, in bytes.
        size: i64,
        /// Least size of a batch of this magic, in bytes.
        minimum: usize,
    },
    /// A message format that does not exist.
    #[error("invalid magic {0} found in record batch")]
    UnknownMagic(i8),
    /// The bytes are not the ones that the checksum was made for.
    #[error("record is corrupt (stored crc = {stored}, computed crc = {computed})")]
    Checksum {
        /// Checksum in the batch.
        stored: u32,
        /// Checksum of its bytes.
        computed: u32,
    },
    /// A codec number that Kafka does not define.
    #[error("unknown compression type id: {0}")]
    UnknownCompression(i8),
    /// The records inside the batch are malformed.
    #[error("{0}")]
    InvalidRecord(&'static str),
    /// The codec refused the compressed records.
    #[error("cannot decompress {codec} records: {reason}")]
    Decompress {
        /// Name of the codec.
        codec: &'static str,
        /// What the codec said.
        reason: String,
    },
    /// The codec refused to compress.
    #[error("cannot compress records with {codec}: {reason}")]
    Compress {
        /// Name of the codec.
        codec: &'static str,
        /// What the codec said.
        reason: String,
    },
    /// The decompressed records are larger than the caller allows.
    #[error("decompressed records are larger than the limit of {limit} bytes")]
    LimitExceeded {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The value of a control record is not what its type says.
    #[error("malformed control record: {0}")]
    Control(#[from] DecodeError),
}

impl BatchError {
    /// The code that a client is answered with.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Truncated { .. } | Self::TooSmall { .. } | Self::UnknownMagic(_) | Self::Checksum { .. } => {
                ErrorCode::CorruptMessage
            }
            Self::InvalidRecord(_) | Self::Control(_) => ErrorCode::InvalidRecord,
            // What a codec throws is no error of the protocol to Kafka.
            Self::UnknownCompression(_) | Self::Decompress { .. } | Self::Compress { .. } => {
                ErrorCode::UnknownServerError
            }
            Self::LimitExceeded { .. } => ErrorCode::MessageTooLarge,
        }
    }
}
