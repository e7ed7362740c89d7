//! Assignments of partitions, and where a member is on its way to its target.

use std::collections::{BTreeMap, BTreeSet};

use protocol::Uuid;
use protocol::types::PartitionIndex;

/// Partitions by topic. A topic without partitions is not there.
pub(crate) type Assignment = BTreeMap<Uuid, BTreeSet<PartitionIndex>>;

/// Partitions by topic, each with the member epoch at which it was assigned.
pub(crate) type EpochAssignment = BTreeMap<Uuid, BTreeMap<PartitionIndex, i32>>;

/// The assignment without its epochs.
pub(crate) fn without_epochs(assignment: &EpochAssignment) -> Assignment {
    assignment.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}

/// The assignment with the same epoch for all.
pub(crate) fn with_epoch(assignment: &Assignment, epoch: i32) -> EpochAssignment {
    let at_epoch = |partitions: &BTreeSet<PartitionIndex>| partitions.iter().map(|index| (*index, epoch)).collect();
    assignment.iter().map(|(topic, partitions)| (*topic, at_epoch(partitions))).collect()
}

/// Where a member is on its way from what it has to its target (`MemberState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MemberState {
    /// It has all that it is to have.
    #[default]
    Stable,
    /// It has been told to give up partitions and has not done so.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given up.
    UnreleasedPartitions,
    /// A state that this release does not know.
    Unknown,
}

impl MemberState {
    /// Its code in records.
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    /// The state of a code.
    pub(crate) fn from_code(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}
