//! DescribeCluster: the brokers, or on a controller's listener the controllers (KIP-919).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::DescribeClusterRequest;
use protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};

use super::metadata::CLUSTER_OPERATIONS;
use crate::Broker;
use crate::dispatch::{Audience, Reply, RequestContext};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DescribeClusterRequest,
) -> Reply<DescribeClusterResponse> {
    let (endpoint_type, name) = match context.connection.audience {
        Audience::Clients => (BROKERS, "BROKER"),
        Audience::Controllers => (CONTROLLERS, "CONTROLLER"),
    };
    let refuse = |code: ErrorCode, message: String| {
        let code = if context.version == 0 { ErrorCode::InvalidRequest } else { code };
        Reply::Now(DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..Default::default()
        })
    };
    let wanted = match request.endpoint_type {
        BROKERS => "BROKER",
        CONTROLLERS => "CONTROLLER",
        other => return refuse(ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}")),
    };
    if request.endpoint_type != endpoint_type {
        let message =
            format!("The request was sent to an endpoint of type {name}, but we wanted an endpoint of type {wanted}");
        return refuse(ErrorCode::MismatchedEndpointType, message);
    }
    let nodes = match context.connection.audience {
        Audience::Clients => brokers(broker, &context.connection.listener, request.include_fenced_brokers),
        Audience::Controllers => controllers(broker, &context.connection.listener),
    };
    let controller_id = match context.connection.audience {
        Audience::Clients => nodes.iter().find(|node| !node.is_fenced).map_or(-1, |node| node.broker_id),
        Audience::Controllers => broker.quorum().leader_id(),
    };
    let operations = if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { i32::MIN };
    Reply::Now(DescribeClusterResponse {
        cluster_id: broker.identity().cluster_id.clone(),
        controller_id,
        cluster_authorized_operations: operations,
        brokers: nodes,
        endpoint_type,
        ..Default::default()
    })
}

fn brokers(broker: &Broker, listener: &str, fenced_too: bool) -> Vec<DescribeClusterBroker> {
    let image = broker.image();
    let brokers = image.brokers().filter(|node| fenced_too || !node.fenced).filter_map(|node| {
        let endpoint = node.endpoint(listener)?;
        Some(DescribeClusterBroker {
            broker_id: node.id,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: node.rack.clone(),
            is_fenced: node.fenced,
            ..Default::default()
        })
    });
    brokers.collect()
}

fn controllers(broker: &Broker, listener: &str) -> Vec<DescribeClusterBroker> {
    let endpoints = broker.quorum().controller_endpoints();
    let controllers = endpoints.into_iter().filter(|at| at.listener == listener);
    controllers
        .map(|at| DescribeClusterBroker {
            broker_id: broker.identity().node_id,
            host: at.host,
            port: i32::from(at.port),
            ..Default::default()
        })
        .collect()
}
