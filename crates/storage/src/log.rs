//! One partition's log: a list of segments, of which the last one grows.
//! Offsets rise without a gap from the log end offset; `log_start_offset <= high_watermark <= log_end_offset`. Nothing is
//! visible to readers before it is written, and a failed write leaves no trace.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use platform::Random;
use protocol::TopicPartition;
use protocol::record::{Batch, BatchError, BatchHeader, HEADER_SIZE, TimestampType, ValidBatch, batches};
use protocol::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::config::LogConfig;
use crate::error::{AppendError, ReadError, StorageError};
use crate::leader_epochs::LeaderEpochs;
use crate::log_view::{LogView, LogViewCell};
use crate::place::Place;
use crate::producer_state::{Change, Checked, CompletedTxn, Marker, Origin, ProducerState, Producers};
use crate::segment::Segment;
use crate::txn_index::AbortedTxn;
use crate::verification::VerificationGuard;

/// What a leader appends.
#[derive(Debug, Clone, Copy)]
pub struct AppendRequest<'a> {
    /// The batch; its base offset and leader epoch are the log's to set.
    pub batch: &'a ValidBatch,
    /// Epoch of the leader.
    pub leader_epoch: LeaderEpoch,
    /// The time, in epoch milliseconds.
    pub now_ms: TimestampMs,
}

/// Where records were appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendResult {
    /// Offset of the first record.
    pub first_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The time of the append if the topic's timestamps are that; otherwise -1.
    pub log_append_time: TimestampMs,
    /// First offset of the log.
    pub log_start_offset: Offset,
    /// The records were appended before; the offsets are those of then.
    pub duplicate: bool,
}

/// One partition's log.
#[derive(Debug)]
pub struct Log {
    pub(crate) place: Arc<Place>,
    pub(crate) dir: PathBuf,
    pub(crate) topic_partition: TopicPartition,
    pub(crate) config: Arc<LogConfig>,
    /// Never empty; the last one is written to.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) active: Active,
    pub(crate) log_start_offset: Offset,
    pub(crate) log_end_offset: Offset,
    pub(crate) high_watermark: Offset,
    /// All below is on disk.
    pub(crate) recovery_point: Offset,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) producers: Producers,
    /// Files were made or renamed since the directory was synced.
    pub(crate) unsynced_names: bool,
    /// `partition.metadata` was written and not synced.
    pub(crate) unsynced_metadata: bool,
    /// When segments were sealed, and their base offsets: those that are not to be synced yet.
    pub(crate) sealed: VecDeque<(TimestampMs, Offset)>,
    pub(crate) offline: bool,
    /// Something in its files changed since it was opened or closed.
    pub(crate) touched: bool,
    pub(crate) cell: Arc<LogViewCell>,
}

/// What the log keeps of its last segment beside what readers see.
#[derive(Debug, Default)]
pub(crate) struct Active {
    /// Its file and indexes are open.
    pub(crate) ready: bool,
    /// A write failed and what it left could not be cut off.
    torn: bool,
    bytes_since_index: u64,
    /// Largest timestamp of its first batch: segments roll by the records' time.
    first_timestamp: Option<TimestampMs>,
    created_ms: TimestampMs,
    jitter_ms: i64,
}

impl Active {
    pub(crate) fn new(now_ms: TimestampMs, config: &LogConfig, base_offset: Offset) -> Self {
        let bound = u64::try_from(config.segment_jitter_ms.min(config.segment_ms)).unwrap_or(0);
        let seed = now_ms.cast_unsigned() ^ base_offset.cast_unsigned().rotate_left(32);
        let jitter_ms = i64::try_from(Random::new(seed).below(bound)).unwrap_or(0);
        Self { created_ms: now_ms, jitter_ms, ..Self::default() }
    }

    /// Forgets what a truncation may have changed.
    pub(crate) fn reset(&mut self) {
        self.ready = false;
        self.torn = false;
        self.bytes_since_index = 0;
        self.first_timestamp = None;
    }
}

impl Log {
    /// Appends a producer's batch as the partition's leader, without syncing it. Bytes go from the batch to the disk in one
    /// write, uncopied.
    /// # Errors
    /// [`AppendError`]; then nothing was appended.
    pub fn append_as_leader(&mut self, request: &AppendRequest<'_>) -> Result<AppendResult, AppendError> {
        let appended = self.append_own(request, Origin::Client, false);
        self.heed(appended)
    }

