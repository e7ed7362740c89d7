//! Several log directories: replicas spread over them and move between them; a failed one goes offline alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use protocol::ErrorCode;
use protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::{AlterReplicaLogDirsRequest, DescribeLogDirsRequest, MetadataRequest};
use support::{Broker, Client, LIMIT, batch, fresh_dir, wait_for};

/// The configuration of a broker with the directories `data` and `more`.
fn two_dirs(dir: &Path) -> Vec<(&'static str, String)> {
    let [data, more] = ["data", "more"].map(|name| dir.join(name).display().to_string());
    vec![
        ("log.dirs", format!("{data},{more}")),
        ("metadata.log.dir", data),
        ("log.flush.offset.checkpoint.interval.ms", "100".to_owned()),
        ("log.segment.delete.delay.ms", "0".to_owned()),
    ]
}

fn start(dir: &Path) -> Broker {
    let configs = two_dirs(dir);
    let configs: Vec<(&str, &str)> = configs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Broker::over(dir, &configs)
}

/// Path, error, and the topics of every directory; a copy that is being made ends in `*`.
fn dirs(client: &mut Client) -> Vec<(String, i16, Vec<String>)> {
    let response = client.call(&DescribeLogDirsRequest { topics: None, ..Default::default() }, 4);
    let mut found: Vec<_> = response
        .results
        .into_iter()
        .map(|dir| {
            let partitions = dir.topics.iter().flat_map(|topic| {
                topic
                    .partitions
                    .iter()
                    .map(|partition| format!("{}{}", topic.name, if partition.is_future_key { "*" } else { "" }))
            });
            let name = dir.log_dir.rsplit('/').next().unwrap().to_owned();
            (name, dir.error_code, partitions.collect())
        })
        .collect();
    found.sort();
    found
}

/// The directory that has a topic.
fn home(client: &mut Client, topic: &str) -> String {
    dirs(client).into_iter().find(|(_, _, topics)| topics.iter().any(|name| name == topic)).unwrap().0
}

fn alter(client: &mut Client, topic: &str, path: &Path) -> ErrorCode {
    let topic = AlterReplicaLogDirTopic { name: topic.to_owned(), partitions: vec![0], ..Default::default() };
    let path = path.display().to_string();
    let dirs = vec![AlterReplicaLogDir { path, topics: vec![topic], ..Default::default() }];
    let response = client.call(&AlterReplicaLogDirsRequest { dirs, ..Default::default() }, 2);
    ErrorCode::from_code(response.results[0].partitions[0].error_code)
}

/// Leader and offline replicas of a topic.
fn leader(client: &mut Client, topic: &str) -> (i32, Vec<i32>) {
    let asked = MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
    let response = client.call(&MetadataRequest { topics: Some(vec![asked]), ..Default::default() }, 9);
    let partition = &response.topics[0].partitions[0];
    (partition.leader_id, partition.offline_replicas.clone())
}

#[test]
fn replicas_spread_over_directories_and_move_between_them() {
    let dir = fresh_dir("two_log_dirs");
    let broker = start(&dir);
    let mut client = broker.connect();
    for topic in ["a", "b", "c", "d"] {
        client.create_topic(topic, &[("segment.bytes", "1048576")]);
    }
    assert!(dirs(&mut client).iter().all(|(_, error, topics)| *error == 0 && topics.len() == 2));
    let value = vec![7; 10_000];
    for _ in 0..300 {
        assert_eq!(client.produce("a", -1, batch(&[&value, b"end"])).0, ErrorCode::None);
    }
    let from = home(&mut client, "a");
    let to = if from == "data" { "more" } else { "data" };
    assert_eq!(alter(&mut client, "a", &dir.join("other")), ErrorCode::LogDirNotFound);
    assert_eq!(alter(&mut client, "new", &dir.join(&from)), ErrorCode::ReplicaNotAvailable);
    assert_eq!(alter(&mut client, "a", &dir.join(&from)), ErrorCode::None);
    assert_eq!(alter(&mut client, "a", &dir.join(to)), ErrorCode::None);
    let mut produced = 300;
    let moved = wait_for(LIMIT, || {
        assert_eq!(client.produce("a", -1, batch(&[&value, b"end"])).0, ErrorCode::None);
        produced += 1;
        home(&mut client, "a") == to
    });
    assert!(moved, "{:?}", dirs(&mut client));
    assert_eq!(client.read_all("a").len(), 2 * produced);
    assert!(wait_for(LIMIT, || !dir.join(&from).join("a-0").exists()));
    // It was wanted there before it existed.
    client.create_topic("new", &[]);
    assert_eq!(home(&mut client, "new"), from);
    broker.kill();
    let broker = start(&dir);
    let mut client = broker.connect();
    assert_eq!((home(&mut client, "a"), client.read_all("a").len()), (to.to_owned(), 2 * produced));
    assert_eq!(client.produce("a", -1, batch(&[b"more"])).1, 2 * produced as i64);
}

#[test]
fn a_failed_directory_goes_offline_alone_and_the_last_one_ends_the_broker() {
    let dir = fresh_dir("failed_log_dir");
    let broker = start(&dir);
    let mut client = broker.connect();
    let topics = ["a", "b", "c", "d"];
    topics.into_iter().for_each(|topic| client.create_topic(topic, &[]));
    let (lost, kept): (Vec<&str>, Vec<&str>) = topics.into_iter().partition(|topic| home(&mut client, topic) == "more");
    assert_eq!((lost.len(), kept.len()), (2, 2));
    let fail = |name: &str| {
        std::fs::remove_dir_all(dir.join(name)).unwrap();
        std::fs::write(dir.join(name), b"no directory").unwrap();
    };
    fail("more");
    let offline = wait_for(LIMIT, || dirs(&mut client)[1].1 == ErrorCode::KafkaStorageError.code());
    assert!(offline, "{:?}", broker.said());
    assert_eq!(dirs(&mut client)[0].1, 0);
    for topic in &lost {
        assert_eq!(client.produce(topic, -1, batch(&[b"x"])).0, ErrorCode::KafkaStorageError);
        assert_eq!(client.end_offset(topic), Err(ErrorCode::KafkaStorageError));
        assert!(wait_for(LIMIT, || leader(&mut client, topic) == (-1, vec![1])), "{:?}", leader(&mut client, topic));
    }
    for topic in &kept {
        broker.assert_serves(topic);
        assert_eq!(leader(&mut client, topic), (1, vec![]));
    }
    client.create_topic("later", &[]);
    assert_eq!(home(&mut client, "later"), "data");
    assert_eq!(alter(&mut client, "later", &dir.join("more")), ErrorCode::KafkaStorageError);
    broker.kill();
    // It starts without the directory, too.
    let mut broker = start(&dir);
    let mut client = broker.connect();
    kept.iter().for_each(|topic| broker.assert_serves(topic));
    assert_eq!(dirs(&mut client)[1].1, ErrorCode::KafkaStorageError.code());
    assert_eq!(leader(&mut client, lost[0]), (-1, vec![1]));
    fail("data");
    assert!(!broker.ended().success());
    assert!(broker.said().contains("log dir"), "{}", broker.said());
}
