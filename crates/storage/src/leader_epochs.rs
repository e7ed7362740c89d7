//! Epoch to start offset: where each leader of the partition began to write (KIP-101).
//! `leader-epoch-checkpoint` is written before the recovery point passes an epoch's start; what is after the recovery
//! point is found again in the batches.

use std::path::Path;

use platform::Disk;
use protocol::types::{LeaderEpoch, Offset};

use crate::checkpoint;
use crate::error::StorageError;

/// Name of the checkpoint file in a log's directory.
pub(crate) const FILE_NAME: &str = "leader-epoch-checkpoint";

/// The epochs of a log, each above the one before it in epoch and offset.
#[derive(Debug, Default)]
pub(crate) struct LeaderEpochs {
    entries: Vec<(LeaderEpoch, Offset)>,
    /// Whether the file lacks something.
    dirty: bool,
}

impl LeaderEpochs {
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, StorageError> {
        let mut epochs = Self::default();
        for fields in checkpoint::read(disk, &dir.join(FILE_NAME))?.unwrap_or_default() {
            let malformed = || StorageError::Malformed { path: dir.join(FILE_NAME), reason: fields.join(" ") };
            let [epoch, offset] = fields.as_slice() else { return Err(malformed()) };
            let entry = (epoch.parse().map_err(|_| malformed())?, offset.parse().map_err(|_| malformed())?);
            epochs.assign(entry.0, entry.1);
        }
        epochs.dirty = false;
        Ok(epochs)
    }

    /// The file's content, if it has to be written.
    pub(crate) fn take_unwritten(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.dirty).then(|| {
            let lines = self.entries.iter().map(|(epoch, offset)| format!("{epoch} {offset}"));
            checkpoint::encode(lines)
        })
    }

    /// Notes that the leader of `epoch` writes from `offset` on.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, offset: Offset) {
        if epoch < 0 {
            return;
        }
        if let Some((latest, start)) = self.entries.last()
            && *latest == epoch
            && *start <= offset
        {
            return;
        }
        while self.entries.last().is_some_and(|(latest, start)| *latest >= epoch || *start >= offset) {
            self.entries.pop();
        }
        self.entries.push((epoch, offset));
        self.dirty = true;
    }

    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// The largest epoch up to `epoch`, and the offset after its last record.
    pub(crate) fn end_offset_for(&self, epoch: LeaderEpoch, log_end_offset: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch >= 0 && self.latest() == Some(epoch) {
            return Some((epoch, log_end_offset));
        }
        let above = self.entries.partition_point(|(known, _)| *known <= epoch);
        let (_, end) = *self.entries.get(above).filter(|_| epoch >= 0)?;
        let floor = above.checked_sub(1).map_or(epoch, |at| self.entries[at].0);
        Some((floor, end))
    }

    pub(crate) fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|(_, start)| *start <= offset);
        above.checked_sub(1).map(|at| self.entries[at].0)
    }

    /// Forgets epochs that end before `offset`, and lets the one it lies in start there.
    pub(crate) fn truncate_from_start(&mut self, offset: Offset) {
        let Some(last) = self.entries.partition_point(|(_, start)| *start <= offset).checked_sub(1) else { return };
        if last == 0 && self.entries[0].1 == offset {
            return;
        }
        self.entries.drain(..last);
        self.entries[0].1 = offset;
        self.dirty = true;
    }

    /// Forgets epochs that start at or after `offset`.
    pub(crate) fn truncate_from_end(&mut self, offset: Offset) {
        let keep = self.entries.partition_point(|(_, start)| *start < offset);
        if keep < self.entries.len() {
            self.entries.truncate(keep);
            self.dirty = true;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.dirty |= !self.entries.is_empty();
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(LeaderEpoch, Offset)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        entries.iter().for_each(|(epoch, offset)| epochs.assign(*epoch, *offset));
        epochs
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_starts() {
        let epochs = epochs(&[(2, 10), (3, 20), (5, 30)]);
        assert_eq!(epochs.end_offset_for(5, 99), Some((5, 99)));
        assert_eq!(epochs.end_offset_for(4, 99), Some((3, 30)));
        assert_eq!(epochs.end_offset_for(2, 99), Some((2, 20)));
        assert_eq!(epochs.end_offset_for(1, 99), Some((1, 10)));
        assert_eq!(epochs.end_offset_for(6, 99), None);
        assert_eq!(epochs.end_offset_for(-1, 99), None);
        assert_eq!([9, 10, 25, 30].map(|offset| epochs.epoch_for_offset(offset)), [None, Some(2), Some(3), Some(5)]);
    }

    #[test]
    fn truncation_keeps_the_epoch_at_the_cut() {
        let mut cut = epochs(&[(2, 10), (3, 20), (5, 30)]);
        cut.truncate_from_start(25);
        assert_eq!(cut.entries, [(3, 25), (5, 30)]);
        cut.truncate_from_end(30);
        assert_eq!(cut.entries, [(3, 25)]);
        cut.truncate_from_end(25);
        assert!(cut.entries.is_empty());
    }

    #[test]
    fn a_later_assignment_wins_over_what_it_contradicts() {
        assert_eq!(epochs(&[(2, 10), (3, 20), (4, 15)]).entries, [(2, 10), (4, 15)]);
        assert_eq!(epochs(&[(2, 10), (2, 12), (-1, 20)]).entries, [(2, 10)]);
    }
}
