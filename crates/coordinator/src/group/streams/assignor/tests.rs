//! The assignor on random groups and topologies: each task once, standbys elsewhere, and nothing moves without need.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{AssignableMember, assign};
use crate::group::streams::configured::{ConfiguredSubtopology, ConfiguredTopic};
use crate::group::streams::tasks::{TaskSet, Tasks};

const PROCESSES: usize = 6;

fn subtopology(tasks: i32, is_stateful: bool) -> ConfiguredSubtopology {
    let changelog = ConfiguredTopic { partitions: tasks, replication_factor: 0, configs: BTreeMap::new() };
    ConfiguredSubtopology {
        tasks,
        source_topics: BTreeSet::new(),
        repartition_source_topics: BTreeMap::new(),
        repartition_sink_topics: BTreeSet::new(),
        changelog_topics: is_stateful.then(|| ("changelog".to_owned(), changelog)).into_iter().collect(),
    }
}

fn topology(subtopologies: &[(i32, bool)]) -> BTreeMap<String, ConfiguredSubtopology> {
    (0..).zip(subtopologies).map(|(id, (tasks, stateful))| (format!("{id}"), subtopology(*tasks, *stateful))).collect()
}

/// Assigns anew: members by the process they are of, each with what it had.
fn assigned(
    members: &[(usize, Tasks)],
    topology: &BTreeMap<String, ConfiguredSubtopology>,
    replicas: usize,
) -> Vec<(usize, Tasks)> {
    let ids: Vec<String> = (0..PROCESSES).map(|process| format!("process-{process}")).collect();
    let assignable: Vec<AssignableMember<'_>> =
        members.iter().map(|(process, previous)| AssignableMember { process_id: &ids[*process], previous }).collect();
    members.iter().map(|(process, _)| *process).zip(assign(&assignable, topology, replicas)).collect()
}

fn flat(set: &TaskSet) -> BTreeSet<(String, i32)> {
    set.iter().flat_map(|(id, partitions)| partitions.iter().map(|partition| (id.clone(), *partition))).collect()
}

fn count(set: &TaskSet) -> usize {
    set.values().map(BTreeSet::len).sum()
}

fn check(members: &[(usize, Tasks)], topology: &BTreeMap<String, ConfiguredSubtopology>, replicas: usize) {
    let mut times_active = BTreeMap::new();
    let mut by_process: BTreeMap<usize, Vec<(String, i32)>> = BTreeMap::new();
    let mut standbys: BTreeMap<(String, i32), usize> = BTreeMap::new();
    for (process, tasks) in members {
        assert!(tasks.warmup.is_empty(), "4.3.1 assigns no warm-ups");
        for task in flat(&tasks.active) {
            *times_active.entry(task.clone()).or_insert(0) += 1;
            by_process.entry(*process).or_default().push(task);
        }
        for task in flat(&tasks.standby) {
            *standbys.entry(task.clone()).or_default() += 1;
            by_process.entry(*process).or_default().push(task);
        }
    }
    let all: BTreeMap<(String, i32), i32> = topology
        .iter()
        .flat_map(|(id, subtopology)| (0..subtopology.tasks).map(move |partition| ((id.clone(), partition), 1)))
        .collect();
    assert_eq!(times_active, all, "each active task once");
    for (process, tasks) in &by_process {
        let distinct: BTreeSet<_> = tasks.iter().collect();
        assert_eq!(distinct.len(), tasks.len(), "process {process} has a task twice");
    }
    let processes: BTreeSet<usize> = members.iter().map(|(process, _)| *process).collect();
    let wanted = replicas.min(processes.len() - 1);
    for (id, subtopology) in topology.iter().filter(|(_, subtopology)| subtopology.is_stateful()) {
        for partition in 0..subtopology.tasks {
            let found = standbys.remove(&(id.clone(), partition)).unwrap_or_default();
            assert_eq!(found, wanted, "standbys of {id}_{partition}");
        }
    }
    assert!(standbys.is_empty(), "standbys without state: {standbys:?}");
}

fn spread(members: &[(usize, Tasks)]) -> usize {
    let counts = || members.iter().map(|(_, tasks)| count(&tasks.active));
    counts().max().unwrap_or_default() - counts().min().unwrap_or_default()
}

proptest! {
    #[test]
    fn each_task_is_active_once_and_has_its_standbys_elsewhere(
        subtopologies in prop::collection::vec((1..20, any::<bool>()), 1..5),
        processes in prop::collection::vec(0..PROCESSES, 1..12),
        joining in prop::collection::vec(0..PROCESSES, 0..4),
        leaving in 0..4usize,
        replicas in 0..3usize,
    ) {
        let topology = topology(&subtopologies);
        let members: Vec<_> = processes.into_iter().map(|process| (process, Tasks::default())).collect();
        let first = assigned(&members, &topology, replicas);
        check(&first, &topology, replicas);
        let one_per_process: BTreeSet<_> = first.iter().map(|(process, _)| process).collect();
        if one_per_process.len() == first.len() {
            prop_assert!(spread(&first) <= 1, "not balanced: {first:?}");
        }

        let again = assigned(&first, &topology, replicas);
        check(&again, &topology, replicas);
        for ((_, before), (_, after)) in first.iter().zip(&again) {
            prop_assert_eq!(&before.active, &after.active, "tasks moved although nothing changed");
        }

        let mut changed = first.clone();
        changed.extend(joining.into_iter().map(|process| (process, Tasks::default())));
        changed.drain(..leaving.min(changed.len() - 1));
        check(&assigned(&changed, &topology, replicas), &topology, replicas);

        let mut left = first;
        left.drain(..leaving.min(left.len() - 1));
        for ((_, before), (_, after)) in left.iter().zip(assigned(&left, &topology, 0)) {
            prop_assert!(flat(&before.active).is_subset(&flat(&after.active)), "a task left a member that stayed");
        }
    }
}

#[test]
fn a_standby_takes_over_from_a_member_that_is_gone() {
    let topology = topology(&[(3, true)]);
    let members: Vec<_> = (0..3).map(|process| (process, Tasks::default())).collect();
    let mut first = assigned(&members, &topology, 1);
    let (_, gone) = first.remove(0);
    let second = assigned(&first, &topology, 1);
    for task in flat(&gone.active) {
        let had_standby = first.iter().position(|(_, tasks)| flat(&tasks.standby).contains(&task)).expect("a standby");
        assert!(flat(&second[had_standby].1.active).contains(&task), "{second:?}");
    }
}

#[test]
fn a_process_with_more_members_gets_more_tasks() {
    let members = [(0, Tasks::default()), (0, Tasks::default()), (1, Tasks::default())];
    let assigned = assigned(&members, &topology(&[(6, false)]), 0);
    assert_eq!(assigned.iter().map(|(_, tasks)| count(&tasks.active)).collect::<Vec<_>>(), [2, 2, 2]);
}
