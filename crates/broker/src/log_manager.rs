//! The log directories of this node: opens the logs in them, places new ones, checkpoints, enforces retention, deletes.
//! The server calls [`LogManager::housekeeping`] from a thread that may block.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use platform::{Disk, Random, Space};
use protocol::types::{Offset, TimestampMs};
use protocol::{TopicPartition, Uuid};
use storage::{Checkpoints, Log, LogDir, LogDirOptions, OpenOptions, Removed, StorageError, Unsynced};
use tracing::{error, info, warn};

use crate::metadata_log;
use crate::partition::Partition;
use crate::topic_settings::TopicSettings;

/// Logs that a shutdown syncs one by one; more are synced by their file system as a whole.
const SYNCED_ONE_BY_ONE: usize = 64;

/// How long a sealed segment waits for its sync. The kernel has written most of it by then, at its own pace.
const SEALED_SYNC_DELAY_MS: i64 = 60_000;

/// Suffix of a directory whose topic is deleted.
const DELETED: &str = "-delete";
/// Suffix of a directory whose topic was deleted while the node was down.
const STRAY: &str = "-stray";

/// One log directory.
pub struct ManagedDir {
    dir: LogDir,
    offline: AtomicBool,
    /// Whether the last shutdown was clean.
    clean: bool,
    checkpoints: Checkpoints,
    logs: Mutex<usize>,
}

impl ManagedDir {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its `directory.id`.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.dir.directory_id()
    }

    /// Whether the disk failed under it.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// Room on its file system.
    #[must_use]
    pub fn space(&self) -> Option<Space> {
        self.dir.space().ok()
    }
}

/// A directory or file that is to be removed once its time has come.
struct Doomed {
    at_ms: TimestampMs,
    path: PathBuf,
}

/// All log directories.
pub struct LogManager {
    disk: Arc<dyn Disk>,
    dirs: Vec<ManagedDir>,
    /// Directories found at the start that no partition has claimed yet.
    found: Mutex<HashMap<TopicPartition, (usize, PathBuf)>>,
    doomed: Mutex<Vec<Doomed>>,
    last_retention_ms: AtomicI64,
    last_checkpoint_ms: AtomicI64,
}

/// When the housekeeping does what.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// `log.retention.check.interval.ms`.
    pub retention_ms: i64,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub checkpoint_ms: i64,
}

impl LogManager {
    /// Opens and locks the directories, and lists the logs in them.
    /// # Errors
    /// If a directory is in use, or belongs to another node or cluster.
    pub fn open(disk: Arc<dyn Disk>, paths: &[PathBuf], options: &LogDirOptions) -> Result<Self, StorageError> {
        let mut dirs = Vec::with_capacity(paths.len());
        let mut found = HashMap::new();
        for (index, path) in paths.iter().enumerate() {
            let dir = LogDir::open(Arc::clone(&disk), path, options)?;
            for (name, path) in dir.partition_dirs()? {
                if name.topic.as_ref() != metadata_log::TOPIC {
                    found.insert(name, (index, path));
                }
            }
            let clean = dir.take_clean_shutdown_marker()?;
            let checkpoints = dir.read_checkpoints()?;
            for path in dir.deleted_dirs(&[DELETED, STRAY])? {
                disk.remove_dir_all(&path).map_err(StorageError::from)?;
            }
            dirs.push(ManagedDir { dir, offline: AtomicBool::new(false), clean, checkpoints, logs: Mutex::new(0) });
        }
        Ok(Self {
            disk,
            dirs,
            found: Mutex::new(found),
            doomed: Mutex::new(Vec::new()),
            last_retention_ms: AtomicI64::new(0),
            last_checkpoint_ms: AtomicI64::new(0),
        })
    }

    /// The directories.
    #[must_use]
    pub fn dirs(&self) -> &[ManagedDir] {
        &self.dirs
    }

    /// The disk they are on.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Opens the log of a partition where it is, or creates it in the directory with the fewest logs.
    /// # Errors
    /// The disk's, or a log that cannot be recovered.
    pub fn open_log(
        &self,
        name: &TopicPartition,
        topic_id: Uuid,
        settings: &TopicSettings,
        now_ms: TimestampMs,
    ) -> Result<Log, StorageError> {
        let claimed = self.found.lock().remove(name);
        let (index, path) = match claimed {
            Some((index, path)) => (index, path),
            None => {
                let index = self.emptiest().ok_or(StorageError::Offline)?;
                (index, self.dirs[index].path().join(name.to_string()))
            }
        };
        let dir = &self.dirs[index];
        let options = OpenOptions {
            topic_id: Some(topic_id),
            config: Arc::clone(&settings.log),
            recovery_point: dir.checkpoints.recovery_point(name).unwrap_or(0),
            log_start_offset: dir.checkpoints.log_start_offset(name).unwrap_or(0),
            clean_shutdown: dir.clean,
            now_ms,
            ..OpenOptions::new(path, name.clone())
        };
        let log = Log::open(Arc::clone(&self.disk), options)?;
        *dir.logs.lock() += 1;
        Ok(log)
    }

