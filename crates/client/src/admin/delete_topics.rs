//! DeleteTopics.

use protocol::messages::DeleteTopicsRequest;
use protocol::messages::delete_topics_request::DeleteTopicState;

use super::{Admin, Results};
use crate::ClientError;

/// First version that takes ids beside names, in a list of its own.
const STATES_VERSION: i16 = 6;

impl Admin {
    /// Deletes topics by name.
    /// # Errors
    /// Those of the request.
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<Results<()>, ClientError> {
        let version = self.client.any_broker().await?.version::<DeleteTopicsRequest>(None)?;
        let names = || topics.iter().map(|topic| (*topic).to_owned());
        let mut request = DeleteTopicsRequest { timeout_ms: self.timeout_ms(), ..DeleteTopicsRequest::default() };
        if version >= STATES_VERSION {
            let state = |name| DeleteTopicState { name: Some(name), ..DeleteTopicState::default() };
            request.topics = names().map(state).collect();
        } else {
            request.topic_names = names().collect();
        }
        let response = self
            .send_to_controller(&request, |response| response.responses.first().map_or(0, |topic| topic.error_code))
            .await?;
        let results = response.responses.into_iter().map(|topic| {
            let result = ClientError::check(topic.error_code, topic.error_message.as_deref());
            (topic.name.unwrap_or_default(), result)
        });
        Ok(results.collect())
    }
}
