//! A directory of logs: locked by one process, formatted for one node, with the checkpoints that spare a clean start any
//! scan of its logs.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::{DirLock, Disk, Space};
use protocol::types::Offset;
use protocol::{TopicPartition, Uuid};
use tracing::warn;

use crate::checkpoint;
use crate::error::StorageError;
use crate::meta_properties::MetaProperties;
use crate::place::ignore_missing;

const LOCK: &str = ".lock";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const LOG_START_OFFSETS: &str = "log-start-offset-checkpoint";
const CLEANER_OFFSETS: &str = "cleaner-offset-checkpoint";
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";

/// Who opens a log directory.
#[derive(Debug, Clone, Copy)]
pub struct LogDirOptions {
    /// `node.id`.
    pub node_id: i32,
}

/// What is remembered of every log in a directory.
#[derive(Debug, Clone, Default)]
pub struct Checkpoints {
    recovery_points: HashMap<TopicPartition, Offset>,
    log_start_offsets: HashMap<TopicPartition, Offset>,
    high_watermarks: HashMap<TopicPartition, Offset>,
}

impl Checkpoints {
    /// Notes the offsets of a log.
    pub fn put(
        &mut self,
        name: &TopicPartition,
        recovery_point: Offset,
        log_start_offset: Offset,
        high_watermark: Offset,
    ) {
        self.recovery_points.insert(name.clone(), recovery_point);
        // Kafka, too, leaves out what the name of the first segment says.
        if log_start_offset > 0 {
            self.log_start_offsets.insert(name.clone(), log_start_offset);
        }
        self.high_watermarks.insert(name.clone(), high_watermark);
    }

    /// Offset below which a log is on disk.
    #[must_use]
    pub fn recovery_point(&self, name: &TopicPartition) -> Option<Offset> {
        self.recovery_points.get(name).copied()
    }

    /// First offset of a log that may be read.
    #[must_use]
    pub fn log_start_offset(&self, name: &TopicPartition) -> Option<Offset> {
        self.log_start_offsets.get(name).copied()
    }

    /// High watermark of a log.
    #[must_use]
    pub fn high_watermark(&self, name: &TopicPartition) -> Option<Offset> {
        self.high_watermarks.get(name).copied()
    }
}

/// A log directory in use by this process.
#[derive(Debug)]
pub struct LogDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    properties: MetaProperties,
    #[allow(dead_code, reason = "holds the lock while the directory is open")]
    lock: Box<dyn DirLock>,
}

impl LogDir {
    /// Locks a directory and checks that it is this node's.
    /// # Errors
    /// [`StorageError::Locked`], [`StorageError::InconsistentDir`], [`StorageError::Malformed`], or the disk's.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, options: &LogDirOptions) -> Result<Self, StorageError> {
        let lock = match disk.lock(&path.join(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(StorageError::Locked(path.to_owned()));
            }
            locked => locked?,
        };
        let properties = MetaProperties::read(disk.as_ref(), path)?;
        if properties.node_id != options.node_id {
            return Err(StorageError::InconsistentDir {
                path: path.to_owned(),
                name: "node.id",
                found: properties.node_id.to_string(),
                expected: options.node_id.to_string(),
            });
        }
        Ok(Self { disk, path: path.to_owned(), properties, lock })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its `meta.properties` says.
    #[must_use]
    pub fn properties(&self) -> &MetaProperties {
        &self.properties
    }

    /// Its `directory.id`.
    #[must_use]
    pub fn directory_id(&self) -> Uuid {
        self.properties.directory_id
    }

    /// Room on its file system.
    /// # Errors
    /// The disk's.
    pub fn space(&self) -> Result<Space, StorageError> {
        Ok(self.disk.space(&self.path)?)
    }

    /// The logs in it. Directories that wait for their removal are none.
    /// # Errors
    /// The disk's.
    pub fn partition_dirs(&self) -> Result<Vec<(TopicPartition, PathBuf)>, StorageError> {
        let entries = self.disk.list(&self.path)?;
        let named = entries.into_iter().filter(|entry| entry.is_dir).filter_map(|entry| {
            let (topic, partition) = entry.name.rsplit_once('-')?;
            let index: i32 = partition.parse().ok().filter(|index| *index >= 0)?;
            let name = TopicPartition::new(topic, index);
            (name.to_string() == entry.name).then(|| (name, self.path.join(&entry.name)))
        });
        Ok(named.collect())
    }

