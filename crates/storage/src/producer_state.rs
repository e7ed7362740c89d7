//! What a log knows of the idempotent and transactional producers that wrote to it (KIP-98): their last batches, so that a
//! repeated one is answered and a gap refused, and their open transactions, which hold the last stable offset back.
//! A snapshot of it lies beside each segment (`.snapshot`): what follows the newest good one is replayed from the batches.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use platform::{File, OpenMode};
use protocol::Message;
use protocol::messages::ProducerSnapshot;
use protocol::messages::producer_snapshot::ProducerEntry;
use protocol::record::{
    Batch, BatchError, BatchHeader, ControlRecord, NO_PRODUCER_EPOCH, NO_SEQUENCE, increment_sequence,
};
use protocol::types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::error::AppendError;
use crate::place::{FileKind, Place};
use crate::verification::{VerificationGuard, Verifications};

/// Batches of a producer that are remembered, which is as many as it may have in flight.
const REMEMBERED: usize = 5;

/// Version and CRC precede the entries of a snapshot, which the CRC covers.
const CRC_AT: usize = 2;
const ENTRIES_AT: usize = 6;

/// A producer as the log knows it, for DescribeProducers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerState {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of its last record, or -1.
    pub last_sequence: Sequence,
    /// Timestamp of its last batch, in epoch milliseconds.
    pub last_timestamp: TimestampMs,
    /// Epoch of the coordinator that ended its last transaction, or -1.
    pub coordinator_epoch: i32,
    /// Where its open transaction starts.
    pub current_txn_first_offset: Option<Offset>,
}

/// Where a producer left off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastRecord {
    /// Last offset of its last batch of records, if that is in its current epoch.
    pub(crate) offset: Option<Offset>,
    pub(crate) producer_epoch: ProducerEpoch,
}

/// A batch that was appended before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    last_sequence: Sequence,
    pub(crate) last_offset: Offset,
    offset_delta: i32,
    pub(crate) timestamp: TimestampMs,
}

impl Appended {
    pub(crate) fn first_offset(&self) -> Offset {
        self.last_offset - i64::from(self.offset_delta)
    }

    /// Whether `header` has the same sequences.
    fn is_repeated_by(&self, header: &BatchHeader) -> bool {
        // Sequences wrap from the largest to 0: they count modulo 2^31.
        let first = self.last_sequence.wrapping_sub(self.offset_delta) & i32::MAX;
        first == header.base_sequence && self.last_sequence == header.last_sequence()
    }
}

#[derive(Debug, Clone, Copy)]
struct Producer {
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    coordinator_epoch: i32,
    last_timestamp: TimestampMs,
    current_txn_first_offset: Option<Offset>,
    /// Oldest first; the first `remembered` count.
    batches: [Appended; REMEMBERED],
    remembered: usize,
}

/// Who appends, and so what is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A producer: sequences and epochs.
    Client,
    /// A coordinator, whose records have no sequences: epochs.
    Coordinator,
    /// A leader has checked before.
    Replication,
}

/// A transaction marker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marker {
    aborts: bool,
    coordinator_epoch: i32,
    timestamp: TimestampMs,
    /// Its producer's epoch was raised for it (KIP-890).
    pub(crate) raised: bool,
}

impl Marker {
    /// The marker in a control batch of a producer; nothing if compaction emptied the batch.
    pub(crate) fn decode(batch: &Batch) -> Result<Option<Self>, BatchError> {
        let Some(record) = batch.records()?.next() else { return Ok(None) };
        let record = record?;
        let timestamp = record.timestamp;
        Ok(match ControlRecord::decode(&record)? {
            ControlRecord::Abort(end) => {
                Some(Self { aborts: true, coordinator_epoch: end.coordinator_epoch, timestamp, raised: false })
            }
            ControlRecord::Commit(end) => {
                Some(Self { aborts: false, coordinator_epoch: end.coordinator_epoch, timestamp, raised: false })
            }
            _ => None,
        })
    }
}

/// A transaction that a marker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompletedTxn {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    /// Offset of the marker.
    pub(crate) last_offset: Offset,
    pub(crate) aborted: bool,
}

/// What a batch changes once it is written.
#[derive(Debug)]
pub(crate) struct Change {
    producer: Producer,
    started: Option<Offset>,
    completed: Option<CompletedTxn>,
}

