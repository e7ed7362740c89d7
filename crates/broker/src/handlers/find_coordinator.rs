//! FindCoordinator: which broker serves a group or a transactional id. The topic of the coordinators is created when somebody asks for the first time.

use std::sync::Arc;

use protocol::messages::FindCoordinatorRequest;
use protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use protocol::{ErrorCode, Uuid};

use crate::Broker;
use crate::auto_create::{CONSUMER_OFFSETS, SHARE_GROUP_STATE, TRANSACTION_STATE};
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
    let missing = topic_of(request.key_type).filter(|topic| broker.image().topic(topic).is_none());
    let Some(missing) = missing else { return Reply::Now(respond(broker, context, &request)) };
    let (broker, context) = (Arc::clone(broker), context.clone());
    Reply::Later(Box::pin(async move {
        broker.auto_create(vec![missing.to_owned()]).await;
        respond(&broker, &context, &request)
    }))
}

/// The internal topic of the coordinators of a kind.
fn topic_of(key_type: i8) -> Option<&'static str> {
    match key_type {
        GROUP => Some(CONSUMER_OFFSETS),
        TRANSACTION => Some(TRANSACTION_STATE),
        SHARE => Some(SHARE_GROUP_STATE),
        _ => None,
    }
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
    let (topic, partition) = match key_type {
        GROUP => (CONSUMER_OFFSETS, broker.groups().partition_of(key)),
        TRANSACTION => (TRANSACTION_STATE, broker.transactions().partition_of(key)),
        SHARE if context.version < FIRST_VERSION_WITH_SHARE || !is_share_key(key) => {
            return Err(ErrorCode::InvalidRequest);
        }
        SHARE => (SHARE_GROUP_STATE, broker.coordinators().share().partition_of(key)),
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let image = broker.image();
    let registration = image.topic(topic).and_then(|topic| topic.partition(partition));
    let leader = registration.and_then(|registration| image.broker(registration.leader));
    let leader = leader.filter(|leader| !leader.fenced).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let endpoint = leader.endpoint(&context.connection.listener).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    Ok((leader.id, endpoint.host.clone(), i32::from(endpoint.port)))
}

/// Whether a key names a share-partition: a group, which may have colons, a topic id and a partition.
fn is_share_key(key: &str) -> bool {
    let mut parts = key.rsplitn(3, ':');
    let (partition, topic_id, group_id) = (parts.next(), parts.next(), parts.next());
    partition.is_some_and(|partition| partition.parse::<i32>().is_ok())
        && topic_id.is_some_and(|id| id.parse::<Uuid>().is_ok())
        && group_id.is_some_and(|group_id| !group_id.trim().is_empty())
}
