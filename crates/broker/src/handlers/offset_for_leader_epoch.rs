//! OffsetForLeaderEpoch: where an epoch ends in our log (KIP-101, KIP-320).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderEpochRequest, OffsetForLeaderPartition};
use protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> Reply<OffsetForLeaderEpochResponse> {
    let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: topic.topic.clone(),
        partitions: topic.partitions.iter().map(|asked| end_offset(broker, &topic.topic, asked)).collect(),
        ..Default::default()
    });
    Reply::Now(OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() })
}

fn end_offset(broker: &Broker, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let mut answer =
        EpochEndOffset { partition: asked.partition, leader_epoch: -1, end_offset: -1, ..Default::default() };
    let Some(partition) = broker.partitions().get(topic, asked.partition) else {
        answer.error_code = ErrorCode::UnknownTopicOrPartition.code();
        return answer;
    };
    if let Err(code) = partition.check_leader_epoch(asked.current_leader_epoch) {
        answer.error_code = code.code();
        return answer;
    }
    if let Some((leader_epoch, end_offset)) = partition.log().end_offset_for_epoch(asked.leader_epoch) {
        (answer.leader_epoch, answer.end_offset) = (leader_epoch, end_offset);
    }
    answer
}
