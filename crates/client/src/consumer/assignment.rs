//! The partitions that a consumer reads, and where it is in each.

use std::collections::BTreeMap;

use protocol::TopicPartition;
use protocol::types::{BrokerId, LeaderEpoch, Offset, TimestampMs};
use tokio::time::Instant;

use super::OffsetReset;
use crate::clock;

/// Timestamps that ListOffsets takes for the two ends of a log.
pub(super) const LATEST: TimestampMs = -1;
pub(super) const EARLIEST: TimestampMs = -2;

/// An offset to continue from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// Offset of the next record to read.
    pub offset: Offset,
    /// Epoch of the leader that wrote the record before it, if known.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Whatever the application keeps with it.
    pub metadata: String,
}

impl From<Offset> for OffsetAndMetadata {
    fn from(offset: Offset) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }
}

/// What is needed before a partition can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The committed offset.
    Committed,
    /// The offset at a time, or at an end of the log.
    At(TimestampMs),
    /// Nothing.
    Nothing,
}

/// One partition.
#[derive(Debug)]
pub(super) struct Partition {
    /// Offset of the next record that `poll` returns, and the epoch of the record before.
    pub(super) position: Option<(Offset, LeaderEpoch)>,
    pub(super) wanted: Wanted,
    /// A request for what is wanted is under way.
    pub(super) asking: bool,
    /// Counts changes of the position other than by reading, so that late responses are told apart.
    pub(super) version: u64,
    pub(super) paused: bool,
    /// Fetched records wait to be returned.
    pub(super) buffered: bool,
    pub(super) retry_at: Instant,
    /// Replica that the leader asked to be read instead of it, and until when.
    pub(super) preferred_replica: Option<(BrokerId, Instant)>,
    pub(super) high_watermark: Option<Offset>,
    pub(super) last_stable_offset: Option<Offset>,
}

impl Partition {
    fn new(wanted: Wanted, version: u64) -> Self {
        Self {
            position: None,
            wanted,
            asking: false,
            version,
            paused: false,
            buffered: false,
            retry_at: Instant::now(),
            preferred_replica: None,
            high_watermark: None,
            last_stable_offset: None,
        }
    }

    /// Looks for the position anew.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.position = None;
        self.wanted = wanted;
        self.moved();
    }

    /// Continues at `offset`.
    pub(super) fn seek(&mut self, offset: Offset, leader_epoch: LeaderEpoch) {
        self.position = Some((offset, leader_epoch));
        self.wanted = Wanted::Nothing;
        self.moved();
    }

    /// Looks for the position as `reset` says; false if it says nowhere.
    pub(super) fn reset(&mut self, reset: OffsetReset) -> bool {
        let timestamp = match reset {
            OffsetReset::Earliest => EARLIEST,
            OffsetReset::Latest => LATEST,
            OffsetReset::ByDuration(age) => {
                clock::wall_ms().saturating_sub(TimestampMs::try_from(age.as_millis()).unwrap_or(TimestampMs::MAX))
            }
            OffsetReset::None => return false,
        };
        self.want(Wanted::At(timestamp));
        true
    }

    fn moved(&mut self) {
        self.version += 1;
        self.asking = false;
        self.buffered = false;
        self.preferred_replica = None;
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    pub(super) partitions: BTreeMap<TopicPartition, Partition>,
    /// Versions go on over reassignments, so that nothing late fits again.
    next_version: u64,
}

impl Assignment {
    /// Takes exactly `assigned`; those that are new want `wanted`, the others stay where they are.
    pub(super) fn replace(&mut self, assigned: &[TopicPartition], wanted: Wanted) {
        self.partitions.retain(|partition, _| assigned.contains(partition));
        self.next_version = self.next_version.wrapping_add(1 << 32);
        let version = self.next_version;
        for partition in assigned {
            self.partitions.entry(partition.clone()).or_insert_with(|| Partition::new(wanted, version));
        }
    }

    pub(super) fn names(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    /// The partition if its position is still the one of `version`.
    pub(super) fn current(&mut self, partition: &TopicPartition, version: u64) -> Option<&mut Partition> {
        self.partitions.get_mut(partition).filter(|state| state.version == version)
    }

    /// Positions to commit.
    pub(super) fn positions(&self) -> BTreeMap<TopicPartition, OffsetAndMetadata> {
        let known = self.partitions.iter().filter_map(|(partition, state)| Some((partition, state.position?)));
        known
            .map(|(partition, (offset, epoch))| {
                let leader_epoch = (epoch >= 0).then_some(epoch);
                (partition.clone(), OffsetAndMetadata { offset, leader_epoch, metadata: String::new() })
            })
            .collect()
    }
}
