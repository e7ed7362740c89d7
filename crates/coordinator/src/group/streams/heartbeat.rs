//! StreamsGroupHeartbeat: a member joins, reports what it owns, and learns what it is to have.
//! The group that is given here is changed only in what the log does not hold; the rest is records.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::streams_group_heartbeat_response::Status;
use protocol::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};
use protocol::types::TimestampMs;
use tracing::info;

use super::assignor::{self, AssignableMember};
use super::configured::{self, ConfiguredTopology, StatusCode};
use super::error::StreamsError;
use super::member::{MemberState, StreamsMember};
use super::reconcile::{Target, reconciled};
use super::settings::GroupSettings;
use super::state::StreamsGroup;
use super::tasks::{self, Tasks};
use super::topology::{self, Topology};
use super::{endpoints, record, validate};
use crate::record::modern::GroupRecord;

/// What a heartbeat is decided on beside the request and the group.
pub(crate) struct Surroundings<'a> {
    pub(crate) now_ms: TimestampMs,
    pub(crate) client_id: &'a str,
    pub(crate) client_host: &'a str,
    /// What holds for this group.
    pub(crate) settings: GroupSettings,
    /// Partition count of each topic that exists.
    pub(crate) existing: &'a dyn Fn(&str) -> Option<i32>,
    /// The hash of the topics that a topology names.
    pub(crate) metadata_hash: &'a mut dyn FnMut(&Topology) -> i64,
    /// A group that is not there yet; what the log does not hold of it is forgotten.
    pub(crate) is_new: bool,
    /// The group waits for more members before its first assignment.
    pub(crate) is_delayed: bool,
}

/// What a heartbeat leads to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) records: Vec<GroupRecord>,
    pub(crate) response: StreamsGroupHeartbeatResponse,
    /// To be created by the broker.
    pub(crate) missing_topics: BTreeMap<String, CreatableTopic>,
    /// Start to wait for more members before the first assignment.
    pub(crate) starts_delay: bool,
    pub(crate) rebalance_timer: RebalanceTimer,
}

/// What becomes of the time that a member has to give up its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RebalanceTimer {
    /// It runs as before, or not at all.
    Unchanged,
    /// It starts now.
    Start {
        /// How long it has.
        timeout_ms: i32,
    },
    /// The member has given up what it had to.
    Stop,
}

/// Handles the heartbeat of a member that joins or is in the group.
///
/// # Errors
/// Why it is refused; then nothing changes.
pub(crate) fn heartbeat(
    group: &mut StreamsGroup,
    request: &StreamsGroupHeartbeatRequest,
    around: &mut Surroundings<'_>,
) -> Result<Outcome, StreamsError> {
    let outcome = planned(group, request, around);
    if outcome.is_err() {
        // The topology may have been put on topics whose hash was not recorded.
        group.configured = None;
        group.must_refresh_metadata = true;
    }
    outcome
}

fn planned(
    group: &mut StreamsGroup,
    request: &StreamsGroupHeartbeatRequest,
    around: &mut Surroundings<'_>,
) -> Result<Outcome, StreamsError> {
    let before = member_before(group, request, around.settings.max_size)?;
    let mut member = before.updated(around.client_id, around.client_host, request);
    let mut plan = Plan { group, request, around, records: Vec::new(), statuses: Vec::new(), must_bump: false };
    if member != before || plan.group.member(&member.member_id).is_none() {
        plan.records.push(record::member(&plan.group.group_id, &member));
        plan.must_bump = true;
    }
    let topology = plan.topology(&member)?;
    let metadata_hash = plan.configure(&topology)?;
    let epoch = plan.group_epoch(topology.epoch, metadata_hash)?;
    let starts_delay = plan.group.is_empty() && plan.around.settings.initial_rebalance_delay_ms > 0;
    let is_delayed = plan.around.is_delayed || starts_delay;
    let (target_epoch, target) = plan.target(&member, epoch, is_delayed);
    let rebalance_timer = plan.reconcile(&mut member, Target { epoch: target_epoch, tasks: &target })?;
    if request.shutdown_application {
        plan.group.request_shutdown(&member.member_id);
    }
    let response = plan.response(&before, &member);
    let Plan { group, records, .. } = plan;
    let configured = group.configured.as_ref().filter(|configured| !configured.is_ready());
    let missing_topics = configured.map(|configured| configured.missing_topics.clone()).unwrap_or_default();
    Ok(Outcome { records, response, missing_topics, starts_delay, rebalance_timer })
}

