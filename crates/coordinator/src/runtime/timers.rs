//! Named deadlines. Owned by the shard, which fires what is due in `tick`.
//! A name has at most one deadline; setting it again replaces it.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use protocol::types::TimestampMs;

/// All deadlines of a shard, by what they are for.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    deadlines: HashMap<K, TimestampMs>,
    by_time: BTreeSet<(TimestampMs, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { deadlines: HashMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Clone + Hash + Ord> Timers<K> {
    /// Sets the deadline of `key`.
    pub(crate) fn schedule(&mut self, key: K, deadline: TimestampMs) {
        match self.deadlines.insert(key.clone(), deadline) {
            Some(before) if before == deadline => return,
            Some(before) => {
                self.by_time.remove(&(before, key.clone()));
            }
            None => {}
        }
        self.by_time.insert((deadline, key));
    }

    /// Sets the deadline of `key`, unless it has one.
    pub(crate) fn schedule_if_absent(&mut self, key: K, deadline: TimestampMs) {
        if !self.deadlines.contains_key(&key) {
            self.schedule(key, deadline);
        }
    }

    /// Whether `key` has a deadline.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.deadlines.contains_key(key)
    }

    /// Forgets the deadline of `key`, if it has one.
    pub(crate) fn cancel(&mut self, key: &K) {
        if let Some((key, deadline)) = self.deadlines.remove_entry(key) {
            self.by_time.remove(&(deadline, key));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<TimestampMs> {
        self.by_time.first().map(|(deadline, _)| *deadline)
    }

    /// Takes the earliest deadline that is not after `now_ms`.
    pub(crate) fn pop_due(&mut self, now_ms: TimestampMs) -> Option<K> {
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
        timers.schedule("join", 10);
        timers.schedule("expiry", 15);
        timers.schedule("join", 20);
        assert_eq!(timers.pop_due(12), None);
        assert_eq!(timers.pop_due(30), Some("expiry"));
        timers.cancel(&"join");
        assert_eq!(timers.next_deadline(), None);
    }
}
