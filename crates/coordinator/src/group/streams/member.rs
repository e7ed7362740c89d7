//! A member of a streams group: one client thread, its metadata, and the tasks that it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::streams_group_describe_response::{
    Assignment as DescribedAssignment, Endpoint as DescribedEndpoint, KeyValue as DescribedTag,
    Member as DescribedMember,
};
use protocol::messages::streams_group_member_metadata_value::{Endpoint, KeyValue};
use protocol::messages::{
    StreamsGroupCurrentMemberAssignmentValue, StreamsGroupHeartbeatRequest, StreamsGroupMemberMetadataValue,
};

use super::tasks::{self, AssignedTasks, Tasks};

/// The epoch of a member that left.
pub(crate) const LEFT_EPOCH: i32 = -1;

/// How far a member is on the way to its target assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// It has what it is to have.
    Stable,
    /// It has to give tasks up before it gets others.
    UnrevokedTasks,
    /// It waits for tasks that others have to give up.
    UnreleasedTasks,
    /// A later release wrote a state that this one does not know.
    Unknown,
}

impl MemberState {
    /// Its code in records.
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::Stable => 1,
            Self::UnrevokedTasks => 2,
            Self::UnreleasedTasks => 3,
            Self::Unknown => 127,
        }
    }

    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Stable,
            2 => Self::UnrevokedTasks,
            3 => Self::UnreleasedTasks,
            _ => Self::Unknown,
        }
    }
}

/// A member.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StreamsMember {
    pub(crate) member_id: Arc<str>,
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) state: MemberState,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) topology_epoch: i32,
    pub(crate) process_id: String,
    pub(crate) user_endpoint: Option<(String, u16)>,
    pub(crate) client_tags: BTreeMap<String, String>,
    pub(crate) assigned: AssignedTasks,
    pub(crate) pending_revocation: AssignedTasks,
}

impl StreamsMember {
    /// A member of which nothing is known.
    pub(crate) fn new(member_id: Arc<str>) -> Self {
        Self {
            member_id,
            epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            topology_epoch: -1,
            process_id: String::new(),
            user_endpoint: None,
            client_tags: BTreeMap::new(),
            assigned: AssignedTasks::default(),
            pending_revocation: AssignedTasks::default(),
        }
    }

