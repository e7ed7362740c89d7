//! How a classic group moves from one generation to the next: members join, then sync, and what ends either phase.
//! Functions that may write give the write's id back, so that an answer can be made to wait for it.

use std::sync::Arc;

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::messages::SyncGroupResponse;
use protocol::types::TimestampMs;
use tracing::{debug, info, warn};

use super::state::{ClassicGroup, GroupState, InitialJoin};
use crate::config::GroupConfig;
use crate::effects::{Effects, WriteId};
use crate::error::GroupError;
use crate::group::completion::{Completion, GroupWrites};
use crate::group::timer::{GroupTimers, TimerKey};
use crate::record;

/// What a group needs of its shard while it handles one event.
pub(crate) struct Scope<'a> {
    pub(crate) now_ms: TimestampMs,
    pub(crate) config: &'a GroupConfig,
    pub(crate) timers: &'a mut GroupTimers,
    pub(crate) writes: &'a mut GroupWrites,
    pub(crate) out: &'a mut Effects,
}

impl Scope<'_> {
    fn after(&self, delay_ms: i32) -> TimestampMs {
        self.now_ms.saturating_add(i64::from(delay_ms))
    }
}

impl ClassicGroup {
    pub(crate) fn session_key(&self, member_id: &Arc<str>) -> TimerKey {
        TimerKey::Session { group: Arc::clone(&self.group_id), member: Arc::clone(member_id) }
    }

    pub(crate) fn join_key(&self) -> TimerKey {
        TimerKey::Join { group: Arc::clone(&self.group_id) }
    }

    pub(crate) fn sync_key(&self) -> TimerKey {
        TimerKey::Sync { group: Arc::clone(&self.group_id) }
    }

    /// Expects the member's next heartbeat within its session timeout.
    pub(crate) fn renew_session(&self, member_id: &str, scope: &mut Scope<'_>) {
        if let Some(member) = self.members.get(member_id) {
            let deadline = scope.after(member.session_timeout_ms);
            scope.timers.schedule(self.session_key(&member.member_id), deadline);
        }
    }

    /// Expects to hear of a member within `timeout_ms`.
    pub(crate) fn expect_member(&self, member_id: &Arc<str>, timeout_ms: i32, scope: &mut Scope<'_>) {
        let deadline = scope.after(timeout_ms);
        scope.timers.schedule(self.session_key(member_id), deadline);
    }

    /// Removes a member and its deadline.
    pub(crate) fn drop_member(&mut self, member_id: &Arc<str>, scope: &mut Scope<'_>) {
        scope.timers.cancel(&self.session_key(member_id));
        self.remove(member_id, scope.out);
    }

    /// Forgets all deadlines of a group that ends.
    pub(crate) fn cancel_timers(&self, timers: &mut GroupTimers) {
        for member_id in self.members.keys().chain(&self.pending_joins) {
            timers.cancel(&self.session_key(member_id));
        }
        timers.cancel(&self.join_key());
        timers.cancel(&self.sync_key());
    }

