//! OffsetFetch: what a group has committed, as far as it is stored.

use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use protocol::types::PartitionIndex;
use protocol::{ErrorCode, Uuid};

use super::Group;
use super::offsets::{CommittedOffset, GroupOffsets};
use crate::error::GroupError;
use crate::shard::GroupShard;

/// What is said of a partition without a committed offset.
const NO_OFFSET: i64 = -1;
const NO_EPOCH: i32 = -1;

impl GroupShard {
    /// The committed offsets of the topics asked for, or of all topics if none are named.
    /// With `require_stable`, a partition for which a transaction is open is answered with `UnstableOffsetCommit` (KIP-447).
    #[must_use]
    pub fn fetch_offsets(&self, request: &OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup {
        let validated = match self.group(&request.group_id) {
            Some(Group::Consumer(group)) => group.validate_fetch(request),
            Some(Group::Share(_)) => Err(GroupError::GroupNotFound),
            Some(Group::Streams(group)) => group.validate_fetch(request),
            Some(Group::Classic(_)) | None => Ok(()),
        };
        if let Err(error) = validated {
            let error_code = error.code().code();
            return OffsetFetchResponseGroup { group_id: request.group_id.clone(), error_code, ..Default::default() };
        }
        let offsets = if self.has_group(&request.group_id) { self.offsets().of_group(&request.group_id) } else { None };
        let reader = Reader { shard: self, group_id: &request.group_id, require_stable };
        let topics = match &request.topics {
            Some(topics) => topics.iter().map(|topic| reader.topic(topic, offsets)).collect(),
            None => offsets.map(|offsets| reader.all_topics(offsets)).unwrap_or_default(),
        };
        OffsetFetchResponseGroup { group_id: request.group_id.clone(), topics, ..Default::default() }
    }
}

struct Reader<'a> {
    shard: &'a GroupShard,
    group_id: &'a str,
    require_stable: bool,
}

impl Reader<'_> {
    fn topic(&self, topic: &OffsetFetchRequestTopics, offsets: Option<&GroupOffsets>) -> OffsetFetchResponseTopics {
        let committed = offsets.and_then(|offsets| offsets.get(topic.name.as_str()));
        let partitions = topic
            .partition_indexes
            .iter()
            .map(|index| {
                let found = committed.and_then(|committed| committed.get(index));
                self.partition(&topic.name, *index, found.filter(|found| found.is_of_topic(topic.topic_id)))
            })
            .collect();
        OffsetFetchResponseTopics {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions,
            ..Default::default()
        }
    }

    fn all_topics(&self, offsets: &GroupOffsets) -> Vec<OffsetFetchResponseTopics> {
        offsets
            .iter()
            .map(|(name, committed)| OffsetFetchResponseTopics {
                name: name.to_string(),
                topic_id: Uuid::ZERO,
                partitions: committed.iter().map(|(index, found)| self.partition(name, *index, Some(found))).collect(),
                ..Default::default()
            })
            .collect()
    }

    fn partition(
        &self,
        topic: &str,
        index: PartitionIndex,
        committed: Option<&CommittedOffset>,
    ) -> OffsetFetchResponsePartitions {
        let mut response = OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: NO_OFFSET,
            committed_leader_epoch: NO_EPOCH,
            metadata: Some(String::new()),
            ..Default::default()
        };
        if self.require_stable && self.shard.offsets().is_open(self.group_id, topic, index) {
            response.error_code = ErrorCode::UnstableOffsetCommit.code();
        } else if let Some(committed) = committed {
            response.committed_offset = committed.offset;
            response.committed_leader_epoch = committed.leader_epoch;
            response.metadata = Some(committed.metadata.to_string());
        }
        response
    }
}
