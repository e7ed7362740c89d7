//! Metadata of topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ErrorCode;

use super::{Admin, Results};
use crate::{ClientError, TopicMetadata};

impl Admin {
    /// All topics by name; Kafka's own only if `include_internal`.
    /// # Errors
    /// Those of the request.
    pub async fn list_topics(
        &self,
        include_internal: bool,
    ) -> Result<BTreeMap<String, Arc<TopicMetadata>>, ClientError> {
        let cluster = self.client.metadata(None).await?;
        let listed = cluster.topics.values().filter(|topic| include_internal || !topic.is_internal);
        Ok(listed.map(|topic| (topic.name.to_string(), topic.clone())).collect())
    }

    /// Topics with their partitions, leaders and replicas.
    /// # Errors
    /// Those of the request.
    pub async fn describe_topics(&self, topics: &[&str]) -> Result<Results<Arc<TopicMetadata>>, ClientError> {
        let cluster = self.client.metadata(Some(topics)).await?;
        let describe = |name: &&str| {
            let topic = cluster.topics.get(*name);
            let topic = topic.ok_or(ClientError::broker(ErrorCode::UnknownTopicOrPartition));
            let topic = topic.and_then(|topic| {
                ClientError::check(topic.error.code(), None)?;
                Ok(topic.clone())
            });
            ((*name).to_owned(), topic)
        };
        Ok(topics.iter().map(describe).collect())
    }
}
