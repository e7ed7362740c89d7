//! Producers and groups through restarts of their broker: `OTTLA_BOOTSTRAP=host:port` and `OTTLA_RESTART`, a shell command that
//! restarts the broker and returns when that is under way. Without both nothing runs.
#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

mod common;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use client::{Consumer, ConsumerConfig, OffsetReset, Producer, ProducerConfig, Record};
use common::{connect, create_topic};
use protocol::TopicPartition;
use tokio::time::Instant;

const RECORDS: u32 = 300_000;
const RESTARTS: u32 = 3;
const PARTITIONS: i32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_producer_loses_and_repeats_nothing_through_restarts() {
    let (Some(client), Ok(restart)) = (connect().await, std::env::var("OTTLA_RESTART")) else { return };
    let topic = create_topic(&client, "restart", PARTITIONS).await;
    let producer = Producer::new(client.clone(), ProducerConfig::default()).unwrap();
    let mut restarts = Vec::new();
    let mut deliveries = Vec::new();
    for value in 0..RECORDS {
        if value % (RECORDS / (RESTARTS + 1)) == RECORDS / (RESTARTS + 2) {
            let restart = restart.clone();
            restarts.push(tokio::task::spawn_blocking(move || {
                std::process::Command::new("sh").arg("-c").arg(restart).status().unwrap()
            }));
        }
        let text = value.to_be_bytes();
        let partition = Some(i32::try_from(value).unwrap() % PARTITIONS);
        let record = Record { topic: &topic, partition, value: Some(&text), ..Record::default() };
        deliveries.push(producer.send(record).await.unwrap());
        if value % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    producer.flush().await;
    for delivery in deliveries {
        delivery.delivered().await.unwrap();
    }
    for restart in restarts {
        assert!(restart.await.unwrap().success());
    }
    let config = ConsumerConfig { auto_offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(&client, config).unwrap();
    let partitions: Vec<TopicPartition> =
        (0..PARTITIONS).map(|index| TopicPartition::new(topic.as_str(), index)).collect();
    consumer.assign(&partitions).unwrap();
    let mut next: HashMap<i32, u32> = (0..PARTITIONS).map(|index| (index, index.cast_unsigned())).collect();
    let mut read = 0;
    while read < RECORDS {
        let records = consumer.poll(Duration::from_secs(10)).await.unwrap();
        assert!(!records.is_empty(), "{read} of {RECORDS} read");
        for record in records {
            let value = u32::from_be_bytes(record.value.unwrap()[..].try_into().unwrap());
            let expected = next.get_mut(&record.partition).unwrap();
            assert_eq!(value, *expected, "in {} at {}", record.partition, record.offset);
            *expected += PARTITIONS.cast_unsigned();
            read += 1;
        }
    }
    assert!(consumer.poll(Duration::from_millis(700)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_members_of_a_group_go_on_after_a_restart() {
    let (Some(client), Ok(restart)) = (connect().await, std::env::var("OTTLA_RESTART")) else { return };
    let topic = create_topic(&client, "restart-group", PARTITIONS).await;
    let config = ConsumerConfig {
        group_id: Some(topic.clone()),
        auto_offset_reset: OffsetReset::Earliest,
        enable_auto_commit: false,
        ..ConsumerConfig::default()
    };
    let mut members = Vec::new();
    for _ in 0..2 {
        let mut member = Consumer::new(&client, config.clone()).unwrap();
        member.subscribe([topic.as_str()]).unwrap();
        members.push(member);
    }
    let producer = Producer::new(client.clone(), ProducerConfig::default()).unwrap();
    let mut seen = HashSet::new();
    for round in 0..4u32 {
        if round == 2 {
            let restart = restart.clone();
            let restarting = tokio::task::spawn_blocking(move || {
                std::process::Command::new("sh").arg("-c").arg(restart).status().unwrap()
            });
            assert!(restarting.await.unwrap().success());
        }
        for value in round * 1000..(round + 1) * 1000 {
            let text = value.to_be_bytes();
            let record = Record { topic: &topic, key: Some(&text), value: Some(&text), ..Record::default() };
            producer.send(record).await.unwrap();
        }
        producer.flush().await;
        let deadline = Instant::now() + Duration::from_secs(60);
        while seen.len() < (round as usize + 1) * 1000 {
            assert!(Instant::now() < deadline, "{} records seen in round {round}", seen.len());
            for member in &mut members {
                let records = member.poll(Duration::from_millis(50)).await.unwrap();
                seen.extend(records.iter().map(|record| (record.partition, record.offset)));
                // The group may be between generations; what is not committed now is with the next poll.
                let _ = member.commit().await;
            }
        }
    }
    let committed: i64 = {
        let partitions: Vec<TopicPartition> =
            (0..PARTITIONS).map(|index| TopicPartition::new(topic.as_str(), index)).collect();
        members[0].committed(&partitions).await.unwrap().values().map(|offset| offset.offset).sum()
    };
    assert_eq!(committed, 4000);
}
