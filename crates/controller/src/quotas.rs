//! Client quotas: checked, then written as records (KIP-546).

use std::collections::BTreeMap;

use metadata::{QuotaEntity, VersionedRecord, quota_record};
use protocol::ErrorCode;
use protocol::messages::alter_client_quotas_request::{EntryData, OpData};
use protocol::messages::alter_client_quotas_response::{EntityData, EntryData as EntryResult};
use protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};

use crate::ControllerError;
use crate::controller::{Controller, Outcome, check_size};
use crate::error::code_and_message;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// The greatest remainder that still passes for a whole number.
const FRACTION: f64 = 1e-6;

/// What a quota's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuotaType {
    Double,
    Int,
    Long,
}

const USER_AND_CLIENT_KEYS: [(&str, QuotaType); 4] = [
    ("producer_byte_rate", QuotaType::Long),
    ("consumer_byte_rate", QuotaType::Long),
    ("request_percentage", QuotaType::Double),
    ("controller_mutation_rate", QuotaType::Double),
];

const IP_KEYS: [(&str, QuotaType); 1] = [("connection_creation_rate", QuotaType::Int)];

impl Controller {
    /// Sets and removes client quotas; each entity succeeds or fails for itself. `is_host` tells of the name of an `ip` entity
    /// whether it is an address or the name of one.
    /// # Errors
    /// [`ControllerError::PolicyViolation`] for more changes than a request may make.
    pub fn alter_client_quotas(
        &mut self,
        request: &AlterClientQuotasRequest,
        is_host: &dyn Fn(&str) -> bool,
    ) -> Result<Outcome<AlterClientQuotasResponse>, ControllerError> {
        let mut records = Vec::new();
        let mut results: Vec<(QuotaEntity, Result<(), ControllerError>)> = Vec::new();
        for entry in &request.entries {
            let entity: QuotaEntity =
                entry.entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone())).collect();
            let result = operations(entry).map_or_else(
                || Err(ControllerError::InvalidRequest(format!("Ignoring duplicate entity {}", shown(&entity)))),
                |operations| self.alter_entity(&entity, &operations, is_host).map(|altered| records.extend(altered)),
            );
            match results.iter_mut().find(|(other, _)| *other == entity) {
                Some((_, before)) => {
                    let reason = format!("Ignoring duplicate entity {}", shown(&entity));
                    *before = Err(ControllerError::InvalidRequest(reason));
                }
                None => results.push((entity, result)),
            }
        }
        check_size(&records)?;
        let entries = results.iter().map(|(entity, result)| entry_result(entity, result)).collect();
        let response = AlterClientQuotasResponse { entries, ..Default::default() };
        Ok(if request.validate_only { self.answer(response) } else { self.commit(records, response, true) })
    }

    fn alter_entity(
        &self,
        entity: &QuotaEntity,
        operations: &BTreeMap<&str, &OpData>,
        is_host: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<VersionedRecord>, ControllerError> {
        let keys = keys_of(entity, is_host)?;
        let none = BTreeMap::new();
        let current = self.image.client_quotas().get(entity).unwrap_or(&none);
        let mut records = Vec::new();
        for (key, operation) in operations {
            let before = current.get(*key);
            if operation.remove {
                records.extend(before.map(|_| quota_record(entity, key, None)));
                continue;
            }
            check_value(keys, key, operation.value)?;
            if before != Some(&operation.value) {
                records.push(quota_record(entity, key, Some(operation.value)));
            }
        }
        Ok(records)
    }
}

/// The changes of an entity by their keys; none if a key is named twice.
fn operations(entry: &EntryData) -> Option<BTreeMap<&str, &OpData>> {
    let operations: BTreeMap<&str, &OpData> = entry.ops.iter().map(|op| (op.key.as_str(), op)).collect();
    (operations.len() == entry.ops.len()).then_some(operations)
}

/// The quotas that an entity may have.
fn keys_of(
    entity: &QuotaEntity,
    is_host: &dyn Fn(&str) -> bool,
) -> Result<&'static [(&'static str, QuotaType)], ControllerError> {
    let refuse = |reason: String| Err(ControllerError::InvalidRequest(reason));
    for (kind, name) in entity {
        if ![USER, CLIENT_ID, IP].contains(&kind.as_str()) {
            return refuse(format!("Unhandled client quota entity type: {kind}"));
        }
        if name.as_deref() == Some("") {
            return refuse(format!("Empty {kind} not supported"));
        }
    }
    let Some(ip) = entity.get(IP) else {
        if entity.is_empty() {
            return refuse("Invalid empty client quota entity".to_owned());
        }
        return Ok(&USER_AND_CLIENT_KEYS);
    };
    if entity.len() > 1 {
        let reason = "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId";
        return refuse(reason.to_owned());
    }
    match ip {
        Some(ip) if !is_host(ip) => refuse(format!("{ip} is not a valid IP or resolvable host.")),
        _ => Ok(&IP_KEYS),
    }
}

fn check_value(keys: &[(&str, QuotaType)], key: &str, value: f64) -> Result<(), ControllerError> {
    let refuse = |reason: String| Err(ControllerError::InvalidRequest(reason));
    let Some((_, quota_type)) = keys.iter().find(|(other, _)| *other == key) else {
        return refuse(format!("Invalid configuration key {key}"));
    };
    if value <= 0.0 {
        return refuse(format!("Quota {key} must be greater than 0"));
    }
    let (limit, name) = match quota_type {
        QuotaType::Double => return Ok(()),
        QuotaType::Int => (f64::from(i32::MAX), "an INT"),
        QuotaType::Long => (i64::MAX as f64, "a LONG"),
    };
    if value > limit {
        return refuse(format!("Proposed value for {key} is too large for {name}."));
    }
    if (value % 1.0).abs() > FRACTION {
        return refuse(format!("{key} cannot be a fractional value."));
    }
    Ok(())
}

fn entry_result(entity: &QuotaEntity, result: &Result<(), ControllerError>) -> EntryResult {
    let (error_code, error_message) = code_and_message(result);
    debug_assert!(result.is_err() || error_code == ErrorCode::None.code());
    let part = |(entity_type, entity_name): (&String, &Option<String>)| EntityData {
        entity_type: entity_type.clone(),
        entity_name: entity_name.clone(),
        ..Default::default()
    };
    EntryResult { error_code, error_message, entity: entity.iter().map(part).collect(), ..Default::default() }
}

/// An entity as Kafka prints it.
fn shown(entity: &QuotaEntity) -> String {
    let parts = entity.iter().map(|(kind, name)| format!("{kind}={}", name.as_deref().unwrap_or("null")));
    format!("ClientQuotaEntity(entries={{{}}})", parts.collect::<Vec<_>>().join(", "))
}
