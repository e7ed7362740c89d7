//! DescribeShareGroupOffsets: where share groups start, and how much is before them (KIP-932, KIP-1226).

use std::sync::Arc;

use metadata::ClusterImage;
use protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use protocol::messages::describe_share_group_offsets_response::{
    DescribeShareGroupOffsetsResponseGroup, DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
};
use protocol::messages::read_share_group_state_summary_request::{PartitionData, ReadStateSummaryData};
use protocol::messages::read_share_group_state_summary_response::PartitionResult;
use protocol::messages::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse, ReadShareGroupStateSummaryRequest,
};
use protocol::{ErrorCode, Uuid};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

/// Nothing was delivered yet, or nothing is known.
const UNINITIALIZED: i64 = -1;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: DescribeShareGroupOffsetsRequest,
) -> Reply<DescribeShareGroupOffsetsResponse> {
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let mut groups = Vec::with_capacity(request.groups.len());
        for asked in request.groups {
            let group_id = asked.group_id.clone();
            let topics = describe(&broker, asked).await;
            groups.push(match topics {
                Ok(topics) => DescribeShareGroupOffsetsResponseGroup { group_id, topics, ..Default::default() },
                Err(code) => DescribeShareGroupOffsetsResponseGroup {
                    group_id,
                    error_code: code.code(),
                    error_message: Some(code.message().to_owned()),
                    ..Default::default()
                },
            });
        }
        DescribeShareGroupOffsetsResponse { groups, ..Default::default() }
    }))
}

async fn describe(
    broker: &Arc<Broker>,
    asked: DescribeShareGroupOffsetsRequestGroup,
) -> Result<Vec<DescribeShareGroupOffsetsResponseTopic>, ErrorCode> {
    if !broker.serves_share_groups() {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let image = broker.image();
    let group_id = asked.group_id.as_str();
    let mut missing = Vec::new();
    let topics: Vec<(Uuid, Vec<i32>)> = match asked.topics {
        Some(topics) => {
            let mut known = Vec::new();
            for topic in topics {
                match image.topic_id(&topic.topic_name) {
                    Some(id) => known.push((id, topic.partitions)),
                    None => missing.push(nothing_known(topic.topic_name, topic.partitions)),
                }
            }
            known
        }
        None => {
            let initialized =
                broker.groups().look(broker, group_id, |groups| groups.initialized_share_partitions(group_id))?;
            let existing = initialized.into_iter().filter(|(id, _)| image.topic_by_id(*id).is_some());
            existing.map(|(id, partitions)| (id, partitions.into_iter().collect())).collect()
        }
    };
    if topics.is_empty() {
        return Ok(missing);
    }
    let request = summary_request(group_id, topics);
    let response = broker.read_share_state_summary(request).await;
    let mut described: Vec<DescribeShareGroupOffsetsResponseTopic> = Vec::with_capacity(response.results.len());
    for topic in response.results {
        let name = name_of(&image, topic.topic_id);
        let partitions = topic.partitions.iter().map(|partition| describe_partition(broker, &name, partition));
        described.push(DescribeShareGroupOffsetsResponseTopic {
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
            topic_name: name,
            ..Default::default()
        });
    }
    described.append(&mut missing);
    Ok(described)
}

fn summary_request(group_id: &str, topics: Vec<(Uuid, Vec<i32>)>) -> ReadShareGroupStateSummaryRequest {
    let topics = topics.into_iter().map(|(topic_id, partitions)| {
        let partitions = partitions.into_iter().map(|partition| PartitionData { partition, ..Default::default() });
        ReadStateSummaryData { topic_id, partitions: partitions.collect(), ..Default::default() }
    });
    ReadShareGroupStateSummaryRequest { group_id: group_id.to_owned(), topics: topics.collect(), ..Default::default() }
}

fn name_of(image: &ClusterImage, topic_id: Uuid) -> String {
    image.topic_by_id(topic_id).map(|topic| topic.name.to_string()).unwrap_or_default()
}

/// A share-partition without state is no error: nothing is known of it.
fn describe_partition(
    broker: &Broker,
    topic: &str,
    summary: &PartitionResult,
) -> DescribeShareGroupOffsetsResponsePartition {
    let known = summary.error_code == 0;
    let described = DescribeShareGroupOffsetsResponsePartition {
        partition_index: summary.partition,
        start_offset: if known { summary.start_offset } else { UNINITIALIZED },
        leader_epoch: if known { summary.leader_epoch } else { 0 },
        lag: UNINITIALIZED,
        ..Default::default()
    };
    if !known || summary.start_offset < 0 || summary.delivery_complete_count < 0 {
        return described;
    }
    match broker.partitions().get(topic, summary.partition) {
        Some(partition) => {
            let end = partition.view().high_watermark;
            let lag = end - summary.start_offset - i64::from(summary.delivery_complete_count);
            DescribeShareGroupOffsetsResponsePartition { lag, ..described }
        }
        None => {
            let code = ErrorCode::NotLeaderOrFollower;
            DescribeShareGroupOffsetsResponsePartition {
                partition_index: summary.partition,
                error_code: code.code(),
                error_message: Some(code.message().to_owned()),
                ..Default::default()
            }
        }
    }
}

fn nothing_known(topic_name: String, partitions: Vec<i32>) -> DescribeShareGroupOffsetsResponseTopic {
    let partitions = partitions.into_iter().map(|partition_index| DescribeShareGroupOffsetsResponsePartition {
        partition_index,
        start_offset: UNINITIALIZED,
        ..Default::default()
    });
    DescribeShareGroupOffsetsResponseTopic { topic_name, partitions: partitions.collect(), ..Default::default() }
}