    fn emptiest(&self) -> Option<usize> {
        let online = self.dirs.iter().enumerate().filter(|(_, dir)| !dir.is_offline());
        online.min_by_key(|(_, dir)| *dir.logs.lock()).map(|(index, _)| index)
    }

    /// The id of the directory that holds `log`.
    #[must_use]
    pub fn directory_id(&self, log: &Log) -> Uuid {
        let home = self.dirs.iter().find(|dir| log.dir().parent() == Some(dir.path()));
        home.map_or(Uuid::ZERO, ManagedDir::id)
    }

    /// Renames the directories that no topic has claimed, for removal after `delay_ms`.
    pub fn discard_strays(&self, now_ms: TimestampMs, delay_ms: i64, random: &mut Random) {
        let strays: Vec<_> = self.found.lock().drain().collect();
        for (name, (_, path)) in strays {
            warn!(partition = %name, "found the log of a topic that does not exist");
            let renamed = doomed_path(&path, &name, random.uuid(), STRAY);
            match self.disk.rename(&path, &renamed) {
                Ok(()) => self.doomed.lock().push(Doomed { at_ms: now_ms + delay_ms, path: renamed }),
                Err(cause) => error!(partition = %name, %cause, "could not set a stray log aside"),
            }
        }
    }

    /// Renames the directory of a partition whose topic was deleted, for removal after its `file.delete.delay.ms`.
    pub fn delete(&self, partition: &Partition, unique: Uuid, now_ms: TimestampMs) {
        partition.retire();
        let mut log = partition.log();
        if let Some(home) = self.dirs.iter().find(|dir| log.dir().parent() == Some(dir.path())) {
            *home.logs.lock() -= 1;
        }
        let renamed = doomed_path(log.dir(), &partition.topic_partition, unique, DELETED);
        let delay_ms = partition.settings().log.file_delete_delay_ms;
        match log.move_to(&renamed) {
            Ok(()) => self.doomed.lock().push(Doomed { at_ms: now_ms + delay_ms, path: renamed }),
            Err(cause) => error!(partition = %partition.topic_partition, %cause, "could not delete a log"),
        }
    }

    /// Enforces retention, writes checkpoints, removes what is due.
    pub fn housekeeping(&self, partitions: &[Arc<Partition>], schedule: Schedule, now_ms: TimestampMs) {
        // Kafka, too, syncs segments that were sealed: a crash then costs a scan of the last ones only.
        let flushed = partitions.iter().filter(|partition| flush_sealed(partition, now_ms)).count();
        if due(&self.last_retention_ms, schedule.retention_ms, now_ms) {
            for partition in partitions {
                partition.log().expire_producers(now_ms);
                if !partition.settings().log.cleanup_compact {
                    self.delete_old_segments(partition, now_ms);
                }
            }
        }
        if due(&self.last_checkpoint_ms, schedule.checkpoint_ms, now_ms) || flushed > 0 {
            self.write_checkpoints(partitions);
        }
        let mut doomed = self.doomed.lock();
        let (now, later): (Vec<_>, Vec<_>) = doomed.drain(..).partition(|item| item.at_ms <= now_ms);
        *doomed = later;
        drop(doomed);
        for item in now {
            if let Err(cause) = self.disk.remove_dir_all(&item.path) {
                warn!(path = %item.path.display(), %cause, "could not remove a deleted log");
            }
        }
    }

    /// Syncs the file systems as a whole. Whether all went well.
    fn sync_all(&self, partitions: &[Arc<Partition>]) -> bool {
        for dir in self.dirs.iter().filter(|dir| !dir.is_offline()) {
            if let Err(cause) = self.disk.sync_all(dir.path()) {
                error!(dir = %dir.path().display(), %cause, "could not sync the logs");
                return false;
            }
        }
        for partition in partitions {
            let mut log = partition.log();
            let end = log.log_end_offset();
            log.flushed(end);
        }
        true
    }

    /// Takes the segments off a log that retention and its start offset do not cover any more.
    pub(crate) fn delete_old_segments(&self, partition: &Partition, now_ms: TimestampMs) {
        if partition.is_gone() {
            return;
        }
        let removed = partition.log().delete_retention(now_ms);
        match removed {
            Ok(removed) => self.remove_later(removed, now_ms + partition.settings().log.file_delete_delay_ms),
            Err(StorageError::Offline) => {}
            Err(cause) => error!(partition = %partition.topic_partition, %cause, "could not enforce retention"),
        }
    }