    /// Whether it has what the target assignment of that epoch gives it.
    pub(crate) fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// This member with what a heartbeat says of it. What the heartbeat leaves out stays.
    pub(crate) fn updated(&self, client_id: &str, client_host: &str, request: &StreamsGroupHeartbeatRequest) -> Self {
        let mut member = self.clone();
        client_id.clone_into(&mut member.client_id);
        client_host.clone_into(&mut member.client_host);
        if let Some(rack_id) = &request.rack_id {
            member.rack_id = Some(rack_id.clone());
        }
        if request.rebalance_timeout_ms != -1 {
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        if let Some(topology) = &request.topology {
            member.topology_epoch = topology.epoch;
        }
        if let Some(process_id) = &request.process_id {
            member.process_id.clone_from(process_id);
        }
        if let Some(tags) = &request.client_tags {
            member.client_tags = tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
        }
        if let Some(endpoint) = &request.user_endpoint {
            member.user_endpoint = Some((endpoint.host.clone(), endpoint.port));
        }
        member
    }

    /// Takes over its metadata record.
    pub(crate) fn replay_metadata(&mut self, record: StreamsGroupMemberMetadataValue) {
        self.instance_id = record.instance_id;
        self.rack_id = record.rack_id;
        self.client_id = record.client_id;
        self.client_host = record.client_host;
        self.rebalance_timeout_ms = record.rebalance_timeout_ms;
        self.topology_epoch = record.topology_epoch;
        self.process_id = record.process_id;
        self.user_endpoint = record.user_endpoint.map(|endpoint| (endpoint.host, endpoint.port));
        self.client_tags = record.client_tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    }

    /// Takes over the record of its current assignment.
    pub(crate) fn replay_assignment(&mut self, record: &StreamsGroupCurrentMemberAssignmentValue) {
        self.epoch = record.member_epoch;
        self.previous_epoch = record.previous_member_epoch;
        self.state = MemberState::from_code(record.state);
        self.assigned = AssignedTasks {
            active: tasks::from_current_record_with_epochs(&record.active_tasks, record.member_epoch),
            standby: tasks::from_current_record(&record.standby_tasks),
            warmup: tasks::from_current_record(&record.warmup_tasks),
        };
        self.pending_revocation = AssignedTasks {
            active: tasks::from_current_record_with_epochs(
                &record.active_tasks_pending_revocation,
                record.member_epoch,
            ),
            standby: tasks::from_current_record(&record.standby_tasks_pending_revocation),
            warmup: tasks::from_current_record(&record.warmup_tasks_pending_revocation),
        };
    }

    /// Takes over the end of its current assignment.
    pub(crate) fn replay_no_assignment(&mut self) {
        self.epoch = LEFT_EPOCH;
        self.previous_epoch = LEFT_EPOCH;
        self.assigned = AssignedTasks::default();
        self.pending_revocation = AssignedTasks::default();
    }

    /// Its metadata record.
    pub(crate) fn metadata_record(&self) -> StreamsGroupMemberMetadataValue {
        StreamsGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            topology_epoch: self.topology_epoch,
            process_id: self.process_id.clone(),
            user_endpoint: self.user_endpoint.as_ref().map(|(host, port)| Endpoint {
                host: host.clone(),
                port: *port,
                ..Default::default()
            }),
            client_tags: self
                .client_tags
                .iter()
                .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone(), ..Default::default() })
                .collect(),
            ..Default::default()
        }
    }

    /// The record of its current assignment.
    pub(crate) fn assignment_record(&self) -> StreamsGroupCurrentMemberAssignmentValue {
        let (assigned, pending) = (&self.assigned, &self.pending_revocation);
        StreamsGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.code(),
            active_tasks: tasks::for_current_record_with_epochs(&assigned.active),
            standby_tasks: tasks::for_current_record(&assigned.standby),
            warmup_tasks: tasks::for_current_record(&assigned.warmup),
            active_tasks_pending_revocation: tasks::for_current_record_with_epochs(&pending.active),
            standby_tasks_pending_revocation: tasks::for_current_record(&pending.standby),
            warmup_tasks_pending_revocation: tasks::for_current_record(&pending.warmup),
            ..Default::default()
        }
    }

    /// For the description of the group, with what it is to have.
    pub(crate) fn described(&self, target: Option<&Tasks>) -> DescribedMember {
        let target = target.map(|target| DescribedAssignment {
            active_tasks: tasks::for_describe(&target.active),
            standby_tasks: tasks::for_describe(&target.standby),
            warmup_tasks: tasks::for_describe(&target.warmup),
            ..Default::default()
        });
        DescribedMember {
            member_id: self.member_id.to_string(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            topology_epoch: self.topology_epoch,
            process_id: self.process_id.clone(),
            user_endpoint: self.user_endpoint.as_ref().map(|(host, port)| DescribedEndpoint {
                host: host.clone(),
                port: *port,
                ..Default::default()
            }),
            client_tags: self
                .client_tags
                .iter()
                .map(|(key, value)| DescribedTag { key: key.clone(), value: value.clone(), ..Default::default() })
                .collect(),
            assignment: DescribedAssignment {
                active_tasks: tasks::for_describe(&self.assigned.active_set()),
                standby_tasks: tasks::for_describe(&self.assigned.standby),
                warmup_tasks: tasks::for_describe(&self.assigned.warmup),
                ..Default::default()
            },
            target_assignment: target.unwrap_or_default(),
            ..Default::default()
        }
    }
}
