//! The assignor `simple` of share groups: every partition to about as many members, every member to about as many
//! partitions. What a member has stays with it where that keeps the balance.
//! Members that subscribe to the same topics are balanced over all of them, others topic by topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::Uuid;
use protocol::types::PartitionIndex;

use crate::group::modern::assignment::Assignment;

type Partition = (Uuid, PartitionIndex);

/// What the assignor knows of a member.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemberSpec {
    /// Topics that it subscribes to, and that exist.
    pub(crate) topics: BTreeSet<Uuid>,
    /// What it is assigned so far.
    pub(crate) assigned: Assignment,
}

/// Assigns the partitions of `assignable` to members that subscribe to their topics.
pub(crate) fn assign(
    members: &BTreeMap<Arc<str>, MemberSpec>,
    assignable: &Assignment,
) -> BTreeMap<Arc<str>, Assignment> {
    let subscribed: BTreeSet<Uuid> = members.values().flat_map(|member| member.topics.iter().copied()).collect();
    let before: Vec<&MemberSpec> = members.values().collect();
    let mut assigned: Vec<Assignment> = vec![Assignment::new(); before.len()];
    let same = before.iter().all(|member| member.topics == subscribed);
    let everyone: Vec<usize> = (0..before.len()).collect();
    let rounds: Vec<(BTreeSet<Uuid>, Vec<usize>)> = if same {
        vec![(subscribed, everyone)]
    } else {
        let subscribers = |topic: &Uuid| -> Vec<usize> {
            everyone.iter().copied().filter(|at| before[*at].topics.contains(topic)).collect()
        };
        subscribed.iter().map(|topic| (BTreeSet::from([*topic]), subscribers(topic))).collect()
    };
    for (topics, subscribers) in rounds {
        for (member, partitions) in Round::new(&before, &topics, &subscribers, assignable).run() {
            for (topic, partition) in partitions {
                assigned[member].entry(topic).or_default().insert(partition);
            }
        }
    }
    members.keys().cloned().zip(assigned).collect()
}

/// The assignment of some topics to those who subscribe to all of them.
struct Round {
    /// How many members a partition should have.
    sharing: usize,
    /// How many partitions each member should have.
    desired: BTreeMap<usize, usize>,
    members_of: BTreeMap<Partition, BTreeSet<usize>>,
    partitions_of: BTreeMap<usize, BTreeSet<Partition>>,
}

