//! What happens to a node, and what it wants done. Both are closed: the shell handles every effect.

use bytes::Bytes;
use protocol::types::{LeaderEpoch, Offset, TimestampMs};

use crate::quorum_state::QuorumState;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The node's log and quorum state are loaded.
    Start,
    /// The active controller wants these records, as one batch without offset and epoch, appended in `epoch`.
    Append {
        /// Epoch in which the records were made; a batch of an older one is dropped.
        epoch: LeaderEpoch,
        /// The batch.
        batch: Bytes,
        /// How many records it has.
        records: i32,
    },
    /// Everything below this offset of our log is on disk.
    Flushed(Offset),
    /// The node stops.
    Resign,
}

/// Something that the shell must do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make the election's state durable before anything after it.
    WriteQuorumState(QuorumState),
    /// Append this batch at `base_offset` in `epoch`.
    AppendBatch {
        /// Offset of its first record.
        base_offset: Offset,
        /// Leader epoch of the batch.
        epoch: LeaderEpoch,
        /// The batch.
        batch: Bytes,
    },
    /// Sync the log, then report [`Event::Flushed`].
    Flush,
    /// This node leads from here on; the controller may become active once the log is replayed up to `start_offset`.
    BecameLeader {
        /// The new epoch.
        epoch: LeaderEpoch,
        /// Offset of the epoch's first record.
        start_offset: Offset,
    },
    /// All below this offset is committed.
    HighWatermark(Offset),
    /// This node no longer leads.
    LostLeadership,
}

/// The time of an event, wall clock milliseconds.
pub type Now = TimestampMs;
