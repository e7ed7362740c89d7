//! From records to the state of streams groups, when they are loaded and when they are made.
//! A tombstone for something that is not there changes nothing: the log is compacted.

use std::sync::Arc;

use tracing::warn;

use super::state::StreamsGroup;
use crate::group::Group;
use crate::record::modern::GroupRecord;
use crate::shard::GroupShard;

impl GroupShard {
    /// Takes over a record of a streams group; records of other groups are left alone.
    pub(crate) fn replay_streams_group(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::StreamsGroupMetadata(key, Some(value)) => {
                self.replayed(&key.group_id, true, |group| group.replay_metadata(value));
            }
            GroupRecord::StreamsGroupMetadata(key, None) if self.streams_group(&key.group_id).is_some() => {
                self.remove_group(&key.group_id);
            }
            GroupRecord::StreamsGroupMemberMetadata(key, value) => {
                self.replayed(&key.group_id, value.is_some(), |group| group.replay_member(key.member_id.into(), value));
            }
            GroupRecord::StreamsGroupTargetAssignmentMetadata(key, value) => {
                let value = value.map(|value| (value.assignment_epoch, value.assignment_timestamp));
                self.replayed(&key.group_id, value.is_some(), |group| group.replay_target_epoch(value));
            }
            GroupRecord::StreamsGroupTargetAssignmentMember(key, value) => {
                let member_id: Arc<str> = key.member_id.into();
                self.replayed(&key.group_id, value.is_some(), |group| group.replay_target(member_id, value.as_ref()));
            }
            GroupRecord::StreamsGroupCurrentMemberAssignment(key, value) => {
                let member_id: Arc<str> = key.member_id.into();
                self.replayed(&key.group_id, value.is_some(), |group| {
                    group.replay_current_assignment(member_id, value.as_ref());
                });
            }
            GroupRecord::StreamsGroupTopology(key, value) => {
                self.replayed(&key.group_id, value.is_some(), |group| group.replay_topology(value.as_ref()));
            }
            _ => {}
        }
    }

    /// Changes the group that a record is of. A value makes the group if it is not there, in place of one that has only
    /// offsets.
    fn replayed(&mut self, group_id: &str, creates: bool, change: impl FnOnce(&mut StreamsGroup)) {
        let replaces = match self.group(group_id) {
            None => true,
            Some(Group::Classic(group)) => group.is_simple(),
            Some(Group::Consumer(_) | Group::Share(_) | Group::Streams(_)) => false,
        };
        if creates && replaces {
            self.remove_group(group_id);
            self.insert_group(Group::Streams(Box::new(StreamsGroup::new(group_id.into()))));
        }
        match self.group_mut(group_id) {
            Some(Group::Streams(group)) => change(group),
            Some(Group::Classic(_) | Group::Consumer(_) | Group::Share(_)) if creates => {
                warn!(
                    group_id,
                    "left a record of a streams group alone: there is a group of another type of that name"
                );
            }
            Some(Group::Classic(_) | Group::Consumer(_) | Group::Share(_)) | None => {}
        }
    }
}
