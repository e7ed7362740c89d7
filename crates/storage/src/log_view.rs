//! What readers may see of a log: its offsets at one moment, and the segments that hold them.
//! The log publishes a new view after every change; a reader takes the newest and never waits for the log.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use platform::File;
use protocol::record::{Batch, NO_TIMESTAMP};
use protocol::types::{Offset, TimestampMs};

use crate::error::{ReadError, StorageError};
use crate::segment::Segment;
use crate::time_index::TimestampAndOffset;
use crate::txn_index::AbortedTxn;

/// A range of a log file. It may be cut off inside its last batch.
#[derive(Debug, Clone)]
pub struct FileSlice {
    /// The file.
    pub file: Arc<dyn File>,
    /// Where the range starts, in bytes.
    pub position: u64,
    /// Its length, in bytes.
    pub len: u32,
}

impl FileSlice {
    /// Reads the range into memory.
    /// # Errors
    /// The disk's.
    pub fn read_all(&self) -> Result<Bytes, StorageError> {
        let mut bytes = vec![0; self.len as usize];
        let read = self.file.pread(&mut bytes, self.position)?;
        bytes.truncate(read);
        Ok(bytes.into())
    }
}

/// A log at one moment.
#[derive(Debug, Clone)]
pub struct LogView {
    /// First offset that may be read.
    pub log_start_offset: Offset,
    /// Offset after the last record that consumers may see.
    pub high_watermark: Offset,
    /// Offset of the first record of an open transaction, or the high watermark.
    pub last_stable_offset: Offset,
    /// Offset after the last record.
    pub log_end_offset: Offset,
    pub(crate) segments: Arc<[Arc<Segment>]>,
    /// Bytes of the last segment that belong to this view.
    pub(crate) end_position: u64,
}

/// The newest view of a log, shared with its readers.
#[derive(Debug)]
pub struct LogViewCell {
    newest: RwLock<Arc<LogView>>,
}

impl LogViewCell {
    pub(crate) fn new(view: LogView) -> Self {
        Self { newest: RwLock::new(Arc::new(view)) }
    }

    /// The newest view.
    #[must_use]
    pub fn load(&self) -> Arc<LogView> {
        Arc::clone(&self.newest.read())
    }

    /// Changes the newest view, in place if no reader holds it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut LogView)) {
        change(Arc::make_mut(&mut self.newest.write()));
    }
}

