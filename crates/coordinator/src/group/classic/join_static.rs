//! A static member comes back without its member id, as it does after a restart (KIP-345): it gets a new one,
//! and a stable group goes on as it is unless the member changed what the group would choose.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::JoinGroupResponse;

use super::join::Join;
use super::rebalance::Scope;
use super::state::{ClassicGroup, GroupState, MemberUpdate};
use crate::effects::WriteId;
use crate::group::completion::{Completion, StaticMemberChange};
use crate::record;

/// From this version on a leader can be told not to assign (KIP-814).
const FIRST_VERSION_WITH_SKIP_ASSIGNMENT: i16 = 9;

impl ClassicGroup {
    pub(crate) fn rejoin_static(
        &mut self,
        join: &Join<'_>,
        old_id: &Arc<str>,
        new_id: &Arc<str>,
        scope: &mut Scope<'_>,
    ) -> Option<WriteId> {
        let old_leader = self.leader.clone();
        let old = self.members.get(old_id)?;
        let change = StaticMemberChange {
            group_id: Arc::clone(&self.group_id),
            old_member_id: Arc::clone(old_id),
            new_member_id: Arc::clone(new_id),
            old_protocols: old.protocols.clone(),
            old_rebalance_timeout_ms: old.rebalance_timeout_ms,
            old_session_timeout_ms: old.session_timeout_ms,
            old_leader,
            supports_skipping_assignment: join.context.api_version >= FIRST_VERSION_WITH_SKIP_ASSIGNMENT,
        };
        scope.timers.cancel(&self.session_key(old_id));
        self.replace_static_member(old_id, new_id, scope.out);
        self.renew_session(new_id, scope);
        self.update_member(new_id, join.update(), scope.out);
        match self.state {
            GroupState::Stable if self.select_protocol() == self.protocol_name => {
                let assignment_of = |id: &str| self.members.get(id).map(|m| m.assignment.clone()).unwrap_or_default();
                let records = record::group_metadata(self, assignment_of).map(|record| vec![record]);
                Some(scope.writes.start(records, Completion::StaticMember(Box::new(change)), scope.out))
            }
            // In a CompletingRebalance the leader may already assign to the old id, so that its assignment would be lost.
            GroupState::Stable | GroupState::CompletingRebalance => {
                let reason = format!("static member {new_id} rejoined; client reason: {}", join.client_reason());
                self.prepare_rebalance(&reason, scope)
            }
            GroupState::PreparingRebalance | GroupState::Empty => self.try_complete_join(scope),
        }
    }

    /// The new id of a static member is stored.
    pub(crate) fn static_member_stored(&mut self, change: &StaticMemberChange, scope: &mut Scope<'_>) {
        let new_id = &change.new_member_id;
        let mut response = self.join_response(new_id);
        if !change.supports_skipping_assignment {
            // An old client that finds itself to be the leader would assign, so it is told the leader of before.
            response.leader = change.old_leader.as_deref().unwrap_or_default().to_owned();
        } else if self.is_leader(new_id) {
            response.skip_assignment = true;
            response.members = self.join_response_members();
        }
        self.complete_join(new_id, response, scope.out);
    }

    /// The new id of a static member could not be stored: the old one is the member again.
    pub(crate) fn static_member_refused(&mut self, change: StaticMemberChange, code: ErrorCode, scope: &mut Scope<'_>) {
        let response = JoinGroupResponse {
            error_code: code.code(),
            leader: change.old_leader.as_deref().unwrap_or_default().to_owned(),
            ..self.join_response("")
        };
        if !self.members.contains_key(&change.new_member_id) {
            return;
        }
        self.complete_join(&change.new_member_id, response, scope.out);
        let update = MemberUpdate {
            protocols: change.old_protocols,
            rebalance_timeout_ms: change.old_rebalance_timeout_ms,
            session_timeout_ms: change.old_session_timeout_ms,
            awaiting_join: None,
        };
        self.update_member(&change.new_member_id, update, scope.out);
        scope.timers.cancel(&self.session_key(&change.new_member_id));
        self.replace_static_member(&change.new_member_id, &change.old_member_id, scope.out);
        self.renew_session(&change.old_member_id, scope);
    }
}
