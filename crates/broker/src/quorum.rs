//! The metadata quorum of this process: the log, its state machine, the active controller, and the order in which
//! requests become records, records are committed, and images are published. One lock holds all of it, so a request sees
//! everything that was committed before it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use controller::{Activation, Controller, ControllerError, Outcome};
use metadata::ClusterImage;
use metadata::MetadataLoader;
use metadata::VersionedRecord;
use metadata::bootstrap::BootstrapMetadata;
use metadata::config::BrokerConfig;
use parking_lot::Mutex;
use protocol::messages::assign_replicas_to_dirs_request::{DirectoryData, PartitionData, TopicData};
use protocol::messages::broker_registration_request::{BrokerRegistrationRequest, Feature, Listener};
use protocol::messages::{AllocateProducerIdsRequest, AssignReplicasToDirsRequest, BrokerHeartbeatRequest};
use protocol::types::{Offset, ProducerId, TimestampMs};
use protocol::{ErrorCode, Uuid};
use raft::{Event, VoterKey};
use tracing::{error, info, warn};

use crate::Broker;
use crate::broker::Identity;
use crate::dispatch::Audience;
use crate::log_manager::{LogManager, ManagedDir};
use crate::metadata_log::MetadataLog;
use crate::publisher;
use crate::start_error::StartError;
use crate::startup::BoundListener;

/// This broker's own registration with the controller.
pub(crate) struct Registration(BrokerRegistrationRequest);

impl Registration {
    pub(crate) fn new(identity: &Identity, config: &BrokerConfig, bound: &[BoundListener], logs: &LogManager) -> Self {
        let clients = bound.iter().filter(|at| at.audience == Audience::Clients);
        let listeners = clients.map(|at| Listener {
            name: at.listener.clone(),
            host: at.host.clone(),
            port: at.port,
            security_protocol: 0,
            ..Default::default()
        });
        let features = metadata::features::supported_features(config.newest_metadata_version());
        let features = features.map(|(name, min_supported_version, max_supported_version)| Feature {
            name: name.to_owned(),
            min_supported_version,
            max_supported_version,
            ..Default::default()
        });
        Self(BrokerRegistrationRequest {
            broker_id: identity.node_id,
            cluster_id: identity.cluster_id.clone(),
            incarnation_id: identity.incarnation_id,
            listeners: listeners.collect(),
            features: features.collect(),
            rack: config.rack().map(str::to_owned),
            log_dirs: logs.dirs().iter().filter(|dir| !dir.is_offline()).map(ManagedDir::id).collect(),
            previous_broker_epoch: -1,
            ..Default::default()
        })
    }
}

struct State {
    log: MetadataLog,
    loader: MetadataLoader,
    controller: Controller,
    /// Bytes of records since the last snapshot, and when that was.
    snapshot_bytes: u64,
    snapshot_ms: TimestampMs,
    /// Epoch of this broker's registration.
    broker_epoch: i64,
    /// A commit failed: the controller's image is ahead of its log, so it serves no more.
    failed: bool,
}

/// The quorum as DescribeQuorum tells it.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) leader_id: i32,
    pub(crate) epoch: i32,
    pub(crate) high_watermark: Offset,
    pub(crate) voters: Vec<(VoterKey, Offset)>,
}

/// The quorum.
pub struct Quorum {
    state: Mutex<State>,
    registration: Registration,
    endpoints: Vec<BoundListener>,
    kraft_version: i16,
    max_snapshot_bytes: u64,
    snapshot_interval_ms: i64,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    /// The broker stops before it could answer.
    pub(crate) fn stopping() -> Self {
        Self::from(ErrorCode::NotController)
    }
}

impl From<ControllerError> for Refusal {
    fn from(error: ControllerError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: code.message().to_owned() }
    }
}

/// The first takes the leaderships away, the second finds none left.
const HEARTBEATS_TO_LEAVE: usize = 2;

/// Records of one batch where a request's records may be split.
const BATCH_RECORDS: usize = 1000;

