//! CreatePartitions.

use protocol::messages::CreatePartitionsRequest;
use protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use protocol::types::BrokerId;

use super::{Admin, Results};
use crate::ClientError;

/// How many partitions a topic is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewPartitions {
    /// The topic.
    pub topic: String,
    /// Number of partitions after.
    pub total: i32,
    /// Replicas of each partition that is added, or `None` to let the controller choose.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

impl Admin {
    /// Adds partitions to topics, or only says whether they could be added if `validate_only`.
    /// # Errors
    /// Those of the request.
    pub async fn create_partitions(
        &self,
        topics: &[NewPartitions],
        validate_only: bool,
    ) -> Result<Results<()>, ClientError> {
        let assignment = |brokers: &Vec<BrokerId>| CreatePartitionsAssignment {
            broker_ids: brokers.clone(),
            ..CreatePartitionsAssignment::default()
        };
        let topic = |topic: &NewPartitions| CreatePartitionsTopic {
            name: topic.topic.clone(),
            count: topic.total,
            assignments: topic.assignments.as_ref().map(|replicas| replicas.iter().map(assignment).collect()),
            ..CreatePartitionsTopic::default()
        };
        let request = CreatePartitionsRequest {
            topics: topics.iter().map(topic).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..CreatePartitionsRequest::default()
        };
        let response = self
            .send_to_controller(&request, |response| response.results.first().map_or(0, |topic| topic.error_code))
            .await?;
        let results = response.results.into_iter();
        Ok(results
            .map(|topic| (topic.name, ClientError::check(topic.error_code, topic.error_message.as_deref())))
            .collect())
    }
}
