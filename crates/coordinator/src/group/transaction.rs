//! TxnOffsetCommit: a transaction commits how far a group has read. The offsets are kept apart until the transaction ends
//! (KIP-98, KIP-447).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use protocol::messages::txn_offset_commit_response::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic};
use protocol::messages::{OffsetCommitRequest, TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use protocol::{EncodeError, Uuid};

use super::classic::state::{ClassicGroup, GroupState};
use super::completion::{Completion, OffsetChange};
use super::offsets::{CommittedOffset, OffsetKey};
use crate::effects::{CoordinatorRecord, Effects, GroupResponse, ReplyToken, RequestContext};
use crate::error::GroupError;
use crate::record;
use crate::runtime::effects::TransactionalProducer;
use crate::shard::GroupShard;

/// A version of OffsetCommit whose clients know of member epochs.
const VERSION_WITH_EPOCHS: i16 = 9;

impl GroupShard {
    /// Stores offsets in a producer's transaction. Topics are taken to exist; `topic_id` gives their ids.
    pub fn commit_transactional_offsets(
        &mut self,
        context: &RequestContext,
        request: &TxnOffsetCommitRequest,
        (producer, topic_id): (TransactionalProducer, &dyn Fn(&str) -> Uuid),
        token: ReplyToken,
        out: &mut Effects,
    ) {
        if let Err(error) = self.validate_transactional_commit(request, topic_id) {
            let response = respond(request, |_| error.code());
            return out.reply(token, GroupResponse::TxnOffsetCommit(response));
        }
        let max_size = self.config().offset_metadata_max_size;
        let too_large = |partition: &TxnOffsetCommitRequestPartition| {
            partition.committed_metadata.as_deref().is_some_and(|text| text.encode_utf16().count() > max_size)
        };
        let response = GroupResponse::TxnOffsetCommit(respond(request, |partition| {
            if too_large(partition) { ErrorCode::OffsetMetadataTooLarge } else { ErrorCode::None }
        }));
        let group: Arc<str> = request.group_id.as_str().into();
        let mut changes = Vec::new();
        for topic in &request.topics {
            let name: Arc<str> = topic.name.as_str().into();
            for partition in topic.partitions.iter().filter(|partition| !too_large(partition)) {
                let key = OffsetKey {
                    group: Arc::clone(&group),
                    topic: Arc::clone(&name),
                    partition: partition.partition_index,
                };
                let committed = CommittedOffset {
                    record_offset: -1,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_deref().unwrap_or_default().into(),
                    commit_timestamp_ms: context.now_ms,
                    expire_timestamp_ms: None,
                    topic_id: topic_id(&topic.name),
                };
                changes.push(OffsetChange { key, committed: Some(committed) });
            }
        }
        if changes.is_empty() {
            return out.reply(token, response);
        }
        let commit = |change: &OffsetChange| {
            change.committed.as_ref().map(|committed| record::offset_commit(&change.key, committed))
        };
        let records: Result<Vec<CoordinatorRecord>, EncodeError> = changes.iter().filter_map(commit).collect();
        let completion = Completion::TransactionalOffsets { producer_id: producer.id, changes };
        let id = self.writes().start_as(Some(producer), records, completion, out);
        self.writes().reply_after(id, token, response);
        self.settle(context.now_ms, out);
    }

    fn validate_transactional_commit(
        &self,
        request: &TxnOffsetCommitRequest,
        topic_id: &dyn Fn(&str) -> Uuid,
    ) -> Result<(), GroupError> {
        let commit = || as_commit(request, topic_id);
        let of_epochs = if let Some(group) = self.consumer_group(&request.group_id) {
            Some(group.validate_commit(&commit(), VERSION_WITH_EPOCHS))
        } else if let Some(group) = self.streams_group(&request.group_id) {
            Some(group.validate_commit(&commit(), VERSION_WITH_EPOCHS))
        } else {
            self.share_group(&request.group_id).map(|_| Err(GroupError::GroupNotFound))
        };
        if let Some(outcome) = of_epochs {
            return match outcome {
                Err(GroupError::StaleMemberEpoch) => Err(GroupError::IllegalGeneration),
                outcome => outcome,
            };
        }
        match self.classic_group(&request.group_id) {
            Some(group) => group.validate_transactional_commit(request),
            None if request.generation_id < 0 => Ok(()),
            None => Err(GroupError::IllegalGeneration),
        }
    }
}

impl ClassicGroup {
    fn validate_transactional_commit(&self, request: &TxnOffsetCommitRequest) -> Result<(), GroupError> {
        if request.generation_id < 0 && self.is(GroupState::Empty) {
            return Ok(());
        }
        // Versions below 3 say nothing of the member.
        if request.generation_id < 0 && request.member_id.is_empty() && request.group_instance_id.is_none() {
            return Ok(());
        }
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        Ok(())
    }
}

/// The commit as one without a transaction.
fn as_commit(request: &TxnOffsetCommitRequest, topic_id: &dyn Fn(&str) -> Uuid) -> OffsetCommitRequest {
    let topics = request.topics.iter().map(|topic| OffsetCommitRequestTopic {
        name: topic.name.clone(),
        topic_id: topic_id(&topic.name),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitRequestPartition {
                partition_index: partition.partition_index,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    OffsetCommitRequest {
        group_id: request.group_id.clone(),
        generation_id_or_member_epoch: request.generation_id,
        member_id: request.member_id.clone(),
        group_instance_id: request.group_instance_id.clone(),
        topics: topics.collect(),
        ..Default::default()
    }
}

fn respond(
    request: &TxnOffsetCommitRequest,
    code_of: impl Fn(&TxnOffsetCommitRequestPartition) -> ErrorCode,
) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| TxnOffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: code_of(partition).code(),
            ..Default::default()
        });
        TxnOffsetCommitResponseTopic {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}
