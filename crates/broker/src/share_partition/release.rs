//! Takes records from members that leave or that keep them for too long.

use coordinator::share::StateBatch;
use protocol::types::{Offset, TimestampMs};

use super::in_flight::{InFlight, InFlightBatch};
use super::{Persist, RecordState, SharePartition, push};

impl SharePartition {
    /// Releases all that a member has; somebody else gets it once that is stored.
    pub(crate) fn release_all(&mut self, member: &str) -> Option<Persist> {
        let write = self.next_write();
        let delivery_limit = self.settings.delivery_limit;
        let changed = self
            .take_back(|record| record.is_acquired_by(member), |record, to| record.begin(to, delivery_limit, write));
        self.persist(write, changed)
    }

    /// Releases all whose lock has ended, at once: others may have it before that is stored.
    pub(crate) fn expire(&mut self, now_ms: TimestampMs) -> Option<Persist> {
        if self.next_timeout.is_none_or(|next| next > now_ms) {
            return None;
        }
        let write = self.next_write();
        let delivery_limit = self.settings.delivery_limit;
        let changed =
            self.take_back(|record| record.is_overdue(now_ms), |record, to| record.release(to, delivery_limit));
        self.look_back |= changed.iter().any(|batch| batch.delivery_state == RecordState::Available.code());
        let records = self.batches.values().flat_map(InFlightBatch::parts).map(|(_, record)| record);
        self.next_timeout = records.filter_map(|record| record.locked_until).filter(|until| *until > now_ms).min();
        self.persist(write, changed)
    }

    /// Takes back what `chosen` names. What is below the start offset is archived.
    fn take_back(
        &mut self,
        chosen: impl Fn(&InFlight) -> bool,
        mut act: impl FnMut(&mut InFlight, RecordState),
    ) -> Vec<StateBatch> {
        let start_offset = self.start_offset;
        let mut changed = Vec::new();
        let mut complete = 0;
        for batch in self.batches.values_mut() {
            // The start offset has moved into the batch: its records part their ways.
            let parts = batch.first_offset < start_offset && batch.last_offset >= start_offset;
            if parts && batch.at(start_offset).is_some_and(&chosen) && !batch.is_split() {
                drop(batch.split());
            }
            for ((first, last), record) in batch.parts_mut().filter(|(_, record)| chosen(record)) {
                let to = if last < start_offset { RecordState::Archived } else { RecordState::Available };
                act(record, to);
                push(&mut changed, (first, last), record);
                if record.state.is_terminal() {
                    complete += (last - first.max(start_offset) + 1).max(0);
                }
            }
        }
        self.complete_count += complete;
        changed
    }

    /// The log begins at `log_start_offset` now. What nobody has of the records below is archived.
    pub(crate) fn log_start_moved(&mut self, log_start_offset: Offset) {
        if log_start_offset <= self.start_offset {
            return;
        }
        if self.batches.is_empty() {
            (self.start_offset, self.end_offset, self.complete_count) = (log_start_offset, log_start_offset, 0);
            return;
        }
        let below = (self.start_offset, log_start_offset - 1);
        let mut removed = 0;
        for batch in self.batches.range(..log_start_offset).map(|(_, batch)| batch) {
            for ((first, last), _) in batch.parts().filter(|(_, record)| record.state.is_terminal()) {
                removed += (last.min(below.1) - first.max(below.0) + 1).max(0);
            }
        }
        self.look_back |= self.archive(below, RecordState::Available, false);
        self.start_offset = log_start_offset;
        self.complete_count -= removed;
        self.end_offset = self.end_offset.max(log_start_offset);
    }

    /// Archives what the log does not hold any more, if a fetch at `fetch_offset` found nothing below `base_offset`.
    pub(super) fn archive_missing(&mut self, fetch_offset: Offset, base_offset: Offset) {
        if !self.batches.is_empty() && fetch_offset < base_offset {
            self.look_back |= self.archive((fetch_offset, base_offset - 1), RecordState::Available, true);
        }
    }

    /// Archives the records of a range that are in `state`; true if there were any.
    pub(super) fn archive(&mut self, (from, to): (Offset, Offset), state: RecordState, counts: bool) -> bool {
        let first_key = match self.batches.range(..=from).next_back() {
            Some((key, batch)) if batch.last_offset >= from => *key,
            _ => from,
        };
        if first_key > to {
            return false;
        }
        let mut archived = 0;
        for batch in self.batches.range_mut(first_key..=to).map(|(_, batch)| batch) {
            let whole = batch.first_offset >= from && batch.last_offset <= to;
            let is_in_state = batch.at(batch.first_offset).is_some_and(|record| record.state == state);
            if !batch.is_split() && !is_in_state {
                continue;
            }
            if !whole {
                drop(batch.split());
            }
            for ((first, last), record) in batch.parts_mut() {
                if record.state == state && first >= from && last <= to {
                    record.archive();
                    archived += last - first + 1;
                }
            }
        }
        if counts {
            self.complete_count += archived;
        }
        archived > 0
    }
}
