//! Uniform assignment to members that all subscribe to the same topics: each gets its share, give or take one, and keeps
//! as much of it as it has.

use std::collections::BTreeMap;

use protocol::Uuid;
use protocol::types::PartitionIndex;

use super::{GroupSpec, MemberSpec};
use crate::group::modern::assignment::Assignment;

pub(super) fn assign(group: &GroupSpec<'_>) -> Vec<Assignment> {
    let members = group.members.len();
    if members == 0 {
        return Vec::new();
    }
    let mut unassigned = unassigned_partitions(group);
    let total: usize = group.partitions.values().sum();
    let mut shares = Shares { least: total / members, with_one_more: total % members };
    let mut assignments = Vec::with_capacity(members);
    let mut unfilled = Vec::new();
    for (index, member) in group.members.iter().enumerate() {
        let allowed = shares.allowed();
        let kept = keep(group, member, allowed, &mut unassigned);
        let missing = shares.take(allowed - kept.values().map(|set| set.len()).sum::<usize>(), members - index);
        if missing > 0 {
            unfilled.push((index, missing));
        }
        assignments.push(kept);
    }
    let mut unassigned = unassigned.into_iter();
    for (index, missing) in unfilled {
        for (topic, partition) in unassigned.by_ref().take(missing) {
            assignments[index].entry(topic).or_default().insert(partition);
        }
    }
    assignments
}

/// How many partitions the members that are left get.
struct Shares {
    least: usize,
    /// How many of them get one more.
    with_one_more: usize,
}

impl Shares {
    /// The most that the next member may keep.
    fn allowed(&self) -> usize {
        self.least + usize::from(self.with_one_more > 0)
    }

    /// How many the next member still gets, if it has `free` fewer than it may have and `left` members are left with it.
    /// It is not given one more than the others if others that are to come can be.
    fn take(&mut self, free: usize, left: usize) -> usize {
        if self.with_one_more == 0 {
            return free;
        }
        if free > 0 && left > self.with_one_more {
            return free - 1;
        }
        self.with_one_more -= 1;
        free
    }
}

fn unassigned_partitions(group: &GroupSpec<'_>) -> Vec<(Uuid, PartitionIndex)> {
    let mut owned: BTreeMap<Uuid, Vec<bool>> =
        group.partitions.iter().map(|(topic, count)| (*topic, vec![false; *count])).collect();
    for (topic, partitions) in group.members.iter().flat_map(|member| member.assigned) {
        let Some(owned) = owned.get_mut(topic) else { continue };
        for partition in partitions {
            if let Some(owned) = usize::try_from(*partition).ok().and_then(|at| owned.get_mut(at)) {
                *owned = true;
            }
        }
    }
    let free = owned
        .into_iter()
        .flat_map(|(topic, owned)| (0..).zip(owned).filter(|(_, owned)| !owned).map(move |(index, _)| (topic, index)));
    free.collect()
}

/// What a member keeps of what it has: no more than `allowed`. The rest is unassigned.
fn keep(
    group: &GroupSpec<'_>,
    member: &MemberSpec<'_>,
    allowed: usize,
    unassigned: &mut Vec<(Uuid, PartitionIndex)>,
) -> Assignment {
    let mut kept = Assignment::new();
    let mut left = allowed;
    for (topic, partitions) in member.assigned {
        let Some(count) = group.partitions.get(topic) else { continue };
        let existing = partitions.iter().filter(|index| usize::try_from(**index).is_ok_and(|index| index < *count));
        for partition in existing {
            if left > 0 {
                left -= 1;
                kept.entry(*topic).or_default().insert(*partition);
            } else {
                unassigned.push((*topic, *partition));
            }
        }
    }
    kept
}