impl State {
    fn commit(&mut self, broker: &Arc<Broker>, records: &[VersionedRecord], atomic: bool) -> Result<(), StartError> {
        let now_ms = broker.wall_ms();
        let size = if atomic { records.len().max(1) } else { BATCH_RECORDS };
        for chunk in records.chunks(size) {
            let before = self.log.log().size();
            let provenance = self.log.commit(now_ms, chunk)?;
            self.snapshot_bytes += self.log.log().size().saturating_sub(before);
            self.loader.load_records(provenance, chunk)?;
        }
        self.publish(broker);
        Ok(())
    }

    fn publish(&mut self, broker: &Arc<Broker>) {
        if let Some(publication) = self.loader.publish() {
            publisher::publish(broker, &publication.before, publication.image, &publication.delta);
        }
    }

    fn carry_out<R>(&mut self, broker: &Arc<Broker>, outcome: Outcome<R>) -> Result<R, StartError> {
        if !outcome.records.is_empty() {
            self.commit(broker, &outcome.records, outcome.atomic).inspect_err(|_| self.failed = true)?;
            self.assign_directories(broker)?;
        }
        Ok(outcome.response)
    }

    /// Tells the controller which directories the logs that were just opened or moved are in, if it knows otherwise.
    fn assign_directories(&mut self, broker: &Arc<Broker>) -> Result<(), StartError> {
        // Before the registration the controller takes nothing from this broker.
        if self.broker_epoch < 0 {
            return Ok(());
        }
        let mut directories: BTreeMap<Uuid, BTreeMap<Uuid, Vec<PartitionData>>> = BTreeMap::new();
        for (topic_id, partition_index, directory) in broker.logs().take_assignments() {
            let partition = PartitionData { partition_index, ..Default::default() };
            directories.entry(directory).or_default().entry(topic_id).or_default().push(partition);
        }
        if directories.is_empty() {
            return Ok(());
        }
        let topics = |topics: BTreeMap<Uuid, Vec<PartitionData>>| {
            let topic = |(topic_id, partitions)| TopicData { topic_id, partitions, ..Default::default() };
            topics.into_iter().map(topic).collect()
        };
        let directory = |(id, of)| DirectoryData { id, topics: topics(of), ..Default::default() };
        let request = AssignReplicasToDirsRequest {
            broker_id: broker.identity().node_id,
            broker_epoch: self.broker_epoch,
            directories: directories.into_iter().map(directory).collect(),
            ..Default::default()
        };
        match self.controller.assign_replicas_to_dirs(&request) {
            Ok(outcome) if outcome.records.is_empty() => Ok(()),
            Ok(outcome) => self.commit(broker, &outcome.records, outcome.atomic).inspect_err(|_| self.failed = true),
            // Such a cluster does not know directories.
            Err(ControllerError::UnsupportedVersion(_)) => Ok(()),
            Err(cause) => {
                warn!(%cause, "the controller took no directories of replicas");
                Ok(())
            }
        }
    }
}

impl Quorum {
    /// A quorum whose log is loaded but that does not lead yet.
    pub(crate) fn new(
        log: MetadataLog,
        loader: MetadataLoader,
        controller: Controller,
        registration: Registration,
        (config, bound): (&BrokerConfig, &[BoundListener]),
    ) -> Self {
        let endpoints = bound.iter().filter(|at| at.audience == Audience::Controllers).cloned().collect();
        let kraft_version = log.node().config().kraft_version;
        let snapshot_bytes = log.replayed_bytes();
        let state = State { log, loader, controller, snapshot_bytes, snapshot_ms: 0, broker_epoch: -1, failed: false };
        Self {
            state: Mutex::new(state),
            registration,
            endpoints,
            kraft_version,
            max_snapshot_bytes: u64::try_from(config.metadata_log_max_record_bytes_between_snapshots())
                .unwrap_or(u64::MAX),
            snapshot_interval_ms: config.metadata_log_max_snapshot_interval_ms(),
        }
    }

