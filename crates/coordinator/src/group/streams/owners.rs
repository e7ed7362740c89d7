//! Which process has which task, by the members' current assignments. A task stays with its process until the member that
//! had it says that it gave it up.

use std::collections::{BTreeSet, HashMap};

use super::member::StreamsMember;
use super::tasks::{AssignedTasks, TaskSet};

type Owners = HashMap<String, HashMap<i32, BTreeSet<String>>>;

/// The processes that have tasks.
#[derive(Debug, Default)]
pub(crate) struct TaskOwners {
    active: HashMap<String, HashMap<i32, String>>,
    standby: Owners,
    warmup: Owners,
}

impl TaskOwners {
    /// The process in which a task is active.
    pub(crate) fn active(&self, subtopology: &str, partition: i32) -> Option<&str> {
        self.active.get(subtopology)?.get(&partition).map(String::as_str)
    }

    /// Whether a process has a standby of a task.
    pub(crate) fn is_standby_of(&self, subtopology: &str, partition: i32, process: &str) -> bool {
        has(&self.standby, subtopology, partition, process)
    }

    /// Whether a process warms a task up.
    pub(crate) fn is_warmup_of(&self, subtopology: &str, partition: i32, process: &str) -> bool {
        has(&self.warmup, subtopology, partition, process)
    }

    /// A member has what its current assignment says.
    pub(crate) fn add(&mut self, member: &StreamsMember) {
        for tasks in [&member.assigned, &member.pending_revocation] {
            for (id, partitions) in &tasks.active {
                let owners = self.active.entry(id.clone()).or_default();
                owners.extend(partitions.keys().map(|partition| (*partition, member.process_id.clone())));
            }
            add(&mut self.standby, &tasks.standby, &member.process_id);
            add(&mut self.warmup, &tasks.warmup, &member.process_id);
        }
    }

    /// A member no longer has what its current assignment says.
    pub(crate) fn remove(&mut self, member: &StreamsMember) {
        for tasks in [&member.assigned, &member.pending_revocation] {
            self.remove_active(tasks, &member.process_id);
            remove(&mut self.standby, &tasks.standby, &member.process_id);
            remove(&mut self.warmup, &tasks.warmup, &member.process_id);
        }
    }

    fn remove_active(&mut self, tasks: &AssignedTasks, process: &str) {
        for (id, partitions) in &tasks.active {
            let Some(owners) = self.active.get_mut(id) else { continue };
            for partition in partitions.keys() {
                // Another process may have it by now.
                if owners.get(partition).is_some_and(|owner| owner == process) {
                    owners.remove(partition);
                }
            }
            if owners.is_empty() {
                self.active.remove(id);
            }
        }
    }
}

fn has(owners: &Owners, subtopology: &str, partition: i32, process: &str) -> bool {
    owners
        .get(subtopology)
        .and_then(|partitions| partitions.get(&partition))
        .is_some_and(|processes| processes.contains(process))
}

fn add(owners: &mut Owners, tasks: &TaskSet, process: &str) {
    for (id, partitions) in tasks {
        let owners = owners.entry(id.clone()).or_default();
        for partition in partitions {
            owners.entry(*partition).or_default().insert(process.to_owned());
        }
    }
}

fn remove(owners: &mut Owners, tasks: &TaskSet, process: &str) {
    for (id, partitions) in tasks {
        let Some(of_subtopology) = owners.get_mut(id) else { continue };
        for partition in partitions {
            if let Some(processes) = of_subtopology.get_mut(partition) {
                processes.remove(process);
                if processes.is_empty() {
                    of_subtopology.remove(partition);
                }
            }
        }
        if of_subtopology.is_empty() {
            owners.remove(id);
        }
    }
}