    /// As [`Log::append_as_leader`] for a batch of a transaction, which must have written here before or come with the guard
    /// of its verification (KIP-890).
    /// # Errors
    /// [`AppendError`]; then nothing was appended.
    pub fn append_verified(
        &mut self,
        request: &AppendRequest<'_>,
        guard: Option<VerificationGuard>,
    ) -> Result<AppendResult, AppendError> {
        self.producers.verify(&request.batch.header, guard)?;
        self.producers.verify_sequence(&request.batch.header)?;
        let appended = self.append_own(request, Origin::Client, false);
        self.heed(appended)
    }

    /// As [`Log::append_verified`] for records that a coordinator of this broker wrote in a transaction.
    /// # Errors
    /// [`AppendError`]; then nothing was appended.
    pub fn append_verified_as_coordinator(
        &mut self,
        request: &AppendRequest<'_>,
        guard: Option<VerificationGuard>,
    ) -> Result<AppendResult, AppendError> {
        self.producers.verify(&request.batch.header, guard)?;
        let appended = self.append_own(request, Origin::Coordinator, false);
        self.heed(appended)
    }

    /// Appends the end of a transaction. `raised` says that the producer's epoch was raised for it.
    /// # Errors
    /// [`AppendError`]; then nothing was appended.
    pub fn append_marker(&mut self, request: &AppendRequest<'_>, raised: bool) -> Result<AppendResult, AppendError> {
        let appended = self.append_own(request, Origin::Coordinator, raised);
        self.heed(appended)
    }

    /// Before the first batch of a transaction: the guard with which its append has to come once the transaction coordinator
    /// knows of it. Nothing if the transaction has written here before.
    /// # Errors
    /// [`AppendError::InvalidProducerEpoch`].
    pub fn start_verification(
        &mut self,
        now_ms: TimestampMs,
        producer: (ProducerId, ProducerEpoch),
        sequence: Sequence,
        bumps_epoch: bool,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        self.producers.start_verification(now_ms, producer, sequence, bumps_epoch)
    }

    /// As [`Log::append_as_leader`] for records that a coordinator of this broker wrote: they have no sequences.
    /// # Errors
    /// [`AppendError`]; then nothing was appended.
    pub fn append_as_coordinator(&mut self, request: &AppendRequest<'_>) -> Result<AppendResult, AppendError> {
        let appended = self.append_own(request, Origin::Coordinator, false);
        self.heed(appended)
    }

    fn append_own(
        &mut self,
        request: &AppendRequest<'_>,
        origin: Origin,
        raised: bool,
    ) -> Result<AppendResult, AppendError> {
        self.check_online()?;
        let batch = request.batch;
        let mut header = batch.header;
        header.base_offset = self.log_end_offset;
        header.partition_leader_epoch = request.leader_epoch;
        if let Some(current) = self.epochs.latest().filter(|current| request.leader_epoch < *current) {
            return Err(AppendError::StaleLeaderEpoch { got: request.leader_epoch, current });
        }
        let mut marker = marker(&header, &batch.bytes)?;
        if let Some(marker) = &mut marker {
            marker.raised = raised;
        }
        let change = match self.producers.check(&header, marker, origin)? {
            Checked::Nothing => None,
            Checked::Change(change) => Some(change),
            Checked::Duplicate(before) => {
                let log_append_time = append_time(&header, before.timestamp);
                return Ok(self.result(before.first_offset(), before.last_offset, log_append_time, true));
            }
        };
        self.make_room(header.size_in_bytes(), header.last_offset(), header.max_timestamp, request.now_ms)?;
        self.epochs.assign(request.leader_epoch, header.base_offset);
        let head = header.to_bytes();
        let position = self.write(&mut [IoSlice::new(&head), IoSlice::new(&batch.bytes[HEADER_SIZE..])])?;
        self.written(&header, position, change)?;
        self.producers.verified(&header);
        self.publish();
        Ok(self.result(header.base_offset, header.last_offset(), append_time(&header, header.max_timestamp), false))
    }

