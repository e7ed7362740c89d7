//! Claims about images, deltas, transactions and snapshots.

use protocol::messages::{
    AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord, FeatureLevelRecord,
    PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
};
use protocol::record::{BatchBuilder, BatchSettings};
use protocol::{TopicPartition, Uuid};

use super::*;
use crate::checkpoint::CheckpointWriter;
use crate::image::ConfigResource;
use crate::snapshot::snapshot_records;

fn id(number: u8) -> Uuid {
    Uuid::from_bytes([number; 16])
}

fn topic(number: u8) -> VersionedRecord {
    VersionedRecord::new(TopicRecord { name: format!("t{number}"), topic_id: id(number), ..Default::default() }, 0)
}

fn partition(number: u8, partition_id: i32) -> VersionedRecord {
    let record = PartitionRecord {
        topic_id: id(number),
        partition_id,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        directories: vec![id(9)],
        ..Default::default()
    };
    VersionedRecord::new(record, 2)
}

fn config(name: &str, value: Option<&str>) -> VersionedRecord {
    let record = ConfigRecord {
        resource_type: 2,
        resource_name: "t1".to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
        ..Default::default()
    };
    VersionedRecord::new(record, 0)
}

fn load(loader: &mut MetadataLoader, records: &[VersionedRecord]) -> Option<Publication> {
    let last_offset = loader.next_offset() + records.len() as i64 - 1;
    let provenance = Provenance { last_offset, last_epoch: 1, last_timestamp: 5 };
    loader.load_records(provenance, records).expect("fits");
    loader.publish()
}

#[test]
fn a_new_topic_is_in_the_image_and_in_the_delta() {
    let mut loader = MetadataLoader::new();
    let publication = load(&mut loader, &[topic(1), partition(1, 0), partition(1, 1)]).expect("new");
    assert_eq!(publication.delta.created_topics.iter().copied().collect::<Vec<_>>(), [id(1)]);
    assert_eq!(publication.image.partition_count(), 2);
    let changes = publication.delta.local_changes(1, &publication.before, &publication.image);
    assert_eq!(changes.leaders.len(), 2);
    assert!(loader.publish().is_none());
}

#[test]
fn a_change_shares_all_other_topics() {
    let mut loader = MetadataLoader::new();
    let records: Vec<_> = (1..200).flat_map(|number| [topic(number), partition(number, 0)]).collect();
    let first = load(&mut loader, &records).expect("new");
    let change = PartitionChangeRecord { topic_id: id(5), partition_id: 0, leader: -1, ..Default::default() };
    let second = load(&mut loader, &[VersionedRecord::new(change, 2)]).expect("changed");
    let changed = second.image.partition(&TopicPartition::new("t5", 0)).expect("exists");
    assert_eq!((changed.leader, changed.leader_epoch, changed.partition_epoch), (-1, 1, 1));
    assert_eq!(first.image.partition(&TopicPartition::new("t5", 0)).expect("exists").leader, 1);
    let shared =
        |name: &str| Arc::ptr_eq(first.image.topic(name).expect("exists"), second.image.topic(name).expect("exists"));
    assert!(shared("t6") && !shared("t5"));
}

#[test]
fn a_deleted_topic_takes_its_configuration_along() {
    let mut loader = MetadataLoader::new();
    load(&mut loader, &[topic(1), partition(1, 0), config("retention.ms", Some("1"))]);
    let removed = RemoveTopicRecord { topic_id: id(1), ..Default::default() };
    let publication = load(&mut loader, &[VersionedRecord::new(removed, 0)]).expect("changed");
    assert!(
        publication.image.topic("t1").is_none() && publication.image.config(&ConfigResource::topic("t1")).is_none()
    );
    let changes = publication.delta.local_changes(1, &publication.before, &publication.image);
    assert_eq!(changes.deleted, [(TopicPartition::new("t1", 0), id(1))]);
    assert_eq!(publication.image.partition_count(), 0);
}

#[test]
fn transactions_are_published_at_their_end_or_not_at_all() {
    let mut loader = MetadataLoader::new();
    let begin = || VersionedRecord::new(BeginTransactionRecord::default(), 0);
    assert!(load(&mut loader, &[begin(), topic(1)]).is_none());
    let end = VersionedRecord::new(EndTransactionRecord::default(), 0);
    assert!(load(&mut loader, &[end]).expect("ended").image.topic("t1").is_some());
    let abort = VersionedRecord::new(AbortTransactionRecord::default(), 0);
    let publication = load(&mut loader, &[begin(), topic(2), abort]).expect("advanced");
    assert!(publication.image.topic("t2").is_none() && publication.delta.is_empty());
}

#[test]
fn batches_that_are_loaded_already_are_skipped() {
    let batch = |base_offset, records: &[VersionedRecord]| {
        let mut batch = BatchBuilder::new(BatchSettings { base_offset, leader_epoch: 3, ..Default::default() });
        for record in records {
            batch.append(7, None, Some(&record.encode().expect("encodes")), &[]);
        }
        batch.build()
    };
    let log = [batch(0, &[topic(1)]), batch(1, &[partition(1, 0)])].concat();
    let mut loader = MetadataLoader::new();
    loader.load_batches(&log.clone().into()).expect("fits");
    loader.load_batches(&log.into()).expect("fits");
    let image = loader.publish().expect("new").image;
    assert_eq!(image.provenance, Provenance { last_offset: 1, last_epoch: 3, last_timestamp: 7 });
}

#[test]
fn an_image_survives_its_snapshot() {
    let feature = FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 30, ..Default::default() };
    let broker =
        RegisterBrokerRecord { broker_id: 1, broker_epoch: 4, rack: Some("r".to_owned()), ..Default::default() };
    let ids = ProducerIdsRecord { next_producer_id: 1000, ..Default::default() };
    let records = [
        VersionedRecord::new(feature, 0),
        VersionedRecord::new(broker, 4),
        topic(1),
        partition(1, 0),
        config("retention.ms", Some("1")),
        VersionedRecord::new(ids, 0),
    ];
    let mut loader = MetadataLoader::new();
    let image = load(&mut loader, &records).expect("new").image;
    let mut writer = CheckpointWriter::new(9, 1, 5, &[]).expect("header");
    snapshot_records(&image).iter().for_each(|record| writer.append(record).expect("encodes"));
    let file = writer.finish().expect("footer");
    let mut other = MetadataLoader::new();
    load(&mut other, &[topic(2), partition(2, 0)]);
    other.load_snapshot(&file, 6, 1).expect("reads");
    let publication = other.publish().expect("new");
    assert_eq!(*publication.image, *image);
    assert!(publication.delta.deleted_topics.contains_key(&id(2)));
    assert!(publication.delta.created_topics.contains(&id(1)));
}
