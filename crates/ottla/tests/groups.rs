//! Groups over the wire: every version of every group API, and what a group still knows after its broker was killed.
//! With `OTTLA_GROUPS_BROKER=host:port` the versions are asked of that broker, which may be Apache Kafka: it must say the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest,
};
use protocol::{ApiKey, ErrorCode, Uuid};
use support::{Broker, Client, LIMIT, wait_for};

const QUICK: [(&str, &str); 1] = [("group.initial.rebalance.delay.ms", "0")];

/// A broker of this test, or the one that the environment names.
enum Target {
    Own(Broker),
    Named(String),
}

impl Target {
    fn new(name: &str) -> Self {
        match std::env::var("OTTLA_GROUPS_BROKER") {
            Ok(address) => Self::Named(address),
            Err(_) => Self::Own(Broker::fresh(name, &QUICK)),
        }
    }

    fn client(&self) -> Client {
        let mut client = Client::connect(match self {
            Self::Own(broker) => &broker.address,
            Self::Named(address) => address,
        });
        assert!(wait_for(LIMIT, || find(&mut client, "any") == ErrorCode::None), "there is no coordinator");
        client
    }

    /// A name that no earlier run of the test used.
    fn unique(&self, name: &str) -> String {
        match self {
            Self::Own(_) => name.to_owned(),
            Self::Named(_) => format!("{name}-{}", std::process::id()),
        }
    }
}

fn find(client: &mut Client, group: &str) -> ErrorCode {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    ErrorCode::from_code(client.call(&request, 6).coordinators[0].error_code)
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code)
}

/// Joins until the group has a generation, coming back with the id that is given.
fn join(client: &mut Client, group: &str, version: i16) -> JoinGroupResponse {
    let protocol =
        JoinGroupRequestProtocol { name: "own".to_owned(), metadata: Bytes::from_static(b"m"), ..Default::default() };
    let mut request = JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "test".to_owned(),
        protocols: vec![protocol],
        ..Default::default()
    };
    loop {
        let response = client.call(&request, version);
        match code(response.error_code) {
            ErrorCode::MemberIdRequired => request.member_id = response.member_id,
            ErrorCode::None => return response,
            // A coordinator that was only just found may not serve yet.
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress => std::thread::yield_now(),
            error => panic!("JoinGroup version {version}: {error}"),
        }
    }
}

fn sync(client: &mut Client, group: &str, joined: &JoinGroupResponse, version: i16) {
    let given = SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from_static(b"all"),
        ..Default::default()
    };
    let names = version >= 5;
    let request = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: names.then(|| "test".to_owned()),
        protocol_name: names.then(|| "own".to_owned()),
        assignments: vec![given],
        ..Default::default()
    };
    let response = client.call(&request, version);
    assert_eq!((code(response.error_code), &response.assignment[..]), (ErrorCode::None, &b"all"[..]));
    if names {
        assert_eq!((response.protocol_type.as_deref(), response.protocol_name.as_deref()), (Some("test"), Some("own")));
    }
}

fn leave(client: &mut Client, group: &str, member_id: &str, version: i16) {
    let mut request = LeaveGroupRequest { group_id: group.to_owned(), ..Default::default() };
    if version >= 3 {
        request.members = vec![MemberIdentity { member_id: member_id.to_owned(), ..Default::default() }];
    } else {
        request.member_id = member_id.to_owned();
    }
    let response = client.call(&request, version);
    assert_eq!(code(response.error_code), ErrorCode::None, "LeaveGroup version {version}");
    let members = usize::from(version >= 3);
    assert_eq!(response.members.len(), members);
    assert!(response.members.iter().all(|member| member.error_code == 0));
}

fn topic_id(client: &mut Client, topic: &str) -> Uuid {
    let response = client.call(&MetadataRequest { topics: None, ..Default::default() }, 12);
    response.topics.iter().find(|found| found.name.as_deref() == Some(topic)).unwrap().topic_id
}

/// Who commits: nobody's member id and generation for a consumer without a group.
struct Committer<'a> {
    group: &'a str,
    member_id: &'a str,
    generation: i32,
}

