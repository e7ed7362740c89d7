//! Sets of tasks: what a member of a streams group owns, is to own, or has to give up.
//! A task is a partition of a subtopology; everything here is ordered, so that records and replies do not depend on chance.

use std::collections::{BTreeMap, BTreeSet};

use protocol::messages::streams_group_current_member_assignment_value::TaskIds as CurrentTaskIds;
use protocol::messages::streams_group_describe_response::TaskIds as DescribedTaskIds;
use protocol::messages::streams_group_heartbeat_request::TaskIds as OwnedTaskIds;
use protocol::messages::streams_group_heartbeat_response::TaskIds as ResponseTaskIds;
use protocol::messages::streams_group_target_assignment_member_value::TaskIds as TargetTaskIds;
use tracing::error;

/// Partitions by subtopology.
pub(crate) type TaskSet = BTreeMap<String, BTreeSet<i32>>;

/// Partitions by subtopology, each with the epoch in which it was assigned.
pub(crate) type EpochTaskSet = BTreeMap<String, BTreeMap<i32, i32>>;

/// What a member is to do: an assignment of the target, or what a member says that it owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tasks {
    pub(crate) active: TaskSet,
    pub(crate) standby: TaskSet,
    pub(crate) warmup: TaskSet,
}

impl Tasks {
    /// Whether there is none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }

    /// Whether one of `others` is here in the same role.
    pub(crate) fn contains_any(&self, others: &AssignedTasks) -> bool {
        let has = |set: &TaskSet, subtopology: &str, partition: &i32| {
            set.get(subtopology).is_some_and(|partitions| partitions.contains(partition))
        };
        let any = |set: &TaskSet, others: &TaskSet| {
            others.iter().any(|(id, partitions)| partitions.iter().any(|partition| has(set, id, partition)))
        };
        others.active.iter().any(|(id, partitions)| partitions.keys().any(|partition| has(&self.active, id, partition)))
            || any(&self.standby, &others.standby)
            || any(&self.warmup, &others.warmup)
    }
}

/// What a member has, or has to give up. Active tasks carry the epoch since which the member has them, so that an offset
/// commit with an older member epoch is told from a zombie's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AssignedTasks {
    pub(crate) active: EpochTaskSet,
    pub(crate) standby: TaskSet,
    pub(crate) warmup: TaskSet,
}

impl AssignedTasks {
    /// Whether there is none at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.standby.is_empty() && self.warmup.is_empty()
    }

    /// These tasks and `others`.
    pub(crate) fn merged(mut self, others: Self) -> Self {
        for (id, partitions) in others.active {
            self.active.entry(id).or_default().extend(partitions);
        }
        merge(&mut self.standby, others.standby);
        merge(&mut self.warmup, others.warmup);
        self
    }

    /// The epoch in which an active task was assigned.
    pub(crate) fn assignment_epoch(&self, subtopology: &str, partition: i32) -> Option<i32> {
        self.active.get(subtopology)?.get(&partition).copied()
    }

    /// The active tasks without their epochs.
    pub(crate) fn active_set(&self) -> TaskSet {
        self.active.iter().map(|(id, partitions)| (id.clone(), partitions.keys().copied().collect())).collect()
    }
}

fn merge(into: &mut TaskSet, others: TaskSet) {
    for (id, partitions) in others {
        into.entry(id).or_default().extend(partitions);
    }
}

/// What a member says that it owns.
pub(crate) fn owned(tasks: &[OwnedTaskIds]) -> TaskSet {
    let mut set = TaskSet::new();
    for ids in tasks {
        set.insert(ids.subtopology_id.clone(), ids.partitions.iter().copied().collect());
    }
    set
}

/// Whether all that a member says it owns is assigned to it. A member that says nothing owns who knows what.
pub(crate) fn is_within(owned: Option<&[OwnedTaskIds]>, assigned: &TaskSet) -> bool {
    owned.is_some_and(|owned| {
        owned.iter().all(|ids| {
            assigned
                .get(&ids.subtopology_id)
                .is_some_and(|assigned| ids.partitions.iter().all(|partition| assigned.contains(partition)))
        })
    })
}

/// For a heartbeat's answer.
pub(crate) fn for_response(set: &TaskSet) -> Vec<ResponseTaskIds> {
    listed(set, |subtopology_id, partitions| ResponseTaskIds { subtopology_id, partitions, ..Default::default() })
}

/// For the description of a group.
pub(crate) fn for_describe(set: &TaskSet) -> Vec<DescribedTaskIds> {
    listed(set, |subtopology_id, partitions| DescribedTaskIds { subtopology_id, partitions, ..Default::default() })
}

/// For the record of a target assignment.
pub(crate) fn for_target_record(set: &TaskSet) -> Vec<TargetTaskIds> {
    listed(set, |subtopology_id, partitions| TargetTaskIds { subtopology_id, partitions, ..Default::default() })
}

/// For the record of a member's current assignment.
pub(crate) fn for_current_record(set: &TaskSet) -> Vec<CurrentTaskIds> {
    listed(set, |subtopology_id, partitions| CurrentTaskIds { subtopology_id, partitions, ..Default::default() })
}

/// For the record of a member's current assignment, with epochs.
pub(crate) fn for_current_record_with_epochs(set: &EpochTaskSet) -> Vec<CurrentTaskIds> {
    set.iter()
        .map(|(id, partitions)| CurrentTaskIds {
            subtopology_id: id.clone(),
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
            ..Default::default()
        })
        .collect()
}

/// From the record of a target assignment.
pub(crate) fn from_target_record(tasks: &[TargetTaskIds]) -> TaskSet {
    tasks.iter().map(|ids| (ids.subtopology_id.clone(), ids.partitions.iter().copied().collect())).collect()
}

/// From the record of a member's current assignment.
pub(crate) fn from_current_record(tasks: &[CurrentTaskIds]) -> TaskSet {
    tasks.iter().map(|ids| (ids.subtopology_id.clone(), ids.partitions.iter().copied().collect())).collect()
}

/// From the record of a member's current assignment; tasks without an epoch of their own have the member's.
pub(crate) fn from_current_record_with_epochs(tasks: &[CurrentTaskIds], member_epoch: i32) -> EpochTaskSet {
    tasks
        .iter()
        .map(|ids| {
            let epochs = match &ids.assignment_epochs {
                Some(epochs) if epochs.len() == ids.partitions.len() => {
                    ids.partitions.iter().copied().zip(epochs.iter().copied()).collect()
                }
                other => {
                    if other.as_ref().is_some_and(|epochs| !epochs.is_empty()) {
                        error!(subtopology_id = %ids.subtopology_id, "a record has not one epoch for each task");
                    }
                    ids.partitions.iter().map(|partition| (*partition, member_epoch)).collect()
                }
            };
            (ids.subtopology_id.clone(), epochs)
        })
        .collect()
}

fn listed<T>(set: &TaskSet, ids: impl Fn(String, Vec<i32>) -> T) -> Vec<T> {
    set.iter().map(|(id, partitions)| ids(id.clone(), partitions.iter().copied().collect())).collect()
}
