//! DescribeConfigs: what is in force, where it comes from, what is behind it (`ConfigHelper`).

use std::sync::Arc;

use controller::validate_topic_name;
use metadata::config::{
    ConfigEntry, ConfigMap, ConfigType, describe_broker, describe_broker_defaults, describe_client_metrics,
    describe_group, describe_topic,
};
use metadata::{ConfigResource, ResourceType};
use protocol::ErrorCode;
use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

/// Code of `DYNAMIC_BROKER_LOGGER_CONFIG`.
const LOGGER_SOURCE: i8 = 6;

/// More resources than this are described where they hold up no connection.
const MOST_AT_ONCE: usize = 16;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: DescribeConfigsRequest,
) -> Reply<DescribeConfigsResponse> {
    if request.resources.len() <= MOST_AT_ONCE {
        return Reply::Now(answer(broker, &request));
    }
    let answered = broker.blocking(move |broker| answer(broker, &request));
    Reply::Later(Box::pin(async move { answered.await.unwrap_or_default() }))
}

fn answer(broker: &Arc<Broker>, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let named = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
        match describe(broker, resource, request.include_synonyms) {
            Ok(configs) => DescribeConfigsResult { configs: asked_for(resource, configs), ..named },
            Err((code, message)) => {
                DescribeConfigsResult { error_code: code.code(), error_message: Some(message), ..named }
            }
        }
    });
    DescribeConfigsResponse { results: results.collect(), ..Default::default() }
}

type Failure = (ErrorCode, String);

fn asked_for(
    resource: &DescribeConfigsResource,
    mut configs: Vec<DescribeConfigsResourceResult>,
) -> Vec<DescribeConfigsResourceResult> {
    if let Some(keys) = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty()) {
        configs.retain(|config| keys.contains(&config.name));
    }
    configs
}

fn describe(
    broker: &Arc<Broker>,
    resource: &DescribeConfigsResource,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Failure> {
    let name = resource.resource_name.as_str();
    let image = broker.image();
    let overrides = |resource: &ConfigResource| -> ConfigMap {
        image.config(resource).map(|configs| (**configs).clone()).unwrap_or_default()
    };
    let dynamic = broker.publisher().dynamic_config();
    let entries = match ResourceType::from_code(resource.resource_type) {
        ResourceType::Topic => {
            validate_topic_name(name).map_err(|error| (error.code(), error.to_string()))?;
            if image.topic(name).is_none() {
                return Err((ErrorCode::UnknownTopicOrPartition, String::new()));
            }
            describe_topic(&dynamic.lock(), &overrides(&ConfigResource::topic(name)))
        }
        ResourceType::Broker if name.is_empty() => describe_broker_defaults(&dynamic.lock()),
        ResourceType::Broker => {
            check_broker_id(broker, name, " or empty string, but received ")?;
            describe_broker(&dynamic.lock())
        }
        ResourceType::BrokerLogger if name.is_empty() => return invalid("Broker id must not be empty"),
        ResourceType::BrokerLogger => {
            check_broker_id(broker, name, " but received ")?;
            return Ok(vec![root_logger()]);
        }
        ResourceType::ClientMetrics if name.is_empty() => {
            return invalid("Client metrics subscription name must not be empty");
        }
        ResourceType::ClientMetrics => {
            let name = name.to_owned();
            let resource = ConfigResource { resource_type: ResourceType::ClientMetrics, name };
            describe_client_metrics(&overrides(&resource))
        }
        ResourceType::Group if name.is_empty() => return invalid("Group name must not be empty"),
        ResourceType::Group => describe_group(&dynamic.lock(), &overrides(&ConfigResource::group(name))),
        ResourceType::Unknown => {
            return invalid(format!("Unexpected resource type UNKNOWN for resource {name}"));
        }
    };
    Ok(entries.into_iter().map(|entry| result(entry, synonyms)).collect())
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err((ErrorCode::InvalidRequest, message.into()))
}

fn check_broker_id(broker: &Broker, name: &str, separator: &str) -> Result<(), Failure> {
    let node_id = broker.identity().node_id;
    match name.parse::<i32>() {
        Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
        Ok(id) if id == node_id => Ok(()),
        Ok(_) => invalid(format!("Unexpected broker id, expected {node_id}{separator}{name}")),
    }
}

fn result(entry: ConfigEntry, synonyms: bool) -> DescribeConfigsResourceResult {
    let synonyms = if synonyms { entry.synonyms } else { Vec::new() };
    let synonyms = synonyms.into_iter().map(|synonym| DescribeConfigsSynonym {
        name: synonym.name,
        value: synonym.value,
        source: synonym.source.code(),
        ..Default::default()
    });
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.sensitive,
        synonyms: synonyms.collect(),
        config_type: entry.value_type.map_or(0, ConfigType::code),
        documentation: None,
        ..Default::default()
    }
}

fn root_logger() -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: "root".to_owned(),
        value: Some("INFO".to_owned()),
        config_source: LOGGER_SOURCE,
        documentation: None,
        ..Default::default()
    }
}
