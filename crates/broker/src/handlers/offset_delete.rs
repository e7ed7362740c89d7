//! OffsetDelete: removes offsets that a group has committed (KIP-496).

use std::sync::Arc;

use coordinator::GroupResponse;
use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::offset_delete_request::{OffsetDeleteRequest, OffsetDeleteRequestTopic};
use protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    mut request: OffsetDeleteRequest,
) -> Reply<OffsetDeleteResponse> {
    let image = broker.image();
    let mut refused = Vec::new();
    let asked = std::mem::take(&mut request.topics);
    request.topics = asked.into_iter().filter_map(|topic| existing(&image, topic, &mut refused)).collect();
    let now_ms = broker.coordinators().now_ms(broker);
    let answer = broker.groups().ask(broker, &request.group_id, |groups, token, out| {
        groups.delete_offsets(now_ms, &request, token, out);
    });
    answer.reply(move |answer| match answer {
        Ok(GroupResponse::OffsetDelete(response)) => merge(refused, response),
        Ok(other) => unreachable!("OffsetDelete is not answered with {other:?}"),
        Err(code) => OffsetDeleteResponse { error_code: code.code(), ..Default::default() },
    })
}

/// What exists of a topic. The rest is refused.
fn existing(
    image: &ClusterImage,
    mut topic: OffsetDeleteRequestTopic,
    refused: &mut Vec<OffsetDeleteResponseTopic>,
) -> Option<OffsetDeleteRequestTopic> {
    let found = image.topic(&topic.name);
    let asked = std::mem::take(&mut topic.partitions);
    let (known, unknown): (Vec<_>, Vec<_>) = asked
        .into_iter()
        .partition(|partition| found.is_some_and(|found| found.partition(partition.partition_index).is_some()));
    if !unknown.is_empty() {
        let partitions = unknown.iter().map(|partition| OffsetDeleteResponsePartition {
            partition_index: partition.partition_index,
            error_code: ErrorCode::UnknownTopicOrPartition.code(),
        });
        refused.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions: partitions.collect() });
    }
    topic.partitions = known;
    Some(topic).filter(|topic| !topic.partitions.is_empty())
}

/// One entry a topic, what was refused first; nothing of it if the whole request failed.
fn merge(refused: Vec<OffsetDeleteResponseTopic>, mut response: OffsetDeleteResponse) -> OffsetDeleteResponse {
    if response.error_code != 0 {
        return response;
    }
    let mut topics = refused;
    for topic in response.topics {
        match topics.iter_mut().find(|other| other.name == topic.name) {
            Some(other) => other.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
    response.topics = topics;
    response
}
