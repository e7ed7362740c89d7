//! Moves the start offset over what is done with, and forgets that.

use protocol::types::Offset;

use super::SharePartition;
use super::in_flight::InFlightBatch;

impl SharePartition {
    /// Moves the start offset as far as it goes. True if it moved.
    pub(super) fn advance(&mut self) -> bool {
        if !self.is_start_settled() {
            return false;
        }
        let Some((settled_to, settled)) = self.settled() else { return false };
        let last_known = self.batches.last_key_value().map_or(settled_to, |(_, batch)| batch.last_offset);
        if settled_to == last_known {
            (self.start_offset, self.end_offset) = (last_known + 1, last_known + 1);
            self.batches.clear();
            self.complete_count = 0;
            return true;
        }
        let Some((key, holder)) = self.batches.range(..=settled_to).next_back() else { return false };
        let (key, holder_end) = (*key, holder.last_offset);
        let keep_from = if settled_to == holder_end {
            let next = self.batches.range(settled_to + 1..).next().map_or(self.start_offset, |(next, _)| *next);
            self.start_offset = self.start_offset.max(next);
            // What lies between was never fetched.
            if let Some(gaps) = self.open_gaps() {
                self.start_offset = self.start_offset.min(gaps.from.max(settled_to + 1));
            }
            key + 1
        } else {
            self.start_offset = self.start_offset.max(settled_to + 1);
            key
        };
        self.complete_count -= settled;
        self.batches = self.batches.split_off(&keep_from);
        true
    }

    /// Whether the record at the start offset is done with.
    fn is_start_settled(&self) -> bool {
        let holder = self.batches.range(..=self.start_offset).next_back();
        let record = holder.and_then(|(_, batch)| batch.at(self.start_offset));
        record.is_some_and(super::InFlight::is_settled)
    }

    /// Up to which offset all is done with, and how many records from the start offset on that are.
    fn settled(&self) -> Option<(Offset, i64)> {
        let mut gap_from = self.open_gaps().map_or(Offset::MAX, |gaps| gaps.from);
        let mut settled_to = None;
        let mut count = 0;
        let batches = self.batches.values().take_while(|batch| {
            let follows = batch.first_offset <= gap_from;
            gap_from = gap_from.max(batch.last_offset.saturating_add(1));
            follows
        });
        for ((first, last), record) in batches.flat_map(InFlightBatch::parts) {
            if !record.is_settled() {
                break;
            }
            settled_to = Some(last);
            count += self.counted(first, last);
        }
        settled_to.map(|offset| (offset, count))
    }
}
