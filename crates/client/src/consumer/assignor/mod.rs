//! How a group's leader spreads partitions over the members, and how that travels inside JoinGroup and SyncGroup.
//! Pure: the same members and topics give the same assignment, whoever leads.

mod protocol;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use ::protocol::TopicPartition;
use ::protocol::types::PartitionIndex;

pub(crate) use protocol::{decode_assignment, encode_assignment, subscription};

pub(crate) use protocol::decode_member;

/// A strategy of `partition.assignment.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Each topic's partitions in ranges, in order of the members.
    Range,
    /// All partitions in turn.
    RoundRobin,
    /// Balanced, with as few moves as possible; members give up everything before they join.
    Sticky,
    /// As `Sticky`, but members keep what they own while a rebalance runs (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// The assignor of a name, or of the Java class that implements it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let class = name.trim_start_matches("class ").rsplit('.').next().unwrap_or(name);
        match class {
            "range" | "RangeAssignor" => Some(Self::Range),
            "roundrobin" | "RoundRobinAssignor" => Some(Self::RoundRobin),
            "sticky" | "StickyAssignor" => Some(Self::Sticky),
            "cooperative-sticky" | "CooperativeStickyAssignor" => Some(Self::CooperativeSticky),
            _ => None,
        }
    }

    /// Its name in the group protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Whether members may keep partitions while they rejoin.
    pub(crate) fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// Spreads the partitions of `topics` (name and number of partitions) over `members`.
    pub(crate) fn assign(self, topics: &BTreeMap<String, usize>, members: &[Member]) -> Assignments {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_by(|a, b| a.order(b));
        match self {
            Self::Range => range::assign(topics, &members),
            Self::RoundRobin => round_robin::assign(topics, &members),
            Self::Sticky => sticky::assign(topics, &members),
            Self::CooperativeSticky => without_moves(sticky::assign(topics, &members), &members),
        }
    }
}

/// A member as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) topics: Vec<String>,
    pub(crate) owned: Vec<TopicPartition>,
    /// Generation in which it got what it owns, or -1.
    pub(crate) generation: i32,
}

/// Partitions by id of the member.
pub(crate) type Assignments = HashMap<String, Vec<TopicPartition>>;

impl Member {
    /// Static members come first, so that their share does not depend on ids that change with every start.
    fn order(&self, other: &Self) -> Ordering {
        match (&self.instance_id, &other.instance_id) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.id.cmp(&other.id),
        }
    }

    fn is_subscribed(&self, topic: &str) -> bool {
        self.topics.iter().any(|subscribed| subscribed == topic)
    }
}

fn partition(topic: &str, index: usize) -> TopicPartition {
    TopicPartition::new(topic, PartitionIndex::try_from(index).unwrap_or(PartitionIndex::MAX))
}

/// Takes out what another member still owns: it is given away only after that member has let go of it.
fn without_moves(mut assignments: Assignments, members: &[&Member]) -> Assignments {
    let owners = sticky::owners(members);
    for (member, partitions) in &mut assignments {
        let owned_elsewhere: HashSet<TopicPartition> = partitions
            .iter()
            .filter(|partition| owners.get(*partition).is_some_and(|owner| members[*owner].id != *member))
            .cloned()
            .collect();
        partitions.retain(|partition| !owned_elsewhere.contains(partition));
    }
    assignments
}
