//! ConsumerGroupHeartbeat: members of consumer groups join, confirm, and learn what they are to read (KIP-848).

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use crate::Broker;
use crate::coordinators::coordinator_context;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ConsumerGroupHeartbeatRequest,
) -> Reply<ConsumerGroupHeartbeatResponse> {
    if !broker.serves_consumer_groups() {
        return Reply::Now(refuse(ErrorCode::UnsupportedVersion));
    }
    let context = coordinator_context(broker, context);
    let group_id = request.group_id.clone();
    let answer = broker.coordinators().groups().ask(broker, &group_id, |groups, token, out| {
        groups.consumer_group_heartbeat(&context, request, token, out);
    });
    answer.reply(move |answer| match answer {
        Ok(GroupResponse::ConsumerGroupHeartbeat(response)) => response,
        Ok(other) => unreachable!("ConsumerGroupHeartbeat is not answered with {other:?}"),
        Err(code) => refuse(code),
    })
}

fn refuse(code: ErrorCode) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: code.code(),
        error_message: Some(code.message().to_owned()),
        ..Default::default()
    }
}
