//! Which partitions of a share group have share state: what is being set up, what is there, what is being deleted.
//! The share coordinator holds the state itself; the group notes here what it has asked of it and what came of that, so
//! that a crash in between is seen and made good later.

use std::collections::{BTreeMap, BTreeSet};

use metadata::ClusterImage;
use protocol::messages::alter_share_group_offsets_request::AlterShareGroupOffsetsRequestTopic;
use protocol::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
};
use protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use protocol::messages::delete_share_group_state_request::{DeleteStateData, PartitionData as DeletedPartition};
use protocol::messages::initialize_share_group_state_request::{InitializeStateData, PartitionData};
use protocol::messages::{
    AlterShareGroupOffsetsResponse, DeleteShareGroupOffsetsRequest, DeleteShareGroupStateRequest,
    InitializeShareGroupStateRequest,
};
use protocol::types::TimestampMs;
use protocol::{ErrorCode, Uuid};

use super::record;
use super::state::{ShareGroup, StatePartitions, TopicState};
use crate::error::Refusal;
use crate::group::modern::assignment::Assignment;
use crate::record::modern::GroupRecord;

/// What stands for the name of a topic that is gone.
const UNKNOWN_NAME: &str = "<UNKNOWN>";

/// What comes of DeleteShareGroupOffsets before share state is deleted.
#[derive(Debug, Default)]
pub(crate) struct OffsetDeletion {
    pub(crate) records: Vec<GroupRecord>,
    /// Topics that have nothing to delete.
    pub(crate) refused: Vec<DeleteShareGroupOffsetsResponseTopic>,
    /// The state to delete.
    pub(crate) request: Option<DeleteShareGroupStateRequest>,
}

impl ShareGroup {
    /// The partitions that have share state.
    pub(crate) fn initialized(&self) -> Assignment {
        self.partitions.as_ref().map(StatePartitions::assignable).unwrap_or_default()
    }

    /// Notes that share state is being set up for `topics`, which it is no longer being deleted for.
    pub(crate) fn initializing_record(&self, topics: BTreeMap<Uuid, TopicState>, image: &ClusterImage) -> GroupRecord {
        let mut partitions = self.partitions.clone().unwrap_or_default();
        for (topic_id, state) in topics {
            partitions.deleting.remove(&topic_id);
            add(&mut partitions.initializing, topic_id, state);
        }
        self.partitions_record(&partitions, image)
    }

    /// Notes that share state is there.
    pub(crate) fn initialized_record(
        &self,
        now_ms: TimestampMs,
        done: &Assignment,
        image: &ClusterImage,
    ) -> GroupRecord {
        let mut partitions = self.partitions.clone().unwrap_or_default();
        subtract(&mut partitions.initializing, done);
        for (topic_id, done) in done {
            let name = name_of(*topic_id, image);
            let state = TopicState { name, partitions: done.clone(), since_ms: now_ms };
            add(&mut partitions.initialized, *topic_id, state);
        }
        self.partitions_record(&partitions, image)
    }

    /// Notes that share state could not be set up. Nothing if none was being.
    pub(crate) fn uninitialized_record(&self, failed: &Assignment, image: &ClusterImage) -> Option<GroupRecord> {
        let known = self.partitions.as_ref().filter(|known| !known.initializing.is_empty())?;
        let mut partitions = known.clone();
        subtract(&mut partitions.initializing, failed);
        Some(self.partitions_record(&partitions, image))
    }

