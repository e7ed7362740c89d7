//! The log directories of this node: opens the logs in them, places new ones, checkpoints, enforces retention, deletes.
//! The server calls [`LogManager::housekeeping`] from a thread that may block.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use metadata::config::BrokerConfig;
use metadata::directory_id;
use parking_lot::Mutex;
use platform::{Disk, Random};
use protocol::types::{Offset, TimestampMs};
use protocol::{TopicPartition, Uuid};
use storage::{Checkpoints, Log, LogDirOptions, OpenOptions, Removed, StorageError, Unsynced};
use tracing::{error, info, warn};

pub(crate) use crate::managed_dir::ManagedDir;
use crate::managed_dir::{DELETED, FUTURE, Found, FoundLog, STRAY};
use crate::partition::Partition;
use crate::topic_settings::TopicSettings;

/// Logs that a shutdown syncs one by one; more are synced by their file system as a whole.
const SYNCED_ONE_BY_ONE: usize = 64;

/// How long a sealed segment waits for its sync. The kernel has written most of it by then, at its own pace.
const SEALED_SYNC_DELAY_MS: i64 = 60_000;

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
    found: Mutex<Found>,
    doomed: Mutex<Vec<Doomed>>,
    /// Directories in which something failed that no log shows.
    suspects: Mutex<BTreeSet<usize>>,
    /// Where partitions that do not exist yet are wanted.
    preferred: Mutex<HashMap<TopicPartition, usize>>,
    /// Replicas whose directories the controller does not know yet: topic, partition, directory.
    assignments: Mutex<Vec<(Uuid, i32, Uuid)>>,
    last_retention_ms: AtomicI64,
    last_checkpoint_ms: AtomicI64,
    last_expiry_ms: AtomicI64,
    producer_id_expiration_ms: AtomicI64,
}

/// What is known of a log before it is opened.
pub struct WantedLog<'a> {
    /// Its topic.
    pub topic_id: Uuid,
    /// Its topic's settings.
    pub settings: &'a TopicSettings,
    /// The directory that the controller has for it.
    pub assigned: Uuid,
    /// Whether nothing was written to it yet.
    pub is_new: bool,
    /// Directories that get no new replicas.
    pub cordoned: Vec<usize>,
    /// For the names of what is set aside.
    pub unique: Uuid,
}

/// Partitions that somebody may want in a directory before they exist.
const MOST_PREFERRED: usize = 10_000;

/// When the housekeeping does what.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// `log.retention.check.interval.ms`.
    pub retention_ms: i64,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub checkpoint_ms: i64,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_expiry_ms: i64,
}

