//! Builds a broker from its configuration and its directories, and takes it down again, step by step.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use controller::Controller;
use metadata::MetadataLoader;
use metadata::config::{BrokerConfig, DynamicBrokerConfig, Value};
use platform::{Disk, Random};
use raft::{Voter, VoterKey, VoterSet};
use storage::{LogDirOptions, MetaProperties};
use tracing::{error, info};

use crate::broker::{Broker, Identity, Seams};
use crate::dispatch::Audience;
use crate::format;
use crate::log_dir_failures;
use crate::log_manager::{LogManager, Schedule};
use crate::metadata_log::{self, MetadataLog, Retention};
use crate::quorum::{Quorum, Registration};
use crate::start_error::StartError;

/// A listener that is open.
#[derive(Debug, Clone)]
pub struct BoundListener {
    /// Its name.
    pub listener: String,
    /// What it is for.
    pub audience: Audience,
    /// Host that clients are told.
    pub host: String,
    /// Port that clients are told.
    pub port: u16,
}

/// Starts a broker and the controller beside it.
/// # Errors
/// [`StartError`], with the reason in words.
pub fn start(
    config: BrokerConfig,
    disk: Arc<dyn Disk>,
    seams: Seams,
    bound: &[BoundListener],
) -> Result<Arc<Broker>, StartError> {
    if !(config.is_broker() && config.is_controller()) {
        return Err(StartError::Roles);
    }
    if config.value("remote.log.storage.system.enable") == Some(&Value::Boolean(true)) {
        return Err(StartError::TieredStorage);
    }
    let now_ms = seams.clock.wall_ms();
    let paths = log_dirs(disk.as_ref(), &config)?;
    let options = LogDirOptions { node_id: config.node_id() };
    let metadata_dir = absolute(disk.as_ref(), Path::new(config.metadata_log_dir()))?;
    let logs = LogManager::open(Arc::clone(&disk), &paths, &metadata_dir, &options)?;
    logs.set_producer_id_expiration_ms(i64::from(config.producer_id_expiration_ms()));
    let properties = MetaProperties::read(disk.as_ref(), &metadata_dir)?;
    let mut seams = seams;
    let identity = Identity {
        node_id: config.node_id(),
        cluster_id: properties.cluster_id.clone(),
        incarnation_id: seams.random.uuid(),
    };
    let key = VoterKey { id: identity.node_id, directory_id: properties.directory_id };
    let log_config = metadata_log::log_config(&config);
    let retention = Retention { bytes: config.metadata_max_retention_bytes(), ms: config.metadata_max_retention_ms() };
    let voter = metadata_log::Identity { key, static_voters: static_voters(&config), log_config, retention };
    let mut loader = MetadataLoader::new();
    let log = MetadataLog::open(Arc::clone(&disk), &metadata_dir, &voter, now_ms, &mut loader)?;
    let bootstrap = format::read_bootstrap(disk.as_ref(), &metadata_dir)?;
    let registration = Registration::new(&identity, &config, bound, &logs);
    let seed = [seams.random.next_u64(), seams.random.next_u64()];
    let controller = Controller::new(config.clone(), &identity.cluster_id, seed);
    let quorum = Quorum::new(log, loader, controller, registration, (&config, bound));
    let dynamic = DynamicBrokerConfig::new(config);
    let mut stray_random = Random::new(seams.random.next_u64());
    let broker = Arc::new(Broker::new(identity, dynamic, seams, logs, quorum));
    broker.quorum().start(&broker, &bootstrap)?;
    let delay_ms = broker.config().log_segment_delete_delay_ms();
    broker.logs().discard_strays(now_ms, delay_ms, &mut stray_random);
    info!(node_id = broker.identity().node_id, cluster_id = broker.identity().cluster_id, "started");
    Ok(broker)
}

/// The voters that `controller.quorum.voters` names; directories are not known there.
fn static_voters(config: &BrokerConfig) -> VoterSet {
    let name = config.controller_listener_names().first().cloned().unwrap_or_default();
    VoterSet::new(config.controller_quorum_voters().into_iter().map(|voter| Voter {
        key: VoterKey { id: voter.id, directory_id: protocol::Uuid::ZERO },
        endpoints: [(name.clone(), (voter.host, voter.port))].into(),
        kraft_version: (0, 1),
    }))
}

fn log_dirs(disk: &dyn Disk, config: &BrokerConfig) -> Result<Vec<PathBuf>, StartError> {
    config.log_dirs().iter().map(|dir| absolute(disk, Path::new(dir))).collect()
}

/// Kafka names log directories by absolute paths in its answers.
fn absolute(_disk: &dyn Disk, path: &Path) -> Result<PathBuf, StartError> {
    Ok(std::path::absolute(path)?)
}

/// Does what is due: retention, checkpoints, removals, expiry. May block.
pub fn housekeeping(broker: &Arc<Broker>) {
    let config = broker.config();
    let schedule = Schedule {
        retention_ms: config.log_retention_check_interval_ms(),
        checkpoint_ms: i64::from(config.log_flush_offset_checkpoint_interval_ms()),
        producer_expiry_ms: i64::from(config.producer_id_expiration_check_interval_ms()),
    };
    broker.logs().set_producer_id_expiration_ms(i64::from(config.producer_id_expiration_ms()));
    let now_ms = broker.wall_ms();
    broker.logs().housekeeping(&broker.partitions().all(), schedule, now_ms);
    log_dir_failures::check(broker);
    if let Err(cause) = broker.quorum().snapshot_if_due(now_ms) {
        error!(%cause, "could not write a metadata snapshot");
    }
}

/// Leaves the cluster, closes the coordinators, the logs and the metadata log. The sockets are closed by then.
pub fn shut_down(broker: &Arc<Broker>) {
    if let Err(cause) = broker.quorum().leave(broker) {
        error!(%cause, "could not leave the cluster");
    }
    broker.coordinators().shut_down();
    let partitions = broker.partitions().all();
    broker.logs().close(&partitions, broker.quorum().broker_epoch());
    if let Err(cause) = broker.quorum().close(broker) {
        error!(%cause, "could not close the metadata log");
    }
}
