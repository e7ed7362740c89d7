//! The active controller: requests in, records and responses out. It alone decides what the metadata log says.
//! Every record it returns is already part of its image, so that the next request is checked against it; the shell appends
//! the records in the order in which they were returned, or stops the controller.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use metadata::bootstrap::BootstrapMetadata;
use metadata::config::{BrokerConfig, ConfigMap};
use metadata::features::{ELIGIBLE_LEADER_REPLICAS_VERSION, METADATA_VERSION, MetadataVersion};
use metadata::{ClusterImage, ConfigResource, ImageDelta, MetadataRecord, VersionedRecord};
use protocol::Uuid;
use protocol::messages::{
    AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord, NoOpRecord,
};
use protocol::types::{BrokerId, LeaderEpoch, Offset, TimestampMs};

use crate::ControllerError;
use crate::brokers::Session;
use crate::random::Random;
use crate::topic_name::collision_name;

/// Most records that one request may make, and most partitions that one request may create (`MAX_RECORDS_PER_USER_OP`).
pub(crate) const MAX_RECORDS: usize = 10_000;

/// The records of a request and the response that is due when they are committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<R> {
    /// Records to append, in this order. May be empty: then the response is due when all earlier records are committed.
    pub records: Vec<VersionedRecord>,
    /// Offset that the first record must get.
    pub base_offset: Offset,
    /// Whether the records must be in one batch: all or none of them survive a crash.
    pub atomic: bool,
    /// The response.
    pub response: R,
}

/// What the controller is told when it becomes active.
#[derive(Debug)]
pub struct Activation<'a> {
    /// State of the cluster with all records of the log.
    pub image: &'a Arc<ClusterImage>,
    /// Whether the log ends inside of a metadata transaction.
    pub open_transaction: bool,
    /// Epoch of its leadership.
    pub epoch: LeaderEpoch,
    /// Offset of the next record.
    pub next_offset: Offset,
    /// First records of a cluster that has none.
    pub bootstrap: &'a BootstrapMetadata,
}

/// The active controller.
#[derive(Debug)]
pub struct Controller {
    pub(crate) config: BrokerConfig,
    pub(crate) cluster_id: String,
    pub(crate) image: ClusterImage,
    pub(crate) next_offset: Offset,
    pub(crate) sessions: BTreeMap<BrokerId, Session>,
    pub(crate) random: Random,
    /// Topics by the name under which their metrics would collide.
    pub(crate) collisions: HashMap<String, Vec<Arc<str>>>,
    epoch: LeaderEpoch,
}

impl Controller {
    /// A controller that is not active yet. `seed` must differ from that of every other process: topic ids are made from it.
    #[must_use]
    pub fn new(config: BrokerConfig, cluster_id: &str, seed: [u64; 2]) -> Self {
        Self {
            config,
            cluster_id: cluster_id.to_owned(),
            image: ClusterImage::default(),
            next_offset: 0,
            sessions: BTreeMap::new(),
            random: Random::new(seed),
            collisions: HashMap::new(),
            epoch: -1,
        }
    }

    /// Takes over as the active controller. A cluster without metadata version gets its bootstrap records.
    pub fn activate(&mut self, now: TimestampMs, activation: &Activation<'_>) -> Outcome<()> {
        self.image = (**activation.image).clone();
        self.next_offset = activation.next_offset;
        self.epoch = activation.epoch;
        self.sessions = self.image.brokers().map(|broker| (broker.id, Session::restored(now, broker.epoch))).collect();
        self.collisions.clear();
        for topic in activation.image.topics() {
            self.add_collision(&topic.name);
        }
        let mut records = Vec::new();
        if activation.open_transaction {
            let reason = Some("Controller failover".to_owned());
            records.push(VersionedRecord::new(AbortTransactionRecord { reason, ..Default::default() }, 0));
        }
        if self.image.feature_level(METADATA_VERSION) > 0 {
            return self.commit(records, (), true);
        }
        let bootstrap = activation.bootstrap;
        let level = bootstrap.feature_level(METADATA_VERSION);
        let in_transaction = MetadataVersion::from_level(level).is_some_and(MetadataVersion::is_transaction_supported);
        if in_transaction {
            let name = Some("Bootstrap records".to_owned());
            records.push(VersionedRecord::new(BeginTransactionRecord { name, ..Default::default() }, 0));
        }
        records.extend(bootstrap.records.iter().cloned());
        if bootstrap.feature_level(ELIGIBLE_LEADER_REPLICAS_VERSION) > 0 {
            let min_insync_replicas = self.config.min_insync_replicas().to_string();
            records.push(config_record(
                &ConfigResource::all_brokers(),
                "min.insync.replicas",
                Some(min_insync_replicas),
            ));
        }
        if in_transaction {
            records.push(VersionedRecord::new(EndTransactionRecord::default(), 0));
        }
        self.commit(records, (), !in_transaction)
    }

