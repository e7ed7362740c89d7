//! The sticky task assignor: active tasks stay where they were, then go where a standby of them was, then to the process
//! with the least load; standbys go to other processes than their active task. Pure; the same input gives the same output.

mod load;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use tracing::warn;

use self::load::{Loads, Queue};
use super::configured::ConfiguredSubtopology;
use super::tasks::{TaskSet, Tasks};

/// A member as the assignor sees it.
#[derive(Debug, Clone)]
pub(crate) struct AssignableMember<'a> {
    /// Members of one process share its state directory.
    pub(crate) process_id: &'a str,
    /// What it was assigned before.
    pub(crate) previous: &'a Tasks,
}

/// A partition of a subtopology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Task<'a> {
    subtopology: &'a str,
    partition: i32,
}

/// Assigns all tasks of `subtopologies` to `members`, and `standby_replicas` standbys of each task with state.
/// Each member gets an assignment, if only an empty one. Without members nothing is assigned.
pub(crate) fn assign(
    members: &[AssignableMember<'_>],
    subtopologies: &BTreeMap<String, ConfiguredSubtopology>,
    standby_replicas: usize,
) -> Vec<Tasks> {
    if members.is_empty() {
        return Vec::new();
    }
    let tasks = |is_wanted: &dyn Fn(&ConfiguredSubtopology) -> bool| -> Vec<Task<'_>> {
        subtopologies
            .iter()
            .filter(|(_, subtopology)| is_wanted(subtopology))
            .flat_map(|(id, subtopology)| (0..subtopology.tasks).map(|partition| Task { subtopology: id, partition }))
            .collect()
    };
    let active = tasks(&|_| true);
    let stateful = tasks(&ConfiguredSubtopology::is_stateful);
    let mut assignment = Assignment::new(members, active.len(), stateful.len() * standby_replicas);
    assignment.assign_active(active);
    if standby_replicas > 0 {
        assignment.assign_standbys(stateful, standby_replicas);
    }
    assignment.loads.into_tasks()
}

/// How many tasks each of the remaining members may have, so that no member has more than one above another.
/// It is computed again whenever a member is full.
#[derive(Debug)]
struct Quota {
    tasks: i64,
    members: i64,
    per_member: i64,
}

impl Quota {
    fn new(tasks: usize, members: usize) -> Self {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let mut quota = Self { tasks: count(tasks), members: count(members), per_member: 0 };
        quota.compute();
        quota
    }

    /// A member has that many tasks now.
    fn took(&mut self, member_tasks: usize) {
        if i64::try_from(member_tasks).is_ok_and(|tasks| tasks == self.per_member) {
            self.members -= 1;
            self.tasks -= self.per_member;
            self.compute();
        }
    }

    fn has_room(&self, member_tasks: usize) -> bool {
        i64::try_from(member_tasks).is_ok_and(|tasks| tasks < self.per_member)
    }

    fn compute(&mut self) {
        self.per_member = match self.members {
            0 => 0,
            members => self.tasks / members + i64::from(self.tasks % members > 0),
        };
    }
}

#[derive(Debug)]
struct Assignment<'a> {
    loads: Loads<'a>,
    active_quota: Quota,
    total_quota: Quota,
    previous_active: HashMap<Task<'a>, usize>,
    previous_standby: HashMap<Task<'a>, Vec<usize>>,
}

