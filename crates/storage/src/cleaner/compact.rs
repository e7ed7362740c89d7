//! One cleaning: the last offset of every key in the dirty part is noted, then the log is copied from its start without the
//! records that a later one replaces, and without what time has made needless (`Cleaner`).

use std::sync::Arc;

use bytes::Bytes;
use platform::File;
use protocol::record::{
    Batch, BatchBuilder, BatchError, BatchHeader, BatchSettings, Compression, ControlRecordType, DECOMPRESSED_LIMIT,
    HEADER_SIZE, Kept, KeyedRecord, MAGIC_V2, Record, decompress, emptied, visit_keys,
};
use protocol::types::{Offset, TimestampMs};

use super::offset_map::OffsetMap;
use super::output::{CleanedSegment, Output, discard};
use super::scan::Chunk;
use super::schedule::Cleaning;
use super::transactions::{MarkerFate, Transactions};
use super::{CleanError, CleanerSettings, Pace};
use crate::place::FileKind;
use crate::segment::Segment;

/// What a cleaning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanedLog {
    /// All below is clean.
    pub end_offset: Offset,
    /// Bytes of the segments that were copied.
    pub bytes_read: u64,
    /// Bytes of the segments that replace them.
    pub bytes_written: u64,
    /// Keys that the dirty part had.
    pub keys: u64,
    /// Records without a key, which a compacted topic should not have: they go.
    pub invalid_records: u64,
}

/// Cleans a log. `swap` is given each segment that is complete, to bring it into the log under its lock.
/// # Errors
/// [`CleanError`]; what was swapped in before stays.
pub fn clean(
    cleaning: &Cleaning,
    settings: &CleanerSettings,
    pace: &mut dyn Pace,
    swap: &mut dyn FnMut(CleanedSegment) -> Result<(), CleanError>,
) -> Result<CleanedLog, CleanError> {
    let range = &cleaning.range;
    let hash_key = settings.hash_key;
    let (first, end) = (range.first_dirty, range.first_uncleanable);
    let mut cleaner = Cleaner {
        cleaning,
        pace,
        chunk: Chunk::new(settings.io_buffer_bytes),
        map: OffsetMap::new(settings.dedupe_bytes, settings.load_factor, first, end, hash_key),
        transactions: Transactions::default(),
        legacy_tombstones_stay: true,
        kept: Kept::default(),
        done: CleanedLog::default(),
    };
    cleaner.index()?;
    cleaner.done.keys = cleaner.map.len() as u64;
    cleaner.done.end_offset = cleaner.map.latest() + 1;
    let legacy_horizon_ms = cleaner.legacy_horizon()?;
    let count = cleaning.segments.partition_point(|segment| segment.base_offset() < cleaner.done.end_offset);
    for group in group(cleaning, count)? {
        let cleaned = cleaner.copy(group, legacy_horizon_ms)?;
        let (base_offset, size) = (cleaned.segment.base_offset(), cleaned.segment.size());
        if let Err(error) = swap(cleaned) {
            discard(&cleaning.place, base_offset);
            return Err(error);
        }
        cleaner.done.bytes_written += size;
    }
    // The checkpoint of the cleaner must not get ahead of the segments.
    cleaning.place.disk.sync_dir(&cleaning.place.dir())?;
    Ok(cleaner.done)
}

/// Segments that become one, because together they are no larger than a segment may be.
fn group(cleaning: &Cleaning, count: usize) -> Result<Vec<&[Arc<Segment>]>, CleanError> {
    let config = &cleaning.config;
    let (most, most_index) = (u64::from(config.segment_bytes), u64::from(config.segment_index_bytes));
    let sizes = |segment: &Segment| -> Result<[u64; 3], CleanError> {
        Ok([segment.size(), segment.file_len(FileKind::OffsetIndex)?, segment.file_len(FileKind::TimeIndex)?])
    };
    let segments = &cleaning.segments[..count];
    let (mut groups, mut start) = (Vec::new(), 0);
    while start < segments.len() {
        let mut sum = sizes(&segments[start])?;
        let mut end = start + 1;
        while end < segments.len() {
            let next = sizes(&segments[end])?;
            let after = segments.get(end + 1).map_or(cleaning.range.first_uncleanable, |after| after.base_offset());
            let spread = after - 1 - segments[start].base_offset();
            let fits = sum[0] + next[0] <= most
                && sum[1] + next[1] <= most_index
                && sum[2] + next[2] <= most_index
                && (next[0] == 0 || spread <= i64::from(i32::MAX));
            if !fits {
                break;
            }
            (0..3).for_each(|at| sum[at] += next[at]);
            end += 1;
        }
        groups.push(&segments[start..end]);
        start = end;
    }
    Ok(groups)
}

