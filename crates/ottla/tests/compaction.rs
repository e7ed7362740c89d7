//! The cleaner of a running broker: compacted topics and `__consumer_offsets` shrink, what is latest stays, and readers
//! read on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::{FindCoordinatorRequest, OffsetCommitRequest};
use protocol::record::{BatchBuilder, BatchSettings};
use support::{Broker, Client, LIMIT, wait_for};

const QUICK: [(&str, &str); 5] = [
    ("log.cleaner.backoff.ms", "50"),
    ("log.cleaner.min.cleanable.ratio", "0.01"),
    ("log.segment.delete.delay.ms", "0"),
    ("offsets.topic.num.partitions", "1"),
    ("offsets.topic.segment.bytes", "1048576"),
];

fn keyed(records: &[(String, Option<String>)], timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(BatchSettings::default());
    for (key, value) in records {
        builder.append(timestamp, Some(key.as_bytes()), value.as_ref().map(String::as_bytes), &[]);
    }
    builder.build()
}

fn records(client: &mut Client, topic: &str) -> Vec<(i64, String, Option<String>)> {
    let end = client.end_offset(topic).unwrap();
    let (mut offset, mut found) = (0, Vec::new());
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    while offset < end {
        let (batches, next) = client.fetch(topic, offset);
        assert!(next > offset);
        for record in batches.iter().flat_map(|batch| batch.records().unwrap().map(Result::unwrap)) {
            found.push((record.offset, text(record.key.unwrap()), record.value.map(text)));
        }
        offset = next;
    }
    found
}

/// Bytes of a partition's log files.
fn log_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let logs = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"));
    logs.map(|entry| entry.metadata().map_or(0, |metadata| metadata.len())).sum()
}

#[test]
fn a_compacted_topic_keeps_the_latest_of_every_key_through_restarts() {
    let mut broker = Broker::fresh("compacted_topic", &QUICK);
    let mut client = broker.connect();
    let configs = [("cleanup.policy", "compact"), ("segment.bytes", "1048576"), ("segment.ms", "500")];
    client.create_topic("t", &configs);
    let mut model = BTreeMap::new();
    for round in 0..2000i64 {
        let batch: Vec<_> = (0..20)
            .map(|at| {
                let key = format!("key-{}", (round * 37 + at * 11) % 500);
                (key, (at != 7).then(|| format!("{round}-{at}-{}", "v".repeat(60))))
            })
            .collect();
        let (error, base) = client.produce("t", -1, keyed(&batch, round));
        assert_eq!(error, ErrorCode::None);
        for (at, (key, value)) in (base..).zip(batch) {
            model.insert(key, (at, value));
        }
    }
    let latest: Vec<_> = model.iter().map(|(key, (at, value))| (*at, key.clone(), value.clone())).collect();
    let mut time = 10_000;
    let compacted = wait_for(LIMIT, || {
        // What is in the active segment cannot be compacted: a later record seals it.
        time += 1000;
        let (_, base) = client.produce("t", -1, keyed(&[("seal".to_owned(), Some("x".to_owned()))], time));
        let found = records(&mut client, "t");
        latest.iter().all(|record| found.contains(record)) && found.len() < 1000 && base > 0
    });
    assert!(compacted, "{}", broker.said());
    assert!(broker.terminate().0.success());
    let checkpoint = std::fs::read_to_string(broker.dir.join("data/cleaner-offset-checkpoint")).unwrap();
    assert!(checkpoint.starts_with("0\n1\nt 0 "), "{checkpoint}");
    let dir = broker.dir.clone();
    drop(broker);
    let broker = Broker::over(&dir, &QUICK);
    let found = records(&mut broker.connect(), "t");
    assert!(latest.iter().all(|record| found.contains(record)) && found.len() < 1000);
    broker.kill();
    let broker = Broker::over(&dir, &QUICK);
    let found = records(&mut broker.connect(), "t");
    assert!(latest.iter().all(|record| found.contains(record)) && found.len() < 1000);
}

#[test]
fn committed_offsets_shrink_to_the_last_commits() {
    let broker = Broker::fresh("compacted_offsets", &QUICK);
    let mut client = broker.connect();
    let found = wait_for(LIMIT, || {
        let request = FindCoordinatorRequest { coordinator_keys: vec!["g".to_owned()], ..Default::default() };
        client.call(&request, 4).coordinators[0].error_code == 0
    });
    assert!(found);
    let dir = broker.dir.join("data/__consumer_offsets-0");
    let commit = |client: &mut Client, offset: i64| {
        let partitions = vec![OffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: offset,
            committed_metadata: Some("m".repeat(4000)),
            ..Default::default()
        }];
        let topics = vec![OffsetCommitRequestTopic { name: "t".to_owned(), partitions, ..Default::default() }];
        let request = OffsetCommitRequest {
            group_id: "g".to_owned(),
            generation_id_or_member_epoch: -1,
            topics,
            ..Default::default()
        };
        let response = client.call(&request, 8);
        response.topics[0].partitions.iter().all(|partition| partition.error_code == 0)
    };
    client.create_topic("t", &[]);
    assert!(wait_for(LIMIT, || commit(&mut client, 0)));
    for offset in 1..1500 {
        assert!(commit(&mut client, offset));
    }
    assert_eq!(client.end_offset("__consumer_offsets").unwrap(), 1500);
    let shrunk = wait_for(LIMIT, || log_bytes(&dir) < 1_500_000);
    assert!(shrunk, "{} bytes: {}", log_bytes(&dir), broker.said());
}
