//! The state of the cluster at one offset of the metadata log.
//! An image is never changed once it is published; a clone shares everything with its origin until one of both is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::{
    AccessControlEntryRecord, DelegationTokenRecord, RegisterControllerRecord, UserScramCredentialRecord,
};
use protocol::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerId, TimestampMs};
use protocol::{TopicPartition, Uuid};

use crate::broker::BrokerRegistration;
use crate::config::ConfigMap;
use crate::cow_map::CowMap;
use crate::features::{ELIGIBLE_LEADER_REPLICAS_VERSION, METADATA_VERSION, MetadataVersion};
use crate::partition::PartitionRegistration;

/// What has configurations (`ConfigResource.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// Not known to this release.
    Unknown,
    /// A topic.
    Topic,
    /// A broker, or all of them if the name is empty.
    Broker,
    /// The loggers of a broker.
    BrokerLogger,
    /// A subscription to client metrics.
    ClientMetrics,
    /// A group.
    Group,
}

impl ResourceType {
    /// The type of a code.
    #[must_use]
    pub fn from_code(code: i8) -> Self {
        match code {
            2 => Self::Topic,
            4 => Self::Broker,
            8 => Self::BrokerLogger,
            16 => Self::ClientMetrics,
            32 => Self::Group,
            _ => Self::Unknown,
        }
    }

    /// Its code in records and messages.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Self::Unknown => 0,
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }
}

/// Something that has configurations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigResource {
    /// What it is.
    pub resource_type: ResourceType,
    /// Its name; empty for all brokers.
    pub name: String,
}

impl ConfigResource {
    /// A topic.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self { resource_type: ResourceType::Topic, name: name.to_owned() }
    }

    /// A broker.
    #[must_use]
    pub fn broker(id: BrokerId) -> Self {
        Self { resource_type: ResourceType::Broker, name: id.to_string() }
    }

    /// All brokers.
    #[must_use]
    pub fn all_brokers() -> Self {
        Self { resource_type: ResourceType::Broker, name: String::new() }
    }

    /// A group.
    #[must_use]
    pub fn group(name: &str) -> Self {
        Self { resource_type: ResourceType::Group, name: name.to_owned() }
    }
}

/// A topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: Uuid,
    /// Its partitions by index.
    pub partitions: Vec<Arc<PartitionRegistration>>,
}

impl TopicImage {
    /// The partition of an index.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&Arc<PartitionRegistration>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// All partitions with their indexes.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionIndex, &Arc<PartitionRegistration>)> {
        (0..).zip(&self.partitions)
    }
}

/// Offset, epoch and time of an image: the last record that it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance {
    /// Offset of the last record; -1 before the first.
    pub last_offset: Offset,
    /// Leader epoch of its batch.
    pub last_epoch: LeaderEpoch,
    /// Append time of its batch.
    pub last_timestamp: TimestampMs,
}

impl Provenance {
    /// Before the first record.
    pub const EMPTY: Self = Self { last_offset: -1, last_epoch: -1, last_timestamp: -1 };
}

/// Whom quotas are for: types such as `user` with names; no name is the type's default (`ClientQuotaEntity`).
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// Quotas of one entity by their keys.
pub type QuotaValues = BTreeMap<String, f64>;

/// What Ottla keeps for the cluster but does not act on yet. Written again by every snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeptRecords {
    pub(crate) acls: BTreeMap<Uuid, AccessControlEntryRecord>,
    pub(crate) scram: BTreeMap<(String, i8), UserScramCredentialRecord>,
    pub(crate) delegation_tokens: BTreeMap<String, DelegationTokenRecord>,
}

/// The state of the cluster (`MetadataImage`).
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterImage {
    /// Up to where it goes.
    pub provenance: Provenance,
    pub(crate) topics: CowMap<Uuid, Arc<TopicImage>>,
    pub(crate) topic_ids: CowMap<Arc<str>, Uuid>,
    pub(crate) partition_count: usize,
    pub(crate) brokers: Arc<BTreeMap<BrokerId, Arc<BrokerRegistration>>>,
    pub(crate) controllers: Arc<BTreeMap<BrokerId, Arc<RegisterControllerRecord>>>,
    pub(crate) configs: CowMap<ConfigResource, Arc<ConfigMap>>,
    pub(crate) features: Arc<BTreeMap<String, i16>>,
    pub(crate) next_producer_id: ProducerId,
    pub(crate) client_quotas: Arc<BTreeMap<QuotaEntity, QuotaValues>>,
    pub(crate) kept: Arc<KeptRecords>,
}

impl Default for ClusterImage {
    fn default() -> Self {
        Self {
            provenance: Provenance::EMPTY,
            topics: CowMap::default(),
            topic_ids: CowMap::default(),
            partition_count: 0,
            brokers: Arc::default(),
            controllers: Arc::default(),
            configs: CowMap::default(),
            features: Arc::default(),
            next_producer_id: -1,
            client_quotas: Arc::default(),
            kept: Arc::default(),
        }
    }
}

impl ClusterImage {
    /// The topic of a name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// The topic of an id.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// The id of a topic.
    #[must_use]
    pub fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.topic_ids.get(name).copied()
    }

    /// All topics in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.values()
    }

    /// Number of topics.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// Number of partitions of all topics.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The partition of a name and an index.
    #[must_use]
    pub fn partition(&self, topic_partition: &TopicPartition) -> Option<&Arc<PartitionRegistration>> {
        self.topic(&topic_partition.topic)?.partition(topic_partition.partition)
    }

    /// The registration of a broker.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// All registered brokers in order of their ids, fenced ones included.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values()
    }

    /// All registered controllers in order of their ids.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<RegisterControllerRecord>> {
        self.controllers.values()
    }

    /// What is configured dynamically for a resource; none if nothing is.
    #[must_use]
    pub fn config(&self, resource: &ConfigResource) -> Option<&Arc<ConfigMap>> {
        self.configs.get(resource)
    }

    /// All resources with dynamic configurations, in no order.
    pub fn configs(&self) -> impl Iterator<Item = (&ConfigResource, &Arc<ConfigMap>)> {
        self.configs.iter()
    }

    /// Level of a feature; 0 if it is not finalized.
    #[must_use]
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// All finalized features with their levels, in order of their names.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// The metadata version; the oldest one before the log has said which.
    #[must_use]
    pub fn metadata_version(&self) -> MetadataVersion {
        MetadataVersion::from_level(self.feature_level(METADATA_VERSION)).unwrap_or(MetadataVersion::MINIMUM)
    }

    /// Whether replicas out of the ISR may stay eligible (KIP-966).
    #[must_use]
    pub fn is_elr_enabled(&self) -> bool {
        self.feature_level(ELIGIBLE_LEADER_REPLICAS_VERSION) >= 1
    }

    /// All client quotas in order of their entities.
    #[must_use]
    pub fn client_quotas(&self) -> &BTreeMap<QuotaEntity, QuotaValues> {
        &self.client_quotas
    }

    /// The SCRAM credential of a user for a mechanism's code.
    #[must_use]
    pub fn scram_credential(&self, user: &str, mechanism: i8) -> Option<&UserScramCredentialRecord> {
        self.kept.scram.get(&(user.to_owned(), mechanism))
    }

    /// All SCRAM credentials in order of users and mechanisms.
    pub fn scram_credentials(&self) -> impl Iterator<Item = &UserScramCredentialRecord> {
        self.kept.scram.values()
    }

    /// The next producer id that no broker has yet; -1 before the first block.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }
}
