//! The segment that a cleaning writes, beside the log until it is swapped in: `.cleaned` files, synced when complete.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use platform::{File, OpenMode};
use protocol::record::{BatchHeader, NO_TIMESTAMP};
use protocol::types::{Offset, TimestampMs};

use crate::index_file::Entry;
use crate::offset_index::OffsetEntry;
use crate::place::{CLEANED_SUFFIX, FileKind, Place, ignore_missing};
use crate::segment::{Segment, relative};
use crate::time_index::{TimeEntry, TimestampAndOffset};
use crate::txn_index::AbortedTxn;

/// Pieces that are written in one call.
const MOST_PIECES: usize = 512;

/// A segment that is complete and on disk, and the ones that it replaces.
#[derive(Debug)]
pub struct CleanedSegment {
    pub(super) place: Arc<Place>,
    pub(super) segment: Arc<Segment>,
    pub(super) kinds: Vec<FileKind>,
    /// With the sizes that they had when they were read.
    pub(super) replaced: Vec<(Arc<Segment>, u64)>,
}

/// What is to be written.
enum Piece {
    /// A range of the chunk that is being cleaned.
    Source(Range<usize>),
    Built(Bytes),
}

/// A segment in the making. Its files go with it, unless it is finished.
pub(crate) struct Output {
    place: Arc<Place>,
    base_offset: Offset,
    file: Arc<dyn File>,
    index_interval_bytes: u64,
    position: u64,
    bytes_since_index: u64,
    offsets: Vec<u8>,
    times: Vec<u8>,
    last_time: TimestampMs,
    largest: TimestampAndOffset,
    aborted: Vec<AbortedTxn>,
    pieces: Vec<Piece>,
    finished: bool,
}

impl Output {
    pub(crate) fn create(place: &Arc<Place>, base_offset: Offset, index_interval_bytes: u32) -> io::Result<Self> {
        let file = place.disk.open(&cleaned_path(place, FileKind::Log, base_offset), OpenMode::Truncate)?;
        Ok(Self {
            place: Arc::clone(place),
            base_offset,
            file,
            index_interval_bytes: u64::from(index_interval_bytes),
            position: 0,
            bytes_since_index: 0,
            offsets: Vec::new(),
            times: Vec::new(),
            last_time: NO_TIMESTAMP,
            largest: TimestampAndOffset { timestamp: NO_TIMESTAMP, offset: base_offset },
            aborted: Vec::new(),
            pieces: Vec::new(),
            finished: false,
        })
    }

    /// Keeps a batch of the chunk as it is.
    pub(crate) fn keep(&mut self, header: &BatchHeader, range: Range<usize>, chunk: &[u8]) -> io::Result<()> {
        self.note(header);
        match self.pieces.last_mut() {
            Some(Piece::Source(last)) if last.end == range.start => last.end = range.end,
            _ => self.push(Piece::Source(range), chunk)?,
        }
        Ok(())
    }

    /// Writes a batch that was made anew.
    pub(crate) fn add(&mut self, header: &BatchHeader, batch: Bytes, chunk: &[u8]) -> io::Result<()> {
        self.note(header);
        self.push(Piece::Built(batch), chunk)
    }

    /// Notes a transaction whose marker stays.
    pub(crate) fn aborted(&mut self, txn: AbortedTxn) {
        self.aborted.push(txn);
    }

