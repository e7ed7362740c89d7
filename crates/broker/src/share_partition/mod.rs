//! One partition as one share group consumes it (KIP-932): which records are delivered to whom, and what became of them.
//! Pure: time comes in, what is to be stored goes out. Owned by [`crate::share_partitions`], behind a lock of its own.
//! A change counts for good once the share coordinator has stored it; until then nobody else gets the records.

mod aborted;
mod acknowledge;
mod acquire;
mod advance;
mod in_flight;
mod release;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use coordinator::share::{ShareState, ShareWrite, StateBatch};
use protocol::types::{LeaderEpoch, Offset, TimestampMs};

pub(crate) use aborted::aborted_batches;
pub(crate) use acknowledge::{AcknowledgeType, Acknowledgement};
pub(crate) use acquire::{AcquireMode, AcquireRequest, AcquiredRange, FetchedBatch};
pub(crate) use in_flight::{Member, WriteId};

use in_flight::{InFlight, InFlightBatch, RecordState};

/// The settings of a share group that its partitions need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShareSettings {
    /// How long a member may keep a record.
    pub(crate) lock_duration_ms: TimestampMs,
    /// How often a record may be delivered.
    pub(crate) delivery_limit: i16,
    /// How many records may be in flight.
    pub(crate) max_record_locks: i64,
    /// Members may renew their locks (KIP-1222).
    pub(crate) renew_enabled: bool,
}

/// What the share coordinator is to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Persist {
    /// What to name when that is done.
    pub(crate) id: WriteId,
    /// What to store.
    pub(crate) write: ShareWrite,
}

/// Why a state cannot be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state batch {first_offset}..={last_offset} in state {delivery_state} cannot be")]
pub(crate) struct BadState {
    first_offset: Offset,
    last_offset: Offset,
    delivery_state: i8,
}

/// Offsets between the state batches of a share-partition that was just loaded: whether their records were delivered
/// before is not known, so they are fetched again.
#[derive(Debug, Clone, Copy)]
struct Gaps {
    from: Offset,
    /// The end offset when the state was loaded; once the share-partition has a later one, no gap is left.
    end: Offset,
}

/// A share-partition.
#[derive(Debug)]
pub(crate) struct SharePartition {
    settings: ShareSettings,
    state_epoch: i32,
    leader_epoch: LeaderEpoch,
    /// All below is done with.
    start_offset: Offset,
    /// The last offset that was fetched; the next to fetch if nothing is in flight.
    end_offset: Offset,
    batches: BTreeMap<Offset, InFlightBatch>,
    /// Something before the end offset may be available.
    look_back: bool,
    gaps: Option<Gaps>,
    /// Records in flight that are done with.
    complete_count: i64,
    last_write: u64,
    /// Which offsets the writes under way are about.
    writing: HashMap<WriteId, Vec<(Offset, Offset)>>,
    /// No lock ends before.
    next_timeout: Option<TimestampMs>,
}

impl SharePartition {
    /// Takes over what the share coordinator knows. `start_offset` is where delivery begins.
    /// # Errors
    /// [`BadState`] if that makes no sense.
    pub(crate) fn new(
        settings: ShareSettings,
        leader_epoch: LeaderEpoch,
        start_offset: Offset,
        state: &ShareState,
    ) -> Result<Self, BadState> {
        let mut this = Self {
            settings,
            state_epoch: state.state_epoch,
            leader_epoch,
            start_offset,
            end_offset: start_offset,
            batches: BTreeMap::new(),
            look_back: false,
            gaps: None,
            complete_count: 0,
            last_write: 0,
            writing: HashMap::new(),
            next_timeout: None,
        };
        let mut gap = None;
        let mut next_offset = start_offset;
        for batch in &state.state_batches {
            let (first_offset, last_offset) = (batch.first_offset, batch.last_offset);
            let bad = BadState { first_offset, last_offset, delivery_state: batch.delivery_state };
            let state = RecordState::from_code(batch.delivery_state).ok_or(bad)?;
            // Nobody stores acquisitions.
            if first_offset < next_offset || last_offset < first_offset || state == RecordState::Acquired {
                return Err(bad);
            }
            if first_offset > next_offset {
                gap = gap.or(Some(next_offset));
            }
            next_offset = last_offset + 1;
            if state.is_terminal() {
                this.complete_count += last_offset - first_offset + 1;
            }
            let record = InFlight::new(state, batch.delivery_count);
            this.batches.insert(first_offset, InFlightBatch::new(first_offset, last_offset, record));
            this.end_offset = last_offset;
        }
        if !this.batches.is_empty() {
            this.look_back = true;
            this.gaps = gap.map(|from| Gaps { from, end: this.end_offset });
            this.advance();
        }
        Ok(this)
    }

    /// Takes over changed settings of the group; they count for what is acquired from now on.
    pub(crate) fn set_settings(&mut self, settings: ShareSettings) {
        self.settings = settings;
    }

    /// All below is done with.
    pub(crate) fn start_offset(&self) -> Offset {
        self.start_offset
    }

