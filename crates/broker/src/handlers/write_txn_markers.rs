//! WriteTxnMarkers: transactions end. Sent by coordinators of other brokers, and by whoever ends a hanging transaction (KIP-664).

use std::sync::Arc;

use coordinator::{Producer, TransactionOutcome};
use protocol::messages::write_txn_markers_request::{WritableTxnMarker, WriteTxnMarkersRequest};
use protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult, WriteTxnMarkersResponse,
};
use protocol::{ErrorCode, TopicPartition};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::markers::{EndMarker, Written, write_marker};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: WriteTxnMarkersRequest,
) -> Reply<WriteTxnMarkersResponse> {
    let written: Vec<_> = request.markers.iter().map(|marker| (marker.producer_id, write(broker, marker))).collect();
    Reply::Later(Box::pin(async move {
        let mut markers: Vec<WritableTxnMarkerResult> = Vec::new();
        for (producer_id, written) in written {
            let mut topics: Vec<WritableTxnMarkerTopicResult> = Vec::new();
            for (partition, written) in written {
                let outcome = match written {
                    Written::Now(outcome) => outcome,
                    Written::Later(promised) => promised.await.unwrap_or(Err(ErrorCode::NotLeaderOrFollower)),
                };
                let result = WritableTxnMarkerPartitionResult {
                    partition_index: partition.partition,
                    error_code: outcome.err().unwrap_or(ErrorCode::None).code(),
                    ..Default::default()
                };
                match topics.iter_mut().find(|topic| *topic.name == *partition.topic) {
                    Some(topic) => topic.partitions.push(result),
                    None => topics.push(WritableTxnMarkerTopicResult {
                        name: partition.topic.to_string(),
                        partitions: vec![result],
                        ..Default::default()
                    }),
                }
            }
            match markers.iter_mut().find(|marker| marker.producer_id == producer_id) {
                Some(marker) => marker.topics.extend(topics),
                None => markers.push(WritableTxnMarkerResult { producer_id, topics, ..Default::default() }),
            }
        }
        WriteTxnMarkersResponse { markers, ..Default::default() }
    }))
}

fn write(broker: &Arc<Broker>, asked: &WritableTxnMarker) -> Vec<(TopicPartition, Written)> {
    let outcome = if asked.transaction_result { TransactionOutcome::Committed } else { TransactionOutcome::Aborted };
    let marker = EndMarker {
        producer: Producer { id: asked.producer_id, epoch: asked.producer_epoch },
        outcome,
        coordinator_epoch: asked.coordinator_epoch,
        transaction_version: i16::from(asked.transaction_version),
    };
    let mut written = Vec::new();
    for topic in &asked.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for index in &topic.partition_indexes {
            let partition = TopicPartition::new(Arc::clone(&name), *index);
            let outcome = match broker.partitions().get(&name, *index) {
                Some(_) => write_marker(broker, &partition, &marker),
                None => Written::Now(Err(ErrorCode::UnknownTopicOrPartition)),
            };
            written.push((partition, outcome));
        }
    }
    written
}