fn commit(client: &mut Client, who: &Committer<'_>, (topic, id): (&str, Uuid), offset: i64, version: i16) -> ErrorCode {
    let partition = OffsetCommitRequestPartition {
        committed_offset: offset,
        committed_metadata: Some("note".to_owned()),
        ..Default::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: if version < 10 { topic.to_owned() } else { String::new() },
        topic_id: if version < 10 { Uuid::ZERO } else { id },
        partitions: vec![partition],
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: who.group.to_owned(),
        generation_id_or_member_epoch: who.generation,
        member_id: who.member_id.to_owned(),
        topics: vec![topic],
        ..Default::default()
    };
    let response = client.call(&request, version);
    assert_eq!((response.topics.len(), response.topics[0].topic_id), (1, if version < 10 { Uuid::ZERO } else { id }));
    code(response.topics[0].partitions[0].error_code)
}

fn fetch(client: &mut Client, group: &str, (topic, id): (&str, Uuid), version: i16) -> OffsetFetchResponse {
    let mut request = OffsetFetchRequest::default();
    if version < 8 {
        request.group_id = group.to_owned();
        let asked =
            OffsetFetchRequestTopic { name: topic.to_owned(), partition_indexes: vec![0], ..Default::default() };
        request.topics = Some(vec![asked]);
    } else {
        let asked = OffsetFetchRequestTopics {
            name: if version < 10 { topic.to_owned() } else { String::new() },
            topic_id: if version < 10 { Uuid::ZERO } else { id },
            partition_indexes: vec![0],
            ..Default::default()
        };
        let group =
            OffsetFetchRequestGroup { group_id: group.to_owned(), topics: Some(vec![asked]), ..Default::default() };
        request.groups = vec![group];
        request.require_stable = true;
    }
    client.call(&request, version)
}

fn fetched_offset(response: &OffsetFetchResponse, version: i16) -> (i64, Option<String>) {
    if version < 8 {
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error_code, response.error_code), (0, 0));
        (partition.committed_offset, partition.metadata.clone())
    } else {
        let partition = &response.groups[0].topics[0].partitions[0];
        assert_eq!((partition.error_code, response.groups[0].error_code), (0, 0));
        (partition.committed_offset, partition.metadata.clone())
    }
}

fn versions(api: ApiKey) -> std::ops::RangeInclusive<i16> {
    api.versions()
}

#[test]
fn members_come_and_go_in_every_version() {
    let target = Target::new("groups_members");
    let mut client = target.client();
    for version in versions(ApiKey::JoinGroup) {
        let group = target.unique(&format!("joined-{version}"));
        let joined = join(&mut client, &group, version);
        assert_eq!((joined.generation_id, joined.protocol_name.as_deref()), (1, Some("own")));
        assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 1));
        sync(&mut client, &group, &joined, version.min(*versions(ApiKey::SyncGroup).end()));
        let beat = HeartbeatRequest {
            group_id: group.clone(),
            generation_id: 1,
            member_id: joined.member_id.clone(),
            ..Default::default()
        };
        let response = client.call(&beat, version.min(*versions(ApiKey::Heartbeat).end()));
        assert_eq!(code(response.error_code), ErrorCode::None);
        for version in versions(ApiKey::DescribeGroups) {
            let request = DescribeGroupsRequest {
                groups: vec![group.clone(), "missing".to_owned()],
                include_authorized_operations: version >= 3,
                ..Default::default()
            };
            let response = client.call(&request, version);
            let described = &response.groups.iter().find(|described| described.group_id == group).unwrap();
            assert_eq!((described.group_state.as_str(), described.protocol_data.as_str()), ("Stable", "own"));
            assert_eq!(&described.members[0].member_assignment[..], b"all");
            assert_eq!(described.authorized_operations, if version >= 3 { 3400 } else { i32::MIN });
            let missing = response.groups.iter().find(|described| described.group_id == "missing").unwrap();
            let expected = if version >= 6 { ErrorCode::GroupIdNotFound } else { ErrorCode::None };
            assert_eq!((code(missing.error_code), missing.group_state.as_str()), (expected, "Dead"));
        }
        leave(&mut client, &group, &joined.member_id, version.min(*versions(ApiKey::LeaveGroup).end()));
    }
    for version in versions(ApiKey::ListGroups) {
        let listed = client.call(&ListGroupsRequest::default(), version);
        assert_eq!(code(listed.error_code), ErrorCode::None);
        let group = target.unique("joined-0");
        let found = listed.groups.iter().find(|listed| listed.group_id == group).unwrap();
        assert_eq!(found.protocol_type, "test");
        assert_eq!(found.group_state, if version >= 4 { "Empty" } else { "" });
        assert_eq!(found.group_type, if version >= 5 { "classic" } else { "" });
    }
    for version in versions(ApiKey::DeleteGroups) {
        let group = target.unique(&format!("joined-{version}"));
        let request = DeleteGroupsRequest { groups_names: vec![group, "missing".to_owned()], ..Default::default() };
        let mut codes: Vec<_> =
            client.call(&request, version).results.iter().map(|result| code(result.error_code)).collect();
        codes.sort_by_key(|code| code.code());
        assert_eq!(codes, [ErrorCode::None, ErrorCode::GroupIdNotFound]);
    }
}