    /// When [`SharePartition::expire`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<TimestampMs> {
        self.next_timeout
    }

    /// Whether a fetch may give anything: there is room for records in flight, or some of them are available again.
    pub(crate) fn can_acquire(&mut self) -> bool {
        self.next_fetch_offset() != self.end_offset + 1 || self.in_flight() < self.settings.max_record_locks
    }

    /// Where to read next.
    pub(crate) fn next_fetch_offset(&mut self) -> Offset {
        let fresh = self.batches.last_key_value().is_none_or(|(_, last)| self.start_offset > last.last_offset);
        if fresh {
            self.look_back = false;
            return self.end_offset;
        }
        if !self.look_back {
            return self.end_offset + 1;
        }
        match self.first_available() {
            Some(offset) => offset,
            None => {
                self.look_back = false;
                self.end_offset + 1
            }
        }
    }

    /// Up to which offset a fetch of `max_records` can make a difference.
    pub(crate) fn acquires_up_to(&self, max_records: i64) -> Offset {
        self.end_offset.saturating_add(max_records)
    }

    fn first_available(&self) -> Option<Offset> {
        let mut gap = self.open_gaps().map(|gaps| gaps.from);
        for batch in self.batches.values() {
            if let Some(from) = gap {
                if batch.first_offset > from {
                    return Some(from);
                }
                gap = Some(from.max(batch.last_offset + 1));
            }
            let available = batch.parts().find(|(_, record)| record.is_available());
            if let Some(((first, _), _)) = available {
                return Some(first);
            }
        }
        None
    }

    fn in_flight(&self) -> i64 {
        if self.batches.is_empty() { 0 } else { self.end_offset - self.start_offset + 1 }
    }

    /// The gaps, as long as nothing behind them was fetched.
    fn open_gaps(&self) -> Option<Gaps> {
        self.gaps.filter(|gaps| gaps.end == self.end_offset)
    }

    /// Offsets below `offset` are no gap any more.
    fn close_gaps(&mut self, offset: Offset) {
        if let Some(gaps) = &mut self.gaps {
            if gaps.end == self.end_offset && offset <= gaps.end {
                gaps.from = gaps.from.max(offset);
            } else {
                self.gaps = None;
            }
        }
    }

    fn lock_until(&mut self, now_ms: TimestampMs) -> TimestampMs {
        let until = now_ms + self.settings.lock_duration_ms;
        self.next_timeout = Some(self.next_timeout.map_or(until, |next| next.min(until)));
        until
    }

    /// How many records of a range are not below the start offset.
    fn counted(&self, first_offset: Offset, last_offset: Offset) -> i64 {
        (last_offset - first_offset.max(self.start_offset) + 1).max(0)
    }

    fn next_write(&mut self) -> WriteId {
        self.last_write += 1;
        WriteId(self.last_write)
    }

    /// What is to be stored of `batches`; nothing if there are none.
    fn persist(&mut self, id: WriteId, batches: Vec<StateBatch>) -> Option<Persist> {
        if batches.is_empty() {
            return None;
        }
        self.writing.insert(id, batches.iter().map(|batch| (batch.first_offset, batch.last_offset)).collect());
        let write = ShareWrite {
            state_epoch: self.state_epoch,
            leader_epoch: self.leader_epoch,
            start_offset: self.start_offset,
            delivery_complete_count: i32::try_from(self.complete_count).unwrap_or(i32::MAX),
            state_batches: batches,
        };
        Some(Persist { id, write })
    }

    /// The share coordinator has stored what it was to, or could not. True if there may be something to fetch now.
    pub(crate) fn persisted(&mut self, id: WriteId, stored: bool, now_ms: TimestampMs) -> bool {
        let Some(ranges) = self.writing.remove(&id) else { return false };
        if !stored {
            self.roll_back(id, &ranges, now_ms);
            return true;
        }
        let was_full = self.in_flight() >= self.settings.max_record_locks;
        let mut released = false;
        self.visit(&ranges, |_, record| {
            record.commit(id);
            released |= record.state == RecordState::Available;
        });
        self.look_back |= released;
        (self.advance() && was_full) || released
    }

    /// Undoes the changes of a write that is not to be.
    fn roll_back(&mut self, id: WriteId, ranges: &[(Offset, Offset)], now_ms: TimestampMs) {
        let start_offset = self.start_offset;
        let (mut revived, mut available) = (0, false);
        self.visit(ranges, |(first, last), record| {
            if !record.is_changing() {
                return;
            }
            let was_terminal = record.state.is_terminal();
            record.roll_back(id, now_ms);
            available |= record.state == RecordState::Available;
            if was_terminal && !record.state.is_terminal() {
                revived += (last - first.max(start_offset) + 1).max(0);
            }
        });
        self.complete_count -= revived;
        self.look_back |= available;
    }

    /// Visits the records of offset ranges.
    fn visit(&mut self, ranges: &[(Offset, Offset)], mut act: impl FnMut((Offset, Offset), &mut InFlight)) {
        for (first, last) in ranges {
            let from = self.batches.range(..=*first).next_back().map_or(*first, |(key, _)| *key);
            for batch in self.batches.range_mut(from..=*last).map(|(_, batch)| batch) {
                let parts = batch.parts_mut().filter(|((from, to), _)| *to >= *first && *from <= *last);
                parts.for_each(|(offsets, record)| act(offsets, record));
            }
        }
    }
}

/// Adds to what is to be stored, as one batch where neighbours say the same.
fn push(batches: &mut Vec<StateBatch>, (first_offset, last_offset): (Offset, Offset), record: &InFlight) {
    let (delivery_state, delivery_count) = (record.state.code(), record.delivery_count);
    match batches.last_mut() {
        Some(last)
            if last.last_offset + 1 == first_offset
                && (last.delivery_state, last.delivery_count) == (delivery_state, delivery_count) =>
        {
            last.last_offset = last_offset;
        }
        _ => batches.push(StateBatch { first_offset, last_offset, delivery_state, delivery_count }),
    }
}
