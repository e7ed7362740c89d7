//! SyncGroup: a member asks for its assignment; the leader of the group brings everyone's.

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use crate::Broker;
use crate::coordinators::coordinator_context;
use crate::dispatch::{Reply, RequestContext};

/// From this version on a member must name the protocol that it takes part in (KIP-559).
const FIRST_VERSION_WITH_PROTOCOL: i16 = 5;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: SyncGroupRequest,
) -> Reply<SyncGroupResponse> {
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.version >= FIRST_VERSION_WITH_PROTOCOL && !names_protocol {
        return Reply::Now(failed(ErrorCode::InconsistentGroupProtocol));
    }
    let context = coordinator_context(broker, context);
    let answer = broker.groups().ask(broker, &request.group_id, |groups, token, out| {
        groups.sync_group(&context, &request, token, out);
    });
    answer.reply(|answer| match answer {
        Ok(GroupResponse::SyncGroup(response)) => response,
        Ok(other) => unreachable!("SyncGroup is not answered with {other:?}"),
        Err(code) => failed(code),
    })
}

fn failed(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: code.code(), ..Default::default() }
}
