//! Why metadata records cannot be read or applied.

use protocol::types::{BrokerId, PartitionIndex};
use protocol::{DecodeError, EncodeError, ErrorCode, Uuid};

/// Why metadata records cannot be read or applied. All of them mean a broken log.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetadataError {
    /// The record's bytes are not what its type says.
    #[error("metadata record of type {record_type} cannot be read")]
    Decode {
        /// Type of the record.
        record_type: i16,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// The record's frame is not one.
    #[error("frame of a metadata record cannot be read")]
    Frame(#[source] DecodeError),
    /// The record cannot be written in the version that goes with the metadata version.
    #[error("metadata record cannot be written")]
    Encode(#[from] EncodeError),
    /// Only frame version 1 exists.
    #[error("unknown frame version {0} of a metadata record, only version 1 is supported")]
    FrameVersion(u32),
    /// The type belongs to a newer metadata version.
    #[error("unknown metadata record type {0}")]
    UnknownType(u32),
    /// Bytes follow the record.
    #[error("found {0} bytes of garbage after a metadata record")]
    Garbage(usize),
    /// A record names a topic that is not there.
    #[error("metadata record names the topic id {0}, which does not exist")]
    UnknownTopic(Uuid),
    /// A record names a partition that is not there.
    #[error("metadata record names partition {1} of the topic id {0}, which does not exist")]
    UnknownPartition(Uuid, PartitionIndex),
    /// A record names a broker that is not there.
    #[error("metadata record names broker {0}, which is not registered")]
    UnknownBroker(BrokerId),
    /// A record names a broker by an old registration.
    #[error("metadata record names epoch {got} of broker {broker_id}, which has epoch {expected}")]
    BrokerEpoch {
        /// The broker.
        broker_id: BrokerId,
        /// Epoch in the record.
        got: i64,
        /// Epoch of the registration.
        expected: i64,
    },
    /// The records of a transaction are out of order.
    #[error("metadata transaction: {0}")]
    Transaction(&'static str),
    /// A batch of the log or of a snapshot cannot be read.
    #[error("metadata batch cannot be read")]
    Batch(#[from] protocol::record::BatchError),
}

impl MetadataError {
    /// The code on the wire: nothing that a client could do about it.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::UnknownServerError
    }
}
