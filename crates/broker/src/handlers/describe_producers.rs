//! DescribeProducers: the idempotent producers that a partition knows (KIP-664).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::describe_producers_request::DescribeProducersRequest;
use protocol::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: DescribeProducersRequest,
) -> Reply<DescribeProducersResponse> {
    let topics = request.topics.iter().map(|topic| TopicResponse {
        name: topic.name.clone(),
        partitions: topic.partition_indexes.iter().map(|index| producers(broker, &topic.name, *index)).collect(),
        ..Default::default()
    });
    Reply::Now(DescribeProducersResponse { topics: topics.collect(), ..Default::default() })
}

fn producers(broker: &Broker, topic: &str, partition_index: i32) -> PartitionResponse {
    let Some(partition) = broker.partitions().get(topic, partition_index) else {
        let error_code = ErrorCode::UnknownTopicOrPartition.code();
        return PartitionResponse { partition_index, error_code, ..Default::default() };
    };
    let states = partition.log().producer_states();
    let active_producers = states.iter().map(|state| ProducerState {
        producer_id: state.producer_id,
        producer_epoch: i32::from(state.producer_epoch),
        last_sequence: state.last_sequence,
        last_timestamp: state.last_timestamp,
        coordinator_epoch: state.coordinator_epoch,
        current_txn_start_offset: state.current_txn_first_offset.unwrap_or(-1),
        ..Default::default()
    });
    PartitionResponse { partition_index, active_producers: active_producers.collect(), ..Default::default() }
}
