//! One log directory of this node: locked and in use, or offline because its disk failed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use platform::{Disk, Space};
use protocol::types::Offset;
use protocol::{TopicPartition, Uuid};
use storage::{Checkpoints, LogDir, LogDirOptions, StorageError};
use tracing::error;

use crate::metadata_log;

/// Suffix of a directory whose topic is deleted.
pub(crate) const DELETED: &str = "-delete";
/// Suffix of a directory whose topic was deleted while the node was down.
pub(crate) const STRAY: &str = "-stray";
/// Suffix of the copy of a log that is being moved to another directory.
pub(crate) const FUTURE: &str = "-future";

/// One log directory.
pub struct ManagedDir {
    path: PathBuf,
    /// Nothing if it could not be opened.
    dir: Option<LogDir>,
    offline: AtomicBool,
    /// Whether the last shutdown was clean.
    pub(crate) clean: bool,
    pub(crate) checkpoints: Checkpoints,
    /// Number of logs in it.
    logs: AtomicUsize,
}

/// A log that was found at the start.
#[derive(Debug, Clone)]
pub(crate) struct FoundLog {
    /// Index of its directory.
    pub(crate) dir: usize,
    pub(crate) path: PathBuf,
    /// Whether it is a copy that was not complete.
    pub(crate) is_future: bool,
}

/// The logs found in all directories; there may be several of one partition after a crash.
pub(crate) type Found = HashMap<TopicPartition, Vec<FoundLog>>;

impl ManagedDir {
    /// Opens a directory, the `index`th one, and adds its logs to `found`.
    /// # Errors
    /// If it is in use, not formatted, or belongs to another node or cluster; the disk's.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        (index, path): (usize, &Path),
        options: &LogDirOptions,
        found: &mut Found,
    ) -> Result<Self, StorageError> {
        let dir = LogDir::open(Arc::clone(disk), path, options)?;
        let current = dir.partition_dirs()?.into_iter().map(|(name, path)| (name, path, false));
        let futures = dir.future_dirs()?.into_iter().map(|(name, path)| (name, path, true));
        for (name, path, is_future) in current.chain(futures) {
            if name.topic.as_ref() != metadata_log::TOPIC {
                found.entry(name).or_default().push(FoundLog { dir: index, path, is_future });
            }
        }
        let clean = dir.take_clean_shutdown_marker()?;
        let checkpoints = dir.read_checkpoints()?;
        for path in dir.deleted_dirs(&[DELETED, STRAY])? {
            disk.remove_dir_all(&path).map_err(StorageError::from)?;
        }
        let (dir, path) = (Some(dir), path.to_owned());
        Ok(Self { path, dir, offline: AtomicBool::new(false), clean, checkpoints, logs: AtomicUsize::new(0) })
    }

    /// A directory whose disk failed before it could be opened.
    pub(crate) fn failed(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            dir: None,
            offline: AtomicBool::new(true),
            clean: false,
            checkpoints: Checkpoints::default(),
            logs: AtomicUsize::new(0),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its `directory.id`; zero if it could not be read.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.dir.as_ref().map_or(Uuid::ZERO, LogDir::directory_id)
    }

    /// Whether the disk failed under it.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// Takes it offline. Whether it was not before.
    pub(crate) fn fail(&self) -> bool {
        !self.offline.swap(true, Ordering::AcqRel)
    }

    /// Its files, unless it is offline.
    pub(crate) fn online(&self) -> Option<&LogDir> {
        self.dir.as_ref().filter(|_| !self.is_offline())
    }

    /// Room on its file system.
    #[must_use]
    pub fn space(&self) -> Option<Space> {
        self.online()?.space().ok()
    }

    /// Number of logs in it.
    pub(crate) fn log_count(&self) -> usize {
        self.logs.load(Ordering::Relaxed)
    }

    pub(crate) fn log_added(&self) {
        self.logs.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn log_removed(&self) {
        self.logs.fetch_sub(1, Ordering::Relaxed);
    }

    /// Up to where its logs are compacted, as the checkpoint says.
    pub(crate) fn cleaner_offsets(&self) -> HashMap<TopicPartition, Offset> {
        let Some(dir) = self.online() else { return HashMap::new() };
        dir.read_cleaner_offsets().unwrap_or_else(|cause| {
            error!(dir = %self.path.display(), %cause, "could not read the checkpoint of the cleaner");
            HashMap::new()
        })
    }
}
