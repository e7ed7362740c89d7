//! DescribeQuorum, of the metadata quorum.

use protocol::messages::DescribeQuorumRequest;
use protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use protocol::messages::describe_quorum_response::ReplicaState;
use protocol::types::{BrokerId, LeaderEpoch, Offset, TimestampMs};
use protocol::{ErrorCode, Uuid};

use super::Admin;
use crate::ClientError;

/// Topic of the metadata log.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// A voter or an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its node.
    pub id: BrokerId,
    /// Its log directory.
    pub directory_id: Uuid,
    /// End of its log.
    pub log_end_offset: Offset,
    /// When it last fetched, by the leader's clock; `None` if the leader does not know.
    pub last_fetch: Option<TimestampMs>,
    /// When it last had everything, by the leader's clock; `None` if the leader does not know.
    pub last_caught_up: Option<TimestampMs>,
}

/// The metadata quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDescription {
    /// Its leader.
    pub leader: BrokerId,
    /// Epoch of the leader.
    pub leader_epoch: LeaderEpoch,
    /// Committed end of the log.
    pub high_watermark: Offset,
    /// Who votes.
    pub voters: Vec<QuorumReplica>,
    /// Who only follows.
    pub observers: Vec<QuorumReplica>,
}

impl Admin {
    /// The state of the metadata quorum, as its leader sees it.
    /// # Errors
    /// Those of the request.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, ClientError> {
        let topic = TopicData {
            topic_name: METADATA_TOPIC.to_owned(),
            partitions: vec![PartitionData::default()],
            ..TopicData::default()
        };
        let request = DescribeQuorumRequest { topics: vec![topic], ..DescribeQuorumRequest::default() };
        let response = self.client.send_to_any(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let partition = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let partition = partition.ok_or(ClientError::broker(ErrorCode::UnknownTopicOrPartition))?;
        ClientError::check(partition.error_code, partition.error_message.as_deref())?;
        Ok(QuorumDescription {
            leader: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: partition.current_voters.iter().map(replica).collect(),
            observers: partition.observers.iter().map(replica).collect(),
        })
    }
}

fn replica(state: &ReplicaState) -> QuorumReplica {
    QuorumReplica {
        id: state.replica_id,
        directory_id: state.replica_directory_id,
        log_end_offset: state.log_end_offset,
        last_fetch: Some(state.last_fetch_timestamp).filter(|time| *time >= 0),
        last_caught_up: Some(state.last_caught_up_timestamp).filter(|time| *time >= 0),
    }
}
