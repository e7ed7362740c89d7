//! The broker: what all handlers share. Built by the server, which drives its timers, its flusher and its housekeeping.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arc_swap::ArcSwap;
use coordinator::{GroupShard, TransactionShard};
use metadata::ClusterImage;
use metadata::config::{BrokerConfig, DynamicBrokerConfig};
use parking_lot::Mutex;
use platform::{Clock, Random};
use protocol::types::{BrokerId, ProducerId, TimestampMs};
use protocol::{ErrorCode, Uuid};

use crate::coordinators::{Coordinator, Coordinators};
use crate::dispatch::BoxFuture;
use crate::fetch_session::FetchSessions;
use crate::flusher::Flusher;
use crate::log_cleaner::LogCleaner;
use crate::log_manager::LogManager;
use crate::partition_map::PartitionMap;
use crate::producer_ids::ProducerIds;
use crate::promise::promise;
use crate::publisher::Publisher;
use crate::quorum::Quorum;
use crate::quotas::Quotas;
use crate::replica_mover::ReplicaMover;
use crate::share_partitions::SharePartitions;
use crate::telemetry::Telemetry;
use crate::timers::Timers;

/// Runs work that blocks, such as a commit of the metadata log, where it holds up no connection.
pub type Blocking = Arc<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

/// Ends the process because of what happened, in words; returns before it has ended.
pub type Halt = Arc<dyn Fn(&str) + Send + Sync>;

/// Features as ApiVersions names them.
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// Levels that this node supports.
    pub supported: Vec<(String, RangeInclusive<i16>)>,
    /// Levels that the cluster has finalized.
    pub finalized: Vec<(String, i16)>,
    /// Offset of the metadata that says so.
    pub epoch: i64,
}

/// Who this broker is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `node.id`.
    pub node_id: BrokerId,
    /// Cluster id of `meta.properties`.
    pub cluster_id: String,
    /// Unique to this run of the process.
    pub incarnation_id: Uuid,
}

/// The seams that the broker runs on.
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub random: Random,
    /// Where work that blocks goes.
    pub blocking: Blocking,
    /// How the process ends when it cannot go on.
    pub halt: Halt,
}

/// A broker and, in the same process, the controller of its cluster.
pub struct Broker {
    identity: Identity,
    config: ArcSwap<BrokerConfig>,
    clock: Arc<dyn Clock>,
    random: Mutex<Random>,
    blocking: Blocking,
    halt: Halt,
    timers: Timers,
    flusher: Flusher,
    partitions: PartitionMap,
    logs: LogManager,
    cleaner: LogCleaner,
    mover: ReplicaMover,
    fetch_sessions: FetchSessions,
    producer_ids: ProducerIds,
    image: ArcSwap<ClusterImage>,
    quorum: Quorum,
    publisher: Publisher,
    coordinators: Coordinators,
    quotas: Quotas,
    telemetry: Telemetry,
    share_partitions: SharePartitions,
}

impl Broker {
    /// Puts the parts together. [`crate::startup`] opens the logs and registers the broker.
    pub(crate) fn new(
        identity: Identity,
        config: DynamicBrokerConfig,
        seams: Seams,
        logs: LogManager,
        quorum: Quorum,
    ) -> Self {
        let current = Arc::clone(config.current());
        let slots = usize::try_from(current.max_incremental_fetch_session_cache_slots()).unwrap_or(0);
        let fetch_sessions = FetchSessions::new(slots);
        let coordinators = Coordinators::new(&current);
        let quotas = Quotas::new(&current);
        let telemetry = Telemetry::new(&current);
        let share_partitions = SharePartitions::new(&current);
        Self {
            identity,
            config: ArcSwap::new(current),
            publisher: Publisher::new(config),
            clock: seams.clock,
            random: Mutex::new(seams.random),
            blocking: seams.blocking,
            halt: seams.halt,
            timers: Timers::default(),
            flusher: Flusher::default(),
            partitions: PartitionMap::default(),
            logs,
            cleaner: LogCleaner::default(),
            mover: ReplicaMover::default(),
            fetch_sessions,
            producer_ids: ProducerIds::default(),
            image: ArcSwap::from_pointee(ClusterImage::default()),
            quorum,
            coordinators,
            quotas,
            telemetry,
            share_partitions,
        }
    }

    /// Who this broker is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The node's configuration with its dynamic changes.
    #[must_use]
    pub fn config(&self) -> Arc<BrokerConfig> {
        self.config.load_full()
    }

    pub(crate) fn set_config(&self, config: Arc<BrokerConfig>) {
        self.config.store(config);
    }

    /// Wall clock, in milliseconds since 1970.
    #[must_use]
    pub fn wall_ms(&self) -> TimestampMs {
        self.clock.wall_ms()
    }

