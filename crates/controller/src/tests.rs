//! Claims about the controller as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::bootstrap::BootstrapMetadata;
use metadata::config::{BrokerConfig, ConfigMap};
use metadata::features::{MetadataVersion, supported_features};
use metadata::{ClusterImage, ConfigResource, MetadataRecord};
use protocol::messages::assign_replicas_to_dirs_request::{DirectoryData, PartitionData, TopicData};
use protocol::messages::broker_registration_request::{Feature, Listener};
use protocol::messages::create_partitions_request::CreatePartitionsTopic;
use protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use protocol::messages::create_topics_response::CreatableTopicResult;
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{
    AllocateProducerIdsRequest, AlterClientQuotasRequest, AssignReplicasToDirsRequest, BrokerHeartbeatRequest,
    BrokerRegistrationRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest, alter_client_quotas_request,
};
use protocol::{ErrorCode, Uuid};

use super::*;

const LOG_DIR: Uuid = Uuid::from_bytes([7; 16]);

fn controller() -> Controller {
    let pairs = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", "1@localhost:9093"),
        ("listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"),
        ("controller.listener.names", "CONTROLLER"),
        ("log.retention.hours", "1"),
    ];
    let config: ConfigMap = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut controller = Controller::new(BrokerConfig::from_map(config).expect("valid"), "cluster", [1, 2]);
    let bootstrap = BootstrapMetadata::new(MetadataVersion::LATEST, &BTreeMap::new(), "test").expect("valid");
    let image = Arc::new(ClusterImage::default());
    let activation =
        Activation { image: &image, open_transaction: false, epoch: 1, next_offset: 1, bootstrap: &bootstrap };
    let outcome = controller.activate(0, &activation);
    assert!(matches!(outcome.records.first().map(|record| &record.record), Some(MetadataRecord::BeginTransaction(_))));
    assert_eq!(outcome.base_offset, 1);
    controller
}

fn register(controller: &mut Controller, now: i64, incarnation: u8, previous_broker_epoch: i64) -> i64 {
    let features =
        supported_features(MetadataVersion::LATEST).map(|(name, min_supported_version, max_supported_version)| {
            Feature { name: name.to_owned(), min_supported_version, max_supported_version, ..Default::default() }
        });
    let request = BrokerRegistrationRequest {
        broker_id: 1,
        cluster_id: "cluster".to_owned(),
        incarnation_id: Uuid::from_bytes([incarnation; 16]),
        listeners: vec![Listener {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port: 9092,
            ..Default::default()
        }],
        features: features.collect(),
        log_dirs: vec![LOG_DIR],
        previous_broker_epoch,
        ..Default::default()
    };
    let epoch = controller.register_broker(now, &request).expect("registers").response.broker_epoch;
    let heartbeat = BrokerHeartbeatRequest {
        broker_id: 1,
        broker_epoch: epoch,
        current_metadata_offset: controller.next_offset() - 1,
        ..Default::default()
    };
    let response = controller.broker_heartbeat(now, &heartbeat).expect("registered").response;
    assert!(response.is_caught_up && !response.is_fenced);
    epoch
}

fn running() -> Controller {
    let mut controller = controller();
    register(&mut controller, 0, 1, -1);
    controller
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..Default::default() }
}

fn create(controller: &mut Controller, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
    controller.create_topics(&CreateTopicsRequest { topics, ..Default::default() }).response.topics
}

fn told(result: &CreatableTopicResult) -> (ErrorCode, &str) {
    (ErrorCode::from_code(result.error_code), result.error_message.as_deref().unwrap_or_default())
}

#[test]
fn a_created_topic_has_its_defaults_and_tells_its_configuration() {
    let mut controller = running();
    let mut wanted = topic("t", -1, -1);
    wanted.configs = vec![CreatableTopicConfig {
        name: "segment.bytes".to_owned(),
        value: Some("2000000".to_owned()),
        ..Default::default()
    }];
    let results = create(&mut controller, vec![wanted]);
    assert_eq!(
        (told(&results[0]).0, results[0].num_partitions, results[0].replication_factor),
        (ErrorCode::None, 1, 1)
    );
    let configs = results[0].configs.as_ref().expect("told");
    let config = |name: &str| {
        configs.iter().find(|config| config.name == name).map(|config| (config.value.clone(), config.config_source))
    };
    assert_eq!(config("segment.bytes"), Some((Some("2000000".to_owned()), 1)));
    assert_eq!(config("retention.ms"), Some((Some("3600000".to_owned()), 4)));
    let partition = controller.image().topic("t").expect("exists").partitions[0].clone();
    assert_eq!((partition.leader, &*partition.directories), (1, &[LOG_DIR][..]));
}

