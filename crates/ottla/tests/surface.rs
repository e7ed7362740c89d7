//! The rest of what a single node answers: quotas, credentials, reassignments, voters, and what needs security that is not on.

#![allow(clippy::disallowed_methods, reason = "a real process is watched in real time")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use protocol::messages::alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
use protocol::messages::create_acls_request::AclCreation;
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::describe_client_quotas_request::ComponentData;
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{
    AddRaftVoterRequest, AlterClientQuotasRequest, AlterPartitionReassignmentsRequest,
    AlterUserScramCredentialsRequest, CreateAclsRequest, CreateDelegationTokenRequest, CreateTopicsRequest,
    DescribeAclsRequest, DescribeClientQuotasRequest, DescribeDelegationTokenRequest,
    DescribeUserScramCredentialsRequest, GetTelemetrySubscriptionsRequest, IncrementalAlterConfigsRequest,
    ListOffsetsRequest, PushTelemetryRequest, RemoveRaftVoterRequest, SaslHandshakeRequest, UnregisterBrokerRequest,
};
use protocol::{ErrorCode, Uuid};

use support::{Broker, Client, FETCH_VERSION, LIMIT, batch, fetch_request, wait_for};

/// Sets or removes a quota of the clients of an entity, such as `client-id` or `ip`.
fn alter_quota(client: &mut Client, entity: &str, name: Option<&str>, key: &str, value: Option<f64>) -> ErrorCode {
    let part =
        EntityData { entity_type: entity.to_owned(), entity_name: name.map(str::to_owned), ..Default::default() };
    let op = OpData { key: key.to_owned(), value: value.unwrap_or(0.0), remove: value.is_none(), ..Default::default() };
    let entry = EntryData { entity: vec![part], ops: vec![op], ..Default::default() };
    let response = client.call(&AlterClientQuotasRequest { entries: vec![entry], ..Default::default() }, 1);
    ErrorCode::from_code(response.entries[0].error_code)
}

fn described(client: &mut Client) -> Vec<(String, Option<String>, String, f64)> {
    let component =
        ComponentData { entity_type: "client-id".to_owned(), match_type: 2, match_: None, ..Default::default() };
    let request = DescribeClientQuotasRequest { components: vec![component], strict: true, ..Default::default() };
    let response = client.call(&request, 1);
    let entries = response.entries.unwrap();
    let entries = entries.iter().map(|entry| {
        let (part, value) = (&entry.entity[0], &entry.values[0]);
        (part.entity_type.clone(), part.entity_name.clone(), value.key.clone(), value.value)
    });
    entries.collect()
}

#[test]
fn quotas_are_described_and_survive_a_restart() {
    let mut broker = Broker::fresh("quotas_described", &[]);
    let mut client = broker.connect();
    assert_eq!(alter_quota(&mut client, "client-id", Some("x"), "producer_byte_rate", Some(7.0)), ErrorCode::None);
    assert_eq!(alter_quota(&mut client, "client-id", None, "request_percentage", Some(0.5)), ErrorCode::None);
    assert_eq!(alter_quota(&mut client, "client-id", None, "nope", Some(1.0)), ErrorCode::InvalidRequest);
    let expected = [
        ("client-id".to_owned(), None, "request_percentage".to_owned(), 0.5),
        ("client-id".to_owned(), Some("x".to_owned()), "producer_byte_rate".to_owned(), 7.0),
    ];
    assert_eq!(described(&mut client), expected);
    drop(client);
    broker.terminate();
    let dir = broker.dir.clone();
    let broker = Broker::over(&dir, &[]);
    assert_eq!(described(&mut broker.connect()), expected);
}

