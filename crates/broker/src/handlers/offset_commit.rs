//! OffsetCommit: stores how far a group has read. Partitions that do not exist are refused one by one.

use std::sync::Arc;

use coordinator::GroupResponse;
use metadata::ClusterImage;
use protocol::messages::offset_commit_request::{OffsetCommitRequest, OffsetCommitRequestTopic};
use protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use protocol::{ErrorCode, Uuid};

use crate::Broker;
use crate::coordinators::coordinator_context;
use crate::dispatch::{Reply, RequestContext};

/// From this version on topics are named by their ids (KIP-848).
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 10;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    mut request: OffsetCommitRequest,
) -> Reply<OffsetCommitResponse> {
    let image = broker.image();
    let by_id = context.version >= FIRST_VERSION_WITH_TOPIC_IDS;
    let mut refused = Vec::new();
    let asked = std::mem::take(&mut request.topics);
    request.topics = asked.into_iter().filter_map(|topic| existing(&image, topic, by_id, &mut refused)).collect();
    if request.topics.is_empty() {
        return Reply::Now(OffsetCommitResponse { topics: refused, ..Default::default() });
    }
    let context = coordinator_context(broker, context);
    let answer = broker.groups().ask(broker, &request.group_id, |groups, token, out| {
        groups.commit_offsets(&context, &request, token, out);
    });
    answer.reply(move |answer| {
        let response = match answer {
            Ok(GroupResponse::OffsetCommit(response)) => response,
            Ok(other) => unreachable!("OffsetCommit is not answered with {other:?}"),
            Err(code) => OffsetCommitResponse {
                topics: request.topics.iter().map(|topic| refuse(topic, code)).collect(),
                ..Default::default()
            },
        };
        merge(refused, response)
    })
}

/// What exists of a topic, with its name and its id. The rest is refused.
fn existing(
    image: &ClusterImage,
    mut topic: OffsetCommitRequestTopic,
    by_id: bool,
    refused: &mut Vec<OffsetCommitResponseTopic>,
) -> Option<OffsetCommitRequestTopic> {
    let found = if by_id { image.topic_by_id(topic.topic_id) } else { image.topic(&topic.name) };
    let Some(found) = found else {
        let code = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        refused.push(refuse(&topic, code));
        return None;
    };
    topic.name = found.name.to_string();
    topic.topic_id = found.id;
    let asked = std::mem::take(&mut topic.partitions);
    let (known, unknown): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|partition| found.partition(partition.partition_index).is_some());
    if !unknown.is_empty() {
        let unknown = OffsetCommitRequestTopic { partitions: unknown, ..topic.clone() };
        refused.push(refuse(&unknown, ErrorCode::UnknownTopicOrPartition));
    }
    topic.partitions = known;
    Some(topic).filter(|topic| !topic.partitions.is_empty())
}

fn refuse(topic: &OffsetCommitRequestTopic, code: ErrorCode) -> OffsetCommitResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: code.code(),
        ..Default::default()
    });
    OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
        ..Default::default()
    }
}

/// One entry a topic, what was refused first.
fn merge(refused: Vec<OffsetCommitResponseTopic>, mut response: OffsetCommitResponse) -> OffsetCommitResponse {
    let mut topics = refused;
    for topic in response.topics {
        let same = |other: &&mut OffsetCommitResponseTopic| match topic.topic_id {
            Uuid::ZERO => other.name == topic.name,
            id => other.topic_id == id,
        };
        match topics.iter_mut().find(same) {
            Some(other) => other.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
    response.topics = topics;
    response
}