    /// Becomes leader, bootstraps an empty cluster, registers this broker, opens its logs and lets it serve.
    pub(crate) fn start(&self, broker: &Arc<Broker>, bootstrap: &BootstrapMetadata) -> Result<(), StartError> {
        let mut state = self.state.lock();
        let now_ms = broker.wall_ms();
        state.snapshot_ms = now_ms;
        state.log.step(now_ms, Event::Start)?;
        state.publish(broker);
        let image = Arc::clone(state.loader.image());
        let activation = Activation {
            image: &image,
            open_transaction: state.loader.in_transaction(),
            epoch: state.log.node().epoch(),
            next_offset: state.log.node().log_end(),
            bootstrap,
        };
        let outcome = state.controller.activate(now_ms, &activation);
        state.carry_out(broker, outcome)?;
        self.fence_predecessor(&mut state, broker)?;
        self.register(&mut state, broker)
    }

    /// The lock of the log directories proves that the process that registered under our id before is gone, so its session
    /// need not be waited for.
    fn fence_predecessor(&self, state: &mut State, broker: &Arc<Broker>) -> Result<(), StartError> {
        let expired_ms = broker.wall_ms() + i64::from(broker.config().broker_session_timeout_ms()) + 1;
        match state.controller.fence_stale_brokers(expired_ms) {
            Some(outcome) => state.carry_out(broker, outcome),
            None => Ok(()),
        }
    }

    fn register(&self, state: &mut State, broker: &Arc<Broker>) -> Result<(), StartError> {
        let now_ms = broker.wall_ms();
        let mut request = self.registration.0.clone();
        if let Some(before) = state.loader.image().broker(request.broker_id) {
            request.previous_broker_epoch = before.epoch;
        }
        let refused = |error: ControllerError| StartError::Registration(error.to_string());
        let outcome = state.controller.register_broker(now_ms, &request).map_err(refused)?;
        let response = state.carry_out(broker, outcome)?;
        state.broker_epoch = response.broker_epoch;
        self.beat(state, broker, false)?;
        state.assign_directories(broker)
    }

    /// Tells the controller that this broker is alive and caught up, or about to stop. Whether it may stop now.
    fn beat(&self, state: &mut State, broker: &Arc<Broker>, want_shut_down: bool) -> Result<bool, StartError> {
        let request = BrokerHeartbeatRequest {
            broker_id: self.registration.0.broker_id,
            broker_epoch: state.broker_epoch,
            current_metadata_offset: state.log.node().log_end() - 1,
            want_fence: false,
            want_shut_down,
            offline_log_dirs: broker.logs().offline_ids(),
            cordoned_log_dirs: Some(broker.logs().cordoned_ids(&broker.config())),
            ..Default::default()
        };
        let refused = |error: ControllerError| StartError::Registration(error.to_string());
        let outcome = state.controller.broker_heartbeat(broker.wall_ms(), &request).map_err(refused)?;
        Ok(state.carry_out(broker, outcome)?.should_shut_down)
    }

    /// Tells the controller that this broker stops: what it leads is given up, and it is fenced. Whoever starts on its
    /// directories next is then registered at once and need not wait for the end of a session.
    pub(crate) fn leave(&self, broker: &Arc<Broker>) -> Result<(), StartError> {
        let mut state = self.state.lock();
        for _ in 0..HEARTBEATS_TO_LEAVE {
            if state.failed || self.beat(&mut state, broker, true)? {
                break;
            }
        }
        Ok(())
    }

    /// Epoch of this broker's registration.
    pub(crate) fn broker_epoch(&self) -> i64 {
        self.state.lock().broker_epoch
    }