    /// The unfinished copies of logs in it, by the partition that they are copies of.
    /// # Errors
    /// The disk's.
    pub fn future_dirs(&self) -> Result<Vec<(TopicPartition, PathBuf)>, StorageError> {
        let entries = self.disk.list(&self.path)?;
        let named = entries.into_iter().filter(|entry| entry.is_dir).filter_map(|entry| {
            // <topic>-<partition>.<unique>-future
            let (name, _unique) = entry.name.strip_suffix("-future")?.rsplit_once('.')?;
            let (topic, partition) = name.rsplit_once('-')?;
            let index: i32 = partition.parse().ok().filter(|index| *index >= 0)?;
            Some((TopicPartition::new(topic, index), self.path.join(&entry.name)))
        });
        Ok(named.collect())
    }

    /// The directories whose names end in one of `suffixes`.
    /// # Errors
    /// The disk's.
    pub fn deleted_dirs(&self, suffixes: &[&str]) -> Result<Vec<PathBuf>, StorageError> {
        let entries = self.disk.list(&self.path)?.into_iter().filter(|entry| entry.is_dir);
        let deleted = entries.filter(|entry| suffixes.iter().any(|suffix| entry.name.ends_with(suffix)));
        Ok(deleted.map(|entry| self.path.join(entry.name)).collect())
    }

    /// Whether the last shutdown was clean. Takes the mark of it away for good: from now on a crash is one.
    /// # Errors
    /// The disk's.
    pub fn take_clean_shutdown_marker(&self) -> Result<bool, StorageError> {
        let path = self.path.join(CLEAN_SHUTDOWN);
        if !self.disk.exists(&path) {
            return Ok(false);
        }
        ignore_missing(self.disk.remove_file(&path))?;
        self.disk.sync_dir(&self.path)?;
        Ok(true)
    }

    /// Marks the shutdown as clean, after all logs were closed and the checkpoints written. A broker that tells the
    /// controller this epoch at its next registration has lost nothing (KIP-966).
    /// # Errors
    /// The disk's.
    pub fn write_clean_shutdown_marker(&self, broker_epoch: i64) -> Result<(), StorageError> {
        let content = format!(r#"{{"version":0,"brokerEpoch":{broker_epoch}}}"#);
        Ok(self.disk.write_atomically(&self.path.join(CLEAN_SHUTDOWN), content.as_bytes())?)
    }

    /// Reads the checkpoints. A damaged one counts as none, which costs a scan.
    /// # Errors
    /// The disk's.
    pub fn read_checkpoints(&self) -> Result<Checkpoints, StorageError> {
        Ok(Checkpoints {
            recovery_points: self.read_offsets(RECOVERY_POINTS)?,
            log_start_offsets: self.read_offsets(LOG_START_OFFSETS)?,
            high_watermarks: self.read_offsets(HIGH_WATERMARKS)?,
        })
    }

    /// Replaces the checkpoints.
    /// # Errors
    /// The disk's.
    pub fn write_checkpoints(&self, checkpoints: &Checkpoints) -> Result<(), StorageError> {
        self.write_offsets(RECOVERY_POINTS, &checkpoints.recovery_points)?;
        self.write_offsets(LOG_START_OFFSETS, &checkpoints.log_start_offsets)?;
        self.write_offsets(HIGH_WATERMARKS, &checkpoints.high_watermarks)
    }

    /// Reads up to where each log was compacted. A damaged checkpoint counts as none, which costs a cleaning.
    /// # Errors
    /// The disk's.
    pub fn read_cleaner_offsets(&self) -> Result<HashMap<TopicPartition, Offset>, StorageError> {
        self.read_offsets(CLEANER_OFFSETS)
    }

    /// Replaces the checkpoint of the cleaner.
    /// # Errors
    /// The disk's.
    pub fn write_cleaner_offsets(&self, offsets: &HashMap<TopicPartition, Offset>) -> Result<(), StorageError> {
        self.write_offsets(CLEANER_OFFSETS, offsets)
    }

    fn read_offsets(&self, name: &str) -> Result<HashMap<TopicPartition, Offset>, StorageError> {
        let path = self.path.join(name);
        let lines = match checkpoint::read(self.disk.as_ref(), &path) {
            Err(error @ StorageError::Malformed { .. }) => {
                warn!(%error, "passed over a damaged checkpoint");
                return Ok(HashMap::new());
            }
            lines => lines?.unwrap_or_default(),
        };
        let parse = |fields: &Vec<String>| {
            let [topic, partition, offset] = fields.as_slice() else { return None };
            Some((TopicPartition::new(topic.as_str(), partition.parse().ok()?), offset.parse().ok()?))
        };
        Ok(lines.iter().filter_map(parse).collect())
    }

    fn write_offsets(&self, name: &str, offsets: &HashMap<TopicPartition, Offset>) -> Result<(), StorageError> {
        let lines = offsets.iter().map(|(name, offset)| format!("{} {} {offset}", name.topic, name.partition));
        Ok(self.disk.write_atomically(&self.path.join(name), &checkpoint::encode(lines))?)
    }
}

#[cfg(test)]
mod tests {
    use platform::SimDisk;

