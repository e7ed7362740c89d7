//! One segment: a log file with its indexes, shared by the log that writes it and the views that read it.
//! Only the log changes it. Batches below a view's end never change, so that readers need no lock on the file; the lock on
//! the in-memory indexes is held for searches only.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use platform::{File, OpenMode};
use protocol::record::{BatchError, BatchHeader, HEADER_SIZE, NO_TIMESTAMP};
use protocol::types::Offset;

use crate::error::ReadError;
use crate::index_file::{self, Block, Entry, MemoryIndex};
use crate::offset_index::OffsetEntry;
use crate::place::{FileKind, Place};
use crate::time_index::{TimeEntry, TimestampAndOffset};
use crate::txn_index::{self, AbortedTxn};

/// Batches at the end of the active segment whose positions are known without an index: consumers mostly read there.
const RECENT_BATCHES: usize = 64;

/// Bytes read at a time while walking headers.
const SCAN_BYTES: usize = 4096;

/// A file of batches from a base offset on.
#[derive(Debug)]
pub struct Segment {
    place: Arc<Place>,
    base_offset: Offset,
    file: OnceLock<Arc<dyn File>>,
    /// Bytes that hold batches; the file may be longer after a failed write.
    size: AtomicU64,
    state: RwLock<State>,
    /// The part of the offset index that was searched last, where the index is in its file. Read and set with the state held.
    searched: Mutex<Option<Box<Block<OffsetEntry>>>>,
}

#[derive(Debug, Default)]
struct State {
    /// In memory while the segment is written to; otherwise in their files.
    indexes: Option<Indexes>,
    recent: Recent,
    /// The largest timestamp, once known. Minus one if there is none.
    largest: Option<TimestampAndOffset>,
    /// The transaction index, once read.
    aborted: Option<Vec<AbortedTxn>>,
}

#[derive(Debug)]
struct Indexes {
    offsets: MemoryIndex<OffsetEntry>,
    times: MemoryIndex<TimeEntry>,
}

/// The last batches, without a gap up to the end.
#[derive(Debug, Default)]
struct Recent {
    /// Offset from which on the batches are known.
    from: Offset,
    batches: VecDeque<RecentBatch>,
}

#[derive(Debug, Clone, Copy)]
struct RecentBatch {
    last_offset: Offset,
    position: u32,
}

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) size: u64,
}

impl Segment {
    pub(crate) fn new(place: Arc<Place>, base_offset: Offset, size: u64) -> Self {
        Self {
            place,
            base_offset,
            file: OnceLock::new(),
            size: AtomicU64::new(size),
            state: RwLock::new(State { recent: Recent { from: Offset::MAX, ..Recent::default() }, ..State::default() }),
            searched: Mutex::default(),
        }
    }

