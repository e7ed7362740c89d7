//! FindCoordinator: which broker serves a group. The topic of the coordinators is created when somebody asks for the first time.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::FindCoordinatorRequest;
use protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use crate::Broker;
use crate::auto_create::CONSUMER_OFFSETS;
use crate::dispatch::{Reply, RequestContext};

/// From this version on a request names many keys (KIP-699).
const FIRST_VERSION_WITH_KEYS: i16 = 4;
/// From this version on a share coordinator can be asked for (KIP-932).
const FIRST_VERSION_WITH_SHARE: i16 = 6;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: FindCoordinatorRequest,
) -> Reply<FindCoordinatorResponse> {
    let missing = request.key_type == GROUP && broker.image().topic(CONSUMER_OFFSETS).is_none();
    if !missing {
        return Reply::Now(respond(broker, context, &request));
    }
    let (broker, context) = (Arc::clone(broker), context.clone());
    Reply::Later(Box::pin(async move {
        broker.auto_create(vec![CONSUMER_OFFSETS.to_owned()]).await;
        respond(&broker, &context, &request)
    }))
}

fn respond(broker: &Broker, context: &RequestContext, request: &FindCoordinatorRequest) -> FindCoordinatorResponse {
    let find = |key: &str| {
        let found = find(broker, context, request.key_type, key);
        let (code, (node_id, host, port)) = match found {
            Ok(node) => (ErrorCode::None, node),
            Err(code) => (code, (-1, String::new(), -1)),
        };
        Coordinator { key: key.to_owned(), node_id, host, port, error_code: code.code(), ..Default::default() }
    };
    if context.version >= FIRST_VERSION_WITH_KEYS {
        let coordinators = request.coordinator_keys.iter().map(|key| find(key)).collect();
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let found = find(&request.key);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: Some(ErrorCode::from_code(found.error_code).message().to_owned()),
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

fn find(broker: &Broker, context: &RequestContext, key_type: i8, key: &str) -> Result<(i32, String, i32), ErrorCode> {
    match key_type {
        GROUP => {}
        SHARE if context.version < FIRST_VERSION_WITH_SHARE => return Err(ErrorCode::InvalidRequest),
        TRANSACTION | SHARE => return Err(ErrorCode::CoordinatorNotAvailable),
        _ => return Err(ErrorCode::InvalidRequest),
    }
    let image = broker.image();
    let partition = broker.groups().partition_of(key);
    let registration = image.topic(CONSUMER_OFFSETS).and_then(|topic| topic.partition(partition));
    let leader = registration.and_then(|registration| image.broker(registration.leader));
    let leader = leader.filter(|leader| !leader.fenced).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let endpoint = leader.endpoint(&context.connection.listener).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    Ok((leader.id, endpoint.host.clone(), i32::from(endpoint.port)))
}
