//! OffsetFetch, OffsetCommit and OffsetDelete from outside of a group.

use std::collections::BTreeMap;

use protocol::TopicPartition;
use protocol::messages::OffsetDeleteRequest;
use protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};

use super::Admin;
use crate::offsets::{self, Committer, PerPartition};
use crate::{ClientError, OffsetAndMetadata};

impl Admin {
    /// Offsets that a group has committed: for `partitions`, or all. Partitions without one are left out.
    /// # Errors
    /// Those of the request.
    pub async fn list_group_offsets(
        &self,
        group_id: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<PerPartition<OffsetAndMetadata>, ClientError> {
        offsets::fetch_committed(&self.client, group_id, partitions).await
    }

    /// Sets offsets of a group that has no members.
    /// # Errors
    /// Those of the request.
    pub async fn alter_group_offsets(
        &self,
        group_id: &str,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) -> Result<PerPartition<()>, ClientError> {
        offsets::commit(&self.client, &Committer::outside(group_id), offsets).await
    }

    /// Deletes offsets of a group, of topics that no member subscribes to.
    /// # Errors
    /// Those of the request.
    pub async fn delete_group_offsets(
        &self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> Result<PerPartition<()>, ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for partition in partitions {
            let entry = OffsetDeleteRequestPartition { partition_index: partition.partition };
            topics.entry(&partition.topic).or_default().push(entry);
        }
        let topics =
            topics.into_iter().map(|(name, partitions)| OffsetDeleteRequestTopic { name: name.to_owned(), partitions });
        let request = OffsetDeleteRequest { group_id: group_id.to_owned(), topics: topics.collect() };
        let response = self.send_to_coordinator(group_id, &request, |response| response.error_code).await?;
        ClientError::check(response.error_code, None)?;
        let results = response.topics.into_iter().flat_map(|topic| {
            topic.partitions.into_iter().map(move |partition| {
                let topic_partition = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                (topic_partition, ClientError::check(partition.error_code, None))
            })
        });
        Ok(results.collect())
    }
}
