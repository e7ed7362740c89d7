//! What members and processes were given so far, and which process has the least load.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::{AssignableMember, Task};
use crate::group::streams::tasks::Tasks;

/// Tasks by members that can take them: the load of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    tasks: usize,
    members: usize,
}

impl Ord for Load {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.tasks * other.members).cmp(&(other.tasks * self.members))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Load {}

#[derive(Debug)]
struct Process<'a> {
    /// Its members with how many tasks each has, fewest first.
    members: BinaryHeap<Reverse<(usize, usize)>>,
    member_count: usize,
    tasks: HashSet<Task<'a>>,
    task_count: usize,
}

/// All members and processes.
#[derive(Debug)]
pub(super) struct Loads<'a> {
    processes: Vec<Process<'a>>,
    /// The process of each member.
    process_of: Vec<usize>,
    counts: Vec<usize>,
    tasks: Vec<Tasks>,
}

impl<'a> Loads<'a> {
    pub(super) fn new(members: &[AssignableMember<'a>]) -> Self {
        let mut by_id = HashMap::new();
        let mut processes: Vec<Process<'a>> = Vec::new();
        let mut process_of = Vec::with_capacity(members.len());
        for (at, member) in members.iter().enumerate() {
            let process = *by_id.entry(member.process_id).or_insert_with(|| {
                processes.push(Process {
                    members: BinaryHeap::new(),
                    member_count: 0,
                    tasks: HashSet::new(),
                    task_count: 0,
                });
                processes.len() - 1
            });
            processes[process].members.push(Reverse((0, at)));
            processes[process].member_count += 1;
            process_of.push(process);
        }
        Self { processes, process_of, counts: vec![0; members.len()], tasks: vec![Tasks::default(); members.len()] }
    }

    /// How many tasks a member has.
    pub(super) fn member_tasks(&self, member: usize) -> usize {
        self.counts[member]
    }

    /// The load of a member's process.
    pub(super) fn process_load(&self, member: usize) -> Load {
        self.load(self.process_of[member])
    }

    /// Whether a member's process has a task in any role.
    pub(super) fn has_task(&self, member: usize, task: Task<'a>) -> bool {
        self.process_has_task(self.process_of[member], task)
    }

    /// Whether a process has a task in any role.
    pub(super) fn process_has_task(&self, process: usize, task: Task<'a>) -> bool {
        self.processes[process].tasks.contains(&task)
    }

    /// Gives a task to a member. Returns how many it has now.
    pub(super) fn add(&mut self, member: usize, task: Task<'a>, is_active: bool) -> usize {
        let process = &mut self.processes[self.process_of[member]];
        process.tasks.insert(task);
        process.task_count += 1;
        self.counts[member] += 1;
        process.members.push(Reverse((self.counts[member], member)));
        let tasks = &mut self.tasks[member];
        let set = if is_active { &mut tasks.active } else { &mut tasks.standby };
        set.entry(task.subtopology.to_owned()).or_default().insert(task.partition);
        self.counts[member]
    }

    /// Gives a task to the member with the fewest tasks of a process. Returns how many it has now.
    pub(super) fn add_to_least_loaded_member(&mut self, process: usize, task: Task<'a>, is_active: bool) -> usize {
        let heap = &mut self.processes[process].members;
        // Each change of a count pushes a new entry; those with an old count are dropped here.
        while let Some(Reverse((count, member))) = heap.pop() {
            if self.counts[member] == count {
                return self.add(member, task, is_active);
            }
        }
        0
    }

    /// What each member was given.
    pub(super) fn into_tasks(self) -> Vec<Tasks> {
        self.tasks
    }

    fn load(&self, process: usize) -> Load {
        let process = &self.processes[process];
        Load { tasks: process.task_count, members: process.member_count }
    }
}

/// Processes, least loaded first. A process whose load changes is taken out and put back.
#[derive(Debug)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(Load, usize)>>,
}

impl Queue {
    pub(super) fn new(loads: &Loads<'_>) -> Self {
        let mut queue = Self { heap: BinaryHeap::with_capacity(loads.processes.len()) };
        for process in 0..loads.processes.len() {
            queue.push(process, loads);
        }
        queue
    }

    pub(super) fn pop(&mut self) -> Option<usize> {
        self.heap.pop().map(|Reverse((_, process))| process)
    }

    pub(super) fn push(&mut self, process: usize, loads: &Loads<'_>) {
        self.heap.push(Reverse((loads.load(process), process)));
    }
}
