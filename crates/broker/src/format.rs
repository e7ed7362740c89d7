//! The first files of a node: what its format step writes, and what that leaves for the first leader of the cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use metadata::bootstrap::{BOOTSTRAP_CHECKPOINT, BootstrapMetadata, INITIAL_SNAPSHOT, InitialVoter, initial_snapshot};
use metadata::config::BrokerConfig;
use metadata::features::MetadataVersion;
use platform::{Disk, Random};
use protocol::Uuid;
use protocol::types::TimestampMs;
use storage::{META_PROPERTIES, MetaProperties};

use crate::metadata_log::DIRECTORY;
use crate::start_error::StartError;

/// What the directories of a node are formatted with.
#[derive(Debug)]
pub struct Format<'a> {
    /// `cluster.id`.
    pub cluster_id: &'a str,
    /// `node.id`.
    pub node_id: i32,
    /// The directory that holds the metadata log.
    pub metadata_dir: &'a Path,
    /// Listener by which the first voters are reached.
    pub controller_listener: &'a str,
    /// Level of `kraft.version`.
    pub kraft_version: i16,
    /// The first records of the cluster.
    pub bootstrap: BootstrapMetadata,
    /// The first voters of a dynamic quorum.
    pub voters: Option<Vec<InitialVoter>>,
}

impl Format<'_> {
    /// Makes `dir` if it does not exist, and writes what belongs into it.
    /// # Errors
    /// The disk's; then the directory is not formatted.
    pub fn write(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        directory_id: Uuid,
        now_ms: TimestampMs,
    ) -> Result<(), StartError> {
        let log_dir = dir.join(DIRECTORY);
        let voters = self.voters.as_ref().filter(|_| dir == self.metadata_dir);
        create_dir_all(disk, if voters.is_some() { &log_dir } else { dir })?;
        disk.write_atomically(&dir.join(BOOTSTRAP_CHECKPOINT), &self.bootstrap.to_file(now_ms)?)?;
        if let Some(voters) = voters {
            let snapshot = initial_snapshot(now_ms, self.kraft_version, self.controller_listener, voters)?;
            disk.write_atomically(&log_dir.join(INITIAL_SNAPSHOT), &snapshot)?;
        }
        // Last: a directory with this file is formatted.
        let cluster_id = self.cluster_id.to_owned();
        Ok(MetaProperties { cluster_id, node_id: self.node_id, directory_id }.write(disk, dir)?)
    }
}

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
    let name = config.controller_listener_names().first().cloned().unwrap_or_default();
    let endpoint = config.listeners().into_iter().find(|at| at.listener == name);
    let (host, port) = endpoint.map_or((None, 0), |at| (at.host, at.port));
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    let voter = InitialVoter { id: config.node_id(), directory_id: random.uuid(), host, port };
    let format = Format {
        cluster_id: &random.uuid().to_string(),
        node_id: config.node_id(),
        metadata_dir: &metadata_dir,
        controller_listener: &name,
        kraft_version: 1,
        bootstrap: BootstrapMetadata::new(MetadataVersion::LATEST, &BTreeMap::new(), "format command")
            .expect("the newest release supports its own features"),
        voters: Some(vec![voter.clone()]),
    };
    let mut dirs: Vec<PathBuf> = config.log_dirs().iter().map(PathBuf::from).collect();
    dirs.push(metadata_dir.clone());
    dirs.sort();
    dirs.dedup();
    for dir in dirs {
        let directory_id = if dir == metadata_dir { voter.directory_id } else { random.uuid() };
        format.write(disk, &dir, directory_id, now_ms)?;
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