    /// The offset in its name: none of its batches starts below.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// Bytes of batches in the log file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The log file, opened on first use.
    pub(crate) fn file(&self) -> io::Result<&Arc<dyn File>> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = match self.place.open(FileKind::Log, self.base_offset, OpenMode::Write) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                self.place.open(FileKind::Log, self.base_offset, OpenMode::Read)?
            }
            opened => opened?,
        };
        Ok(self.file.get_or_init(|| file))
    }

    /// Closes the log file if nobody else knows the segment yet: an idle log holds no descriptor.
    pub(crate) fn release(self: &mut Arc<Self>) {
        if let Some(segment) = Arc::get_mut(self) {
            segment.file.take();
        }
    }

    /// Makes the log file, so that its name holds the log's end.
    pub(crate) fn create(&self, reserve: Option<u64>) -> io::Result<()> {
        let file = self.place.open(FileKind::Log, self.base_offset, OpenMode::Create)?;
        if let Some(bytes) = reserve {
            file.reserve(bytes)?;
        }
        self.file.get_or_init(|| file);
        Ok(())
    }

    pub(crate) fn exists(&self) -> bool {
        self.file.get().is_some()
            || self.size() > 0
            || self.place.disk.exists(&self.place.path(FileKind::Log, self.base_offset))
    }

    /// Brings the indexes into memory, for a segment that is to be written to.
    pub(crate) fn activate(&self) -> io::Result<()> {
        let mut state = self.state.write();
        self.searched.lock().take();
        if state.indexes.is_none() {
            state.indexes = Some(if self.size() == 0 {
                Indexes { offsets: MemoryIndex::new(), times: MemoryIndex::new() }
            } else {
                Indexes {
                    offsets: MemoryIndex::load(&self.place, self.base_offset)?,
                    times: MemoryIndex::load(&self.place, self.base_offset)?,
                }
            });
        }
        if state.largest.is_none() {
            state.largest = Some(self.read_largest(state.indexes.as_ref())?);
        }
        Ok(())
    }

    /// Starts the indexes anew, for recovery.
    pub(crate) fn reset_indexes(&self) -> io::Result<()> {
        let mut state = self.state.write();
        self.searched.lock().take();
        *state = State {
            indexes: Some(Indexes { offsets: MemoryIndex::new(), times: MemoryIndex::new() }),
            recent: Recent { from: Offset::MAX, ..Recent::default() },
            largest: Some(nothing(self.base_offset)),
            aborted: Some(Vec::new()),
        };
        txn_index::truncate(&self.place, self.base_offset, 0)
    }

    /// Takes note of a batch that was written at `position`; the segment has to be active. With `indexed` the batch gets
    /// index entries.
    pub(crate) fn appended(&self, header: &BatchHeader, position: u64, indexed: bool) {
        let mut state = self.state.write();
        let state = &mut *state;
        let last_offset = header.last_offset();
        let largest = state.largest.get_or_insert(nothing(self.base_offset));
        if header.max_timestamp > largest.timestamp {
            *largest = TimestampAndOffset { timestamp: header.max_timestamp, offset: last_offset };
        }
        if indexed && let Some(indexes) = &mut state.indexes {
            let relative_offset = relative(last_offset, self.base_offset);
            indexes
                .offsets
                .push(OffsetEntry { relative_offset, position: u32::try_from(position).unwrap_or(u32::MAX) });
            indexes.note_time(*largest, self.base_offset);
        }
        state.recent.push(header, position);
        self.size.store(position + header.size_in_bytes() as u64, Ordering::Release);
    }

    /// Writes the indexes to their files, the largest timestamp included, as Kafka does when it seals or closes. Whether
    /// there was anything to write.
    pub(crate) fn write_indexes(&self) -> io::Result<bool> {
        let mut state = self.state.write();
        let largest = state.largest;
        let Some(indexes) = &mut state.indexes else { return Ok(false) };
        if let Some(largest) = largest {
            indexes.note_time(largest, self.base_offset);
        }
        let offsets = indexes.offsets.write(&self.place, self.base_offset)?;
        Ok(indexes.times.write(&self.place, self.base_offset)? || offsets)
    }

    /// Frees what only a segment that is written to needs. Its indexes have to be in their files.
    pub(crate) fn deactivate(&self) {
        let mut state = self.state.write();
        state.indexes = None;
        state.recent = Recent { from: Offset::MAX, ..Recent::default() };
    }

    /// A segment that a cleaning wrote, with what is known of it.
    pub(crate) fn sealed(
        place: Arc<Place>,
        base_offset: Offset,
        (file, size): (Arc<dyn File>, u64),
        largest: TimestampAndOffset,
        aborted: Vec<AbortedTxn>,
    ) -> Self {
        let segment = Self::new(place, base_offset, size);
        segment.file.get_or_init(|| file);
        {
            let mut state = segment.state.write();
            state.largest = Some(largest);
            state.aborted = Some(aborted);
        }
        segment
    }

    /// Takes into memory, or opens, all that readers may ask for, because its files are about to be another segment's.
    pub(crate) fn detach(&self) -> io::Result<()> {
        self.file()?;
        let mut state = self.state.write();
        if state.indexes.is_none() {
            state.indexes = Some(Indexes {
                offsets: MemoryIndex::load(&self.place, self.base_offset)?,
                times: MemoryIndex::load(&self.place, self.base_offset)?,
            });
        }
        if state.largest.is_none() {
            state.largest = Some(self.read_largest(state.indexes.as_ref())?);
        }
        if state.aborted.is_none() {
            state.aborted = Some(txn_index::read(&self.place, self.base_offset)?);
        }
        Ok(())
    }

    /// Size of one of its files, in bytes; 0 if there is none.
    pub(crate) fn file_len(&self, kind: FileKind) -> io::Result<u64> {
        match self.place.disk.stat(&self.place.path(kind, self.base_offset)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            stat => Ok(stat?.len),
        }
    }

    /// When its log file was written to last, in epoch milliseconds.
    pub(crate) fn modified_ms(&self) -> io::Result<i64> {
        Ok(self.place.disk.stat(&self.place.path(FileKind::Log, self.base_offset))?.modified_ms)
    }

    /// Whether an index has no room for one more entry in `index_bytes`.
    pub(crate) fn index_full(&self, index_bytes: u32) -> bool {
        let state = self.state.read();
        let limit = index_bytes as usize;
        state.indexes.as_ref().is_some_and(|indexes| {
            indexes.offsets.entries().len() >= limit / 8 || indexes.times.entries().len() >= limit / 12
        })
    }

    /// The largest timestamp in the segment; its timestamp is negative if there is none.
    pub(crate) fn largest_timestamp(&self) -> io::Result<TimestampAndOffset> {
        let mut state = self.state.write();
        if let Some(largest) = state.largest {
            return Ok(largest);
        }
        let largest = self.read_largest(state.indexes.as_ref())?;
        state.largest = Some(largest);
        Ok(largest)
    }

    fn read_largest(&self, indexes: Option<&Indexes>) -> io::Result<TimestampAndOffset> {
        let last = match indexes {
            Some(indexes) => indexes.times.entries().last().copied(),
            None => match index_file::open::<TimeEntry>(&self.place, self.base_offset)? {
                Some(index) => index.last()?,
                None => None,
            },
        };
        Ok(last.map_or(nothing(self.base_offset), |entry| TimestampAndOffset {
            timestamp: entry.timestamp,
            offset: self.base_offset + i64::from(entry.relative_offset),
        }))
    }

    /// The batch that holds `offset`, or the first one after it, if it starts below `end`.
    pub(crate) fn locate(&self, offset: Offset, end: u64) -> Result<Option<Located>, ReadError> {
        if let Some(found) = self.state.read().recent.locate(offset, self.size()) {
            return Ok(Some(found).filter(|found| found.position < end));
        }
        let from = self.position_before(offset)?;
        let mut found = None;
        self.scan(from, end, |header, position| {
            if header.last_offset() < offset {
                return true;
            }
            found = Some(Located { position, size: header.size_in_bytes() as u64 });
            false
        })?;
        Ok(found)
    }

    /// Start of a batch at or before the one that holds `offset`, by the index.
    pub(crate) fn position_before(&self, offset: Offset) -> io::Result<u64> {
        if self.size() <= SCAN_BYTES as u64 {
            return Ok(0);
        }
        let relative = relative(offset, self.base_offset);
        let state = self.state.read();
        let entry = match &state.indexes {
            Some(indexes) => {
                let entries = indexes.offsets.entries();
                entries[..entries.partition_point(|entry| entry.relative_offset <= relative)].last().copied()
            }
            // With the state held the files are those of this segment: the index of one that is replaced is in memory first.
            None => self.search_file(relative)?,
        };
        Ok(entry.map_or(0, |entry| u64::from(entry.position)))
    }

    fn search_file(&self, relative: u32) -> io::Result<Option<OffsetEntry>> {
        let below = |entry: &OffsetEntry| entry.relative_offset <= relative;
        let mut searched = self.searched.lock();
        if let Some(block) = searched.as_ref().filter(|block| block.covers(below)) {
            return Ok(block.last_where(below));
        }
        let Some(index) = index_file::open::<OffsetEntry>(&self.place, self.base_offset)? else { return Ok(None) };
        let block = index.block_where(below, searched.as_ref().map(|block| block.at))?;
        let found = block.last_where(below);
        *searched = Some(Box::new(block));
        Ok(found)
    }

    /// The last entry of the time index that is not after `timestamp`.
    pub(crate) fn time_entry_before(&self, timestamp: i64) -> io::Result<Option<TimestampAndOffset>> {
        let entry = self.search(
            |indexes| {
                let entries = indexes.times.entries();
                entries[..entries.partition_point(|entry| entry.timestamp <= timestamp)].last().copied()
            },
            |entry: &TimeEntry| entry.timestamp <= timestamp,
        )?;
        Ok(entry.map(|entry| TimestampAndOffset {
            timestamp: entry.timestamp,
            offset: self.base_offset + i64::from(entry.relative_offset),
        }))
    }

    /// The last entry for which `below` holds, by the index in memory or in its file.
    fn search<E: Entry>(
        &self,
        in_memory: impl Fn(&Indexes) -> Option<E>,
        below: impl Fn(&E) -> bool,
    ) -> io::Result<Option<E>> {
        if let Some(indexes) = &self.state.read().indexes {
            return Ok(in_memory(indexes));
        }
        let found = match index_file::open::<E>(&self.place, self.base_offset)? {
            Some(index) => index.last_where(below)?,
            None => None,
        };
        // The file may have been that of the segment which replaced this one: then the index is in memory by now.
        Ok(self.state.read().indexes.as_ref().map_or(found, in_memory))
    }

    /// A batch boundary at or below `limit` and above `from`, if one is known without reading.
    pub(crate) fn boundary(&self, from: u64, limit: u64) -> Option<u64> {
        let state = self.state.read();
        if let Some(position) = state.recent.boundary(limit) {
            return Some(position).filter(|position| *position > from);
        }
        let entries = state.indexes.as_ref()?.offsets.entries();
        let below = entries.partition_point(|entry| u64::from(entry.position) <= limit);
        let position = u64::from(entries[..below].last()?.position);
        Some(position).filter(|position| *position > from)
    }

    /// An offset above those of all batches before `position`, as near as the indexes in memory know one.
    pub(crate) fn offset_above(&self, position: u64) -> Option<Offset> {
        let state = self.state.read();
        let indexed = state.indexes.as_ref().and_then(|indexes| {
            let entries = indexes.offsets.entries();
            let at = entries.partition_point(|entry| u64::from(entry.position) < position);
            entries.get(at).map(|entry| self.base_offset + i64::from(entry.relative_offset))
        });
        let batches = &state.recent.batches;
        let at = batches.partition_point(|batch| u64::from(batch.position) < position);
        let recent = batches.get(at).map(|batch| batch.last_offset);
        indexed.into_iter().chain(recent).min()
    }

    /// Walks the headers of the batches from `from` to `end` while `visit` wants more.
    pub(crate) fn scan(
        &self,
        from: u64,
        end: u64,
        visit: impl FnMut(&BatchHeader, u64) -> bool,
    ) -> Result<(), ReadError> {
        scan_headers(self.file()?.as_ref(), from, end, visit)
    }

    /// The offset after its last batch, by scanning from the last index entry.
    pub(crate) fn read_next_offset(&self) -> Result<Offset, ReadError> {
        let size = self.size();
        if size == 0 {
            return Ok(self.base_offset);
        }
        let mut next = self.base_offset;
        self.scan(self.position_before(Offset::MAX)?, size, |header, _| {
            next = header.next_offset();
            true
        })?;
        Ok(next)
    }

    /// Forgets all from `offset` on, and sets the size to where that batch starts. The caller cuts the file.
    pub(crate) fn truncate(&self, offset: Offset, size: u64) -> Result<(), ReadError> {
        self.activate()?;
        let mut state = self.state.write();
        let state = &mut *state;
        if let Some(indexes) = &mut state.indexes {
            let keep = relative(offset, self.base_offset);
            let offsets = indexes.offsets.entries().partition_point(|entry| entry.relative_offset < keep);
            indexes.offsets.truncate(offsets);
            let times = indexes.times.entries().partition_point(|entry| entry.relative_offset < keep);
            indexes.times.truncate(times);
        }
        state.recent = Recent { from: Offset::MAX, ..Recent::default() };
        self.size.store(size, Ordering::Release);
        let aborted = match state.aborted.take() {
            Some(aborted) => aborted,
            None => txn_index::read(&self.place, self.base_offset)?,
        };
        let kept: Vec<AbortedTxn> = aborted.iter().copied().take_while(|txn| txn.last_offset < offset).collect();
        if kept.len() < aborted.len() {
            txn_index::truncate(&self.place, self.base_offset, kept.len())?;
        }
        state.aborted = Some(kept);
        let mut largest = self.read_largest(state.indexes.as_ref())?;
        let after = state.indexes.as_ref().map_or(0, |indexes| {
            let entries = indexes.offsets.entries();
            let keep = relative(largest.offset, self.base_offset);
            entries[..entries.partition_point(|entry| entry.relative_offset <= keep)]
                .last()
                .map_or(0, |entry| entry.position)
        });
        self.scan(u64::from(after), size, |header, _| {
            if header.max_timestamp > largest.timestamp {
                largest = TimestampAndOffset { timestamp: header.max_timestamp, offset: header.last_offset() };
            }
            true
        })?;
        state.largest = Some(largest);
        Ok(())
    }

    /// Recovery found that the batches end at `size`.
    pub(crate) fn truncated_to(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Records that a transaction was aborted.
    pub(crate) fn add_aborted(&self, txn: AbortedTxn) -> io::Result<()> {
        let mut state = self.state.write();
        let mut aborted = match state.aborted.take() {
            Some(aborted) => aborted,
            None => txn_index::read(&self.place, self.base_offset)?,
        };
        let written = txn_index::append(&self.place, self.base_offset, aborted.len(), &txn);
        if written.is_ok() {
            aborted.push(txn);
        }
        state.aborted = Some(aborted);
        written
    }

    /// Shows `visit` the aborted transactions in the order of their markers, while it wants more.
    pub(crate) fn visit_aborted(&self, mut visit: impl FnMut(&AbortedTxn) -> bool) -> io::Result<bool> {
        if self.state.read().aborted.is_none() {
            let read = txn_index::read(&self.place, self.base_offset)?;
            self.state.write().aborted.get_or_insert(read);
        }
        let state = self.state.read();
        Ok(state.aborted.iter().flatten().all(&mut visit))
    }

    /// The segment's files that a sync has to reach, opened.
    pub(crate) fn sync_files(&self, sealed: bool) -> io::Result<Vec<Arc<dyn File>>> {
        let mut files = vec![Arc::clone(self.file()?)];
        if sealed {
            for kind in [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex] {
                match self.place.open(kind, self.base_offset, OpenMode::Write) {
                    Ok(file) => files.push(file),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(files)
    }
}

impl Indexes {
    fn note_time(&mut self, largest: TimestampAndOffset, base_offset: Offset) {
        let before = self.times.entries().last().map_or(NO_TIMESTAMP, |entry| entry.timestamp);
        if largest.timestamp > before {
            let relative_offset = relative(largest.offset, base_offset);
            self.times.push(TimeEntry { timestamp: largest.timestamp, relative_offset });
        }
    }
}

impl Recent {
    fn push(&mut self, header: &BatchHeader, position: u64) {
        if self.batches.is_empty() {
            self.from = header.base_offset;
        }
        if self.batches.len() == RECENT_BATCHES
            && let Some(oldest) = self.batches.pop_front()
        {
            self.from = oldest.last_offset + 1;
        }
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        self.batches.push_back(RecentBatch { last_offset: header.last_offset(), position });
    }

    fn locate(&self, offset: Offset, size: u64) -> Option<Located> {
        if offset < self.from {
            return None;
        }
        let at = self.batches.partition_point(|batch| batch.last_offset < offset);
        let position = u64::from(self.batches.get(at)?.position);
        let end = self.batches.get(at + 1).map_or(size, |next| u64::from(next.position));
        Some(Located { position, size: end - position })
    }

    fn boundary(&self, limit: u64) -> Option<u64> {
        let below = self.batches.partition_point(|batch| u64::from(batch.position) <= limit);
        Some(u64::from(self.batches.get(below.checked_sub(1)?)?.position))
    }
}

/// Walks the headers of the batches in `file` from `from` to `end` while `visit` wants more.
pub(crate) fn scan_headers(
    file: &dyn File,
    from: u64,
    end: u64,
    mut visit: impl FnMut(&BatchHeader, u64) -> bool,
) -> Result<(), ReadError> {
    let mut buffer = [0; SCAN_BYTES];
    let (mut start, mut filled) = (from, 0);
    let mut position = from;
    while position < end {
        let skipped = position - start;
        if skipped + HEADER_SIZE as u64 > filled as u64 && start + (filled as u64) < end || skipped >= filled as u64 {
            let wanted = usize::try_from(end - position).unwrap_or(usize::MAX).min(SCAN_BYTES);
            filled = file.pread(&mut buffer[..wanted], position)?;
            start = position;
        }
        // The batch starts inside of the buffer: it was just read from there if it did not.
        let at = usize::try_from(position - start).unwrap_or(usize::MAX).min(filled);
        let header = match BatchHeader::parse(&buffer[at..filled]) {
            Err(BatchError::Truncated { .. }) => return Ok(()),
            parsed => parsed?,
        };
        if !visit(&header, position) {
            return Ok(());
        }
        position += header.size_in_bytes() as u64;
    }
    Ok(())
}

fn nothing(base_offset: Offset) -> TimestampAndOffset {
    TimestampAndOffset { timestamp: NO_TIMESTAMP, offset: base_offset }
}

/// Offsets in an index are relative to the segment's base; one out of range is past every entry.
pub(crate) fn relative(offset: Offset, base_offset: Offset) -> u32 {
    u32::try_from(offset.saturating_sub(base_offset).max(0)).unwrap_or(u32::MAX)
}
