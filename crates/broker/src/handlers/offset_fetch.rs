//! OffsetFetch: what groups have committed. Old versions ask for one group, new ones for many.

use std::sync::Arc;

use metadata::ClusterImage;
use protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use protocol::{ErrorCode, Uuid};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

/// From this version on a group has an error of its own.
const FIRST_VERSION_WITH_GROUP_ERROR: i16 = 2;
/// From this version on a request names many groups (KIP-709).
const FIRST_VERSION_WITH_GROUPS: i16 = 8;
/// From this version on topics are named by their ids.
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 10;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: OffsetFetchRequest,
) -> Reply<OffsetFetchResponse> {
    let version = context.version;
    let require_stable = request.require_stable;
    let asked = groups(request, version);
    let answers = asked.into_iter().map(|group| fetch(broker, group, require_stable, version));
    Reply::Now(response(answers.collect(), version))
}

fn groups(request: OffsetFetchRequest, version: i16) -> Vec<OffsetFetchRequestGroup> {
    if version >= FIRST_VERSION_WITH_GROUPS {
        return request.groups;
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|OffsetFetchRequestTopic { name, partition_indexes, .. }| {
            OffsetFetchRequestTopics { name, partition_indexes, ..Default::default() }
        });
        topics.collect()
    });
    vec![OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() }]
}

fn fetch(
    broker: &Arc<Broker>,
    mut asked: OffsetFetchRequestGroup,
    require_stable: bool,
    version: i16,
) -> OffsetFetchResponseGroup {
    let by_id = version >= FIRST_VERSION_WITH_TOPIC_IDS;
    let image = broker.image();
    let mut unknown = Vec::new();
    if by_id && let Some(topics) = asked.topics.take() {
        let named = topics.into_iter().filter_map(|mut topic| match image.topic_by_id(topic.topic_id) {
            Some(found) => {
                topic.name = found.name.to_string();
                Some(topic)
            }
            None => {
                unknown.push(refuse(&topic, ErrorCode::UnknownTopicId));
                None
            }
        });
        asked.topics = Some(named.collect());
    }
    let answer = broker.groups().look(broker, &asked.group_id, |groups| groups.fetch_offsets(&asked, require_stable));
    match answer {
        Ok(mut group) => {
            if by_id && asked.topics.is_none() {
                add_topic_ids(&image, &mut group.topics);
            }
            group.topics.extend(unknown);
            group
        }
        Err(code) if version >= FIRST_VERSION_WITH_GROUP_ERROR => {
            OffsetFetchResponseGroup { group_id: asked.group_id, error_code: code.code(), ..Default::default() }
        }
        Err(code) => {
            let topics = asked.topics.iter().flatten().map(|topic| refuse(topic, code)).collect();
            OffsetFetchResponseGroup { group_id: asked.group_id, topics, ..Default::default() }
        }
    }
}

/// Topics that are gone cannot be named to a client that knows ids only.
fn add_topic_ids(image: &ClusterImage, topics: &mut Vec<OffsetFetchResponseTopics>) {
    topics.retain_mut(|topic| {
        topic.topic_id = image.topic_id(&topic.name).unwrap_or(Uuid::ZERO);
        !topic.topic_id.is_zero()
    });
}

fn refuse(topic: &OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|index| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: code.code(),
        ..Default::default()
    });
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn response(groups: Vec<OffsetFetchResponseGroup>, version: i16) -> OffsetFetchResponse {
    if version >= FIRST_VERSION_WITH_GROUPS {
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let Some(group) = groups.into_iter().next() else { return OffsetFetchResponse::default() };
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(old_partition).collect(),
        ..Default::default()
    });
    OffsetFetchResponse { topics: topics.collect(), error_code: group.error_code, ..Default::default() }
}

fn old_partition(partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
        ..Default::default()
    }
}
