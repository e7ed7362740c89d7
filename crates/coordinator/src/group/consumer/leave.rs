//! How members of consumer groups go: by themselves, because they are silent, or because they do not give up partitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use protocol::types::TimestampMs;
use tracing::info;

use super::member::STATIC_LEAVE_EPOCH;
use super::records;
use super::state::ConsumerGroup;
use crate::effects::Effects;
use crate::error::Refusal;
use crate::group::modern::assignment::MemberState;
use crate::group::timer::TimerKey;
use crate::record::modern::Records;
use crate::shard::GroupShard;

impl GroupShard {
    /// A member says that it goes.
    pub(crate) fn consumer_leave(
        &mut self,
        now_ms: TimestampMs,
        request: &ConsumerGroupHeartbeatRequest,
        records: &mut Records,
        out: &mut Effects,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let group_id = request.group_id.as_str();
        let group = self.existing_consumer_group(group_id)?;
        let member_id = leaving_member(group, &request.member_id, request.instance_id.as_deref())?;
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..Default::default()
        };
        if request.member_epoch == STATIC_LEAVE_EPOCH {
            info!(group_id, %member_id, "static member left for a while");
            let absent = group.members.get(&member_id).map(|member| member.current.of_absent());
            self.record(records::current(group_id, &member_id, absent.as_ref()), records);
        } else {
            info!(group_id, %member_id, "member left");
            self.fence_members(now_ms, group_id, &BTreeSet::from([member_id]), records, out);
        }
        Ok(response)
    }

    /// The session of a member has ended, or it is late with something else.
    pub(crate) fn consumer_member_expired(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        member_id: &Arc<str>,
        reason: &'static str,
        out: &mut Effects,
    ) {
        let group = self.consumer_group(group_id);
        if group.is_none_or(|group| !group.members.contains_key(member_id)) {
            return;
        }
        info!(group_id, %member_id, reason, "fenced a member");
        let mut records = Records::default();
        self.fence_members(now_ms, group_id, &BTreeSet::from([Arc::clone(member_id)]), &mut records, out);
        self.write_records(now_ms, records, None, out);
    }

    /// A member has not given up in time what it was told to.
    pub(crate) fn consumer_rebalance_expired(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        member_id: &Arc<str>,
        out: &mut Effects,
    ) {
        let member = self.consumer_group(group_id).and_then(|group| group.members.get(member_id));
        let is_late = member.is_some_and(|member| {
            member.current.state == MemberState::UnrevokedPartitions && member.current.epoch != STATIC_LEAVE_EPOCH
        });
        if is_late {
            let reason = "it kept partitions that it had to give up";
            self.consumer_member_expired(now_ms, group_id, member_id, reason, out);
        }
    }

    /// Removes members, and gives the group a new epoch. A group that is left with members of the classic protocol only
    /// becomes a classic one.
    pub(crate) fn fence_members(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        member_ids: &BTreeSet<Arc<str>>,
        records: &mut Records,
        out: &mut Effects,
    ) {
        let Some(group) = self.consumer_group(group_id) else { return };
        if member_ids.is_empty() {
            return;
        }
        if self.may_downgrade(group, member_ids) {
            return self.downgrade_without(now_ms, group_id, member_ids, records, out);
        }
        let epoch = group.epoch + 1;
        let members = member_ids.iter().filter_map(|id| group.members.get(id));
        let regexes: BTreeSet<Arc<str>> = members.filter_map(|member| member.metadata.regex().cloned()).collect();
        for member_id in member_ids {
            for record in records::without_member(group_id, member_id) {
                self.record(record, records);
            }
            self.cancel_member_timers(group_id, member_id);
        }
        for regex in regexes {
            self.forget_regex(group_id, Some(&regex), records);
        }
        let hash = self.consumer_metadata_hash(group_id);
        self.record(records::epoch(group_id, epoch, hash), records);
    }

    /// A static member comes back as another member, with what the one before had.
    pub(crate) fn replace_member(
        &mut self,
        group_id: &str,
        old_id: &Arc<str>,
        new_id: &Arc<str>,
        records: &mut Records,
    ) {
        let Some(group) = self.consumer_group(group_id) else { return };
        let Some(old) = group.members.get(old_id).cloned() else { return };
        let target = Arc::clone(group.target.of(old_id));
        info!(group_id, %old_id, %new_id, "replaced a static member");
        for record in records::without_member(group_id, old_id) {
            self.record(record, records);
        }
        self.cancel_member_timers(group_id, old_id);
        let mut current = old.current;
        (current.epoch, current.previous_epoch) = (0, 0);
        self.record(records::member(group_id, new_id, Some(&old.metadata)), records);
        self.record(records::target(group_id, new_id, Some(&target)), records);
        self.record(records::current(group_id, new_id, Some(&current)), records);
    }

    /// Forgets all deadlines of a member.
    pub(crate) fn cancel_member_timers(&mut self, group_id: &str, member_id: &Arc<str>) {
        let group: Arc<str> = group_id.into();
        for key in TimerKey::of_member(&group, member_id) {
            self.timers().cancel(&key);
        }
    }

    /// # Errors
    /// `GroupIdNotFound`, also if it is a group of another type.
    pub(crate) fn existing_consumer_group(&self, group_id: &str) -> Result<&ConsumerGroup, Refusal> {
        if self.group(group_id).is_none() {
            return Err(Refusal::not_found(format!("Group {group_id} not found.")));
        }
        let other = || Refusal::not_found(format!("Group {group_id} is not a consumer group."));
        self.consumer_group(group_id).ok_or_else(other)
    }
}

fn leaving_member(group: &ConsumerGroup, member_id: &str, instance_id: Option<&str>) -> Result<Arc<str>, Refusal> {
    let Some(instance_id) = instance_id else {
        let member = group.members.get(member_id).map(|member| Arc::clone(&member.member_id));
        return member.ok_or_else(|| Refusal::unknown_member(member_id, &group.group_id));
    };
    let Some(member) = group.static_member(instance_id) else {
        let message = format!("Instance id {instance_id} is unknown.");
        return Err(Refusal::new(ErrorCode::UnknownMemberId, message));
    };
    if *member.member_id != *member_id {
        return Err(Refusal::fenced_instance(member_id, instance_id, &member.member_id));
    }
    Ok(Arc::clone(&member.member_id))
}
