//! The consumer against a running broker: `OTTLA_BOOTSTRAP=host:port`. Without it nothing runs.
#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use client::consumer::Assignor;
use client::{
    Client, Consumer, ConsumerConfig, ConsumerRecord, IsolationLevel, OffsetReset, Producer, ProducerConfig, Record,
};
use common::{connect, create_topic, unique};
use protocol::TopicPartition;
use protocol::record::Compression;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(30);

async fn produce(client: &Client, topic: &str, count: u32, compression: Compression) {
    let config = ProducerConfig { compression, ..ProducerConfig::default() };
    let producer = Producer::new(client.clone(), config).unwrap();
    for value in 0..count {
        let text = value.to_string();
        let headers = [("n".into(), Some(text.clone().into()))];
        let record = Record {
            topic,
            key: Some(text.as_bytes()),
            value: Some(text.as_bytes()),
            headers: &headers,
            timestamp: Some(1_000_000 + i64::from(value)),
            partition: None,
        };
        producer.send(record).await.unwrap();
    }
    timeout(PATIENCE, producer.close()).await.unwrap();
}

fn config(group: Option<&str>) -> ConsumerConfig {
    ConsumerConfig {
        group_id: group.map(str::to_owned),
        auto_offset_reset: OffsetReset::Earliest,
        heartbeat_interval: Duration::from_millis(200),
        session_timeout: Duration::from_secs(6),
        ..ConsumerConfig::default()
    }
}

