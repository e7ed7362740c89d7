//! Dynamic configurations of topics, brokers and groups: validated as they will be after the change, then written as records.

use std::collections::HashSet;

use metadata::config::{
    ConfigDef, ConfigError, ConfigMap, ConfigSource, Value, broker_synonyms, topic_synonyms, validate_client_metrics,
    validate_group, validate_topic,
};
use metadata::{ConfigResource, MetadataRecord, ResourceType, VersionedRecord};
use protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, ClearElrRecord, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs_request as replacing, alter_configs_response,
    incremental_alter_configs_request as incremental, incremental_alter_configs_response,
};

use crate::ControllerError;
use crate::controller::{Controller, Outcome, check_size, config_record};
use crate::error::code_and_message;
use crate::topic_name::validate_topic_name;

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
const LONGEST_VALUE: usize = i16::MAX as usize;

/// A value that a topic has or will have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EffectiveConfig {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) source: ConfigSource,
}

/// What happens to one configuration (`AlterConfigOp.OpType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Operation {
    fn from_code(code: i8) -> Result<Self, ControllerError> {
        Ok(match code {
            0 => Self::Set,
            1 => Self::Delete,
            2 => Self::Append,
            3 => Self::Subtract,
            _ => return Err(ControllerError::InvalidRequest(format!("Unknown operations type {code}"))),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Delete => "DELETE",
            Self::Append => "APPEND",
            Self::Subtract => "SUBTRACT",
        }
    }
}