impl<'a> Assignment<'a> {
    fn new(members: &[AssignableMember<'a>], active: usize, standbys: usize) -> Self {
        let mut previous_active = HashMap::with_capacity(active);
        let mut previous_standby: HashMap<_, Vec<usize>> = HashMap::with_capacity(standbys);
        for (at, member) in members.iter().enumerate() {
            for task in tasks_of(&member.previous.active) {
                previous_active.insert(task, at);
            }
            for task in tasks_of(&member.previous.standby) {
                previous_standby.entry(task).or_default().push(at);
            }
        }
        Self {
            loads: Loads::new(members),
            active_quota: Quota::new(active, members.len()),
            total_quota: Quota::new(active + standbys, members.len()),
            previous_active,
            previous_standby,
        }
    }

    fn assign_active(&mut self, mut tasks: Vec<Task<'a>>) {
        // By partition first, so that a member that must give tasks up keeps some of each subtopology.
        tasks.sort_unstable_by_key(|task| (task.partition, task.subtopology));
        tasks.retain(|task| {
            let previous = self.previous_active.get(task).copied();
            !previous.is_some_and(|member| self.try_active(member, *task))
        });
        tasks.retain(|task| {
            let previous = self.previous_standby.get(task).and_then(|members| self.least_loaded(members, None));
            !previous.is_some_and(|member| self.try_active(member, *task))
        });
        // By subtopology first, so that the first assignment gives each member a range of them.
        tasks.sort_unstable();
        let mut queue = Queue::new(&self.loads);
        for task in tasks {
            let Some(process) = queue.pop() else { return };
            let count = self.loads.add_to_least_loaded_member(process, task, true);
            self.active_quota.took(count);
            self.total_quota.took(count);
            queue.push(process, &self.loads);
        }
    }

    fn try_active(&mut self, member: usize, task: Task<'a>) -> bool {
        if !self.active_quota.has_room(self.loads.member_tasks(member)) {
            return false;
        }
        let count = self.loads.add(member, task, true);
        self.active_quota.took(count);
        self.total_quota.took(count);
        true
    }

    fn assign_standbys(&mut self, mut tasks: Vec<Task<'a>>, replicas: usize) {
        tasks.sort_unstable_by_key(|task| Reverse((task.partition, task.subtopology)));
        let mut remaining = Vec::new();
        for task in tasks {
            if let Some(missing) = self.assign_sticky_standbys(task, replicas) {
                remaining.push((task, missing));
            }
        }
        remaining.sort_unstable_by_key(|(task, _)| Reverse(*task));
        let mut queue = Queue::new(&self.loads);
        for (task, missing) in remaining {
            for assigned in 0..missing {
                if !self.assign_standby_by_load(task, &mut queue) {
                    warn!(
                        subtopology = task.subtopology,
                        partition = task.partition,
                        missing = missing - assigned,
                        standby_replicas = replicas,
                        "found no room for all standby replicas"
                    );
                    break;
                }
            }
        }
    }

    /// Gives standbys of `task` to members that have its state already. Returns how many are missing, if any.
    fn assign_sticky_standbys(&mut self, task: Task<'a>, replicas: usize) -> Option<usize> {
        for assigned in 0..replicas {
            let was_active = self.previous_active.get(&task).copied();
            if was_active.is_some_and(|member| !self.loads.has_task(member, task) && self.try_standby(member, task)) {
                continue;
            }
            let was_standby =
                self.previous_standby.get(&task).and_then(|members| self.least_loaded(members, Some(task)));
            if was_standby.is_some_and(|member| self.try_standby(member, task)) {
                continue;
            }
            return Some(replicas - assigned);
        }
        None
    }

    fn try_standby(&mut self, member: usize, task: Task<'a>) -> bool {
        if !self.total_quota.has_room(self.loads.member_tasks(member)) {
            return false;
        }
        let count = self.loads.add(member, task, false);
        self.total_quota.took(count);
        true
    }

    /// Gives a standby to the process with the least load that does not have the task.
    fn assign_standby_by_load(&mut self, task: Task<'a>, queue: &mut Queue) -> bool {
        let mut skipped = Vec::new();
        let mut is_assigned = false;
        while let Some(process) = queue.pop() {
            skipped.push(process);
            if !self.loads.process_has_task(process, task) {
                let count = self.loads.add_to_least_loaded_member(process, task, false);
                self.total_quota.took(count);
                is_assigned = true;
                break;
            }
        }
        for process in skipped {
            queue.push(process, &self.loads);
        }
        is_assigned
    }

    /// The member whose process has the least load; of those with the least, the first. If `without` is named, processes
    /// that have it are passed over, and if the first member's has it there is none.
    fn least_loaded(&self, members: &[usize], without: Option<Task<'a>>) -> Option<usize> {
        let has_it = |member: usize| without.is_some_and(|task| self.loads.has_task(member, task));
        let mut least = *members.first()?;
        for &member in &members[1..] {
            let is_less = self.loads.process_load(member) < self.loads.process_load(least)
                && self.loads.member_tasks(member) < self.loads.member_tasks(least);
            if is_less && !has_it(member) {
                least = member;
            }
        }
        (!has_it(*members.first()?)).then_some(least)
    }
}

fn tasks_of(set: &TaskSet) -> impl Iterator<Item = Task<'_>> {
    set.iter()
        .flat_map(|(id, partitions)| partitions.iter().map(|partition| Task { subtopology: id, partition: *partition }))
}