impl LogManager {
    /// Opens and locks the directories, and lists the logs in them. One whose disk fails is offline, unless it is
    /// `metadata_dir`.
    /// # Errors
    /// If a directory is in use, or belongs to another node or cluster; if none is left.
    pub fn open(
        disk: Arc<dyn Disk>,
        paths: &[PathBuf],
        metadata_dir: &Path,
        options: &LogDirOptions,
    ) -> Result<Self, StorageError> {
        let mut dirs = Vec::with_capacity(paths.len());
        let mut found = Found::new();
        for (index, path) in paths.iter().enumerate() {
            let opened = ManagedDir::open(&disk, (index, path), options, &mut found);
            dirs.push(match opened {
                // One that is missing was never formatted.
                Err(cause)
                    if cause.is_disk_failure() && disk.exists(path) && path != metadata_dir && paths.len() > 1 =>
                {
                    error!(dir = %path.display(), %cause, "a log directory cannot be used; its partitions are offline");
                    found.values_mut().for_each(|logs| logs.retain(|log| log.dir != index));
                    ManagedDir::failed(path)
                }
                opened => opened?,
            });
        }
        if dirs.iter().all(ManagedDir::is_offline) {
            return Err(StorageError::Offline);
        }
        Ok(Self {
            disk,
            dirs,
            found: Mutex::new(found),
            doomed: Mutex::new(Vec::new()),
            suspects: Mutex::new(BTreeSet::new()),
            preferred: Mutex::new(HashMap::new()),
            assignments: Mutex::new(Vec::new()),
            last_retention_ms: AtomicI64::new(0),
            last_expiry_ms: AtomicI64::new(0),
            producer_id_expiration_ms: AtomicI64::new(86_400_000),
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

    /// Opens the log of a partition where it is, or creates it: where it was wanted, else where the controller says, else in
    /// the directory with the fewest logs. Also the copy of it that was being made.
    /// # Errors
    /// The disk's, or a log that cannot be recovered; [`StorageError::Offline`] if its directory may be one that failed.
    pub fn open_log(
        &self,
        name: &TopicPartition,
        wanted: &WantedLog<'_>,
        now_ms: TimestampMs,
    ) -> Result<(Log, Option<Log>), StorageError> {
        let (current, future) = self.claim(name, wanted, now_ms)?;
        let (index, path) = match current {
            Some(found) => (found.dir, found.path),
            None => {
                let index = self.place(name, wanted)?;
                (index, self.dirs[index].path().join(name.to_string()))
            }
        };
        let dir = &self.dirs[index];
        let options = OpenOptions {
            topic_id: Some(wanted.topic_id),
            config: Arc::clone(&wanted.settings.log),
            recovery_point: dir.checkpoints.recovery_point(name).unwrap_or(0),
            log_start_offset: dir.checkpoints.log_start_offset(name).unwrap_or(0),
            clean_shutdown: dir.clean,
            now_ms,
            max_producer_id_expiration_ms: self.producer_id_expiration_ms.load(Ordering::Relaxed),
            ..OpenOptions::new(path, name.clone())
        };
        let log = Log::open(Arc::clone(&self.disk), options).inspect_err(|cause| self.suspect(index, cause))?;
        dir.log_added();
        if wanted.assigned != dir.id() {
            self.assignments.lock().push((wanted.topic_id, name.partition, dir.id()));
        }
        let future = future.map(|found| {
            let options = OpenOptions {
                topic_id: Some(wanted.topic_id),
                config: Arc::clone(&wanted.settings.log),
                log_start_offset: log.log_start_offset(),
                now_ms,
                ..OpenOptions::new(found.path, name.clone())
            };
            Log::open(Arc::clone(&self.disk), options).inspect_err(|cause| self.suspect(found.dir, cause))
        });
        Ok((log, future.transpose()?))
    }

    /// Of what the start found of a partition: its log, and the copy that is being made of it. The rest goes.
    fn claim(
        &self,
        name: &TopicPartition,
        wanted: &WantedLog<'_>,
        now_ms: TimestampMs,
    ) -> Result<(Option<FoundLog>, Option<FoundLog>), StorageError> {
        let mut found = self.found.lock().remove(name).unwrap_or_default();
        // The directory that the controller knows has the complete one, if a crash left two.
        found.sort_by_key(|log| (log.is_future, self.dirs[log.dir].id() != wanted.assigned));
        let mut rest = found.into_iter();
        let mut current = rest.next();
        let mut future = None;
        if let Some(copy) = current.as_ref().filter(|log| log.is_future) {
            // Its original is gone or offline: the copy is what there is, if the controller says so.
            if self.dirs[copy.dir].id() == wanted.assigned {
                let path = self.dirs[copy.dir].path().join(name.to_string());
                self.disk.rename(&copy.path, &path).map_err(StorageError::from)?;
                current = Some(FoundLog { dir: copy.dir, path, is_future: false });
            } else {
                self.set_aside(name, &copy.path, wanted.unique, STRAY, now_ms);
                current = None;
            }
        }
        for other in rest {
            let goes_on = current.as_ref().is_some_and(|log| log.dir != other.dir);
            if other.is_future && future.is_none() && goes_on {
                future = Some(other);
            } else {
                warn!(partition = %name, path = %other.path.display(), "found a second log of a partition");
                self.set_aside(name, &other.path, wanted.unique, STRAY, now_ms);
            }
        }
        Ok((current, future))
    }

    /// Where a log that does not exist is to be created.
    fn place(&self, name: &TopicPartition, wanted: &WantedLog<'_>) -> Result<usize, StorageError> {
        let usable = |index: &usize| !self.dirs[*index].is_offline();
        if let Some(index) = self.preferred.lock().remove(name).filter(usable) {
            return Ok(index);
        }
        let assigned = (0..self.dirs.len()).find(|index| self.dirs[*index].id() == wanted.assigned);
        if let Some(index) = assigned.filter(usable) {
            return Ok(index);
        }
        let known = ![directory_id::UNASSIGNED, directory_id::MIGRATING].contains(&wanted.assigned);
        if !wanted.is_new && (known || self.dirs.iter().any(ManagedDir::is_offline)) {
            // Its records may be in a directory that failed.
            return Err(StorageError::Offline);
        }
        let online = || (0..self.dirs.len()).filter(usable);
        let uncordoned = online().filter(|index| !wanted.cordoned.contains(index));
        let fewest = |index: &usize| self.dirs[*index].log_count();
        uncordoned.min_by_key(fewest).or_else(|| online().min_by_key(fewest)).ok_or(StorageError::Offline)
    }

    /// Index of the directory that a log's directory is in.
    pub(crate) fn home(&self, log_dir: &Path) -> Option<usize> {
        self.dirs.iter().position(|dir| log_dir.parent() == Some(dir.path()))
    }

    /// Wants a partition that does not exist yet in a directory.
    pub(crate) fn prefer(&self, name: &TopicPartition, index: usize) {
        let mut preferred = self.preferred.lock();
        if preferred.len() < MOST_PREFERRED {
            preferred.insert(name.clone(), index);
        }
    }

    /// Notes that the controller is to know where a partition's replica is.
    pub(crate) fn assign(&self, partition: &Partition) {
        let index = self.home(partition.log().dir());
        if let Some(index) = index {
            let (topic_id, name) = (partition.topic_id, &partition.topic_partition);
            self.assignments.lock().push((topic_id, name.partition, self.dirs[index].id()));
        }
    }

    /// What the controller is to know of directories.
    pub(crate) fn take_assignments(&self) -> Vec<(Uuid, i32, Uuid)> {
        std::mem::take(&mut self.assignments.lock())
    }

    /// An operation on a directory failed; it goes offline with the next look at it, if that was the disk.
    pub(crate) fn suspect(&self, index: usize, cause: &StorageError) {
        if cause.is_disk_failure() {
            self.suspects.lock().insert(index);
        }
    }

    pub(crate) fn take_suspects(&self) -> BTreeSet<usize> {
        std::mem::take(&mut self.suspects.lock())
    }

    /// Takes a directory offline. Whether it was not before.
    pub(crate) fn fail_dir(&self, index: usize) -> bool {
        self.dirs[index].fail()
    }

    /// Ids of the directories that are offline and that the controller may know.
    pub(crate) fn offline_ids(&self) -> Vec<Uuid> {
        self.dirs.iter().filter(|dir| dir.is_offline() && !dir.id().is_zero()).map(ManagedDir::id).collect()
    }

    /// The directories that `cordoned.log.dirs` names: they get no new replicas.
    pub(crate) fn cordoned(&self, config: &BrokerConfig) -> Vec<usize> {
        let named = config.list("cordoned.log.dirs");
        let is_named = |dir: &ManagedDir| {
            named.iter().any(|name| name == "*" || std::path::absolute(name).is_ok_and(|path| path == dir.path()))
        };
        (0..self.dirs.len()).filter(|index| is_named(&self.dirs[*index])).collect()
    }

    /// Their ids.
    pub(crate) fn cordoned_ids(&self, config: &BrokerConfig) -> Vec<Uuid> {
        let known = self.cordoned(config).into_iter().map(|index| self.dirs[index].id());
        known.filter(|id| !id.is_zero()).collect()
    }

    /// Whether `cordoned.log.dirs` names a directory.
    pub(crate) fn is_cordoned(&self, config: &BrokerConfig, index: usize) -> bool {
        self.cordoned(config).contains(&index)
    }

    /// Starts the copy of a partition's log in another directory.
    /// # Errors
    /// The disk's.
    pub(crate) fn create_future(
        &self,
        partition: &Partition,
        log_start_offset: Offset,
        (index, unique): (usize, Uuid),
        now_ms: TimestampMs,
    ) -> Result<Log, StorageError> {
        let name = &partition.topic_partition;
        let dir = self.dirs[index].path().join(name.to_string());
        let options = OpenOptions {
            topic_id: Some(partition.topic_id),
            config: Arc::clone(&partition.settings().log),
            log_start_offset,
            now_ms,
            ..OpenOptions::new(unique_path(&dir, name, unique, FUTURE), name.clone())
        };
        Log::open(Arc::clone(&self.disk), options).inspect_err(|cause| self.suspect(index, cause))
    }

    /// Puts the complete copy of a log in its place; the old one goes at `at_ms`.
    /// # Errors
    /// The disk's; then the old one stays in charge.
    pub(crate) fn promote(
        &self,
        log: &mut Log,
        mut target: Log,
        unique: Uuid,
        at_ms: TimestampMs,
    ) -> Result<(), StorageError> {
        let name = target.topic_partition().clone();
        let (Some(from), Some(to)) = (self.home(log.dir()), self.home(target.dir())) else {
            return Err(StorageError::Offline);
        };
        let path = self.dirs[to].path().join(name.to_string());
        target.relocate(&path)?;
        target.take_over(log);
        let mut old = std::mem::replace(log, target);
        let renamed = unique_path(old.dir(), &name, unique, DELETED);
        match old.move_to(&renamed) {
            Ok(()) => self.doomed.lock().push(Doomed { at_ms, path: renamed }),
            // The next start finds two logs, and the controller knows which one counts.
            Err(cause) => self.suspect(from, &cause),
        }
        self.dirs[from].log_removed();
        self.dirs[to].log_added();
        Ok(())
    }

    /// Gives up the copy of a log.
    pub(crate) fn discard(&self, mut future: Log, name: &TopicPartition, unique: Uuid, now_ms: TimestampMs) {
        let renamed = unique_path(future.dir(), name, unique, DELETED);
        match future.move_to(&renamed) {
            Ok(()) => self.doomed.lock().push(Doomed { at_ms: now_ms, path: renamed }),
            Err(cause) => warn!(partition = %name, %cause, "could not remove the copy of a log"),
        }
    }

    /// Renames the directories that no topic has claimed, for removal after `delay_ms`.
    pub fn discard_strays(&self, now_ms: TimestampMs, delay_ms: i64, random: &mut Random) {
        let strays: Vec<_> = self.found.lock().drain().collect();
        for (name, logs) in strays {
            for log in logs {
                warn!(partition = %name, path = %log.path.display(), "found the log of a topic that does not exist");
                self.set_aside(&name, &log.path, random.uuid(), STRAY, now_ms + delay_ms);
            }
        }
    }

    fn set_aside(&self, name: &TopicPartition, path: &Path, unique: Uuid, suffix: &str, at_ms: TimestampMs) {
        let renamed = unique_path(path, name, unique, suffix);
        match self.disk.rename(path, &renamed) {
            Ok(()) => self.doomed.lock().push(Doomed { at_ms, path: renamed }),
            Err(cause) => error!(partition = %name, %cause, "could not set a log aside"),
        }
    }

    /// Renames the directory of a partition whose topic was deleted, for removal after its `file.delete.delay.ms`.
    pub fn delete(&self, partition: &Partition, unique: Uuid, now_ms: TimestampMs) {
        partition.retire();
        let name = &partition.topic_partition;
        let mut log = partition.log();
        if let Some(future) = partition.future().lock().take() {
            self.discard(future, name, unique, now_ms);
        }
        let Some(home) = self.home(log.dir()).map(|index| &self.dirs[index]) else { return };
        home.log_removed();
        if home.is_offline() {
            // The next start with the disk back finds a stray.
            return;
        }
        let renamed = unique_path(log.dir(), name, unique, DELETED);
        let delay_ms = partition.settings().log.file_delete_delay_ms;
        match log.move_to(&renamed) {
            Ok(()) => self.doomed.lock().push(Doomed { at_ms: now_ms + delay_ms, path: renamed }),
            Err(cause) => error!(partition = %name, %cause, "could not delete a log"),
        }
    }

    /// Sets `producer.id.expiration.ms`.
    pub fn set_producer_id_expiration_ms(&self, expiration_ms: i64) {
        self.producer_id_expiration_ms.store(expiration_ms, Ordering::Relaxed);
    }

    /// Enforces retention, writes checkpoints, removes what is due.
    pub fn housekeeping(&self, partitions: &[Arc<Partition>], schedule: Schedule, now_ms: TimestampMs) {
        // Kafka, too, syncs segments that were sealed: a crash then costs a scan of the last ones only.
        let flushed = partitions.iter().filter(|partition| flush_sealed(partition, now_ms)).count();
        if due(&self.last_retention_ms, schedule.retention_ms, now_ms) {
            for partition in partitions {
                if !partition.settings().log.cleanup_compact {
                    self.delete_old_segments(partition, now_ms);
                }
            }
        }
        if due(&self.last_expiry_ms, schedule.producer_expiry_ms, now_ms) {
            let expiration_ms = self.producer_id_expiration_ms.load(Ordering::Relaxed);
            for partition in partitions {
                partition.log().expire_producers(now_ms, expiration_ms);
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
        let dir = self.dirs.iter().find(|dir| dir.path() == path);
        dir.map(ManagedDir::cleaner_offsets).unwrap_or_default()
    }

    /// Replaces that checkpoint.
    pub(crate) fn write_cleaner_offsets(
        &self,
        path: &Path,
        offsets: &HashMap<TopicPartition, Offset>,
    ) -> Result<(), StorageError> {
        let dir = self.dirs.iter().find(|dir| dir.path() == path).and_then(ManagedDir::online);
        dir.map_or(Ok(()), |dir| dir.write_cleaner_offsets(offsets))
    }

    /// Writes recovery points, log start offsets and high watermarks of all logs.
    pub fn write_checkpoints(&self, partitions: &[Arc<Partition>]) {
        for (index, dir) in self.dirs.iter().enumerate() {
            let Some(files) = dir.online() else { continue };
            let mut checkpoints = Checkpoints::default();
            for partition in partitions {
                let log = partition.log();
                if log.dir().parent() == Some(dir.path()) {
                    let start: Offset = log.log_start_offset();
                    checkpoints.put(&partition.topic_partition, log.recovery_point(), start, log.high_watermark());
                }
            }
            if let Err(cause) = files.write_checkpoints(&checkpoints) {
                error!(dir = %dir.path().display(), %cause, "could not write the checkpoints");
                self.suspect(index, &cause);
            }
        }
    }

    /// Closes all logs and marks the shutdown as clean, that of the broker registered with `broker_epoch`, in every
    /// directory where it was.
    pub fn close(&self, partitions: &[Arc<Partition>], broker_epoch: i64) {
        let mut clean: Vec<bool> = self.dirs.iter().map(|dir| !dir.is_offline()).collect();
        let usable = |partition: &&Arc<Partition>| !partition.is_offline();
        let dirty = partitions.iter().filter(usable).filter(|partition| partition.log().is_dirty()).count();
        let together = dirty > SYNCED_ONE_BY_ONE;
        for partition in partitions.iter().filter(usable) {
            let mut log = partition.log();
            let closed = if together { log.write_out() } else { log.close() };
            if let Err(cause) = closed {
                error!(partition = %partition.topic_partition, %cause, "could not close a log");
                if let Some(index) = self.home(log.dir()) {
                    clean[index] = false;
                }
            }
        }
        if together {
            self.sync_all(partitions, &mut clean);
        }
        self.write_checkpoints(partitions);
        for (dir, _) in self.dirs.iter().zip(&clean).filter(|(_, clean)| **clean) {
            let marked = dir.online().map_or(Ok(()), |files| files.write_clean_shutdown_marker(broker_epoch));
            if let Err(cause) = marked {
                error!(dir = %dir.path().display(), %cause, "could not mark the clean shutdown");
            }
        }
        info!(logs = partitions.len(), "closed all logs");
    }

    /// Syncs the file systems as a whole.
    fn sync_all(&self, partitions: &[Arc<Partition>], clean: &mut [bool]) {
        for (index, dir) in self.dirs.iter().enumerate().filter(|(_, dir)| !dir.is_offline()) {
            if let Err(cause) = self.disk.sync_all(dir.path()) {
                error!(dir = %dir.path().display(), %cause, "could not sync the logs");
                clean[index] = false;
            }
        }
        for partition in partitions {
            let mut log = partition.log();
            if self.home(log.dir()).is_some_and(|index| clean[index]) {
                let end = log.log_end_offset();
                log.flushed(end);
            }
        }
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
fn unique_path(dir: &Path, name: &TopicPartition, unique: Uuid, suffix: &str) -> PathBuf {
    let unique = unique.as_bytes().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let tail = format!("-{}.{unique}{suffix}", name.partition);
    let topic: String = name.topic.chars().take(255 - tail.len()).collect();
    dir.with_file_name(topic + &tail)
}

#[cfg(test)]
#[path = "log_manager_tests.rs"]
mod tests;