    /// Appends what a leader sent, with its offsets and epochs. A batch that is cut off at the end is left out.
    /// # Errors
    /// [`AppendError`]; then nothing was appended.
    pub fn append_as_follower(&mut self, bytes: &Bytes, now_ms: TimestampMs) -> Result<AppendResult, AppendError> {
        let appended = self.append_replicated(bytes, now_ms);
        self.heed(appended)
    }

    /// A disk that failed takes the log offline; a full one does not.
    fn heed(&mut self, appended: Result<AppendResult, AppendError>) -> Result<AppendResult, AppendError> {
        if let Err(AppendError::Storage(error)) = &appended {
            self.offline |= error.is_disk_failure();
        }
        appended
    }

    fn append_replicated(&mut self, bytes: &Bytes, now_ms: TimestampMs) -> Result<AppendResult, AppendError> {
        self.check_online()?;
        let (parsed, len) = self.check_replicated(bytes)?;
        let (Some(first), Some(last)) = (parsed.first(), parsed.last()) else {
            return Ok(self.result(self.log_end_offset, self.log_end_offset - 1, -1, false));
        };
        let (first_offset, last_offset) = (first.header.base_offset, last.header.last_offset());
        let largest = parsed.iter().map(|batch| batch.header.max_timestamp).max().unwrap_or(-1);
        self.make_room(len, last_offset, largest, now_ms)?;
        let mut position = self.write(&mut [IoSlice::new(&bytes[..len])])?;
        for batch in &parsed {
            self.epochs.assign(batch.header.partition_leader_epoch, batch.header.base_offset);
            let marker = marker(&batch.header, &batch.bytes)?;
            let change = match self.producers.check(&batch.header, marker, Origin::Replication)? {
                Checked::Change(change) => Some(change),
                Checked::Nothing | Checked::Duplicate(_) => None,
            };
            self.written(&batch.header, position, change)?;
            position += batch.bytes.len() as u64;
        }
        self.publish();
        Ok(self.result(first_offset, last_offset, -1, false))
    }

    fn check_replicated(&self, bytes: &Bytes) -> Result<(Vec<Batch>, usize), AppendError> {
        let (mut parsed, mut len) = (Vec::new(), 0);
        let mut expected = self.log_end_offset;
        for batch in batches(bytes) {
            let batch = match batch {
                Err(BatchError::Truncated { .. }) => break,
                batch => batch?,
            };
            batch.verify_crc()?;
            marker(&batch.header, &batch.bytes)?;
            if batch.header.base_offset < expected {
                return Err(AppendError::UnexpectedOffset { got: batch.header.base_offset, expected });
            }
            expected = batch.header.next_offset();
            len += batch.bytes.len();
            parsed.push(batch);
        }
        Ok((parsed, len))
    }

    /// Rolls the log if the append asks for it, and opens what it is to be written to.
    fn make_room(
        &mut self,
        size: usize,
        last_offset: Offset,
        largest_timestamp: TimestampMs,
        now_ms: TimestampMs,
    ) -> Result<(), AppendError> {
        if size as u64 > u64::from(self.config.segment_bytes) {
            return Err(AppendError::LargerThanSegment { size, limit: self.config.segment_bytes });
        }
        self.open_active()?;
        if self.should_roll(size, last_offset, largest_timestamp, now_ms) {
            self.roll(now_ms)?;
            self.open_active()?;
        }
        if self.active.first_timestamp.is_none() {
            self.active.first_timestamp = Some(largest_timestamp);
        }
        Ok(())
    }

    fn should_roll(
        &self,
        size: usize,
        last_offset: Offset,
        largest_timestamp: TimestampMs,
        now_ms: TimestampMs,
    ) -> bool {
        let segment = self.active_segment();
        let held = segment.size();
        let waited = match self.active.first_timestamp {
            Some(first) if first >= 0 => largest_timestamp - first,
            _ => now_ms - self.active.created_ms,
        };
        held + size as u64 > u64::from(self.config.segment_bytes)
            || held > 0 && waited > self.config.segment_ms - self.active.jitter_ms
            || last_offset - segment.base_offset() > i64::from(i32::MAX)
            || segment.index_full(self.config.segment_index_bytes)
    }

