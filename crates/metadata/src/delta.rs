//! Records change an image; the delta remembers what they changed, for those who act on it.
//! A record that does not fit the image is an error and means a broken log: nothing is guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::messages::{
    BrokerRegistrationChangeRecord, ClearElrRecord, ClientQuotaRecord, ConfigRecord, PartitionChangeRecord,
    PartitionRecord, RemoveTopicRecord, TopicRecord,
};
use protocol::types::{BrokerId, PartitionIndex};
use protocol::{TopicPartition, Uuid};

use crate::MetadataError;
use crate::broker::BrokerRegistration;
use crate::features::METADATA_VERSION;
use crate::image::{ClusterImage, ConfigResource, KeptRecords, QuotaEntity, ResourceType, TopicImage};
use crate::partition::PartitionRegistration;
use crate::record::MetadataRecord;

/// How far ahead of its predecessors a partition may come: Kafka writes them in the order of a hash map, not at random.
const LARGEST_GAP: usize = 1 << 20;

/// What changed between two images.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageDelta {
    /// Topics that are new.
    pub created_topics: BTreeSet<Uuid>,
    /// Topics that are gone, as they were.
    pub deleted_topics: BTreeMap<Uuid, Arc<TopicImage>>,
    /// Topics with new or changed partitions, and which; new topics included.
    pub changed_partitions: BTreeMap<Uuid, BTreeSet<PartitionIndex>>,
    /// Resources whose configurations changed.
    pub changed_configs: BTreeSet<ConfigResource>,
    /// Brokers that registered, changed or are gone.
    pub changed_brokers: BTreeSet<BrokerId>,
    /// Whether the level of a feature changed.
    pub features_changed: bool,
    /// Whether a client quota changed.
    pub quotas_changed: bool,
}

/// What changed for the replicas of one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalChanges {
    /// Partitions that the broker leads, where anything about them changed.
    pub leaders: Vec<(TopicPartition, Uuid, Arc<PartitionRegistration>)>,
    /// Partitions that the broker follows, where anything about them changed.
    pub followers: Vec<(TopicPartition, Uuid, Arc<PartitionRegistration>)>,
    /// Partitions that the broker has no more, with the topic's id.
    pub deleted: Vec<(TopicPartition, Uuid)>,
}

impl ImageDelta {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What changed for a broker's replicas from the image `before` to the image `after`.
    #[must_use]
    pub fn local_changes(&self, broker_id: BrokerId, before: &ClusterImage, after: &ClusterImage) -> LocalChanges {
        let mut changes = LocalChanges::default();
        for topic in self.deleted_topics.values() {
            let local = topic.partitions().filter(|(_, partition)| partition.replicas.contains(&broker_id));
            let local = local.map(|(index, _)| (TopicPartition::new(Arc::clone(&topic.name), index), topic.id));
            changes.deleted.extend(local);
        }
        for (topic_id, indexes) in &self.changed_partitions {
            let Some(topic) = after.topic_by_id(*topic_id) else { continue };
            let old = before.topic_by_id(*topic_id);
            for index in indexes {
                let (Some(now), was) = (topic.partition(*index), old.and_then(|topic| topic.partition(*index))) else {
                    continue;
                };
                let topic_partition = TopicPartition::new(Arc::clone(&topic.name), *index);
                if was == Some(now) {
                    continue;
                }
                if now.leader == broker_id {
                    changes.leaders.push((topic_partition, *topic_id, Arc::clone(now)));
                } else if now.replicas.contains(&broker_id) {
                    changes.followers.push((topic_partition, *topic_id, Arc::clone(now)));
                } else if was.is_some_and(|was| was.replicas.contains(&broker_id)) {
                    changes.deleted.push((topic_partition, *topic_id));
                }
            }
        }
        changes
    }
}

