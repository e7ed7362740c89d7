//! JoinGroup: a member asks to be in the next generation of its group.

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use crate::Broker;
use crate::coordinators::coordinator_context;
use crate::dispatch::{Reply, RequestContext};

/// From this version on the name of the protocol may be missing.
const FIRST_VERSION_WITH_NULL_PROTOCOL: i16 = 7;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: JoinGroupRequest,
) -> Reply<JoinGroupResponse> {
    let version = context.version;
    let context = coordinator_context(broker, context);
    let group_id = request.group_id.clone();
    let answer = broker.groups().ask(broker, &group_id, |groups, token, out| {
        groups.join_group(&context, request, token, out);
    });
    answer.reply(move |answer| {
        let mut response = match answer {
            Ok(GroupResponse::JoinGroup(response)) => response,
            Ok(other) => unreachable!("JoinGroup is not answered with {other:?}"),
            Err(code) => JoinGroupResponse { error_code: code.code(), ..Default::default() },
        };
        if version < FIRST_VERSION_WITH_NULL_PROTOCOL {
            response.protocol_name.get_or_insert_default();
        }
        response
    })
}