/// Makes the first assignment of a group that waited for more members.
pub(crate) fn initial_assignment(
    group: &StreamsGroup,
    settings: &GroupSettings,
    now_ms: TimestampMs,
) -> Vec<GroupRecord> {
    let Some(configured) = &group.configured else { return Vec::new() };
    if group.is_empty() || group.epoch <= group.assignment_epoch || !may_assign(group, settings, now_ms) {
        return Vec::new();
    }
    let configs = &group.last_assignment_configs;
    let replicas = configs.get(STANDBY_REPLICAS).and_then(|count| count.parse().ok()).unwrap_or_default();
    let (records, _) = new_target(group, None, configured, replicas, (group.epoch, now_ms));
    records
}

const STANDBY_REPLICAS: &str = "num.standby.replicas";

fn member_before(
    group: &StreamsGroup,
    request: &StreamsGroupHeartbeatRequest,
    max_size: usize,
) -> Result<StreamsMember, StreamsError> {
    if request.member_epoch == 0 {
        if group.members().len() >= max_size {
            return Err(StreamsError::Full(max_size));
        }
        info!(group_id = %group.group_id, member_id = request.member_id, "member joins the streams group");
        let member = group.member(&request.member_id).cloned();
        return Ok(member.unwrap_or_else(|| StreamsMember::new(request.member_id.as_str().into())));
    }
    let member = group.known_member(&request.member_id)?;
    let (received, known) = (request.member_epoch, member.epoch);
    // An answer with a new epoch may have been lost. Then the member has no more than it was given.
    let is_retry = || {
        received == member.previous_epoch
            && tasks::is_within(request.active_tasks.as_deref(), &member.assigned.active_set())
            && tasks::is_within(request.standby_tasks.as_deref(), &member.assigned.standby)
            && tasks::is_within(request.warmup_tasks.as_deref(), &member.assigned.warmup)
    };
    if received > known {
        return Err(StreamsError::FencedEpoch { relation: "greater", received, known });
    }
    if received < known && !is_retry() {
        return Err(StreamsError::FencedEpoch { relation: "smaller", received, known });
    }
    Ok(member.clone())
}

struct Plan<'a, 's> {
    group: &'a mut StreamsGroup,
    request: &'a StreamsGroupHeartbeatRequest,
    around: &'a mut Surroundings<'s>,
    records: Vec<GroupRecord>,
    statuses: Vec<Status>,
    must_bump: bool,
}

impl Plan<'_, '_> {
    /// The group's topology: that of the first member. One that is older is told so; another one is refused.
    fn topology(&mut self, member: &StreamsMember) -> Result<Topology, StreamsError> {
        let known = self.group.topology.clone();
        let requested = match &self.request.topology {
            None => None,
            Some(requested) => {
                let value = topology::to_record(requested);
                Some((Topology::from_record(&value)?, value))
            }
        };
        let topology = match (known, requested) {
            (None, None) => return Err(StreamsError::Malformed("a group without a topology")),
            (None, Some((requested, value))) => {
                self.records.push(record::topology(&self.group.group_id, value));
                return Ok(requested);
            }
            (Some(known), Some((requested, _))) if known.epoch <= requested.epoch && known != requested => {
                return Err(StreamsError::InvalidRequest("Topology updates are not supported yet.".to_owned()));
            }
            (Some(known), _) => known,
        };
        if member.topology_epoch < topology.epoch {
            let detail = format!(
                "The member's topology epoch {} is behind the group's topology epoch {}.",
                member.topology_epoch, topology.epoch
            );
            self.tell(StatusCode::StaleTopology, detail);
        }
        Ok(topology)
    }

