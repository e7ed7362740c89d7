//! Configurations of resources, asked for and changed through the broker that has them.

use client::{Client, ClientError};
use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_configs_response::DescribeConfigsResourceResult as Entry;
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest, ListGroupsRequest, Request,
};

use crate::cli::java::{self, Exception};

const SET: i8 = 0;
const DELETE: i8 = 1;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
}

impl Kind {
    /// The kind of an entity type that is a resource.
    pub(in crate::cli) fn of(entity_type: &str) -> Option<Self> {
        Some(match entity_type {
            "topics" => Self::Topic,
            "brokers" => Self::Broker,
            "broker-loggers" => Self::BrokerLogger,
            "client-metrics" => Self::ClientMetrics,
            "groups" => Self::Group,
            _ => return None,
        })
    }

    /// `ConfigResource.Type`.
    fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }

    /// `ConfigSource` of what was changed while the cluster ran.
    pub(in crate::cli) fn dynamic_source(self, is_default: bool) -> Option<i8> {
        match self {
            Self::Topic => Some(1),
            Self::Broker if is_default => Some(3),
            Self::Broker => Some(2),
            Self::BrokerLogger => None,
            Self::ClientMetrics => Some(7),
            Self::Group => Some(8),
        }
    }
}

fn source_name(source: i8) -> &'static str {
    match source {
        1 => "DYNAMIC_TOPIC_CONFIG",
        2 => "DYNAMIC_BROKER_CONFIG",
        3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        4 => "STATIC_BROKER_CONFIG",
        5 => "DEFAULT_CONFIG",
        6 => "DYNAMIC_BROKER_LOGGER_CONFIG",
        7 => "DYNAMIC_CLIENT_METRICS_CONFIG",
        8 => "DYNAMIC_GROUP_CONFIG",
        _ => "UNKNOWN",
    }
}

/// An entry as the tool prints it.
pub(in crate::cli) fn line(entry: &Entry) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|synonym| format!("{}:{}={}", source_name(synonym.source), synonym.name, text(&synonym.value)))
        .collect();
    format!(
        "  {}={} sensitive={} synonyms={{{}}}",
        entry.name,
        text(&entry.value),
        entry.is_sensitive,
        synonyms.join(", ")
    )
}

/// Names of all resources of a kind.
/// # Errors
/// The broker's.
pub(in crate::cli) async fn names(client: &Client, kind: Kind) -> Result<Vec<String>, Exception> {
    match kind {
        Kind::Topic => {
            let cluster = client.metadata(None).await?;
            let mut names: Vec<String> = cluster.topics.keys().map(ToString::to_string).collect();
            names.sort_unstable();
            java::hash_order(&mut names, java::DEFAULT_CAPACITY, |name| name);
            Ok(names)
        }
        Kind::Broker | Kind::BrokerLogger => Ok(client.cluster().brokers.keys().map(ToString::to_string).collect()),
        Kind::ClientMetrics => configured(client, kind).await,
        Kind::Group => {
            let brokers: Vec<i32> = client.cluster().brokers.keys().copied().collect();
            let mut names = Vec::new();
            for broker in brokers {
                let request = ListGroupsRequest::default();
                let response = client.retry("listGroups", async || client.send_to(broker, &request).await).await?;
                Exception::check(response.error_code, None)?;
                names.extend(response.groups.into_iter().map(|group| group.group_id));
            }
            for name in configured(client, kind).await? {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            Ok(names)
        }
    }
}

async fn configured(client: &Client, kind: Kind) -> Result<Vec<String>, Exception> {
    let request = ListConfigResourcesRequest { resource_types: vec![kind.code()], ..Default::default() };
    let response = client.retry("listConfigResources", async || client.send_to_any(&request).await).await?;
    Exception::check(response.error_code, None)?;
    Ok(response.config_resources.into_iter().map(|resource| resource.resource_name).collect())
}

/// A broker's own configuration is asked of that broker, everything else of any.
async fn send<R: Request>(client: &Client, kind: Kind, name: &str, request: &R) -> Result<R::Response, ClientError> {
    let node = name.parse().ok().filter(|_| matches!(kind, Kind::Broker | Kind::BrokerLogger));
    match node {
        Some(node) => client.retry("configs", async || client.send_to(node, request).await).await,
        None => client.retry("configs", async || client.send_to_any(request).await).await,
    }
}

/// All configurations of a resource, with their synonyms.
/// # Errors
/// The broker's.
pub(in crate::cli) async fn describe(client: &Client, kind: Kind, name: &str) -> Result<Vec<Entry>, Exception> {
    let resource = DescribeConfigsResource {
        resource_type: kind.code(),
        resource_name: name.to_owned(),
        configuration_keys: None,
        ..Default::default()
    };
    let request = DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, ..Default::default() };
    let response = send(client, kind, name, &request).await?;
    let mut entries = Vec::new();
    for result in response.results {
        Exception::check(result.error_code, result.error_message.as_deref())?;
        entries.extend(result.configs);
    }
    Ok(entries)
}

/// Sets and deletes configurations of a resource.
/// # Errors
/// The broker's.
pub(in crate::cli) async fn alter(
    client: &Client,
    kind: Kind,
    name: &str,
    added: &[(String, String)],
    deleted: &[&str],
) -> Result<(), Exception> {
    let deletions = deleted.iter().map(|name| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: DELETE,
        value: Some(String::new()),
        ..Default::default()
    });
    let additions = added.iter().map(|(name, value)| AlterableConfig {
        name: name.clone(),
        config_operation: SET,
        value: Some(value.clone()),
        ..Default::default()
    });
    let resource = AlterConfigsResource {
        resource_type: kind.code(),
        resource_name: name.to_owned(),
        configs: deletions.chain(additions).collect(),
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let response = send(client, kind, name, &request).await?;
    for result in response.responses {
        Exception::check(result.error_code, result.error_message.as_deref())?;
    }
    Ok(())
}
