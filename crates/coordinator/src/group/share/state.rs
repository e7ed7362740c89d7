//! A share group (KIP-932): members, what each is assigned, and which partitions have their share state set up.
//! It changes only by replaying records, when it is loaded and when a request has written some.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metadata::ClusterImage;
use protocol::Uuid;
use protocol::messages::share_group_describe_response::{
    Assignment as Assigned, DescribedGroup, Member, TopicPartitions,
};
use protocol::messages::share_group_state_partition_metadata_value::TopicPartitionsInfo;
use protocol::messages::{
    ShareGroupCurrentMemberAssignmentValue, ShareGroupMemberMetadataValue, ShareGroupMetadataValue,
    ShareGroupStatePartitionMetadataValue, ShareGroupTargetAssignmentMemberValue,
    ShareGroupTargetAssignmentMetadataValue,
};
use protocol::types::{PartitionIndex, TimestampMs};

use crate::group::modern::assignment::Assignment;

/// Type and protocol type of share groups.
pub(crate) const SHARE: &str = "share";
/// The epoch of a member that leaves, and of an assignment that was deleted.
pub(crate) const LEAVING: i32 = -1;
const EMPTY: &str = "Empty";
const STABLE: &str = "Stable";
/// Name of the assignor.
const SIMPLE: &str = "simple";

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShareMember {
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) assigned: Assignment,
}

impl Default for ShareMember {
    fn default() -> Self {
        Self {
            epoch: 0,
            previous_epoch: -1,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            topics: BTreeSet::new(),
            assigned: Assignment::new(),
        }
    }
}

/// Partitions of a topic whose share state is being set up, or is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicState {
    pub(crate) name: String,
    pub(crate) partitions: BTreeSet<PartitionIndex>,
    /// When it was asked for; 0 if that is not known.
    pub(crate) since_ms: TimestampMs,
}

/// Topics by what is known of their share state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StatePartitions {
    pub(crate) initializing: BTreeMap<Uuid, TopicState>,
    pub(crate) initialized: BTreeMap<Uuid, TopicState>,
    pub(crate) deleting: BTreeSet<Uuid>,
}

impl StatePartitions {
    /// What a record says. When a topic became known is not in it: that is kept of those that `before` has.
    fn new(value: ShareGroupStatePartitionMetadataValue, before: Option<&Self>) -> Self {
        let initializing = value.initializing_topics.into_iter().map(|topic| {
            let known = before.and_then(|before| before.initializing.get(&topic.topic_id));
            topic_state(topic, known.map_or(0, |known| known.since_ms))
        });
        Self {
            initializing: initializing.collect(),
            initialized: value.initialized_topics.into_iter().map(|topic| topic_state(topic, 0)).collect(),
            deleting: value.deleting_topics.into_iter().map(|topic| topic.topic_id).collect(),
        }
    }

    /// The partitions that may be assigned.
    pub(crate) fn assignable(&self) -> Assignment {
        self.initialized.iter().map(|(topic, state)| (*topic, state.partitions.clone())).collect()
    }
}

fn topic_state(topic: TopicPartitionsInfo, since_ms: TimestampMs) -> (Uuid, TopicState) {
    let partitions = topic.partitions.into_iter().collect();
    (topic.topic_id, TopicState { name: topic.topic_name, partitions, since_ms })
}

/// A share group.
#[derive(Debug)]
pub(crate) struct ShareGroup {
    pub(crate) group_id: Arc<str>,
    pub(crate) epoch: i32,
    pub(crate) metadata_hash: i64,
    pub(crate) members: BTreeMap<Arc<str>, ShareMember>,
    pub(crate) target: BTreeMap<Arc<str>, Assignment>,
    pub(crate) target_epoch: i32,
    pub(crate) target_since_ms: TimestampMs,
    /// None until the first partition is set up.
    pub(crate) partitions: Option<StatePartitions>,
    /// Whether `metadata_hash` is that of the topics as they are now.
    pub(crate) metadata_checked: bool,
}

impl ShareGroup {
    /// A group that nothing is known of.
    pub(crate) fn new(group_id: Arc<str>) -> Self {
        Self {
            group_id,
            epoch: 1,
            metadata_hash: 0,
            members: BTreeMap::new(),
            target: BTreeMap::new(),
            target_epoch: 1,
            target_since_ms: 0,
            partitions: None,
            metadata_checked: false,
        }
    }

