//! Topologies on topics: what is decided, what is told, what is refused, as Apache Kafka 4.3.1 does.

use std::collections::BTreeMap;

use protocol::ErrorCode;
use protocol::messages::StreamsGroupTopologyValue;
use protocol::messages::streams_group_topology_value::{CopartitionGroup, Subtopology, TopicConfig, TopicInfo};

use super::configured::{ConfiguredTopology, StatusCode, configure};
use super::error::StreamsError;
use super::topology::Topology;

fn topic(name: &str, partitions: i32) -> TopicInfo {
    TopicInfo { name: name.to_owned(), partitions, ..Default::default() }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A subtopology: what it reads, what it writes, and its state.
fn subtopology(
    id: &str,
    sources: &[&str],
    repartition_sources: &[TopicInfo],
    sinks: &[&str],
    changelogs: &[&str],
) -> Subtopology {
    Subtopology {
        subtopology_id: id.to_owned(),
        source_topics: strings(sources),
        repartition_source_topics: repartition_sources.to_vec(),
        repartition_sink_topics: strings(sinks),
        state_changelog_topics: changelogs.iter().map(|name| topic(name, 0)).collect(),
        ..Default::default()
    }
}

/// Everything that a subtopology reads has to have the same number of partitions.
fn copartitioned(mut subtopology: Subtopology) -> Subtopology {
    let indexes = |count: usize| (0..i16::try_from(count).expect("few topics")).collect();
    subtopology.copartition_groups = vec![CopartitionGroup {
        source_topics: indexes(subtopology.source_topics.len()),
        repartition_source_topics: indexes(subtopology.repartition_source_topics.len()),
        ..Default::default()
    }];
    subtopology
}

fn configured(subtopologies: &[Subtopology], existing: &[(&str, i32)]) -> Result<ConfiguredTopology, StreamsError> {
    let record = StreamsGroupTopologyValue { epoch: 3, subtopologies: subtopologies.to_vec(), ..Default::default() };
    let existing: BTreeMap<&str, i32> = existing.iter().copied().collect();
    configure(&Topology::from_record(&record)?, &|topic| existing.get(topic).copied())
}

fn ready_or_missing(subtopologies: &[Subtopology], existing: &[(&str, i32)]) -> ConfiguredTopology {
    configured(subtopologies, existing).expect("a topology that works")
}

fn fault(subtopologies: &[Subtopology], existing: &[(&str, i32)]) -> (StatusCode, String) {
    let fault = ready_or_missing(subtopologies, existing).fault.expect("a fault");
    (fault.status, fault.detail)
}

fn refusal(subtopologies: &[Subtopology], existing: &[(&str, i32)]) -> (ErrorCode, String) {
    let error = configured(subtopologies, existing).expect_err("a refusal");
    (error.code(), error.message().unwrap_or_default())
}

#[test]
fn repartition_and_changelog_topics_follow_the_largest_input() {
    let topology = [
        subtopology("0", &["words", "more"], &[], &["app-repartition"], &[]),
        subtopology("1", &[], &[topic("app-repartition", 0)], &[], &["app-changelog"]),
    ];
    let made = ready_or_missing(&topology, &[("words", 3), ("more", 5)]);
    assert!(!made.is_ready());
    let missing: Vec<_> =
        made.missing_topics.values().map(|topic| (topic.name.as_str(), topic.num_partitions)).collect();
    assert_eq!(missing, [("app-changelog", 5), ("app-repartition", 5)]);
    assert_eq!(made.missing_topics["app-changelog"].replication_factor, -1);
    let fault = made.fault.expect("a fault");
    assert_eq!(fault.status, StatusCode::MissingInternalTopics);
    assert_eq!(fault.detail, "Internal topics are missing: app-changelog, app-repartition");

    let existing = [("words", 3), ("more", 5), ("app-repartition", 5), ("app-changelog", 5)];
    let made = ready_or_missing(&topology, &existing);
    assert!(made.is_ready());
    assert_eq!(made.subtopologies["0"].tasks, 5);
    assert!(made.subtopologies["1"].is_stateful());
}

#[test]
fn a_chain_of_repartition_topics_is_followed() {
    let topology = [
        subtopology("0", &[], &[topic("two", 0)], &[], &[]),
        subtopology("1", &[], &[topic("one", 0)], &["two"], &[]),
        subtopology("2", &["source"], &[], &["one"], &[]),
    ];
    let made = ready_or_missing(&topology, &[("source", 7)]);
    assert_eq!(made.missing_topics["two"].num_partitions, 7);
}

#[test]
fn configurations_and_replication_of_internal_topics_are_kept() {
    let mut changelog = topic("app-changelog", 0);
    changelog.replication_factor = 2;
    changelog.topic_configs =
        vec![TopicConfig { key: "cleanup.policy".to_owned(), value: "compact".to_owned(), ..Default::default() }];
    let mut stateful = subtopology("0", &["source"], &[], &[], &[]);
    stateful.state_changelog_topics = vec![changelog];
    let made = ready_or_missing(&[stateful], &[("source", 1)]);
    let topic = &made.missing_topics["app-changelog"];
    assert_eq!(topic.replication_factor, 2);
    assert_eq!(topic.configs[0].name, "cleanup.policy");
    assert_eq!(topic.configs[0].value.as_deref(), Some("compact"));
}

#[test]
fn missing_source_topics_are_named_up_to_three() {
    let topology = [subtopology("0", &["d", "b", "c", "a", "there"], &[], &[], &[])];
    let (status, detail) = fault(&topology, &[("there", 1)]);
    assert_eq!(status, StatusCode::MissingSourceTopics);
    assert_eq!(detail, "Source topics a, b, c and 1 additional topics are missing.");
}

#[test]
fn copartitioned_repartition_topics_get_the_count_of_the_external_topic() {
    let topology = [
        subtopology("0", &["wide"], &[], &["app-repartition"], &[]),
        copartitioned(subtopology("1", &["narrow"], &[topic("app-repartition", 0)], &[], &[])),
    ];
    let made = ready_or_missing(&topology, &[("wide", 8), ("narrow", 2)]);
    assert_eq!(made.missing_topics["app-repartition"].num_partitions, 2);
}

#[test]
fn copartitioned_repartition_topics_get_the_largest_count_of_them() {
    let topology = [
        subtopology("0", &["wide"], &[], &["one"], &[]),
        subtopology("1", &["narrow"], &[], &["two"], &[]),
        copartitioned(subtopology("2", &[], &[topic("one", 0), topic("two", 0)], &[], &[])),
    ];
    let made = ready_or_missing(&topology, &[("wide", 8), ("narrow", 2)]);
    let counts: Vec<i32> = made.missing_topics.values().map(|topic| topic.num_partitions).collect();
    assert_eq!(counts, [8, 8]);
}

#[test]
fn copartitioned_topics_of_different_sizes_are_told() {
    let topology = [copartitioned(subtopology("0", &["left", "right"], &[], &[], &[]))];
    let (status, detail) = fault(&topology, &[("left", 2), ("right", 3)]);
    assert_eq!(status, StatusCode::IncorrectlyPartitionedTopics);
    assert_eq!(detail, "Following topics do not have the same number of partitions: [{left=2, right=3}]");

    let fixed = [
        subtopology("0", &["source"], &[], &["app-repartition"], &[]),
        copartitioned(subtopology("1", &["source"], &[topic("app-repartition", 5)], &[], &[])),
    ];
    let (status, detail) = fault(&fixed, &[("source", 4)]);
    assert_eq!(status, StatusCode::IncorrectlyPartitionedTopics);
    assert_eq!(
        detail,
        "Number of partitions [5] of repartition topic [app-repartition] doesn't match number of partitions [4] of the \
         source topic."
    );
}

#[test]
fn an_internal_topic_of_another_size_is_told() {
    let topology = [subtopology("0", &["source"], &[], &[], &["app-changelog"])];
    let (status, detail) = fault(&topology, &[("source", 4), ("app-changelog", 3)]);
    assert_eq!(status, StatusCode::IncorrectlyPartitionedTopics);
    assert_eq!(detail, "Existing topic app-changelog has different number of partitions: expected 4, found 3");
}

#[test]
fn topologies_that_never_can_work_are_refused() {
    let invalid = ErrorCode::StreamsInvalidTopology;
    let looped = [
        subtopology("0", &[], &[topic("one", 0)], &["two"], &[]),
        subtopology("1", &[], &[topic("two", 0)], &["one"], &[]),
    ];
    let text = "Failed to compute number of partitions for all repartition topics. There may be loops in the topology that \
                cannot be resolved.";
    assert_eq!(refusal(&looped, &[]), (invalid, text.to_owned()));

    let unwritten = [subtopology("0", &["source"], &[topic("one", 0)], &[], &[])];
    let text = "Failed to compute number of partitions for all repartition topics, because a repartition source topic is \
                never used as a sink topic.";
    assert_eq!(refusal(&unwritten, &[("source", 1)]), (invalid, text.to_owned()));

    let sourceless = [subtopology("0", &[], &[], &[], &["app-changelog"])];
    assert_eq!(refusal(&sourceless, &[]), (invalid, "No source topics found for subtopology 0".to_owned()));
}

#[test]
fn what_kafka_stumbles_over_tells_the_client_nothing() {
    let unexpected = (ErrorCode::UnknownServerError, String::new());
    let mut nowhere = copartitioned(subtopology("0", &["source"], &[], &[], &[]));
    nowhere.copartition_groups[0].source_topics = vec![0, 7];
    assert_eq!(refusal(&[nowhere.clone()], &[("source", 1)]), unexpected);
    nowhere.copartition_groups[0].source_topics = vec![-1];
    assert_eq!(refusal(&[nowhere], &[("source", 1)]), unexpected);

    let twice = [subtopology("0", &["source"], &[], &[], &[]), subtopology("0", &["source"], &[], &[], &[])];
    assert_eq!(refusal(&twice, &[("source", 1)]), unexpected);

    let negative = [subtopology("0", &["source"], &[topic("one", -3)], &[], &[])];
    assert_eq!(refusal(&negative, &[("source", 1)]), unexpected);
}
