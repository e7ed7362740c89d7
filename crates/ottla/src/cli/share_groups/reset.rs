//! `kafka-share-groups.sh --reset-offsets`.

use client::Client;
use protocol::messages::AlterShareGroupOffsetsRequest;
use protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use protocol::types::Offset;
use protocol::{ErrorCode, TopicPartition};

use super::offsets::{group, start_offsets};
use crate::cli::consumer_groups::groups::ask;
use crate::cli::consumer_groups::reset::{
    EARLIEST, LATEST, Plan, at, at_time, check_partitions, named_partitions, print,
};
use crate::cli::java::{DEFAULT_CAPACITY, Exception, Failure, hash_order};
use crate::cli::options::Parsed;
use crate::cli::out::Out;
use crate::cli::stop::Stop;
use crate::cli::time;

/// Plans where a group starts, sets that with `--execute`, and prints it.
pub(super) async fn reset(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let id = parsed.text("group")?;
    match group(client, id).await {
        Ok((group, _)) if matches!(group.group_state.as_str(), "Empty" | "Dead") => {}
        Ok(_) => return Err(Stop::error(&format!("Share group '{id}' is not empty.")).into()),
        Err(error) if error.code == ErrorCode::GroupIdNotFound => {}
        Err(error) => return Err(Stop::error(&error.message).into()),
    }
    let partitions = match parsed.has("topic") {
        true => named_partitions(client, &parsed.all("topic")).await?,
        false => start_offsets(client, id).await?.into_iter().map(|one| one.partition).collect(),
    };
    check_partitions(client, &partitions).await?;
    let plan = plan(client, parsed, &partitions, out).await?;
    let mut plan: Vec<(TopicPartition, Offset)> = plan.into_iter().collect();
    if parsed.has("execute") {
        alter(client, id, &plan).await?;
    }
    hash_order(&mut plan, DEFAULT_CAPACITY, |(partition, _)| partition);
    print(&[(id.to_owned(), plan)], out)
}

async fn plan(client: &Client, parsed: &Parsed, partitions: &[TopicPartition], out: &mut Out) -> Result<Plan, Failure> {
    if parsed.has("to-earliest") {
        return Ok(at(client, partitions, EARLIEST).await?);
    }
    if parsed.has("to-latest") {
        return Ok(at(client, partitions, LATEST).await?);
    }
    let text = parsed.text("to-datetime")?;
    let unparsable = || Exception::new("java.text.ParseException", format!("Unparseable date: \"{text}\""));
    let timestamp = time::parse_datetime(text).ok_or_else(unparsable)?;
    at_time(client, partitions, timestamp, out).await
}

async fn alter(client: &Client, id: &str, plan: &[(TopicPartition, Offset)]) -> Result<(), Exception> {
    let mut topics: Vec<AlterShareGroupOffsetsRequestTopic> = Vec::new();
    for (partition, offset) in plan {
        let entry = AlterShareGroupOffsetsRequestPartition {
            partition_index: partition.partition,
            start_offset: *offset,
            ..Default::default()
        };
        match topics.iter_mut().find(|topic| topic.topic_name == *partition.topic) {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(AlterShareGroupOffsetsRequestTopic {
                topic_name: partition.topic.to_string(),
                partitions: vec![entry],
                ..Default::default()
            }),
        }
    }
    let request = AlterShareGroupOffsetsRequest { group_id: id.to_owned(), topics, ..Default::default() };
    let response = ask(client, id, &request, |response| response.error_code).await?;
    Exception::check(response.error_code, response.error_message.as_deref())?;
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        Exception::check(partition.error_code, partition.error_message.as_deref())?;
    }
    Ok(())
}
