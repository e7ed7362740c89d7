//! DeleteGroups, OffsetDelete, and the end of topics: what removes offsets on demand.
//! Commits in flight count as stored here, so that a tombstone follows each of them in the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::messages::delete_groups_response::DeletableGroupResult;
use protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use protocol::messages::{DeleteGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse};
use protocol::types::TimestampMs;
use protocol::{ErrorCode, Uuid};

use super::Group;
use super::classic::state::CONSUMER;
use super::offsets::OffsetKey;
use crate::effects::{Effects, GroupResponse, ReplyToken};
use crate::error::GroupError;
use crate::group::completion::OffsetChange;
use crate::shard::GroupShard;

/// Tombstones that nobody waits for are written in batches of this many.
pub(crate) const MAX_TOMBSTONES_PER_WRITE: usize = 1_000;

impl GroupShard {
    /// Deletes empty groups with their offsets.
    pub fn delete_groups(&mut self, now_ms: TimestampMs, group_ids: &[String], token: ReplyToken, out: &mut Effects) {
        let mut changes = Vec::new();
        let mut deleted = Vec::new();
        let mut results = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            let outcome = self.take_empty_group(group_id).map(|group| {
                changes.extend(self.offset_keys(group_id).into_iter().map(tombstone));
                deleted.push(group);
            });
            let error_code = outcome.err().map_or(0, |error| error.code().code());
            results.push(DeletableGroupResult { group_id: group_id.clone(), error_code, ..Default::default() });
        }
        let response = GroupResponse::DeleteGroups(DeleteGroupsResponse { results, ..Default::default() });
        self.write_offsets(changes, deleted, Some((token, response)), out);
        self.settle(now_ms, out);
    }

    /// Deletes offsets of topics that no member of the group subscribes to. Topics are taken to exist.
    pub fn delete_offsets(
        &mut self,
        now_ms: TimestampMs,
        request: &OffsetDeleteRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        let group = match self.validate_delete_offsets(&request.group_id) {
            Ok(group) => group,
            Err(error) => {
                let response = OffsetDeleteResponse { error_code: error.code().code(), ..Default::default() };
                return out.reply(token, GroupResponse::OffsetDelete(response));
            }
        };
        let stored = self.offset_keys(&request.group_id);
        let mut changes = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let code = if group.is_subscribed_to(&topic.name) {
                ErrorCode::GroupSubscribedToTopic
            } else {
                let name: Arc<str> = topic.name.as_str().into();
                let keys = topic.partitions.iter().map(|partition| OffsetKey {
                    group: Arc::clone(group.group_id()),
                    topic: Arc::clone(&name),
                    partition: partition.partition_index,
                });
                changes.extend(keys.filter(|key| stored.contains(key)).map(tombstone));
                ErrorCode::None
            };
            topics.push(respond(topic, code));
        }
        let response = GroupResponse::OffsetDelete(OffsetDeleteResponse { topics, ..Default::default() });
        self.write_offsets(changes, Vec::new(), Some((token, response)), out);
        self.settle(now_ms, out);
    }

    /// Topics were deleted: their offsets go too. An offset that was committed for another topic of the same name stays.
    pub fn topics_deleted(&mut self, now_ms: TimestampMs, topics: &[(String, Uuid)], out: &mut Effects) {
        let mut keys = BTreeSet::new();
        for (name, topic_id) in topics {
            for (group, offsets) in self.offsets().groups() {
                let partitions = offsets.get_key_value(name.as_str()).into_iter();
                for (topic, partitions) in partitions {
                    let of_topic = partitions.iter().filter(|(_, committed)| committed.is_of_topic(*topic_id));
                    keys.extend(of_topic.map(|(partition, _)| OffsetKey {
                        group: Arc::clone(group),
                        topic: Arc::clone(topic),
                        partition: *partition,
                    }));
                }
            }
            let in_flight = self.pending_writes().offset_changes();
            let in_flight = in_flight.filter_map(|change| Some((&change.key, change.committed.as_ref()?)));
            let elsewhere = in_flight.chain(self.offsets().open());
            let of_topic =
                elsewhere.filter(|(key, committed)| *key.topic == **name && committed.is_of_topic(*topic_id));
            keys.extend(of_topic.map(|(key, _)| key.clone()));
        }
        let keys: Vec<OffsetKey> = keys.into_iter().collect();
        for chunk in keys.chunks(MAX_TOMBSTONES_PER_WRITE) {
            self.write_offsets(chunk.iter().cloned().map(tombstone).collect(), Vec::new(), None, out);
        }
        self.settle(now_ms, out);
    }

    fn take_empty_group(&mut self, group_id: &str) -> Result<Group, GroupError> {
        match self.group(group_id) {
            Some(group) if !group.is_empty() => Err(GroupError::NonEmptyGroup),
            Some(_) | None => self.remove_group(group_id).ok_or(GroupError::GroupNotFound),
        }
    }

    fn validate_delete_offsets(&self, group_id: &str) -> Result<&Group, GroupError> {
        if group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let group = self.group(group_id).filter(|group| !matches!(group, Group::Share(_)));
        let group = group.ok_or(GroupError::GroupNotFound)?;
        if !group.is_empty() && group.protocol_type() != CONSUMER {
            return Err(GroupError::NonEmptyGroup);
        }
        Ok(group)
    }

    /// Everything that the group has an offset for, in flight and in open transactions included.
    fn offset_keys(&self, group_id: &str) -> BTreeSet<OffsetKey> {
        let group: Arc<str> = group_id.into();
        let mut keys: BTreeSet<OffsetKey> = self.offsets().open_of_group(group_id).cloned().collect();
        for (topic, partitions) in self.offsets().of_group(group_id).into_iter().flatten() {
            keys.extend(partitions.keys().map(|partition| OffsetKey {
                group: Arc::clone(&group),
                topic: Arc::clone(topic),
                partition: *partition,
            }));
        }
        for change in self.pending_writes().offset_changes().filter(|change| *change.key.group == *group_id) {
            match change.committed {
                Some(_) => keys.insert(change.key.clone()),
                None => keys.remove(&change.key),
            };
        }
        keys
    }
}

/// The end of an offset.
pub(crate) fn tombstone(key: OffsetKey) -> OffsetChange {
    OffsetChange { key, committed: None }
}

fn respond(topic: &OffsetDeleteRequestTopic, code: ErrorCode) -> OffsetDeleteResponseTopic {
    let partitions = topic
        .partitions
        .iter()
        .map(|partition| OffsetDeleteResponsePartition {
            partition_index: partition.partition_index,
            error_code: code.code(),
        })
        .collect();
    OffsetDeleteResponseTopic { name: topic.name.clone(), partitions }
}