impl Controller {
    /// Changes single configurations of resources; each resource succeeds or fails for itself.
    pub fn incremental_alter_configs(
        &mut self,
        request: &IncrementalAlterConfigsRequest,
    ) -> Outcome<IncrementalAlterConfigsResponse> {
        let targets = request.resources.iter().map(|resource| (resource.resource_type, &*resource.resource_name));
        let mut altered = alter_each(targets, |at| self.alter_incrementally(&request.resources[at]));
        let too_large = check_size(&altered.records);
        if too_large.is_err() {
            let answer = code_and_message(&too_large);
            altered.answers.fill(answer);
            altered.records.clear();
        }
        let answered = request.resources.iter().zip(altered.answers);
        let responses = answered.map(|(resource, (error_code, error_message))| {
            incremental_alter_configs_response::AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..Default::default()
            }
        });
        let response = IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() };
        self.finish(altered.records, response, request.validate_only)
    }

    /// Replaces all configurations of resources; each resource succeeds or fails for itself.
    pub fn alter_configs(&mut self, request: &AlterConfigsRequest) -> Outcome<AlterConfigsResponse> {
        let targets = request.resources.iter().map(|resource| (resource.resource_type, &*resource.resource_name));
        let altered = alter_each(targets, |at| self.replace_configs(&request.resources[at]));
        let answered = request.resources.iter().zip(altered.answers);
        let responses = answered.map(|(resource, (error_code, error_message))| {
            alter_configs_response::AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..Default::default()
            }
        });
        let response = AlterConfigsResponse { responses: responses.collect(), ..Default::default() };
        self.finish(altered.records, response, request.validate_only)
    }

    fn finish<R>(&mut self, mut records: Vec<VersionedRecord>, response: R, validate_only: bool) -> Outcome<R> {
        if validate_only {
            return self.answer(response);
        }
        let cleared = self.clear_elr_records(&records);
        records.extend(cleared);
        self.commit(records, response, true)
    }

    fn alter_incrementally(
        &self,
        resource: &incremental::AlterConfigsResource,
    ) -> Result<Vec<VersionedRecord>, ControllerError> {
        let target = config_resource(resource.resource_type, &resource.resource_name);
        let mut changes = Vec::with_capacity(resource.configs.len());
        for config in &resource.configs {
            let operation = Operation::from_code(config.config_operation)?;
            let current = self.dynamic_config(&target).and_then(|configs| configs.get(&config.name)).cloned();
            let new = match operation {
                Operation::Set => config.value.clone(),
                Operation::Delete => None,
                Operation::Append | Operation::Subtract => {
                    let given = config.value.as_deref().unwrap_or_default();
                    Some(edit_list(&target, &config.name, (operation, given), current.as_deref())?)
                }
            };
            // A broker acts on a record even if its value is the same: it reads files of keys and certificates again.
            if new != current || target.resource_type == ResourceType::Broker {
                changes.push((config.name.as_str(), new));
            }
        }
        self.check_change(&target, &changes, false)?;
        Ok(changes.into_iter().map(|(name, value)| config_record(&target, name, value)).collect())
    }

    fn replace_configs(
        &self,
        resource: &replacing::AlterConfigsResource,
    ) -> Result<Vec<VersionedRecord>, ControllerError> {
        let target = &config_resource(resource.resource_type, &resource.resource_name);
        let configs = resource.configs.iter().map(|config| (config.name.as_str(), config.value.clone()));
        let empty = ConfigMap::new();
        let current = self.dynamic_config(target).unwrap_or(&empty);
        let given: HashSet<&str> = configs.clone().map(|(name, _)| name).collect();
        let changed = |(name, value): &(&str, Option<String>)| {
            current.get(*name) != value.as_ref() || target.resource_type == ResourceType::Broker
        };
        let mut changes: Vec<(&str, Option<String>)> = configs.filter(changed).collect();
        let gone = current.keys().filter(|name| !given.contains(name.as_str()));
        changes.extend(gone.map(|name| (name.as_str(), None)));
        self.check_change(target, &changes, false)?;
        Ok(changes.into_iter().map(|(name, value)| config_record(target, name, value)).collect())
    }

    /// Checks the configurations of a topic that is about to be created.
    pub(crate) fn check_new_topic_config(
        &self,
        resource: &ConfigResource,
        configs: &ConfigMap,
    ) -> Result<(), ControllerError> {
        if configs.is_empty() {
            return Ok(());
        }
        let changes: Vec<_> = configs.iter().map(|(name, value)| (name.as_str(), Some(value.clone()))).collect();
        self.check_change(resource, &changes, true)
    }

    fn check_change(
        &self,
        resource: &ConfigResource,
        changes: &[(&str, Option<String>)],
        is_new: bool,
    ) -> Result<(), ControllerError> {
        let mut configs = self.dynamic_config(resource).cloned().unwrap_or_default();
        for (name, value) in changes {
            self.check_min_insync_replicas(resource, name, value.as_deref())?;
            match value {
                None => {
                    configs.remove(*name);
                }
                Some(value) if value.encode_utf16().count() > LONGEST_VALUE => {
                    return Err(ControllerError::InvalidConfig(format!(
                        "The configuration value cannot be added because it exceeds the maximum value size of {LONGEST_VALUE} bytes."
                    )));
                }
                Some(value) => {
                    configs.insert((*name).to_owned(), value.clone());
                }
            }
        }
        self.validate(resource, &configs)?;
        if is_new { Ok(()) } else { self.check_exists(resource) }
    }

    /// With eligible leader replicas the whole cluster must agree on how many replicas are enough.
    fn check_min_insync_replicas(
        &self,
        resource: &ConfigResource,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), ControllerError> {
        if name != MIN_INSYNC_REPLICAS || resource.resource_type != ResourceType::Broker || !self.image.is_elr_enabled()
        {
            return Ok(());
        }
        if !resource.name.is_empty() {
            let reason = "Broker-level min.insync.replicas cannot be altered while ELR is enabled.";
            return Err(ControllerError::InvalidConfig(reason.to_owned()));
        }
        if value.is_none() {
            let reason = "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.";
            return Err(ControllerError::InvalidConfig(reason.to_owned()));
        }
        Ok(())
    }

    fn validate(&self, resource: &ConfigResource, configs: &ConfigMap) -> Result<(), ControllerError> {
        let invalid = |error: ConfigError| match error {
            ConfigError::Request(reason) => ControllerError::InvalidRequest(reason),
            other => ControllerError::InvalidConfig(other.to_string()),
        };
        match resource.resource_type {
            ResourceType::Topic if resource.name.is_empty() => {
                Err(ControllerError::InvalidRequest("Default topic resources are not allowed.".to_owned()))
            }
            ResourceType::Topic => {
                validate_topic_name(&resource.name)?;
                validate_topic(&self.config, configs).map_err(invalid)
            }
            ResourceType::Broker => check_broker_name(&resource.name),
            ResourceType::Group if resource.name.is_empty() => {
                Err(ControllerError::InvalidRequest("Default group resources are not allowed.".to_owned()))
            }
            ResourceType::Group => validate_group(&self.config, configs).map_err(invalid),
            ResourceType::ClientMetrics => validate_client_metrics(&resource.name, configs).map_err(invalid),
            ResourceType::BrokerLogger | ResourceType::Unknown => {
                Err(ControllerError::InvalidRequest(format!("Unknown resource type {:?}", resource.resource_type)))
            }
        }
    }

    fn check_exists(&self, resource: &ConfigResource) -> Result<(), ControllerError> {
        match resource.resource_type {
            ResourceType::Topic if self.image.topic(&resource.name).is_none() => {
                Err(ControllerError::UnknownTopicOrPartition(format!("The topic '{}' does not exist.", resource.name)))
            }
            ResourceType::Broker if !resource.name.is_empty() => {
                let id = resource.name.parse().unwrap_or(-1);
                let is_controller = self.config.controller_quorum_voters().iter().any(|voter| voter.id == id)
                    || self.image.controllers().any(|controller| controller.controller_id == id);
                if self.image.broker(id).is_some() || is_controller {
                    return Ok(());
                }
                Err(ControllerError::BrokerIdNotRegistered(format!("No node with id {id} found.")))
            }
            _ => Ok(()),
        }
    }

    fn clear_elr_records(&self, records: &[VersionedRecord]) -> Vec<VersionedRecord> {
        if !self.image.is_elr_enabled() {
            return Vec::new();
        }
        let changes = records.iter().filter_map(|record| match &record.record {
            MetadataRecord::Config(config) if config.name == MIN_INSYNC_REPLICAS => Some(config),
            _ => None,
        });
        let cleared = changes.map(|config| {
            let is_topic = ResourceType::from_code(config.resource_type) == ResourceType::Topic;
            let topic_name = if is_topic { config.resource_name.clone() } else { String::new() };
            VersionedRecord::new(ClearElrRecord { topic_name, ..Default::default() }, 0)
        });
        cleared.collect()
    }

    /// Every value of a topic with these overrides, and where it comes from, in order of the names.
    pub(crate) fn effective_topic_configs(&self, overrides: &ConfigMap) -> Vec<EffectiveConfig> {
        let shown = ConfigDef::topic().keys().filter(|key| !key.internal || overrides.contains_key(key.name));
        shown.map(|key| self.effective_topic_config(key.name, overrides)).collect()
    }

    fn effective_topic_config(&self, name: &'static str, overrides: &ConfigMap) -> EffectiveConfig {
        let entry = |value, source| EffectiveConfig { name: name.to_owned(), value, source };
        if let Some(value) = overrides.get(name) {
            return entry(Some(value.clone()), ConfigSource::Topic);
        }
        let empty = ConfigMap::new();
        let node = ConfigResource::broker(self.config.node_id());
        let sources = [
            (self.dynamic_config(&node).unwrap_or(&empty), ConfigSource::DynamicBroker),
            (self.dynamic_config(&ConfigResource::all_brokers()).unwrap_or(&empty), ConfigSource::DynamicDefaultBroker),
            (self.config.originals(), ConfigSource::StaticBroker),
        ];
        if let Some(broker_name) = topic_synonyms(name) {
            for (map, source) in sources {
                for synonym in broker_synonyms(broker_name) {
                    if let Some(value) = map.get(synonym) {
                        return entry(Some(in_milliseconds(synonym, value)), source);
                    }
                }
            }
        }
        let default = ConfigDef::topic().key(name).and_then(|key| key.default.as_ref()).and_then(Value::to_text);
        entry(default, ConfigSource::Default)
    }

    /// A value of a topic that exists.
    pub(crate) fn topic_config_value(&self, topic: &str, name: &'static str) -> Option<String> {
        let empty = ConfigMap::new();
        let overrides = self.dynamic_config(&ConfigResource::topic(topic)).unwrap_or(&empty);
        self.effective_topic_config(name, overrides).value
    }
}

