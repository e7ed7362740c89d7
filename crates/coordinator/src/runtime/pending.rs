//! Writes in flight: records that were given to the shell, and what is to happen once they are committed or refused.
//! Nothing that they say is visible before that, so a client never sees what a crash could undo.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use protocol::EncodeError;
use tracing::warn;

use crate::effects::{CoordinatorRecord, Effects, GroupResponse, ReplyToken, Write, WriteId};
use crate::group::classic::member::MemberProtocol;
use crate::group::classic::state::ClassicGroup;
use crate::group::offsets::{CommittedOffset, OffsetKey};

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
    Offsets { changes: Vec<OffsetChange>, deleted: Vec<ClassicGroup> },
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

/// A write in flight.
#[derive(Debug)]
pub(crate) struct PendingWrite {
    id: WriteId,
    pub(crate) completion: Completion,
    pub(crate) reply: Option<(ReplyToken, GroupResponse)>,
}

/// All writes in flight, oldest first.
#[derive(Debug, Default)]
pub(crate) struct PendingWrites {
    last_id: u64,
    queue: VecDeque<PendingWrite>,
    /// Writes whose records could not be encoded, and so were never given out.
    unwritable: Vec<WriteId>,
}

impl PendingWrites {
    /// Gives records to the shell.
    pub(crate) fn start(
        &mut self,
        records: Result<Vec<CoordinatorRecord>, EncodeError>,
        completion: Completion,
        out: &mut Effects,
    ) -> WriteId {
        self.last_id += 1;
        let id = WriteId(self.last_id);
        match records {
            Ok(records) => out.writes.push(Write { id, records }),
            Err(error) => {
                warn!(%error, "could not encode a coordinator record");
                self.unwritable.push(id);
            }
        }
        self.queue.push_back(PendingWrite { id, completion, reply: None });
        id
    }

    /// Lets an answer wait for a write.
    pub(crate) fn reply_after(&mut self, id: WriteId, token: ReplyToken, response: GroupResponse) {
        if let Some(write) = self.queue.iter_mut().rev().find(|write| write.id == id) {
            write.reply = Some((token, response));
        }
    }

    /// Takes a write out.
    pub(crate) fn take(&mut self, id: WriteId) -> Option<PendingWrite> {
        let at = self.queue.iter().position(|write| write.id == id)?;
        self.queue.remove(at)
    }

    /// Takes the oldest write out.
    pub(crate) fn take_any(&mut self) -> Option<PendingWrite> {
        self.queue.pop_front()
    }

    /// The next write that failed before it was given out.
    pub(crate) fn next_unwritable(&mut self) -> Option<WriteId> {
        self.unwritable.pop()
    }

    /// Whether a write in flight deletes that group.
    pub(crate) fn deletes_group(&self, group_id: &str) -> bool {
        self.queue.iter().any(|write| match &write.completion {
            Completion::Offsets { deleted, .. } => deleted.iter().any(|group| *group.group_id == *group_id),
            Completion::NewGroup { .. }
            | Completion::EmptyGeneration { .. }
            | Completion::StaticMember(_)
            | Completion::Assignment { .. } => false,
        })
    }

    /// Whether a write in flight stores the assignment of that generation.
    pub(crate) fn assigns(&self, group: &str, current: i32) -> bool {
        self.queue.iter().any(|write| match &write.completion {
            Completion::Assignment { group_id, generation, .. } => **group_id == *group && *generation == current,
            Completion::NewGroup { .. }
            | Completion::EmptyGeneration { .. }
            | Completion::StaticMember(_)
            | Completion::Offsets { .. } => false,
        })
    }

    /// The offsets that writes in flight set or remove, oldest first.
    pub(crate) fn offset_changes(&self) -> impl Iterator<Item = &OffsetChange> {
        self.queue.iter().flat_map(|write| match &write.completion {
            Completion::Offsets { changes, .. } => changes.as_slice(),
            Completion::NewGroup { .. }
            | Completion::EmptyGeneration { .. }
            | Completion::StaticMember(_)
            | Completion::Assignment { .. } => &[],
        })
    }
}
