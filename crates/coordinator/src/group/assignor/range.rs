//! Range assignment: the members of a topic, in a fixed order, get one range of its partitions each.

use std::collections::BTreeMap;

use protocol::Uuid;
use protocol::types::PartitionIndex;

use super::{GroupSpec, MemberSpec};
use crate::group::modern::assignment::Assignment;

/// What is left of a topic.
struct Rest {
    partitions: usize,
    least: usize,
    with_one_more: usize,
    next: usize,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> Vec<Assignment> {
    let mut order: Vec<usize> = (0..group.members.len()).collect();
    order.sort_by_key(|index| place(&group.members[*index]));
    let mut subscribers: BTreeMap<Uuid, usize> = BTreeMap::new();
    for topic in group.members.iter().flat_map(|member| member.topics.iter()) {
        *subscribers.entry(*topic).or_default() += 1;
    }
    let mut topics: BTreeMap<Uuid, Rest> = BTreeMap::new();
    for (topic, members) in subscribers {
        let partitions = group.partitions.get(&topic).copied().unwrap_or(0);
        let rest = Rest { partitions, least: partitions / members, with_one_more: partitions % members, next: 0 };
        topics.insert(topic, rest);
    }
    let mut assignments = vec![Assignment::new(); group.members.len()];
    for index in order {
        for topic in group.members[index].topics.iter() {
            let Some(rest) = topics.get_mut(topic) else { continue };
            let range = take(rest);
            if !range.is_empty() {
                let indexes = range.filter_map(|index| PartitionIndex::try_from(index).ok());
                assignments[index].insert(*topic, indexes.collect());
            }
        }
    }
    assignments
}

/// Static members come first, by their instances; the others by their ids.
fn place<'a>(member: &MemberSpec<'a>) -> (bool, &'a str) {
    match member.instance_id {
        Some(instance_id) => (false, instance_id),
        None => (true, member.member_id),
    }
}

fn take(rest: &mut Rest) -> std::ops::Range<usize> {
    let more = usize::from(rest.with_one_more > 0);
    rest.with_one_more -= more;
    let start = rest.next;
    rest.next = (start + rest.least + more).min(rest.partitions);
    start..rest.next
}