fn config_resource(resource_type: i8, name: &str) -> ConfigResource {
    ConfigResource { resource_type: ResourceType::from_code(resource_type), name: name.to_owned() }
}

/// What a request changes, and the code and message for each of its resources.
struct Altered {
    records: Vec<VersionedRecord>,
    answers: Vec<(i16, Option<String>)>,
}

/// Lets `alter` make the records of each resource, which it is told by its place, unless the resource is one that cannot be.
fn alter_each<'a>(
    targets: impl Iterator<Item = (i8, &'a str)> + Clone,
    alter: impl Fn(usize) -> Result<Vec<VersionedRecord>, ControllerError>,
) -> Altered {
    let mut seen = HashSet::new();
    let duplicates: HashSet<(i8, &str)> = targets.clone().filter(|target| !seen.insert(*target)).collect();
    let mut records = Vec::new();
    let answer = |(at, target): (usize, (i8, &'a str))| {
        let altered = check_resource(target.0, duplicates.contains(&target)).and_then(|()| alter(at));
        code_and_message(&altered.map(|altered| records.extend(altered)))
    };
    let answers = targets.enumerate().map(answer).collect();
    Altered { records, answers }
}

fn check_resource(resource_type: i8, is_duplicate: bool) -> Result<(), ControllerError> {
    if ResourceType::from_code(resource_type) == ResourceType::Unknown {
        return Err(ControllerError::UnsupportedVersion(format!("Unknown resource type {resource_type}.")));
    }
    if is_duplicate {
        return Err(ControllerError::InvalidRequest("Duplicate resource.".to_owned()));
    }
    Ok(())
}

fn check_broker_name(name: &str) -> Result<(), ControllerError> {
    if name.is_empty() {
        return Ok(());
    }
    match name.parse::<i32>() {
        Err(_) => Err(ControllerError::InvalidRequest("Unable to parse broker name as a base 10 number.".to_owned())),
        Ok(id) if id < 0 => Err(ControllerError::InvalidRequest("Invalid negative broker ID.".to_owned())),
        Ok(_) => Ok(()),
    }
}

/// Adds items to a list configuration, or takes them out; a list that is not set yet starts with its default.
fn edit_list(
    resource: &ConfigResource,
    name: &str,
    (operation, given): (Operation, &str),
    current: Option<&str>,
) -> Result<String, ControllerError> {
    let definition = match resource.resource_type {
        ResourceType::Topic => ConfigDef::topic(),
        ResourceType::Group => ConfigDef::group(),
        ResourceType::ClientMetrics => ConfigDef::client_metrics(),
        _ => ConfigDef::broker(),
    };
    let key =
        definition.key(name).filter(|key| key.value_type == metadata::config::ConfigType::List).ok_or_else(|| {
            let reason = format!("Can't {} to key {name} because its type is not LIST.", operation.name());
            ControllerError::InvalidConfig(reason)
        })?;
    let default = key.default.as_ref().and_then(Value::to_text);
    let text = current.map(str::to_owned).or(default).unwrap_or_default();
    let mut items: Vec<&str> = text.split(',').filter(|item| !item.is_empty()).collect();
    for item in given.split(',') {
        match operation {
            Operation::Append if !items.contains(&item) => items.push(item),
            Operation::Subtract => {
                if let Some(at) = items.iter().position(|other| *other == item) {
                    items.remove(at);
                }
            }
            _ => {}
        }
    }
    Ok(items.join(","))
}

fn in_milliseconds(name: &str, value: &str) -> String {
    let factor = match name {
        _ if name.ends_with(".hours") => 3_600_000,
        _ if name.ends_with(".minutes") => 60_000,
        _ => return value.to_owned(),
    };
    value.trim().parse::<i64>().map_or_else(|_| value.to_owned(), |number| (number * factor).to_string())
}