#[test]
fn topics_that_cannot_be_created_get_kafkas_codes() {
    let mut controller = running();
    create(&mut controller, vec![topic("a.b", 1, 1)]);
    let mut assigned = topic("assigned", -1, -1);
    assigned.assignments =
        vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![2], ..Default::default() }];
    let mut configured = topic("configured", 1, 1);
    configured.configs =
        vec![CreatableTopicConfig { name: "x".to_owned(), value: Some("1".to_owned()), ..Default::default() }];
    let topics = vec![
        topic("a.b", 1, 1),
        topic("a_b", 1, 1),
        topic("bad name", 1, 1),
        topic("many", 1, 3),
        topic("none", 0, 1),
        topic("zero", 1, 0),
        assigned,
        configured,
        topic("twice", 1, 1),
        topic("twice", 1, 1),
    ];
    let results = create(&mut controller, topics);
    assert_eq!(told(&results[0]), (ErrorCode::TopicAlreadyExists, "Topic 'a.b' already exists."));
    assert_eq!(told(&results[1]), (ErrorCode::InvalidTopicException, "Topic 'a_b' collides with existing topic: a.b"));
    assert_eq!(told(&results[2]).0, ErrorCode::InvalidTopicException);
    assert_eq!(
        told(&results[3]),
        (
            ErrorCode::InvalidReplicationFactor,
            "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 \
             broker(s) are registered or some brokers have all their log directories cordoned."
        )
    );
    assert_eq!(
        told(&results[4]),
        (ErrorCode::InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
    );
    assert_eq!(told(&results[5]).0, ErrorCode::InvalidReplicationFactor);
    assert_eq!(
        told(&results[6]),
        (
            ErrorCode::InvalidReplicaAssignment,
            "The manual partition assignment includes broker 2, but no such broker is registered."
        )
    );
    assert_eq!(told(&results[7]), (ErrorCode::InvalidConfig, "Unknown topic config name: x"));
    assert_eq!((results.len(), told(&results[8])), (9, (ErrorCode::InvalidRequest, "Duplicate topic name.")));
    assert_eq!(controller.image().topic_count(), 1);
}

#[test]
fn validate_only_changes_nothing() {
    let mut controller = running();
    let request = CreateTopicsRequest { topics: vec![topic("t", 3, 1)], validate_only: true, ..Default::default() };
    let outcome = controller.create_topics(&request);
    assert_eq!((outcome.records.len(), outcome.response.topics[0].num_partitions), (0, 3));
    assert!(controller.image().topic("t").is_none());
}

#[test]
fn huge_requests_are_refused_before_they_are_built() {
    let mut controller = running();
    let results = create(&mut controller, vec![topic("a", i32::MAX, 1), topic("b", i32::MAX, 1)]);
    assert_eq!(told(&results[0]), (ErrorCode::PolicyViolation, "Excessively large number of partitions per request."));
}

#[test]
fn deletion_is_by_name_or_id_and_frees_the_name() {
    let mut controller = running();
    let id = create(&mut controller, vec![topic("a.b", 1, 1), topic("c", 1, 1)])[0].topic_id;
    let by_id = DeleteTopicState { name: None, topic_id: id, ..Default::default() };
    let unknown = DeleteTopicState { name: Some("nope".to_owned()), ..Default::default() };
    let by_name = DeleteTopicState { name: Some("c".to_owned()), ..Default::default() };
    let request = DeleteTopicsRequest { topics: vec![by_id, unknown, by_name], ..Default::default() };
    let outcome = controller.delete_topics(&request, &mut Unlimited).expect("enabled");
    assert_eq!(outcome.records.len(), 2);
    let codes: Vec<_> =
        outcome.response.responses.iter().map(|response| ErrorCode::from_code(response.error_code)).collect();
    assert_eq!(codes, [ErrorCode::UnknownTopicOrPartition, ErrorCode::None, ErrorCode::None]);
    assert_eq!(told(&create(&mut controller, vec![topic("a_b", 1, 1)])[0]).0, ErrorCode::None);
}

