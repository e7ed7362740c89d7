//! The target assignment of a consumer group, by the assignor that most of its members prefer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::Uuid;
use protocol::types::TimestampMs;
use tracing::info;

use super::records;
use super::state::ConsumerGroup;
use crate::group::assignor::{Assignor, GroupSpec, MemberSpec};
use crate::group::modern::topics::Topics;
use crate::record::modern::{GroupRecord, Records};
use crate::shard::GroupShard;

impl GroupShard {
    /// Computes a target for the group's epoch, unless there is one or the last one is too young to be replaced.
    pub(crate) fn update_target(&mut self, now_ms: TimestampMs, group_id: &str, records: &mut Records) {
        let interval_ms =
            self.consumer_setting(group_id, |settings| settings.assignment_interval_ms, "assignment.interval.ms");
        let Some(group) = self.consumer_group(group_id) else { return };
        if group.target.epoch >= group.epoch || !group.target.may_be_replaced(now_ms, interval_ms) {
            return;
        }
        let assignor = group.preferred_assignor().and_then(Assignor::of_name);
        let assignor = assignor.unwrap_or_else(|| self.config().consumer_default_assignor());
        let changed = new_targets(group, self.topics(), assignor);
        info!(group_id, epoch = group.epoch, assignor = assignor.name(), changed = changed.len(), "assigned a group");
        let epoch = records::target_epoch(group_id, group.epoch, now_ms);
        for record in changed {
            self.record(record, records);
        }
        self.record(epoch, records);
    }
}

/// The records of members whose targets change.
fn new_targets(group: &ConsumerGroup, topics: &Topics, assignor: Assignor) -> Vec<GroupRecord> {
    let members: Vec<_> = group.members.values().collect();
    let mut subscriptions = Subscriptions::default();
    let specs: Vec<MemberSpec<'_>> = members
        .iter()
        .map(|member| MemberSpec {
            member_id: &member.member_id,
            instance_id: member.metadata.instance_id.as_deref(),
            topics: subscriptions.ids(group, topics, member),
            assigned: group.target.of(&member.member_id),
        })
        .collect();
    let all: BTreeSet<Uuid> = specs.iter().flat_map(|member| member.topics.iter().copied()).collect();
    let partitions = all.into_iter().map(|id| (id, topics.partition_count(id))).collect();
    let spec = GroupSpec { members: specs, partitions, homogeneous: group.is_homogeneous() };
    let targets = assignor.assign(&spec);
    members
        .into_iter()
        .zip(targets)
        .filter(|(member, target)| group.target.get(&member.member_id).is_none_or(|before| **before != *target))
        .map(|(member, target)| records::target(&group.group_id, &member.member_id, Some(&target)))
        .collect()
}

/// What a member says: the topics that it names, and its regular expression.
type Subscription<'a> = (&'a BTreeSet<Arc<str>>, Option<&'a Arc<str>>);

/// The ids of the topics that members subscribe to; members that say the same share them.
#[derive(Default)]
struct Subscriptions<'a> {
    known: BTreeMap<Subscription<'a>, Arc<BTreeSet<Uuid>>>,
}

impl<'a> Subscriptions<'a> {
    fn ids(
        &mut self,
        group: &'a ConsumerGroup,
        topics: &Topics,
        member: &'a super::member::ConsumerMember,
    ) -> Arc<BTreeSet<Uuid>> {
        let metadata = &member.metadata;
        let ids = self.known.entry((&metadata.topics, metadata.regex()));
        Arc::clone(ids.or_insert_with(|| Arc::new(topics.ids(group.topics_of(metadata)))))
    }
}