    /// Writes what is left of the chunk, before the next one is read; the bytes that the file has.
    pub(crate) fn flush(&mut self, chunk: &[u8]) -> io::Result<u64> {
        let pieces = std::mem::take(&mut self.pieces);
        let mut slices: Vec<IoSlice<'_>> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Source(range) => IoSlice::new(&chunk[range.clone()]),
                Piece::Built(bytes) => IoSlice::new(bytes),
            })
            .collect();
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        if len > 0 {
            self.file.pwrite(&mut slices, self.position - len as u64)?;
        }
        self.pieces = pieces;
        self.pieces.clear();
        Ok(self.position)
    }

    /// Writes the indexes and syncs all; the segment then replaces `replaced`.
    pub(crate) fn finish(
        mut self,
        replaced: Vec<(Arc<Segment>, u64)>,
        modified_ms: TimestampMs,
    ) -> io::Result<CleanedSegment> {
        self.note_time();
        let mut kinds = vec![FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex];
        self.write(FileKind::OffsetIndex, &self.offsets)?;
        self.write(FileKind::TimeIndex, &self.times)?;
        if !self.aborted.is_empty() {
            let entries: Vec<u8> = self.aborted.iter().flat_map(AbortedTxn::encode).collect();
            self.write(FileKind::TxnIndex, &entries)?;
            kinds.push(FileKind::TxnIndex);
        }
        self.file.sync_data()?;
        // Records without timestamps expire by the time of their file.
        self.file.set_modified_ms(modified_ms)?;
        self.finished = true;
        let segment = Segment::sealed(
            Arc::clone(&self.place),
            self.base_offset,
            (Arc::clone(&self.file), self.position),
            self.largest,
            std::mem::take(&mut self.aborted),
        );
        Ok(CleanedSegment { place: Arc::clone(&self.place), segment: Arc::new(segment), kinds, replaced })
    }

    fn push(&mut self, piece: Piece, chunk: &[u8]) -> io::Result<()> {
        self.pieces.push(piece);
        if self.pieces.len() < MOST_PIECES {
            return Ok(());
        }
        self.flush(chunk)?;
        Ok(())
    }

    fn note(&mut self, header: &BatchHeader) {
        if header.max_timestamp > self.largest.timestamp {
            self.largest = TimestampAndOffset { timestamp: header.max_timestamp, offset: header.last_offset() };
        }
        if self.bytes_since_index > self.index_interval_bytes {
            self.bytes_since_index = 0;
            let relative_offset = relative(header.last_offset(), self.base_offset);
            let position = u32::try_from(self.position).unwrap_or(u32::MAX);
            OffsetEntry { relative_offset, position }.encode(&mut self.offsets);
            self.note_time();
        }
        self.bytes_since_index += header.size_in_bytes() as u64;
        self.position += header.size_in_bytes() as u64;
    }

    fn note_time(&mut self) {
        if self.largest.timestamp > self.last_time {
            self.last_time = self.largest.timestamp;
            let relative_offset = relative(self.largest.offset, self.base_offset);
            TimeEntry { timestamp: self.largest.timestamp, relative_offset }.encode(&mut self.times);
        }
    }

    fn write(&self, kind: FileKind, bytes: &[u8]) -> io::Result<()> {
        let path = cleaned_path(&self.place, kind, self.base_offset);
        let file = self.place.disk.open(&path, OpenMode::Truncate)?;
        if !bytes.is_empty() {
            file.pwrite(&mut [IoSlice::new(bytes)], 0)?;
        }
        file.sync_data()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.finished {
            discard(&self.place, self.base_offset);
        }
    }
}

/// Removes the files of a segment that is not swapped in. What is left over goes with the next start.
pub(super) fn discard(place: &Place, base_offset: Offset) {
    for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex] {
        let path = cleaned_path(place, kind, base_offset);
        if let Err(error) = ignore_missing(place.disk.remove_file(&path)) {
            tracing::warn!(path = %path.display(), %error, "could not remove what a cleaning left");
        }
    }
}

pub(super) fn cleaned_path(place: &Place, kind: FileKind, base_offset: Offset) -> PathBuf {
    suffixed(place, kind, base_offset, CLEANED_SUFFIX)
}

pub(super) fn suffixed(place: &Place, kind: FileKind, base_offset: Offset, suffix: &str) -> PathBuf {
    let mut path = place.path(kind, base_offset).into_os_string();
    path.push(suffix);
    PathBuf::from(path)
}