#[test]
fn partitions_only_grow() {
    let mut controller = running();
    create(&mut controller, vec![topic("t", 2, 1)]);
    let mut grow = |count| {
        let topics =
            vec![CreatePartitionsTopic { name: "t".to_owned(), count, assignments: None, ..Default::default() }];
        let results = controller
            .create_partitions(&CreatePartitionsRequest { topics, ..Default::default() }, &mut Unlimited)
            .response
            .results;
        (ErrorCode::from_code(results[0].error_code), results[0].error_message.clone().unwrap_or_default())
    };
    assert_eq!(grow(2), (ErrorCode::InvalidPartitions, "Topic already has 2 partition(s).".to_owned()));
    assert_eq!(
        grow(1),
        (
            ErrorCode::InvalidPartitions,
            "The topic t currently has 2 partition(s); 1 would not be an increase.".to_owned()
        )
    );
    assert_eq!(grow(5).0, ErrorCode::None);
    assert_eq!(controller.image().topic("t").expect("exists").partitions.len(), 5);
}

fn alter(
    controller: &mut Controller,
    resource: (i8, &str),
    configs: &[(&str, i8, Option<&str>)],
) -> (ErrorCode, String) {
    let configs = configs.iter().map(|(name, config_operation, value)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: *config_operation,
        value: value.map(str::to_owned),
        ..Default::default()
    });
    let resource = AlterConfigsResource {
        resource_type: resource.0,
        resource_name: resource.1.to_owned(),
        configs: configs.collect(),
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let response = controller.incremental_alter_configs(&request).response.responses.remove(0);
    (ErrorCode::from_code(response.error_code), response.error_message.unwrap_or_default())
}

#[test]
fn topic_configurations_are_set_appended_and_removed() {
    let mut controller = running();
    create(&mut controller, vec![topic("t", 1, 1)]);
    let ok = (ErrorCode::None, String::new());
    assert_eq!(
        alter(&mut controller, (2, "t"), &[("cleanup.policy", 2, Some("compact")), ("retention.ms", 0, Some("5"))]),
        ok
    );
    let config = |controller: &Controller, name: &str| {
        controller.image().config(&ConfigResource::topic("t")).and_then(|configs| configs.get(name).cloned())
    };
    assert_eq!(config(&controller, "cleanup.policy").as_deref(), Some("delete,compact"));
    assert_eq!(
        alter(&mut controller, (2, "t"), &[("cleanup.policy", 3, Some("delete")), ("retention.ms", 1, None)]),
        ok
    );
    assert_eq!(config(&controller, "cleanup.policy").as_deref(), Some("compact"));
    assert_eq!(config(&controller, "retention.ms"), None);
    assert_eq!(
        alter(&mut controller, (2, "t"), &[("retention.ms", 2, Some("5"))]),
        (ErrorCode::InvalidConfig, "Can't APPEND to key retention.ms because its type is not LIST.".to_owned())
    );
    assert_eq!(
        alter(&mut controller, (2, "u"), &[("retention.ms", 0, Some("5"))]),
        (ErrorCode::UnknownTopicOrPartition, "The topic 'u' does not exist.".to_owned())
    );
    assert_eq!(
        alter(&mut controller, (4, ""), &[("min.insync.replicas", 1, None)]).1,
        "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
    );
}

