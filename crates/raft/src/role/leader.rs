//! The leader of an epoch: what each voter has, and with that what is committed.

use std::collections::BTreeMap;

use protocol::types::Offset;

use crate::voters::{VoterKey, VoterSet};

/// State of the leader.
#[derive(Debug)]
pub struct Leader {
    /// Offset of the epoch's first record.
    pub epoch_start_offset: Offset,
    /// What each voter is known to have on disk.
    synced: BTreeMap<VoterKey, Offset>,
    high_watermark: Option<Offset>,
}

impl Leader {
    /// A leader whose epoch starts at `epoch_start_offset`.
    #[must_use]
    pub fn new(epoch_start_offset: Offset, voters: &VoterSet) -> Self {
        let synced = voters.iter().map(|voter| (voter.key, 0)).collect();
        Self { epoch_start_offset, synced, high_watermark: None }
    }

    /// A voter has everything below `offset` on disk. The new high watermark, if it moved.
    pub fn voter_synced(&mut self, id: i32, offset: Offset) -> Option<Offset> {
        let (_, end) = self.synced.iter_mut().find(|(key, _)| key.id == id)?;
        *end = offset.max(*end);
        let mut ends: Vec<Offset> = self.synced.values().copied().collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let majority = ends[ends.len() / 2];
        // Records of earlier epochs are committed only together with one of this epoch (Raft, section 5.4.2).
        if majority <= self.epoch_start_offset || self.high_watermark.is_some_and(|known| majority <= known) {
            return None;
        }
        self.high_watermark = Some(majority);
        Some(majority)
    }

    /// All below this offset is committed; `None` until a record of this epoch is.
    #[must_use]
    pub fn high_watermark(&self) -> Option<Offset> {
        self.high_watermark
    }

    /// What each voter is known to have.
    pub fn synced(&self) -> impl Iterator<Item = (VoterKey, Offset)> + '_ {
        self.synced.iter().map(|(key, offset)| (*key, *offset))
    }
}
