//! DescribeClientQuotas: the quotas that match a filter (KIP-546).

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::{QuotaEntity, QuotaValues};
use protocol::ErrorCode;
use protocol::messages::describe_client_quotas_request::ComponentData;
use protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

/// What the name of an entity's part must be.
enum Wanted {
    Exactly(Option<String>),
    Anything,
}

type Filter = BTreeMap<String, Wanted>;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: DescribeClientQuotasRequest,
) -> Reply<DescribeClientQuotasResponse> {
    let filter = match read_filter(&request.components) {
        Ok(filter) => filter,
        Err((code, message)) => {
            return Reply::Now(DescribeClientQuotasResponse {
                error_code: code.code(),
                error_message: Some(message),
                entries: None,
                ..Default::default()
            });
        }
    };
    let image = broker.image();
    let matching = image.client_quotas().iter().filter(|(entity, _)| matches(entity, &filter, request.strict));
    let entries = matching.map(|(entity, values)| entry(entity, values)).collect();
    Reply::Now(DescribeClientQuotasResponse { entries: Some(entries), ..Default::default() })
}

fn read_filter(components: &[ComponentData]) -> Result<Filter, (ErrorCode, String)> {
    let refuse = |reason: String| Err((ErrorCode::InvalidRequest, reason));
    let mut filter = Filter::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return refuse("Invalid empty entity type.".to_owned());
        }
        if filter.contains_key(kind) {
            return refuse(format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if !["ip", "user", "client-id"].contains(&kind) {
            return Err((ErrorCode::UnsupportedVersion, format!("Unsupported entity type {kind}")));
        }
        let but_named = |name: &str| format!("Request specified {name}, but also specified a match string.");
        let wanted = match (component.match_type, &component.match_) {
            (EXACT, None) => {
                return refuse("Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned());
            }
            (EXACT, name) => Wanted::Exactly(name.clone()),
            (DEFAULT, None) => Wanted::Exactly(None),
            (ANY, None) => Wanted::Anything,
            (DEFAULT, Some(_)) => return refuse(but_named("MATCH_TYPE_DEFAULT")),
            (ANY, Some(_)) => return refuse(but_named("MATCH_TYPE_SPECIFIED")),
            (other, _) => return refuse(format!("Unknown match type {other}")),
        };
        filter.insert(kind.to_owned(), wanted);
    }
    if filter.contains_key("ip") && filter.len() > 1 {
        let reason = "Invalid entity filter component combination. IP filter component should not be used with user or \
                      clientId filter component.";
        return refuse(reason.to_owned());
    }
    Ok(filter)
}

fn matches(entity: &QuotaEntity, filter: &Filter, strict: bool) -> bool {
    let fits = |(kind, wanted): (&String, &Wanted)| match (entity.get(kind), wanted) {
        (None, _) => false,
        (Some(_), Wanted::Anything) => true,
        (Some(name), Wanted::Exactly(wanted)) => name == wanted,
    };
    (!strict || entity.len() == filter.len()) && filter.iter().all(fits)
}

fn entry(entity: &QuotaEntity, values: &QuotaValues) -> EntryData {
    let part = |(entity_type, entity_name): (&String, &Option<String>)| EntityData {
        entity_type: entity_type.clone(),
        entity_name: entity_name.clone(),
        ..Default::default()
    };
    let value = |(key, value): (&String, &f64)| ValueData { key: key.clone(), value: *value, ..Default::default() };
    EntryData {
        entity: entity.iter().map(part).collect(),
        values: values.iter().map(value).collect(),
        ..Default::default()
    }
}
