//! LeaveGroup: members go, by themselves or by an administrator who names their instance (KIP-345).

use std::sync::Arc;

use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::leave_group_response::MemberResponse;
use protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use tracing::info;

use super::rebalance::Scope;
use super::state::{ClassicGroup, GroupState};
use crate::effects::{Effects, GroupResponse, ReplyToken, RequestContext, WriteId};
use crate::error::GroupError;
use crate::shard::GroupShard;

/// Up to this version a request names one member, and its error is the response's.
const LAST_VERSION_WITH_ONE_MEMBER: i16 = 2;

impl GroupShard {
    /// Lets members leave.
    pub fn leave_group(
        &mut self,
        context: &RequestContext,
        mut request: LeaveGroupRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        if request.group_id.is_empty() {
            let error_code = GroupError::InvalidGroupId.code().code();
            let response = LeaveGroupResponse { error_code, ..Default::default() };
            return out.reply(token, GroupResponse::LeaveGroup(response));
        }
        let names_one = context.api_version <= LAST_VERSION_WITH_ONE_MEMBER;
        if names_one {
            let member_id = std::mem::take(&mut request.member_id);
            request.members = vec![MemberIdentity { member_id, ..Default::default() }];
        }
        let respond = |members: Vec<MemberResponse>| {
            let error_code = members.first().filter(|_| names_one).map_or(0, |member| member.error_code);
            LeaveGroupResponse { members, error_code, ..Default::default() }
        };
        if self.consumer_group(&request.group_id).is_some() {
            let leaving = (request.group_id.as_str(), request.members.as_slice());
            return self.leave_consumer_group(context.now_ms, leaving, respond, token, out);
        }
        let leave = |group: &mut ClassicGroup, scope: &mut Scope<'_>| group.leave(&request.members, scope);
        let (members, written) = match self.in_group(context.now_ms, &request.group_id, out, leave) {
            Some(left) => left,
            None => {
                let unknown = request.members.iter().map(|member| response(member, Err(GroupError::UnknownMember)));
                (unknown.collect(), None)
            }
        };
        let response = respond(members);
        match written {
            Some(id) => self.writes().reply_after(id, token, GroupResponse::LeaveGroup(response)),
            None => out.reply(token, GroupResponse::LeaveGroup(response)),
        }
        self.settle(context.now_ms, out);
    }
}

impl ClassicGroup {
    fn leave(&mut self, members: &[MemberIdentity], scope: &mut Scope<'_>) -> (Vec<MemberResponse>, Option<WriteId>) {
        let mut left = Vec::new();
        let mut responses = Vec::with_capacity(members.len());
        for member in members {
            let outcome = self.leave_one(member, scope);
            if outcome.is_ok() {
                left.push(member.member_id.as_str());
            }
            responses.push(response(member, outcome));
        }
        if left.is_empty() {
            return (responses, None);
        }
        let written = match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => {
                let reason = format!("explicit `LeaveGroup` request for ({}) members", left.join(", "));
                self.rebalance_or_complete_join(&reason, scope)
            }
            GroupState::PreparingRebalance => self.try_complete_join(scope),
            GroupState::Empty => None,
        };
        (responses, written)
    }

    fn leave_one(&mut self, identity: &MemberIdentity, scope: &mut Scope<'_>) -> Result<(), GroupError> {
        let instance_id = identity.group_instance_id.as_deref();
        let member_id: Arc<str> = if identity.member_id.is_empty() {
            let current = instance_id.and_then(|instance_id| self.static_members.get(instance_id));
            Arc::clone(current.ok_or(GroupError::UnknownMember)?)
        } else {
            if !self.pending_joins.contains(identity.member_id.as_str()) {
                self.validate_member(&identity.member_id, instance_id)?;
            }
            identity.member_id.as_str().into()
        };
        let reason = identity.reason.as_deref().unwrap_or("not provided");
        info!(group_id = %self.group_id, %member_id, reason, "member left");
        self.drop_member(&member_id, scope);
        Ok(())
    }
}

pub(crate) fn response(member: &MemberIdentity, outcome: Result<(), GroupError>) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: outcome.err().map_or(0, |error| error.code().code()),
        ..Default::default()
    }
}
