//! LeaveGroup: members leave their group.

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use crate::Broker;
use crate::coordinators::coordinator_context;
use crate::dispatch::{Reply, RequestContext};

/// From this version on a response tells of each member (KIP-345).
const FIRST_VERSION_WITH_MEMBERS: i16 = 3;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: LeaveGroupRequest,
) -> Reply<LeaveGroupResponse> {
    let version = context.version;
    let context = coordinator_context(broker, context);
    let group_id = request.group_id.clone();
    let answer = broker.groups().ask(broker, &group_id, |groups, token, out| {
        groups.leave_group(&context, request, token, out);
    });
    answer.reply(move |answer| {
        let mut response = match answer {
            Ok(GroupResponse::LeaveGroup(response)) => response,
            Ok(other) => unreachable!("LeaveGroup is not answered with {other:?}"),
            Err(code) => LeaveGroupResponse { error_code: code.code(), ..Default::default() },
        };
        if version < FIRST_VERSION_WITH_MEMBERS {
            response.members.clear();
        }
        response
    })
}
