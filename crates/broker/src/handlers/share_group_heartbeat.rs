//! ShareGroupHeartbeat: members of share groups join, stay, and learn what they are to read (KIP-932).
//! Partitions without share state get it before the answer, and are assigned with a later heartbeat.

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};

use crate::Broker;
use crate::coordinators::coordinator_context;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ShareGroupHeartbeatRequest,
) -> Reply<ShareGroupHeartbeatResponse> {
    if !broker.serves_share_groups() {
        return Reply::Now(refuse(ErrorCode::UnsupportedVersion));
    }
    let context = coordinator_context(broker, context);
    let mut missing = None;
    let answer = broker.groups().ask(broker, &request.group_id, |groups, token, out| {
        missing = groups.share_group_heartbeat(&context, &request, token, out);
    });
    let Some(missing) = missing else { return answer.reply(respond) };
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let response = respond(answer.wait().await);
        if response.error_code == 0 {
            broker.set_up_share_state(missing).await;
        }
        response
    }))
}

fn respond(answer: Result<GroupResponse, ErrorCode>) -> ShareGroupHeartbeatResponse {
    match answer {
        Ok(GroupResponse::ShareGroupHeartbeat(response)) => response,
        Ok(other) => unreachable!("ShareGroupHeartbeat is not answered with {other:?}"),
        Err(code) => refuse(code),
    }
}

fn refuse(code: ErrorCode) -> ShareGroupHeartbeatResponse {
    ShareGroupHeartbeatResponse {
        error_code: code.code(),
        error_message: Some(code.message().to_owned()),
        ..Default::default()
    }
}
