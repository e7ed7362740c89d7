//! The records that streams groups write.

use std::collections::BTreeMap;

use protocol::messages::streams_group_metadata_value::LastAssignmentConfig;
use protocol::messages::{
    StreamsGroupCurrentMemberAssignmentKey, StreamsGroupMemberMetadataKey, StreamsGroupMetadataKey,
    StreamsGroupMetadataValue, StreamsGroupTargetAssignmentMemberKey, StreamsGroupTargetAssignmentMemberValue,
    StreamsGroupTargetAssignmentMetadataKey, StreamsGroupTargetAssignmentMetadataValue, StreamsGroupTopologyKey,
    StreamsGroupTopologyValue,
};
use protocol::types::TimestampMs;

use super::member::StreamsMember;
use super::state::StreamsGroup;
use super::tasks::{self, Tasks};
use crate::record::modern::GroupRecord;

/// The group's epoch and what it was made of.
pub(crate) fn epoch(
    group_id: &str,
    epoch: i32,
    metadata_hash: i64,
    validated_topology_epoch: i32,
    assignment_configs: &BTreeMap<String, String>,
) -> GroupRecord {
    let configs = assignment_configs
        .iter()
        .map(|(key, value)| LastAssignmentConfig { key: key.clone(), value: value.clone(), ..Default::default() })
        .collect();
    let value = StreamsGroupMetadataValue {
        epoch,
        metadata_hash,
        validated_topology_epoch,
        last_assignment_configs: Some(configs),
        ..Default::default()
    };
    GroupRecord::StreamsGroupMetadata(group_key(group_id), Some(value))
}

/// What a member says of itself.
pub(crate) fn member(group_id: &str, member: &StreamsMember) -> GroupRecord {
    GroupRecord::StreamsGroupMemberMetadata(member_key(group_id, &member.member_id), Some(member.metadata_record()))
}

/// What a member has.
pub(crate) fn current_assignment(group_id: &str, member: &StreamsMember) -> GroupRecord {
    let key = current_key(group_id, &member.member_id);
    GroupRecord::StreamsGroupCurrentMemberAssignment(key, Some(member.assignment_record()))
}

/// What a member is to have.
pub(crate) fn target_assignment(group_id: &str, member_id: &str, target: &Tasks) -> GroupRecord {
    let value = StreamsGroupTargetAssignmentMemberValue {
        active_tasks: tasks::for_target_record(&target.active),
        standby_tasks: tasks::for_target_record(&target.standby),
        warmup_tasks: tasks::for_target_record(&target.warmup),
        ..Default::default()
    };
    GroupRecord::StreamsGroupTargetAssignmentMember(target_key(group_id, member_id), Some(value))
}

/// For which epoch the target assignment was made, and when.
pub(crate) fn target_epoch(group_id: &str, assignment_epoch: i32, assignment_timestamp: TimestampMs) -> GroupRecord {
    let value =
        StreamsGroupTargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp, ..Default::default() };
    GroupRecord::StreamsGroupTargetAssignmentMetadata(target_epoch_key(group_id), Some(value))
}

/// The topology.
pub(crate) fn topology(group_id: &str, value: StreamsGroupTopologyValue) -> GroupRecord {
    GroupRecord::StreamsGroupTopology(topology_key(group_id), Some(value))
}

/// The end of a member.
pub(crate) fn without_member(group_id: &str, member_id: &str) -> [GroupRecord; 3] {
    [
        GroupRecord::StreamsGroupCurrentMemberAssignment(current_key(group_id, member_id), None),
        GroupRecord::StreamsGroupTargetAssignmentMember(target_key(group_id, member_id), None),
        GroupRecord::StreamsGroupMemberMetadata(member_key(group_id, member_id), None),
    ]
}

/// The end of a group.
pub(crate) fn without_group(group: &StreamsGroup) -> Vec<GroupRecord> {
    let group_id = &group.group_id;
    let mut records = Vec::new();
    for member in group.members() {
        let key = current_key(group_id, &member.member_id);
        records.push(GroupRecord::StreamsGroupCurrentMemberAssignment(key, None));
    }
    for member in group.members() {
        let key = target_key(group_id, &member.member_id);
        records.push(GroupRecord::StreamsGroupTargetAssignmentMember(key, None));
    }
    records.push(GroupRecord::StreamsGroupTargetAssignmentMetadata(target_epoch_key(group_id), None));
    for member in group.members() {
        records.push(GroupRecord::StreamsGroupMemberMetadata(member_key(group_id, &member.member_id), None));
    }
    records.push(GroupRecord::StreamsGroupMetadata(group_key(group_id), None));
    records.push(GroupRecord::StreamsGroupTopology(topology_key(group_id), None));
    records
}

fn group_key(group_id: &str) -> StreamsGroupMetadataKey {
    StreamsGroupMetadataKey { group_id: group_id.to_owned() }
}

fn topology_key(group_id: &str) -> StreamsGroupTopologyKey {
    StreamsGroupTopologyKey { group_id: group_id.to_owned() }
}

fn target_epoch_key(group_id: &str) -> StreamsGroupTargetAssignmentMetadataKey {
    StreamsGroupTargetAssignmentMetadataKey { group_id: group_id.to_owned() }
}

fn member_key(group_id: &str, member_id: &str) -> StreamsGroupMemberMetadataKey {
    StreamsGroupMemberMetadataKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() }
}

fn target_key(group_id: &str, member_id: &str) -> StreamsGroupTargetAssignmentMemberKey {
    StreamsGroupTargetAssignmentMemberKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() }
}

fn current_key(group_id: &str, member_id: &str) -> StreamsGroupCurrentMemberAssignmentKey {
    StreamsGroupCurrentMemberAssignmentKey { group_id: group_id.to_owned(), member_id: member_id.to_owned() }
}