#[test]
fn a_clean_restart_gives_every_partition_its_leader_back() {
    let mut controller = running();
    create(&mut controller, vec![topic("t", 3, 1)]);
    let epoch = controller.image().broker(1).expect("registered").epoch;
    let stop = BrokerHeartbeatRequest { broker_id: 1, broker_epoch: epoch, want_shut_down: true, ..Default::default() };
    let outcome = controller.broker_heartbeat(1, &stop).expect("registered");
    assert!(!outcome.response.should_shut_down && outcome.records.len() == 4);
    assert_eq!(controller.image().topic("t").expect("exists").partitions[0].leader, -1);
    assert!(controller.broker_heartbeat(2, &stop).expect("registered").response.should_shut_down);
    register(&mut controller, 3, 2, epoch);
    for partition in &controller.image().topic("t").expect("exists").partitions {
        assert_eq!((partition.leader, &*partition.isr, partition.leader_recovering), (1, &[1][..], false));
    }
}

#[test]
fn after_a_crash_the_last_leader_leads_again() {
    let mut controller = running();
    create(&mut controller, vec![topic("t", 1, 1)]);
    register(&mut controller, 100_000, 2, -1);
    let partition = controller.image().topic("t").expect("exists").partitions[0].clone();
    assert_eq!((partition.leader, &*partition.isr, &*partition.last_known_elr), (1, &[1][..], &[][..]));
}

#[test]
fn a_silent_broker_is_fenced_and_another_process_waits_for_that() {
    let mut controller = running();
    assert!(controller.fence_stale_brokers(9_000).is_none());
    assert!(controller.fence_stale_brokers(9_001).is_some());
    assert!(controller.image().broker(1).expect("registered").fenced);
    register(&mut controller, 9_002, 1, -1);
    let request = BrokerRegistrationRequest {
        broker_id: 1,
        cluster_id: "cluster".to_owned(),
        incarnation_id: Uuid::from_bytes([9; 16]),
        ..Default::default()
    };
    let error = controller.register_broker(9_003, &request).expect_err("alive");
    assert_eq!(error.code(), ErrorCode::DuplicateBrokerRegistration);
}

#[test]
fn producer_id_blocks_never_overlap() {
    let mut controller = running();
    let broker_epoch = controller.image().broker(1).expect("registered").epoch;
    let request = AllocateProducerIdsRequest { broker_id: 1, broker_epoch, ..Default::default() };
    let first = controller.allocate_producer_ids(&request).expect("registered").response;
    let second = controller.allocate_producer_ids(&request).expect("registered").response;
    assert_eq!((first.producer_id_start, first.producer_id_len, second.producer_id_start), (0, 1000, 1000));
    let stale = AllocateProducerIdsRequest { broker_id: 1, broker_epoch: -5, ..Default::default() };
    assert_eq!(controller.allocate_producer_ids(&stale).expect_err("stale").code(), ErrorCode::StaleBrokerEpoch);
}

/// Allows as many partitions as it holds.
struct Allowance(usize);

impl MutationQuota for Allowance {
    fn take(&mut self, partitions: usize) -> Result<(), ControllerError> {
        self.0 = self.0.checked_sub(partitions).ok_or(ControllerError::ThrottlingQuotaExceeded)?;
        Ok(())
    }
}

#[test]
fn a_client_over_its_quota_is_refused_topic_by_topic() {
    let mut controller = running();
    let topics = ["a", "b", "c"].map(|name| topic(name, 2, 1)).to_vec();
    let mut quota = Allowance(4);
    let outcome = controller.create_topics_within(&CreateTopicsRequest { topics, ..Default::default() }, &mut quota);
    let codes: Vec<_> = outcome.response.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, 0, ErrorCode::ThrottlingQuotaExceeded.code()]);
    let topic_names = vec!["a".to_owned(), "b".to_owned()];
    let request = DeleteTopicsRequest { topic_names, ..Default::default() };
    let deleted = controller.delete_topics(&request, &mut Allowance(2)).expect("enabled");
    let codes: Vec<_> = deleted.response.responses.iter().map(|topic| topic.error_code).collect();
    assert_eq!((codes.as_slice(), deleted.records.len()), (&[0, ErrorCode::ThrottlingQuotaExceeded.code()][..], 1));
}

