//! From records to the state of share groups, when they are loaded and when they are made.

use tracing::warn;

use super::state::ShareGroup;
use crate::group::Group;
use crate::record::modern::GroupRecord;
use crate::shard::GroupShard;

impl GroupShard {
    /// Takes over a record of a share group. A tombstone for something that is not there changes nothing.
    pub(crate) fn replay_share_group(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::ShareGroupMemberMetadata(key, value) => {
                if let Some(group) = self.replayed_share_group(&key.group_id, value.is_some()) {
                    group.replay_member(&key.member_id, value);
                }
            }
            GroupRecord::ShareGroupMetadata(key, value) => {
                let Some(group) = self.replayed_share_group(&key.group_id, value.is_some()) else { return };
                match value {
                    Some(value) => group.replay_epoch(&value),
                    None => {
                        self.remove_group(&key.group_id);
                    }
                }
            }
            GroupRecord::ShareGroupTargetAssignmentMetadata(key, value) => {
                if let Some(group) = self.replayed_share_group(&key.group_id, value.is_some()) {
                    group.replay_target_epoch(value.as_ref());
                }
            }
            GroupRecord::ShareGroupTargetAssignmentMember(key, value) => {
                if let Some(group) = self.replayed_share_group(&key.group_id, value.is_some()) {
                    group.replay_target(&key.member_id, value);
                }
            }
            GroupRecord::ShareGroupCurrentMemberAssignment(key, value) => {
                if let Some(group) = self.replayed_share_group(&key.group_id, value.is_some()) {
                    group.replay_current(&key.member_id, value);
                }
            }
            GroupRecord::ShareGroupStatePartitionMetadata(key, value) => {
                if let Some(group) = self.replayed_share_group(&key.group_id, value.is_some()) {
                    group.replay_partitions(value);
                }
            }
            other => unreachable!("{other:?} is no record of a share group"),
        }
    }

    /// The group that a record is of. A value makes the group if it is not there.
    fn replayed_share_group(&mut self, group_id: &str, create: bool) -> Option<&mut ShareGroup> {
        if create && !self.has_group(group_id) {
            self.insert_group(Group::Share(ShareGroup::new(group_id.into())));
        }
        match self.group_mut(group_id) {
            Some(Group::Share(group)) => Some(group),
            Some(_) if create => {
                warn!(group_id, "left a record of a share group alone: there is another group of that name");
                None
            }
            Some(_) | None => None,
        }
    }
}
