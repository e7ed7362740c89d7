//! What is known of one share-partition: the sum of a snapshot and of the updates after it.

use protocol::messages::{ShareSnapshotValue, ShareUpdateValue, share_snapshot_value, share_update_value};
use protocol::types::{LeaderEpoch, Offset, TimestampMs};

use super::batches::{StateBatch, merge};

/// No start offset has been set: delivery has not begun.
pub const NO_START_OFFSET: Offset = -1;

/// The state of one share-partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareState {
    /// Counts snapshots.
    pub snapshot_epoch: i32,
    /// Counts how often the state was set anew, as by an alteration of offsets.
    pub state_epoch: i32,
    /// Epoch of the partition's leader.
    pub leader_epoch: LeaderEpoch,
    /// All below is delivered; [`NO_START_OFFSET`] before the first delivery.
    pub start_offset: Offset,
    /// Records from the start offset on whose delivery is complete; -1 if unknown.
    pub delivery_complete_count: i32,
    /// Records from the start offset on of which something is known.
    pub state_batches: Vec<StateBatch>,
    /// When the snapshot was made, that this one goes back to.
    pub create_timestamp_ms: TimestampMs,
    /// When the snapshot was written.
    pub write_timestamp_ms: TimestampMs,
}

impl ShareState {
    pub(super) fn from_snapshot(value: &ShareSnapshotValue) -> Self {
        let batches = value.state_batches.iter().map(|batch| StateBatch {
            first_offset: batch.first_offset,
            last_offset: batch.last_offset,
            delivery_state: batch.delivery_state,
            delivery_count: batch.delivery_count,
        });
        let mut state_batches = Vec::with_capacity(value.state_batches.len());
        merge(&mut state_batches, batches, NO_START_OFFSET);
        Self {
            snapshot_epoch: value.snapshot_epoch,
            state_epoch: value.state_epoch,
            leader_epoch: value.leader_epoch,
            start_offset: value.start_offset,
            delivery_complete_count: value.delivery_complete_count,
            state_batches,
            create_timestamp_ms: value.create_timestamp,
            write_timestamp_ms: value.write_timestamp,
        }
    }

    /// The state that an update leaves; without a state before it, the update is all that is known.
    pub(super) fn update(before: Option<Self>, value: &ShareUpdateValue) -> Self {
        let mut state = before.unwrap_or_else(|| Self {
            snapshot_epoch: value.snapshot_epoch,
            start_offset: value.start_offset,
            leader_epoch: value.leader_epoch,
            ..Self::default()
        });
        if value.start_offset != NO_START_OFFSET {
            state.start_offset = value.start_offset;
        }
        if value.leader_epoch != -1 {
            state.leader_epoch = value.leader_epoch;
        }
        state.delivery_complete_count = value.delivery_complete_count;
        merge(&mut state.state_batches, value.state_batches.iter().map(update_batch), state.start_offset);
        state
    }

    pub(super) fn to_snapshot(&self) -> ShareSnapshotValue {
        let state_batches = self.state_batches.iter().map(|batch| share_snapshot_value::StateBatch {
            first_offset: batch.first_offset,
            last_offset: batch.last_offset,
            delivery_state: batch.delivery_state,
            delivery_count: batch.delivery_count,
            ..Default::default()
        });
        ShareSnapshotValue {
            snapshot_epoch: self.snapshot_epoch,
            state_epoch: self.state_epoch,
            leader_epoch: self.leader_epoch,
            start_offset: self.start_offset,
            delivery_complete_count: self.delivery_complete_count,
            create_timestamp: self.create_timestamp_ms,
            write_timestamp: self.write_timestamp_ms,
            state_batches: state_batches.collect(),
            ..Default::default()
        }
    }
}

fn update_batch(batch: &share_update_value::StateBatch) -> StateBatch {
    StateBatch {
        first_offset: batch.first_offset,
        last_offset: batch.last_offset,
        delivery_state: batch.delivery_state,
        delivery_count: batch.delivery_count,
    }
}