struct Cleaner<'a> {
    cleaning: &'a Cleaning,
    pace: &'a mut dyn Pace,
    chunk: Chunk,
    map: OffsetMap,
    transactions: Transactions,
    /// Whether tombstones of the old formats, which have no horizon of their own, stay in the current segment.
    legacy_tombstones_stay: bool,
    kept: Kept,
    done: CleanedLog,
}

/// What becomes of a batch.
enum Fate {
    Gone,
    Whole,
    Anew(Bytes),
}

impl Cleaner<'_> {
    /// Notes the last offsets of the keys in the dirty part, as many as there is room for.
    fn index(&mut self) -> Result<(), CleanError> {
        let cleaning = self.cleaning;
        let (start, end) = (cleaning.range.first_dirty, cleaning.range.first_uncleanable);
        let mut transactions = Transactions::default();
        transactions.expect(&cleaning.view.aborted_transactions(start, end)?);
        let first = cleaning.segments.partition_point(|segment| segment.base_offset() <= start).saturating_sub(1);
        for (at, segment) in cleaning.segments.iter().enumerate().skip(first) {
            if !self.index_segment(segment, start, &mut transactions)? {
                return Ok(());
            }
            let next = cleaning.segments.get(at + 1).map_or(end, |next| next.base_offset());
            self.map.advance(next - 1);
        }
        Ok(())
    }

    /// Whether the map had room for all of the segment.
    fn index_segment(
        &mut self,
        segment: &Segment,
        start: Offset,
        transactions: &mut Transactions,
    ) -> Result<bool, CleanError> {
        let file = Arc::clone(segment.file()?);
        let mut position = segment.position_before(start)?;
        while position < segment.size() {
            let read = self.fill(&file, segment, position)?;
            for (header, range) in &self.chunk.batches {
                let bytes = &self.chunk.bytes()[range.clone()];
                let at = position + range.start as u64;
                let corrupt = |reason| corrupt(segment, at, reason);
                if header.is_control() {
                    transactions.on_marker(header, control_kind(header, bytes).map_err(corrupt)?);
                } else if !transactions.on_batch(header) {
                    let map = &mut self.map;
                    let room = visit_batch(header, bytes, |record| match record.key {
                        Some(key) if record.offset >= start => map.put(key, record.offset),
                        _ => true,
                    });
                    if !room.map_err(corrupt)? {
                        return Ok(false);
                    }
                }
                if header.last_offset() >= start {
                    self.map.advance(header.last_offset());
                }
            }
            position += read as u64;
        }
        Ok(true)
    }

    /// Copies a group of segments into a new one.
    fn copy(&mut self, group: &[Arc<Segment>], legacy_horizon_ms: TimestampMs) -> Result<CleanedSegment, CleanError> {
        let cleaning = self.cleaning;
        let mut output = Output::create(&cleaning.place, group[0].base_offset(), cleaning.config.index_interval_bytes)?;
        let mut replaced = Vec::with_capacity(group.len());
        let mut modified_ms = 0;
        for segment in group {
            let at = cleaning.segments.partition_point(|other| other.base_offset() <= segment.base_offset());
            let next = cleaning.segments.get(at).map_or(cleaning.range.first_uncleanable, |next| next.base_offset());
            self.transactions.expect(&cleaning.view.aborted_transactions(segment.base_offset(), next)?);
            modified_ms = segment.modified_ms()?;
            self.legacy_tombstones_stay = modified_ms > legacy_horizon_ms;
            let size = segment.size();
            self.copy_segment(segment, &mut output)?;
            self.done.bytes_read += size;
            replaced.push((Arc::clone(segment), size));
        }
        Ok(output.finish(replaced, modified_ms)?)
    }

    fn copy_segment(&mut self, segment: &Segment, output: &mut Output) -> Result<(), CleanError> {
        let file = Arc::clone(segment.file()?);
        let mut position = 0;
        while position < segment.size() {
            let read = self.fill(&file, segment, position)?;
            let chunk = std::mem::replace(&mut self.chunk, Chunk::new(0));
            let copied = self.copy_chunk(segment, position, &chunk, output);
            self.chunk = chunk;
            self.pace.moved(copied?)?;
            position += read as u64;
        }
        Ok(())
    }

    /// The bytes that were written.
    fn copy_chunk(
        &mut self,
        segment: &Segment,
        position: u64,
        chunk: &Chunk,
        output: &mut Output,
    ) -> Result<u64, CleanError> {
        let before = output.flush(chunk.bytes())?;
        for (header, range) in &chunk.batches {
            let bytes = &chunk.bytes()[range.clone()];
            let corrupt = |reason| corrupt(segment, position + range.start as u64, reason);
            match self.decide(header, bytes, output).map_err(corrupt)? {
                Fate::Gone => {}
                Fate::Whole => output.keep(header, range.clone(), chunk.bytes())?,
                Fate::Anew(batch) => {
                    let header = BatchHeader::parse(&batch).map_err(corrupt)?;
                    output.add(&header, batch, chunk.bytes())?;
                }
            }
        }
        Ok(output.flush(chunk.bytes())? - before)
    }

    fn decide(&mut self, header: &BatchHeader, bytes: &[u8], output: &mut Output) -> Result<Fate, BatchError> {
        let now_ms = self.cleaning.now_ms;
        let needless = if header.is_control() {
            match self.transactions.on_marker(header, control_kind(header, bytes)?) {
                MarkerFate::Needless => true,
                MarkerFate::Needed => false,
                MarkerFate::Aborts(txn) => {
                    output.aborted(txn);
                    false
                }
            }
        } else {
            self.transactions.on_batch(header)
        };
        let due = !header.is_control() || header.delete_horizon().is_some_and(|horizon| horizon <= now_ms);
        // The next append of a producer is checked against its last batch, and the end of the log has to stay known.
        let stays_empty =
            self.is_last_of_producer(header) || header.next_offset() == self.cleaning.range.first_uncleanable;
        let emptied = || if stays_empty { Fate::Anew(emptied(header)) } else { Fate::Gone };
        if needless && due {
            return Ok(emptied());
        }
        if header.magic != MAGIC_V2 {
            return Ok(self.convert(header, bytes)?.map_or_else(emptied, Fate::Anew));
        }
        let decompressed;
        let records = match header.compression()? {
            Compression::None => &bytes[HEADER_SIZE..],
            codec => {
                decompressed = decompress(codec, &bytes[HEADER_SIZE..], DECOMPRESSED_LIMIT)?;
                &decompressed
            }
        };
        let mut kept = std::mem::take(&mut self.kept);
        let chosen = if header.is_control() {
            kept.choose(header, records, |_| true)
        } else {
            let tombstones_stay = header.delete_horizon().is_none_or(|horizon| now_ms < horizon);
            kept.choose(header, records, |record| self.stays(record, tombstones_stay))
        };
        let fate = chosen.and_then(|()| {
            if kept.is_empty() {
                return Ok(emptied());
            }
            let starts_horizon = (kept.tombstones || needless && header.is_control()) && !header.has_delete_horizon();
            if kept.all && !starts_horizon {
                return Ok(Fate::Whole);
            }
            let new_horizon = || now_ms.saturating_add(self.cleaning.config.delete_retention_ms);
            let horizon = if starts_horizon { Some(new_horizon()) } else { header.delete_horizon() };
            kept.rewrite(header, records, horizon).map(Fate::Anew)
        });
        self.kept = kept;
        fate
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let last = self.cleaning.producers.get(&header.producer_id).filter(|_| header.has_producer_id());
        last.is_some_and(|last| match last.offset {
            Some(offset) => header.last_offset() == offset,
            // Without a batch of records a marker is what keeps the epoch.
            None => header.is_control() && header.producer_epoch == last.producer_epoch,
        })
    }

    #[inline]
    fn stays(&mut self, record: &KeyedRecord<'_>, tombstones_stay: bool) -> bool {
        if record.offset > self.map.latest() {
            return true;
        }
        let Some(key) = record.key else {
            self.done.invalid_records += 1;
            return false;
        };
        (record.has_value || tombstones_stay) && self.map.get(key).is_none_or(|last| record.offset >= last)
    }

    /// A batch of an old format, in the current one, if anything of it stays.
    fn convert(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<Option<Bytes>, BatchError> {
        let batch = Batch { bytes: Bytes::copy_from_slice(bytes), header: *header };
        let records: Vec<Record> = batch.records()?.collect::<Result<_, _>>()?;
        let mut kept = Vec::with_capacity(records.len());
        let tombstones_stay = self.legacy_tombstones_stay;
        for record in records {
            let key = record.key.as_deref();
            let seen = KeyedRecord { offset: record.offset, key, has_value: record.value.is_some() };
            if self.stays(&seen, tombstones_stay) {
                kept.push(record);
            }
        }
        let Some(first) = kept.first() else { return Ok(None) };
        let tombstones = kept.iter().any(|record| record.value.is_none());
        let horizon = self.cleaning.now_ms.saturating_add(self.cleaning.config.delete_retention_ms);
        let mut builder = BatchBuilder::new(BatchSettings {
            base_offset: first.offset,
            compression: header.compression()?,
            timestamp_type: header.timestamp_type(),
            log_append_time: header.max_timestamp,
            delete_horizon: tombstones.then_some(horizon),
            ..BatchSettings::default()
        });
        for record in &kept {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder.append_at(record.offset, record.timestamp, key, value, &record.headers);
        }
        Ok(Some(builder.build()))
    }

    /// Tombstones of old formats go from segments that were written before this time.
    fn legacy_horizon(&self) -> Result<TimestampMs, CleanError> {
        let segments = &self.cleaning.segments;
        let clean = segments.partition_point(|segment| segment.base_offset() < self.cleaning.range.first_dirty);
        match segments[..clean].last() {
            Some(last) => Ok(last.modified_ms()?.saturating_sub(self.cleaning.config.delete_retention_ms)),
            None => Ok(0),
        }
    }

    fn fill(&mut self, file: &Arc<dyn File>, segment: &Segment, position: u64) -> Result<usize, CleanError> {
        let read = self.chunk.fill(file.as_ref(), segment.base_offset(), position, segment.size())?;
        self.pace.moved(read as u64)?;
        Ok(read)
    }
}

