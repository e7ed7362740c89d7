//! DeleteRecords, at the leaders.

use std::collections::BTreeMap;

use protocol::messages::DeleteRecordsRequest;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use protocol::types::{BrokerId, Offset};
use protocol::{ErrorCode, TopicPartition};

use super::Admin;
use crate::ClientError;
use crate::offsets::PerPartition;

impl Admin {
    /// Deletes the records before these offsets, -1 being the end; returns the new first offset of each log.
    /// # Errors
    /// Those of the requests.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<PerPartition<Offset>, ClientError> {
        let mut topics: Vec<&str> = before.keys().map(|partition| &*partition.topic).collect();
        topics.dedup();
        let cluster = self.client.metadata(Some(&topics)).await?;
        let mut results = PerPartition::new();
        let mut by_leader: BTreeMap<BrokerId, Vec<DeleteRecordsTopic>> = BTreeMap::new();
        for (partition, offset) in before {
            let Some((leader, _)) = cluster.leader(&partition.topic, partition.partition) else {
                let exists = cluster.partition(&partition.topic, partition.partition).is_some();
                let code = if exists { ErrorCode::LeaderNotAvailable } else { ErrorCode::UnknownTopicOrPartition };
                results.insert(partition.clone(), Err(ClientError::broker(code)));
                continue;
            };
            let topics = by_leader.entry(leader).or_default();
            if topics.last().is_none_or(|topic| *topic.name != *partition.topic) {
                let name = partition.topic.to_string();
                topics.push(DeleteRecordsTopic { name, ..DeleteRecordsTopic::default() });
            }
            let entry = DeleteRecordsPartition {
                partition_index: partition.partition,
                offset: *offset,
                ..DeleteRecordsPartition::default()
            };
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(entry);
            }
        }
        for (leader, topics) in by_leader {
            let timeout_ms = self.timeout_ms();
            let request = DeleteRecordsRequest { topics, timeout_ms, ..DeleteRecordsRequest::default() };
            let response = self.client.send_to(leader, &request).await?;
            for topic in response.topics {
                for partition in topic.partitions {
                    let topic_partition = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let result = ClientError::check(partition.error_code, None).map(|()| partition.low_watermark);
                    results.insert(topic_partition, result);
                }
            }
        }
        Ok(results)
    }
}
