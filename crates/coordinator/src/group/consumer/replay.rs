//! From records to the state of consumer groups, when they are loaded and when they are made.
//! A tombstone for something that is not there changes nothing: the log is compacted.

use std::sync::Arc;

use protocol::messages::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
};
use tracing::warn;

use super::member::{CurrentAssignment, LEAVE_EPOCH, MemberMetadata};
use super::state::{ConsumerGroup, ResolvedRegex};
use crate::group::Group;
use crate::group::modern::target::NO_ASSIGNMENT_EPOCH;
use crate::record::modern::GroupRecord;
use crate::shard::GroupShard;

impl GroupShard {
    /// Takes over a record of a group of the newer protocols.
    pub(crate) fn replay_group(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::ConsumerGroupMetadata(key, value) => self.replay_epoch(&key, value),
            GroupRecord::ConsumerGroupPartitionMetadata(key, value) => {
                if let Some(group) = self.replayed_consumer_group(&key.group_id, value.is_some()) {
                    group.has_partition_metadata = value.is_some();
                }
            }
            GroupRecord::ConsumerGroupMemberMetadata(key, value) => self.replay_member(key, value),
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value) => self.replay_target_epoch(&key, value),
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => self.replay_target(key, value),
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => self.replay_current(key, value),
            GroupRecord::ConsumerGroupRegularExpression(key, value) => self.replay_regex(key, value),
            GroupRecord::StreamsGroupMetadata(..)
            | GroupRecord::StreamsGroupMemberMetadata(..)
            | GroupRecord::StreamsGroupTargetAssignmentMetadata(..)
            | GroupRecord::StreamsGroupTargetAssignmentMember(..)
            | GroupRecord::StreamsGroupCurrentMemberAssignment(..)
            | GroupRecord::StreamsGroupTopology(..) => self.replay_streams_group(record),
            record => self.replay_share_group(record),
        }
    }

    /// The group that a record is of. A value makes the group if it is not there, in place of one that has only offsets.
    fn replayed_consumer_group(&mut self, group_id: &str, create: bool) -> Option<&mut ConsumerGroup> {
        let replaces = match self.group(group_id) {
            None => true,
            Some(Group::Classic(group)) => group.is_simple(),
            Some(Group::Consumer(_) | Group::Share(_) | Group::Streams(_)) => false,
        };
        if create && replaces {
            self.remove_group(group_id);
            self.insert_group(Group::Consumer(ConsumerGroup::new(group_id.into())));
        }
        match self.group_mut(group_id) {
            Some(Group::Consumer(group)) => Some(group),
            Some(_) if create => {
                warn!(group_id, "left a record of a consumer group alone: there is another group of that name");
                None
            }
            Some(_) | None => None,
        }
    }

    fn replay_epoch(&mut self, key: &ConsumerGroupMetadataKey, value: Option<ConsumerGroupMetadataValue>) {
        let Some(group) = self.replayed_consumer_group(&key.group_id, value.is_some()) else { return };
        match value {
            Some(value) => {
                group.epoch = value.epoch;
                group.metadata_hash = value.metadata_hash;
            }
            None => {
                self.remove_group(&key.group_id);
            }
        }
    }

    fn replay_member(&mut self, key: ConsumerGroupMemberMetadataKey, value: Option<ConsumerGroupMemberMetadataValue>) {
        let Some(group) = self.replayed_consumer_group(&key.group_id, value.is_some()) else { return };
        match value {
            Some(value) => group.set_metadata(&key.member_id.into(), MemberMetadata::from_value(value)),
            None => group.remove_member(&key.member_id),
        }
    }

    fn replay_target_epoch(
        &mut self,
        key: &ConsumerGroupTargetAssignmentMetadataKey,
        value: Option<ConsumerGroupTargetAssignmentMetadataValue>,
    ) {
        let Some(group) = self.replayed_consumer_group(&key.group_id, value.is_some()) else { return };
        let epoch = value.as_ref().map_or(NO_ASSIGNMENT_EPOCH, |value| value.assignment_epoch);
        group.target.epoch = epoch;
        group.target.timestamp_ms = value.map_or(0, |value| value.assignment_timestamp);
    }

    fn replay_target(
        &mut self,
        key: ConsumerGroupTargetAssignmentMemberKey,
        value: Option<ConsumerGroupTargetAssignmentMemberValue>,
    ) {
        let Some(group) = self.replayed_consumer_group(&key.group_id, value.is_some()) else { return };
        match value {
            Some(value) => {
                let topics = value.topic_partitions.into_iter();
                let target = topics.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect();
                group.target.set(key.member_id.into(), target);
            }
            None => group.target.remove(&key.member_id),
        }
    }

    fn replay_current(
        &mut self,
        key: ConsumerGroupCurrentMemberAssignmentKey,
        value: Option<ConsumerGroupCurrentMemberAssignmentValue>,
    ) {
        let Some(group) = self.replayed_consumer_group(&key.group_id, value.is_some()) else { return };
        let current = match value {
            Some(value) => CurrentAssignment::from_value(&value),
            None if group.members.contains_key(key.member_id.as_str()) => {
                CurrentAssignment { epoch: LEAVE_EPOCH, previous_epoch: LEAVE_EPOCH, ..Default::default() }
            }
            None => return,
        };
        group.set_current(&key.member_id.into(), current);
    }

    fn replay_regex(
        &mut self,
        key: ConsumerGroupRegularExpressionKey,
        value: Option<ConsumerGroupRegularExpressionValue>,
    ) {
        let Some(group) = self.replayed_consumer_group(&key.group_id, value.is_some()) else { return };
        match value {
            Some(value) => {
                let resolved = ResolvedRegex {
                    topics: value.topics.into_iter().map(Arc::from).collect(),
                    version: value.version,
                    timestamp_ms: value.timestamp,
                };
                group.set_resolved(key.regular_expression.into(), resolved);
            }
            None => group.remove_resolved(&key.regular_expression),
        }
    }
}
