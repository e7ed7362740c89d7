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
    /// The member of a consumer group must have given up what it was told to.
    Rebalance { group: Arc<str>, member: Arc<str> },
    /// The member of the classic protocol must have joined the consumer group again.
    MemberJoin { group: Arc<str>, member: Arc<str> },
    /// The member of the classic protocol must have asked for what it has in the consumer group.
    MemberSync { group: Arc<str>, member: Arc<str> },
    /// The streams group has waited for more members before its first assignment.
    InitialRebalance { group: Arc<str> },
    /// Committed offsets and empty groups are looked through for old ones.
    Expiry,
}

impl TimerKey {
    /// All deadlines that a member of a group of the newer protocols can have.
    pub(crate) fn of_member(group: &Arc<str>, member: &Arc<str>) -> [Self; 4] {
        let (group, member) = (|| Arc::clone(group), || Arc::clone(member));
        [
            Self::Session { group: group(), member: member() },
            Self::Rebalance { group: group(), member: member() },
            Self::MemberJoin { group: group(), member: member() },
            Self::MemberSync { group: group(), member: member() },
        ]
    }
}

/// The deadlines of a group shard.
pub(crate) type GroupTimers = Timers<TimerKey>;
