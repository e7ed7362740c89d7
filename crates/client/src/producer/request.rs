//! Produce requests and what their responses say about each batch.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::produce_response::PartitionProduceResponse;
use protocol::messages::{ProduceRequest, ProduceResponse};
use protocol::types::PartitionIndex;
use protocol::{ErrorCode, Records, Uuid};

use super::ProducerConfig;
use super::batches::{Batch, PartitionQueue};
use super::delivery::Written;
use crate::{ClientError, ClusterMetadata, Connection};

/// First version that names topics by their ids.
const TOPIC_ID_VERSION: i16 = 13;

/// A batch and where it belongs.
pub(super) type QueuedBatch = (Arc<PartitionQueue>, Batch);

/// Chooses the version: topics without a known id can be named only in an older one.
pub(super) fn version(
    connection: &Connection,
    cluster: &ClusterMetadata,
    batches: &[QueuedBatch],
) -> Result<i16, ClientError> {
    let has_id = |(queue, _): &QueuedBatch| !topic_id(cluster, &queue.topic_partition.topic).is_zero();
    let cap = if batches.iter().all(has_id) { None } else { Some(TOPIC_ID_VERSION - 1) };
    connection.version::<ProduceRequest>(cap)
}

fn topic_id(cluster: &ClusterMetadata, topic: &str) -> Uuid {
    cluster.topic(topic).map_or(Uuid::ZERO, |topic| topic.id)
}

pub(super) fn build(
    config: &ProducerConfig,
    cluster: &ClusterMetadata,
    batches: &[QueuedBatch],
    version: i16,
    timeout_ms: i32,
) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (queue, batch) in batches {
        let topic = &*queue.topic_partition.topic;
        let place = *places.entry(topic).or_insert_with(|| {
            topics.push(topic_data(cluster, topic, version));
            topics.len() - 1
        });
        topics[place].partition_data.push(PartitionProduceData {
            index: queue.topic_partition.partition,
            records: Records::Bytes(batch.bytes.clone()),
            ..PartitionProduceData::default()
        });
    }
    ProduceRequest { acks: config.acks.code(), timeout_ms, topic_data: topics, ..ProduceRequest::default() }
}

fn topic_data(cluster: &ClusterMetadata, topic: &str, version: i16) -> TopicProduceData {
    if version >= TOPIC_ID_VERSION {
        return TopicProduceData { topic_id: topic_id(cluster, topic), ..TopicProduceData::default() };
    }
    TopicProduceData { name: topic.to_owned(), ..TopicProduceData::default() }
}

/// The results of a response, by topic and partition.
pub(super) struct Results {
    by_partition: HashMap<(Arc<str>, PartitionIndex), PartitionProduceResponse>,
}

impl Results {
    pub(super) fn new(response: ProduceResponse, cluster: &ClusterMetadata) -> Self {
        let mut by_partition = HashMap::new();
        for topic in response.responses {
            let by_id = cluster.topic_names.get(&topic.topic_id).filter(|_| topic.name.is_empty());
            let name: Arc<str> = by_id.map_or_else(|| topic.name.as_str().into(), Arc::clone);
            for partition in topic.partition_responses {
                by_partition.insert((name.clone(), partition.index), partition);
            }
        }
        Self { by_partition }
    }

    /// What became of the batch of a partition.
    pub(super) fn take(&mut self, queue: &PartitionQueue) -> Result<Written, ClientError> {
        let topic_partition = &queue.topic_partition;
        let key = (topic_partition.topic.clone(), topic_partition.partition);
        let Some(result) = self.by_partition.remove(&key) else {
            return Err(ClientError::broker(ErrorCode::UnknownServerError));
        };
        match ErrorCode::from_code(result.error_code) {
            ErrorCode::None => {
                Ok(Written { base_offset: result.base_offset, log_append_time: result.log_append_time_ms })
            }
            // The broker has it from an earlier attempt, and no longer knows where.
            ErrorCode::DuplicateSequenceNumber => Ok(Written { base_offset: -1, log_append_time: -1 }),
            code => {
                let first = result.record_errors.into_iter().next();
                let message = first.and_then(|first| first.batch_index_error_message).or(result.error_message);
                Err(ClientError::Broker { code, message })
            }
        }
    }
}