fn corrupt(segment: &Segment, position: u64, reason: BatchError) -> CleanError {
    CleanError::Corrupt { base_offset: segment.base_offset(), position, reason }
}

/// What the marker in a control batch says; nothing if compaction took it out.
fn control_kind(header: &BatchHeader, bytes: &[u8]) -> Result<Option<ControlRecordType>, BatchError> {
    let mut kind = None;
    visit_batch(header, bytes, |record| {
        kind = record.key.map(ControlRecordType::parse);
        false
    })?;
    kind.transpose()
}

/// Shows `visit` the records of a batch while it wants more. Whether it wanted all.
fn visit_batch(
    header: &BatchHeader,
    bytes: &[u8],
    mut visit: impl FnMut(&KeyedRecord<'_>) -> bool,
) -> Result<bool, BatchError> {
    if header.magic != MAGIC_V2 {
        let batch = Batch { bytes: Bytes::copy_from_slice(bytes), header: *header };
        for record in batch.records()? {
            let record = record?;
            let (key, has_value) = (record.key.as_deref(), record.value.is_some());
            if !visit(&KeyedRecord { offset: record.offset, key, has_value }) {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    match header.compression()? {
        Compression::None => visit_keys(header, &bytes[HEADER_SIZE..], visit),
        codec => visit_keys(header, &decompress(codec, &bytes[HEADER_SIZE..], DECOMPRESSED_LIMIT)?, visit),
    }
}
