//! SyncGroup: the leader brings the assignment of all, every member gets its own once that is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use tracing::{info, warn};

use super::rebalance::Scope;
use super::state::{ClassicGroup, GroupState, sync_error};
use crate::effects::{Effects, GroupResponse, ReplyToken, RequestContext, WriteId};
use crate::error::GroupError;
use crate::group::completion::Completion;
use crate::record;
use crate::shard::GroupShard;

impl GroupShard {
    /// Gives a member its assignment, when the leader has brought it.
    pub fn sync_group(
        &mut self,
        context: &RequestContext,
        request: &SyncGroupRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        if request.group_id.is_empty() {
            return out.reply(token, sync_error(GroupError::InvalidGroupId.code()));
        }
        if self.consumer_group(&request.group_id).is_some() {
            return self.sync_consumer_group(context.now_ms, request, token, out);
        }
        let sync = |group: &mut ClassicGroup, scope: &mut Scope<'_>| group.sync(request, token, scope);
        if self.in_group(context.now_ms, &request.group_id, out, sync).is_none() {
            out.reply(token, sync_error(GroupError::UnknownMember.code()));
        }
        self.settle(context.now_ms, out);
    }
}

impl ClassicGroup {
    fn sync(&mut self, request: &SyncGroupRequest, token: ReplyToken, scope: &mut Scope<'_>) -> Option<WriteId> {
        if let Err(error) = self.validate_sync(request) {
            scope.out.reply(token, sync_error(error.code()));
            return None;
        }
        let member_id = request.member_id.as_str();
        self.pending_syncs.remove(member_id);
        if self.pending_syncs.is_empty() {
            scope.timers.cancel(&self.sync_key());
        }
        let member = self.members.get_mut(member_id)?;
        if self.state == GroupState::Stable {
            let assignment = member.assignment.clone();
            scope.out.reply(token, GroupResponse::SyncGroup(self.sync_response(assignment)));
            return None;
        }
        if let Some(before) = member.awaiting_sync.replace(token) {
            scope.out.reply(before, sync_error(GroupError::RebalanceInProgress.code()));
        }
        // A leader that asks again while its assignment is being stored waits for that one, which the members will get.
        let assigns = self.is_leader(member_id) && !scope.writes.assigns(&self.group_id, self.generation);
        assigns.then(|| self.store_assignment(request, scope))
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), GroupError> {
        if self.is(GroupState::Empty) {
            return Err(GroupError::UnknownMember);
        }
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        if self.is(GroupState::PreparingRebalance) {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    fn sync_response(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment,
            ..Default::default()
        }
    }

    fn store_assignment(&mut self, request: &SyncGroupRequest, scope: &mut Scope<'_>) -> WriteId {
        // Copied: a slice of the request would keep the whole read buffer alive as long as the generation.
        let assignments: BTreeMap<String, Bytes> = request
            .assignments
            .iter()
            .map(|given| (given.member_id.clone(), Bytes::copy_from_slice(&given.assignment)))
            .collect();
        let missing = self.members.keys().filter(|id| !assignments.contains_key(&***id)).count();
        if missing > 0 {
            warn!(group_id = %self.group_id, generation = self.generation, missing, "members got no assignment");
        }
        let records = record::group_metadata(self, |id| assignments.get(id).cloned().unwrap_or_default());
        let completion =
            Completion::Assignment { group_id: Arc::clone(&self.group_id), generation: self.generation, assignments };
        scope.writes.start(records.map(|record| vec![record]), completion, scope.out)
    }

    /// The assignment of a generation is stored: the group is stable and everyone who waits gets its own.
    pub(crate) fn assignment_stored(
        &mut self,
        generation: i32,
        mut assignments: BTreeMap<String, Bytes>,
        scope: &mut Scope<'_>,
    ) {
        if !self.is(GroupState::CompletingRebalance) || self.generation != generation {
            return;
        }
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in ids {
            let assignment = assignments.remove(&*member_id).unwrap_or_default();
            if let Some(member) = self.members.get_mut(&member_id) {
                member.assignment = assignment.clone();
            }
            // A session that ended while the member waited was ignored, so a new one begins.
            if self.complete_sync(&member_id, self.sync_response(assignment), scope.out) {
                self.renew_session(&member_id, scope);
            }
        }
        self.transition_to(GroupState::Stable, scope.now_ms);
        info!(group_id = %self.group_id, generation, "group is stable");
    }

    /// The assignment of a generation could not be stored: everyone rejoins.
    pub(crate) fn assignment_refused(&mut self, generation: i32, code: ErrorCode, scope: &mut Scope<'_>) {
        if !self.is(GroupState::CompletingRebalance) || self.generation != generation {
            return;
        }
        self.reset_assignments(code, scope);
        self.rebalance_or_complete_join(&format!("error {code} when storing group assignment"), scope);
    }
}

fn differs(requested: &Option<String>, ours: &Option<String>) -> bool {
    matches!((requested, ours), (Some(requested), Some(ours)) if requested != ours)
}