    /// Removes files once their time has come.
    pub(crate) fn remove_later(&self, removed: Removed, at_ms: TimestampMs) {
        self.doomed.lock().extend(removed.into_iter().map(|path| Doomed { at_ms, path }));
    }

    /// Up to where the logs of a directory are compacted, as its checkpoint says.
    pub(crate) fn cleaner_offsets(&self, path: &Path) -> HashMap<TopicPartition, Offset> {
        let Some(dir) = self.dirs.iter().find(|dir| dir.path() == path) else { return HashMap::new() };
        dir.dir.read_cleaner_offsets().unwrap_or_else(|cause| {
            error!(dir = %path.display(), %cause, "could not read the checkpoint of the cleaner");
            HashMap::new()
        })
    }

    /// Replaces that checkpoint.
    pub(crate) fn write_cleaner_offsets(
        &self,
        path: &Path,
        offsets: &HashMap<TopicPartition, Offset>,
    ) -> Result<(), StorageError> {
        match self.dirs.iter().find(|dir| dir.path() == path) {
            Some(dir) => dir.dir.write_cleaner_offsets(offsets),
            None => Ok(()),
        }
    }

    /// Writes recovery points, log start offsets and high watermarks of all logs.
    pub fn write_checkpoints(&self, partitions: &[Arc<Partition>]) {
        for dir in self.dirs.iter().filter(|dir| !dir.is_offline()) {
            let mut checkpoints = Checkpoints::default();
            for partition in partitions {
                let log = partition.log();
                if log.dir().parent() == Some(dir.path()) {
                    let start: Offset = log.log_start_offset();
                    checkpoints.put(&partition.topic_partition, log.recovery_point(), start, log.high_watermark());
                }
            }
            if let Err(cause) = dir.dir.write_checkpoints(&checkpoints) {
                error!(dir = %dir.path().display(), %cause, "could not write the checkpoints");
            }
        }
    }

    /// Closes all logs and marks the shutdown as clean, that of the broker registered with `broker_epoch`.
    pub fn close(&self, partitions: &[Arc<Partition>], broker_epoch: i64) {
        let dirty = partitions.iter().filter(|partition| partition.log().is_dirty()).count();
        let together = dirty > SYNCED_ONE_BY_ONE;
        let mut clean = true;
        for partition in partitions {
            let mut log = partition.log();
            let closed = if together { log.write_out() } else { log.close() };
            if let Err(cause) = closed {
                error!(partition = %partition.topic_partition, %cause, "could not close a log");
                clean = false;
            }
        }
        if together && clean {
            clean = self.sync_all(partitions);
        }
        self.write_checkpoints(partitions);
        if !clean {
            return;
        }
        for dir in self.dirs.iter().filter(|dir| !dir.is_offline()) {
            if let Err(cause) = dir.dir.write_clean_shutdown_marker(broker_epoch) {
                error!(dir = %dir.path().display(), %cause, "could not mark the clean shutdown");
            }
        }
        info!(logs = partitions.len(), "closed all logs");
    }
}

/// Syncs the segments that were sealed since the last time. Whether there were any.
fn flush_sealed(partition: &Partition, now_ms: TimestampMs) -> bool {
    // The cleaner waits for the sync: it replaces nothing that is not on the disk.
    let delay_ms = if partition.settings().log.cleanup_compact { 0 } else { SEALED_SYNC_DELAY_MS };
    let sealed = partition.log().flush_sealed_files(now_ms - delay_ms);
    let synced = match sealed {
        Ok(None) | Err(StorageError::Offline) => return false,
        Ok(Some((unsynced, end))) => unsynced.iter().try_for_each(Unsynced::sync_data).map(|()| end),
        Err(cause) => {
            error!(partition = %partition.topic_partition, %cause, "could not open what is to be synced");
            return false;
        }
    };
    match synced {
        Ok(end) => partition.log().flushed(end),
        Err(cause) => {
            error!(partition = %partition.topic_partition, %cause, "could not sync a log");
            partition.log().fail();
        }
    }
    true
}

fn due(last: &AtomicI64, interval_ms: i64, now_ms: TimestampMs) -> bool {
    let before = last.load(Ordering::Relaxed);
    if before == 0 {
        last.store(now_ms, Ordering::Relaxed);
        return false;
    }
    let due = now_ms - before >= interval_ms;
    if due {
        last.store(now_ms, Ordering::Relaxed);
    }
    due
}

/// `<topic>-<partition>.<unique><suffix>`, the topic cut so that the name stays within 255 characters (`LogFileUtils`).
fn doomed_path(dir: &Path, name: &TopicPartition, unique: Uuid, suffix: &str) -> PathBuf {
    let unique = unique.as_bytes().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let tail = format!("-{}.{unique}{suffix}", name.partition);
    let topic: String = name.topic.chars().take(255 - tail.len()).collect();
    dir.with_file_name(topic + &tail)
}
