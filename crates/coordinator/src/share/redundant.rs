//! Which records of a partition of `__share_group_state` nobody needs any more: those below the last snapshot of every key.

use std::collections::{BTreeSet, HashMap};

use protocol::types::Offset;

use super::ShareKey;

/// The offsets of the last snapshots.
#[derive(Debug, Default)]
pub(super) struct SnapshotOffsets {
    by_key: HashMap<ShareKey, Offset>,
    ordered: BTreeSet<Offset>,
    /// Where the log may begin.
    needed_from: Option<Offset>,
    /// The key of the last record.
    last_key: Option<ShareKey>,
}

impl SnapshotOffsets {
    /// A snapshot of `key` is at `offset`.
    pub(super) fn snapshot(&mut self, key: &ShareKey, offset: Offset) {
        if let Some(before) = self.by_key.insert(key.clone(), offset) {
            self.ordered.remove(&before);
        }
        self.ordered.insert(offset);
        self.last_key = Some(key.clone());
        self.needed_from = self.ordered.first().copied();
    }

    /// A tombstone of `key` is at `offset`: it counts until the next record does.
    pub(super) fn tombstone(&mut self, key: &ShareKey, offset: Offset) {
        self.snapshot(key, offset);
        self.by_key.remove(key);
        self.ordered.remove(&offset);
    }

    /// The offset below which all may go, if there is anything.
    pub(super) fn redundant_below(&self) -> Option<Offset> {
        self.needed_from.filter(|offset| *offset > 0)
    }

    /// A key that lives, or lived, in the partition.
    pub(super) fn any_key(&self) -> Option<&ShareKey> {
        self.last_key.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> ShareKey {
        ShareKey { group_id: "g".into(), topic_id: protocol::Uuid::ZERO, partition }
    }

    #[test]
    fn the_oldest_of_the_last_snapshots_is_needed() {
        let mut offsets = SnapshotOffsets::default();
        offsets.snapshot(&key(1), 0);
        assert_eq!(offsets.redundant_below(), None);
        offsets.snapshot(&key(2), 2);
        offsets.snapshot(&key(1), 5);
        assert_eq!(offsets.redundant_below(), Some(2));
        offsets.snapshot(&key(2), 7);
        assert_eq!(offsets.redundant_below(), Some(5));
        offsets.tombstone(&key(1), 9);
        assert_eq!(offsets.redundant_below(), Some(7));
        offsets.tombstone(&key(2), 11);
        assert_eq!(offsets.redundant_below(), Some(11));
    }
}
