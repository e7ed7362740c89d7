//! JoinGroup: a member asks to be in the next generation. It is answered when the join phase ends.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::member::{Member, new_member_id, protocols_of};
use super::rebalance::Scope;
use super::state::{ClassicGroup, GroupState, MemberUpdate, join_error};
use crate::effects::{Effects, GroupResponse, ReplyToken, RequestContext, WriteId};
use crate::error::GroupError;
use crate::group::Group;
use crate::group::completion::Completion;
use crate::record;
use crate::record::modern::Records;
use crate::shard::GroupShard;

/// From this version on a member must join with an id that it was given (KIP-394).
const FIRST_VERSION_WITH_REQUIRED_MEMBER_ID: i16 = 4;

/// A JoinGroup.
pub(crate) struct Join<'a> {
    pub(crate) context: &'a RequestContext,
    pub(crate) request: &'a JoinGroupRequest,
    pub(crate) token: ReplyToken,
}

impl Join<'_> {
    pub(crate) fn refuse(&self, member_id: &str, error: GroupError, scope: &mut Scope<'_>) -> Option<WriteId> {
        scope.out.reply(self.token, join_error(member_id, error.code()));
        None
    }

    pub(crate) fn answer(&self, response: JoinGroupResponse, scope: &mut Scope<'_>) -> Option<WriteId> {
        scope.out.reply(self.token, GroupResponse::JoinGroup(response));
        None
    }

    pub(crate) fn client_reason(&self) -> &str {
        self.request.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("not provided")
    }

    pub(crate) fn update(&self) -> MemberUpdate {
        MemberUpdate {
            protocols: protocols_of(&self.request.protocols),
            rebalance_timeout_ms: self.request.rebalance_timeout_ms,
            session_timeout_ms: self.request.session_timeout_ms,
            awaiting_join: Some(self.token),
        }
    }
}

impl GroupShard {
    /// Lets a member join a group, which is created for the first one.
    pub fn join_group(
        &mut self,
        context: &RequestContext,
        mut request: JoinGroupRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        if let Err(error) = self.validate_join(&request) {
            return out.reply(token, join_error(&request.member_id, error.code()));
        }
        if context.api_version == 0 {
            request.rebalance_timeout_ms = request.session_timeout_ms;
        }
        if self.consumer_group(&request.group_id).is_some_and(|group| !group.members.is_empty()) {
            return self.join_consumer_group(context, &request, token, out);
        }
        if self.share_group(&request.group_id).is_some() {
            return out.reply(token, join_error(&request.member_id, ErrorCode::InconsistentGroupProtocol));
        }
        if self.streams_group(&request.group_id).is_some_and(|group| !group.is_empty()) {
            return out.reply(token, join_error("", ErrorCode::InconsistentGroupProtocol));
        }
        let is_new = self.classic_group(&request.group_id).is_none();
        if is_new {
            if !request.member_id.is_empty() {
                return out.reply(token, join_error(&request.member_id, ErrorCode::UnknownMemberId));
            }
            let mut records = Records::default();
            self.remove_empty_consumer_group(&request.group_id, &mut records);
            self.remove_empty_streams_group(&request.group_id, &mut records);
            self.write_records(context.now_ms, records, None, out);
            self.insert_group(Group::Classic(ClassicGroup::new(request.group_id.as_str().into(), context.now_ms)));
        }
        let join = Join { context, request: &request, token };
        self.in_group(context.now_ms, &request.group_id, out, |group, scope| {
            let written = group.join(&join, scope);
            if is_new && written.is_none() {
                let records = record::new_group(group).map(|record| vec![record]);
                let completion = Completion::NewGroup { group_id: Arc::clone(&group.group_id) };
                group.creation = Some(scope.writes.start(records, completion, scope.out));
            }
        });
        self.settle(context.now_ms, out);
    }

    fn validate_join(&self, request: &JoinGroupRequest) -> Result<(), GroupError> {
        if request.group_id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let config = self.config();
        let allowed = config.min_session_timeout_ms..=config.max_session_timeout_ms;
        if !allowed.contains(&request.session_timeout_ms) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        Ok(())
    }
}

impl ClassicGroup {
    fn join(&mut self, join: &Join<'_>, scope: &mut Scope<'_>) -> Option<WriteId> {
        let member_id = join.request.member_id.as_str();
        if !self.accepts(member_id, scope.config.max_size) {
            self.remove(member_id, scope.out);
            return join.refuse("", GroupError::GroupMaxSizeReached, scope);
        }
        let names = join.request.protocols.iter().map(|protocol| protocol.name.as_str());
        if !self.supports(&join.request.protocol_type, names) {
            return join.refuse(member_id, GroupError::InconsistentProtocol, scope);
        }
        if member_id.is_empty() { self.join_new(join, scope) } else { self.join_known(join, scope) }
    }

