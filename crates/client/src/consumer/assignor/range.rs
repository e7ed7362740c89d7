//! The range assignor: each topic's partitions are cut into ranges, the first members getting one more.

use std::collections::BTreeMap;

use super::{Assignments, Member, partition};

pub(super) fn assign(topics: &BTreeMap<String, usize>, members: &[&Member]) -> Assignments {
    let mut assignments: Assignments = members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    for (topic, partitions) in topics {
        let subscribed: Vec<&&Member> = members.iter().filter(|member| member.is_subscribed(topic)).collect();
        if subscribed.is_empty() {
            continue;
        }
        let (share, extra) = (partitions / subscribed.len(), partitions % subscribed.len());
        let mut start = 0;
        for (at, member) in subscribed.iter().enumerate() {
            let end = start + share + usize::from(at < extra);
            if let Some(assigned) = assignments.get_mut(&member.id) {
                assigned.extend((start..end).map(|index| partition(topic, index)));
            }
            start = end;
        }
    }
    assignments
}