impl Round {
    fn new(before: &[&MemberSpec], topics: &BTreeSet<Uuid>, subscribers: &[usize], assignable: &Assignment) -> Self {
        let targets = topics.iter().filter_map(|topic| assignable.get_key_value(topic));
        let targets: Vec<Partition> =
            targets.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition))).collect();
        let sharing = if targets.is_empty() { 0 } else { subscribers.len().div_ceil(targets.len()) };
        // Shares of the total, rounded so that they add up to it.
        let total = sharing * targets.len();
        let upto = |count: usize| (total * count).div_ceil(subscribers.len().max(1));
        let desired = subscribers.iter().enumerate().map(|(at, member)| (*member, upto(at + 1) - upto(at))).collect();
        let mut members_of: BTreeMap<Partition, BTreeSet<usize>> =
            targets.into_iter().map(|partition| (partition, BTreeSet::new())).collect();
        let mut partitions_of: BTreeMap<usize, BTreeSet<Partition>> =
            subscribers.iter().map(|member| (*member, BTreeSet::new())).collect();
        for member in subscribers {
            let of_topics = topics.iter().filter_map(|topic| before[*member].assigned.get_key_value(topic));
            for (topic, partitions) in of_topics {
                for partition in partitions {
                    let Some(members) = members_of.get_mut(&(*topic, *partition)) else { continue };
                    members.insert(*member);
                    partitions_of.entry(*member).or_default().insert((*topic, *partition));
                }
            }
        }
        Self { sharing, desired, members_of, partitions_of }
    }

    fn run(mut self) -> BTreeMap<usize, BTreeSet<Partition>> {
        self.revoke_from_overfilled();
        self.revoke_overshared();
        self.assign_remaining();
        self.partitions_of
    }

    fn revoke_from_overfilled(&mut self) {
        for (member, partitions) in &mut self.partitions_of {
            while partitions.len() > self.desired[member] {
                let Some(partition) = partitions.pop_last() else { break };
                if let Some(members) = self.members_of.get_mut(&partition) {
                    members.remove(member);
                }
            }
        }
    }

    fn revoke_overshared(&mut self) {
        for (partition, members) in &mut self.members_of {
            while members.len() > self.sharing {
                let Some(member) = members.pop_first() else { break };
                if let Some(partitions) = self.partitions_of.get_mut(&member) {
                    partitions.remove(partition);
                }
            }
        }
    }

    /// Goes around the members that lack partitions. A partition that all of them have already stays with fewer members.
    fn assign_remaining(&mut self) {
        let lacks = |(member, partitions): &(&usize, &BTreeSet<Partition>)| partitions.len() < self.desired[*member];
        let mut unfilled: Vec<usize> = self.partitions_of.iter().filter(lacks).map(|(member, _)| *member).collect();
        let mut at = 0;
        for (partition, members) in &mut self.members_of {
            let mut passed = 0;
            while members.len() < self.sharing && passed < unfilled.len() {
                at %= unfilled.len();
                let member = unfilled[at];
                if !members.insert(member) {
                    (at, passed) = (at + 1, passed + 1);
                    continue;
                }
                passed = 0;
                let partitions = self.partitions_of.entry(member).or_default();
                partitions.insert(*partition);
                if partitions.len() >= self.desired[&member] {
                    unfilled.remove(at);
                } else {
                    at += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_bytes([1; 16]);
    const B: Uuid = Uuid::from_bytes([2; 16]);

    fn assignable(sizes: &[(Uuid, i32)]) -> Assignment {
        sizes.iter().map(|(topic, size)| (*topic, (0..*size).collect())).collect()
    }

    fn members(topics: &[&[Uuid]]) -> BTreeMap<Arc<str>, MemberSpec> {
        let spec = |topics: &&[Uuid]| MemberSpec { topics: topics.iter().copied().collect(), ..Default::default() };
        topics.iter().enumerate().map(|(at, topics)| (format!("m{at}").into(), spec(topics))).collect()
    }

    fn counts(assigned: &BTreeMap<Arc<str>, Assignment>) -> Vec<usize> {
        assigned.values().map(|topics| topics.values().map(BTreeSet::len).sum()).collect()
    }

    fn keep(members: &mut BTreeMap<Arc<str>, MemberSpec>, assigned: &BTreeMap<Arc<str>, Assignment>) {
        for (id, member) in members {
            member.assigned = assigned.get(id).cloned().unwrap_or_default();
        }
    }

    #[test]
    fn partitions_are_dealt_out_evenly() {
        let assigned = assign(&members(&[&[A, B], &[A, B]]), &assignable(&[(A, 3), (B, 3)]));
        assert_eq!(counts(&assigned), [3, 3]);
        let all: BTreeSet<Partition> = assigned
            .values()
            .flatten()
            .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
            .collect();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn more_members_than_partitions_share_them() {
        let assigned = assign(&members(&[&[A], &[A], &[A], &[A], &[A]]), &assignable(&[(A, 2)]));
        assert_eq!(counts(&assigned).iter().sum::<usize>(), 6, "every partition has three members");
        assert!(counts(&assigned).iter().all(|count| *count >= 1), "nobody is idle: {assigned:?}");
    }

    #[test]
    fn a_new_member_moves_as_little_as_it_must() {
        let mut group = members(&[&[A], &[A]]);
        let topics = assignable(&[(A, 6)]);
        let first = assign(&group, &topics);
        keep(&mut group, &first);
        assert_eq!(assign(&group, &topics), first, "nothing moves without a reason");
        group.insert("m2".into(), MemberSpec { topics: [A].into(), ..Default::default() });
        let second = assign(&group, &topics);
        assert_eq!(counts(&second), [2, 2, 2]);
        for (member, before) in &first {
            assert!(second[member][&A].is_subset(&before[&A]), "{member} got nothing that it did not have");
        }
    }

    #[test]
    fn different_subscriptions_are_balanced_by_topic() {
        let assigned = assign(&members(&[&[A], &[A, B], &[B]]), &assignable(&[(A, 4), (B, 2)]));
        assert_eq!(assigned["m0"][&A].len(), 2);
        assert_eq!((assigned["m1"][&A].len(), assigned["m1"][&B].len()), (2, 1));
        assert_eq!(assigned["m2"][&B].len(), 1);
        assert!(!assigned["m0"].contains_key(&B));
    }

    #[test]
    fn only_what_is_assignable_is_assigned() {
        assert_eq!(counts(&assign(&members(&[&[A, B]]), &assignable(&[(A, 1)]))), [1]);
        assert_eq!(counts(&assign(&members(&[&[A]]), &Assignment::new())), [0]);
        assert_eq!(assign(&BTreeMap::new(), &assignable(&[(A, 1)])), BTreeMap::new());
    }
}