    /// A clock that never goes back, in milliseconds.
    #[must_use]
    pub fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.clock.monotonic_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }

    /// A clock that never goes back, in nanoseconds.
    pub(crate) fn monotonic_nanos(&self) -> u64 {
        self.clock.monotonic_nanos()
    }

    /// A random number.
    pub(crate) fn random_u64(&self) -> u64 {
        self.random.lock().next_u64()
    }

    /// A random number.
    pub(crate) fn random_i32(&self) -> i32 {
        self.random.lock().next_u64() as i32
    }

    /// A random id that is none of Kafka's reserved ones.
    pub(crate) fn random_uuid(&self) -> protocol::Uuid {
        self.random.lock().uuid()
    }

    /// Deadlines of waiting requests.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// The group commit of logs that sync before they acknowledge.
    #[must_use]
    pub fn flusher(&self) -> &Flusher {
        &self.flusher
    }

    /// The partitions that this broker leads.
    #[must_use]
    pub fn partitions(&self) -> &PartitionMap {
        &self.partitions
    }

    /// The log directories and what is to be done in them from time to time.
    #[must_use]
    pub fn logs(&self) -> &LogManager {
        &self.logs
    }

    /// What compacts the logs.
    #[must_use]
    pub fn cleaner(&self) -> &LogCleaner {
        &self.cleaner
    }

    /// What moves replicas between log directories.
    #[must_use]
    pub fn mover(&self) -> &ReplicaMover {
        &self.mover
    }

    /// Ends the process, which cannot go on.
    pub(crate) fn halt(&self, reason: &str) {
        tracing::error!(reason, "the broker stops");
        (self.halt)(reason);
    }

    /// The cluster as of the last commit.
    #[must_use]
    pub fn image(&self) -> Arc<ClusterImage> {
        self.image.load_full()
    }

    pub(crate) fn set_image(&self, image: Arc<ClusterImage>) {
        self.image.store(image);
    }

    /// Features that this node supports and that the cluster has finalized.
    #[must_use]
    pub fn features(&self) -> Features {
        let image = self.image();
        let supported = metadata::features::supported_features(self.config().newest_metadata_version());
        let kraft =
            Some((metadata::features::KRAFT_VERSION, self.quorum.kraft_version())).filter(|(_, level)| *level > 0);
        Features {
            supported: supported.map(|(name, first, last)| (name.to_owned(), first..=last)).collect(),
            finalized: image.features().chain(kraft).map(|(name, level)| (name.to_owned(), level)).collect(),
            epoch: image.provenance.last_offset,
        }
    }

    /// The metadata quorum and its controller.
    #[must_use]
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// The coordinators of all kinds.
    pub(crate) fn coordinators(&self) -> &Coordinators {
        &self.coordinators
    }

    /// The group coordinators.
    pub(crate) fn groups(&self) -> &Coordinator<GroupShard> {
        self.coordinators.groups()
    }

    /// The limits of clients.
    #[must_use]
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The metrics that clients push.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The transaction coordinators.
    pub(crate) fn transactions(&self) -> &Coordinator<TransactionShard> {
        self.coordinators.transactions()
    }

    /// The partitions that share groups consume.
    pub(crate) fn share_partitions(&self) -> &SharePartitions {
        &self.share_partitions
    }

    pub(crate) fn fetch_sessions(&self) -> &FetchSessions {
        &self.fetch_sessions
    }

    pub(crate) fn producer_ids(&self) -> &ProducerIds {
        &self.producer_ids
    }

    /// Runs `work` where it may block, and gives its result.
    pub(crate) fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> BoxFuture<Option<T>> {
        let (responder, promised) = promise();
        let broker = Arc::clone(self);
        (self.blocking)(Box::new(move || responder.send(work(&broker))));
        Box::pin(promised)
    }

    /// A producer id, from a new block if need be.
    pub(crate) async fn allocate_producer_id(self: &Arc<Self>) -> Result<ProducerId, ErrorCode> {
        let allocated = self.blocking(Self::allocate_producer_id_now);
        allocated.await.unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
    }

    /// As [`Broker::allocate_producer_id`] where it may block.
    pub(crate) fn allocate_producer_id_now(self: &Arc<Self>) -> Result<ProducerId, ErrorCode> {
        if let Some(id) = self.producer_ids.next_in_block() {
            return Ok(id);
        }
        let block = self.quorum.allocate_producer_ids(self).map_err(|refusal| refusal.code)?;
        self.producer_ids.refill(block);
        self.producer_ids.next_in_block().ok_or(ErrorCode::CoordinatorLoadInProgress)
    }
}