#[test]
fn a_producer_over_its_quota_is_told_and_not_read_for_a_while() {
    let broker = Broker::fresh("quota_produce", &[("quota.window.num", "2")]);
    let mut client = broker.connect();
    client.create_topic("t", &[]);
    assert_eq!(
        alter_quota(&mut client, "client-id", Some("test"), "producer_byte_rate", Some(1000.0)),
        ErrorCode::None
    );
    let start = Instant::now();
    assert_eq!(client.produce("t", 1, batch(&[&[0; 2000]])).0, ErrorCode::None);
    // The response came at once; the next request of this connection waits, another connection does not.
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    let mut other = broker.connect();
    assert!(other.end_offset("t").is_ok());
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    assert!(client.end_offset("t").is_ok());
    assert!(start.elapsed() >= Duration::from_millis(1000), "{:?}", start.elapsed());
}

#[test]
fn a_consumer_over_its_quota_gets_nothing_and_is_told_for_how_long() {
    let broker = Broker::fresh("quota_fetch", &[("quota.window.num", "2")]);
    let mut client = broker.connect();
    client.create_topic("t", &[]);
    for _ in 0..4 {
        assert_eq!(client.produce("t", 1, batch(&[&[0; 2000]])).0, ErrorCode::None);
    }
    assert_eq!(alter_quota(&mut client, "client-id", None, "consumer_byte_rate", Some(1500.0)), ErrorCode::None);
    let mut throttled = false;
    let mut read = 0;
    let all_read = wait_for(LIMIT, || {
        let response = client.call(&fetch_request("t", read, 1 << 20), FETCH_VERSION);
        throttled |= response.throttle_time_ms > 0;
        if response.throttle_time_ms > 0 {
            assert!(response.responses.is_empty(), "a throttled client gets nothing");
        } else {
            read += 1;
        }
        read == 4
    });
    assert!(all_read && throttled);
}

#[test]
fn a_client_that_takes_too_much_time_is_throttled() {
    let broker = Broker::fresh("quota_request", &[("quota.window.num", "2")]);
    let mut client = broker.connect();
    let percentage = "request_percentage";
    assert_eq!(alter_quota(&mut client, "client-id", Some("test"), percentage, Some(0.000_001)), ErrorCode::None);
    let mut throttle_ms = 0;
    let told = wait_for(LIMIT, || {
        throttle_ms = client.call(&ListOffsetsRequest { replica_id: -1, ..Default::default() }, 9).throttle_time_ms;
        throttle_ms > 0
    });
    assert!(told && throttle_ms <= 1000, "{throttle_ms}");
    assert_eq!(alter_quota(&mut client, "client-id", Some("test"), percentage, None), ErrorCode::None);
    assert_eq!(client.call(&ListOffsetsRequest { replica_id: -1, ..Default::default() }, 9).throttle_time_ms, 0);
}

#[test]
fn topics_beyond_the_quota_are_refused_or_only_slowed_by_version() {
    let settings = [("controller.quota.window.num", "2"), ("controller.quota.window.size.seconds", "1")];
    let broker = Broker::fresh("quota_mutation", &settings);
    let mut client = broker.connect();
    let rate = "controller_mutation_rate";
    assert_eq!(alter_quota(&mut client, "client-id", Some("test"), rate, Some(1.0)), ErrorCode::None);
    let mut create = |name: &str, version: i16| {
        let topic =
            CreatableTopic { name: name.to_owned(), num_partitions: 4, replication_factor: 1, ..Default::default() };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
        let response = client.call(&request, version);
        (ErrorCode::from_code(response.topics[0].error_code), response.throttle_time_ms > 0)
    };
    // Two seconds' worth may be taken at once, and the bucket goes below zero; then it must come back.
    assert_eq!(create("a", 6), (ErrorCode::None, false));
    assert_eq!(create("b", 6), (ErrorCode::ThrottlingQuotaExceeded, true));
    assert_eq!(create("c", 5), (ErrorCode::None, true));
}