impl ClusterImage {
    /// Applies one record. Records of transactions are the loader's and change nothing here.
    /// # Errors
    /// A record that does not fit the image.
    pub fn apply(&mut self, record: &MetadataRecord, delta: &mut ImageDelta) -> Result<(), MetadataError> {
        match record {
            MetadataRecord::Topic(record) => self.apply_topic(record, delta),
            MetadataRecord::Partition(record) => self.apply_partition(record, delta)?,
            MetadataRecord::PartitionChange(record) => self.apply_partition_change(record, delta)?,
            MetadataRecord::RemoveTopic(record) => self.apply_remove_topic(record, delta)?,
            MetadataRecord::ClearElr(record) => self.apply_clear_elr(record, delta)?,
            MetadataRecord::Config(record) => self.apply_config(record, delta),
            MetadataRecord::RegisterBroker(record) => {
                let broker = BrokerRegistration::from_record(record);
                delta.changed_brokers.insert(broker.id);
                Arc::make_mut(&mut self.brokers).insert(broker.id, Arc::new(broker));
            }
            MetadataRecord::UnregisterBroker(record) => {
                self.change_broker(record.broker_id, record.broker_epoch, delta, |_| {})?;
                Arc::make_mut(&mut self.brokers).remove(&record.broker_id);
            }
            MetadataRecord::FenceBroker(record) => {
                self.change_broker(record.id, record.epoch, delta, |broker| broker.fenced = true)?;
            }
            MetadataRecord::UnfenceBroker(record) => {
                self.change_broker(record.id, record.epoch, delta, |broker| broker.fenced = false)?;
            }
            MetadataRecord::BrokerRegistrationChange(record) => self.apply_broker_change(record, delta)?,
            MetadataRecord::RegisterController(record) => {
                Arc::make_mut(&mut self.controllers).insert(record.controller_id, Arc::new(record.clone()));
            }
            MetadataRecord::FeatureLevel(record) => {
                delta.features_changed = true;
                let features = Arc::make_mut(&mut self.features);
                if record.feature_level == 0 && record.name != METADATA_VERSION {
                    features.remove(&record.name);
                } else {
                    features.insert(record.name.clone(), record.feature_level);
                }
            }
            MetadataRecord::ProducerIds(record) => self.next_producer_id = record.next_producer_id,
            MetadataRecord::ClientQuota(record) => self.apply_quota(record, delta),
            MetadataRecord::AccessControlEntry(_)
            | MetadataRecord::RemoveAccessControlEntry(_)
            | MetadataRecord::UserScramCredential(_)
            | MetadataRecord::RemoveUserScramCredential(_)
            | MetadataRecord::DelegationToken(_)
            | MetadataRecord::RemoveDelegationToken(_) => Arc::make_mut(&mut self.kept).apply(record),
            MetadataRecord::NoOp(_)
            | MetadataRecord::ZkMigrationState(_)
            | MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => {}
        }
        Ok(())
    }

    fn apply_topic(&mut self, record: &TopicRecord, delta: &mut ImageDelta) {
        let name: Arc<str> = record.name.as_str().into();
        let topic = TopicImage { name: Arc::clone(&name), id: record.topic_id, partitions: Vec::new() };
        self.topics.insert(record.topic_id, Arc::new(topic));
        self.topic_ids.insert(name, record.topic_id);
        delta.created_topics.insert(record.topic_id);
        delta.changed_partitions.entry(record.topic_id).or_default();
    }

    fn change_topic(
        &mut self,
        id: Uuid,
        change: impl FnOnce(&mut TopicImage) -> Result<(), MetadataError>,
    ) -> Result<(), MetadataError> {
        let topic = self.topics.get(&id).ok_or(MetadataError::UnknownTopic(id))?;
        let mut topic = Arc::clone(topic);
        // The map's own reference goes first, so that only a topic that somebody else still sees is copied.
        self.topics.remove(&id);
        let result = change(Arc::make_mut(&mut topic));
        self.topics.insert(id, topic);
        result
    }

    fn apply_partition(&mut self, record: &PartitionRecord, delta: &mut ImageDelta) -> Result<(), MetadataError> {
        let unknown = MetadataError::UnknownPartition(record.topic_id, record.partition_id);
        let index = usize::try_from(record.partition_id).map_err(|_| unknown.clone())?;
        let mut added = 0;
        self.change_topic(record.topic_id, |topic| {
            let before = topic.partitions.len();
            if index > before + LARGEST_GAP {
                return Err(unknown);
            }
            if index >= before {
                topic.partitions.resize_with(index + 1, || Arc::new(PartitionRegistration::unknown()));
            }
            topic.partitions[index] = Arc::new(PartitionRegistration::from_record(record));
            added = topic.partitions.len() - before;
            Ok(())
        })?;
        self.partition_count += added;
        delta.changed_partitions.entry(record.topic_id).or_default().insert(record.partition_id);
        Ok(())
    }

    fn apply_partition_change(
        &mut self,
        record: &PartitionChangeRecord,
        delta: &mut ImageDelta,
    ) -> Result<(), MetadataError> {
        self.change_topic(record.topic_id, |topic| {
            let index = usize::try_from(record.partition_id).unwrap_or(usize::MAX);
            let partition = topic.partitions.get_mut(index);
            let partition = partition.ok_or(MetadataError::UnknownPartition(record.topic_id, record.partition_id))?;
            *partition = Arc::new(partition.merge(record));
            Ok(())
        })?;
        delta.changed_partitions.entry(record.topic_id).or_default().insert(record.partition_id);
        Ok(())
    }