#[test]
fn offsets_are_committed_and_fetched_in_every_version() {
    let target = Target::new("groups_offsets");
    let mut client = target.client();
    let topic = target.unique("offsets");
    client.create_topic(&topic, &[]);
    let topic = (topic.as_str(), topic_id(&mut client, &topic));
    for version in versions(ApiKey::OffsetCommit) {
        let group = target.unique(&format!("committed-{version}"));
        let who = Committer { group: &group, member_id: "", generation: -1 };
        assert_eq!(commit(&mut client, &who, topic, i64::from(version), version), ErrorCode::None);
        let unknown = Committer { group: "missing", member_id: "m", generation: 1 };
        let expected = if version >= 9 { ErrorCode::GroupIdNotFound } else { ErrorCode::IllegalGeneration };
        assert_eq!(commit(&mut client, &unknown, topic, 1, version), expected);
        let nowhere = ("missing", Uuid::METADATA_TOPIC_ID);
        let expected = if version >= 10 { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        assert_eq!(commit(&mut client, &who, nowhere, 1, version), expected);
        for fetch_version in versions(ApiKey::OffsetFetch) {
            let response = fetch(&mut client, &group, topic, fetch_version);
            assert_eq!(fetched_offset(&response, fetch_version), (i64::from(version), Some("note".to_owned())));
        }
    }
    for version in versions(ApiKey::OffsetFetch) {
        let response = fetch(&mut client, "nobody", topic, version);
        assert_eq!(fetched_offset(&response, version), (-1, Some(String::new())));
    }
    let partition = OffsetDeleteRequestPartition { partition_index: 0 };
    let named = |name: &str| OffsetDeleteRequestTopic { name: name.to_owned(), partitions: vec![partition.clone()] };
    let group = target.unique("committed-2");
    let request = OffsetDeleteRequest { group_id: group.clone(), topics: vec![named(topic.0), named("missing")] };
    let response = client.call(&request, 0);
    assert_eq!(code(response.error_code), ErrorCode::None);
    let of = |name: &str| response.topics.iter().find(|topic| topic.name == name).unwrap().partitions[0].error_code;
    assert_eq!((code(of(topic.0)), code(of("missing"))), (ErrorCode::None, ErrorCode::UnknownTopicOrPartition));
    assert_eq!(fetched_offset(&fetch(&mut client, &group, topic, 9), 9).0, -1);
}

#[test]
fn coordinators_are_found_in_every_version() {
    let target = Target::new("groups_find");
    let mut client = target.client();
    for version in versions(ApiKey::FindCoordinator) {
        let mut request = FindCoordinatorRequest::default();
        if version >= 4 {
            request.coordinator_keys = vec!["a".to_owned(), "b".to_owned()];
        } else {
            request.key = "a".to_owned();
        }
        let response = client.call(&request, version);
        assert_eq!(code(response.error_code), ErrorCode::None);
        assert_eq!(response.coordinators.len(), if version >= 4 { 2 } else { 0 });
        assert!(response.coordinators.iter().all(|found| found.node_id == 1 && found.error_code == 0));
        if version < 4 {
            assert_eq!((response.node_id, response.port > 0), (1, true));
            assert_eq!(response.error_message.as_deref(), Some(if version >= 1 { "NONE" } else { "" }));
        }
    }
}

#[test]
fn a_group_survives_the_death_of_its_broker() {
    let synced = [QUICK[0], ("log.flush.interval.messages", "1")];
    let mut broker = Broker::fresh("groups_killed", &synced);
    let mut client = Target::Named(broker.address.clone()).client();
    client.create_topic("t", &[]);
    let topic = ("t", topic_id(&mut client, "t"));
    let joined = join(&mut client, "g", 9);
    sync(&mut client, "g", &joined, 5);
    for round in 0..5 {
        let who = Committer { group: "g", member_id: &joined.member_id, generation: 1 };
        assert_eq!(commit(&mut client, &who, topic, round, 10), ErrorCode::None, "{}", broker.said());
        let simple = Committer { group: "simple", member_id: "", generation: -1 };
        assert_eq!(commit(&mut client, &simple, topic, 100 + round, 9), ErrorCode::None);
        let dir = broker.dir.clone();
        broker.kill();
        broker = Broker::over(&dir, &synced);
        client = Target::Named(broker.address.clone()).client();
        let beat = HeartbeatRequest {
            group_id: "g".to_owned(),
            generation_id: 1,
            member_id: joined.member_id.clone(),
            ..Default::default()
        };
        assert_eq!(code(client.call(&beat, 4).error_code), ErrorCode::None, "the member is still in the group");
        let loaded = |client: &mut Client| fetch(client, "g", topic, 10).groups[0].error_code == 0;
        assert!(wait_for(LIMIT, || loaded(&mut client)));
        assert_eq!(fetched_offset(&fetch(&mut client, "g", topic, 10), 10).0, round);
        assert_eq!(fetched_offset(&fetch(&mut client, "simple", topic, 9), 9).0, 100 + round);
    }
    drop(broker);
}

/// Apache Kafka over the folder of a broker that has ended.
struct ApacheKafka(std::process::Child);

impl ApacheKafka {
    /// `None` if `cargo xtask apache-kafka fetch` has not brought it.
    fn over(dir: &Path, address: &str) -> Option<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
        let libs = target.join("apache-kafka/libs");
        if !libs.exists() {
            assert!(std::env::var("CI").is_err(), "`cargo xtask apache-kafka fetch` has to come first");
            return None;
        }
        let port = address.rsplit(':').next().unwrap();
        let child = Command::new("java")
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &format!("{}/*", libs.display())])
            .arg("kafka.Kafka")
            .arg(dir.join(format!("server-{port}.properties")))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self(child))
    }

    fn stop(mut self) {
        let status = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status().unwrap();
        assert!(status.success());
        self.0.wait().unwrap();
    }
}

