//! Quotas of users, clients and addresses, as `kafka-configs.sh` shows and changes them.

use client::Client;
use protocol::ErrorCode;
use protocol::messages::alter_client_quotas_request::{EntityData, EntryData as AlteredEntry, OpData};
use protocol::messages::describe_client_quotas_request::ComponentData;
use protocol::messages::describe_client_quotas_response::EntryData;
use protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};

use super::entity::Entity;
use crate::cli::java::{DEFAULT_CAPACITY, Exception, Failure, JavaHash, double, hash_order};
use crate::cli::out::Out;

/// Quotas of users and clients.
pub(super) const USER_AND_CLIENT: [&str; 4] =
    ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
/// Quotas of addresses.
pub(super) const ADDRESS: [&str; 1] = ["connection_creation_rate"];

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

/// Kafka's name of a kind of entity in its protocol, and in what the tool prints.
fn names_of(kind: &str) -> Result<(&'static str, &'static str), Exception> {
    match kind {
        "users" => Ok(("user", "user-principal")),
        "clients" => Ok(("client-id", "client-id")),
        "ips" => Ok(("ip", "ip")),
        kind => Err(Exception::illegal_argument(format!("Unexpected entity type {kind}"))),
    }
}

/// The quotas of exactly these kinds of entities.
async fn described(client: &Client, entity: &Entity) -> Result<Vec<EntryData>, Exception> {
    if entity.names.len() > entity.kinds.len() {
        return Err(Exception::illegal_argument("More entity names specified than entity types"));
    }
    let mut components = Vec::new();
    for (at, kind) in entity.kinds.iter().enumerate() {
        let (match_type, match_) = match entity.names.get(at).map(String::as_str) {
            Some("") => (DEFAULT, None),
            Some(name) => (EXACT, Some(name.to_owned())),
            None => (ANY, None),
        };
        let entity_type = names_of(kind)?.0.to_owned();
        components.push(ComponentData { entity_type, match_type, match_, ..Default::default() });
    }
    let request = DescribeClientQuotasRequest { components, strict: true, ..Default::default() };
    let response = client.retry("describeClientQuotas", async || client.send_to_any(&request).await).await?;
    Exception::check(response.error_code, response.error_message.as_deref())?;
    let mut entries = response.entries.unwrap_or_default();
    hash_order(&mut entries, DEFAULT_CAPACITY, |entry| entry);
    for entry in &mut entries {
        // The client's map is made for exactly so many.
        let count = entry.values.len();
        hash_order(&mut entry.values, count, |value| value.key.as_str());
    }
    Ok(entries)
}

impl JavaHash for EntryData {
    /// That of the client's `ClientQuotaEntity`: of a map from types to names.
    fn hash_code(&self) -> i32 {
        let parts = self
            .entity
            .iter()
            .map(|part| part.entity_type.hash_code() ^ part.entity_name.as_deref().map_or(0, JavaHash::hash_code));
        parts.fold(31i32, i32::wrapping_add)
    }
}

/// Prints the quotas.
/// # Errors
/// The broker's.
pub(super) async fn describe(client: &Client, entity: &Entity, out: &mut Out) -> Result<(), Failure> {
    for entry in described(client, entity).await? {
        let mut parts = Vec::new();
        for kind in ["users", "clients", "ips"] {
            let (name, shown) = names_of(kind)?;
            let part = entry.entity.iter().find(|part| part.entity_type == name);
            parts.extend(part.map(|part| match &part.entity_name {
                Some(name) => format!("{shown} '{name}'"),
                None => format!("the default {shown}"),
            }));
        }
        let values: Vec<String> =
            entry.values.iter().map(|value| format!("{}={}", value.key, double(value.value))).collect();
        out.line(format_args!("Quota configs for {} are {}", parts.join(", "), values.join(", ")))?;
    }
    Ok(())
}

/// Sets and removes quotas.
/// # Errors
/// Quotas that are not set cannot be removed; else the broker's.
pub(super) async fn alter(
    client: &Client,
    entity: &Entity,
    added: &[(String, String)],
    deleted: &[&str],
) -> Result<(), Exception> {
    let before = described(client, entity).await?;
    let is_set = |name: &&&str| before.iter().flat_map(|entry| &entry.values).any(|value| value.key == **name);
    let invalid: Vec<&str> = deleted.iter().filter(|name| !is_set(name)).copied().collect();
    if !invalid.is_empty() {
        let message = format!("Invalid config(s): {}", invalid.join(","));
        return Err(Exception::new("TerseConfigurationException", message));
    }
    let mut ops = Vec::new();
    for (key, text) in added {
        let value = text.parse().map_err(|_| {
            Exception::illegal_argument(format!("Cannot parse quota configuration value for {key}: {text}"))
        })?;
        ops.push(OpData { key: key.clone(), value, remove: false, ..Default::default() });
    }
    let removals = deleted.iter().map(|key| OpData { key: (*key).to_owned(), remove: true, ..Default::default() });
    ops.extend(removals);
    let mut parts = Vec::new();
    for (kind, name) in entity.kinds.iter().zip(&entity.names) {
        let entity_name = Some(name.clone()).filter(|name| !name.is_empty());
        parts.push(EntityData { entity_type: names_of(kind)?.0.to_owned(), entity_name, ..Default::default() });
    }
    let entry = AlteredEntry { entity: parts, ops, ..Default::default() };
    let request = AlterClientQuotasRequest { entries: vec![entry], ..Default::default() };
    let response = client.retry("alterClientQuotas", async || client.send_to_any(&request).await).await?;
    let missing = || Exception::of_code(ErrorCode::UnknownServerError, None);
    let result = response.entries.first().ok_or_else(missing)?;
    Exception::check(result.error_code, result.error_message.as_deref())
}