    /// State of the cluster with all records that were returned, committed or not.
    #[must_use]
    pub fn image(&self) -> &ClusterImage {
        &self.image
    }

    /// Epoch of its leadership, -1 before the first.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Offset of the next record that it returns.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// A record that only moves the log on, so that followers see that the controller lives (`metadata.max.idle.interval.ms`).
    pub fn no_op(&mut self) -> Outcome<()> {
        self.commit(vec![VersionedRecord::new(NoOpRecord::default(), 0)], (), true)
    }

    /// Applies records to the image and hands them out.
    pub(crate) fn commit<R>(&mut self, records: Vec<VersionedRecord>, response: R, atomic: bool) -> Outcome<R> {
        let base_offset = self.next_offset;
        self.replay(&records);
        Outcome { records, base_offset, atomic, response }
    }

    fn replay(&mut self, records: &[VersionedRecord]) {
        // Nobody acts on the controller's own delta.
        let mut delta = ImageDelta::default();
        for record in records {
            match &record.record {
                MetadataRecord::Topic(topic) => self.add_collision(&topic.name.as_str().into()),
                MetadataRecord::RemoveTopic(topic) => self.remove_collision(topic.topic_id),
                _ => {}
            }
            let applied = self.image.apply(&record.record, &mut delta);
            applied.expect("the controller makes records from the image that they are applied to");
        }
        self.next_offset += records.len() as i64;
    }

    fn add_collision(&mut self, name: &Arc<str>) {
        if let Some(collision) = collision_name(name) {
            self.collisions.entry(collision).or_default().push(Arc::clone(name));
        }
    }

    fn remove_collision(&mut self, topic_id: Uuid) {
        let Some(name) = self.image.topic_by_id(topic_id).map(|topic| Arc::clone(&topic.name)) else { return };
        let Some(collision) = collision_name(&name) else { return };
        if let Some(names) = self.collisions.get_mut(&collision) {
            names.retain(|other| *other != name);
            if names.is_empty() {
                self.collisions.remove(&collision);
            }
        }
    }

    /// An answer that changes nothing.
    pub(crate) fn answer<R>(&self, response: R) -> Outcome<R> {
        Outcome { records: Vec::new(), base_offset: self.next_offset, atomic: true, response }
    }

    /// Dynamic configuration of a resource.
    pub(crate) fn dynamic_config(&self, resource: &ConfigResource) -> Option<&ConfigMap> {
        self.image.config(resource).map(|configs| &**configs)
    }

    pub(crate) fn metadata_version(&self) -> MetadataVersion {
        self.image.metadata_version()
    }
}

/// Refuses what no batch could hold.
pub(crate) fn check_size(records: &[VersionedRecord]) -> Result<(), ControllerError> {
    if records.len() <= MAX_RECORDS {
        return Ok(());
    }
    Err(ControllerError::PolicyViolation("Unable to perform excessively large batch operation."))
}

/// The record that sets a configuration, or removes it.
pub(crate) fn config_record(resource: &ConfigResource, name: &str, value: Option<String>) -> VersionedRecord {
    let record = ConfigRecord {
        resource_type: resource.resource_type.code(),
        resource_name: resource.name.clone(),
        name: name.to_owned(),
        value,
        ..Default::default()
    };
    VersionedRecord::new(MetadataRecord::Config(record), 0)
}
