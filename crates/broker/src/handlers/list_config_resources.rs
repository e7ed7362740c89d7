//! ListConfigResources: what has a configuration (KIP-1142).

use std::sync::Arc;

use metadata::ResourceType;
use protocol::ErrorCode;
use protocol::messages::ListConfigResourcesRequest;
use protocol::messages::list_config_resources_response::{ConfigResource, ListConfigResourcesResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ListConfigResourcesRequest,
) -> Reply<ListConfigResourcesResponse> {
    use ResourceType::{Broker as Node, BrokerLogger, ClientMetrics, Group, Topic};
    let supported: &[ResourceType] =
        if context.version == 0 { &[ClientMetrics] } else { &[Group, ClientMetrics, BrokerLogger, Node, Topic] };
    let asked: Vec<ResourceType> = request.resource_types.iter().map(|code| ResourceType::from_code(*code)).collect();
    if asked.iter().any(|kind| !supported.contains(kind)) {
        let error_code = ErrorCode::UnsupportedVersion.code();
        return Reply::Now(ListConfigResourcesResponse { error_code, ..Default::default() });
    }
    let image = broker.image();
    let mut config_resources = Vec::new();
    for kind in supported.iter().filter(|kind| asked.is_empty() || asked.contains(kind)) {
        let names: Vec<String> = match kind {
            Topic => image.topics().map(|topic| topic.name.to_string()).collect(),
            Node | BrokerLogger => image.brokers().map(|node| node.id.to_string()).collect(),
            kind => {
                let configured = image.configs().map(|(resource, _)| resource);
                configured
                    .filter(|resource| resource.resource_type == *kind)
                    .map(|resource| resource.name.clone())
                    .collect()
            }
        };
        config_resources.extend(names.into_iter().map(|resource_name| ConfigResource {
            resource_name,
            resource_type: kind.code(),
            ..Default::default()
        }));
    }
    Reply::Now(ListConfigResourcesResponse { config_resources, ..Default::default() })
}