impl LogView {
    /// The batches from the one that holds `offset` on, below `upper_bound`, in at most `max_bytes`; with `min_one_message`
    /// the first batch is whole even if it is larger. Nothing if there is none to see yet.
    /// # Errors
    /// [`ReadError::OffsetOutOfRange`]; otherwise the disk's.
    pub fn read(
        &self,
        offset: Offset,
        max_bytes: u32,
        upper_bound: Offset,
        min_one_message: bool,
    ) -> Result<Option<FileSlice>, ReadError> {
        if offset < self.log_start_offset || offset > self.log_end_offset {
            return Err(self.out_of_range(offset));
        }
        if offset >= upper_bound.min(self.log_end_offset) {
            return Ok(None);
        }
        let first = self.segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1);
        for at in first..self.segments.len() {
            let segment = &self.segments[at];
            let end = self.end_of(at);
            let Some(found) =
                segment.locate(offset, end).map_err(|error| self.deleted_is_out_of_range(error, offset))?
            else {
                continue;
            };
            let limit = self.limit(at, upper_bound, end)?;
            if found.position >= limit {
                return Ok(None);
            }
            let wanted = if min_one_message { u64::from(max_bytes).max(found.size) } else { u64::from(max_bytes) };
            let mut to = limit.min(found.position + wanted);
            if to < limit {
                to = segment.boundary(found.position, to).unwrap_or(to);
            }
            let len = u32::try_from(to - found.position).unwrap_or(u32::MAX);
            let file = Arc::clone(segment.file()?);
            return Ok(Some(FileSlice { file, position: found.position, len }).filter(|slice| slice.len > 0));
        }
        Ok(None)
    }

    /// The first record at or after `timestamp`, by offset, if there is one.
    /// # Errors
    /// The disk's, or a damaged log.
    pub fn offset_for_timestamp(&self, timestamp: TimestampMs) -> Result<Option<TimestampAndOffset>, ReadError> {
        for at in 0..self.segments.len() {
            if self.segments[at].largest_timestamp()?.timestamp >= timestamp {
                return self.search(at, timestamp);
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of the log.
    /// # Errors
    /// The disk's, or a damaged log.
    pub fn max_timestamp(&self) -> Result<Option<TimestampAndOffset>, ReadError> {
        let mut best = (NO_TIMESTAMP, 0);
        for (at, segment) in self.segments.iter().enumerate() {
            let timestamp = segment.largest_timestamp()?.timestamp;
            if timestamp > best.0 {
                best = (timestamp, at);
            }
        }
        if best.0 == NO_TIMESTAMP { Ok(None) } else { self.search(best.1, best.0) }
    }

    /// The aborted transactions with records between `from` and `upper_bound`, in the order of their markers.
    /// # Errors
    /// The disk's.
    pub fn aborted_transactions(&self, from: Offset, upper_bound: Offset) -> Result<Vec<AbortedTxn>, ReadError> {
        let mut found = Vec::new();
        let first = self.segments.partition_point(|segment| segment.base_offset() <= from).saturating_sub(1);
        for segment in &self.segments[first..] {
            let more = segment.visit_aborted(|txn| {
                if txn.last_offset >= from && txn.first_offset < upper_bound {
                    found.push(*txn);
                }
                // What was stable then holds no transaction that ends later.
                txn.last_stable_offset < upper_bound
            })?;
            if !more {
                break;
            }
        }
        Ok(found)
    }

    /// An offset above all that a range of this log holds; not much above if the indexes are in memory.
    #[must_use]
    pub fn offset_above(&self, slice: &FileSlice) -> Offset {
        let is_of = |segment: &Arc<Segment>| segment.file().is_ok_and(|file| Arc::ptr_eq(file, &slice.file));
        let Some(at) = self.segments.iter().rposition(is_of) else { return self.log_end_offset };
        let next = self.segments.get(at + 1).map_or(self.log_end_offset, |segment| segment.base_offset());
        self.segments[at].offset_above(slice.position + u64::from(slice.len)).map_or(next, |above| above.min(next))
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size(&self) -> u64 {
        (0..self.segments.len()).map(|at| self.end_of(at)).sum()
    }

    fn out_of_range(&self, offset: Offset) -> ReadError {
        let (log_start_offset, log_end_offset) = (self.log_start_offset, self.log_end_offset);
        ReadError::OffsetOutOfRange { offset, log_start_offset, log_end_offset }
    }

    /// A segment that was deleted after this view was taken may be gone before it was ever opened.
    fn deleted_is_out_of_range(&self, error: ReadError, offset: Offset) -> ReadError {
        match error {
            ReadError::Storage(StorageError::Disk(cause)) if cause.kind() == std::io::ErrorKind::NotFound => {
                self.out_of_range(offset)
            }
            error => error,
        }
    }

    fn end_of(&self, at: usize) -> u64 {
        if at + 1 == self.segments.len() { self.end_position } else { self.segments[at].size() }
    }

    /// Where `upper_bound` cuts the segment.
    fn limit(&self, at: usize, upper_bound: Offset, end: u64) -> Result<u64, ReadError> {
        let next = self.segments.get(at + 1).map_or(self.log_end_offset, |segment| segment.base_offset());
        if upper_bound >= next {
            return Ok(end);
        }
        Ok(self.segments[at].locate(upper_bound, end)?.map_or(end, |bound| bound.position))
    }

    /// The first record of segment `at`, or of those after it, that is at or after `timestamp`.
    fn search(&self, at: usize, timestamp: TimestampMs) -> Result<Option<TimestampAndOffset>, ReadError> {
        for at in at..self.segments.len() {
            let (segment, end) = (&self.segments[at], self.end_of(at));
            let hint = segment.time_entry_before(timestamp)?.map_or(segment.base_offset(), |entry| entry.offset);
            let mut from = segment.position_before(hint.max(self.log_start_offset))?;
            loop {
                let mut candidate = None;
                segment.scan(from, end, |header, position| {
                    if header.max_timestamp < timestamp || header.last_offset() < self.log_start_offset {
                        return true;
                    }
                    candidate = Some((position, header.size_in_bytes()));
                    false
                })?;
                let Some((position, size)) = candidate else { break };
                if let Some(found) = self.search_batch(segment, position, size, timestamp)? {
                    return Ok(Some(found));
                }
                from = position + size as u64;
            }
        }
        Ok(None)
    }

    fn search_batch(
        &self,
        segment: &Segment,
        position: u64,
        size: usize,
        timestamp: TimestampMs,
    ) -> Result<Option<TimestampAndOffset>, ReadError> {
        let mut bytes = vec![0; size];
        let read = segment.file()?.pread(&mut bytes, position)?;
        bytes.truncate(read);
        for record in Batch::parse(&Bytes::from(bytes))?.records()? {
            let record = record?;
            if record.timestamp >= timestamp && record.offset >= self.log_start_offset {
                return Ok(Some(TimestampAndOffset { timestamp: record.timestamp, offset: record.offset }));
            }
        }
        Ok(None)
    }
}
