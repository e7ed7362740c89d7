//! Small things that consumer groups need of their shard.

use std::sync::Arc;

use protocol::types::TimestampMs;
use tracing::info;

use super::member::STATIC_LEAVE_EPOCH;
use crate::group::Group;
use crate::group::modern::assignment::MemberState;
use crate::group::timer::TimerKey;
use crate::record;
use crate::record::modern::Records;
use crate::shard::GroupShard;

impl GroupShard {
    /// Expects the next heartbeat of a member within its session timeout.
    pub(crate) fn expect_heartbeat(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        member_id: &Arc<str>,
        timeout_ms: i32,
    ) {
        let Some(group) = self.group(group_id).map(|group| Arc::clone(group.group_id())) else { return };
        let key = TimerKey::Session { group, member: Arc::clone(member_id) };
        self.timers().schedule(key, now_ms.saturating_add(i64::from(timeout_ms)));
    }

    /// A classic group without members makes way for a group of another type. Its offsets stay.
    pub(crate) fn remove_empty_classic_group(&mut self, group_id: &str, records: &mut Records) {
        if self.classic_group(group_id).is_some_and(|group| group.is_empty()) {
            info!(group_id, "an empty classic group makes way");
            self.remove_group(group_id);
            records.push(record::group_tombstone(group_id));
        }
    }

    /// A consumer group without members makes way for a group of another type. Its offsets stay.
    pub(crate) fn remove_empty_consumer_group(&mut self, group_id: &str, records: &mut Records) {
        let group = self.consumer_group(group_id).filter(|group| group.members.is_empty());
        let Some(ends) = group.map(super::records::without_group) else { return };
        info!(group_id, "an empty consumer group makes way");
        for record in ends {
            self.record(record, records);
        }
    }

    /// A consumer group was loaded: its members have their timeouts from now on.
    pub(crate) fn consumer_group_loaded(&mut self, now_ms: TimestampMs, group_id: &str) {
        let session_ms = self.consumer_setting(group_id, |settings| settings.session_timeout_ms, "session.timeout.ms");
        let Some(Group::Consumer(group)) = self.group(group_id) else { return };
        info!(group_id, members = group.members.len(), "loaded consumer group");
        let group_id = Arc::clone(&group.group_id);
        let mut timers = Vec::new();
        for member in group.members.values() {
            let session = TimerKey::Session { group: Arc::clone(&group_id), member: Arc::clone(&member.member_id) };
            timers.push((session, session_ms));
            let revokes = member.current.state == MemberState::UnrevokedPartitions;
            if revokes && member.current.epoch != STATIC_LEAVE_EPOCH {
                let key = TimerKey::Rebalance { group: Arc::clone(&group_id), member: Arc::clone(&member.member_id) };
                timers.push((key, member.metadata.rebalance_timeout_ms));
            }
        }
        for (key, timeout_ms) in timers {
            self.timers().schedule(key, now_ms.saturating_add(i64::from(timeout_ms)));
        }
    }
}
