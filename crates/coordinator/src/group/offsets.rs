//! The offsets that groups have committed, and those that transactions have committed but not ended.
//! Only records that are in the log are here; a commit in flight is not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use protocol::Uuid;
use protocol::types::{LeaderEpoch, Offset, PartitionIndex, ProducerId, TimestampMs};

/// What an offset is committed for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OffsetKey {
    pub(crate) group: Arc<str>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: PartitionIndex,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    /// Where its record is in `__consumer_offsets`; -1 until it is there.
    pub(crate) record_offset: Offset,
    pub(crate) offset: Offset,
    /// -1 if the client did not say.
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) metadata: Box<str>,
    pub(crate) commit_timestamp_ms: TimestampMs,
    /// When it expires, if its client said so (up to version 4 of OffsetCommit).
    pub(crate) expire_timestamp_ms: Option<TimestampMs>,
    /// Zero in records of before 4.0.
    pub(crate) topic_id: Uuid,
}

impl CommittedOffset {
    /// Whether it is of the topic with that id; an id that is not known on either side matches.
    pub(crate) fn is_of_topic(&self, topic_id: Uuid) -> bool {
        self.topic_id.is_zero() || topic_id.is_zero() || self.topic_id == topic_id
    }
}

/// The offsets of one group, by topic and partition.
pub(crate) type GroupOffsets = BTreeMap<Arc<str>, BTreeMap<PartitionIndex, CommittedOffset>>;

/// The offsets of all groups.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    by_group: HashMap<Arc<str>, GroupOffsets>,
    /// Offsets of transactions that have not ended.
    open: HashMap<ProducerId, BTreeMap<OffsetKey, CommittedOffset>>,
}

impl Offsets {
    /// The offsets of a group. A group or topic without any is not there.
    pub(crate) fn of_group(&self, group_id: &str) -> Option<&GroupOffsets> {
        self.by_group.get(group_id)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &GroupOffsets)> {
        self.by_group.iter()
    }

    pub(crate) fn put(&mut self, key: OffsetKey, committed: CommittedOffset) {
        let topics = match self.by_group.get_mut(&key.group) {
            Some(topics) => topics,
            None => self.by_group.entry(key.group).or_default(),
        };
        let partitions = match topics.get_mut(&key.topic) {
            Some(partitions) => partitions,
            None => topics.entry(key.topic).or_default(),
        };
        partitions.insert(key.partition, committed);
    }

    /// Forgets an offset, and what open transactions committed for it.
    pub(crate) fn remove(&mut self, key: &OffsetKey) {
        for offsets in self.open.values_mut() {
            offsets.remove(key);
        }
        let Some(topics) = self.by_group.get_mut(&key.group) else { return };
        if let Some(partitions) = topics.get_mut(&key.topic) {
            partitions.remove(&key.partition);
            if partitions.is_empty() {
                topics.remove(&key.topic);
            }
        }
        if topics.is_empty() {
            self.by_group.remove(&key.group);
        }
    }

    /// Keeps an offset until its transaction ends.
    pub(crate) fn put_open(&mut self, producer_id: ProducerId, key: OffsetKey, committed: CommittedOffset) {
        self.open.entry(producer_id).or_default().insert(key, committed);
    }

    /// Takes over what a transaction committed, unless a later record has set the offset since.
    pub(crate) fn commit_transaction(&mut self, producer_id: ProducerId) {
        for (key, committed) in self.open.remove(&producer_id).unwrap_or_default() {
            let topics = self.by_group.get(&key.group);
            let current = topics.and_then(|topics| topics.get(&key.topic)).and_then(|all| all.get(&key.partition));
            if current.is_none_or(|current| current.record_offset < committed.record_offset) {
                self.put(key, committed);
            }
        }
    }

    /// Forgets what a transaction committed.
    pub(crate) fn abort_transaction(&mut self, producer_id: ProducerId) {
        self.open.remove(&producer_id);
    }

    /// The offsets of a group that open transactions committed.
    pub(crate) fn open_of_group(&self, group_id: &str) -> impl Iterator<Item = &OffsetKey> {
        self.open.values().flat_map(BTreeMap::keys).filter(move |key| *key.group == *group_id)
    }

    /// All offsets that open transactions committed.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&OffsetKey, &CommittedOffset)> {
        self.open.values().flatten()
    }

    /// Whether an open transaction committed an offset for the partition.
    pub(crate) fn is_open(&self, group_id: &str, topic: &str, partition: PartitionIndex) -> bool {
        self.open_of_group(group_id).any(|key| *key.topic == *topic && key.partition == partition)
    }
}
