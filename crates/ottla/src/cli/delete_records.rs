//! `kafka-delete-records.sh`: moves the start of partitions forward.

use std::collections::BTreeMap;

use client::Client;
use protocol::messages::DeleteRecordsRequest;
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use protocol::types::Offset;
use protocol::{ErrorCode, TopicPartition};
use serde_json::Value;

use super::java::{DEFAULT_CAPACITY, Exception, Failure, hash_order};
use super::options::{self, Parsed, tables::delete_records::OPTIONS};
use super::out::Out;
use super::session;
use super::stop::Stop;

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| Exception::from(error).traced())?;
    parsed
        .help_or_version("This tool helps to delete records of the given partitions down to the specified offset.")?;
    parsed.require(&["bootstrap-server", "offset-json-file"])?;
    session::run(async { execute(&parsed, out).await.map_err(Failure::traced) })
}

async fn execute(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let properties = session::optional_properties(parsed.one("command-config")?)?;
    let path = parsed.text("offset-json-file")?;
    let text = std::fs::read_to_string(path)
        .map_err(|_| Exception::new("java.io.IOException", format!("Unable to read file {path}")))?;
    let mut offsets = offsets(&text)?;
    hash_order(&mut offsets, DEFAULT_CAPACITY, |(partition, _)| partition);
    let client = session::connect(parsed.text("bootstrap-server")?, &properties).await?;
    out.line("Executing records delete operation")?;
    let results = delete(&client, &offsets).await?;
    out.line("Records delete operation completed:")?;
    for (partition, result) in results {
        match result {
            Ok(low) => out.line(format_args!("partition: {partition}\tlow_watermark: {low}"))?,
            Err(error) => out.line(format_args!("partition: {partition}\terror: {error}"))?,
        }
    }
    Ok(())
}

fn offsets(text: &str) -> Result<Vec<(TopicPartition, Offset)>, Exception> {
    let operation = |message: String| Exception::new("org.apache.kafka.tools.AdminOperationException", message);
    let json: Value =
        serde_json::from_str(text).map_err(|_| operation("The input string is not a valid JSON".to_owned()))?;
    let version = json.get("version").map_or(Some(1), Value::as_i64);
    if version != Some(1) {
        return Err(operation(format!("Not supported version field value {}", version.unwrap_or_default())));
    }
    let partitions = json.get("partitions").ok_or_else(|| operation("Missing partitions field".to_owned()))?;
    let mut offsets: Vec<(TopicPartition, Offset)> = Vec::new();
    let mut duplicates: Vec<TopicPartition> = Vec::new();
    for entry in partitions.as_array().into_iter().flatten() {
        let field = |name: &str| {
            let message = format!("No such field exists: `{name}`");
            entry
                .get(name)
                .ok_or_else(|| Exception::new("com.fasterxml.jackson.databind.JsonMappingException", message))
        };
        let mapping = |name: &str, kind: &str| {
            let message = format!("Expected `{kind}` value, received {}", entry.get(name).unwrap_or(&Value::Null));
            Exception::new("com.fasterxml.jackson.databind.JsonMappingException", message)
        };
        let topic = field("topic")?.as_str().ok_or_else(|| mapping("topic", "String"))?;
        let index = field("partition")?.as_i64().and_then(|index| i32::try_from(index).ok());
        let partition = TopicPartition::new(topic, index.ok_or_else(|| mapping("partition", "Integer"))?);
        let offset = field("offset")?.as_i64().ok_or_else(|| mapping("offset", "Long"))?;
        if offsets.iter().any(|(known, _)| *known == partition) {
            duplicates.push(partition);
        } else {
            offsets.push((partition, offset));
        }
    }
    if duplicates.is_empty() {
        return Ok(offsets);
    }
    let names: Vec<String> = duplicates.iter().map(ToString::to_string).collect();
    let message = format!("Offset json file contains duplicate topic partitions: {}", names.join(","));
    Err(Exception::new("org.apache.kafka.tools.AdminCommandFailedException", message))
}

type Deleted = (TopicPartition, Result<Offset, Exception>);

async fn delete(client: &Client, offsets: &[(TopicPartition, Offset)]) -> Result<Vec<Deleted>, Exception> {
    let mut names: Vec<&str> = offsets.iter().map(|(partition, _)| &*partition.topic).collect();
    names.sort_unstable();
    names.dedup();
    let cluster = client.metadata(Some(&names)).await?;
    let mut by_leader: BTreeMap<i32, Vec<DeleteRecordsTopic>> = BTreeMap::new();
    let mut results: BTreeMap<TopicPartition, Result<Offset, Exception>> = BTreeMap::new();
    for (partition, offset) in offsets {
        let Some((leader, _)) = cluster.leader(&partition.topic, partition.partition) else {
            let error = Exception::of_code(ErrorCode::UnknownTopicOrPartition, None);
            results.insert(partition.clone(), Err(error));
            continue;
        };
        let entry =
            DeleteRecordsPartition { partition_index: partition.partition, offset: *offset, ..Default::default() };
        let topics = by_leader.entry(leader).or_default();
        match topics.iter_mut().find(|topic| topic.name == *partition.topic) {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(DeleteRecordsTopic {
                name: partition.topic.to_string(),
                partitions: vec![entry],
                ..Default::default()
            }),
        }
    }
    for (leader, topics) in by_leader {
        let request = DeleteRecordsRequest { topics, timeout_ms: 60_000, ..Default::default() };
        let response = client.retry("deleteRecords", async || client.send_to(leader, &request).await).await?;
        for topic in response.topics {
            for done in topic.partitions {
                let partition = TopicPartition::new(topic.name.as_str(), done.partition_index);
                let result = Exception::check(done.error_code, None).map(|()| done.low_watermark);
                results.insert(partition, result);
            }
        }
    }
    Ok(offsets.iter().filter_map(|(partition, _)| results.remove_entry(partition)).collect())
}