/// A batch, checked against the state.
#[derive(Debug)]
pub(crate) enum Checked {
    /// No producer: nothing changes.
    Nothing,
    /// It was appended before.
    Duplicate(Appended),
    /// It may be appended and then changes the state.
    Change(Change),
}

/// The producers of one log.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    producers: HashMap<ProducerId, Producer>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// Ended ones whose marker is not below the high watermark yet: first offset to the marker's.
    unreplicated: BTreeMap<Offset, Offset>,
    /// Offset after the last batch that the state knows.
    end_offset: Offset,
    /// Offsets of the snapshots on disk, ascending.
    snapshots: Vec<Offset>,
    /// Where the state was last the same as a snapshot, or empty.
    snapshot_at: Offset,
    verifications: Verifications,
}

impl Producer {
    fn new(producer_id: ProducerId) -> Self {
        let never = Appended { last_sequence: NO_SEQUENCE, last_offset: -1, offset_delta: 0, timestamp: -1 };
        Self {
            producer_id,
            producer_epoch: NO_PRODUCER_EPOCH,
            coordinator_epoch: -1,
            last_timestamp: -1,
            current_txn_first_offset: None,
            batches: [never; REMEMBERED],
            remembered: 0,
        }
    }

    fn last(&self) -> Option<&Appended> {
        self.batches[..self.remembered].last()
    }

    fn last_sequence(&self) -> Sequence {
        self.last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.producer_epoch != epoch {
            self.producer_epoch = epoch;
            self.remembered = 0;
        }
    }

    fn add(&mut self, batch: Appended) {
        if self.remembered == REMEMBERED {
            self.batches.rotate_left(1);
            self.remembered -= 1;
        }
        self.batches[self.remembered] = batch;
        self.remembered += 1;
        self.last_timestamp = batch.timestamp;
    }

    fn check_epoch(&self, header: &BatchHeader, origin: Origin) -> Result<(), AppendError> {
        if origin != Origin::Replication && header.producer_epoch < self.producer_epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id: self.producer_id,
                got: header.producer_epoch,
                current: self.producer_epoch,
            });
        }
        Ok(())
    }

    /// An end of a transaction that raised the epoch is above all that was written in it. The same end may come again.
    fn check_marker_epoch(&self, header: &BatchHeader, marker: Marker, origin: Origin) -> Result<(), AppendError> {
        let repeats = header.producer_epoch == self.producer_epoch
            && marker.raised
            && self.current_txn_first_offset.is_some()
            && self.producer_epoch < ProducerEpoch::MAX;
        if origin != Origin::Replication && repeats {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id: self.producer_id,
                got: header.producer_epoch,
                current: self.producer_epoch,
            });
        }
        self.check_epoch(header, origin)
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<&Appended> {
        if header.producer_epoch != self.producer_epoch {
            return None;
        }
        self.batches[..self.remembered].iter().find(|batch| batch.is_repeated_by(header))
    }

    /// A producer that the log does not know may start anywhere: its records may have been deleted.
    fn check_sequence(&self, header: &BatchHeader) -> Result<(), AppendError> {
        let (got, last) = (header.base_sequence, self.last_sequence());
        let in_sequence = if self.producer_epoch == NO_PRODUCER_EPOCH {
            true
        } else if header.producer_epoch != self.producer_epoch {
            got == 0
        } else {
            got == increment_sequence(last, 1)
        };
        if in_sequence {
            return Ok(());
        }
        Err(AppendError::OutOfOrderSequence { producer_id: self.producer_id, got, last })
    }
}

impl Producers {
    pub(crate) fn new(snapshots: Vec<Offset>) -> Self {
        Self { snapshots, ..Self::default() }
    }

