//! Topics that are created because somebody asked for them (`AutoTopicCreationManager`).

use std::sync::Arc;

use metadata::config::BrokerConfig;
use protocol::ErrorCode;
use protocol::messages::CreateTopicsRequest;
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use tracing::{info, warn};

use crate::Broker;

/// The topic of the group coordinators.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// The topic of the transaction coordinators.
pub(crate) const TRANSACTION_STATE: &str = "__transaction_state";

/// The topic of the share coordinators.
pub(crate) const SHARE_GROUP_STATE: &str = "__share_group_state";

impl Broker {
    /// Creates those of `names` that do not exist, with the broker's defaults. Failures are logged: whoever asked looks again.
    pub(crate) async fn auto_create(self: &Arc<Self>, names: Vec<String>) {
        let created = self.blocking(move |broker| {
            let config = broker.config();
            let topics = names.iter().map(|name| topic(&config, name)).collect();
            let request = CreateTopicsRequest { topics, timeout_ms: config.request_timeout_ms(), ..Default::default() };
            match broker.quorum().submit(broker, |controller, _| Ok(controller.create_topics(&request))) {
                Ok(response) => {
                    for result in response.topics {
                        info!(topic = result.name, code = result.error_code, "created a topic on demand");
                    }
                }
                Err(refusal) => warn!(%refusal, "could not create topics on demand"),
            }
        });
        created.await;
    }

    /// Creates topics inside of the topology of a streams group. Returns which could not be created, and why.
    pub(crate) async fn create_streams_topics(self: &Arc<Self>, topics: Vec<CreatableTopic>) -> Vec<(String, String)> {
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let created = self.blocking(move |broker| {
            let timeout_ms = broker.config().request_timeout_ms();
            let request = CreateTopicsRequest { topics, timeout_ms, ..Default::default() };
            broker.quorum().submit(broker, |controller, _| Ok(controller.create_topics(&request)))
        });
        match created.await {
            Some(Ok(response)) => {
                let failed = response.topics.into_iter().filter_map(|result| {
                    let code = ErrorCode::from_code(result.error_code);
                    info!(topic = result.name, code = result.error_code, "created a topic of a streams group");
                    // Another member of the group was faster.
                    let is_there = matches!(code, ErrorCode::None | ErrorCode::TopicAlreadyExists);
                    let message = result.error_message.filter(|message| !message.is_empty());
                    (!is_there).then(|| (result.name, message.unwrap_or_else(|| code.message().to_owned())))
                });
                failed.collect()
            }
            Some(Err(refusal)) => {
                warn!(%refusal, "could not create topics of a streams group");
                names.into_iter().map(|name| (name, refusal.to_string())).collect()
            }
            // The broker stops.
            None => Vec::new(),
        }
    }
}

fn topic(config: &BrokerConfig, name: &str) -> CreatableTopic {
    let (num_partitions, replication_factor, configs) = match name {
        CONSUMER_OFFSETS => (
            config.offsets_topic_num_partitions(),
            config.offsets_topic_replication_factor(),
            vec![
                ("cleanup.policy", "compact".to_owned()),
                ("compression.type", "producer".to_owned()),
                ("segment.bytes", config.offsets_topic_segment_bytes().to_string()),
            ],
        ),
        TRANSACTION_STATE => (
            config.transaction_state_log_num_partitions(),
            config.transaction_state_log_replication_factor(),
            vec![
                ("cleanup.policy", "compact".to_owned()),
                ("compression.type", "uncompressed".to_owned()),
                ("min.insync.replicas", config.transaction_state_log_min_isr().to_string()),
                ("segment.bytes", config.transaction_state_log_segment_bytes().to_string()),
                ("unclean.leader.election.enable", "false".to_owned()),
            ],
        ),
        SHARE_GROUP_STATE => (
            config.share_coordinator_state_topic_num_partitions(),
            config.share_coordinator_state_topic_replication_factor(),
            vec![
                ("cleanup.policy", "delete".to_owned()),
                ("compression.type", "producer".to_owned()),
                ("min.insync.replicas", config.share_coordinator_state_topic_min_isr().to_string()),
                ("retention.ms", "-1".to_owned()),
                ("segment.bytes", config.share_coordinator_state_topic_segment_bytes().to_string()),
            ],
        ),
        _ => (-1, -1, Vec::new()),
    };
    let configs = configs.into_iter().map(|(name, value)| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value),
        ..Default::default()
    });
    CreatableTopic {
        name: name.to_owned(),
        num_partitions,
        replication_factor,
        configs: configs.collect(),
        ..Default::default()
    }
}
