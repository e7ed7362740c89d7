//! Uniform assignment to members that subscribe to different topics. Balance comes before stickiness: what is free goes to
//! the least loaded subscribers, then partitions move from the most to the least loaded until nothing is gained by it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use protocol::Uuid;
use protocol::types::PartitionIndex;

use super::GroupSpec;
use super::balancer::Balancer;
use crate::group::modern::assignment::Assignment;

/// Rounds of balancing. Members whose subscriptions overlap halve their imbalance in each; two suffice if they are equal.
const MAX_ROUNDS: usize = 16;

/// A topic: who subscribes to it, in ascending order, and who has each of its partitions.
struct Topic {
    id: Uuid,
    subscribers: Vec<usize>,
    owners: Vec<Option<usize>>,
}

impl Topic {
    /// Topics with many partitions a subscriber come first, since they leave the least choice.
    fn before(&self, other: &Self) -> Ordering {
        // a/b against c/d is a*d against c*b.
        let ours = self.owners.len() * other.subscribers.len();
        let theirs = other.owners.len() * self.subscribers.len();
        theirs.cmp(&ours).then(self.subscribers.len().cmp(&other.subscribers.len())).then(self.id.cmp(&other.id))
    }
}

pub(super) fn assign(group: &GroupSpec<'_>) -> Vec<Assignment> {
    let mut topics = topics(group);
    let mut loads = vec![0; group.members.len()];
    for owner in topics.iter().flat_map(|topic| topic.owners.iter().flatten()) {
        loads[*owner] += 1;
    }
    topics.sort_by(Topic::before);
    for topic in &mut topics {
        assign_free(topic, &mut loads);
    }
    balance(&mut topics, &mut loads);
    let mut assignments = vec![Assignment::new(); group.members.len()];
    for topic in &topics {
        for (index, owner) in (0..).zip(&topic.owners) {
            if let Some(owner) = owner {
                assignments[*owner].entry(topic.id).or_default().insert(index);
            }
        }
    }
    assignments
}

/// All topics, with the owners that may keep what they have.
fn topics(group: &GroupSpec<'_>) -> Vec<Topic> {
    let mut topics: BTreeMap<Uuid, Topic> = BTreeMap::new();
    for (index, member) in group.members.iter().enumerate() {
        for id in member.topics.iter() {
            let count = group.partitions.get(id).copied().unwrap_or(0);
            let topic = topics.entry(*id).or_insert_with(|| Topic {
                id: *id,
                subscribers: Vec::new(),
                owners: vec![None; count],
            });
            topic.subscribers.push(index);
        }
    }
    for (index, member) in group.members.iter().enumerate() {
        for (id, partitions) in member.assigned.iter().filter(|(id, _)| member.topics.contains(id)) {
            let Some(topic) = topics.get_mut(id) else { continue };
            for partition in partitions {
                let owner = usize::try_from(*partition).ok().and_then(|at| topic.owners.get_mut(at));
                if let Some(owner) = owner {
                    *owner = Some(index);
                }
            }
        }
    }
    topics.into_values().collect()
}

fn assign_free(topic: &mut Topic, loads: &mut [usize]) {
    let mut balancer = Balancer::new(loads, &topic.subscribers);
    for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
        let member = balancer.next_least();
        loads[member] += 1;
        *owner = Some(member);
    }
}

fn balance(topics: &mut [Topic], loads: &mut [usize]) {
    let mut topics: Vec<&mut Topic> = topics.iter_mut().filter(|topic| topic.subscribers.len() > 1).collect();
    let mut last_moved = None;
    for _ in 0..MAX_ROUNDS {
        for (at, topic) in topics.iter_mut().enumerate() {
            if last_moved == Some(at) {
                // Nothing has moved since this topic's last turn.
                return;
            }
            if balance_topic(topic, loads) || last_moved.is_none() {
                last_moved = Some(at);
            }
        }
    }
}

/// Moves partitions of a topic among its subscribers. True if any moved.
fn balance_topic(topic: &mut Topic, loads: &mut [usize]) -> bool {
    let mut balancer = Balancer::new(loads, &topic.subscribers);
    if balancer.imbalance() <= 1 {
        return false;
    }
    let mut owned: HashMap<usize, Vec<PartitionIndex>> = HashMap::new();
    for (index, owner) in (0..).zip(&topic.owners) {
        if let Some(owner) = owner {
            owned.entry(*owner).or_default().push(index);
        }
    }
    let mut moved = false;
    while !balancer.is_balanced() {
        let Some((most, partition)) = next_to_move(&mut balancer, &mut owned) else { break };
        let least = balancer.next_least();
        if balancer.is_balanced() {
            break;
        }
        if let Some(owner) = usize::try_from(partition).ok().and_then(|at| topic.owners.get_mut(at)) {
            *owner = Some(least);
        }
        loads[most] -= 1;
        loads[least] += 1;
        moved = true;
    }
    moved
}

/// The last partition of the most loaded member that has one.
fn next_to_move(
    balancer: &mut Balancer,
    owned: &mut HashMap<usize, Vec<PartitionIndex>>,
) -> Option<(usize, PartitionIndex)> {
    loop {
        let most = balancer.next_most()?;
        match owned.get_mut(&most).and_then(Vec::pop) {
            Some(partition) => return Some((most, partition)),
            None => balancer.exclude_most(),
        }
    }
}
