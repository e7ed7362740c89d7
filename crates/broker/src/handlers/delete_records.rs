//! DeleteRecords: moves the log start offset of partitions (KIP-107).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest};
use protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::topic_settings::is_internal;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: DeleteRecordsRequest,
) -> Reply<DeleteRecordsResponse> {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let outcome = delete(broker, &topic.name, asked);
            DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark: *outcome.as_ref().unwrap_or(&-1),
                error_code: outcome.err().unwrap_or(ErrorCode::None).code(),
                ..Default::default()
            }
        });
        let (name, partitions) = (topic.name.clone(), partitions.collect());
        DeleteRecordsTopicResult { name, partitions, ..Default::default() }
    });
    Reply::Now(DeleteRecordsResponse { topics: topics.collect(), ..Default::default() })
}

fn delete(broker: &Broker, topic: &str, asked: &DeleteRecordsPartition) -> Result<i64, ErrorCode> {
    let partition = broker.partitions().get(topic, asked.partition_index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    if !partition.settings().log.cleanup_delete {
        return Err(ErrorCode::PolicyViolation);
    }
    partition.delete_records(asked.offset)
}