    /// Checks a batch that is to be appended at the offsets in its header. `marker` is that of a control batch.
    /// # Errors
    /// The checks that `origin` calls for.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        marker: Option<Marker>,
        origin: Origin,
    ) -> Result<Checked, AppendError> {
        if !header.has_producer_id() {
            return Ok(Checked::Nothing);
        }
        let known = self.producers.get(&header.producer_id).copied();
        let mut producer = known.unwrap_or_else(|| Producer::new(header.producer_id));
        if header.is_control() {
            return match marker {
                Some(marker) => end_transaction(producer, header, marker, origin).map(Checked::Change),
                None => Ok(Checked::Nothing),
            };
        }
        if origin == Origin::Client
            && let Some(before) = producer.duplicate_of(header)
        {
            return Ok(Checked::Duplicate(*before));
        }
        producer.check_epoch(header, origin)?;
        if origin == Origin::Client {
            producer.check_sequence(header)?;
        }
        if producer.current_txn_first_offset.is_some() && !header.is_transactional() && origin != Origin::Replication {
            return Err(AppendError::InvalidTxnState { producer_id: producer.producer_id });
        }
        producer.set_epoch(header.producer_epoch);
        producer.add(Appended {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        let starts = header.is_transactional() && producer.current_txn_first_offset.is_none();
        let started = starts.then_some(header.base_offset);
        producer.current_txn_first_offset = producer.current_txn_first_offset.or(started);
        Ok(Checked::Change(Change { producer, started, completed: None }))
    }

    /// Begins to ask whether the producer's transaction may write here; nothing if it has already.
    /// # Errors
    /// [`AppendError::InvalidProducerEpoch`].
    pub(crate) fn start_verification(
        &mut self,
        now_ms: TimestampMs,
        (producer_id, epoch): (ProducerId, ProducerEpoch),
        sequence: Sequence,
        bumps_epoch: bool,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        self.check_current(producer_id, epoch)?;
        if self.is_ongoing(producer_id, epoch) {
            return Ok(None);
        }
        Ok(Some(self.verifications.start(now_ms, (producer_id, epoch), sequence, bumps_epoch)))
    }

    /// Checks that a transactional batch is part of a transaction that has written here, or comes with the guard that was
    /// given out when its coordinator was asked.
    /// # Errors
    /// [`AppendError::InvalidTxnState`] and those of epochs and sequences.
    pub(crate) fn verify(&self, header: &BatchHeader, guard: Option<VerificationGuard>) -> Result<(), AppendError> {
        let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
        let known = self.producers.get(&producer_id);
        if known.is_some_and(|producer| producer.duplicate_of(header).is_some()) || self.is_ongoing(producer_id, epoch)
        {
            return Ok(());
        }
        self.check_current(producer_id, epoch)?;
        let open = self.verifications.get(producer_id);
        match open.filter(|open| Some(open.guard) == guard) {
            Some(_) => Ok(()),
            None => Err(AppendError::InvalidTxnState { producer_id }),
        }
    }

    /// A batch of a client must not overtake one that is being verified.
    /// # Errors
    /// [`AppendError::OutOfOrderSequence`].
    pub(crate) fn verify_sequence(&self, header: &BatchHeader) -> Result<(), AppendError> {
        let Some(open) = self.verifications.get(header.producer_id) else { return Ok(()) };
        let known = self.producers.get(&header.producer_id);
        if known.is_some_and(|producer| producer.duplicate_of(header).is_some()) {
            return Ok(());
        }
        let got = header.base_sequence;
        let starts_late = open.bumps_epoch && got > 0 && known.is_none_or(|producer| producer.last().is_none());
        if starts_late || got > open.lowest_sequence {
            let (producer_id, last) = (header.producer_id, open.lowest_sequence);
            return Err(AppendError::OutOfOrderSequence { producer_id, got, last });
        }
        Ok(())
    }

    fn is_ongoing(&self, producer_id: ProducerId, epoch: ProducerEpoch) -> bool {
        let producer = self.producers.get(&producer_id);
        producer.is_some_and(|producer| producer.producer_epoch == epoch && producer.current_txn_first_offset.is_some())
    }

    fn check_current(&self, producer_id: ProducerId, got: ProducerEpoch) -> Result<(), AppendError> {
        match self.producers.get(&producer_id) {
            Some(producer) if got < producer.producer_epoch => {
                let current = producer.producer_epoch;
                Err(AppendError::InvalidProducerEpoch { producer_id, got, current })
            }
            _ => Ok(()),
        }
    }

    /// Takes note that a transactional batch was appended.
    pub(crate) fn verified(&mut self, header: &BatchHeader) {
        if header.is_transactional() {
            self.verifications.appended(header.producer_id, header.producer_epoch, header.is_control());
        }
    }

    /// Takes over what a written batch changes. A transaction it ended has to be given to [`Producers::complete`].
    pub(crate) fn apply(&mut self, change: Change) -> Option<CompletedTxn> {
        if let Some(first_offset) = change.started {
            self.ongoing.insert(first_offset, change.producer.producer_id);
        }
        self.producers.insert(change.producer.producer_id, change.producer);
        change.completed
    }

    /// The last stable offset once `txn` is complete.
    pub(crate) fn stable_after(&self, txn: &CompletedTxn) -> Offset {
        let other = self.ongoing.iter().find(|(_, producer_id)| **producer_id != txn.producer_id);
        other.map_or(txn.last_offset + 1, |(first_offset, _)| *first_offset)
    }

    /// Ends a transaction; it stays unstable until its marker is below the high watermark.
    pub(crate) fn complete(&mut self, txn: &CompletedTxn) {
        self.ongoing.remove(&txn.first_offset);
        self.unreplicated.insert(txn.first_offset, txn.last_offset);
    }

    /// Forgets ended transactions with their marker below `high_watermark`.
    pub(crate) fn set_high_watermark(&mut self, high_watermark: Offset) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, marker| *marker >= high_watermark);
        }
    }

    /// First offset of a transaction that readers of committed records must not see yet.
    pub(crate) fn first_unstable_offset(&self) -> Option<Offset> {
        let ongoing = self.ongoing.keys().next();
        let unreplicated = self.unreplicated.keys().next();
        ongoing.into_iter().chain(unreplicated).min().copied()
    }

    pub(crate) fn end_offset(&self) -> Offset {
        self.end_offset
    }

    pub(crate) fn set_end_offset(&mut self, offset: Offset) {
        self.end_offset = offset;
    }

    /// What compaction has to leave of every producer.
    pub(crate) fn last_records(&self) -> HashMap<ProducerId, LastRecord> {
        let last = |producer: &Producer| LastRecord {
            offset: producer.last().map(|batch| batch.last_offset),
            producer_epoch: producer.producer_epoch,
        };
        self.producers.iter().map(|(producer_id, producer)| (*producer_id, last(producer))).collect()
    }

    pub(crate) fn states(&self) -> Vec<ProducerState> {
        let mut states: Vec<ProducerState> = self
            .producers
            .values()
            .map(|producer| ProducerState {
                producer_id: producer.producer_id,
                producer_epoch: producer.producer_epoch,
                last_sequence: producer.last_sequence(),
                last_timestamp: producer.last_timestamp,
                coordinator_epoch: producer.coordinator_epoch,
                current_txn_first_offset: producer.current_txn_first_offset,
            })
            .collect();
        states.sort_unstable_by_key(|state| state.producer_id);
        states
    }

    /// Forgets producers without an open transaction that wrote nothing for `expiration_ms`.
    pub(crate) fn expire(&mut self, now_ms: TimestampMs, expiration_ms: i64) {
        self.verifications.expire(now_ms - expiration_ms);
        self.producers.retain(|_, producer| {
            producer.current_txn_first_offset.is_some() || now_ms - producer.last_timestamp < expiration_ms
        });
    }

    /// Forgets everything; the state is that of a log that starts at `offset`.
    pub(crate) fn reset(&mut self, offset: Offset) {
        self.producers.clear();
        self.verifications.clear();
        self.ongoing.clear();
        self.unreplicated.clear();
        self.end_offset = offset;
        self.snapshot_at = offset;
    }

    /// Loads the newest good snapshot up to `end`, or starts empty at `start`.
    pub(crate) fn load(&mut self, place: &Place, start: Offset, end: Offset) -> io::Result<()> {
        self.reset(start);
        let candidates: Vec<Offset> =
            self.snapshots.iter().rev().copied().filter(|offset| *offset > start && *offset <= end).collect();
        for offset in candidates {
            let bytes = place.disk.read(&place.path(FileKind::Snapshot, offset))?;
            if let Some(producers) = decode(Bytes::from(bytes)) {
                for producer in producers {
                    if let Some(first_offset) = producer.current_txn_first_offset {
                        self.ongoing.insert(first_offset, producer.producer_id);
                    }
                    self.producers.insert(producer.producer_id, producer);
                }
                self.end_offset = offset;
                self.snapshot_at = offset;
                return Ok(());
            }
            tracing::warn!(dir = %place.dir().display(), offset, "removed a damaged producer snapshot");
            self.remove_snapshots(place, |other| other == offset)?;
        }
        Ok(())
    }

    pub(crate) fn has_snapshot(&self) -> bool {
        !self.snapshots.is_empty()
    }

    /// Writes a snapshot of the state at its end, unless nothing was written since the last. Not synced: a damaged one is told by its CRC.
    pub(crate) fn take_snapshot(&mut self, place: &Place) -> io::Result<Option<Arc<dyn File>>> {
        if self.end_offset <= self.snapshot_at {
            return Ok(None);
        }
        let bytes = encode(self.producers.values()).map_err(io::Error::other)?;
        let file = place.open(FileKind::Snapshot, self.end_offset, OpenMode::Truncate)?;
        file.pwrite(&mut [IoSlice::new(&bytes)], 0)?;
        self.snapshots.retain(|known| *known != self.end_offset);
        self.snapshots.push(self.end_offset);
        self.snapshot_at = self.end_offset;
        Ok(Some(file))
    }

    pub(crate) fn remove_snapshots(&mut self, place: &Place, gone: impl Fn(Offset) -> bool) -> io::Result<()> {
        for offset in self.snapshots.iter().copied().filter(|offset| gone(*offset)) {
            place.remove_if_there(FileKind::Snapshot, offset)?;
        }
        self.snapshots.retain(|offset| !gone(*offset));
        Ok(())
    }

    /// Takes note that the snapshot at `offset` was removed with its segment.
    pub(crate) fn forget_snapshot(&mut self, offset: Offset) {
        self.snapshots.retain(|known| *known != offset);
    }
}

