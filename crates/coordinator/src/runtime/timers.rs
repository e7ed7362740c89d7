//! Named deadlines. Owned by the shard, which fires what is due in `tick`.
//! A name has at most one deadline; setting it again replaces it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use protocol::types::TimestampMs;

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

/// All deadlines of a shard.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: HashMap<TimerKey, TimestampMs>,
    by_time: BTreeSet<(TimestampMs, TimerKey)>,
}

impl Timers {
    /// Sets the deadline of `key`.
    pub(crate) fn schedule(&mut self, key: TimerKey, deadline: TimestampMs) {
        match self.deadlines.insert(key.clone(), deadline) {
            Some(before) if before == deadline => return,
            Some(before) => {
                self.by_time.remove(&(before, key.clone()));
            }
            None => {}
        }
        self.by_time.insert((deadline, key));
    }

    /// Forgets the deadline of `key`, if it has one.
    pub(crate) fn cancel(&mut self, key: &TimerKey) {
        if let Some((key, deadline)) = self.deadlines.remove_entry(key) {
            self.by_time.remove(&(deadline, key));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<TimestampMs> {
        self.by_time.first().map(|(deadline, _)| *deadline)
    }

    /// Takes the earliest deadline that is not after `now_ms`.
    pub(crate) fn pop_due(&mut self, now_ms: TimestampMs) -> Option<TimerKey> {
        if self.next_deadline()? > now_ms {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.deadlines.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_set_again_replaces_the_first() {
        let mut timers = Timers::default();
        let join = TimerKey::Join { group: "g".into() };
        timers.schedule(join.clone(), 10);
        timers.schedule(TimerKey::Expiry, 15);
        timers.schedule(join.clone(), 20);
        assert_eq!(timers.pop_due(12), None);
        assert_eq!(timers.pop_due(30), Some(TimerKey::Expiry));
        timers.cancel(&join);
        assert_eq!(timers.next_deadline(), None);
    }
}
