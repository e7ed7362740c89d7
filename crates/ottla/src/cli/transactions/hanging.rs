//! `find-hanging`: transactions that are open in a partition for longer than they may be, and that no coordinator will end.

use std::collections::BTreeMap;

use client::Client;
use protocol::messages::describe_producers_response::ProducerState;
use protocol::messages::{ListTransactionsRequest, MetadataRequest};
use protocol::{ErrorCode, TopicPartition};

use super::{Numbers, describe_transaction, failed, list_transactions, partitions, producers, table};
use crate::cli::java::Exception;
use crate::cli::out::Out;
use crate::cli::stop::Stop;
use crate::cli::time::now_ms;

const DEFAULT_MAX_TIMEOUT_MINUTES: i32 = 15;
const MS_PER_MINUTE: i64 = 60_000;

type Open = (TopicPartition, ProducerState);

/// Prints the hanging transactions of a topic, or of a broker.
pub(super) async fn find(client: &Client, topic: Option<&str>, numbers: &Numbers, out: &mut Out) -> Result<(), Stop> {
    if topic.is_none() && numbers.broker_id.is_none() {
        return Err(Stop::error(
            "The `find-hanging` command requires either --topic or --broker-id to limit the scope of the search",
        ));
    }
    if numbers.partition.is_some() && topic.is_none() {
        return Err(Stop::error("The --partition argument requires --topic to be provided"));
    }
    let searched = searched(client, topic, numbers).await;
    let searched = searched.map_err(|error| failed("Failed to describe topics", &error))?;
    let minutes = numbers.max_timeout_minutes.unwrap_or(DEFAULT_MAX_TIMEOUT_MINUTES);
    let mut open: Vec<Open> = Vec::new();
    for partition in &searched {
        let what = format!("Failed to describe producers for {} partitions", searched.len());
        let producers = producers(client, numbers.broker_id, partition).await.map_err(|error| failed(&what, &error))?;
        let old = producers.into_iter().filter(|producer| {
            let duration_ms = now_ms() - producer.last_timestamp;
            producer.current_txn_start_offset >= 0 && duration_ms > i64::from(minutes) * MS_PER_MINUTE
        });
        open.extend(old.map(|producer| (partition.clone(), producer)));
    }
    let hanging = hanging(client, open).await;
    let hanging = hanging.map_err(|error| failed("Failed to describe transactions", &error))?;
    print(hanging, out)
}

async fn searched(client: &Client, topic: Option<&str>, numbers: &Numbers) -> Result<Vec<TopicPartition>, Exception> {
    if let (Some(topic), Some(partition)) = (topic, numbers.partition) {
        return Ok(vec![TopicPartition::new(topic, partition)]);
    }
    let request = match topic {
        None => MetadataRequest { topics: None, ..Default::default() },
        Some(topic) => MetadataRequest {
            topics: Some(vec![protocol::messages::metadata_request::MetadataRequestTopic {
                name: Some(topic.to_owned()),
                ..Default::default()
            }]),
            ..Default::default()
        },
    };
    let response = client.retry("describeTopics", async || client.send_to_any(&request).await).await?;
    let mut found = Vec::new();
    for topic in response.topics {
        Exception::check(topic.error_code, None)?;
        let name = topic.name.unwrap_or_default();
        let on_broker = topic
            .partitions
            .iter()
            .filter(|partition| numbers.broker_id.is_none_or(|broker| partition.replica_nodes.contains(&broker)));
        found.extend(on_broker.map(|partition| TopicPartition::new(name.as_str(), partition.partition_index)));
    }
    Ok(found)
}

/// Those that no coordinator knows of, or not as part of their transaction.
async fn hanging(client: &Client, open: Vec<Open>) -> Result<Vec<Open>, Exception> {
    if open.is_empty() {
        return Ok(open);
    }
    let producer_id_filters = open.iter().map(|(_, producer)| producer.producer_id).collect();
    let request = ListTransactionsRequest { producer_id_filters, ..Default::default() };
    let mut written: BTreeMap<i64, Vec<TopicPartition>> = BTreeMap::new();
    for (_, listed) in list_transactions(client, &request).await? {
        match describe_transaction(client, &listed.transactional_id).await {
            Ok((_, described)) => drop(written.insert(listed.producer_id, partitions(&described))),
            Err(error) if error.code == ErrorCode::TransactionalIdNotFound => {}
            Err(error) => return Err(error),
        }
    }
    let expected = |(partition, producer): &Open| {
        written.get(&producer.producer_id).is_some_and(|written| written.contains(partition))
    };
    Ok(open.into_iter().filter(|one| !expected(one)).collect())
}

fn print(hanging: Vec<Open>, out: &mut Out) -> Result<(), Stop> {
    let rows = hanging.into_iter().map(|(partition, producer)| {
        vec![
            partition.topic.to_string(),
            partition.partition.to_string(),
            producer.producer_id.to_string(),
            producer.producer_epoch.to_string(),
            producer.coordinator_epoch.to_string(),
            producer.current_txn_start_offset.to_string(),
            producer.last_timestamp.to_string(),
            ((now_ms() - producer.last_timestamp) / MS_PER_MINUTE).to_string(),
        ]
    });
    let headers = [
        "Topic",
        "Partition",
        "ProducerId",
        "ProducerEpoch",
        "CoordinatorEpoch",
        "StartOffset",
        "LastTimestamp",
        "Duration(min)",
    ];
    table(&headers, rows.collect(), out)
}