fn end_transaction(
    mut producer: Producer,
    header: &BatchHeader,
    marker: Marker,
    origin: Origin,
) -> Result<Change, AppendError> {
    producer.check_marker_epoch(header, marker, origin)?;
    if origin != Origin::Replication && producer.coordinator_epoch > marker.coordinator_epoch {
        return Err(AppendError::CoordinatorFenced {
            producer_id: producer.producer_id,
            got: marker.coordinator_epoch,
            current: producer.coordinator_epoch,
        });
    }
    let completed = producer.current_txn_first_offset.take().map(|first_offset| CompletedTxn {
        producer_id: producer.producer_id,
        first_offset,
        last_offset: header.base_offset,
        aborted: marker.aborts,
    });
    producer.set_epoch(header.producer_epoch);
    producer.coordinator_epoch = marker.coordinator_epoch;
    producer.last_timestamp = marker.timestamp;
    Ok(Change { producer, started: None, completed })
}

fn encode<'a>(producers: impl Iterator<Item = &'a Producer>) -> Result<Vec<u8>, protocol::EncodeError> {
    let producer_entries = producers.map(|producer| {
        let last = producer.last();
        ProducerEntry {
            producer_id: producer.producer_id,
            epoch: producer.producer_epoch,
            last_sequence: producer.last_sequence(),
            last_offset: last.map_or(-1, |batch| batch.last_offset),
            offset_delta: last.map_or(0, |batch| batch.offset_delta),
            timestamp: producer.last_timestamp,
            coordinator_epoch: producer.coordinator_epoch,
            current_txn_first_offset: producer.current_txn_first_offset.unwrap_or(-1),
        }
    });
    let snapshot = ProducerSnapshot { crc: 0, producer_entries: producer_entries.collect() };
    let mut bytes = ProducerSnapshot::MAX_VERSION.to_be_bytes().to_vec();
    bytes.extend_from_slice(&snapshot.encode_to_bytes(ProducerSnapshot::MAX_VERSION)?);
    let crc = crc_fast::crc32_iscsi(&bytes[ENTRIES_AT..]);
    bytes[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    Ok(bytes)
}

/// The producers of a snapshot; nothing if it is damaged.
fn decode(bytes: Bytes) -> Option<Vec<Producer>> {
    let version = i16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
    let computed = crc_fast::crc32_iscsi(bytes.get(ENTRIES_AT..)?);
    let snapshot = ProducerSnapshot::decode_from(&bytes.slice(CRC_AT..), version).ok()?;
    if snapshot.crc != computed {
        return None;
    }
    let producer = |entry: &ProducerEntry| {
        let mut producer = Producer::new(entry.producer_id);
        producer.producer_epoch = entry.epoch;
        producer.coordinator_epoch = entry.coordinator_epoch;
        if entry.last_offset >= 0 {
            producer.add(Appended {
                last_sequence: entry.last_sequence,
                last_offset: entry.last_offset,
                offset_delta: entry.offset_delta,
                timestamp: entry.timestamp,
            });
        }
        producer.last_timestamp = entry.timestamp;
        producer.current_txn_first_offset = Some(entry.current_txn_first_offset).filter(|offset| *offset >= 0);
        producer
    };
    Some(snapshot.producer_entries.iter().map(producer).collect())
}

#[cfg(test)]
#[path = "producer_state_tests.rs"]
mod tests;
