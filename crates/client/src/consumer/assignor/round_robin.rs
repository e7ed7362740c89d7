//! The round-robin assignor: all partitions in order of topic and index, to the members in turn.

use std::collections::BTreeMap;

use super::{Assignments, Member, partition};

pub(super) fn assign(topics: &BTreeMap<String, usize>, members: &[&Member]) -> Assignments {
    let mut assignments: Assignments = members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
    let mut turn = 0;
    for (topic, partitions) in topics {
        if !members.iter().any(|member| member.is_subscribed(topic)) {
            continue;
        }
        for index in 0..*partitions {
            while !members[turn % members.len()].is_subscribed(topic) {
                turn += 1;
            }
            let member = members[turn % members.len()];
            turn += 1;
            if let Some(assigned) = assignments.get_mut(&member.id) {
                assigned.push(partition(topic, index));
            }
        }
    }
    assignments
}
