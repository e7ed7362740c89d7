//! The records that consumer groups write.

use protocol::messages::consumer_group_target_assignment_member_value::TopicPartition;
use protocol::messages::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupMemberMetadataKey, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataKey, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
};
use protocol::types::TimestampMs;

use super::member::{CurrentAssignment, MemberMetadata};
use super::state::{ConsumerGroup, ResolvedRegex};
use crate::group::modern::assignment::Assignment;
use crate::record::modern::GroupRecord;

/// What a member says of itself; nothing if it is gone.
pub(crate) fn member(group_id: &str, member_id: &str, metadata: Option<&MemberMetadata>) -> GroupRecord {
    let key = ConsumerGroupMemberMetadataKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() };
    GroupRecord::ConsumerGroupMemberMetadata(key, metadata.map(MemberMetadata::to_value))
}

/// The epoch of a group.
pub(crate) fn epoch(group_id: &str, epoch: i32, metadata_hash: i64) -> GroupRecord {
    let value = ConsumerGroupMetadataValue { epoch, metadata_hash, ..Default::default() };
    GroupRecord::ConsumerGroupMetadata(ConsumerGroupMetadataKey { group_id: group_id.to_owned() }, Some(value))
}

/// The target of a member; nothing if it is gone.
pub(crate) fn target(group_id: &str, member_id: &str, assignment: Option<&Assignment>) -> GroupRecord {
    let key = ConsumerGroupTargetAssignmentMemberKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() };
    let value = assignment.map(|assignment| ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: assignment
            .iter()
            .map(|(topic_id, partitions)| TopicPartition {
                topic_id: *topic_id,
                partitions: partitions.iter().copied().collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    GroupRecord::ConsumerGroupTargetAssignmentMember(key, value)
}

/// The epoch of the target.
pub(crate) fn target_epoch(group_id: &str, assignment_epoch: i32, assignment_timestamp: TimestampMs) -> GroupRecord {
    let value =
        ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp, ..Default::default() };
    let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group_id.to_owned() };
    GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, Some(value))
}

/// What a member has; nothing if it is gone.
pub(crate) fn current(group_id: &str, member_id: &str, current: Option<&CurrentAssignment>) -> GroupRecord {
    let key =
        ConsumerGroupCurrentMemberAssignmentKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() };
    GroupRecord::ConsumerGroupCurrentMemberAssignment(key, current.map(CurrentAssignment::to_value))
}

/// What a regular expression matches; nothing if nobody has it.
pub(crate) fn regex(group_id: &str, regex: &str, resolved: Option<&ResolvedRegex>) -> GroupRecord {
    let key = ConsumerGroupRegularExpressionKey { group_id: group_id.to_owned(), regular_expression: regex.to_owned() };
    let value = resolved.map(|resolved| ConsumerGroupRegularExpressionValue {
        topics: resolved.topics.iter().map(ToString::to_string).collect(),
        version: resolved.version,
        timestamp: resolved.timestamp_ms,
        ..Default::default()
    });
    GroupRecord::ConsumerGroupRegularExpression(key, value)
}

/// The end of the record that groups of before 4.1 have.
pub(crate) fn no_partition_metadata(group_id: &str) -> GroupRecord {
    let key = ConsumerGroupPartitionMetadataKey { group_id: group_id.to_owned() };
    GroupRecord::ConsumerGroupPartitionMetadata(key, None)
}

/// The end of a member.
pub(crate) fn without_member(group_id: &str, member_id: &str) -> [GroupRecord; 3] {
    [current(group_id, member_id, None), target(group_id, member_id, None), member(group_id, member_id, None)]
}

/// The end of a group with all its members.
pub(crate) fn without_group(group: &ConsumerGroup) -> Vec<GroupRecord> {
    let id = &*group.group_id;
    let members = || group.members.keys();
    let target_key = ConsumerGroupTargetAssignmentMetadataKey { group_id: id.to_owned() };
    let mut records: Vec<GroupRecord> = members().map(|member_id| current(id, member_id, None)).collect();
    records.extend(members().map(|member_id| target(id, member_id, None)));
    records.push(GroupRecord::ConsumerGroupTargetAssignmentMetadata(target_key, None));
    records.extend(members().map(|member_id| member(id, member_id, None)));
    records.extend(group.resolved.keys().map(|expression| regex(id, expression, None)));
    records.push(no_partition_metadata(id));
    records.push(GroupRecord::ConsumerGroupMetadata(ConsumerGroupMetadataKey { group_id: id.to_owned() }, None));
    records
}

/// A whole group, as when it comes from a classic one.
pub(crate) fn whole_group(group: &ConsumerGroup) -> Vec<GroupRecord> {
    let id = &*group.group_id;
    let members = || group.members.values();
    let mut records: Vec<GroupRecord> =
        members().map(|each| member(id, &each.member_id, Some(&each.metadata))).collect();
    records.push(epoch(id, group.epoch, group.metadata_hash));
    records.extend(members().map(|each| target(id, &each.member_id, Some(group.target.of(&each.member_id)))));
    records.push(target_epoch(id, group.target.epoch, group.target.timestamp_ms));
    records.extend(members().map(|each| current(id, &each.member_id, Some(&each.current))));
    records
}
