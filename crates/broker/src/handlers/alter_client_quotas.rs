//! AlterClientQuotas: limits of users, client ids and addresses (KIP-546); the controller decides.

use std::sync::Arc;

use protocol::messages::alter_client_quotas_request::EntryData;
use protocol::messages::alter_client_quotas_response::{EntityData, EntryData as EntryResult};
use protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::quorum::Refusal;
use crate::quotas::is_host;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: AlterClientQuotasRequest,
) -> Reply<AlterClientQuotasResponse> {
    let altered = broker.blocking(move |broker| {
        let parts = request.entries.iter().flat_map(|entry| &entry.entity).filter(|part| part.entity_type == "ip");
        // Names are resolved before the controller is asked: it holds up everybody while it decides.
        let hosts: Vec<&String> =
            parts.filter_map(|part| part.entity_name.as_ref()).filter(|host| is_host(host)).collect();
        let is_known = |host: &str| hosts.iter().any(|known| *known == host);
        let altered =
            broker.quorum().submit(broker, |controller, _| controller.alter_client_quotas(&request, &is_known));
        altered.unwrap_or_else(|refusal| refused(&request.entries, &refusal))
    });
    Reply::Later(Box::pin(async move { altered.await.unwrap_or_default() }))
}

fn refused(entries: &[EntryData], refusal: &Refusal) -> AlterClientQuotasResponse {
    let entries = entries.iter().map(|entry| EntryResult {
        error_code: refusal.code.code(),
        error_message: Some(refusal.message.clone()),
        entity: entry
            .entity
            .iter()
            .map(|part| EntityData {
                entity_type: part.entity_type.clone(),
                entity_name: part.entity_name.clone(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() }
}