#[test]
fn connections_that_come_too_fast_from_an_address_are_closed() {
    let broker = Broker::fresh("quota_connections", &[("quota.window.num", "2")]);
    let mut client = broker.connect();
    let rate = "connection_creation_rate";
    assert_eq!(alter_quota(&mut client, "ip", Some("not an address"), rate, Some(1.0)), ErrorCode::InvalidRequest);
    assert_eq!(alter_quota(&mut client, "ip", Some("127.0.0.1"), rate, Some(2.0)), ErrorCode::None);
    let mut clients: Vec<Client> = (0..6).map(|_| broker.connect()).collect();
    let request = ListOffsetsRequest { replica_id: -1, ..Default::default() };
    let served = clients.iter_mut().map(|client| client.try_call(&request, 9).is_ok()).filter(|served| *served).count();
    assert_eq!(served, 2);
    assert_eq!(alter_quota(&mut client, "ip", Some("127.0.0.1"), rate, None), ErrorCode::None);
    assert!(broker.connect().try_call(&request, 9).is_ok());
}

#[test]
fn telemetry_is_offered_where_a_reporter_is_named_and_pushed_by_its_rules() {
    let without = Broker::fresh("no_telemetry", &[]);
    assert!(without.connect().try_call(&GetTelemetrySubscriptionsRequest::default(), 0).is_err());
    let broker = Broker::fresh("telemetry", &[("metric.reporters", "com.example.Reporter")]);
    let mut client = broker.connect();
    let config = |name: &str, value: &str| AlterableConfig {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..Default::default()
    };
    let resource = AlterConfigsResource {
        resource_type: 16,
        resource_name: "all".to_owned(),
        configs: vec![config("metrics", "org.apache.kafka."), config("interval.ms", "3600000")],
        ..Default::default()
    };
    let altered = client.call(&IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() }, 1);
    assert_eq!(altered.responses[0].error_code, 0);
    let asked = client.call(&GetTelemetrySubscriptionsRequest::default(), 0);
    assert_eq!((asked.error_code, asked.push_interval_ms), (0, 300_000));
    assert_eq!(asked.requested_metrics, ["org.apache.kafka."]);
    let push =
        |subscription_id: i32, compression_type: i8, terminating: bool, metrics: &'static [u8]| PushTelemetryRequest {
            client_instance_id: asked.client_instance_id,
            subscription_id,
            compression_type,
            terminating,
            metrics: Bytes::from_static(metrics),
            ..Default::default()
        };
    let mut pushed = |request: PushTelemetryRequest| ErrorCode::from_code(client.call(&request, 0).error_code);
    let id = asked.subscription_id;
    assert_eq!(pushed(push(id, 0, false, b"")), ErrorCode::None);
    assert_eq!(pushed(push(id, 0, false, b"")), ErrorCode::ThrottlingQuotaExceeded);
    assert_eq!(pushed(push(id, 4, true, b"not zstd")), ErrorCode::InvalidRecord);
    assert_eq!(pushed(push(id, 0, true, b"")), ErrorCode::InvalidRequest);
}

#[test]
fn credentials_are_kept_without_the_password_and_survive_a_restart() {
    let mut broker = Broker::fresh("scram", &[]);
    let mut client = broker.connect();
    let upsertion = |name: &str, mechanism: i8, iterations: i32| ScramCredentialUpsertion {
        name: name.to_owned(),
        mechanism,
        iterations,
        salt: Bytes::from_static(b"salt"),
        salted_password: Bytes::from_static(b"salted"),
        ..Default::default()
    };
    let upsertions =
        vec![upsertion("a", 1, 4096), upsertion("b", 2, 4095), upsertion("c", 9, 8192), upsertion("", 1, 8192)];
    let deletions = vec![ScramCredentialDeletion { name: "d".to_owned(), mechanism: 1, ..Default::default() }];
    let response = client.call(&AlterUserScramCredentialsRequest { deletions, upsertions, ..Default::default() }, 0);
    let results: Vec<_> =
        response.results.iter().map(|it| (it.user.as_str(), ErrorCode::from_code(it.error_code))).collect();
    let expected = [
        ("", ErrorCode::UnacceptableCredential),
        ("a", ErrorCode::None),
        ("b", ErrorCode::UnacceptableCredential),
        ("c", ErrorCode::UnsupportedSaslMechanism),
        ("d", ErrorCode::ResourceNotFound),
    ];
    assert_eq!(results, expected);
    drop(client);
    broker.terminate();
    let broker = Broker::over(&broker.dir.clone(), &[]);
    let all = broker.connect().call(&DescribeUserScramCredentialsRequest::default(), 0);
    let told: Vec<_> = all.results.iter().map(|it| (it.user.as_str(), it.credential_infos[0].iterations)).collect();
    assert_eq!(told, [("a", 4096)]);
}

