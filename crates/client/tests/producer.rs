//! The client against a running broker, Ottla's or Apache Kafka's: `OTTLA_BOOTSTRAP=host:port`. Without it nothing runs.

#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

mod common;

use std::collections::BTreeMap;

use client::admin::{AlterConfigOp, ConfigChange, ConfigResource};
use client::{Admin, Producer, ProducerConfig, Record};
use common::{connect, create_topic, unique};
use protocol::ErrorCode;

#[tokio::test(flavor = "multi_thread")]
async fn records_get_consecutive_offsets() {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "offsets", 1).await;
    for acks in [client::Acks::All, client::Acks::Leader] {
        let config = ProducerConfig { acks, idempotence: acks == client::Acks::All, ..ProducerConfig::default() };
        let producer = Producer::new(client.clone(), config).unwrap();
        let mut deliveries = Vec::new();
        for value in 0..10_000u32 {
            let value = value.to_string();
            let record = Record { topic: &topic, value: Some(value.as_bytes()), ..Record::default() };
            deliveries.push(producer.send(record).await.unwrap());
        }
        producer.flush().await;
        let mut offsets = Vec::new();
        for delivery in deliveries {
            offsets.push(delivery.delivered().await.unwrap().offset);
        }
        assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1));
        producer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_records_are_sent() {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "million", 3).await;
    let config = ProducerConfig { batch_size: 65536, ..ProducerConfig::default() };
    let producer = Producer::new(client.clone(), config).unwrap();
    let started = tokio::time::Instant::now();
    let mut last = None;
    let value = [b'x'; 100];
    for _ in 0..1_000_000u32 {
        let record = Record { topic: &topic, value: Some(&value), ..Record::default() };
        last = Some(producer.send(record).await.unwrap());
    }
    producer.flush().await;
    println!("{:?} {:?}", started.elapsed(), last.unwrap().delivered().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_into_a_topic_made_on_demand_without_acknowledgement() {
    let Some(client) = connect().await else { return };
    let topic = unique("auto");
    let config = ProducerConfig { acks: client::Acks::None, idempotence: false, ..ProducerConfig::default() };
    let producer = Producer::new(client.clone(), config).unwrap();
    let record = Record { topic: &topic, key: Some(b"k"), value: None, ..Record::default() };
    let delivery = producer.send(record).await.unwrap();
    assert_eq!(delivery.delivered().await.unwrap().offset, -1);
    producer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_larger_than_the_topic_takes_are_split() {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "split", 1).await;
    let resource = ConfigResource::topic(&topic);
    let change =
        ConfigChange { name: "max.message.bytes".to_owned(), op: AlterConfigOp::Set, value: Some("5000".to_owned()) };
    let changes = BTreeMap::from([(resource.clone(), vec![change])]);
    assert!(Admin::new(client.clone()).alter_configs(&changes, false).await.unwrap()[&resource].is_ok());
    let config = ProducerConfig { batch_size: 30_000, ..ProducerConfig::default() };
    let producer = Producer::new(client.clone(), config).unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..1_000 {
        let record = Record { topic: &topic, value: Some(&[b'x'; 100]), ..Record::default() };
        deliveries.push(producer.send(record).await.unwrap());
    }
    let too_large = Record { topic: &topic, value: Some(&[b'x'; 6_000]), ..Record::default() };
    let too_large = producer.send(too_large).await.unwrap();
    producer.flush().await;
    assert_eq!(too_large.delivered().await.unwrap_err().code(), ErrorCode::MessageTooLarge);
    for (expected, delivery) in (0..).zip(deliveries) {
        assert_eq!(delivery.delivered().await.unwrap().offset, expected);
    }
    let record = Record { topic: &topic, value: Some(b"small again"), ..Record::default() };
    assert_eq!(producer.send(record).await.unwrap().delivered().await.unwrap().offset, 1_000);
}
