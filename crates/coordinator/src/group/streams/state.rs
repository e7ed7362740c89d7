//! One streams group. Its state changes by records only, except what the log does not hold: the topology as it was put on
//! the topics that exist, who asked for a shutdown, and the epoch of the endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::messages::streams_group_describe_response::DescribedGroup;
use protocol::messages::{
    StreamsGroupCurrentMemberAssignmentValue, StreamsGroupMemberMetadataValue, StreamsGroupMetadataValue,
    StreamsGroupTargetAssignmentMemberValue, StreamsGroupTopologyValue,
};
use protocol::types::TimestampMs;
use tracing::warn;

use super::configured::ConfiguredTopology;
use super::error::StreamsError;
use super::member::StreamsMember;
use super::owners::TaskOwners;
use super::tasks::{self, Tasks};
use super::topology::Topology;

/// The epoch of a group that was just made, and of its target assignment.
const INITIAL_EPOCH: i32 = 1;

/// The epoch of a target assignment that was deleted.
const NO_ASSIGNMENT_EPOCH: i32 = -1;

/// The states of a streams group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamsState {
    /// It has no members.
    Empty,
    /// Its topology does not fit the topics that exist.
    NotReady,
    /// It has no target assignment of its epoch.
    Assigning,
    /// Members are on their way to the target.
    Reconciling,
    /// All members have what they are to have.
    Stable,
}

impl StreamsState {
    /// Its name as Kafka prints it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::NotReady => "NotReady",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }

    /// Its name as a filter of ListGroups, in lower case, names it.
    pub(crate) fn filter_name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotReady => "not_ready",
            Self::Assigning => "assigning",
            Self::Reconciling => "reconciling",
            Self::Stable => "stable",
        }
    }
}

/// A streams group.
#[derive(Debug)]
pub(crate) struct StreamsGroup {
    pub(crate) group_id: Arc<str>,
    pub(crate) epoch: i32,
    pub(crate) metadata_hash: i64,
    /// The epoch of the topology that the topics were found to fit.
    pub(crate) validated_topology_epoch: i32,
    /// What the target assignment was made with.
    pub(crate) last_assignment_configs: BTreeMap<String, String>,
    pub(crate) assignment_epoch: i32,
    pub(crate) assignment_timestamp_ms: TimestampMs,
    pub(crate) topology: Option<Topology>,
    /// Not in the log: made again after loading.
    pub(crate) configured: Option<ConfiguredTopology>,
    /// Not in the log: topics changed, so the metadata hash is to be computed again.
    pub(crate) must_refresh_metadata: bool,
    /// Not in the log: the member that asked all to stop.
    pub(crate) shutdown_requested_by: Option<Arc<str>>,
    /// Not in the log: rises when a member with an endpoint gets other tasks.
    pub(crate) endpoint_epoch: i32,
    members: BTreeMap<Arc<str>, StreamsMember>,
    targets: BTreeMap<Arc<str>, Tasks>,
    owners: TaskOwners,
}

impl StreamsGroup {
    /// A group without members.
    pub(crate) fn new(group_id: Arc<str>) -> Self {
        Self {
            group_id,
            epoch: INITIAL_EPOCH,
            metadata_hash: 0,
            validated_topology_epoch: 0,
            last_assignment_configs: BTreeMap::new(),
            assignment_epoch: INITIAL_EPOCH,
            assignment_timestamp_ms: 0,
            topology: None,
            configured: None,
            must_refresh_metadata: true,
            shutdown_requested_by: None,
            endpoint_epoch: 0,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            owners: TaskOwners::default(),
        }
    }

    /// The state that it is in.
    pub(crate) fn state(&self) -> StreamsState {
        let is_validated =
            self.topology.as_ref().is_some_and(|topology| topology.epoch == self.validated_topology_epoch);
        if self.members.is_empty() {
            StreamsState::Empty
        } else if !is_validated {
            StreamsState::NotReady
        } else if self.epoch > self.assignment_epoch {
            StreamsState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.assignment_epoch)) {
            StreamsState::Stable
        } else {
            StreamsState::Reconciling
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All members in the order of their ids.
    pub(crate) fn members(&self) -> impl ExactSizeIterator<Item = &StreamsMember> {
        self.members.values()
    }

    /// The member of an id, if there is one.
    pub(crate) fn member(&self, member_id: &str) -> Option<&StreamsMember> {
        self.members.get(member_id)
    }

    /// The member of an id.
    ///
    /// # Errors
    /// [`StreamsError::UnknownMember`] if there is none.
    pub(crate) fn known_member(&self, member_id: &str) -> Result<&StreamsMember, StreamsError> {
        self.member(member_id).ok_or_else(|| StreamsError::UnknownMember {
            member: member_id.to_owned(),
            group: self.group_id.to_string(),
        })
    }

    /// What a member is to have, if that was decided.
    pub(crate) fn target(&self, member_id: &str) -> Option<&Tasks> {
        self.targets.get(member_id)
    }

    /// Which process has which task.
    pub(crate) fn owners(&self) -> &TaskOwners {
        &self.owners
    }

    /// Whether a member reads the topic, so that its offsets may not be deleted.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        !self.is_empty() && self.topology.as_ref().is_some_and(|topology| topology.reader_of(topic).is_some())
    }

