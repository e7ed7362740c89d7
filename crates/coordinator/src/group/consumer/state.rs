//! The state of one consumer group. It changes only by records (`replay`); what is counted here follows from the members.
//! A partition has at most one owner: the member that has it or has yet to give it up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use protocol::Uuid;
use protocol::types::{Offset, PartitionIndex, TimestampMs};
use tracing::error;

use super::member::{ConsumerMember, CurrentAssignment, MemberMetadata};
use crate::group::modern::assignment::EpochAssignment;
use crate::group::modern::subscriptions::Subscriptions;
use crate::group::modern::target::TargetAssignment;

/// What a regular expression matched when it was last looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResolvedRegex {
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// The version of the metadata then.
    pub(crate) version: Offset,
    pub(crate) timestamp_ms: TimestampMs,
}

/// Where a group is (`ConsumerGroupState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsumerGroupState {
    /// It has no members.
    Empty,
    /// There is no target for its epoch yet.
    Assigning,
    /// Members are on their way to the target.
    Reconciling,
    /// Every member has its target.
    Stable,
}

impl ConsumerGroupState {
    /// Kafka's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// A group.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    pub(crate) group_id: Arc<str>,
    pub(crate) epoch: i32,
    pub(crate) metadata_hash: i64,
    pub(crate) target: TargetAssignment,
    /// A topic of the group may have changed since its metadata hash was computed.
    pub(crate) metadata_stale: bool,
    /// It has a record of before 4.1 that is to be removed.
    pub(crate) has_partition_metadata: bool,
    pub(crate) members: BTreeMap<Arc<str>, ConsumerMember>,
    /// Member ids by instance id.
    pub(crate) static_members: HashMap<Arc<str>, Arc<str>>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) resolved: BTreeMap<Arc<str>, ResolvedRegex>,
    /// How many members have each expression.
    regexes: BTreeMap<Arc<str>, usize>,
    /// How many members prefer each assignor.
    assignors: BTreeMap<String, usize>,
    /// How many members use the classic protocol.
    pub(crate) classic_members: usize,
    /// How many members support each classic protocol.
    classic_protocols: HashMap<String, usize>,
    /// The epoch of the member that has each partition.
    partition_epochs: HashMap<Uuid, HashMap<PartitionIndex, i32>>,
}

impl ConsumerGroup {
    /// A group without members.
    pub(crate) fn new(group_id: Arc<str>) -> Self {
        Self {
            group_id,
            epoch: 0,
            metadata_hash: 0,
            target: TargetAssignment::default(),
            metadata_stale: true,
            has_partition_metadata: false,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            subscriptions: Subscriptions::default(),
            resolved: BTreeMap::new(),
            regexes: BTreeMap::new(),
            assignors: BTreeMap::new(),
            classic_members: 0,
            classic_protocols: HashMap::new(),
            partition_epochs: HashMap::new(),
        }
    }

    /// Where it is.
    pub(crate) fn state(&self) -> ConsumerGroupState {
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.target.epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(|member| member.current.is_reconciled_to(self.target.epoch)) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// The member of an instance.
    pub(crate) fn static_member(&self, instance_id: &str) -> Option<&ConsumerMember> {
        self.members.get(self.static_members.get(instance_id)?)
    }

    /// The epoch of the member that has the partition.
    pub(crate) fn partition_epoch(&self, topic: Uuid, partition: PartitionIndex) -> Option<i32> {
        self.partition_epochs.get(&topic)?.get(&partition).copied()
    }

    /// How many members have the expression.
    pub(crate) fn members_with_regex(&self, regex: &str) -> usize {
        self.regexes.get(regex).copied().unwrap_or(0)
    }

    /// The expressions of all members.
    pub(crate) fn regexes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.regexes.keys()
    }

    /// The assignor that most members prefer.
    pub(crate) fn preferred_assignor(&self) -> Option<&str> {
        let most = self.assignors.values().max()?;
        self.assignors.iter().find(|(_, count)| *count == most).map(|(name, _)| name.as_str())
    }

    /// Whether all members subscribe to the same topics.
    pub(crate) fn is_homogeneous(&self) -> bool {
        let members = self.members.len();
        match self.regexes.len() {
            0 => self.subscriptions.counts().all(|count| count.by_name == members),
            1 if self.regexes.values().all(|count| *count == members) => {
                self.subscriptions.counts().all(|count| count.by_regex == 1 && count.by_name == 0)
            }
            _ => false,
        }
    }

    /// The topics that a member subscribes to, whether they exist or not.
    pub(crate) fn topics_of<'a>(&'a self, metadata: &'a MemberMetadata) -> impl Iterator<Item = &'a Arc<str>> {
        let matched = metadata.regex().and_then(|regex| self.resolved.get(regex));
        metadata.topics.iter().chain(matched.into_iter().flat_map(|resolved| &resolved.topics))
    }

