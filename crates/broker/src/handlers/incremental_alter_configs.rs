//! IncrementalAlterConfigs: checked here, decided by the controller, answered in the order of the request (KIP-339).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use super::config_changes::{ResourceChange, check};
use crate::Broker;
use crate::dispatch::{Audience, Reply, RequestContext};
use crate::quorum::Refusal;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> Reply<IncrementalAlterConfigsResponse> {
    let is_broker = context.connection.audience == Audience::Clients;
    let altered = broker.blocking(move |broker| alter(broker, request, is_broker));
    Reply::Later(Box::pin(async move { altered.await.unwrap_or_default() }))
}

fn alter(
    broker: &Arc<Broker>,
    mut request: IncrementalAlterConfigsRequest,
    is_broker: bool,
) -> IncrementalAlterConfigsResponse {
    let mut responses: Vec<AlterConfigsResourceResponse> = request
        .resources
        .iter()
        .map(|resource| AlterConfigsResourceResponse {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        })
        .collect();
    let checked = if is_broker { check(broker, &changes(&request)) } else { vec![None; responses.len()] };
    let mut is_open = checked.iter().map(Option::is_none);
    request.resources.retain(|_| is_open.next().unwrap_or(true));
    let decided = broker.quorum().submit(broker, |controller, _| Ok(controller.incremental_alter_configs(&request)));
    let mut decided = decided.map(|response| response.responses.into_iter());
    for (response, refusal) in responses.iter_mut().zip(checked) {
        let refusal = match (refusal, &mut decided) {
            (Some(refusal), _) => refusal,
            (None, Err(refusal)) => refusal.clone(),
            (None, Ok(decided)) => match decided.next() {
                Some(decided) => {
                    *response = decided;
                    continue;
                }
                None => Refusal::from(ErrorCode::UnknownServerError),
            },
        };
        response.error_code = refusal.code.code();
        response.error_message = Some(refusal.message);
    }
    IncrementalAlterConfigsResponse { responses, ..Default::default() }
}

fn changes(request: &IncrementalAlterConfigsRequest) -> Vec<ResourceChange<'_>> {
    let changes = request.resources.iter().map(|resource| ResourceChange {
        resource_type: resource.resource_type,
        name: &resource.resource_name,
        configs: resource
            .configs
            .iter()
            .map(|config| (config.name.as_str(), config.config_operation, config.value.as_deref()))
            .collect(),
        replaces: false,
    });
    changes.collect()
}