    /// Puts the topology on the topics that exist, if that was not done or they have changed. Returns their hash.
    fn configure(&mut self, topology: &Topology) -> Result<i64, StreamsError> {
        let mut metadata_hash = self.group.metadata_hash;
        let is_first = self.group.topology.is_none() || self.group.configured.is_none();
        if is_first || self.group.must_refresh_metadata {
            metadata_hash = (self.around.metadata_hash)(topology);
            let has_changed = metadata_hash != self.group.metadata_hash;
            self.must_bump |= has_changed;
            if is_first || has_changed {
                self.group.configured = Some(configured::configure(topology, self.around.existing)?);
            }
            self.group.must_refresh_metadata = false;
        }
        Ok(metadata_hash)
    }

    /// The epoch of the group, which rises if anything changed that its assignment depends on.
    fn group_epoch(&mut self, topology_epoch: i32, metadata_hash: i64) -> Result<i32, StreamsError> {
        let mut validated_topology_epoch = -1;
        if let Some(configured) = self.group.configured.as_ref().filter(|configured| configured.is_ready()) {
            validate::check_tasks(&configured.subtopologies, self.request)?;
            validated_topology_epoch = topology_epoch;
        }
        let configs =
            BTreeMap::from([(STANDBY_REPLICAS.to_owned(), self.around.settings.standby_replicas.to_string())]);
        self.must_bump |= validated_topology_epoch != self.group.validated_topology_epoch
            || configs != self.group.last_assignment_configs;
        if !self.must_bump {
            return Ok(self.group.epoch);
        }
        let epoch = self.group.epoch + 1;
        let group_id = &self.group.group_id;
        self.records.push(record::epoch(group_id, epoch, metadata_hash, validated_topology_epoch, &configs));
        info!(%group_id, epoch, metadata_hash, validated_topology_epoch, "bumped the epoch of a streams group");
        Ok(epoch)
    }

    /// What the member is to have, and of which epoch that is.
    fn target(&mut self, member: &StreamsMember, epoch: i32, is_delayed: bool) -> (i32, Tasks) {
        let (group, around) = (&*self.group, &*self.around);
        if is_delayed {
            let assignment_epoch = group.assignment_epoch;
            self.tell(
                StatusCode::AssignmentDelayed,
                "Assignment delayed due to the configured initial rebalance delay.".to_owned(),
            );
            return (assignment_epoch, Tasks::default());
        }
        let last = || (group.assignment_epoch, group.target(&member.member_id).cloned().unwrap_or_default());
        if group.assignment_epoch >= epoch {
            return last();
        }
        if !may_assign(group, &around.settings, around.now_ms) {
            let last = last();
            self.tell(
                StatusCode::AssignmentDelayed,
                "Assignment delayed due to the configured assignment interval.".to_owned(),
            );
            return last;
        }
        let Some(configured) = &group.configured else { return last() };
        let at = (epoch, around.now_ms);
        let (records, target) = new_target(group, Some(member), configured, around.settings.standby_replicas, at);
        self.records.extend(records);
        (epoch, target)
    }

    fn reconcile(&mut self, member: &mut StreamsMember, target: Target<'_>) -> Result<RebalanceTimer, StreamsError> {
        if member.is_reconciled_to(target.epoch) {
            return Ok(RebalanceTimer::Unchanged);
        }
        let request = self.request;
        let owned = match (&request.active_tasks, &request.standby_tasks, &request.warmup_tasks) {
            (Some(active), Some(standby), Some(warmup)) => Some(Tasks {
                active: tasks::owned(active),
                standby: tasks::owned(standby),
                warmup: tasks::owned(warmup),
            }),
            _ => None,
        };
        let next = reconciled(member, target, self.group.owners(), owned.as_ref())?;
        if next == *member {
            return Ok(RebalanceTimer::Unchanged);
        }
        self.records.push(record::current_assignment(&self.group.group_id, &next));
        *member = next;
        Ok(match member.state {
            MemberState::UnrevokedTasks => RebalanceTimer::Start { timeout_ms: member.rebalance_timeout_ms },
            MemberState::Stable | MemberState::UnreleasedTasks | MemberState::Unknown => RebalanceTimer::Stop,
        })
    }

