//! The admin operations against a running broker: `OTTLA_BOOTSTRAP=host:port`. Without it nothing runs.
#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use client::admin::{AlterConfigOp, ConfigChange, ConfigResource, ConfigSource, NewPartitions, NewTopic};
use client::{Admin, Consumer, ConsumerConfig, IsolationLevel, OffsetAndMetadata, Producer, ProducerConfig, Record};
use common::{connect, unique};
use protocol::{ErrorCode, TopicPartition};

async fn admin() -> Option<Admin> {
    Some(Admin::new(connect().await?))
}

fn topic(name: &str) -> NewTopic {
    NewTopic { name: name.to_owned(), partitions: Some(2), replication_factor: Some(1), ..NewTopic::default() }
}

#[tokio::test]
async fn topics_are_created_grown_described_and_deleted() {
    let Some(admin) = admin().await else { return };
    let name = unique("admin");
    let mut new = topic(&name);
    new.configs.insert("retention.ms".to_owned(), "123456".to_owned());
    let validated = admin.create_topics(std::slice::from_ref(&new), true).await.unwrap();
    assert!(validated[&name].is_ok());
    let created = admin.create_topics(std::slice::from_ref(&new), false).await.unwrap();
    assert_eq!(created[&name].as_ref().unwrap().partitions, 2);
    let again = admin.create_topics(&[new], false).await.unwrap();
    assert_eq!(again[&name].as_ref().unwrap_err().code(), ErrorCode::TopicAlreadyExists);
    let grown = NewPartitions { topic: name.clone(), total: 4, assignments: None };
    assert!(admin.create_partitions(&[grown], false).await.unwrap()[&name].is_ok());
    let described = admin.describe_topics(&[&name]).await.unwrap();
    assert_eq!(described[&name].as_ref().unwrap().partitions.len(), 4);
    assert!(admin.list_topics(false).await.unwrap().contains_key(&name));
    assert!(admin.delete_topics(&[&name]).await.unwrap()[&name].is_ok());
    let gone = admin.describe_topics(&[&name]).await.unwrap();
    assert_eq!(gone[&name].as_ref().unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
}

#[tokio::test]
async fn configurations_are_changed_and_described() {
    let Some(admin) = admin().await else { return };
    let name = unique("configs");
    assert!(admin.create_topics(&[topic(&name)], false).await.unwrap()[&name].is_ok());
    let resource = ConfigResource::topic(&name);
    let change =
        ConfigChange { name: "segment.bytes".to_owned(), op: AlterConfigOp::Set, value: Some("10485760".to_owned()) };
    let changes = BTreeMap::from([(resource.clone(), vec![change.clone()])]);
    assert!(admin.alter_configs(&changes, false).await.unwrap()[&resource].is_ok());
    let described = admin.describe_configs(std::slice::from_ref(&resource)).await.unwrap();
    let entries = described[&resource].as_ref().unwrap();
    let entry = entries.iter().find(|entry| entry.name == "segment.bytes").unwrap();
    assert_eq!((entry.value.as_deref(), entry.source), (Some("10485760"), ConfigSource::DynamicTopic));
    let wrong = ConfigChange { value: Some("many".to_owned()), ..change };
    let changes = BTreeMap::from([(resource.clone(), vec![wrong])]);
    let refused = admin.alter_configs(&changes, false).await.unwrap();
    assert_eq!(refused[&resource].as_ref().unwrap_err().code(), ErrorCode::InvalidConfig);
}

#[tokio::test]
async fn records_are_deleted_and_offsets_listed() {
    let Some(admin) = admin().await else { return };
    let name = unique("records");
    assert!(admin.create_topics(&[topic(&name)], false).await.unwrap()[&name].is_ok());
    let producer = Producer::new(admin.client().clone(), ProducerConfig::default()).unwrap();
    for _ in 0..10 {
        let record = Record { topic: &name, partition: Some(0), value: Some(b"v"), ..Record::default() };
        producer.send(record).await.unwrap();
    }
    producer.close().await;
    let partition = TopicPartition::new(name.as_str(), 0);
    let deleted = admin.delete_records(&BTreeMap::from([(partition.clone(), 4)])).await.unwrap();
    assert_eq!(*deleted[&partition].as_ref().unwrap(), 4);
    for (time, offset) in [(-2, 4), (-1, 10)] {
        let times = BTreeMap::from([(partition.clone(), time)]);
        let listed = admin.list_offsets(times, IsolationLevel::ReadUncommitted).await.unwrap();
        assert_eq!(listed[&partition].as_ref().unwrap().offset, offset);
    }
    let missing = TopicPartition::new(name.as_str(), 9);
    let deleted = admin.delete_records(&BTreeMap::from([(missing.clone(), 0)])).await.unwrap();
    assert_eq!(deleted[&missing].as_ref().unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_listed_described_and_deleted_and_their_offsets_changed() {
    let Some(admin) = admin().await else { return };
    let (name, group) = (unique("groups"), unique("group"));
    assert!(admin.create_topics(&[topic(&name)], false).await.unwrap()[&name].is_ok());
    let config = ConsumerConfig { group_id: Some(group.clone()), ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(admin.client(), config).unwrap();
    consumer.subscribe([name.as_str()]).unwrap();
    while consumer.assignment().is_empty() {
        consumer.poll(Duration::from_millis(50)).await.unwrap();
    }
    let described = admin.describe_groups(&[&group]).await.unwrap();
    let description = described[&group].as_ref().unwrap();
    assert_eq!((description.state.as_str(), description.assignor.as_str()), ("Stable", "range"));
    assert_eq!(description.members[0].assignment.len(), 2);
    let listed = admin.list_groups(&["Stable"], &[]).await.unwrap();
    assert!(listed.iter().any(|listing| listing.group_id == group && listing.group_type == "classic"));
    consumer.close(Duration::from_secs(10)).await.unwrap();
    let partition = TopicPartition::new(name.as_str(), 1);
    let offsets = BTreeMap::from([(partition.clone(), OffsetAndMetadata::from(7))]);
    assert!(admin.alter_group_offsets(&group, &offsets).await.unwrap()[&partition].is_ok());
    let committed = admin.list_group_offsets(&group, None).await.unwrap();
    assert_eq!(committed[&partition].as_ref().unwrap().offset, 7);
    let deleted = admin.delete_group_offsets(&group, std::slice::from_ref(&partition)).await.unwrap();
    assert!(deleted[&partition].is_ok());
    assert!(!admin.list_group_offsets(&group, None).await.unwrap().contains_key(&partition));
    assert!(admin.delete_groups(&[&group]).await.unwrap()[&group].is_ok());
    let missing = admin.delete_groups(&[&group]).await.unwrap();
    assert_eq!(missing[&group].as_ref().unwrap_err().code(), ErrorCode::GroupIdNotFound);
}

#[tokio::test]
async fn the_cluster_describes_itself() {
    let Some(admin) = admin().await else { return };
    let cluster = admin.describe_cluster(false).await.unwrap();
    let broker = cluster.brokers[0].0.id;
    assert!(!cluster.cluster_id.is_empty());
    let dirs = admin.describe_log_dirs(&[broker]).await.unwrap();
    assert!(dirs[&broker][0].total_bytes > 0);
    let quorum = admin.describe_quorum().await.unwrap();
    assert_eq!(quorum.voters.len(), 1);
    assert!(quorum.high_watermark > 0);
}
