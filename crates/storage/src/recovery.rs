//! Opens a log. After a clean shutdown its files are taken at their word; after a crash, all from the segment of the
//! recovery point on is checked batch by batch, cut at the first bad one, and indexed anew. What lies before is on disk.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use platform::{DirEntry, Disk, OpenMode};
use protocol::record::{Batch, BatchError, MAGIC_V2};
use protocol::types::{Offset, TimestampMs};
use protocol::{TopicPartition, Uuid};
use tracing::{info, warn};

use crate::cleaner::finish_swaps;
use crate::config::LogConfig;
use crate::error::{ReadError, StorageError};
use crate::leader_epochs::LeaderEpochs;
use crate::log::{Active, Log, marker};
use crate::log_view::{LogView, LogViewCell};
use crate::place::{FileKind, Place};
use crate::producer_state::{Checked, Origin, Producers};
use crate::segment::Segment;

/// Name of the file that holds the topic's id.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// What to open, and what is known of it.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The log's directory, made if it is missing.
    pub dir: PathBuf,
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The topic's id, written to `partition.metadata` or compared with it.
    pub topic_id: Option<Uuid>,
    /// The settings.
    pub config: Arc<LogConfig>,
    /// All below this offset is on disk, by the checkpoint.
    pub recovery_point: Offset,
    /// First offset that may be read, by the checkpoint.
    pub log_start_offset: Offset,
    /// Whether the log was closed.
    pub clean_shutdown: bool,
    /// The time, in epoch milliseconds.
    pub now_ms: TimestampMs,
    /// `producer.id.expiration.ms`.
    pub max_producer_id_expiration_ms: i64,
}

impl OpenOptions {
    /// Options for a log of which nothing is known: all of it is recovered.
    #[must_use]
    pub fn new(dir: PathBuf, topic_partition: TopicPartition) -> Self {
        Self {
            dir,
            topic_partition,
            topic_id: None,
            config: Arc::default(),
            recovery_point: 0,
            log_start_offset: 0,
            clean_shutdown: false,
            now_ms: 0,
            max_producer_id_expiration_ms: 86_400_000,
        }
    }
}

/// What the directory holds.
#[derive(Default)]
struct Found {
    logs: BTreeSet<Offset>,
    indexes: BTreeSet<Offset>,
    snapshots: BTreeSet<Offset>,
    /// Files of segments whose log is gone.
    orphans: Vec<(FileKind, Offset)>,
    has_epochs: bool,
    has_metadata: bool,
}