    /// A member came, changed or went: rebalances, or ends the join phase if that is all it waited for.
    pub(crate) fn rebalance_or_complete_join(&mut self, reason: &str, scope: &mut Scope<'_>) -> Option<WriteId> {
        match self.state {
            GroupState::Empty | GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance(reason, scope)
            }
            GroupState::PreparingRebalance => self.try_complete_join(scope),
        }
    }

    /// Starts a join phase.
    pub(crate) fn prepare_rebalance(&mut self, reason: &str, scope: &mut Scope<'_>) -> Option<WriteId> {
        if self.is(GroupState::CompletingRebalance) {
            self.reset_assignments(GroupError::RebalanceInProgress.code(), scope);
        }
        self.pending_syncs.clear();
        scope.timers.cancel(&self.sync_key());
        let initial = self.is(GroupState::Empty);
        self.transition_to(GroupState::PreparingRebalance, scope.now_ms);
        info!(group_id = %self.group_id, generation = self.generation, reason, "prepared to rebalance");
        if initial {
            let delay_ms = scope.config.initial_rebalance_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.delay_initial_join(InitialJoin { delay_ms, remaining_ms }, scope);
            return None;
        }
        if self.has_all_members_joined() {
            return self.complete_join_phase(scope);
        }
        let deadline = scope.after(self.rebalance_timeout_ms());
        scope.timers.schedule(self.join_key(), deadline);
        None
    }

    fn delay_initial_join(&mut self, delay: InitialJoin, scope: &mut Scope<'_>) {
        let deadline = scope.after(delay.delay_ms);
        scope.timers.schedule(self.join_key(), deadline);
        self.initial_join = Some(delay);
    }

    /// Ends the join phase if everyone has joined. The first rebalance of a group waits for its delay instead.
    pub(crate) fn try_complete_join(&mut self, scope: &mut Scope<'_>) -> Option<WriteId> {
        let may_complete = self.is(GroupState::PreparingRebalance)
            && self.previous_state != Some(GroupState::Empty)
            && self.has_all_members_joined();
        if may_complete { self.complete_join_phase(scope) } else { None }
    }

    /// The deadline of the join phase has passed.
    pub(crate) fn join_expired(&mut self, scope: &mut Scope<'_>) -> Option<WriteId> {
        if !self.is(GroupState::PreparingRebalance) {
            return None;
        }
        let delay = self.initial_join.take();
        if let Some(delay) = delay.filter(|delay| self.new_member_added && delay.remaining_ms != 0) {
            self.new_member_added = false;
            let next = InitialJoin {
                delay_ms: scope.config.initial_rebalance_delay_ms.min(delay.remaining_ms),
                remaining_ms: delay.remaining_ms.saturating_sub(delay.delay_ms).max(0),
            };
            self.delay_initial_join(next, scope);
            return None;
        }
        self.complete_join_phase(scope)
    }

    /// Ends the join phase with whoever has joined.
    pub(crate) fn complete_join_phase(&mut self, scope: &mut Scope<'_>) -> Option<WriteId> {
        scope.timers.cancel(&self.join_key());
        self.initial_join = None;
        let absent: Vec<Arc<str>> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && !member.is_static())
            .map(|member| Arc::clone(&member.member_id))
            .collect();
        for member_id in &absent {
            self.drop_member(member_id, scope);
        }
        if !absent.is_empty() {
            info!(group_id = %self.group_id, members = ?absent, "removed members that did not rejoin");
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only static members are left and none has rejoined: their sessions decide.
            warn!(group_id = %self.group_id, "no member rejoined, the rebalance goes on");
            let deadline = scope.after(self.rebalance_timeout_ms());
            scope.timers.schedule(self.join_key(), deadline);
            return None;
        }
        self.init_next_generation(scope.now_ms);
        info!(
            group_id = %self.group_id, generation = self.generation, members = self.members.len(), "started a generation"
        );
        if self.is(GroupState::Empty) {
            let records = record::group_metadata(self, |_| Bytes::new()).map(|record| vec![record]);
            let completion = Completion::EmptyGeneration { group_id: Arc::clone(&self.group_id) };
            return Some(scope.writes.start(records, completion, scope.out));
        }
        self.answer_joins(scope);
        None
    }

    fn answer_joins(&mut self, scope: &mut Scope<'_>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in ids {
            let mut response = self.join_response(&member_id);
            if self.is_leader(&member_id) {
                response.members = self.join_response_members();
            }
            self.complete_join(&member_id, response, scope.out);
            self.renew_session(&member_id, scope);
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
            }
            self.pending_syncs.insert(member_id);
        }
        let deadline = scope.after(self.rebalance_timeout_ms());
        scope.timers.schedule(self.sync_key(), deadline);
    }

    /// Members that have not synced in time are out.
    pub(crate) fn sync_expired(&mut self, scope: &mut Scope<'_>) -> Option<WriteId> {
        let in_generation = self.is(GroupState::CompletingRebalance) || self.is(GroupState::Stable);
        if !in_generation || self.pending_syncs.is_empty() {
            return None;
        }
        let late = std::mem::take(&mut self.pending_syncs);
        for member_id in &late {
            self.drop_member(member_id, scope);
        }
        self.prepare_rebalance(&format!("removing {late:?} on pending sync request expiration"), scope)
    }

    /// A member was silent for its session timeout, or did not come back with the id that it was given.
    pub(crate) fn session_expired(&mut self, member_id: &Arc<str>, scope: &mut Scope<'_>) -> Option<WriteId> {
        if self.pending_joins.contains(member_id) {
            info!(group_id = %self.group_id, %member_id, "pending member expired");
            self.remove(member_id, scope.out);
            return self.complete_join_without_missing(scope);
        }
        let member = self.members.get(member_id)?;
        if member.has_satisfied_heartbeat() {
            debug!(group_id = %self.group_id, %member_id, "session of a waiting member did not expire");
            return None;
        }
        info!(group_id = %self.group_id, %member_id, "member failed");
        self.remove(member_id, scope.out);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.rebalance_or_complete_join(&format!("removing member {member_id} on heartbeat expiration"), scope)
            }
            GroupState::PreparingRebalance => self.complete_join_without_missing(scope),
            GroupState::Empty => None,
        }
    }

    /// Ends the join phase if the one who is gone was all it waited for, the first rebalance of the group included.
    fn complete_join_without_missing(&mut self, scope: &mut Scope<'_>) -> Option<WriteId> {
        if self.is(GroupState::PreparingRebalance) && self.has_all_members_joined() {
            return self.complete_join_phase(scope);
        }
        None
    }

    /// Takes all assignments back and tells those who wait for theirs why.
    pub(crate) fn reset_assignments(&mut self, error: ErrorCode, scope: &mut Scope<'_>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in ids {
            if let Some(member) = self.members.get_mut(&member_id) {
                member.assignment = Bytes::new();
            }
            let response = SyncGroupResponse { error_code: error.code(), ..Default::default() };
            if self.complete_sync(&member_id, response, scope.out) {
                self.renew_session(&member_id, scope);
            }
        }
    }
}
