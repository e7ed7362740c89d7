//! The records of share groups in `__consumer_offsets`, in the versions that Kafka 4.3.1 writes.

use std::collections::{BTreeMap, BTreeSet};

use protocol::Uuid;
use protocol::messages::share_group_current_member_assignment_value::TopicPartitions;
use protocol::messages::share_group_state_partition_metadata_value::{TopicInfo, TopicPartitionsInfo};
use protocol::messages::share_group_target_assignment_member_value::TopicPartition;
use protocol::messages::{
    ShareGroupCurrentMemberAssignmentKey, ShareGroupCurrentMemberAssignmentValue, ShareGroupMemberMetadataKey,
    ShareGroupMemberMetadataValue, ShareGroupMetadataKey, ShareGroupMetadataValue, ShareGroupStatePartitionMetadataKey,
    ShareGroupStatePartitionMetadataValue, ShareGroupTargetAssignmentMemberKey, ShareGroupTargetAssignmentMemberValue,
    ShareGroupTargetAssignmentMetadataKey, ShareGroupTargetAssignmentMetadataValue,
};
use protocol::types::TimestampMs;

use super::state::{ShareMember, StatePartitions, TopicState};
use crate::group::modern::assignment::Assignment;
use crate::record::modern::GroupRecord;

/// A member's subscription; without a member, its end.
pub(crate) fn member(group_id: &str, member_id: &str, member: Option<&ShareMember>) -> GroupRecord {
    let key = ShareGroupMemberMetadataKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() };
    let value = member.map(|member| ShareGroupMemberMetadataValue {
        rack_id: member.rack_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: member.topics.iter().map(ToString::to_string).collect(),
        ..Default::default()
    });
    GroupRecord::ShareGroupMemberMetadata(key, value)
}

/// The group's epoch and the hash of its topics; without them, the end of the group.
pub(crate) fn epoch(group_id: &str, epoch: Option<(i32, i64)>) -> GroupRecord {
    let key = ShareGroupMetadataKey { group_id: group_id.to_owned() };
    let value =
        epoch.map(|(epoch, metadata_hash)| ShareGroupMetadataValue { epoch, metadata_hash, ..Default::default() });
    GroupRecord::ShareGroupMetadata(key, value)
}

/// What a member is to be assigned; without it, the end of that.
pub(crate) fn target(group_id: &str, member_id: &str, target: Option<&Assignment>) -> GroupRecord {
    let key = ShareGroupTargetAssignmentMemberKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() };
    let value = target.map(|target| {
        let topics = target.iter().map(|(topic_id, partitions)| TopicPartition {
            topic_id: *topic_id,
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        });
        ShareGroupTargetAssignmentMemberValue { topic_partitions: topics.collect(), ..Default::default() }
    });
    GroupRecord::ShareGroupTargetAssignmentMember(key, value)
}

/// The epoch that the targets are of, and when they were made; without them, their end.
pub(crate) fn target_epoch(group_id: &str, target: Option<(i32, TimestampMs)>) -> GroupRecord {
    let key = ShareGroupTargetAssignmentMetadataKey { group_id: group_id.to_owned() };
    let value = target.map(|(assignment_epoch, assignment_timestamp)| ShareGroupTargetAssignmentMetadataValue {
        assignment_epoch,
        assignment_timestamp,
        ..Default::default()
    });
    GroupRecord::ShareGroupTargetAssignmentMetadata(key, value)
}

/// What a member is assigned; without a member, the end of that.
pub(crate) fn current(group_id: &str, member_id: &str, member: Option<&ShareMember>) -> GroupRecord {
    let key = ShareGroupCurrentMemberAssignmentKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() };
    let value = member.map(|member| {
        let topics = member.assigned.iter().map(|(topic_id, partitions)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        });
        ShareGroupCurrentMemberAssignmentValue {
            member_epoch: member.epoch,
            previous_member_epoch: member.previous_epoch,
            // A member of a share group is always stable.
            state: 0,
            assigned_partitions: topics.collect(),
            ..Default::default()
        }
    });
    GroupRecord::ShareGroupCurrentMemberAssignment(key, value)
}

/// Which partitions have share state; `name_of` names the topics that lose it.
pub(crate) fn partitions(
    group_id: &str,
    partitions: &StatePartitions,
    name_of: impl Fn(Uuid) -> String,
) -> GroupRecord {
    let key = ShareGroupStatePartitionMetadataKey { group_id: group_id.to_owned() };
    let infos = |topics: &BTreeMap<Uuid, TopicState>| {
        let infos = topics.iter().map(|(topic_id, state)| TopicPartitionsInfo {
            topic_id: *topic_id,
            topic_name: state.name.clone(),
            partitions: state.partitions.iter().copied().collect(),
            ..Default::default()
        });
        infos.collect()
    };
    let deleting = |topics: &BTreeSet<Uuid>| {
        let infos = topics.iter().map(|topic_id| TopicInfo {
            topic_id: *topic_id,
            topic_name: name_of(*topic_id),
            ..Default::default()
        });
        infos.collect()
    };
    let value = ShareGroupStatePartitionMetadataValue {
        initializing_topics: infos(&partitions.initializing),
        initialized_topics: infos(&partitions.initialized),
        deleting_topics: deleting(&partitions.deleting),
        ..Default::default()
    };
    GroupRecord::ShareGroupStatePartitionMetadata(key, Some(value))
}

/// Nothing is known of the share state of the group's partitions any more.
pub(crate) fn no_partitions(group_id: &str) -> GroupRecord {
    let key = ShareGroupStatePartitionMetadataKey { group_id: group_id.to_owned() };
    GroupRecord::ShareGroupStatePartitionMetadata(key, None)
}
