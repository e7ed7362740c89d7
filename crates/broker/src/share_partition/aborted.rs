//! Records of aborted transactions, which a group that reads committed records does not get.

use std::collections::HashSet;

use protocol::types::Offset;
use storage::AbortedTxn;

use super::acquire::{Acquired, AcquiredRange, FetchedBatch};
use super::{RecordState, SharePartition};

/// Those of the fetched batches that belong to aborted transactions.
pub(crate) fn aborted_batches(batches: &[FetchedBatch], aborted: &[AbortedTxn]) -> Vec<FetchedBatch> {
    let mut ordered: Vec<&AbortedTxn> = aborted.iter().collect();
    ordered.sort_unstable_by_key(|transaction| transaction.first_offset);
    let mut upcoming = ordered.into_iter().peekable();
    let mut producers = HashSet::new();
    let mut found = Vec::new();
    for batch in batches {
        let Some(producer_id) = batch.transactional else { continue };
        while let Some(begun) = upcoming.next_if(|transaction| transaction.first_offset <= batch.last_offset) {
            producers.insert(begun.producer_id);
        }
        if batch.aborts {
            producers.remove(&producer_id);
        } else if producers.contains(&producer_id) {
            found.push(*batch);
        }
    }
    found
}

impl SharePartition {
    /// Archives the aborted batches and takes them out of what was acquired.
    pub(super) fn without_aborted(&mut self, acquired: Acquired, aborted: &[FetchedBatch]) -> Acquired {
        for batch in aborted {
            self.archive((batch.base_offset, batch.last_offset), RecordState::Acquired, true);
        }
        let mut ranges = Vec::with_capacity(acquired.ranges.len());
        for range in acquired.ranges {
            cut(range, aborted, &mut ranges);
        }
        let count = ranges.iter().map(|range| range.last_offset - range.first_offset + 1).sum();
        Acquired { ranges, count }
    }
}

/// What the batches leave of a range.
fn cut(range: AcquiredRange, batches: &[FetchedBatch], left: &mut Vec<AcquiredRange>) {
    let mut from: Offset = range.first_offset;
    for batch in batches.iter().filter(|batch| batch.last_offset >= range.first_offset) {
        if batch.base_offset > range.last_offset {
            break;
        }
        if from < batch.base_offset {
            left.push(AcquiredRange { first_offset: from, last_offset: batch.base_offset - 1, ..range });
        }
        from = batch.last_offset + 1;
    }
    if from <= range.last_offset {
        left.push(AcquiredRange { first_offset: from, ..range });
    }
}