#[test]
fn without_security_its_requests_get_kafkas_refusals() {
    let broker = Broker::fresh("no_security", &[]);
    let mut client = broker.connect();
    let acls = client.call(&DescribeAclsRequest::default(), 3);
    assert_eq!(ErrorCode::from_code(acls.error_code), ErrorCode::SecurityDisabled);
    assert_eq!(acls.error_message.as_deref(), Some("No Authorizer is configured on the broker"));
    let created =
        client.call(&CreateAclsRequest { creations: vec![AclCreation::default(); 2], ..Default::default() }, 3);
    let codes: Vec<_> = created.results.iter().map(|result| ErrorCode::from_code(result.error_code)).collect();
    assert_eq!(codes, [ErrorCode::SecurityDisabled; 2]);
    let not_allowed = ErrorCode::DelegationTokenRequestNotAllowed.code();
    let token = client.call(&CreateDelegationTokenRequest::default(), 3);
    assert_eq!((token.error_code, token.principal_name.as_str()), (not_allowed, "ANONYMOUS"));
    assert_eq!(client.call(&DescribeDelegationTokenRequest::default(), 3).error_code, not_allowed);
    let handshake = client.call(&SaslHandshakeRequest { mechanism: "PLAIN".to_owned() }, 1);
    assert_eq!(ErrorCode::from_code(handshake.error_code), ErrorCode::IllegalSaslState);
}

#[test]
fn one_node_refuses_what_needs_several() {
    let broker = Broker::fresh("one_node", &[]);
    let mut client = broker.connect();
    client.create_topic("t", &[]);
    let mut reassign = |partition_index: i32, replicas: Option<Vec<i32>>| {
        let partition = ReassignablePartition { partition_index, replicas, ..Default::default() };
        let topic = ReassignableTopic { name: "t".to_owned(), partitions: vec![partition], ..Default::default() };
        let request = AlterPartitionReassignmentsRequest { topics: vec![topic], ..Default::default() };
        ErrorCode::from_code(client.call(&request, 1).responses[0].partitions[0].error_code)
    };
    assert_eq!(reassign(0, Some(vec![1])), ErrorCode::None);
    assert_eq!(reassign(0, Some(vec![2])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(reassign(0, None), ErrorCode::NoReassignmentInProgress);
    assert_eq!(reassign(5, Some(vec![1])), ErrorCode::UnknownTopicOrPartition);
    let unregistered = client.call(&UnregisterBrokerRequest { broker_id: 9, ..Default::default() }, 0);
    assert_eq!(ErrorCode::from_code(unregistered.error_code), ErrorCode::BrokerIdNotRegistered);
    let voter_directory_id = Uuid::from_bytes([7; 16]);
    let remove = RemoveRaftVoterRequest { cluster_id: None, voter_id: 2, voter_directory_id, ..Default::default() };
    assert_eq!(ErrorCode::from_code(client.call(&remove, 0).error_code), ErrorCode::UnsupportedVersion);
    let add = AddRaftVoterRequest { cluster_id: None, voter_id: 2, voter_directory_id, ..Default::default() };
    assert_eq!(ErrorCode::from_code(client.call(&add, 1).error_code), ErrorCode::InvalidRequest);
}
