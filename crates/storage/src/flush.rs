//! What a sync has to reach, and what may be promised after it. The log says which files; whoever commits for many logs at
//! once syncs them without holding any log, and tells the log afterwards.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use platform::{Disk, File, OpenMode};
use protocol::types::{Offset, TimestampMs};

use crate::error::StorageError;
use crate::leader_epochs;
use crate::log::Log;
use crate::recovery::PARTITION_METADATA;
use crate::segment::Segment;

/// Something that is written and not yet durable.
#[derive(Debug)]
pub enum Unsynced {
    /// A file.
    File(Arc<dyn File>),
    /// A small file of this content, to be replaced as a whole.
    Content {
        /// The disk.
        disk: Arc<dyn Disk>,
        /// Its path.
        path: PathBuf,
        /// What it is to hold.
        bytes: Vec<u8>,
    },
    /// The names in a log's directory, and its own.
    Names {
        /// The disk.
        disk: Arc<dyn Disk>,
        /// The log's directory.
        path: PathBuf,
    },
}

impl Unsynced {
    /// Writes what is not even written yet, for those who sync the whole file system afterwards.
    /// # Errors
    /// The disk's.
    fn write(&self) -> io::Result<()> {
        match self {
            Self::Content { disk, path, bytes } => disk.replace(path, bytes),
            Self::File(_) | Self::Names { .. } => Ok(()),
        }
    }

    /// Makes it durable.
    /// # Errors
    /// The disk's; then the log has to be told by [`Log::fail`].
    pub fn sync_data(&self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync_data(),
            Self::Content { disk, path, bytes } => disk.write_atomically(path, bytes),
            Self::Names { disk, path } => {
                disk.sync_dir(path)?;
                path.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
            }
        }
    }
}

impl Log {
    /// What has to be synced so that all up to the log end offset is durable; then [`Log::flushed`] may be told of it.
    /// # Errors
    /// The disk's.
    pub fn flush_files(&mut self) -> Result<Vec<Unsynced>, StorageError> {
        self.unsynced(self.log_end_offset)
    }

    /// As [`Log::flush_files`], of segments alone that were sealed until `sealed_until_ms`, with the offset that is durable
    /// then. Nothing if they are.
    /// # Errors
    /// The disk's.
    pub fn flush_sealed_files(
        &mut self,
        sealed_until_ms: TimestampMs,
    ) -> Result<Option<(Vec<Unsynced>, Offset)>, StorageError> {
        while self.sealed.front().is_some_and(|(sealed_ms, _)| *sealed_ms <= sealed_until_ms) {
            self.sealed.pop_front();
        }
        let end = self.sealed.front().map_or(self.active_segment().base_offset(), |(_, base_offset)| *base_offset);
        if self.recovery_point >= end {
            return Ok(None);
        }
        Ok(Some((self.unsynced(end)?, end)))
    }

    /// All below `offset` is durable.
    pub fn flushed(&mut self, offset: Offset) {
        self.recovery_point = self.recovery_point.max(offset.min(self.log_end_offset));
    }

    /// Whether `flush.messages` records were appended since the last flush.
    #[must_use]
    pub fn is_flush_due(&self) -> bool {
        self.log_end_offset - self.recovery_point >= self.config.flush_interval_messages
    }

    /// A sync failed: nothing more may be appended, since nobody knows what is on the disk.
    pub fn fail(&mut self) {
        self.offline = true;
    }

    /// Whether the disk failed under the log.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Makes everything durable and leaves the directory so that the next start needs no recovery.
    /// # Errors
    /// The disk's; then the shutdown is not clean.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.check_online()?;
        for unsynced in self.write_files()? {
            unsynced.sync_data()?;
        }
        self.flushed(self.log_end_offset);
        self.touched = false;
        Ok(())
    }

    /// As [`Log::close`] without the syncs. The log is closed once its file system was synced as a whole, which costs less
    /// for many logs, and [`Log::flushed`] was told.
    /// # Errors
    /// The disk's; then the shutdown is not clean.
    pub fn write_out(&mut self) -> Result<(), StorageError> {
        self.check_online()?;
        for unsynced in self.write_files()? {
            unsynced.write()?;
        }
        Ok(())
    }

    /// Whether it holds anything that is not on disk.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.recovery_point < self.log_end_offset || self.touched
    }

    /// Brings all files up to date, and says what has to be synced then: nothing for a log that nobody wrote to, so that
    /// many idle logs close at once. An epoch without records is then forgotten; its leader will note it again.
    fn write_files(&mut self) -> Result<Vec<Unsynced>, StorageError> {
        if !self.is_dirty() || !self.active_segment().exists() {
            return Ok(Vec::new());
        }
        let segment = Arc::clone(self.active_segment());
        let mut unsynced = Vec::new();
        let size = segment.size();
        if self.active.ready && segment.file()?.len()? != size {
            segment.file()?.truncate(size)?;
        }
        if size == 0 {
            // Kafka takes a log without index files for a damaged one.
            segment.activate()?;
        }
        if segment.write_indexes()? {
            self.unsynced_names = true;
            unsynced.extend(segment.sync_files(true)?.into_iter().map(Unsynced::File));
        }
        if let Some(snapshot) = self.producers.take_snapshot(&self.place)? {
            self.unsynced_names = true;
            unsynced.push(Unsynced::File(snapshot));
        }
        unsynced.extend(self.flush_files()?);
        Ok(unsynced)
    }

    /// Makes the indexes of a segment durable with their names.
    pub(crate) fn sync_sealed(&self, segment: &Segment) -> Result<(), StorageError> {
        for file in segment.sync_files(true)? {
            file.sync_data()?;
        }
        Ok(self.place.disk.sync_dir(&self.dir)?)
    }

    fn unsynced(&mut self, end: Offset) -> Result<Vec<Unsynced>, StorageError> {
        let mut unsynced = Vec::new();
        if self.recovery_point < end {
            let from = self.segments.partition_point(|segment| segment.base_offset() <= self.recovery_point);
            for (at, segment) in self.segments.iter().enumerate().skip(from.saturating_sub(1)) {
                if segment.base_offset() < end {
                    let sealed = at + 1 < self.segments.len();
                    unsynced.extend(segment.sync_files(sealed)?.into_iter().map(Unsynced::File));
                }
            }
        }
        let disk = &self.place.disk;
        if std::mem::take(&mut self.unsynced_metadata) {
            let file = disk.open(&self.dir.join(PARTITION_METADATA), OpenMode::Write)?;
            unsynced.push(Unsynced::File(file));
        }
        if let Some(bytes) = self.epochs.take_unwritten() {
            let (disk, path) = (Arc::clone(disk), self.dir.join(leader_epochs::FILE_NAME));
            unsynced.push(Unsynced::Content { disk, path, bytes });
        }
        if std::mem::take(&mut self.unsynced_names) {
            unsynced.push(Unsynced::Names { disk: Arc::clone(disk), path: self.dir.clone() });
        }
        Ok(unsynced)
    }
}