    /// Sets where partitions start, in a group without members.
    /// # Errors
    /// `NonEmptyGroup`.
    pub(crate) fn alter_offsets(
        &self,
        now_ms: TimestampMs,
        topics: &[AlterShareGroupOffsetsRequestTopic],
        image: &ClusterImage,
    ) -> Result<(Vec<GroupRecord>, AlterShareGroupOffsetsResponse, InitializeShareGroupStateRequest), Refusal> {
        self.check_empty()?;
        let mut initializing = BTreeMap::new();
        let mut request =
            InitializeShareGroupStateRequest { group_id: self.group_id.to_string(), ..Default::default() };
        let mut response = AlterShareGroupOffsetsResponse::default();
        for asked in topics {
            let topic = image.topic(&asked.topic_name);
            let exists = |index: i32| topic.is_some_and(|topic| topic.partition(index).is_some());
            let partitions = asked.partitions.iter().map(|partition| match exists(partition.partition_index) {
                true => altered(partition.partition_index, ErrorCode::None),
                false => altered(partition.partition_index, ErrorCode::UnknownTopicOrPartition),
            });
            response.responses.push(AlterShareGroupOffsetsResponseTopic {
                topic_name: asked.topic_name.clone(),
                topic_id: topic.map_or(Uuid::ZERO, |topic| topic.id),
                partitions: partitions.collect(),
                ..Default::default()
            });
            let Some(topic) = topic else { continue };
            let known: Vec<_> = asked.partitions.iter().filter(|partition| exists(partition.partition_index)).collect();
            let state = TopicState {
                name: asked.topic_name.clone(),
                partitions: known.iter().map(|partition| partition.partition_index).collect(),
                since_ms: now_ms,
            };
            initializing.insert(topic.id, state);
            if known.is_empty() {
                continue;
            }
            let partitions = known.iter().map(|partition| PartitionData {
                partition: partition.partition_index,
                state_epoch: self.epoch,
                start_offset: partition.start_offset,
                ..Default::default()
            });
            request.topics.push(InitializeStateData {
                topic_id: topic.id,
                partitions: partitions.collect(),
                ..Default::default()
            });
        }
        let records = match initializing.is_empty() {
            true => Vec::new(),
            false => vec![self.initializing_record(initializing, image)],
        };
        Ok((records, response, request))
    }

    /// Begins to delete the share state of topics, in a group without members.
    /// # Errors
    /// `NonEmptyGroup`.
    pub(crate) fn delete_offsets(
        &self,
        request: &DeleteShareGroupOffsetsRequest,
        image: &ClusterImage,
    ) -> Result<OffsetDeletion, Refusal> {
        self.check_empty()?;
        let Some(known) = &self.partitions else { return Ok(OffsetDeletion::default()) };
        let mut partitions = known.clone();
        let mut deletion = OffsetDeletion::default();
        let mut topics = Vec::new();
        for asked in &request.topics {
            let name = asked.topic_name.as_str();
            let refuse = |message: &str| DeleteShareGroupOffsetsResponseTopic {
                topic_name: name.to_owned(),
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                error_message: Some(message.to_owned()),
                ..Default::default()
            };
            let Some(topic) = image.topic(name) else {
                deletion.refused.push(refuse(ErrorCode::UnknownTopicOrPartition.message()));
                continue;
            };
            if let Some(state) = partitions.initialized.remove(&topic.id) {
                partitions.deleting.insert(topic.id);
                topics.push(deleted(topic.id, state.partitions));
            } else if partitions.deleting.contains(&topic.id) {
                topics.push(deleted(topic.id, topic.partitions().map(|(index, _)| index)));
            } else {
                deletion.refused.push(refuse("There is no offset information to delete."));
            }
        }
        deletion.records.push(self.partitions_record(&partitions, image));
        deletion.request = (!topics.is_empty()).then(|| self.deletion(topics));
        Ok(deletion)
    }

    /// Notes that the share state of `topics` is gone.
    pub(crate) fn offsets_deleted(&self, topics: &BTreeSet<Uuid>, image: &ClusterImage) -> Option<GroupRecord> {
        let mut partitions = self.partitions.clone()?;
        partitions.deleting.retain(|topic| !topics.contains(topic));
        Some(self.partitions_record(&partitions, image))
    }

    /// Begins to delete all share state of a group that is to be deleted. Nothing if it never had any.
    /// # Errors
    /// `NonEmptyGroup`.
    pub(crate) fn delete_all(
        &self,
        image: &ClusterImage,
    ) -> Result<(Vec<GroupRecord>, Option<DeleteShareGroupStateRequest>), Refusal> {
        self.check_empty()?;
        let Some(known) = &self.partitions else { return Ok((Vec::new(), None)) };
        let mut all = Assignment::new();
        for (topic_id, state) in known.initialized.iter().chain(&known.initializing) {
            all.entry(*topic_id).or_default().extend(&state.partitions);
        }
        // Left over from a deletion that failed.
        for topic in known.deleting.iter().filter_map(|topic_id| image.topic_by_id(*topic_id)) {
            all.entry(topic.id).or_default().extend(topic.partitions().map(|(index, _)| index));
        }
        let partitions = StatePartitions { deleting: all.keys().copied().collect(), ..Default::default() };
        let records = vec![self.partitions_record(&partitions, image)];
        let topics: Vec<DeleteStateData> =
            all.into_iter().map(|(topic_id, partitions)| deleted(topic_id, partitions)).collect();
        Ok((records, (!topics.is_empty()).then(|| self.deletion(topics))))
    }

