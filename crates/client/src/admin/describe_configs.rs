//! DescribeConfigs.

use std::collections::BTreeMap;

use protocol::messages::DescribeConfigsRequest;
use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_configs_response::DescribeConfigsResourceResult;

use super::Admin;
use crate::ClientError;

/// What settings belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum ConfigResourceType {
    /// A topic, by name.
    Topic = 2,
    /// A broker by id, or all brokers by the empty name.
    Broker = 4,
    /// The loggers of a broker, by its id.
    BrokerLogger = 8,
    /// A subscription to client metrics, by name.
    ClientMetrics = 16,
    /// A group, by id.
    Group = 32,
}

/// Something with settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigResource {
    /// Its type.
    pub kind: ConfigResourceType,
    /// Its name.
    pub name: String,
}

impl ConfigResource {
    /// A topic's settings.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self { kind: ConfigResourceType::Topic, name: name.to_owned() }
    }

    /// The broker to ask: settings of a broker and its loggers are known to itself only.
    pub(super) fn broker(&self) -> Option<i32> {
        let own = matches!(self.kind, ConfigResourceType::Broker | ConfigResourceType::BrokerLogger);
        self.name.parse().ok().filter(|_| own)
    }
}

/// Where a value comes from, in Kafka's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for the topic.
    DynamicTopic,
    /// Set for the broker.
    DynamicBroker,
    /// Set for all brokers.
    DynamicDefaultBroker,
    /// In `server.properties`.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// Set for the logger.
    DynamicBrokerLogger,
    /// Set for the metrics subscription.
    DynamicClientMetrics,
    /// Set for the group.
    DynamicGroup,
    /// A number of a later release.
    Unknown,
}

impl ConfigSource {
    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::DynamicTopic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            6 => Self::DynamicBrokerLogger,
            7 => Self::DynamicClientMetrics,
            8 => Self::DynamicGroup,
            _ => Self::Unknown,
        }
    }
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` if there is none, or if it is a secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// It cannot be changed while the broker runs.
    pub is_read_only: bool,
    /// It is a secret.
    pub is_sensitive: bool,
    /// Values by name and source that would apply, the one that does first.
    pub synonyms: Vec<(String, Option<String>, ConfigSource)>,
}

impl Admin {
    /// The settings of each resource, with synonyms.
    /// # Errors
    /// Those of the requests.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
    ) -> Result<BTreeMap<ConfigResource, Result<Vec<ConfigEntry>, ClientError>>, ClientError> {
        let mut by_broker: BTreeMap<Option<i32>, Vec<&ConfigResource>> = BTreeMap::new();
        for resource in resources {
            by_broker.entry(resource.broker()).or_default().push(resource);
        }
        let mut described = BTreeMap::new();
        for (broker, resources) in by_broker {
            let request = request(&resources);
            let response = match broker {
                Some(broker) => self.client.send_to(broker, &request).await?,
                None => self.client.send_to_any(&request).await?,
            };
            for result in response.results {
                let resource = resources.iter().find(|resource| {
                    resource.kind as i8 == result.resource_type && resource.name == result.resource_name
                });
                let Some(resource) = resource else { continue };
                let checked = ClientError::check(result.error_code, result.error_message.as_deref());
                let entries = checked.map(|()| result.configs.into_iter().map(entry).collect());
                described.insert((*resource).clone(), entries);
            }
        }
        Ok(described)
    }
}

fn request(resources: &[&ConfigResource]) -> DescribeConfigsRequest {
    let resource = |resource: &&ConfigResource| DescribeConfigsResource {
        resource_type: resource.kind as i8,
        resource_name: resource.name.clone(),
        configuration_keys: None,
        ..DescribeConfigsResource::default()
    };
    DescribeConfigsRequest {
        resources: resources.iter().map(resource).collect(),
        include_synonyms: true,
        ..DescribeConfigsRequest::default()
    }
}

fn entry(config: DescribeConfigsResourceResult) -> ConfigEntry {
    let synonyms = config.synonyms.into_iter();
    ConfigEntry {
        name: config.name,
        value: config.value,
        source: ConfigSource::from_code(config.config_source),
        is_read_only: config.read_only,
        is_sensitive: config.is_sensitive,
        synonyms: synonyms
            .map(|synonym| (synonym.name, synonym.value, ConfigSource::from_code(synonym.source)))
            .collect(),
    }
}
