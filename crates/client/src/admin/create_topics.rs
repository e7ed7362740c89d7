//! CreateTopics.

use std::collections::BTreeMap;

use protocol::Uuid;
use protocol::messages::CreateTopicsRequest;
use protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use protocol::types::{BrokerId, PartitionIndex};

use super::{Admin, Results};
use crate::ClientError;

/// A topic to create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions, or the broker's `num.partitions`.
    pub partitions: Option<i32>,
    /// Replicas of each, or the broker's `default.replication.factor`.
    pub replication_factor: Option<i16>,
    /// Replicas by partition, instead of the two numbers.
    pub assignments: BTreeMap<PartitionIndex, Vec<BrokerId>>,
    /// Settings that differ from the broker's.
    pub configs: BTreeMap<String, String>,
}

/// A topic as it was created; the numbers are -1 where the broker does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: Uuid,
    /// Number of partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i16,
}

impl Admin {
    /// Creates topics, or only says whether they could be if `validate_only`.
    /// # Errors
    /// Those of the request.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Results<CreatedTopic>, ClientError> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(creatable).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..CreateTopicsRequest::default()
        };
        let response = self
            .send_to_controller(&request, |response| response.topics.first().map_or(0, |topic| topic.error_code))
            .await?;
        let results = response.topics.into_iter().map(|topic| {
            let created = CreatedTopic {
                id: topic.topic_id,
                partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
            };
            (topic.name, ClientError::check(topic.error_code, topic.error_message.as_deref()).map(|()| created))
        });
        Ok(results.collect())
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let assignment = |(index, brokers): (&PartitionIndex, &Vec<BrokerId>)| CreatableReplicaAssignment {
        partition_index: *index,
        broker_ids: brokers.clone(),
        ..CreatableReplicaAssignment::default()
    };
    let config = |(name, value): (&String, &String)| CreatableTopicConfig {
        name: name.clone(),
        value: Some(value.clone()),
        ..CreatableTopicConfig::default()
    };
    CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        assignments: topic.assignments.iter().map(assignment).collect(),
        configs: topic.configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    }
}