impl Log {
    /// Opens the log in `options.dir`, or starts it.
    /// # Errors
    /// The disk's; [`StorageError::InconsistentTopicId`].
    pub fn open(disk: Arc<dyn Disk>, options: OpenOptions) -> Result<Self, StorageError> {
        let place = Arc::new(Place::new(disk, options.dir.clone()));
        let entries = match place.disk.list(&options.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                place.disk.create_dir(&options.dir)?;
                None
            }
            listed => Some(listed?),
        };
        let fresh = entries.is_none();
        let found = sort_out(&place, entries.unwrap_or_default())?;
        let unsynced_metadata = check_topic_id(&place, &options, found.has_metadata)?;
        let mut segments = Vec::with_capacity(found.logs.len().max(1));
        for base_offset in &found.logs {
            let size = place.disk.stat(&place.path(FileKind::Log, *base_offset))?.len;
            segments.push(Arc::new(Segment::new(Arc::clone(&place), *base_offset, size)));
        }
        if segments.is_empty() {
            let segment = Segment::new(Arc::clone(&place), options.log_start_offset, 0);
            if options.log_start_offset > 0 {
                segment.create(None)?;
            }
            segments.push(Arc::new(segment));
        }
        let start = options.log_start_offset.max(segments[0].base_offset());
        let mut log = Self {
            dir: options.dir.clone(),
            topic_partition: options.topic_partition.clone(),
            config: Arc::clone(&options.config),
            active: Active::new(options.now_ms, &options.config, start),
            log_start_offset: start,
            log_end_offset: start,
            high_watermark: start,
            recovery_point: start,
            epochs: LeaderEpochs::default(),
            producers: Producers::new(found.snapshots.iter().copied().collect()),
            unsynced_names: fresh,
            unsynced_metadata,
            sealed: VecDeque::new(),
            offline: false,
            touched: false,
            cell: Arc::new(LogViewCell::new(empty_view())),
            segments,
            place,
        };
        if !found.logs.is_empty() {
            log.load(&options, &found)?;
        } else {
            log.producers.reset(start);
        }
        for segment in &mut log.segments {
            segment.release();
        }
        log.publish_segments();
        Ok(log)
    }

    fn load(&mut self, options: &OpenOptions, found: &Found) -> Result<(), StorageError> {
        self.load_epochs(found.has_epochs)?;
        let unclean = (!options.clean_shutdown).then(|| {
            let above = self.segments.partition_point(|segment| segment.base_offset() <= options.recovery_point);
            above.saturating_sub(1)
        });
        let unindexed = self.segments.iter().position(|segment| !found.indexes.contains(&segment.base_offset()));
        match unclean.into_iter().chain(unindexed).min() {
            Some(first) => self.recover_from(first, options.recovery_point)?,
            None => self.trust_files().or_else(|error| self.distrust_files(error))?,
        }
        if self.log_end_offset < options.log_start_offset {
            warn!(partition = %self.topic_partition, "the log ends before its start offset: starting anew there");
            self.truncate_fully_and_start_at(options.log_start_offset)?;
        }
        let durable =
            if options.clean_shutdown && unindexed.is_none() { self.log_end_offset } else { options.recovery_point };
        self.recovery_point = durable.min(self.log_end_offset);
        self.epochs.truncate_from_end(self.log_end_offset);
        self.epochs.truncate_from_start(self.log_start_offset);
        self.producers.expire(options.now_ms, options.max_producer_id_expiration_ms);
        self.high_watermark = self.log_start_offset;
        Ok(())
    }

    fn load_epochs(&mut self, has_file: bool) -> Result<(), StorageError> {
        if has_file {
            match LeaderEpochs::read(self.place.disk.as_ref(), &self.dir) {
                Ok(epochs) => {
                    self.epochs = epochs;
                    return Ok(());
                }
                Err(error @ StorageError::Malformed { .. }) => {
                    warn!(partition = %self.topic_partition, %error, "reading the leader epochs from the batches");
                }
                Err(error) => return Err(error),
            }
            for segment in &self.segments {
                let epochs = &mut self.epochs;
                segment.scan(0, segment.size(), |header, _| {
                    epochs.assign(header.partition_leader_epoch, header.base_offset);
                    true
                })?;
            }
        }
        Ok(())
    }

    /// After a clean shutdown: the end of the log by its index, the producers by the snapshot that was taken last.
    fn trust_files(&mut self) -> Result<(), StorageError> {
        let end = self.active_segment().read_next_offset()?;
        self.log_end_offset = end;
        if !self.producers.has_snapshot() {
            // A log from before there were snapshots has no producers worth a scan.
            self.producers.reset(end);
            return Ok(());
        }
        self.producers.load(&self.place, self.log_start_offset, end)?;
        self.replay_producers(end)?;
        Ok(())
    }

    /// The files of a log that was closed contradict each other: its disk has rotten.
    fn distrust_files(&mut self, error: StorageError) -> Result<(), StorageError> {
        match error {
            StorageError::Disk(error) if error.kind() == io::ErrorKind::InvalidData => {
                warn!(partition = %self.topic_partition, %error, "recovering a log that was closed");
                self.recover_from(0, Offset::MAX)
            }
            error => Err(error),
        }
    }

    /// Brings the producers up to `end` from the batches after the snapshot.
    pub(crate) fn replay_producers(&mut self, end: Offset) -> Result<(), StorageError> {
        let from = self.producers.end_offset();
        if from >= end {
            return Ok(());
        }
        let first = self.segments.partition_point(|segment| segment.base_offset() <= from).saturating_sub(1);
        let after = self.segments.partition_point(|segment| segment.base_offset() < end);
        for at in first..after {
            let segment = Arc::clone(&self.segments[at]);
            let position = segment.position_before(from)?;
            walk(&segment, position, segment.size(), &mut |batch, _| {
                let header = &batch.header;
                if header.base_offset >= from && header.next_offset() <= end {
                    let checked = self.producers.check(header, marker(header, &batch.bytes)?, Origin::Replication);
                    if let Ok(Checked::Change(change)) = checked
                        && let Some(txn) = self.producers.apply(change)
                    {
                        self.producers.complete(&txn);
                    }
                }
                Ok(())
            })?;
        }
        self.producers.set_end_offset(end);
        Ok(())
    }

    /// Checks all from segment `first` on and cuts the log where it ends to make sense.
    fn recover_from(&mut self, first: usize, checkpoint: Offset) -> Result<(), StorageError> {
        self.touched = true;
        let base_offset = self.segments[first].base_offset();
        let place = Arc::clone(&self.place);
        self.producers.remove_snapshots(&place, |offset| offset > base_offset)?;
        self.producers.load(&place, self.log_start_offset, base_offset)?;
        self.replay_producers(base_offset)?;
        self.epochs.truncate_from_end(base_offset);
        let mut at = first;
        loop {
            let segment = Arc::clone(&self.segments[at]);
            let whole = self.recover_segment(&segment)?;
            self.producers.set_end_offset(self.log_end_offset);
            let Some(next) = self.segments.get(at + 1) else { return Ok(()) };
            // A sealed segment ends where the next one starts, unless compaction took its end away, perhaps before the
            // topic's policy was changed: what is missing was lost, and all after it is no continuation.
            let compacted = self.config.cleanup_compact || next.base_offset() <= checkpoint;
            let continued =
                next.base_offset() == self.log_end_offset || compacted && next.base_offset() > self.log_end_offset;
            if !(whole && continued) {
                warn!(partition = %self.topic_partition, end = self.log_end_offset, "removing what follows a damaged segment");
                let lost = self.segments.split_off(at + 1);
                return self.remove_segments(&lost);
            }
            segment.write_indexes()?;
            if self.log_end_offset <= checkpoint {
                // No other recovery would come by here.
                self.sync_sealed(&segment)?;
            }
            segment.deactivate();
            self.producers.take_snapshot(&place)?;
            self.log_end_offset = self.segments[at + 1].base_offset();
            at += 1;
        }
    }

    /// Rebuilds what belongs to one segment from its batches. Whether all of its bytes were good.
    fn recover_segment(&mut self, segment: &Arc<Segment>) -> Result<bool, StorageError> {
        let held = segment.file()?.len()?;
        segment.reset_indexes()?;
        self.log_end_offset = segment.base_offset();
        let (mut indexed_at, mut end) = (0, 0);
        let interval = u64::from(self.config.index_interval_bytes);
        let walked = walk(segment, 0, held, &mut |batch, position| {
            batch.verify_crc()?;
            let header = &batch.header;
            let marker = marker(header, &batch.bytes)?;
            if header.last_offset() < self.log_end_offset
                || header.magic == MAGIC_V2 && header.base_offset < self.log_end_offset
                || header.last_offset() - segment.base_offset() > i64::from(i32::MAX)
            {
                return Err(BatchError::InvalidRecord("the offsets of a batch do not follow on the one before").into());
            }
            let indexed = position - indexed_at > interval;
            if indexed {
                indexed_at = position;
            }
            segment.appended(header, position, indexed);
            if header.magic == MAGIC_V2 {
                if self.epochs.latest().is_none_or(|latest| header.partition_leader_epoch > latest) {
                    self.epochs.assign(header.partition_leader_epoch, header.base_offset);
                }
                if let Ok(Checked::Change(change)) = self.producers.check(header, marker, Origin::Replication)
                    && let Some(txn) = self.producers.apply(change)
                {
                    self.complete(segment, &txn)?;
                }
            }
            self.log_end_offset = header.next_offset();
            end = position + header.size_in_bytes() as u64;
            Ok(())
        });
        match walked {
            Ok(()) => {}
            Err(ReadError::Batch(reason)) => {
                warn!(partition = %self.topic_partition, base_offset = segment.base_offset(), position = end, %reason,
                    "found a bad batch");
            }
            Err(error) => return Err(error.into()),
        }
        if end < held {
            info!(partition = %self.topic_partition, bytes = held - end, "cutting what follows the last good batch");
            segment.file()?.truncate(end)?;
        }
        segment.truncated_to(end);
        Ok(end == held)
    }
}

