//! What a group shard waits for.

use std::sync::Arc;

use crate::runtime::timers::Timers;

/// What a deadline is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// The member must have sent a heartbeat, or have come back with the id that it was given.
    Session { group: Arc<str>, member: Arc<str> },
    /// The join phase of the group ends.
    Join { group: Arc<str> },
    /// The members of the group must have asked for their assignment.
    Sync { group: Arc<str> },
    /// Committed offsets and empty groups are looked through for old ones.
    Expiry,
}

/// The deadlines of a group shard.
pub(crate) type GroupTimers = Timers<TimerKey>;
