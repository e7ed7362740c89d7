//! What a broker checks of AlterConfigs and IncrementalAlterConfigs before the controller sees them (`ConfigAdminManager`):
//! it alone knows whether a change of its own configuration can be applied.

use std::collections::HashSet;
use std::sync::Arc;

use metadata::config::{ConfigDef, ConfigMap, ConfigType, Value};
use metadata::{ConfigResource, ResourceType};
use protocol::ErrorCode;

use crate::Broker;
use crate::dispatch::Audience;
use crate::quorum::Refusal;

/// What happens to one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Operation {
    fn from_code(code: i8) -> Option<Self> {
        [Self::Set, Self::Delete, Self::Append, Self::Subtract].get(usize::try_from(code).ok()?).copied()
    }
}

/// The change of one resource, in either API's form.
#[derive(Debug)]
pub(super) struct ResourceChange<'a> {
    pub(super) resource_type: i8,
    pub(super) name: &'a str,
    /// Name, operation and value of each configuration.
    pub(super) configs: Vec<(&'a str, i8, Option<&'a str>)>,
    /// Whether configurations that are not named are removed.
    pub(super) replaces: bool,
}

/// Has `submit` decide about those of a request's resources that pass the checks, as the controller does about all that it is
/// sent itself. What became of each resource is in the order of the request.
pub(super) fn decide<T: Clone, D>(
    broker: &Arc<Broker>,
    audience: Audience,
    (resources, change): (&[T], impl Fn(&T) -> ResourceChange<'_>),
    submit: impl FnOnce(Vec<T>) -> Result<Vec<D>, Refusal>,
) -> Vec<Result<D, Refusal>> {
    let checked = match audience {
        Audience::Clients => check(broker, &resources.iter().map(change).collect::<Vec<_>>()),
        Audience::Controllers => vec![None; resources.len()],
    };
    let passed = resources.iter().zip(&checked).filter(|(_, refusal)| refusal.is_none());
    let mut decided = submit(passed.map(|(resource, _)| resource.clone()).collect()).map(Vec::into_iter);
    let outcome = |refusal| match (refusal, &mut decided) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(refusal)) => Err(refusal.clone()),
        (None, Ok(decided)) => decided.next().ok_or_else(|| Refusal::from(ErrorCode::UnknownServerError)),
    };
    checked.into_iter().map(outcome).collect()
}

/// Checks all changes of a request; an entry for each: none if the controller is to decide.
fn check(broker: &Arc<Broker>, changes: &[ResourceChange<'_>]) -> Vec<Option<Refusal>> {
    let mut seen = HashSet::new();
    let keys = changes.iter().map(|change| (change.resource_type, change.name));
    let twice: HashSet<(i8, &str)> = keys.filter(|key| !seen.insert(*key)).collect();
    let check_one = |change: &ResourceChange<'_>| {
        if twice.contains(&(change.resource_type, change.name)) {
            return Some(invalid_request("Each resource must appear at most once."));
        }
        check_change(broker, change).err()
    };
    changes.iter().map(check_one).collect()
}

fn invalid_request(message: impl Into<String>) -> Refusal {
    Refusal { code: ErrorCode::InvalidRequest, message: message.into() }
}

fn check_change(broker: &Arc<Broker>, change: &ResourceChange<'_>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    if !change.configs.iter().all(|(name, _, _)| seen.insert(*name)) {
        return Err(invalid_request("Error due to duplicate config keys"));
    }
    let is_null =
        |(_, operation, value): &&(&str, i8, Option<&str>)| *operation != Operation::Delete as i8 && value.is_none();
    let nulls: Vec<&str> = change.configs.iter().filter(is_null).map(|(name, _, _)| *name).collect();
    if !nulls.is_empty() {
        return Err(invalid_request(format!("Null value not supported for : {}", nulls.join(", "))));
    }
    match ResourceType::from_code(change.resource_type) {
        ResourceType::Topic | ResourceType::Group | ResourceType::ClientMetrics => Ok(()),
        ResourceType::Broker => check_broker_change(broker, change),
        ResourceType::BrokerLogger if !change.replaces => {
            Err(invalid_request("The loggers of this broker are set by its environment when it starts."))
        }
        ResourceType::BrokerLogger | ResourceType::Unknown => {
            Err(invalid_request(format!("Unknown resource type {}", change.resource_type)))
        }
    }
}

fn check_broker_change(broker: &Arc<Broker>, change: &ResourceChange<'_>) -> Result<(), Refusal> {
    let for_one_broker = !change.name.is_empty();
    if for_one_broker {
        check_node_id(change.name, broker.identity().node_id)?;
    }
    let resource = ConfigResource { resource_type: ResourceType::Broker, name: change.name.to_owned() };
    let mut configs = match broker.image().config(&resource) {
        Some(configs) if !change.replaces => (**configs).clone(),
        _ => ConfigMap::new(),
    };
    for (name, code, value) in &change.configs {
        let operation =
            Operation::from_code(*code).ok_or_else(|| invalid_request(format!("Unknown operations type {code}")))?;
        apply(&mut configs, name, operation, value.unwrap_or_default())?;
    }
    let dynamic = broker.publisher().dynamic_config().lock();
    let checked =
        if for_one_broker { dynamic.validate_per_broker(&configs) } else { dynamic.validate_defaults(&configs) };
    checked.map_err(|error| invalid_request(error.to_string()))
}

fn check_node_id(name: &str, node_id: i32) -> Result<(), Refusal> {
    match name.parse::<i32>() {
        Err(_) => Err(invalid_request(format!("Node id must be an integer, but it is: {name}"))),
        Ok(id) if id == node_id => Ok(()),
        Ok(_) => Err(invalid_request(format!("Unexpected broker id, expected {node_id}, but received {name}"))),
    }
}

fn apply(configs: &mut ConfigMap, name: &str, operation: Operation, given: &str) -> Result<(), Refusal> {
    let verb = match operation {
        Operation::Set => {
            configs.insert(name.to_owned(), given.to_owned());
            return Ok(());
        }
        Operation::Delete => {
            configs.remove(name);
            return Ok(());
        }
        Operation::Append => "append",
        Operation::Subtract => "subtract",
    };
    let refuse = |message: String| Err(Refusal { code: ErrorCode::InvalidConfig, message });
    let Some(key) = ConfigDef::broker().key(name) else {
        return refuse(format!("Unknown config name: {name}"));
    };
    if key.value_type != ConfigType::List {
        return refuse(format!("Config value {verb} is not allowed for config key: {name}"));
    }
    let default = || key.default.as_ref().and_then(Value::to_text).unwrap_or_default();
    let before = configs.get(name).cloned().unwrap_or_else(default);
    let mut items: Vec<&str> = before.split(',').filter(|item| !item.is_empty()).collect();
    match operation {
        Operation::Append => {
            let new = given.split(',').filter(|item| !items.contains(item)).collect::<Vec<_>>();
            items.extend(new);
        }
        _ => items.retain(|item| !given.split(',').any(|other| other == *item)),
    }
    let joined = items.join(",");
    configs.insert(name.to_owned(), joined);
    Ok(())
}
