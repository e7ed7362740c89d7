//! Why a node cannot start, in words for the operator.

use std::io;

/// The reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A log or log directory cannot be used.
    #[error(transparent)]
    Storage(#[from] storage::StorageError),
    /// The metadata log could not be appended to.
    #[error(transparent)]
    Append(#[from] storage::AppendError),
    /// The metadata log could not be read.
    #[error(transparent)]
    Read(#[from] storage::ReadError),
    /// A batch of the metadata log or of a snapshot is damaged.
    #[error("the metadata log is damaged: {0}")]
    Batch(#[from] protocol::record::BatchError),
    /// A record of the metadata log is not known.
    #[error("the metadata log cannot be read: {0}")]
    Metadata(#[from] metadata::MetadataError),
    /// The quorum cannot be joined.
    #[error(transparent)]
    Raft(#[from] raft::StartError),
    /// The file `quorum-state` is damaged.
    #[error(transparent)]
    QuorumState(#[from] raft::quorum_state::ParseQuorumStateError),
    /// The node is not broker and controller in one.
    #[error("process.roles must be broker,controller: this version runs both roles in one process only")]
    Roles,
    /// Tiered storage is asked for.
    #[error("remote.log.storage.system.enable=true: this version has no tiered storage")]
    TieredStorage,
    /// The node's own registration was refused.
    #[error("the controller refused to register this broker: {0}")]
    Registration(String),
}
