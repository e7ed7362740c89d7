//! One shard: all groups and offsets of one partition of `__consumer_offsets`. Owned by the broker's shell, behind its lock.
//! Records given out change nothing until the shell calls [`GroupShard::complete_write`], except that a group's members
//! and generation, which the log does not hold while they change, move at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use protocol::ErrorCode;
use protocol::types::{Offset, TimestampMs};
use tracing::{info, warn};

use crate::config::GroupConfig;
use crate::effects::{Effects, GroupResponse, WriteId};
use crate::error::{GroupError, append_error_code};
use crate::group::Group;
use crate::group::classic::rebalance::Scope;
use crate::group::classic::state::ClassicGroup;
use crate::group::completion::{Completion, GroupWrites};
use crate::group::consumer::state::ConsumerGroup;
use crate::group::modern::settings::{Bounded, TypeSettings};
use crate::group::modern::topics::Topics;
use crate::group::offsets::Offsets;
use crate::group::share::state::ShareGroup;
use crate::group::timer::{GroupTimers, TimerKey};
use crate::runtime::pending::PendingWrite;

/// The groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct GroupShard {
    config: GroupConfig,
    groups: HashMap<Arc<str>, Group>,
    topics: Topics,
    offsets: Offsets,
    timers: GroupTimers,
    writes: GroupWrites,
}