async fn read(consumer: &mut Consumer, count: usize) -> Vec<ConsumerRecord> {
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while records.len() < count && Instant::now() < deadline {
        records.extend(consumer.poll(Duration::from_millis(500)).await.unwrap());
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_sent_is_read_in_every_codec() {
    let Some(client) = connect().await else { return };
    for compression in Compression::ALL {
        let topic = create_topic(&client, "codec", 1).await;
        produce(&client, &topic, 5_000, compression).await;
        let mut consumer = Consumer::new(&client, config(None)).unwrap();
        consumer.assign(&[TopicPartition::new(topic.as_str(), 0)]).unwrap();
        let records = read(&mut consumer, 5_000).await;
        assert_eq!(records.len(), 5_000, "{compression:?}");
        for (at, record) in records.iter().enumerate() {
            let text = at.to_string();
            assert_eq!((record.offset, record.timestamp), (at as i64, 1_000_000 + at as i64));
            assert_eq!(record.value.as_deref(), Some(text.as_bytes()));
            assert_eq!(record.key.as_deref(), Some(text.as_bytes()));
            assert_eq!(record.headers[0].1.as_deref(), Some(text.as_bytes()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seek_pause_and_lookups_by_time_work() {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "seek", 1).await;
    produce(&client, &topic, 1_000, Compression::None).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let one = std::slice::from_ref(&partition);
    let mut consumer = Consumer::new(&client, config(None)).unwrap();
    consumer.assign(one).unwrap();
    assert_eq!(consumer.position(&partition).await.unwrap(), 0);
    consumer.seek(&partition, 900).unwrap();
    assert_eq!(read(&mut consumer, 100).await[0].offset, 900);
    assert_eq!(consumer.current_lag(&partition), Some(0));
    consumer.seek_to_beginning(one).unwrap();
    assert_eq!(read(&mut consumer, 1).await[0].offset, 0);
    consumer.pause(one).unwrap();
    assert!(consumer.poll(Duration::from_millis(100)).await.unwrap().is_empty());
    consumer.resume(one).unwrap();
    assert!(!read(&mut consumer, 1).await.is_empty());
    let times = BTreeMap::from([(partition.clone(), 1_000_500)]);
    assert_eq!(consumer.offsets_for_times(times).await.unwrap()[&partition].offset, 500);
    assert_eq!(consumer.beginning_offsets(one).await.unwrap()[&partition], 0);
    assert_eq!(consumer.end_offsets(one).await.unwrap()[&partition], 1_000);
    consumer.seek_to_end(one).unwrap();
    assert_eq!(consumer.position(&partition).await.unwrap(), 1_000);
    consumer.seek(&partition, 5_000).unwrap();
    assert_eq!(read(&mut consumer, 1).await[0].offset, 0, "out of range resets to the earliest");
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_offsets_are_where_the_next_member_starts() {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "commit", 1).await;
    let group = unique("group");
    produce(&client, &topic, 1_000, Compression::Lz4).await;
    let partition = TopicPartition::new(topic.as_str(), 0);
    let settings = ConsumerConfig { max_poll_records: 100, enable_auto_commit: false, ..config(Some(&group)) };
    let mut consumer = Consumer::new(&client, settings.clone()).unwrap();
    consumer.subscribe([topic.as_str()]).unwrap();
    assert_eq!(read(&mut consumer, 300).await.len(), 300);
    consumer.commit().await.unwrap();
    let committed = consumer.committed(std::slice::from_ref(&partition)).await.unwrap();
    assert_eq!(committed[&partition].offset, 300);
    assert_eq!(read(&mut consumer, 100).await.len(), 100);
    consumer.close(PATIENCE).await.unwrap();
    let mut consumer = Consumer::new(&client, ConsumerConfig { enable_auto_commit: true, ..settings.clone() }).unwrap();
    consumer.subscribe_pattern(&format!("{topic}|other")).unwrap();
    let again = read(&mut consumer, 100).await;
    assert_eq!((again.len(), again[0].offset), (100, 300));
    consumer.close(PATIENCE).await.unwrap();
    let isolation_level = IsolationLevel::ReadCommitted;
    let mut consumer = Consumer::new(&client, ConsumerConfig { isolation_level, ..settings }).unwrap();
    consumer.subscribe([topic.as_str()]).unwrap();
    assert_eq!(read(&mut consumer, 100).await[0].offset, 400, "closing commits");
}

async fn three_members_share_a_topic(assignors: Vec<Assignor>) {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "group", 6).await;
    let group = unique("group");
    produce(&client, &topic, 6_000, Compression::None).await;
    let settings = ConsumerConfig { assignors, ..config(Some(&group)) };
    let mut members = Vec::new();
    let mut seen: HashSet<(i32, i64)> = HashSet::new();
    for expected in [6, 3, 2] {
        let mut member = Consumer::new(&client, settings.clone()).unwrap();
        member.subscribe([topic.as_str()]).unwrap();
        members.push(member);
        let deadline = Instant::now() + PATIENCE;
        while members.iter().any(|member| member.assignment().len() != expected) {
            assert!(Instant::now() < deadline, "not balanced");
            poll_all(&mut members, &mut seen).await;
        }
    }
    // A cooperative group may still hand partitions on.
    for _ in 0..50 {
        poll_all(&mut members, &mut seen).await;
    }
    let shares: Vec<Vec<TopicPartition>> = members.iter().map(Consumer::assignment).collect();
    assert_eq!(shares.iter().flatten().collect::<BTreeSet<_>>().len(), 6);
    members.remove(0).close(PATIENCE).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while members.iter().any(|member| member.assignment().len() != 3) || seen.len() < 6_000 {
        assert!(Instant::now() < deadline, "{} records seen", seen.len());
        poll_all(&mut members, &mut seen).await;
    }
}

async fn poll_all(members: &mut [Consumer], seen: &mut HashSet<(i32, i64)>) {
    for member in members {
        for record in member.poll(Duration::from_millis(20)).await.unwrap() {
            assert!(seen.insert((record.partition, record.offset)), "read twice: {record:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_the_range_assignor_read_everything_once() {
    three_members_share_a_topic(vec![Assignor::Range]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_the_cooperative_assignor_read_everything_once() {
    three_members_share_a_topic(vec![Assignor::CooperativeSticky]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_the_sticky_assignor_read_everything_once() {
    three_members_share_a_topic(vec![Assignor::Sticky, Assignor::RoundRobin]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_comes_back_to_its_partitions() {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "static", 4).await;
    let group = unique("group");
    let settings = |name: &str| ConsumerConfig { group_instance_id: Some(name.to_owned()), ..config(Some(&group)) };
    let mut members = Vec::new();
    for name in ["a", "b"] {
        let mut member = Consumer::new(&client, settings(name)).unwrap();
        member.subscribe([topic.as_str()]).unwrap();
        members.push(member);
    }
    let settled = async {
        while members.iter().any(|member| member.assignment().len() != 2) {
            poll_all(&mut members, &mut HashSet::new()).await;
        }
    };
    timeout(PATIENCE, settled).await.unwrap();
    let (generation, before) = (members[0].membership().1, members[0].assignment());
    members.remove(0).close(PATIENCE).await.unwrap();
    let mut back = Consumer::new(&client, settings("a")).unwrap();
    back.subscribe([topic.as_str()]).unwrap();
    let assigned = async {
        while back.assignment().is_empty() {
            back.poll(Duration::from_millis(20)).await.unwrap();
        }
    };
    timeout(PATIENCE, assigned).await.unwrap();
    assert_eq!((back.assignment(), back.membership().1), (before, generation));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_records_are_read() {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "million", 1).await;
    produce(&client, &topic, 1_000_000, Compression::None).await;
    let settings = ConsumerConfig { max_poll_records: 5_000, ..config(None) };
    let mut consumer = Consumer::new(&client, settings).unwrap();
    consumer.assign(&[TopicPartition::new(topic.as_str(), 0)]).unwrap();
    let started = Instant::now();
    assert_eq!(read(&mut consumer, 1_000_000).await.len(), 1_000_000);
    println!("read in {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_waits_for_a_rebalance_can_leave_at_once() {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "leave", 1).await;
    let settings = config(Some(&unique("group")));
    let mut first = Consumer::new(&client, settings.clone()).unwrap();
    first.subscribe([topic.as_str()]).unwrap();
    while first.assignment().is_empty() {
        first.poll(Duration::from_millis(50)).await.unwrap();
    }
    let mut second = Consumer::new(&client, settings).unwrap();
    second.subscribe([topic.as_str()]).unwrap();
    // The first does not poll, so the group waits for it to rejoin.
    assert!(second.poll(Duration::from_millis(500)).await.unwrap().is_empty());
    let started = Instant::now();
    second.close(PATIENCE).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
    produce(&client, &topic, 10, Compression::None).await;
    assert_eq!(read(&mut first, 10).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_partitions_are_written_and_read() {
    let Some(client) = connect().await else { return };
    let topic = create_topic(&client, "many", 1_000).await;
    produce(&client, &topic, 50_000, Compression::None).await;
    let mut consumer = Consumer::new(&client, config(None)).unwrap();
    let partitions: Vec<TopicPartition> = (0..1_000).map(|index| TopicPartition::new(topic.as_str(), index)).collect();
    consumer.assign(&partitions).unwrap();
    let records = read(&mut consumer, 50_000).await;
    let distinct: HashSet<(i32, i64)> = records.iter().map(|record| (record.partition, record.offset)).collect();
    assert_eq!((records.len(), distinct.len()), (50_000, 50_000));
}
