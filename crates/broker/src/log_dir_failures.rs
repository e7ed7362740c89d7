//! What happens when a disk fails: its directory goes offline alone (KIP-112). Its partitions answer that their storage
//! failed, the controller is told and gives them no leader, and everything else goes on. Without the metadata log, or without
//! any directory, the broker stops.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use storage::{AppendError, StorageError};
use tracing::{error, warn};

use crate::Broker;
use crate::log_manager::ManagedDir;
use crate::partition::Partition;

/// Takes the directories of failed logs offline, and whatever else was found to fail. Takes the locks of partitions and of
/// the quorum, and may block on the disk.
pub(crate) fn check(broker: &Arc<Broker>) {
    let logs = broker.logs();
    let mut failing: BTreeSet<usize> = logs.take_suspects();
    let partitions = broker.partitions().all();
    for partition in partitions.iter().filter(|partition| !partition.is_gone()) {
        let log = partition.log();
        if log.is_offline() {
            failing.extend(logs.home(log.dir()));
        }
        let future = partition.future().lock();
        failing.extend(future.as_ref().filter(|log| log.is_offline()).and_then(|log| logs.home(log.dir())));
    }
    failing.retain(|index| logs.fail_dir(*index));
    if failing.is_empty() {
        return;
    }
    for partition in &partitions {
        let mut log = partition.log();
        if logs.home(log.dir()).is_some_and(|index| failing.contains(&index)) {
            log.fail();
            partition.set_offline();
        }
        let mut future = partition.future().lock();
        if future.as_ref().and_then(|log| logs.home(log.dir())).is_some_and(|index| failing.contains(&index)) {
            *future = None;
        }
    }
    for index in &failing {
        let dir = logs.dirs()[*index].path();
        error!(dir = %dir.display(), "a log directory failed; its partitions are offline");
    }
    let metadata_dir = std::path::absolute(Path::new(broker.config().metadata_log_dir()));
    if failing.iter().any(|index| metadata_dir.as_ref().is_ok_and(|dir| dir == logs.dirs()[*index].path())) {
        broker.halt("Shutdown broker because the metadata log dir has failed");
        return;
    }
    if logs.dirs().iter().all(ManagedDir::is_offline) {
        broker.halt("Shutdown broker because all log dirs have failed");
        return;
    }
    if let Err(cause) = broker.quorum().report_directories(broker) {
        warn!(%cause, "could not tell the controller of a failed log directory");
    }
}

impl Broker {
    /// An append failed: if that was the disk, its directory is looked at soon.
    pub(crate) fn heed_append_error(self: &Arc<Self>, partition: &Partition, error: &AppendError) {
        if matches!(error, AppendError::Storage(StorageError::Disk(_))) && !partition.is_offline() {
            self.check_log_dirs();
        }
    }

    /// Looks for failed directories soon, where that may block.
    pub(crate) fn check_log_dirs(self: &Arc<Self>) {
        drop(self.blocking(check));
    }
}