    /// Lets the controller decide about a request, commits its records, publishes, and gives the response.
    /// Blocks on the disk.
    /// # Errors
    /// The controller's; `NotController` after a failed commit, `UnknownServerError` for the request that failed.
    pub(crate) fn submit<R>(
        &self,
        broker: &Arc<Broker>,
        decide: impl FnOnce(&mut Controller, TimestampMs) -> Result<Outcome<R>, ControllerError>,
    ) -> Result<R, Refusal> {
        let mut state = self.state.lock();
        if state.failed {
            return Err(Refusal::from(ErrorCode::NotController));
        }
        let outcome = decide(&mut state.controller, broker.wall_ms())?;
        state.carry_out(broker, outcome).map_err(|cause| {
            error!(%cause, "could not commit to the metadata log; the controller stops");
            Refusal::from(ErrorCode::UnknownServerError)
        })
    }

    /// Tells the controller which directories are offline or cordoned.
    pub(crate) fn report_directories(&self, broker: &Arc<Broker>) -> Result<(), StartError> {
        let mut state = self.state.lock();
        if state.failed || state.broker_epoch < 0 {
            return Ok(());
        }
        self.beat(&mut state, broker, false)?;
        Ok(())
    }

    /// Tells the controller where replicas are that were moved.
    pub(crate) fn assign_directories(&self, broker: &Arc<Broker>) -> Result<(), StartError> {
        let mut state = self.state.lock();
        if state.failed { Ok(()) } else { state.assign_directories(broker) }
    }

    /// A new block of producer ids.
    /// # Errors
    /// As [`Quorum::submit`].
    pub(crate) fn allocate_producer_ids(&self, broker: &Arc<Broker>) -> Result<Range<ProducerId>, Refusal> {
        let broker_epoch = self.broker_epoch();
        let broker_id = self.registration.0.broker_id;
        let request = AllocateProducerIdsRequest { broker_id, broker_epoch, ..Default::default() };
        let block = self.submit(broker, |controller, _| controller.allocate_producer_ids(&request))?;
        Ok(block.producer_id_start..block.producer_id_start + i64::from(block.producer_id_len))
    }

    /// The leader of the quorum.
    pub(crate) fn leader_id(&self) -> i32 {
        self.state.lock().log.node().leader_id().unwrap_or(-1)
    }

    /// Level of `kraft.version`, which the quorum knows and the image does not.
    pub(crate) fn kraft_version(&self) -> i16 {
        self.kraft_version
    }

    /// Where this node's controller listens.
    pub(crate) fn controller_endpoints(&self) -> Vec<BoundListener> {
        self.endpoints.clone()
    }

    /// The quorum as it is.
    pub(crate) fn status(&self) -> Status {
        let state = self.state.lock();
        let node = state.log.node();
        let voters = match node.role() {
            raft::role::Role::Leader(leader) => leader.synced().collect(),
            _ => Vec::new(),
        };
        Status {
            leader_id: node.leader_id().unwrap_or(-1),
            epoch: node.epoch(),
            high_watermark: node.high_watermark(),
            voters,
        }
    }

    /// Writes a snapshot if enough was appended since the last one, or enough time has passed.
    pub(crate) fn snapshot_if_due(&self, now_ms: TimestampMs) -> Result<(), StartError> {
        let mut state = self.state.lock();
        let by_size = state.snapshot_bytes >= self.max_snapshot_bytes;
        let by_time = self.snapshot_interval_ms > 0
            && state.snapshot_bytes > 0
            && now_ms - state.snapshot_ms >= self.snapshot_interval_ms;
        if !(by_size || by_time) {
            return Ok(());
        }
        let image: Arc<ClusterImage> = Arc::clone(state.loader.image());
        state.log.write_snapshot(&image, now_ms)?;
        state.snapshot_bytes = 0;
        state.snapshot_ms = now_ms;
        info!(offset = image.provenance.last_offset, "wrote a metadata snapshot");
        Ok(())
    }

    /// Gives up leadership and closes the log.
    pub(crate) fn close(&self, broker: &Arc<Broker>) -> Result<(), StartError> {
        self.state.lock().log.close(broker.wall_ms())
    }
}
