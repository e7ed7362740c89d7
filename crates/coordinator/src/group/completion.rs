//! What the group coordinator does once a write is committed or refused, and what writes in flight say of groups and offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use protocol::types::ProducerId;

use super::Group;
use super::classic::member::MemberProtocol;
use super::offsets::{CommittedOffset, OffsetKey};
use crate::effects::GroupResponse;
use crate::runtime::pending::PendingWrites;

/// What a write is for.
#[derive(Debug)]
pub(crate) enum Completion {
    /// A group that did not exist; it ends if it cannot be stored.
    NewGroup { group_id: Arc<str> },
    /// A generation without members.
    EmptyGeneration { group_id: Arc<str> },
    /// A static member came back under another id into a stable group.
    StaticMember(Box<StaticMemberChange>),
    /// The leader's assignment.
    Assignment { group_id: Arc<str>, generation: i32, assignments: BTreeMap<String, Bytes> },
    /// Offsets that were committed or removed, and groups that were deleted with them.
    Offsets { changes: Vec<OffsetChange>, deleted: Vec<Group> },
    /// Records that the state has followed already; if they are refused, it is ahead of the log.
    Replayed,
    /// Offsets that count once the producer's transaction is committed.
    TransactionalOffsets { producer_id: ProducerId, changes: Vec<OffsetChange> },
}

impl Completion {
    /// Nothing is left to do.
    pub(crate) fn done() -> Self {
        Self::Offsets { changes: Vec::new(), deleted: Vec::new() }
    }
}

/// One offset that a write sets, or removes.
#[derive(Debug)]
pub(crate) struct OffsetChange {
    pub(crate) key: OffsetKey,
    pub(crate) committed: Option<CommittedOffset>,
}

/// Enough to undo the replacement of a static member.
#[derive(Debug)]
pub(crate) struct StaticMemberChange {
    pub(crate) group_id: Arc<str>,
    pub(crate) old_member_id: Arc<str>,
    pub(crate) new_member_id: Arc<str>,
    pub(crate) old_protocols: Vec<MemberProtocol>,
    pub(crate) old_rebalance_timeout_ms: i32,
    pub(crate) old_session_timeout_ms: i32,
    pub(crate) old_leader: Option<Arc<str>>,
    /// The client understands that a leader need not assign (KIP-814).
    pub(crate) supports_skipping_assignment: bool,
}

/// The writes of a group shard.
pub(crate) type GroupWrites = PendingWrites<Completion, GroupResponse>;

impl GroupWrites {
    /// Whether a write in flight deletes that group.
    pub(crate) fn deletes_group(&self, group_id: &str) -> bool {
        self.completions().any(|completion| match completion {
            Completion::Offsets { deleted, .. } => deleted.iter().any(|group| **group.group_id() == *group_id),
            Completion::NewGroup { .. }
            | Completion::EmptyGeneration { .. }
            | Completion::StaticMember(_)
            | Completion::Assignment { .. }
            | Completion::TransactionalOffsets { .. }
            | Completion::Replayed => false,
        })
    }

    /// Whether a write in flight stores the assignment of that generation.
    pub(crate) fn assigns(&self, group: &str, current: i32) -> bool {
        self.completions().any(|completion| match completion {
            Completion::Assignment { group_id, generation, .. } => **group_id == *group && *generation == current,
            Completion::NewGroup { .. }
            | Completion::EmptyGeneration { .. }
            | Completion::StaticMember(_)
            | Completion::Offsets { .. }
            | Completion::TransactionalOffsets { .. }
            | Completion::Replayed => false,
        })
    }

    /// The offsets that writes in flight set or remove, oldest first.
    pub(crate) fn offset_changes(&self) -> impl Iterator<Item = &OffsetChange> {
        self.completions().flat_map(|completion| match completion {
            Completion::Offsets { changes, .. } | Completion::TransactionalOffsets { changes, .. } => {
                changes.as_slice()
            }
            Completion::NewGroup { .. }
            | Completion::EmptyGeneration { .. }
            | Completion::StaticMember(_)
            | Completion::Assignment { .. }
            | Completion::Replayed => &[],
        })
    }
}
