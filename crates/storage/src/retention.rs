//! What goes at the start of a log: records that were asked to go, segments that are too old or too many, whole logs.
//! A removed file is first renamed, so that a crash cannot bring it back under its name; readers that hold it finish.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::Disk;
use protocol::types::{Offset, TimestampMs};
use tracing::info;

use crate::error::StorageError;
use crate::log::Log;
use crate::place::{DELETED_SUFFIX, FileKind, ignore_missing};
use crate::segment::Segment;

/// Renamed files, to be removed after `file.delete.delay.ms`.
#[derive(Debug)]
pub struct Removed {
    disk: Arc<dyn Disk>,
    paths: Vec<PathBuf>,
}

impl Removed {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, paths: Vec::new() }
    }

    /// Removes them.
    /// # Errors
    /// The disk's.
    pub fn remove_now(self) -> Result<(), StorageError> {
        for path in &self.paths {
            ignore_missing(self.disk.remove_file(path))?;
        }
        Ok(())
    }
}

impl IntoIterator for Removed {
    type Item = PathBuf;
    type IntoIter = std::vec::IntoIter<PathBuf>;

    fn into_iter(self) -> Self::IntoIter {
        self.paths.into_iter()
    }
}

impl Log {
    /// Moves the log start offset up to `offset`, but not past the high watermark. Segments wholly below go with the next
    /// [`Log::delete_retention`].
    /// # Errors
    /// If the log is offline.
    pub fn delete_records(&mut self, offset: Offset) -> Result<(), StorageError> {
        self.check_online()?;
        let offset = offset.min(self.high_watermark);
        if offset > self.log_start_offset {
            self.log_start_offset = offset;
            self.epochs.truncate_from_start(offset);
            self.publish();
        }
        Ok(())
    }

    /// Takes segments off the log that are below the log start offset, older than `retention.ms`, or more than
    /// `retention.bytes`; records that are not committed stay.
    /// # Errors
    /// The disk's.
    pub fn delete_retention(&mut self, now_ms: TimestampMs) -> Result<Removed, StorageError> {
        self.check_online()?;
        let count = self.below_start().max(self.expired(now_ms)?).max(self.surplus());
        let mut removed = Removed::new(Arc::clone(&self.place.disk));
        if count == 0 {
            return Ok(removed);
        }
        if count == self.segments.len() {
            self.roll(now_ms)?;
        }
        let gone: Vec<Arc<Segment>> = self.segments.drain(..count).collect();
        let first = self.segments[0].base_offset();
        if first > self.log_start_offset {
            self.log_start_offset = first;
            self.epochs.truncate_from_start(first);
        }
        self.publish_segments();
        info!(partition = %self.topic_partition, segments = gone.len(), log_start_offset = first, "deleted segments");
        for segment in gone {
            self.rename_away(&segment, false, &mut removed)?;
        }
        self.unsynced_names = true;
        Ok(removed)
    }

    /// Renames the log's directory, as is done before a deleted log is removed. Nothing can be appended any more.
    /// # Errors
    /// The disk's.
    pub fn move_to(&mut self, path: &Path) -> Result<(), StorageError> {
        self.place.move_to(path)?;
        path.clone_into(&mut self.dir);
        self.offline = true;
        Ok(())
    }

    /// Renames the log's directory; it goes on there. Durable on return.
    /// # Errors
    /// The disk's.
    pub fn relocate(&mut self, path: &Path) -> Result<(), StorageError> {
        self.check_online()?;
        self.place.move_to(path)?;
        path.clone_into(&mut self.dir);
        match path.parent() {
            Some(parent) => Ok(self.place.disk.sync_dir(parent)?),
            None => Ok(()),
        }
    }

    /// Renames the files of a segment that is no part of the log any more.
    pub(crate) fn rename_away(
        &mut self,
        segment: &Segment,
        keeps_snapshot: bool,
        removed: &mut Removed,
    ) -> Result<(), StorageError> {
        for kind in FileKind::ALL.into_iter().filter(|kind| !(keeps_snapshot && *kind == FileKind::Snapshot)) {
            let path = self.place.path(kind, segment.base_offset());
            let mut renamed = path.clone().into_os_string();
            renamed.push(DELETED_SUFFIX);
            let renamed = PathBuf::from(renamed);
            match self.place.disk.rename(&path, &renamed) {
                Ok(()) => removed.paths.push(renamed),
                error => ignore_missing(error)?,
            }
        }
        if !keeps_snapshot {
            self.producers.forget_snapshot(segment.base_offset());
        }
        Ok(())
    }

    /// Number of segments from the first on that are wholly committed and fulfil `test`.
    fn count_while(&self, mut test: impl FnMut(&Segment) -> Result<bool, StorageError>) -> Result<usize, StorageError> {
        for (at, segment) in self.segments.iter().enumerate() {
            let last = at + 1 == self.segments.len();
            let end = if last { self.log_end_offset } else { self.segments[at + 1].base_offset() };
            if self.high_watermark < end || last && segment.size() == 0 || !test(segment)? {
                return Ok(at);
            }
        }
        Ok(self.segments.len())
    }

    fn below_start(&self) -> usize {
        // The segment that holds the start offset stays.
        self.segments.partition_point(|segment| segment.base_offset() <= self.log_start_offset).saturating_sub(1)
    }

    fn expired(&self, now_ms: TimestampMs) -> Result<usize, StorageError> {
        let retention_ms = self.config.retention_ms;
        if !self.config.cleanup_delete || retention_ms < 0 {
            return Ok(0);
        }
        self.count_while(|segment| {
            let largest = match segment.largest_timestamp()?.timestamp {
                timestamp if timestamp >= 0 => timestamp,
                _ => self.place.disk.stat(&self.place.path(FileKind::Log, segment.base_offset()))?.modified_ms,
            };
            Ok(now_ms - largest > retention_ms)
        })
    }

    fn surplus(&self) -> usize {
        let (Ok(limit), true) = (u64::try_from(self.config.retention_bytes), self.config.cleanup_delete) else {
            return 0;
        };
        let mut surplus = self.size().saturating_sub(limit);
        let counted = self.count_while(|segment| {
            let size = segment.size();
            let fits = surplus >= size;
            surplus = surplus.saturating_sub(size);
            Ok(fits)
        });
        counted.unwrap_or(0)
    }
}
