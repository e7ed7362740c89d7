//! DescribeTopicPartitions: partitions page by page, with their eligible leader replicas (KIP-966).

use std::sync::Arc;

use controller::validate_topic_name;
use metadata::ClusterImage;
use metadata::PartitionRegistration;
use protocol::ErrorCode;
use protocol::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

use super::metadata::{TOPIC_OPERATIONS, offline_replicas};
use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::topic_settings::is_internal;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> Reply<DescribeTopicPartitionsResponse> {
    let image = broker.image();
    let all = request.topics.is_empty();
    let mut names: Vec<String> = if all {
        image.topics().map(|topic| topic.name.to_string()).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.clone()).collect()
    };
    names.sort();
    names.dedup();
    let mut first_partition = 0;
    if let Some(cursor) = &request.cursor {
        if cursor.partition_index < 0 {
            return Reply::Now(refused(&request));
        }
        names.retain(|name| *name >= cursor.topic_name);
        if names.first() == Some(&cursor.topic_name) {
            first_partition = cursor.partition_index;
        }
    }
    let limit = request.response_partition_limit.clamp(1, broker.config().max_request_partition_size_limit());
    let mut left = usize::try_from(limit).unwrap_or(1);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if left == 0 {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: 0, ..Default::default() });
            break;
        }
        let (topic, next) = describe(&image, &name, std::mem::take(&mut first_partition), left);
        left -= topic.partitions.len();
        response.topics.push(topic);
        if let Some(partition_index) = next {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index, ..Default::default() });
            break;
        }
    }
    Reply::Now(response)
}

/// Nobody can go on from a partition that cannot be.
fn refused(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(topic.name.clone()),
        ..Default::default()
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() }
}

/// At most `limit` partitions of a topic, and the next one if there are more.
fn describe(
    image: &ClusterImage,
    name: &str,
    first: i32,
    limit: usize,
) -> (DescribeTopicPartitionsResponseTopic, Option<i32>) {
    let mut answer = DescribeTopicPartitionsResponseTopic {
        name: Some(name.to_owned()),
        is_internal: is_internal(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    };
    let Some(topic) = image.topic(name) else {
        let valid = validate_topic_name(name).is_ok();
        let code = if valid { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
        answer.error_code = code.code();
        return (answer, None);
    };
    answer.topic_id = topic.id;
    let mut rest = topic.partitions().filter(|(index, _)| *index >= first);
    answer.partitions = rest.by_ref().take(limit).map(|(index, it)| partition(image, index, it)).collect();
    (answer, rest.next().map(|(index, _)| index))
}

fn partition(
    image: &ClusterImage,
    partition_index: i32,
    partition: &PartitionRegistration,
) -> DescribeTopicPartitionsResponsePartition {
    let led = image.broker(partition.leader).is_some_and(|broker| !broker.fenced);
    let code = if led { ErrorCode::None } else { ErrorCode::LeaderNotAvailable };
    DescribeTopicPartitionsResponsePartition {
        error_code: code.code(),
        partition_index,
        leader_id: if led { partition.leader } else { -1 },
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.to_vec(),
        isr_nodes: partition.isr.to_vec(),
        eligible_leader_replicas: Some(partition.elr.to_vec()),
        last_known_elr: Some(partition.last_known_elr.to_vec()),
        offline_replicas: offline_replicas(image, partition),
        ..Default::default()
    }
}
