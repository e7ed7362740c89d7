//! AlterConfigs: replaces all configurations of a resource. Kept for old clients.

use std::sync::Arc;

use protocol::messages::alter_configs_request::AlterConfigsResource;
use protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::config_changes::{Operation, ResourceChange, decide};
use crate::Broker;
use crate::dispatch::{Audience, Reply, RequestContext};
use crate::quorum::Refusal;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: AlterConfigsRequest,
) -> Reply<AlterConfigsResponse> {
    let audience = context.connection.audience;
    let altered = broker.blocking(move |broker| alter(broker, audience, &request));
    Reply::Later(Box::pin(async move { altered.await.unwrap_or_default() }))
}

fn alter(broker: &Arc<Broker>, audience: Audience, request: &AlterConfigsRequest) -> AlterConfigsResponse {
    let decided = decide(broker, audience, (&request.resources, change), |resources| {
        let left = AlterConfigsRequest { resources, validate_only: request.validate_only, ..Default::default() };
        Ok(broker.quorum().submit(broker, |controller, _| Ok(controller.alter_configs(&left)))?.responses)
    });
    let outcomes = request.resources.iter().zip(decided);
    let responses = outcomes.map(|(resource, decided)| decided.unwrap_or_else(|refusal| refused(resource, refusal)));
    AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
}

fn refused(resource: &AlterConfigsResource, refusal: Refusal) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse {
        error_code: refusal.code.code(),
        error_message: Some(refusal.message),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    }
}

fn change(resource: &AlterConfigsResource) -> ResourceChange<'_> {
    let configs = resource.configs.iter();
    ResourceChange {
        resource_type: resource.resource_type,
        name: &resource.resource_name,
        configs: configs.map(|config| (config.name.as_str(), Operation::Set as i8, config.value.as_deref())).collect(),
        replaces: true,
    }
}