    fn apply_remove_topic(&mut self, record: &RemoveTopicRecord, delta: &mut ImageDelta) -> Result<(), MetadataError> {
        let id = record.topic_id;
        let topic = self.topics.remove(&id).ok_or(MetadataError::UnknownTopic(id))?;
        self.topic_ids.remove(&topic.name);
        self.partition_count -= topic.partitions.len();
        let resource = ConfigResource::topic(&topic.name);
        if self.configs.remove(&resource).is_some() {
            delta.changed_configs.insert(resource);
        }
        delta.changed_partitions.remove(&id);
        if !delta.created_topics.remove(&id) {
            delta.deleted_topics.insert(id, topic);
        }
        Ok(())
    }

    fn apply_clear_elr(&mut self, record: &ClearElrRecord, delta: &mut ImageDelta) -> Result<(), MetadataError> {
        let has_elr = |topic: &Arc<TopicImage>| {
            topic.partitions.iter().any(|partition| !partition.elr.is_empty() || !partition.last_known_elr.is_empty())
        };
        let named = |topic: &Arc<TopicImage>| record.topic_name.is_empty() || *topic.name == *record.topic_name;
        let ids: Vec<Uuid> =
            self.topics.values().filter(|topic| named(topic) && has_elr(topic)).map(|topic| topic.id).collect();
        for id in ids {
            let changed = delta.changed_partitions.entry(id).or_default();
            self.change_topic(id, |topic| {
                for (index, partition) in (0..).zip(&mut topic.partitions) {
                    if partition.elr.is_empty() && partition.last_known_elr.is_empty() {
                        continue;
                    }
                    let cleared = PartitionChangeRecord {
                        eligible_leader_replicas: Some(Vec::new()),
                        last_known_elr: Some(Vec::new()),
                        ..Default::default()
                    };
                    *partition = Arc::new(partition.merge(&cleared));
                    changed.insert(index);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn apply_config(&mut self, record: &ConfigRecord, delta: &mut ImageDelta) {
        let resource_type = ResourceType::from_code(record.resource_type);
        let resource = ConfigResource { resource_type, name: record.resource_name.clone() };
        let mut configs = self.configs.remove(&resource).unwrap_or_default();
        let map = Arc::make_mut(&mut configs);
        match &record.value {
            Some(value) => map.insert(record.name.clone(), value.clone()),
            None => map.remove(&record.name),
        };
        if !map.is_empty() {
            self.configs.insert(resource.clone(), configs);
        }
        delta.changed_configs.insert(resource);
    }

    fn apply_quota(&mut self, record: &ClientQuotaRecord, delta: &mut ImageDelta) {
        let parts = record.entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone()));
        let entity: QuotaEntity = parts.collect();
        let quotas = Arc::make_mut(&mut self.client_quotas);
        let values = quotas.entry(entity.clone()).or_default();
        if record.remove {
            values.remove(&record.key);
        } else {
            values.insert(record.key.clone(), record.value);
        }
        if values.is_empty() {
            quotas.remove(&entity);
        }
        delta.quotas_changed = true;
    }

    fn change_broker(
        &mut self,
        id: BrokerId,
        epoch: i64,
        delta: &mut ImageDelta,
        change: impl FnOnce(&mut BrokerRegistration),
    ) -> Result<(), MetadataError> {
        let brokers = Arc::make_mut(&mut self.brokers);
        let broker = brokers.get_mut(&id).ok_or(MetadataError::UnknownBroker(id))?;
        if broker.epoch != epoch {
            return Err(MetadataError::BrokerEpoch { broker_id: id, got: epoch, expected: broker.epoch });
        }
        change(Arc::make_mut(broker));
        delta.changed_brokers.insert(id);
        Ok(())
    }

    fn apply_broker_change(
        &mut self,
        record: &BrokerRegistrationChangeRecord,
        delta: &mut ImageDelta,
    ) -> Result<(), MetadataError> {
        self.change_broker(record.broker_id, record.broker_epoch, delta, |broker| broker.change(record))
    }
}

impl KeptRecords {
    fn apply(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::AccessControlEntry(record) => {
                self.acls.insert(record.id, record.clone());
            }
            MetadataRecord::RemoveAccessControlEntry(record) => {
                self.acls.remove(&record.id);
            }
            MetadataRecord::UserScramCredential(record) => {
                self.scram.insert((record.name.clone(), record.mechanism), record.clone());
            }
            MetadataRecord::RemoveUserScramCredential(record) => {
                self.scram.remove(&(record.name.clone(), record.mechanism));
            }
            MetadataRecord::DelegationToken(record) => {
                self.delegation_tokens.insert(record.token_id.clone(), record.clone());
            }
            MetadataRecord::RemoveDelegationToken(record) => {
                self.delegation_tokens.remove(&record.token_id);
            }
            _ => {}
        }
    }
}