fn quota_request(entity: &[(&str, Option<&str>)], key: &str, value: Option<f64>) -> AlterClientQuotasRequest {
    let part = |(kind, name): &(&str, Option<&str>)| alter_client_quotas_request::EntityData {
        entity_type: (*kind).to_owned(),
        entity_name: name.map(str::to_owned),
        ..Default::default()
    };
    let op = alter_client_quotas_request::OpData {
        key: key.to_owned(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
        ..Default::default()
    };
    let entity = entity.iter().map(part).collect();
    let entry = alter_client_quotas_request::EntryData { entity, ops: vec![op], ..Default::default() };
    AlterClientQuotasRequest { entries: vec![entry], ..Default::default() }
}

#[test]
fn quotas_are_checked_with_kafkas_text_and_written_only_if_they_change() {
    let mut controller = controller();
    let mut alter = |entity: &[(&str, Option<&str>)], key: &str, value: Option<f64>| {
        let request = quota_request(entity, key, value);
        let outcome = controller.alter_client_quotas(&request, &|host| host != "nowhere").expect("small");
        (outcome.records.len(), outcome.response.entries[0].error_message.clone().unwrap_or_default())
    };
    let user: &[(&str, Option<&str>)] = &[("user", None), ("client-id", Some("c"))];
    assert_eq!(alter(user, "producer_byte_rate", Some(1024.0)), (1, String::new()));
    assert_eq!(alter(user, "producer_byte_rate", Some(1024.0)), (0, String::new()));
    assert_eq!(alter(user, "producer_byte_rate", None), (1, String::new()));
    assert_eq!(alter(user, "producer_byte_rate", None), (0, String::new()));
    let refused = |text: &str| (0, text.to_owned());
    let rate = "producer_byte_rate";
    assert_eq!(alter(user, "nope", Some(1.0)), refused("Invalid configuration key nope"));
    assert_eq!(alter(user, rate, Some(-1.0)), refused("Quota producer_byte_rate must be greater than 0"));
    assert_eq!(alter(user, rate, Some(1.5)), refused("producer_byte_rate cannot be a fractional value."));
    assert_eq!(alter(&[], rate, Some(1.0)), refused("Invalid empty client quota entity"));
    assert_eq!(alter(&[("user", Some(""))], rate, Some(1.0)), refused("Empty user not supported"));
    assert_eq!(alter(&[("group", None)], rate, Some(1.0)), refused("Unhandled client quota entity type: group"));
    let ip: &[(&str, Option<&str>)] = &[("ip", Some("nowhere"))];
    let text = "nowhere is not a valid IP or resolvable host.";
    assert_eq!(alter(ip, "connection_creation_rate", Some(1.0)), refused(text));
}

#[test]
fn a_replica_is_assigned_to_its_directory_and_loses_its_leader_with_it() {
    let mut controller = controller();
    let epoch = register(&mut controller, 0, 1, -1);
    create(&mut controller, vec![topic("t", 1, 1)]);
    let topic_id = controller.image().topic_id("t").expect("exists");
    let mut assign = |id: Uuid, topic_id: Uuid, partition_index: i32| {
        let partition = PartitionData { partition_index, ..Default::default() };
        let topic = TopicData { topic_id, partitions: vec![partition], ..Default::default() };
        let directories = vec![DirectoryData { id, topics: vec![topic], ..Default::default() }];
        let request =
            AssignReplicasToDirsRequest { broker_id: 1, broker_epoch: epoch, directories, ..Default::default() };
        let outcome = controller.assign_replicas_to_dirs(&request).expect("the epoch is right");
        let code = outcome.response.directories[0].topics[0].partitions[0].error_code;
        let partition = controller.image().topic("t").expect("exists").partitions[0].clone();
        (ErrorCode::from_code(code), outcome.records.len(), partition.directories[0], partition.leader)
    };
    assert_eq!(assign(LOG_DIR, topic_id, 0), (ErrorCode::None, 0, LOG_DIR, 1));
    assert_eq!(assign(LOG_DIR, topic_id, 9).0, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(assign(LOG_DIR, LOG_DIR, 0).0, ErrorCode::UnknownTopicId);
    let gone = Uuid::from_bytes([8; 16]);
    assert_eq!(assign(gone, topic_id, 0), (ErrorCode::None, 1, gone, -1));
    let stale = AssignReplicasToDirsRequest { broker_id: 1, broker_epoch: epoch + 1, ..Default::default() };
    assert!(controller.assign_replicas_to_dirs(&stale).is_err());
}
