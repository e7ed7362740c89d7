//! The target assignment of a group: what each member is to have, as of one group epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use protocol::types::TimestampMs;

use super::assignment::Assignment;

/// The epoch of a target assignment that was never computed.
pub(crate) const NO_ASSIGNMENT_EPOCH: i32 = -1;

static EMPTY: LazyLock<Arc<Assignment>> = LazyLock::new(Arc::default);

/// The target of all members.
#[derive(Debug)]
pub(crate) struct TargetAssignment {
    /// The group epoch that it was computed for.
    pub(crate) epoch: i32,
    /// When it was computed; 0 if that is not known.
    pub(crate) timestamp_ms: TimestampMs,
    members: BTreeMap<Arc<str>, Arc<Assignment>>,
}

impl Default for TargetAssignment {
    fn default() -> Self {
        Self { epoch: NO_ASSIGNMENT_EPOCH, timestamp_ms: 0, members: BTreeMap::new() }
    }
}

impl TargetAssignment {
    /// The target of a member; nothing if it has none.
    pub(crate) fn of(&self, member_id: &str) -> &Arc<Assignment> {
        self.members.get(member_id).unwrap_or(&EMPTY)
    }

    /// The target of a member, if it has one.
    pub(crate) fn get(&self, member_id: &str) -> Option<&Arc<Assignment>> {
        self.members.get(member_id)
    }

    /// Sets the target of a member.
    pub(crate) fn set(&mut self, member_id: Arc<str>, assignment: Assignment) {
        self.members.insert(member_id, Arc::new(assignment));
    }

    /// Forgets the target of a member.
    pub(crate) fn remove(&mut self, member_id: &str) {
        self.members.remove(member_id);
    }

    /// Whether the interval since it was computed is over, so that another may be.
    pub(crate) fn may_be_replaced(&self, now_ms: TimestampMs, interval_ms: i32) -> bool {
        self.timestamp_ms == 0 || interval_ms == 0 || now_ms >= self.timestamp_ms + i64::from(interval_ms)
    }
}
