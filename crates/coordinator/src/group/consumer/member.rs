//! One member of a consumer group: what it says of itself, and what it has been assigned so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use protocol::messages::consumer_group_current_member_assignment_value::TopicPartitions;
use protocol::messages::consumer_group_member_metadata_value::{ClassicMemberMetadata, ClassicProtocol};
use protocol::messages::{ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue};

use crate::group::modern::assignment::{EpochAssignment, MemberState};

/// The epoch of a member that left.
pub(crate) const LEAVE_EPOCH: i32 = -1;

/// The epoch of a static member that left for a while and keeps its partitions.
pub(crate) const STATIC_LEAVE_EPOCH: i32 = -2;

/// A member of the classic protocol in a consumer group: what it needs beside what every member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassicMember {
    pub(crate) session_timeout_ms: i32,
    /// Name and subscription of each protocol, in the member's order of preference.
    pub(crate) protocols: Vec<(String, Bytes)>,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberMetadata {
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// Empty if the member has taken its expression back.
    pub(crate) regex: Option<Arc<str>>,
    pub(crate) assignor: Option<String>,
    pub(crate) classic: Option<ClassicMember>,
}

impl Default for MemberMetadata {
    fn default() -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            topics: BTreeSet::new(),
            regex: None,
            assignor: None,
            classic: None,
        }
    }
}

impl MemberMetadata {
    /// The regular expression, if there is one.
    pub(crate) fn regex(&self) -> Option<&Arc<str>> {
        self.regex.as_ref().filter(|regex| !regex.is_empty())
    }

    /// As the log has it.
    pub(crate) fn to_value(&self) -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id: self.instance_id.as_deref().map(str::to_owned),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.topics.iter().map(ToString::to_string).collect(),
            subscribed_topic_regex: self.regex.as_deref().map(str::to_owned),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.assignor.clone(),
            classic_member_metadata: self.classic.as_ref().map(|classic| ClassicMemberMetadata {
                session_timeout_ms: classic.session_timeout_ms,
                supported_protocols: classic
                    .protocols
                    .iter()
                    .map(|(name, metadata)| ClassicProtocol {
                        name: name.clone(),
                        metadata: metadata.clone(),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// From the log. Bytes are copied, so that the batch that they were read with is not kept.
    pub(crate) fn from_value(value: ConsumerGroupMemberMetadataValue) -> Self {
        Self {
            instance_id: value.instance_id.map(Arc::from),
            rack_id: value.rack_id,
            client_id: value.client_id,
            client_host: value.client_host,
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            topics: value.subscribed_topic_names.into_iter().map(Arc::from).collect(),
            regex: value.subscribed_topic_regex.map(Arc::from),
            assignor: value.server_assignor,
            classic: value.classic_member_metadata.map(|classic| ClassicMember {
                session_timeout_ms: classic.session_timeout_ms,
                protocols: classic
                    .supported_protocols
                    .into_iter()
                    .map(|protocol| (protocol.name, Bytes::copy_from_slice(&protocol.metadata)))
                    .collect(),
            }),
        }
    }
}

/// What a member has been assigned so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CurrentAssignment {
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) state: MemberState,
    pub(crate) assigned: EpochAssignment,
    /// What it has been told to give up, and may still have.
    pub(crate) revoking: EpochAssignment,
}

impl CurrentAssignment {
    /// Whether the member has reached a target of that epoch.
    pub(crate) fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// Whether the member has the partition, or has yet to give it up; and since which epoch.
    pub(crate) fn epoch_of(&self, topic: protocol::Uuid, partition: i32) -> Option<i32> {
        let of = |assignment: &EpochAssignment| assignment.get(&topic)?.get(&partition).copied();
        of(&self.assigned).or_else(|| of(&self.revoking))
    }

    /// As it is when a static member has left for a while: it keeps its partitions and starts over with them.
    pub(crate) fn of_absent(&self) -> Self {
        let assigned = self.assigned.iter();
        let reset = |partitions: &BTreeMap<i32, i32>| partitions.keys().map(|index| (*index, 0)).collect();
        Self {
            epoch: STATIC_LEAVE_EPOCH,
            assigned: assigned.map(|(topic, partitions)| (*topic, reset(partitions))).collect(),
            revoking: EpochAssignment::new(),
            ..self.clone()
        }
    }

    /// As the log has it.
    pub(crate) fn to_value(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.code(),
            assigned_partitions: to_topic_partitions(&self.assigned),
            partitions_pending_revocation: to_topic_partitions(&self.revoking),
            ..Default::default()
        }
    }

    /// From the log. Partitions without an epoch of their own, as before 4.3, have the member's, which is negative if it left.
    pub(crate) fn from_value(value: &ConsumerGroupCurrentMemberAssignmentValue) -> Self {
        let default_epoch = value.member_epoch.max(0);
        Self {
            epoch: value.member_epoch,
            previous_epoch: value.previous_member_epoch,
            state: MemberState::from_code(value.state),
            assigned: from_topic_partitions(&value.assigned_partitions, default_epoch),
            revoking: from_topic_partitions(&value.partitions_pending_revocation, default_epoch),
        }
    }
}

fn to_topic_partitions(assignment: &EpochAssignment) -> Vec<TopicPartitions> {
    assignment
        .iter()
        .map(|(topic_id, partitions)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
            ..Default::default()
        })
        .collect()
}

fn from_topic_partitions(topics: &[TopicPartitions], default_epoch: i32) -> EpochAssignment {
    let of_topic = |topic: &TopicPartitions| {
        let epochs = topic.assignment_epochs.as_deref().filter(|epochs| epochs.len() == topic.partitions.len());
        let epoch = |at: usize| epochs.map_or(default_epoch, |epochs| epochs[at]);
        topic.partitions.iter().enumerate().map(|(at, index)| (*index, epoch(at))).collect()
    };
    topics.iter().map(|topic| (topic.topic_id, of_topic(topic))).collect()
}

/// A member.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerMember {
    pub(crate) member_id: Arc<str>,
    pub(crate) metadata: MemberMetadata,
    pub(crate) current: CurrentAssignment,
}

impl ConsumerMember {
    /// A member that nothing is known of yet.
    pub(crate) fn new(member_id: Arc<str>) -> Self {
        Self { member_id, metadata: MemberMetadata::default(), current: CurrentAssignment::default() }
    }

    /// The session timeout of a member that uses the classic protocol.
    pub(crate) fn classic_session_timeout_ms(&self) -> Option<i32> {
        self.metadata.classic.as_ref().map(|classic| classic.session_timeout_ms)
    }

    pub(crate) fn uses_classic_protocol(&self) -> bool {
        self.metadata.classic.is_some()
    }
}