    fn open_active(&mut self) -> Result<(), StorageError> {
        if self.active.ready {
            return Ok(());
        }
        let segment = Arc::clone(self.active_segment());
        if segment.size() == 0 && !segment.exists() {
            let reserve = self.config.preallocate.then_some(u64::from(self.config.segment_bytes));
            segment.create(reserve)?;
            self.unsynced_names = true;
        }
        segment.activate()?;
        if self.active.first_timestamp.is_none() {
            let mut first = None;
            let scanned = segment.scan(0, segment.size(), |header, _| {
                first = Some(header.max_timestamp);
                false
            });
            // What cannot be read now is no reason to refuse an append: the segment then rolls by the clock.
            self.active.first_timestamp = first.filter(|_| scanned.is_ok());
        }
        self.active.ready = true;
        Ok(())
    }

    /// Writes at the end of the active segment and returns where.
    fn write(&mut self, slices: &mut [IoSlice<'_>]) -> Result<u64, StorageError> {
        self.touched = true;
        let segment = Arc::clone(self.active_segment());
        let position = segment.size();
        let file = segment.file()?;
        if self.active.torn {
            // A batch that was refused must not come back in a recovery, behind others that are written over its start.
            file.truncate(position)?;
            self.active.torn = false;
        }
        if let Err(error) = file.pwrite(slices, position) {
            self.active.torn = file.truncate(position).is_err();
            tracing::error!(partition = %self.topic_partition, %error, "could not write to a log");
            return Err(error.into());
        }
        Ok(position)
    }

    /// Takes note of a batch that is in the file.
    fn written(&mut self, header: &BatchHeader, position: u64, change: Option<Change>) -> Result<(), StorageError> {
        let indexed = self.active.bytes_since_index > u64::from(self.config.index_interval_bytes);
        if indexed {
            self.active.bytes_since_index = 0;
        }
        self.active.bytes_since_index += header.size_in_bytes() as u64;
        self.active_segment().appended(header, position, indexed);
        self.log_end_offset = header.next_offset();
        if let Some(txn) = change.and_then(|change| self.producers.apply(change)) {
            let segment = Arc::clone(self.active_segment());
            self.complete(&segment, &txn)?;
        }
        self.producers.set_end_offset(self.log_end_offset);
        Ok(())
    }

    pub(crate) fn complete(&mut self, segment: &Segment, txn: &CompletedTxn) -> Result<(), StorageError> {
        if txn.aborted {
            let aborted = AbortedTxn {
                producer_id: txn.producer_id,
                first_offset: txn.first_offset,
                last_offset: txn.last_offset,
                last_stable_offset: self.producers.stable_after(txn),
            };
            if let Err(error) = segment.add_aborted(aborted) {
                // The marker is written but readers could not leave its transaction out: recovery repairs the index.
                self.offline = true;
                return Err(error.into());
            }
        }
        self.producers.complete(txn);
        Ok(())
    }

    /// Seals the active segment and starts a new one at the log end offset, unless the active one is empty.
    /// # Errors
    /// The disk's.
    pub fn roll(&mut self, now_ms: TimestampMs) -> Result<(), StorageError> {
        self.check_online()?;
        let old = Arc::clone(self.active_segment());
        if old.size() == 0 {
            return Ok(());
        }
        if self.active.torn {
            old.file()?.truncate(old.size())?;
        }
        self.touched = true;
        old.activate()?;
        old.write_indexes()?;
        if self.recovery_point >= self.log_end_offset {
            // A checkpoint may name the end of this segment by now: recovery would start after it and trust its indexes.
            self.sync_sealed(&old)?;
        }
        self.producers.take_snapshot(&self.place)?;
        let segment = Arc::new(Segment::new(Arc::clone(&self.place), self.log_end_offset, 0));
        let reserve = self.config.preallocate.then_some(u64::from(self.config.segment_bytes));
        segment.create(reserve)?;
        old.deactivate();
        self.unsynced_names = true;
        self.active = Active::new(now_ms, &self.config, self.log_end_offset);
        self.sealed.push_back((now_ms, old.base_offset()));
        self.segments.push(segment);
        self.publish_segments();
        tracing::debug!(partition = %self.topic_partition, base_offset = self.log_end_offset, "rolled a segment");
        Ok(())
    }

    /// Moves the high watermark to `offset`, within the log.
    pub fn set_high_watermark(&mut self, offset: Offset) {
        let offset = offset.clamp(self.log_start_offset, self.log_end_offset);
        self.high_watermark = offset;
        self.producers.set_high_watermark(offset);
        self.publish();
    }

    pub(crate) fn active_segment(&self) -> &Arc<Segment> {
        self.segments.last().expect("a log is opened with a segment and never gives its last one away")
    }

    pub(crate) fn check_online(&self) -> Result<(), StorageError> {
        if self.offline { Err(StorageError::Offline) } else { Ok(()) }
    }

    pub(crate) fn stable_offset(&self) -> Offset {
        self.producers.first_unstable_offset().map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// Shows readers what changed in the offsets.
    pub(crate) fn publish(&self) {
        self.cell.update(|view| self.fill(view));
    }

    /// Shows readers what changed in the offsets and the segments.
    pub(crate) fn publish_segments(&self) {
        let segments: Arc<[Arc<Segment>]> = self.segments.as_slice().into();
        self.cell.update(|view| {
            view.segments = segments;
            self.fill(view);
        });
    }

    fn fill(&self, view: &mut LogView) {
        view.log_start_offset = self.log_start_offset;
        view.high_watermark = self.high_watermark;
        view.last_stable_offset = self.stable_offset();
        view.log_end_offset = self.log_end_offset;
        view.end_position = self.active_segment().size();
    }

    fn result(
        &self,
        first_offset: Offset,
        last_offset: Offset,
        log_append_time: TimestampMs,
        duplicate: bool,
    ) -> AppendResult {
        AppendResult { first_offset, last_offset, log_append_time, log_start_offset: self.log_start_offset, duplicate }
    }
}

/// What there is to see of a log.
impl Log {
    /// The partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Arc<LogConfig> {
        &self.config
    }

    /// Replaces the settings.
    pub fn set_config(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// The newest view.
    #[must_use]
    pub fn view(&self) -> Arc<LogView> {
        self.cell.load()
    }

    /// Takes the place of `other`: whoever reads there reads here from now on.
    pub fn take_over(&mut self, other: &Self) {
        self.cell = Arc::clone(&other.cell);
        self.publish_segments();
    }

    /// Where readers find the newest view.
    #[must_use]
    pub fn view_cell(&self) -> Arc<LogViewCell> {
        Arc::clone(&self.cell)
    }

    /// First offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// Offset after the last record.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// Offset after the last record that consumers may see.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Offset below which all records are on disk.
    #[must_use]
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// Bytes of all segments, without indexes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size()).sum()
    }

    /// The newest epoch in which records were written, or that was assigned.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// Notes that the leader of `epoch` will write from the log end offset on.
    pub fn assign_epoch(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.log_end_offset);
    }