impl Drop for ApacheKafka {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What an administrator sees of the groups.
fn picture(client: &mut Client, groups: &[&str], topic: (&str, Uuid)) -> String {
    use std::fmt::Write;

    let mut text = String::new();
    let ids = groups.iter().map(|group| (*group).to_owned()).collect();
    let mut described = client.call(&DescribeGroupsRequest { groups: ids, ..Default::default() }, 5).groups;
    described.sort_by(|one, other| one.group_id.cmp(&other.group_id));
    for group in described {
        writeln!(text, "{group:?}").unwrap();
    }
    for group in groups {
        // While a coordinator loads, it answers with an error and no topics.
        writeln!(text, "{group} {:?}", fetch(client, group, topic, 9).groups).unwrap();
    }
    text
}

#[test]
fn apache_kafka_goes_on_with_our_groups_and_we_with_its() {
    let groups = ["member", "left", "simple"];
    let mut broker = Broker::fresh("groups_apache_kafka", &QUICK);
    let mut client = Target::Named(broker.address.clone()).client();
    client.create_topic("t", &[]);
    let topic = ("t", topic_id(&mut client, "t"));
    let committed = |client: &mut Client, group: &str, offset| {
        let who = Committer { group, member_id: "", generation: -1 };
        assert_eq!(commit(client, &who, topic, offset, 9), ErrorCode::None);
    };
    for group in ["member", "left"] {
        let joined = join(&mut client, group, 9);
        sync(&mut client, group, &joined, 5);
        let who = Committer { group, member_id: &joined.member_id, generation: 1 };
        assert_eq!(commit(&mut client, &who, topic, 5, 9), ErrorCode::None);
        if group == "left" {
            leave(&mut client, group, &joined.member_id, 5);
        }
    }
    committed(&mut client, "simple", 7);
    let ours = picture(&mut client, &groups, topic);
    broker.terminate();
    let Some(kafka) = ApacheKafka::over(&broker.dir, &broker.address) else {
        eprintln!("skipped: no jars of Apache Kafka in target/apache-kafka/libs");
        return;
    };
    assert!(wait_for(LIMIT, || std::net::TcpStream::connect(&broker.address).is_ok()));
    let mut client = Target::Named(broker.address.clone()).client();
    assert!(
        wait_for(LIMIT, || picture(&mut client, &groups, topic) == ours),
        "{}",
        picture(&mut client, &groups, topic)
    );
    committed(&mut client, "simple", 8);
    committed(&mut client, "left", 9);
    let theirs = picture(&mut client, &groups, topic);
    kafka.stop();
    let broker = Broker::over(&broker.dir, &QUICK);
    let mut client = Target::Named(broker.address.clone()).client();
    assert!(
        wait_for(LIMIT, || picture(&mut client, &groups, topic) == theirs),
        "{}",
        picture(&mut client, &groups, topic)
    );
}
