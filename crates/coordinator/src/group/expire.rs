//! Offsets expire after `offsets.retention.minutes`, counted from when the group lost its last member,
//! or from the commit if nobody in the group reads the topic (KIP-211). A group without members and offsets ends.

use std::sync::Arc;

use protocol::types::TimestampMs;
use tracing::info;

use super::Group;
use super::classic::state::{ClassicGroup, GroupState};
use super::delete::{MAX_TOMBSTONES_PER_WRITE, tombstone};
use super::offsets::{CommittedOffset, OffsetKey};
use crate::effects::Effects;
use crate::group::completion::OffsetChange;
use crate::shard::GroupShard;

/// From when on the retention of a group's offsets counts.
#[derive(Debug, Clone, Copy)]
enum RetainedSince {
    /// The group lost its last member then.
    Empty(TimestampMs),
    /// Each offset for itself.
    Commit,
}

impl RetainedSince {
    fn is_expired(self, committed: &CommittedOffset, now_ms: TimestampMs, retention_ms: i64) -> bool {
        if let Some(expire_timestamp_ms) = committed.expire_timestamp_ms {
            return now_ms >= expire_timestamp_ms;
        }
        let since = match self {
            Self::Empty(since) => since,
            Self::Commit => committed.commit_timestamp_ms,
        };
        now_ms.saturating_sub(since) >= retention_ms
    }
}

impl Group {
    fn retained_since(&self) -> Option<RetainedSince> {
        match self {
            Self::Classic(group) => group.retained_since(),
            Self::Consumer(_) | Self::Streams(_) => Some(RetainedSince::Commit),
            Self::Share(_) => None,
        }
    }
}

impl ClassicGroup {
    /// `None` while its offsets are kept whatever their age.
    fn retained_since(&self) -> Option<RetainedSince> {
        if self.protocol_type.is_none() {
            return Some(RetainedSince::Commit);
        }
        if self.is(GroupState::Empty) {
            return Some(self.state_timestamp_ms.map_or(RetainedSince::Commit, RetainedSince::Empty));
        }
        let knows_its_topics = self.uses_consumer_protocol() && self.subscribed_topics.is_some();
        (knows_its_topics && self.is(GroupState::Stable)).then_some(RetainedSince::Commit)
    }
}

impl GroupShard {
    /// Writes tombstones for old offsets and for groups that are left with nothing.
    pub(crate) fn expire_offsets(&mut self, now_ms: TimestampMs, out: &mut Effects) {
        let mut changes = Vec::new();
        let mut ended = Vec::new();
        let mut total = 0;
        for group_id in self.group_ids() {
            let (expired, all) = self.expired_offsets(&group_id, now_ms);
            total += expired.len();
            changes.extend(expired);
            if all && self.group(&group_id).is_none_or(Group::is_empty) {
                ended.extend(self.remove_group(&group_id));
            }
            while changes.len() + ended.len() >= MAX_TOMBSTONES_PER_WRITE {
                let rest = changes.split_off(changes.len().min(MAX_TOMBSTONES_PER_WRITE));
                // Only the last batch of a group's offsets may end the group.
                let ended = if rest.is_empty() { std::mem::take(&mut ended) } else { Vec::new() };
                self.write_offsets(std::mem::replace(&mut changes, rest), ended, None, out);
            }
        }
        if total > 0 || !ended.is_empty() {
            info!(offsets = total, groups = ended.len(), "expired");
        }
        self.write_offsets(changes, ended, None, out);
    }

    /// The tombstones of a group's old offsets, and whether no others are left.
    fn expired_offsets(&self, group_id: &Arc<str>, now_ms: TimestampMs) -> (Vec<OffsetChange>, bool) {
        let Some(group) = self.group(group_id) else { return (Vec::new(), false) };
        if self.pending_writes().offset_changes().any(|change| change.key.group == *group_id) {
            // The next check sees what becomes of them.
            return (Vec::new(), false);
        }
        if matches!(group, Group::Share(_)) {
            // It has no offsets that could expire, and stays when it is empty.
            return (Vec::new(), false);
        }
        let mut all = self.offsets().open_of_group(group_id).next().is_none();
        let Some(offsets) = self.offsets().of_group(group_id) else { return (Vec::new(), all) };
        let Some(since) = group.retained_since() else { return (Vec::new(), false) };
        let retention_ms = self.config().offsets_retention_ms;
        let mut expired = Vec::new();
        for (topic, partitions) in offsets {
            let subscribed = group.is_subscribed_to(topic);
            for (partition, committed) in partitions {
                let expires = !subscribed
                    && since.is_expired(committed, now_ms, retention_ms)
                    && !self.offsets().is_open(group_id, topic, *partition);
                if expires {
                    let (group, topic) = (Arc::clone(group_id), Arc::clone(topic));
                    expired.push(tombstone(OffsetKey { group, topic, partition: *partition }));
                } else {
                    all = false;
                }
            }
        }
        (expired, all)
    }
}