    /// The largest epoch up to `epoch`, and the offset after its last record (KIP-101).
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset_for(epoch, self.log_end_offset)
    }

    /// The epoch in which the record at `offset` was written.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.epoch_for_offset(offset)
    }

    /// The producers that the log knows, by id.
    #[must_use]
    pub fn producer_states(&self) -> Vec<ProducerState> {
        self.producers.states()
    }

    /// Forgets producers that wrote nothing for `expiration_ms` (`producer.id.expiration.ms`).
    pub fn expire_producers(&mut self, now_ms: TimestampMs, expiration_ms: i64) {
        self.producers.expire(now_ms, expiration_ms);
    }
}

/// The transaction marker that a batch is, if it is one.
pub(crate) fn marker(header: &BatchHeader, bytes: &Bytes) -> Result<Option<Marker>, BatchError> {
    if !(header.is_control() && header.has_producer_id()) {
        return Ok(None);
    }
    Marker::decode(&Batch { bytes: bytes.clone(), header: *header })
}

fn append_time(header: &BatchHeader, timestamp: TimestampMs) -> TimestampMs {
    match header.timestamp_type() {
        TimestampType::LogAppendTime => timestamp,
        TimestampType::CreateTime => -1,
    }
}

impl From<ReadError> for StorageError {
    /// A log's own scan fails like this if a segment is damaged where it was synced.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(error) => error,
            other => Self::Disk(std::io::Error::new(std::io::ErrorKind::InvalidData, other.to_string())),
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
pub(crate) mod tests;
