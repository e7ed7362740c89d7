//! DescribeQuorum: leader, epoch and voters of the metadata quorum (KIP-595, KIP-836, KIP-853).

use std::sync::Arc;

use protocol::messages::DescribeQuorumRequest;
use protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};

use protocol::{ErrorCode, Uuid};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::metadata_log::TOPIC;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DescribeQuorumRequest,
) -> Reply<DescribeQuorumResponse> {
    let metadata_only = match request.topics.as_slice() {
        [topic] => {
            topic.topic_name == TOPIC && matches!(topic.partitions.as_slice(), [only] if only.partition_index == 0)
        }
        _ => false,
    };
    if !metadata_only {
        let topics = request.topics.iter().map(|topic| TopicData {
            topic_name: topic.topic_name.clone(),
            partitions: topic.partitions.iter().map(|asked| unknown(asked.partition_index)).collect(),
            ..Default::default()
        });
        return Reply::Now(DescribeQuorumResponse { topics: topics.collect(), ..Default::default() });
    }
    let status = broker.quorum().status();
    let now_ms = broker.wall_ms();
    let current_voters = status.voters.iter().map(|(key, log_end_offset)| ReplicaState {
        replica_id: key.id,
        replica_directory_id: if context.version >= 2 { key.directory_id } else { Uuid::ZERO },
        log_end_offset: *log_end_offset,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
        ..Default::default()
    });
    let partition = PartitionData {
        partition_index: 0,
        leader_id: status.leader_id,
        leader_epoch: status.epoch,
        high_watermark: status.high_watermark,
        current_voters: current_voters.collect(),
        error_message: Some(String::new()),
        ..Default::default()
    };
    let topic = TopicData { topic_name: TOPIC.to_owned(), partitions: vec![partition], ..Default::default() };
    let listeners = broker.quorum().controller_endpoints().into_iter().map(|at| Listener {
        name: at.listener,
        host: at.host,
        port: at.port,
        ..Default::default()
    });
    let node = Node { node_id: broker.identity().node_id, listeners: listeners.collect(), ..Default::default() };
    let nodes = if context.version >= 2 { vec![node] } else { Vec::new() };
    Reply::Now(DescribeQuorumResponse { topics: vec![topic], nodes, ..Default::default() })
}

fn unknown(partition_index: i32) -> PartitionData {
    let code = ErrorCode::UnknownTopicOrPartition;
    PartitionData { partition_index, error_code: code.code(), ..Default::default() }
}