    /// Whether a member that speaks these classic protocols can be in the group.
    pub(crate) fn supports_classic<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        if self.members.is_empty() {
            return names.next().is_some();
        }
        names.any(|name| self.classic_protocols.get(name).copied().unwrap_or(0) == self.classic_members)
    }

    /// Takes over what a member says of itself; it is added if it is new.
    pub(crate) fn set_metadata(&mut self, member_id: &Arc<str>, metadata: MemberMetadata) {
        let member = self.take_member(member_id);
        let member = member.unwrap_or_else(|| ConsumerMember::new(Arc::clone(member_id)));
        self.put_member(ConsumerMember { metadata, ..member });
    }

    /// Takes over what a member has; it is added if it is new.
    pub(crate) fn set_current(&mut self, member_id: &Arc<str>, current: CurrentAssignment) {
        if let Some(member) = self.members.get_mut(member_id) {
            let before = std::mem::replace(&mut member.current, current);
            remove_epochs(&mut self.partition_epochs, &before);
            add_epochs(&self.group_id, &mut self.partition_epochs, &member.current);
            return;
        }
        self.put_member(ConsumerMember { current, ..ConsumerMember::new(Arc::clone(member_id)) });
    }

    /// Removes a member. Its target stays.
    pub(crate) fn remove_member(&mut self, member_id: &str) {
        if let Some(member) = self.take_member(member_id) {
            let instance = member.metadata.instance_id.as_ref();
            if let Some(instance_id) = instance.filter(|id| self.static_members.get(*id) == Some(&member.member_id)) {
                self.static_members.remove(instance_id);
            }
        }
    }

    /// Takes over what an expression matches.
    pub(crate) fn set_resolved(&mut self, regex: Arc<str>, resolved: ResolvedRegex) {
        self.remove_resolved(&regex);
        self.subscriptions.add_matches(&resolved.topics);
        self.resolved.insert(regex, resolved);
    }

    /// Forgets what an expression matches.
    pub(crate) fn remove_resolved(&mut self, regex: &str) {
        if let Some(resolved) = self.resolved.remove(regex) {
            self.subscriptions.remove_matches(&resolved.topics);
        }
    }

    fn take_member(&mut self, member_id: &str) -> Option<ConsumerMember> {
        let member = self.members.remove(member_id)?;
        let metadata = &member.metadata;
        self.subscriptions.remove_names(&metadata.topics);
        if let Some(regex) = metadata.regex() {
            uncount(&mut self.regexes, regex);
        }
        if let Some(assignor) = &metadata.assignor {
            uncount(&mut self.assignors, assignor);
        }
        if let Some(classic) = &metadata.classic {
            self.classic_members -= 1;
            for (name, _) in &classic.protocols {
                if let Some(count) = self.classic_protocols.get_mut(name) {
                    *count = count.saturating_sub(1);
                }
            }
        }
        remove_epochs(&mut self.partition_epochs, &member.current);
        Some(member)
    }

    fn put_member(&mut self, member: ConsumerMember) {
        let metadata = &member.metadata;
        self.subscriptions.add_names(&metadata.topics);
        if let Some(regex) = metadata.regex() {
            *self.regexes.entry(Arc::clone(regex)).or_default() += 1;
        }
        if let Some(assignor) = &metadata.assignor {
            *self.assignors.entry(assignor.clone()).or_default() += 1;
        }
        if let Some(classic) = &metadata.classic {
            self.classic_members += 1;
            for (name, _) in &classic.protocols {
                *self.classic_protocols.entry(name.clone()).or_default() += 1;
            }
        }
        if let Some(instance_id) = &metadata.instance_id {
            self.static_members.insert(Arc::clone(instance_id), Arc::clone(&member.member_id));
        }
        add_epochs(&self.group_id, &mut self.partition_epochs, &member.current);
        self.members.insert(Arc::clone(&member.member_id), member);
    }
}

fn uncount<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

type PartitionEpochs = HashMap<Uuid, HashMap<PartitionIndex, i32>>;

fn remove_epochs(epochs: &mut PartitionEpochs, current: &CurrentAssignment) {
    for (topic, partitions) in held(current) {
        let Some(owned) = epochs.get_mut(topic) else { continue };
        for partition in partitions.keys() {
            // The partition may be another member's by now, at a later epoch.
            if owned.get(partition) == Some(&current.epoch) {
                owned.remove(partition);
            }
        }
        if owned.is_empty() {
            epochs.remove(topic);
        }
    }
}

fn add_epochs(group_id: &str, epochs: &mut PartitionEpochs, current: &CurrentAssignment) {
    for (topic, partitions) in held(current) {
        let owned = epochs.entry(*topic).or_default();
        for partition in partitions.keys() {
            let before = owned.insert(*partition, current.epoch);
            if let Some(other) = before.filter(|other| *other >= current.epoch) {
                error!(group_id, %topic, partition, other, epoch = current.epoch, "a partition has two owners");
            }
        }
    }
}

fn held(current: &CurrentAssignment) -> impl Iterator<Item = (&Uuid, &BTreeMap<PartitionIndex, i32>)> {
    let both: [&EpochAssignment; 2] = [&current.assigned, &current.revoking];
    both.into_iter().flatten()
}
