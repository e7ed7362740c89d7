//! What of a heartbeat can be refused without looking at the group.

use std::collections::{BTreeMap, BTreeSet};

use protocol::messages::StreamsGroupHeartbeatRequest;
use protocol::messages::streams_group_heartbeat_request::{TaskIds, Topology};

use super::configured::ConfiguredSubtopology;
use super::error::StreamsError;

/// The member epoch of a member that leaves.
pub(crate) const LEAVE_EPOCH: i32 = -1;

/// The member epoch of a static member that leaves for a while.
pub(crate) const LEAVE_STATIC_EPOCH: i32 = -2;

/// Checks what Kafka checks before it looks at the group, in its order.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn check(request: &StreamsGroupHeartbeatRequest) -> Result<(), StreamsError> {
    check_features(request)?;
    refuse_if(request.member_id.trim().is_empty(), "MemberId can't be empty.")?;
    refuse_if(request.group_id.trim().is_empty(), "GroupId can't be empty.")?;
    refuse_if(request.rack_id.as_ref().is_some_and(|rack| rack.trim().is_empty()), "RackId can't be empty.")?;
    match request.member_epoch {
        0 => check_join(request)?,
        LEAVE_STATIC_EPOCH => refuse_if(request.instance_id.is_none(), "InstanceId can't be null.")?,
        epoch if epoch < LEAVE_STATIC_EPOCH => {
            return Err(StreamsError::InvalidRequest(format!(
                "MemberEpoch is {epoch}, but must be greater than or equal to -2."
            )));
        }
        _ => {}
    }
    let tasks = [&request.active_tasks, &request.standby_tasks, &request.warmup_tasks];
    let is_partial = tasks.iter().any(|tasks| tasks.is_some()) && tasks.iter().any(|tasks| tasks.is_none());
    refuse_if(is_partial, "If one task-type is non-null, all must be non-null.")?;
    refuse_if(
        request.member_epoch != 0 && request.topology.is_some(),
        "Topology can only be provided when (re-)joining.",
    )?;
    check_tags(request)
}

/// Checks that a member only says that it owns tasks that exist.
pub(crate) fn check_tasks(
    subtopologies: &BTreeMap<String, ConfiguredSubtopology>,
    request: &StreamsGroupHeartbeatRequest,
) -> Result<(), StreamsError> {
    let tasks = [&request.active_tasks, &request.standby_tasks, &request.warmup_tasks];
    for ids in tasks.into_iter().flatten().flatten() {
        let id = &ids.subtopology_id;
        let Some(subtopology) = subtopologies.get(id) else {
            return Err(StreamsError::InvalidRequest(format!("Subtopology {id} does not exist in the topology.")));
        };
        let tasks = subtopology.tasks;
        if let Some(partition) = ids.partitions.iter().find(|partition| !(0..tasks).contains(*partition)) {
            return Err(StreamsError::InvalidRequest(format!(
                "Task {partition} for subtopology {id} is invalid. Number of tasks for this subtopology: {tasks}"
            )));
        }
    }
    Ok(())
}

/// What the protocol has and Kafka 4.3.1 does not do.
fn check_features(request: &StreamsGroupHeartbeatRequest) -> Result<(), StreamsError> {
    refuse_if(request.instance_id.is_some(), "Static membership is not yet supported.")?;
    refuse_if(request.task_offsets.is_some(), "TaskOffsets are not supported yet.")?;
    refuse_if(request.task_end_offsets.is_some(), "TaskEndOffsets are not supported yet.")?;
    refuse_if(
        request.warmup_tasks.as_ref().is_some_and(|tasks| !tasks.is_empty()),
        "WarmupTasks are not supported yet.",
    )?;
    let subtopologies = request.topology.iter().flat_map(|topology| &topology.subtopologies);
    let has_regex = subtopologies.into_iter().any(|subtopology| !subtopology.source_topic_regex.is_empty());
    refuse_if(has_regex, "Regular expressions for source topics are not supported yet.")
}

fn check_join(request: &StreamsGroupHeartbeatRequest) -> Result<(), StreamsError> {
    refuse_if(request.rebalance_timeout_ms == -1, "RebalanceTimeoutMs must be provided in first request.")?;
    refuse_if(!is_given_and_empty(request.active_tasks.as_deref()), "ActiveTasks must be empty when (re-)joining.")?;
    refuse_if(!is_given_and_empty(request.standby_tasks.as_deref()), "StandbyTasks must be empty when (re-)joining.")?;
    refuse_if(!is_given_and_empty(request.warmup_tasks.as_deref()), "WarmupTasks must be empty when (re-)joining.")?;
    match &request.topology {
        Some(topology) => check_topology(topology),
        None => refuse_if(true, "Topology must be non-null when (re-)joining."),
    }
}

fn check_topology(topology: &Topology) -> Result<(), StreamsError> {
    let mut changelogs = topology.subtopologies.iter().flat_map(|subtopology| &subtopology.state_changelog_topics);
    match changelogs.find(|topic| topic.partitions != 0) {
        Some(topic) => Err(StreamsError::InvalidTopology(format!(
            "Changelog topic {} must have an undefined partition count, but it is set to {}.",
            topic.name, topic.partitions
        ))),
        None => Ok(()),
    }
}

fn check_tags(request: &StreamsGroupHeartbeatRequest) -> Result<(), StreamsError> {
    let mut keys = BTreeSet::new();
    if request.client_tags.iter().flatten().all(|tag| keys.insert(&tag.key)) {
        return Ok(());
    }
    Err(StreamsError::Malformed("a client tag that is given twice"))
}

fn is_given_and_empty(tasks: Option<&[TaskIds]>) -> bool {
    tasks.is_some_and(<[TaskIds]>::is_empty)
}

fn refuse_if(is_wrong: bool, why: &str) -> Result<(), StreamsError> {
    if is_wrong { Err(StreamsError::InvalidRequest(why.to_owned())) } else { Ok(()) }
}
