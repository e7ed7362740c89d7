//! Assignors: who reads what. All of them give every partition of a subscribed topic to exactly one subscriber.

mod balancer;
mod heterogeneous;
mod homogeneous;
mod range;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::Uuid;

use super::modern::assignment::Assignment;

/// A member, as an assignor sees it.
#[derive(Debug)]
pub(crate) struct MemberSpec<'a> {
    pub(crate) member_id: &'a str,
    /// A static member keeps its place in the order of members when its id changes.
    pub(crate) instance_id: Option<&'a str>,
    /// The topics that it subscribes to; only those that exist.
    pub(crate) topics: Arc<BTreeSet<Uuid>>,
    /// Its target so far.
    pub(crate) assigned: &'a Assignment,
}

/// A group, as an assignor sees it.
#[derive(Debug)]
pub(crate) struct GroupSpec<'a> {
    pub(crate) members: Vec<MemberSpec<'a>>,
    /// Number of partitions of each topic that anyone subscribes to.
    pub(crate) partitions: BTreeMap<Uuid, usize>,
    /// All members subscribe to the same topics.
    pub(crate) homogeneous: bool,
}

/// The assignors of consumer groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Spreads partitions evenly and moves as few as it can.
    Uniform,
    /// Gives each member of a topic a range of its partitions, so that topics of equal size are read side by side.
    Range,
}

impl Assignor {
    /// The assignor of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "uniform" | "org.apache.kafka.coordinator.group.assignor.UniformAssignor" => Some(Self::Uniform),
            "range" | "org.apache.kafka.coordinator.group.assignor.RangeAssignor" => Some(Self::Range),
            _ => None,
        }
    }

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// What each member gets, in the order of the members.
    pub(crate) fn assign(self, group: &GroupSpec<'_>) -> Vec<Assignment> {
        match self {
            Self::Uniform if group.homogeneous => homogeneous::assign(group),
            Self::Uniform => heterogeneous::assign(group),
            Self::Range => range::assign(group),
        }
    }
}