    /// Whether its topology names one of the topics.
    pub(crate) fn names_any(&self, topics: &BTreeSet<Arc<str>>) -> bool {
        self.topology.as_ref().is_some_and(|topology| !topology.required_topics().is_disjoint(topics))
    }

    /// A member asks all to stop. The first that asks is named until the group is empty.
    pub(crate) fn request_shutdown(&mut self, member_id: &Arc<str>) {
        self.shutdown_requested_by.get_or_insert_with(|| Arc::clone(member_id));
    }

    /// For StreamsGroupDescribe.
    pub(crate) fn described(&self) -> DescribedGroup {
        let configured = self.configured.as_ref().filter(|configured| configured.is_ready());
        let topology =
            configured.map(ConfiguredTopology::described).or_else(|| self.topology.as_ref().map(Topology::described));
        DescribedGroup {
            group_id: self.group_id.to_string(),
            group_state: self.state().name().to_owned(),
            group_epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            topology,
            members: self.members().map(|member| member.described(self.target(&member.member_id))).collect(),
            ..Default::default()
        }
    }

    /// Takes over the group's epoch and what it was made of.
    pub(crate) fn replay_metadata(&mut self, value: StreamsGroupMetadataValue) {
        self.epoch = value.epoch;
        self.metadata_hash = value.metadata_hash;
        self.validated_topology_epoch = value.validated_topology_epoch;
        let configs = value.last_assignment_configs.unwrap_or_default();
        self.last_assignment_configs = configs.into_iter().map(|config| (config.key, config.value)).collect();
    }

    /// Takes over the topology, or its end.
    pub(crate) fn replay_topology(&mut self, value: Option<&StreamsGroupTopologyValue>) {
        self.topology = value.and_then(|value| {
            Topology::from_record(value)
                .inspect_err(|error| warn!(group_id = %self.group_id, ?error, "left a broken topology alone"))
                .ok()
        });
        self.must_refresh_metadata = true;
    }

    /// Takes over a member's metadata, or its end.
    pub(crate) fn replay_member(&mut self, member_id: Arc<str>, value: Option<StreamsGroupMemberMetadataValue>) {
        match value {
            Some(value) => self.change_member(member_id, |member| member.replay_metadata(value)),
            None => {
                if let Some(member) = self.members.remove(&member_id) {
                    self.owners.remove(&member);
                }
                if self.members.is_empty() {
                    self.shutdown_requested_by = None;
                }
            }
        }
    }

    /// Takes over what a member has, or that it has nothing more.
    pub(crate) fn replay_current_assignment(
        &mut self,
        member_id: Arc<str>,
        value: Option<&StreamsGroupCurrentMemberAssignmentValue>,
    ) {
        match value {
            Some(value) => self.change_member(member_id, |member| member.replay_assignment(value)),
            None if self.members.contains_key(&member_id) => {
                self.change_member(member_id, StreamsMember::replay_no_assignment);
            }
            None => {}
        }
    }

    /// Takes over what a member is to have, or that nothing is decided for it.
    pub(crate) fn replay_target(
        &mut self,
        member_id: Arc<str>,
        value: Option<&StreamsGroupTargetAssignmentMemberValue>,
    ) {
        match value {
            Some(value) => {
                let tasks = Tasks {
                    active: tasks::from_target_record(&value.active_tasks),
                    standby: tasks::from_target_record(&value.standby_tasks),
                    warmup: tasks::from_target_record(&value.warmup_tasks),
                };
                self.targets.insert(member_id, tasks);
            }
            None => {
                self.targets.remove(&member_id);
            }
        }
    }

    /// Takes over for which epoch the target was made and when, or that there is none.
    pub(crate) fn replay_target_epoch(&mut self, value: Option<(i32, TimestampMs)>) {
        (self.assignment_epoch, self.assignment_timestamp_ms) = value.unwrap_or((NO_ASSIGNMENT_EPOCH, 0));
    }

    fn change_member(&mut self, member_id: Arc<str>, change: impl FnOnce(&mut StreamsMember)) {
        let member = self.members.entry(Arc::clone(&member_id)).or_insert_with(|| StreamsMember::new(member_id));
        self.owners.remove(member);
        change(member);
        self.owners.add(member);
    }
}
