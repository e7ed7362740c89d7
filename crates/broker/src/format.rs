//! The first files of a node that was given no configuration, and what any node's format step left for its first leader.
//! `ottla storage format` writes the same files with everything that can be asked of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use metadata::bootstrap::{BOOTSTRAP_CHECKPOINT, BootstrapMetadata, INITIAL_SNAPSHOT, InitialVoter, initial_snapshot};
use metadata::config::BrokerConfig;
use metadata::features::MetadataVersion;
use platform::{Disk, Random};
use protocol::types::TimestampMs;
use storage::{META_PROPERTIES, MetaProperties};

use crate::metadata_log::DIRECTORY;
use crate::start_error::StartError;

/// Formats the log directories of a new cluster of one node, unless they are formatted.
/// # Errors
/// The disk's.
pub fn format_if_empty(
    disk: &dyn Disk,
    config: &BrokerConfig,
    random: &mut Random,
    now_ms: TimestampMs,
) -> Result<(), StartError> {
    let metadata_dir = PathBuf::from(config.metadata_log_dir());
    if disk.exists(&metadata_dir.join(META_PROPERTIES)) {
        return Ok(());
    }
    let cluster_id = random.uuid().to_string();
    let bootstrap = BootstrapMetadata::new(MetadataVersion::LATEST, &BTreeMap::new(), "format command")
        .expect("the newest release supports its own features");
    let mut dirs: Vec<PathBuf> = config.log_dirs().iter().map(PathBuf::from).collect();
    dirs.push(metadata_dir.clone());
    dirs.sort();
    dirs.dedup();
    for dir in dirs {
        let directory_id = random.uuid();
        let log_dir = dir.join(DIRECTORY);
        let is_metadata = dir == metadata_dir;
        create_dir_all(disk, if is_metadata { &log_dir } else { &dir })?;
        disk.write_atomically(&dir.join(BOOTSTRAP_CHECKPOINT), &bootstrap.to_file(now_ms)?)?;
        if is_metadata {
            let name = config.controller_listener_names().first().cloned().unwrap_or_default();
            let endpoint = config.listeners().into_iter().find(|at| at.listener == name);
            let (host, port) = endpoint.map_or((None, 0), |at| (at.host, at.port));
            let host = host.unwrap_or_else(|| "localhost".to_owned());
            let voter = InitialVoter { id: config.node_id(), directory_id, host, port };
            disk.write_atomically(&log_dir.join(INITIAL_SNAPSHOT), &initial_snapshot(now_ms, 1, &name, &[voter])?)?;
        }
        // Last: a directory with this file is formatted.
        let cluster_id = cluster_id.clone();
        MetaProperties { cluster_id, node_id: config.node_id(), directory_id }.write(disk, &dir)?;
    }
    Ok(())
}

fn create_dir_all(disk: &dyn Disk, path: &Path) -> Result<(), StartError> {
    if path.as_os_str().is_empty() || disk.exists(path) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_dir_all(disk, parent)?;
    }
    disk.create_dir(path)?;
    Ok(())
}

/// What the cluster starts with, where its log is still empty.
/// # Errors
/// A file that cannot be read.
pub fn read_bootstrap(disk: &dyn Disk, metadata_dir: &Path) -> Result<BootstrapMetadata, StartError> {
    let path = metadata_dir.join(BOOTSTRAP_CHECKPOINT);
    if !disk.exists(&path) {
        return Ok(BootstrapMetadata::without_file());
    }
    let file = Bytes::from(disk.read(&path)?);
    Ok(BootstrapMetadata::read(&file, &path.display().to_string())?)
}