    /// Its state as clients see it.
    pub(crate) fn state(&self) -> &'static str {
        if self.members.is_empty() { EMPTY } else { STABLE }
    }

    /// The topics that members subscribe to.
    pub(crate) fn subscribed_topics(&self) -> BTreeSet<&str> {
        self.members.values().flat_map(|member| member.topics.iter().map(AsRef::as_ref)).collect()
    }

    /// As ShareGroupDescribe shows it.
    pub(crate) fn describe(&self, image: &ClusterImage) -> DescribedGroup {
        DescribedGroup {
            group_id: self.group_id.to_string(),
            group_state: self.state().to_owned(),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor_name: SIMPLE.to_owned(),
            members: self.members.iter().map(|(id, member)| member.describe(id, image)).collect(),
            ..Default::default()
        }
    }

    /// A member's subscription, or its end.
    pub(crate) fn replay_member(&mut self, member_id: &str, value: Option<ShareGroupMemberMetadataValue>) {
        match value {
            Some(value) => {
                let member = self.members.entry(member_id.into()).or_default();
                member.rack_id = value.rack_id;
                member.client_id = value.client_id;
                member.client_host = value.client_host;
                member.topics = value.subscribed_topic_names.into_iter().map(Arc::from).collect();
            }
            None => {
                self.members.remove(member_id);
            }
        }
    }

    /// The group's epoch.
    pub(crate) fn replay_epoch(&mut self, value: &ShareGroupMetadataValue) {
        self.epoch = value.epoch;
        self.metadata_hash = value.metadata_hash;
    }

    /// What a member is to be assigned, or the end of that.
    pub(crate) fn replay_target(&mut self, member_id: &str, value: Option<ShareGroupTargetAssignmentMemberValue>) {
        match value {
            Some(value) => {
                let topics = value.topic_partitions.into_iter();
                let target = topics.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect();
                self.target.insert(member_id.into(), target);
            }
            None => {
                self.target.remove(member_id);
            }
        }
    }

    /// The epoch that the targets are of.
    pub(crate) fn replay_target_epoch(&mut self, value: Option<&ShareGroupTargetAssignmentMetadataValue>) {
        let (epoch, since) = value.map_or((LEAVING, 0), |value| (value.assignment_epoch, value.assignment_timestamp));
        self.target_epoch = epoch;
        self.target_since_ms = since;
    }

    /// What a member is assigned, or the end of that.
    pub(crate) fn replay_current(&mut self, member_id: &str, value: Option<ShareGroupCurrentMemberAssignmentValue>) {
        match value {
            Some(value) => {
                let member = self.members.entry(member_id.into()).or_default();
                member.epoch = value.member_epoch;
                member.previous_epoch = value.previous_member_epoch;
                let topics = value.assigned_partitions.into_iter();
                member.assigned =
                    topics.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect();
            }
            None => {
                if let Some(member) = self.members.get_mut(member_id) {
                    (member.epoch, member.previous_epoch) = (LEAVING, LEAVING);
                    member.assigned.clear();
                }
            }
        }
    }

    /// Which partitions have share state.
    pub(crate) fn replay_partitions(&mut self, value: Option<ShareGroupStatePartitionMetadataValue>) {
        self.partitions = value.map(|value| StatePartitions::new(value, self.partitions.as_ref()));
    }

    /// Share state of these topics was asked for at `now_ms`.
    pub(crate) fn asked_for(&mut self, now_ms: TimestampMs, topics: impl Iterator<Item = Uuid>) {
        let Some(partitions) = &mut self.partitions else { return };
        for topic in topics {
            if let Some(state) = partitions.initializing.get_mut(&topic) {
                state.since_ms = now_ms;
            }
        }
    }
}

impl ShareMember {
    fn describe(&self, member_id: &str, image: &ClusterImage) -> Member {
        let known = self.assigned.iter().filter_map(|(id, partitions)| Some((image.topic_by_id(*id)?, partitions)));
        let topic_partitions = known.map(|(topic, partitions)| TopicPartitions {
            topic_id: topic.id,
            topic_name: topic.name.to_string(),
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        });
        Member {
            member_id: member_id.to_owned(),
            member_epoch: self.epoch,
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.topics.iter().map(ToString::to_string).collect(),
            assignment: Assigned { topic_partitions: topic_partitions.collect(), ..Default::default() },
            ..Default::default()
        }
    }
}
