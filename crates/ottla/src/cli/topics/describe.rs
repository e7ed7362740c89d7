//! `kafka-topics.sh --describe`.

use std::collections::HashMap;

use client::Client;
use protocol::messages::describe_configs_request::DescribeConfigsResource;
use protocol::messages::describe_configs_response::DescribeConfigsResult;
use protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use protocol::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition as Partition, DescribeTopicPartitionsResponseTopic as Topic,
};
use protocol::messages::{DescribeConfigsRequest, DescribeTopicPartitionsRequest};
use protocol::{ErrorCode, Uuid};

use super::{ensure_found, matching};
use crate::cli::java::{Exception, Failure, hash_order};
use crate::cli::options::Parsed;
use crate::cli::out::Out;
use crate::cli::topic_filter::is_internal;

/// `ConfigResource.Type.TOPIC`.
const TOPIC_RESOURCE: i8 = 2;
/// `ConfigSource.DEFAULT_CONFIG`.
const DEFAULT_CONFIG: i8 = 5;
const PARTITIONS_PER_RESPONSE: i32 = 2000;

/// Describes the topics that `--topic` or `--topic-id` mean.
pub(super) async fn describe(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let names = match topic_id(parsed)? {
        Some(id) => by_id(client, parsed, id).await?,
        None => {
            let names = matching(client, parsed).await?;
            ensure_found(parsed, &names)?;
            names
        }
    };
    if names.is_empty() {
        return Ok(());
    }
    let limit = parsed.number("partition-size-limit-per-response")?.unwrap_or(PARTITIONS_PER_RESPONSE);
    let mut topics = partitions(client, &names, limit).await?;
    let expected = topics.len();
    hash_order(&mut topics, expected, |topic| topic.name.as_deref().unwrap_or_default());
    let configs = configs(client, &names).await?;
    let reports = super::REPORTS.iter().any(|report| parsed.has(report));
    for topic in &topics {
        let name = topic.name.as_deref().unwrap_or_default();
        let config = configs.get(name).ok_or_else(|| Exception::of_code(ErrorCode::UnknownTopicOrPartition, None))?;
        if !reports {
            print_topic(parsed, topic, config, out)?;
        }
        if !parsed.has("topics-with-overrides") {
            for partition in &topic.partitions {
                if !reports || wanted(client, parsed, partition, config) {
                    print_partition(name, partition, out)?;
                }
            }
        }
    }
    Ok(())
}

fn topic_id(parsed: &Parsed) -> Result<Option<Uuid>, Exception> {
    let Some(text) = parsed.one("topic-id")? else { return Ok(None) };
    let id: Uuid = text.parse().map_err(|_| {
        let bytes = text.trim_end_matches('=').len() * 3 / 4;
        let reason = "which is not equal to the expected 16 bytes of a base64-encoded UUID";
        Exception::illegal_argument(format!("Input string `{text}` decoded as {bytes} bytes, {reason}"))
    })?;
    Ok(Some(id).filter(|id| !id.is_zero()))
}

async fn by_id(client: &Client, parsed: &Parsed, id: Uuid) -> Result<Vec<String>, Exception> {
    let cluster = client.metadata(None).await?;
    let name = cluster.topic_names.get(&id).map(ToString::to_string);
    let name = name.filter(|name| !(parsed.has("exclude-internal") && is_internal(name)));
    if name.is_none() && !parsed.has("if-exists") {
        return Err(Exception::illegal_argument(format!("TopicId '{id}' does not exist as expected")));
    }
    Ok(name.into_iter().collect())
}

async fn partitions(client: &Client, names: &[String], limit: i32) -> Result<Vec<Topic>, Exception> {
    let mut request = DescribeTopicPartitionsRequest {
        topics: names.iter().map(|name| TopicRequest { name: name.clone(), ..Default::default() }).collect(),
        response_partition_limit: limit,
        ..Default::default()
    };
    let mut topics: Vec<Topic> = Vec::new();
    loop {
        let response = client.retry("describeTopics", async || client.send_to_any(&request).await).await?;
        for topic in response.topics {
            Exception::check(topic.error_code, None)?;
            match topics.iter_mut().find(|known| known.name == topic.name) {
                Some(known) => known.partitions.extend(topic.partitions),
                None => topics.push(topic),
            }
        }
        let Some(next) = response.next_cursor else { break };
        request.topics.retain(|topic| topic.name >= next.topic_name);
        let cursor =
            Cursor { topic_name: next.topic_name, partition_index: next.partition_index, ..Default::default() };
        request.cursor = Some(cursor);
    }
    for topic in &mut topics {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
    }
    Ok(topics)
}

async fn configs(client: &Client, names: &[String]) -> Result<HashMap<String, DescribeConfigsResult>, Exception> {
    let resource = |name: &String| DescribeConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: name.clone(),
        configuration_keys: None,
        ..Default::default()
    };
    let request =
        DescribeConfigsRequest { resources: names.iter().map(resource).collect(), ..DescribeConfigsRequest::default() };
    let response = client.retry("describeConfigs", async || client.send_to_any(&request).await).await?;
    Ok(response.results.into_iter().map(|result| (result.resource_name.clone(), result)).collect())
}

fn print_topic(parsed: &Parsed, topic: &Topic, config: &DescribeConfigsResult, out: &mut Out) -> Result<(), Failure> {
    Exception::check(config.error_code, config.error_message.as_deref())?;
    let overrides: Vec<String> = config
        .configs
        .iter()
        .filter(|entry| entry.config_source != DEFAULT_CONFIG)
        .map(|entry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or("null")))
        .collect();
    if parsed.has("topics-with-overrides") && overrides.is_empty() {
        return Ok(());
    }
    let id = if topic.topic_id.is_zero() { String::new() } else { format!("\tTopicId: {}", topic.topic_id) };
    let replicas = topic.partitions.first().map_or(0, |partition| partition.replica_nodes.len());
    out.line(format_args!(
        "Topic: {}{id}\tPartitionCount: {}\tReplicationFactor: {replicas}\tConfigs: {}",
        topic.name.as_deref().unwrap_or_default(),
        topic.partitions.len(),
        overrides.join(",")
    ))?;
    Ok(())
}

fn wanted(client: &Client, parsed: &Parsed, partition: &Partition, config: &DescribeConfigsResult) -> bool {
    let min_isr = config.configs.iter().find(|entry| entry.name == "min.insync.replicas");
    let min_isr: usize = min_isr.and_then(|entry| entry.value.as_deref()?.parse().ok()).unwrap_or(1);
    let isr = partition.isr_nodes.len();
    let leader = partition.leader_id;
    let is_led = client.cluster().brokers.contains_key(&leader);
    parsed.has("under-replicated-partitions") && isr < partition.replica_nodes.len()
        || parsed.has("unavailable-partitions") && !is_led
        || parsed.has("under-min-isr-partitions") && (leader < 0 || isr < min_isr)
        || parsed.has("at-min-isr-partitions") && isr == min_isr
}

fn print_partition(topic: &str, partition: &Partition, out: &mut Out) -> Result<(), Failure> {
    let list = |nodes: &[i32]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let optional = |nodes: &Option<Vec<i32>>| nodes.as_deref().map_or_else(|| "N/A".to_owned(), list);
    let leader = if partition.leader_id < 0 { "none".to_owned() } else { partition.leader_id.to_string() };
    out.line(format_args!(
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: {}\tLastKnownElr: {}",
        partition.partition_index,
        list(&partition.replica_nodes),
        list(&partition.isr_nodes),
        optional(&partition.eligible_leader_replicas),
        optional(&partition.last_known_elr),
    ))?;
    Ok(())
}