    /// Whether there is room. While members rejoin, those who come late are left out; afterwards, those who are new.
    fn accepts(&self, member_id: &str, max_size: usize) -> bool {
        match self.state {
            GroupState::Empty => true,
            GroupState::PreparingRebalance => {
                let is_waiting = self.members.get(member_id).is_some_and(|member| member.awaiting_join.is_some());
                is_waiting || self.awaiting_join() < max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.members.contains_key(member_id) || self.members.len() < max_size
            }
        }
    }

    fn join_new(&mut self, join: &Join<'_>, scope: &mut Scope<'_>) -> Option<WriteId> {
        let context = join.context;
        if let Some(instance_id) = join.request.group_instance_id.as_deref() {
            let new_id = new_member_id(instance_id, context.fresh_id);
            return match self.static_members.get(instance_id).cloned() {
                Some(old_id) => self.rejoin_static(join, &old_id, &new_id, scope),
                None => self.add_joining(join, new_id, scope),
            };
        }
        let new_id = new_member_id(&context.client_id, context.fresh_id);
        if context.api_version < FIRST_VERSION_WITH_REQUIRED_MEMBER_ID {
            return self.add_joining(join, new_id, scope);
        }
        self.pending_joins.insert(Arc::clone(&new_id));
        self.expect_member(&new_id, join.request.session_timeout_ms, scope);
        join.refuse(&new_id, GroupError::MemberIdRequired, scope)
    }

    fn add_joining(&mut self, join: &Join<'_>, member_id: Arc<str>, scope: &mut Scope<'_>) -> Option<WriteId> {
        let request = join.request;
        if self.is(GroupState::PreparingRebalance) && self.previous_state == Some(GroupState::Empty) {
            self.new_member_added = true;
        }
        let member = Member {
            member_id: Arc::clone(&member_id),
            instance_id: request.group_instance_id.as_deref().map(Arc::from),
            client_id: join.context.client_id.clone(),
            client_host: join.context.client_host.clone(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: protocols_of(&request.protocols),
            assignment: bytes::Bytes::new(),
            awaiting_join: Some(join.token),
            awaiting_sync: None,
            is_new: true,
        };
        self.add(member, &request.protocol_type);
        // The member cannot send heartbeats before it knows its id, and its client may be gone without anyone noticing.
        self.expect_member(&member_id, scope.config.new_member_join_timeout_ms, scope);
        let reason = format!("adding new member {member_id}; client reason: {}", join.client_reason());
        self.rebalance_or_complete_join(&reason, scope)
    }

    fn join_known(&mut self, join: &Join<'_>, scope: &mut Scope<'_>) -> Option<WriteId> {
        let request = join.request;
        let member_id = request.member_id.as_str();
        if let Some(pending_id) = self.pending_joins.get(member_id).cloned() {
            if request.group_instance_id.is_some() {
                // Ids are kept pending for dynamic members only.
                return join.refuse(member_id, GroupError::UnknownMember, scope);
            }
            return self.add_joining(join, pending_id, scope);
        }
        if let Err(error) = self.validate_member(member_id, request.group_instance_id.as_deref()) {
            let response = JoinGroupResponse {
                member_id: member_id.to_owned(),
                error_code: error.code().code(),
                protocol_name: None,
                ..Default::default()
            };
            return join.answer(response, scope);
        }
        let unchanged = self.members.get(member_id).is_some_and(|member| member.matches(&request.protocols));
        match self.state {
            GroupState::PreparingRebalance => self.rejoin(join, "joining", scope),
            GroupState::CompletingRebalance if unchanged => {
                // The member may not have got the answer to its first JoinGroup.
                let mut response = self.join_response(member_id);
                if self.is_leader(member_id) {
                    response.members = self.join_response_members();
                }
                join.answer(response, scope)
            }
            GroupState::CompletingRebalance => self.rejoin(join, "updating metadata for", scope),
            // A leader that joins again has seen something that changes the assignment, such as more partitions.
            GroupState::Stable if self.is_leader(member_id) => self.rejoin(join, "leader re-joining,", scope),
            GroupState::Stable if !unchanged => self.rejoin(join, "updating metadata for", scope),
            GroupState::Stable => join.answer(self.join_response(member_id), scope),
            GroupState::Empty => join.refuse(member_id, GroupError::UnknownMember, scope),
        }
    }

    fn rejoin(&mut self, join: &Join<'_>, what: &str, scope: &mut Scope<'_>) -> Option<WriteId> {
        let member_id = join.request.member_id.as_str();
        let reason =
            format!("{what} member {member_id} during {}; client reason: {}", self.state.name(), join.client_reason());
        self.update_member(member_id, join.update(), scope.out);
        self.rebalance_or_complete_join(&reason, scope)
    }
}
