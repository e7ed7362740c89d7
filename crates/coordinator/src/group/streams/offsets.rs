//! Who may commit and fetch offsets of a streams group: members, at an epoch at which they have the tasks.

use std::cmp::Ordering;

use protocol::messages::OffsetCommitRequest;
use protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;

use super::member::StreamsMember;
use super::state::StreamsGroup;
use crate::error::GroupError;

/// The first version of OffsetCommit that members may use.
const FIRST_VERSION_WITH_EPOCHS: i16 = 9;

impl StreamsGroup {
    /// # Errors
    /// `UnknownMember`, `StaleMemberEpoch`, `UnsupportedVersion`.
    pub(crate) fn validate_commit(&self, request: &OffsetCommitRequest, version: i16) -> Result<(), GroupError> {
        let epoch = request.generation_id_or_member_epoch;
        if epoch < 0 && self.is_empty() {
            return Ok(());
        }
        let member = self.member(&request.member_id).ok_or(GroupError::UnknownMember)?;
        if version < FIRST_VERSION_WITH_EPOCHS {
            return Err(GroupError::UnsupportedVersion);
        }
        let partitions = request.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| (topic.name.as_str(), partition.partition_index))
        });
        self.validate_epoch(member, epoch, partitions)
    }

    /// Whether a member of that epoch may commit these partitions. One that is behind may commit what it has had since then.
    /// # Errors
    /// `StaleMemberEpoch`.
    pub(crate) fn validate_epoch<'a>(
        &self,
        member: &StreamsMember,
        epoch: i32,
        mut partitions: impl Iterator<Item = (&'a str, i32)>,
    ) -> Result<(), GroupError> {
        let has_had = |(topic, partition): (&str, i32)| {
            let subtopology = self.topology.as_ref().and_then(|topology| topology.reader_of(topic));
            let since = subtopology.and_then(|subtopology| {
                let id = &subtopology.subtopology_id;
                let assigned = member.assigned.assignment_epoch(id, partition);
                assigned.or_else(|| member.pending_revocation.assignment_epoch(id, partition))
            });
            since.is_some_and(|since| epoch >= since)
        };
        match epoch.cmp(&member.epoch) {
            Ordering::Equal => Ok(()),
            Ordering::Less if self.topology.is_some() && partitions.all(has_had) => Ok(()),
            Ordering::Less | Ordering::Greater => Err(GroupError::StaleMemberEpoch),
        }
    }

    /// # Errors
    /// `UnknownMember`, `StaleMemberEpoch`.
    pub(crate) fn validate_fetch(&self, request: &OffsetFetchRequestGroup) -> Result<(), GroupError> {
        if request.member_id.is_none() && request.member_epoch < 0 {
            return Ok(());
        }
        let member = self.member(request.member_id.as_deref().unwrap_or_default()).ok_or(GroupError::UnknownMember)?;
        if request.member_epoch == member.epoch { Ok(()) } else { Err(GroupError::StaleMemberEpoch) }
    }
}