    use super::*;

    fn formatted(disk: &SimDisk) -> PathBuf {
        let dir = PathBuf::from("/data");
        disk.create_dir(&dir).unwrap();
        let properties =
            MetaProperties { cluster_id: "c".to_owned(), node_id: 1, directory_id: Uuid::from_bytes([3; 16]) };
        properties.write(disk, &dir).unwrap();
        dir
    }

    #[test]
    fn a_second_process_and_another_node_are_refused() {
        let disk = SimDisk::new(1);
        let dir = formatted(&disk);
        let open = |node_id| LogDir::open(Arc::new(disk.clone()), &dir, &LogDirOptions { node_id });
        let held = open(1).unwrap();
        assert!(matches!(open(1), Err(StorageError::Locked(_))));
        drop(held);
        assert!(matches!(open(2), Err(StorageError::InconsistentDir { .. })));
        assert_eq!(open(1).unwrap().directory_id(), Uuid::from_bytes([3; 16]));
    }

    #[test]
    fn checkpoints_and_the_marker_come_back() {
        let disk = SimDisk::new(1);
        let dir = formatted(&disk);
        let opened = LogDir::open(Arc::new(disk.clone()), &dir, &LogDirOptions { node_id: 1 }).unwrap();
        let name = TopicPartition::new("a-b", 2);
        let mut checkpoints = Checkpoints::default();
        checkpoints.put(&name, 10, 5, 9);
        opened.write_checkpoints(&checkpoints).unwrap();
        let read = opened.read_checkpoints().unwrap();
        assert_eq!(
            (read.recovery_point(&name), read.log_start_offset(&name), read.high_watermark(&name)),
            (Some(10), Some(5), Some(9))
        );
        assert!(!opened.take_clean_shutdown_marker().unwrap());
        opened.write_clean_shutdown_marker(7).unwrap();
        assert!(opened.take_clean_shutdown_marker().unwrap());
        disk.crash();
        assert!(!disk.exists(&dir.join(CLEAN_SHUTDOWN)));
    }

    #[test]
    fn only_directories_named_like_a_partition_are_logs() {
        let disk = SimDisk::new(1);
        let dir = formatted(&disk);
        for name in ["a-b-2", "c-0", "c-0.0123-delete", "a.b-7.0123-future", "c-00", "notes", "c-x"] {
            disk.create_dir(&dir.join(name)).unwrap();
        }
        let opened = LogDir::open(Arc::new(disk), &dir, &LogDirOptions { node_id: 1 }).unwrap();
        let mut names: Vec<String> =
            opened.partition_dirs().unwrap().iter().map(|(name, _)| name.to_string()).collect();
        names.sort();
        assert_eq!(names, ["a-b-2", "c-0"]);
        assert_eq!(opened.future_dirs().unwrap(), [(TopicPartition::new("a.b", 7), dir.join("a.b-7.0123-future"))]);
        assert_eq!(opened.deleted_dirs(&["-delete"]).unwrap(), [dir.join("c-0.0123-delete")]);
    }
}