    /// The records that end the group.
    pub(crate) fn tombstones(&self) -> Vec<GroupRecord> {
        let group_id = &*self.group_id;
        let mut records: Vec<GroupRecord> = Vec::with_capacity(3 * self.members.len() + 3);
        records.extend(self.members.keys().map(|member_id| record::current(group_id, member_id, None)));
        records.extend(self.members.keys().map(|member_id| record::target(group_id, member_id, None)));
        records.push(record::target_epoch(group_id, None));
        records.extend(self.members.keys().map(|member_id| record::member(group_id, member_id, None)));
        records.push(record::no_partitions(group_id));
        records.push(record::epoch(group_id, None));
        records
    }

    /// Forgets topics that were deleted; the share coordinator does so by itself. Nothing if it knew none of them.
    pub(crate) fn topics_deleted(&self, topics: &BTreeSet<Uuid>, image: &ClusterImage) -> Option<GroupRecord> {
        let known = self.partitions.as_ref()?;
        let mut partitions = known.clone();
        partitions.initializing.retain(|topic, _| !topics.contains(topic));
        partitions.initialized.retain(|topic, _| !topics.contains(topic));
        partitions.deleting.retain(|topic| !topics.contains(topic));
        if partitions == *known {
            return None;
        }
        Some(self.partitions_record(&partitions, image))
    }

    /// # Errors
    /// `NonEmptyGroup`.
    pub(crate) fn check_empty(&self) -> Result<(), Refusal> {
        if self.members.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::NonEmptyGroup, ErrorCode::NonEmptyGroup.message().to_owned()))
    }

    fn partitions_record(&self, partitions: &StatePartitions, image: &ClusterImage) -> GroupRecord {
        record::partitions(&self.group_id, partitions, |topic_id| name_of(topic_id, image))
    }

    fn deletion(&self, topics: Vec<DeleteStateData>) -> DeleteShareGroupStateRequest {
        DeleteShareGroupStateRequest { group_id: self.group_id.to_string(), topics, ..Default::default() }
    }
}

fn add(topics: &mut BTreeMap<Uuid, TopicState>, topic_id: Uuid, state: TopicState) {
    let known = topics.entry(topic_id).or_insert_with(|| TopicState { partitions: BTreeSet::new(), ..state.clone() });
    known.partitions.extend(state.partitions);
    known.name = state.name;
    known.since_ms = state.since_ms;
}

fn subtract(topics: &mut BTreeMap<Uuid, TopicState>, gone: &Assignment) {
    topics.retain(|topic_id, state| {
        let Some(gone) = gone.get(topic_id) else { return true };
        state.partitions.retain(|partition| !gone.contains(partition));
        !state.partitions.is_empty()
    });
}

fn name_of(topic_id: Uuid, image: &ClusterImage) -> String {
    image.topic_by_id(topic_id).map_or_else(|| UNKNOWN_NAME.to_owned(), |topic| topic.name.to_string())
}

fn altered(partition_index: i32, code: ErrorCode) -> AlterShareGroupOffsetsResponsePartition {
    let error_message = (code != ErrorCode::None).then(|| code.message().to_owned());
    AlterShareGroupOffsetsResponsePartition {
        partition_index,
        error_code: code.code(),
        error_message,
        ..Default::default()
    }
}

fn deleted(topic_id: Uuid, partitions: impl IntoIterator<Item = i32>) -> DeleteStateData {
    let partitions = partitions.into_iter().map(|partition| DeletedPartition { partition, ..Default::default() });
    DeleteStateData { topic_id, partitions: partitions.collect(), ..Default::default() }
}
