//! The share coordinator (KIP-932): how far the delivery of each share-partition is, kept in `__share_group_state` for the
//! brokers that lead the partitions. A share-partition is one partition as one share group consumes it.
//! State changes in one way: a request gives a record, and the record is applied, at once and again when the log is read.

mod batches;
mod record;
mod redundant;
mod shard;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use protocol::types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use protocol::{ErrorCode, Uuid};

pub use batches::StateBatch;
pub use shard::ShareShard;
pub use state::{NO_START_OFFSET, ShareState};

/// A share-partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShareKey {
    /// The share group.
    pub group_id: Arc<str>,
    /// The topic.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: PartitionIndex,
}

impl ShareKey {
    /// What FindCoordinator is asked for, and what is hashed to a partition of `__share_group_state`.
    #[must_use]
    pub fn coordinator_key(&self) -> String {
        format!("{}:{}:{}", self.group_id, self.topic_id, self.partition)
    }
}

/// Settings of the share coordinator.
#[derive(Debug, Clone)]
pub struct ShareConfig {
    /// `share.coordinator.snapshot.update.records.per.snapshot`.
    pub updates_per_snapshot: u32,
    /// `share.coordinator.cold.partition.snapshot.interval.ms`.
    pub cold_snapshot_interval_ms: TimestampMs,
    /// `share.coordinator.state.topic.prune.interval.ms`.
    pub prune_interval_ms: TimestampMs,
}

/// What the leader of a partition says of a share-partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareWrite {
    /// The state epoch that it read; -1 to not check it.
    pub state_epoch: i32,
    /// Its own epoch; -1 to not check it.
    pub leader_epoch: LeaderEpoch,
    /// All below is delivered; -1 to leave it.
    pub start_offset: Offset,
    /// Records from the start offset on whose delivery is complete; -1 if unknown.
    pub delivery_complete_count: i32,
    /// What has changed.
    pub state_batches: Vec<StateBatch>,
}

/// What is known of a share-partition in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareSummary {
    /// As in [`ShareState`].
    pub state_epoch: i32,
    /// As in [`ShareState`].
    pub leader_epoch: LeaderEpoch,
    /// As in [`ShareState`].
    pub start_offset: Offset,
    /// As in [`ShareState`].
    pub delivery_complete_count: i32,
}

/// The answer to a request that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareAnswer {
    /// It is stored, or deleted.
    Done,
    /// The state.
    State(Box<ShareState>),
    /// The state in short.
    Summary(ShareSummary),
}

/// The answer to a request.
pub type ShareResponse = Result<ShareAnswer, ShareError>;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The partition is below zero.
    #[error("The partition id cannot be a negative number.")]
    NegativePartition,
    /// Nobody has initialized what is to be written.
    #[error("Write operation on uninitialized share partition not allowed.")]
    WriteUninitialized,
    /// Nobody has initialized what is to be read.
    #[error("Read operation on uninitialized share partition not allowed.")]
    ReadUninitialized,
    /// A later leader has been here.
    #[error("{}", ErrorCode::FencedLeaderEpoch.message())]
    FencedLeaderEpoch,
    /// The state was set anew.
    #[error("{}", ErrorCode::FencedStateEpoch.message())]
    FencedStateEpoch,
    /// There is no such partition.
    #[error("{}", ErrorCode::UnknownTopicOrPartition.message())]
    UnknownPartition,
    /// The state could not be written.
    #[error("{}", .0.message())]
    Refused(ErrorCode),
}

impl ShareError {
    /// Its code on the wire.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::NegativePartition | Self::WriteUninitialized | Self::ReadUninitialized => ErrorCode::InvalidRequest,
            Self::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            Self::FencedStateEpoch => ErrorCode::FencedStateEpoch,
            Self::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            Self::Refused(code) => code,
        }
    }
}

/// What a share coordinator wants done beside answers and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareAction {
    /// Nobody needs the records below this offset of the partition of `__share_group_state` that the key lives in.
    DeleteRecords {
        /// One of the partition's keys.
        key: ShareKey,
        /// The first offset to keep.
        below: Offset,
    },
}
