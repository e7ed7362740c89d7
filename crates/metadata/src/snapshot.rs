//! An image as records, in Kafka's order: features first, because they decide how to read what follows.

use protocol::messages::client_quota_record::EntityData;
use protocol::messages::{ClientQuotaRecord, ConfigRecord, FeatureLevelRecord, ProducerIdsRecord, TopicRecord};

use crate::features::METADATA_VERSION;
use crate::image::{ClusterImage, QuotaEntity};
use crate::record::VersionedRecord;

/// All records that make an image.
#[must_use]
pub fn snapshot_records(image: &ClusterImage) -> Vec<VersionedRecord> {
    let mut records = Vec::with_capacity(image.partition_count() + image.topic_count() + 16);
    write_features(image, &mut records);
    let version = image.metadata_version();
    let brokers = image.brokers().map(|broker| broker.to_record(version));
    records.extend(brokers.map(|record| VersionedRecord::new(record, version.register_broker_record_version())));
    if version.is_controller_registration_supported() {
        records.extend(image.controllers().map(|record| VersionedRecord::new((**record).clone(), 0)));
    }
    write_topics(image, &mut records);
    write_configs(image, &mut records);
    write_kept(image, &mut records);
    records
}

fn write_features(image: &ClusterImage, records: &mut Vec<VersionedRecord>) {
    let feature = |name: &str, feature_level| {
        VersionedRecord::new(FeatureLevelRecord { name: name.to_owned(), feature_level, ..Default::default() }, 0)
    };
    records.push(feature(METADATA_VERSION, image.metadata_version().level()));
    let others = image.features().filter(|(name, _)| *name != METADATA_VERSION);
    records.extend(others.map(|(name, level)| feature(name, level)));
}

fn write_topics(image: &ClusterImage, records: &mut Vec<VersionedRecord>) {
    let version = image.metadata_version();
    let mut topics: Vec<_> = image.topics().collect();
    topics.sort_unstable_by_key(|topic| topic.id);
    for topic in topics {
        let record = TopicRecord { name: topic.name.to_string(), topic_id: topic.id, ..Default::default() };
        records.push(VersionedRecord::new(record, 0));
        let partitions = topic.partitions().map(|(index, partition)| partition.to_record(topic.id, index, version));
        records.extend(partitions.map(|record| VersionedRecord::new(record, version.partition_record_version())));
    }
}

fn write_configs(image: &ClusterImage, records: &mut Vec<VersionedRecord>) {
    let mut resources: Vec<_> = image.configs().collect();
    resources.sort_unstable_by_key(|(resource, _)| *resource);
    for (resource, configs) in resources {
        let configs = configs.iter().map(|(name, value)| ConfigRecord {
            resource_type: resource.resource_type.code(),
            resource_name: resource.name.clone(),
            name: name.clone(),
            value: Some(value.clone()),
            ..Default::default()
        });
        records.extend(configs.map(|record| VersionedRecord::new(record, 0)));
    }
}

fn write_kept(image: &ClusterImage, records: &mut Vec<VersionedRecord>) {
    let kept = &image.kept;
    let quotas = image
        .client_quotas()
        .iter()
        .flat_map(|(entity, values)| values.iter().map(|(key, value)| quota_record(entity, key, Some(*value))));
    records.extend(quotas);
    if image.next_producer_id() >= 0 {
        let record = ProducerIdsRecord {
            broker_id: -1,
            broker_epoch: -1,
            next_producer_id: image.next_producer_id(),
            ..Default::default()
        };
        records.push(VersionedRecord::new(record, 0));
    }
    records.extend(kept.acls.values().map(|record| VersionedRecord::new(record.clone(), 0)));
    records.extend(kept.scram.values().map(|record| VersionedRecord::new(record.clone(), 0)));
    records.extend(kept.delegation_tokens.values().map(|record| VersionedRecord::new(record.clone(), 0)));
}

/// The record that sets a client quota, or removes it.
#[must_use]
pub fn quota_record(entity: &QuotaEntity, key: &str, value: Option<f64>) -> VersionedRecord {
    let part = |(entity_type, entity_name): (&String, &Option<String>)| EntityData {
        entity_type: entity_type.clone(),
        entity_name: entity_name.clone(),
        ..Default::default()
    };
    let record = ClientQuotaRecord {
        entity: entity.iter().map(part).collect(),
        key: key.to_owned(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
        ..Default::default()
    };
    VersionedRecord::new(record, 0)
}
