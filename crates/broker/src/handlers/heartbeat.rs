//! Heartbeat: a member of a group is still there.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use crate::Broker;
use crate::coordinators::coordinator_context;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: HeartbeatRequest,
) -> Reply<HeartbeatResponse> {
    let context = coordinator_context(broker, context);
    let answer = broker.groups().look(broker, &request.group_id, |groups| groups.heartbeat(&context, &request));
    Reply::Now(match answer {
        Ok(response) => response,
        // The session starts when the group is loaded, so the member has nothing to worry about.
        Err(ErrorCode::CoordinatorLoadInProgress) => HeartbeatResponse::default(),
        Err(code) => HeartbeatResponse { error_code: code.code(), ..Default::default() },
    })
}