/// Shows `visit` the batches from `from` to `end`; ends without an error where the last one is cut off.
fn walk(
    segment: &Segment,
    from: u64,
    end: u64,
    visit: &mut dyn FnMut(&Batch, u64) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let file = segment.file()?;
    let (mut position, mut wanted) = (from, CHUNK);
    while position < end {
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        let mut chunk = vec![0; wanted.min(left)];
        let read = file.pread(&mut chunk, position)?;
        chunk.truncate(read);
        let mut bytes = Bytes::from(chunk);
        let start = position;
        loop {
            match Batch::parse(&bytes) {
                Ok(batch) => {
                    visit(&batch, position)?;
                    position += batch.bytes.len() as u64;
                    bytes = bytes.slice(batch.bytes.len()..);
                }
                Err(BatchError::Truncated { wanted: size, .. }) => {
                    if size as u64 > end - position || position == start && size <= read {
                        return Ok(());
                    }
                    wanted = size.max(CHUNK);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
            if bytes.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

/// What readers see until the log is open.
fn empty_view() -> LogView {
    LogView {
        log_start_offset: 0,
        high_watermark: 0,
        last_stable_offset: 0,
        log_end_offset: 0,
        segments: Arc::from([]),
        end_position: 0,
    }
}

/// Removes what was left half done and tells the rest apart.
fn sort_out(place: &Place, entries: Vec<DirEntry>) -> Result<Found, StorageError> {
    let mut found = Found::default();
    let mut files: Vec<(FileKind, Offset)> = Vec::new();
    for DirEntry { name, is_dir } in finish_swaps(place, entries)? {
        if is_dir {
            continue;
        }
        if name == crate::leader_epochs::FILE_NAME {
            found.has_epochs = true;
        } else if name == PARTITION_METADATA {
            found.has_metadata = true;
        } else {
            files.extend(FileKind::parse(&name));
        }
    }
    for (kind, offset) in files {
        match kind {
            FileKind::Log => drop(found.logs.insert(offset)),
            FileKind::Snapshot => drop(found.snapshots.insert(offset)),
            FileKind::OffsetIndex => drop(found.indexes.insert(offset)),
            FileKind::TimeIndex | FileKind::TxnIndex => {}
        }
        if !matches!(kind, FileKind::Log | FileKind::Snapshot) {
            found.orphans.push((kind, offset));
        }
    }
    for (kind, offset) in std::mem::take(&mut found.orphans) {
        if !found.logs.contains(&offset) {
            place.remove_if_there(kind, offset)?;
        }
    }
    Ok(found)
}

/// Compares `partition.metadata` with the topic's id, or writes it. Whether it was written.
fn check_topic_id(place: &Place, options: &OpenOptions, exists: bool) -> Result<bool, StorageError> {
    let Some(expected) = options.topic_id else { return Ok(false) };
    let path = options.dir.join(PARTITION_METADATA);
    if exists {
        let text = String::from_utf8_lossy(&place.disk.read(&path)?).into_owned();
        let id =
            text.lines().find_map(|line| line.strip_prefix("topic_id: ")).and_then(|id| id.trim().parse::<Uuid>().ok());
        match id {
            Some(found) if found == expected => return Ok(false),
            Some(found) => {
                return Err(StorageError::InconsistentTopicId { path: options.dir.clone(), found, expected });
            }
            // It was being written when the machine stopped.
            None => {}
        }
    }
    let file = place.disk.open(&path, OpenMode::Truncate)?;
    file.pwrite(&mut [IoSlice::new(format!("version: 0\ntopic_id: {expected}").as_bytes())], 0)?;
    Ok(true)
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
