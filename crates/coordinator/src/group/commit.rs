//! OffsetCommit: a group, or a consumer that manages its partitions itself, stores how far it has read.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use protocol::types::TimestampMs;

use super::Group;
use super::classic::rebalance::Scope;
use super::classic::state::{ClassicGroup, GroupState};
use super::offsets::{CommittedOffset, OffsetKey};
use crate::effects::{Effects, GroupResponse, ReplyToken, RequestContext};
use crate::error::GroupError;
use crate::group::completion::{Completion, OffsetChange};
use crate::record;
use crate::shard::GroupShard;

/// From this version on a client understands that its group does not exist (KIP-848).
const FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND: i16 = 9;

/// A client that names no retention of its own.
const DEFAULT_RETENTION_TIME: i64 = -1;

impl GroupShard {
    /// Stores offsets. Topics are taken to exist; each carries its name, and its id if that is known.
    pub fn commit_offsets(
        &mut self,
        context: &RequestContext,
        request: &OffsetCommitRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        if let Err(error) = self.validate_commit(context, request, out) {
            let response = GroupResponse::OffsetCommit(respond(request, |_| ErrorCode::None));
            return out.reply(token, response.into_error(error.code()));
        }
        let max_size = self.config().offset_metadata_max_size;
        let too_large = |partition: &OffsetCommitRequestPartition| {
            partition.committed_metadata.as_deref().is_some_and(|text| text.encode_utf16().count() > max_size)
        };
        let response = GroupResponse::OffsetCommit(respond(request, |partition| {
            if too_large(partition) { ErrorCode::OffsetMetadataTooLarge } else { ErrorCode::None }
        }));
        let group: Arc<str> = request.group_id.as_str().into();
        let expire_timestamp_ms = (request.retention_time_ms != DEFAULT_RETENTION_TIME)
            .then(|| context.now_ms.saturating_add(request.retention_time_ms));
        let mut changes = Vec::new();
        for topic in &request.topics {
            let name: Arc<str> = topic.name.as_str().into();
            for partition in topic.partitions.iter().filter(|partition| !too_large(partition)) {
                let key = OffsetKey {
                    group: Arc::clone(&group),
                    topic: Arc::clone(&name),
                    partition: partition.partition_index,
                };
                let mut committed = committed_offset(topic, partition, context.now_ms);
                committed.expire_timestamp_ms = expire_timestamp_ms;
                changes.push(OffsetChange { key, committed: Some(committed) });
            }
        }
        self.write_offsets(changes, Vec::new(), Some((token, response)), out);
        self.settle(context.now_ms, out);
    }

    fn validate_commit(
        &mut self,
        context: &RequestContext,
        request: &OffsetCommitRequest,
        out: &mut Effects,
    ) -> Result<(), GroupError> {
        if let Some(group) = self.consumer_group(&request.group_id) {
            return group.validate_commit(request, context.api_version);
        }
        if self.share_group(&request.group_id).is_some() {
            return Err(GroupError::GroupNotFound);
        }
        if let Some(group) = self.streams_group(&request.group_id) {
            return group.validate_commit(request, context.api_version);
        }
        let commit = |group: &mut ClassicGroup, scope: &mut Scope<'_>| {
            group.validate_commit(request)?;
            // A commit shows that the member is there, unless the group is at a point where it must do more than that.
            if group.is(GroupState::Stable) || group.is(GroupState::PreparingRebalance) {
                group.renew_session(&request.member_id, scope);
            }
            Ok(())
        };
        match self.in_group(context.now_ms, &request.group_id, out, commit) {
            Some(outcome) => outcome,
            // Whoever commits without a generation needs no group: one is made when the offset is stored.
            None if request.generation_id_or_member_epoch < 0 => Ok(()),
            None if context.api_version >= FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND => Err(GroupError::GroupNotFound),
            None => Err(GroupError::IllegalGeneration),
        }
    }

    /// Writes the records of `changes` and the tombstones of `deleted` groups, and answers when they are committed.
    pub(crate) fn write_offsets(
        &mut self,
        changes: Vec<OffsetChange>,
        deleted: Vec<Group>,
        reply: Option<(ReplyToken, GroupResponse)>,
        out: &mut Effects,
    ) {
        if changes.is_empty() && deleted.is_empty() {
            if let Some((token, response)) = reply {
                out.reply(token, response);
            }
            return;
        }
        let offsets = changes.iter().map(|change| match &change.committed {
            Some(committed) => record::offset_commit(&change.key, committed),
            None => record::offset_tombstone(&change.key),
        });
        let groups = deleted.iter().flat_map(Group::tombstones);
        let records = offsets.chain(groups).collect();
        let id = self.writes().start(records, Completion::Offsets { changes, deleted }, out);
        if let Some((token, response)) = reply {
            self.writes().reply_after(id, token, response);
        }
    }
}

impl ClassicGroup {
    fn validate_commit(&self, request: &OffsetCommitRequest) -> Result<(), GroupError> {
        let generation = request.generation_id_or_member_epoch;
        if generation < 0 && self.is(GroupState::Empty) {
            return Ok(());
        }
        if generation < 0 && request.member_id.is_empty() && request.group_instance_id.is_none() {
            return Err(GroupError::UnknownMember);
        }
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if self.is(GroupState::CompletingRebalance) {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }
}

fn respond(
    request: &OffsetCommitRequest,
    code_of: impl Fn(&OffsetCommitRequestPartition) -> ErrorCode,
) -> OffsetCommitResponse {
    let topics = request
        .topics
        .iter()
        .map(|topic| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: code_of(partition).code(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        })
        .collect();
    OffsetCommitResponse { topics, ..Default::default() }
}

fn committed_offset(
    topic: &OffsetCommitRequestTopic,
    partition: &OffsetCommitRequestPartition,
    now_ms: TimestampMs,
) -> CommittedOffset {
    CommittedOffset {
        record_offset: -1,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_deref().unwrap_or_default().into(),
        commit_timestamp_ms: now_ms,
        expire_timestamp_ms: None,
        topic_id: topic.topic_id,
    }
}
