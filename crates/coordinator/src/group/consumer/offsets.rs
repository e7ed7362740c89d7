//! Who may commit and fetch offsets of a consumer group: members, at an epoch at which they have the partitions.

use protocol::messages::OffsetCommitRequest;
use protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;

use super::member::ConsumerMember;
use super::state::ConsumerGroup;
use crate::error::GroupError;

/// The first version of OffsetCommit that members of the new protocol may use.
const FIRST_VERSION_WITH_EPOCHS: i16 = 9;

impl ConsumerGroup {
    /// # Errors
    /// `UnknownMember`; `StaleMemberEpoch`, or `IllegalGeneration` to members of the classic protocol; `UnsupportedVersion`.
    pub(crate) fn validate_commit(&self, request: &OffsetCommitRequest, version: i16) -> Result<(), GroupError> {
        let epoch = request.generation_id_or_member_epoch;
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(request.member_id.as_str()).ok_or(GroupError::UnknownMember)?;
        if !member.uses_classic_protocol() && version < FIRST_VERSION_WITH_EPOCHS {
            return Err(GroupError::UnsupportedVersion);
        }
        if epoch == member.current.epoch {
            return Ok(());
        }
        let mut partitions = request
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, partition.partition_index)));
        // Whoever is behind may commit what it has had since then.
        let has_had = |(topic, index)| member.current.epoch_of(topic, index).is_some_and(|since| epoch >= since);
        if epoch < member.current.epoch && partitions.all(has_had) { Ok(()) } else { Err(stale(member)) }
    }

    /// # Errors
    /// `UnknownMember`; `StaleMemberEpoch`, or `IllegalGeneration` to members of the classic protocol.
    pub(crate) fn validate_fetch(&self, request: &OffsetFetchRequestGroup) -> Result<(), GroupError> {
        let member_id = match &request.member_id {
            None if request.member_epoch < 0 => return Ok(()),
            member_id => member_id.as_deref().unwrap_or_default(),
        };
        let member = self.members.get(member_id).ok_or(GroupError::UnknownMember)?;
        if request.member_epoch == member.current.epoch { Ok(()) } else { Err(stale(member)) }
    }
}

fn stale(member: &ConsumerMember) -> GroupError {
    if member.uses_classic_protocol() { GroupError::IllegalGeneration } else { GroupError::StaleMemberEpoch }
}