impl GroupShard {
    /// A shard that knows of nothing. Its partition's records are then [replayed](Self::replay), and it is
    /// [loaded](Self::loaded).
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: HashMap::new(),
            topics: Topics::default(),
            offsets: Offsets::default(),
            timers: GroupTimers::default(),
            writes: GroupWrites::default(),
        }
    }

    /// When [`GroupShard::tick`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.timers.next_deadline()
    }

    /// Does what is due: sessions, join and sync phases, expiry of offsets.
    pub fn tick(&mut self, now_ms: TimestampMs, out: &mut Effects) {
        while let Some(key) = self.timers.pop_due(now_ms) {
            match key {
                TimerKey::Session { group, member } => {
                    self.in_group(now_ms, &group, out, |group, scope| group.session_expired(&member, scope));
                    self.consumer_member_expired(now_ms, &group, &member, "its session ended", out);
                    self.share_member_expired(now_ms, &group, &member, out);
                    self.streams_session_expired(now_ms, &group, &member, out);
                }
                TimerKey::Join { group } => {
                    self.in_group(now_ms, &group, out, ClassicGroup::join_expired);
                }
                TimerKey::Sync { group } => {
                    self.in_group(now_ms, &group, out, ClassicGroup::sync_expired);
                }
                TimerKey::Rebalance { group, member } => {
                    self.consumer_rebalance_expired(now_ms, &group, &member, out);
                    self.streams_rebalance_expired(now_ms, &group, &member, out);
                }
                TimerKey::MemberJoin { group, member } => {
                    self.consumer_member_expired(now_ms, &group, &member, "it did not join again in time", out);
                }
                TimerKey::MemberSync { group, member } => {
                    self.consumer_member_expired(now_ms, &group, &member, "it did not sync in time", out);
                }
                TimerKey::InitialRebalance { group } => self.streams_delay_over(now_ms, &group, out),
                TimerKey::Expiry => {
                    self.expire_offsets(now_ms, out);
                    self.schedule_expiry(now_ms);
                }
            }
        }
        self.settle(now_ms, out);
    }

    /// A write is committed, its first record being at the offset given, or the partition refused it with an error.
    /// Writes complete in the order in which they were given out, and a refusal is one of all that are in flight:
    /// what came later was decided on what came before. A write that is unknown, or was completed, is ignored.
    pub fn complete_write(
        &mut self,
        now_ms: TimestampMs,
        id: WriteId,
        outcome: Result<Offset, ErrorCode>,
        out: &mut Effects,
    ) {
        self.finish_write(now_ms, id, outcome, out);
        self.settle(now_ms, out);
    }

    /// The partition goes to another broker: everyone who waits is sent there.
    pub fn unload(mut self, out: &mut Effects) {
        let code = GroupError::NotCoordinator.code();
        while let Some(write) = self.writes.take_any() {
            answer(write, Some(code), out);
        }
        for group in self.groups.values_mut() {
            if let Group::Classic(group) = group {
                group.fail_all(code, out);
            }
        }
    }

    pub(crate) fn config(&self) -> &GroupConfig {
        &self.config
    }

    pub(crate) fn writes(&mut self) -> &mut GroupWrites {
        &mut self.writes
    }

    pub(crate) fn pending_writes(&self) -> &GroupWrites {
        &self.writes
    }

    pub(crate) fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    pub(crate) fn offsets_mut(&mut self) -> &mut Offsets {
        &mut self.offsets
    }

    pub(crate) fn timers(&mut self) -> &mut GroupTimers {
        &mut self.timers
    }

    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    pub(crate) fn topics_mut(&mut self) -> &mut Topics {
        &mut self.topics
    }

    pub(crate) fn group(&self, group_id: &str) -> Option<&Group> {
        self.groups.get(group_id)
    }

    pub(crate) fn group_mut(&mut self, group_id: &str) -> Option<&mut Group> {
        self.groups.get_mut(group_id)
    }

    pub(crate) fn groups_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.groups.values_mut()
    }

    /// The classic group of an id.
    pub(crate) fn classic_group(&self, group_id: &str) -> Option<&ClassicGroup> {
        match self.groups.get(group_id)? {
            Group::Classic(group) => Some(group),
            Group::Consumer(_) | Group::Share(_) | Group::Streams(_) => None,
        }
    }

    /// The consumer group of an id.
    pub(crate) fn consumer_group(&self, group_id: &str) -> Option<&ConsumerGroup> {
        match self.groups.get(group_id)? {
            Group::Consumer(group) => Some(group),
            Group::Classic(_) | Group::Share(_) | Group::Streams(_) => None,
        }
    }

    /// The consumer group of an id.
    pub(crate) fn consumer_group_mut(&mut self, group_id: &str) -> Option<&mut ConsumerGroup> {
        match self.groups.get_mut(group_id)? {
            Group::Consumer(group) => Some(group),
            Group::Classic(_) | Group::Share(_) | Group::Streams(_) => None,
        }
    }

    /// The share group of an id.
    pub(crate) fn share_group(&self, group_id: &str) -> Option<&ShareGroup> {
        match self.groups.get(group_id)? {
            Group::Share(group) => Some(group),
            Group::Classic(_) | Group::Consumer(_) | Group::Streams(_) => None,
        }
    }

    /// The hash of what a consumer group reads, as the cluster has it now.
    pub(crate) fn consumer_metadata_hash(&mut self, group_id: &str) -> i64 {
        match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => self.topics.metadata_hash(group.subscriptions.names()),
            Some(Group::Classic(_) | Group::Share(_) | Group::Streams(_)) | None => 0,
        }
    }

    /// What holds for a consumer group: what is configured for it as `consumer.<name>`, else for all.
    pub(crate) fn consumer_setting(
        &self,
        group_id: &str,
        setting: impl FnOnce(&TypeSettings) -> Bounded,
        name: &str,
    ) -> i32 {
        let configs = self.topics.group_configs(group_id);
        setting(&self.config.consumer).of(configs, &format!("consumer.{name}"))
    }

    pub(crate) fn has_group(&self, group_id: &str) -> bool {
        self.groups.contains_key(group_id)
    }

    pub(crate) fn insert_group(&mut self, group: Group) {
        self.groups.insert(Arc::clone(group.group_id()), group);
    }

    /// Takes a group out for a moment; its deadlines stay.
    pub(crate) fn take_group(&mut self, group_id: &str) -> Option<Group> {
        self.groups.remove(group_id)
    }

    /// Takes a group out, with its deadlines.
    pub(crate) fn remove_group(&mut self, group_id: &str) -> Option<Group> {
        let group = self.groups.remove(group_id)?;
        group.cancel_timers(&mut self.timers);
        Some(group)
    }

    /// The ids of all groups, sorted, so that what is made of them does not depend on chance.
    pub(crate) fn group_ids(&self) -> Vec<Arc<str>> {
        let mut ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn schedule_expiry(&mut self, now_ms: TimestampMs) {
        self.timers.schedule(TimerKey::Expiry, now_ms.saturating_add(self.config.offsets_retention_check_interval_ms));
    }

    /// Lets a classic group handle an event. `None` if there is no such group.
    pub(crate) fn in_group<T>(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        out: &mut Effects,
        event: impl FnOnce(&mut ClassicGroup, &mut Scope<'_>) -> T,
    ) -> Option<T> {
        let Some(Group::Classic(group)) = self.groups.get_mut(group_id) else { return None };
        let mut scope = Scope { now_ms, config: &self.config, timers: &mut self.timers, writes: &mut self.writes, out };
        Some(event(group, &mut scope))
    }

    /// Completes the writes that could not be given out.
    pub(crate) fn settle(&mut self, now_ms: TimestampMs, out: &mut Effects) {
        while let Some(id) = self.writes.next_unwritable() {
            self.finish_write(now_ms, id, Err(ErrorCode::UnknownServerError), out);
        }
    }

    fn finish_write(
        &mut self,
        now_ms: TimestampMs,
        id: WriteId,
        outcome: Result<Offset, ErrorCode>,
        out: &mut Effects,
    ) {
        let Some(mut write) = self.writes.take(id) else { return };
        let completion = std::mem::replace(&mut write.completion, Completion::done());
        let failed = match outcome {
            Ok(base_offset) => {
                self.committed(now_ms, completion, base_offset, out);
                None
            }
            Err(error) => {
                let code = append_error_code(error);
                warn!(%error, "could not store coordinator records");
                self.refused(now_ms, (id, completion), code, out);
                Some(code)
            }
        };
        answer(write, failed, out);
    }

    /// Whether the group that a write was made for is still there. One that was deleted and made again has another id in
    /// memory, and counts its generations anew.
    fn is_still(&self, group_id: &Arc<str>) -> bool {
        self.group(group_id).is_some_and(|group| Arc::ptr_eq(group.group_id(), group_id))
    }

    fn committed(&mut self, now_ms: TimestampMs, completion: Completion, base_offset: Offset, out: &mut Effects) {
        match completion {
            Completion::NewGroup { .. } | Completion::EmptyGeneration { .. } | Completion::Replayed => {}
            Completion::StaticMember(change) => {
                let group_id = Arc::clone(&change.group_id);
                self.in_group(now_ms, &group_id, out, |group, scope| group.static_member_stored(&change, scope));
            }
            Completion::Assignment { group_id, .. } if !self.is_still(&group_id) => {}
            Completion::Assignment { group_id, generation, assignments } => {
                self.in_group(now_ms, &group_id, out, |group, scope| {
                    group.assignment_stored(generation, assignments, scope);
                });
            }
            Completion::Offsets { changes, deleted } => {
                for (change, record_offset) in changes.into_iter().zip(base_offset..) {
                    self.apply_offset(now_ms, change, record_offset);
                }
                for group in deleted {
                    info!(group_id = %group.group_id(), "deleted group");
                }
            }
            Completion::TransactionalOffsets { producer_id, changes } => {
                for (change, record_offset) in changes.into_iter().zip(base_offset..) {
                    self.replay_offset(now_ms, record_offset, Some(producer_id), change);
                }
            }
        }
    }

    fn refused(
        &mut self,
        now_ms: TimestampMs,
        (id, completion): (WriteId, Completion),
        code: ErrorCode,
        out: &mut Effects,
    ) {
        match completion {
            Completion::NewGroup { group_id } => {
                // Meanwhile the group may have been deleted and made again.
                if self.classic_group(&group_id).is_none_or(|group| group.creation != Some(id)) {
                    return;
                }
                if let Some(Group::Classic(mut group)) = self.remove_group(&group_id) {
                    group.fail_all(code, out);
                }
                if self.offsets.of_group(&group_id).is_some() {
                    // Offsets that were committed meanwhile make a group of their own.
                    self.insert_group(Group::Classic(ClassicGroup::new(group_id, now_ms)));
                }
            }
            // The generation of before is in the log; its members are gone, so their sessions would end after a restart.
            Completion::EmptyGeneration { group_id } => warn!(%group_id, "could not store an empty generation"),
            Completion::StaticMember(change) => {
                let group_id = Arc::clone(&change.group_id);
                self.in_group(now_ms, &group_id, out, |group, scope| group.static_member_refused(*change, code, scope));
            }
            Completion::Assignment { group_id, .. } if !self.is_still(&group_id) => {}
            Completion::Assignment { group_id, generation, .. } => {
                self.in_group(now_ms, &group_id, out, |group, scope| group.assignment_refused(generation, code, scope));
            }
            Completion::TransactionalOffsets { .. } => {}
            Completion::Offsets { deleted, .. } => deleted.into_iter().for_each(|group| self.undelete(group)),
            // The state is ahead of the log.
            Completion::Replayed => out.reload = true,
        }
    }

    fn undelete(&mut self, mut group: Group) {
        if let Group::Classic(group) = &mut group {
            // Their deadlines are gone, so the members that were to come back with an id start over.
            group.pending_joins.clear();
        }
        match self.groups.entry(Arc::clone(group.group_id())) {
            Entry::Occupied(mut again) => {
                if let Group::Classic(again) = again.get_mut() {
                    // Made again meanwhile, and stored as the group of before.
                    again.creation = None;
                }
            }
            Entry::Vacant(place) => {
                place.insert(group);
            }
        }
    }
}

fn answer(write: PendingWrite<Completion, GroupResponse>, failed: Option<ErrorCode>, out: &mut Effects) {
    for (token, response) in write.replies {
        let response = match failed {
            Some(code) => response.into_error(code),
            None => response,
        };
        out.reply(token, response);
    }
}