    fn response(&mut self, before: &StreamsMember, member: &StreamsMember) -> StreamsGroupHeartbeatResponse {
        let mut response = StreamsGroupHeartbeatResponse {
            member_id: member.member_id.to_string(),
            member_epoch: member.epoch,
            heartbeat_interval_ms: self.around.settings.heartbeat_interval_ms,
            ..Default::default()
        };
        if self.request.member_epoch == 0 || before.assigned != member.assigned {
            response.active_tasks = Some(tasks::for_response(&member.assigned.active_set()));
            response.standby_tasks = Some(tasks::for_response(&member.assigned.standby));
            response.warmup_tasks = Some(tasks::for_response(&member.assigned.warmup));
            if member.user_endpoint.is_some() {
                self.group.endpoint_epoch += 1;
            }
        }
        if self.group.endpoint_epoch != self.request.endpoint_information_epoch {
            let others = self.group.members().filter(|other| other.member_id != member.member_id);
            let endpoints = self.group.configured.as_ref().map(|configured| {
                let partitions = |of| endpoints::partitions_of(of, configured, self.around.existing);
                others.chain([member]).filter_map(partitions).collect()
            });
            response.partitions_by_user_endpoint = endpoints;
        }
        if !self.around.is_new {
            response.endpoint_information_epoch = self.group.endpoint_epoch;
        }
        if let Some(fault) = self.group.configured.as_ref().and_then(|configured| configured.fault.clone()) {
            self.tell(fault.status, fault.detail);
        }
        if let Some(requester) = self.group.shutdown_requested_by.clone() {
            let detail = format!(
                "Streams group member {requester} encountered a fatal error and requested a shutdown for the entire \
                 application."
            );
            self.tell(StatusCode::ShutdownApplication, detail);
        }
        response.status = Some(std::mem::take(&mut self.statuses));
        response
    }

    fn tell(&mut self, status: StatusCode, detail: String) {
        self.statuses.push(Status { status_code: status.code(), status_detail: detail, ..Default::default() });
    }
}

fn may_assign(group: &StreamsGroup, settings: &GroupSettings, now_ms: TimestampMs) -> bool {
    let (last, interval) = (group.assignment_timestamp_ms, settings.assignment_interval_ms);
    last == 0 || interval == 0 || now_ms >= last + i64::from(interval)
}

/// A target assignment for all members, `changed` as it is now, of `epoch` at `now_ms`: the records of what is new in it,
/// and what `changed` is to have.
fn new_target(
    group: &StreamsGroup,
    changed: Option<&StreamsMember>,
    configured: &ConfiguredTopology,
    standby_replicas: usize,
    (epoch, now_ms): (i32, TimestampMs),
) -> (Vec<GroupRecord>, Tasks) {
    let empty = Tasks::default();
    let mut members: BTreeMap<&Arc<str>, &StreamsMember> =
        group.members().map(|member| (&member.member_id, member)).collect();
    members.extend(changed.map(|member| (&member.member_id, member)));
    let assignable: Vec<AssignableMember<'_>> = members
        .values()
        .map(|member| AssignableMember {
            process_id: &member.process_id,
            previous: group.target(&member.member_id).unwrap_or(&empty),
        })
        .collect();
    let assigned = if configured.is_ready() {
        assignor::assign(&assignable, &configured.subtopologies, standby_replicas)
    } else {
        vec![empty.clone(); members.len()]
    };
    let mut records = Vec::new();
    let mut of_changed = Tasks::default();
    for (member_id, tasks) in members.keys().zip(assigned) {
        if group.target(member_id) != Some(&tasks) {
            records.push(record::target_assignment(&group.group_id, member_id, &tasks));
        }
        if changed.is_some_and(|member| member.member_id == **member_id) {
            of_changed = tasks;
        }
    }
    records.push(record::target_epoch(&group.group_id, epoch, now_ms));
    info!(group_id = %group.group_id, epoch, members = members.len(), "computed a target assignment of tasks");
    (records, of_changed)
}
