//! `kafka-consumer-groups.sh --delete` and `--delete-offsets`.

use std::collections::BTreeMap;

use client::Client;
use protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use protocol::messages::{DeleteGroupsRequest, OffsetDeleteRequest};
use protocol::{ErrorCode, TopicPartition};

use super::{MISSING, groups, print_error, reset, selected};
use crate::cli::java::{DEFAULT_CAPACITY, Exception, Failure, hash_order};
use crate::cli::options::Parsed;
use crate::cli::out::Out;

/// Deletes groups.
pub(super) async fn groups(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for group in selected(client, parsed).await? {
        let request = DeleteGroupsRequest { groups_names: vec![group.clone()], ..Default::default() };
        let answer = groups::ask(client, &group, &request, |response| {
            response.results.first().map_or(0, |result| result.error_code)
        })
        .await;
        let result = answer.map_err(Exception::from).and_then(|response| {
            response.results.iter().try_for_each(|result| Exception::check(result.error_code, None))
        });
        match result {
            Ok(()) => deleted.push(group),
            Err(error) => failed.push((group, error)),
        }
    }
    hash_order(&mut deleted, DEFAULT_CAPACITY, |group| group);
    hash_order(&mut failed, DEFAULT_CAPACITY, |(group, _)| group);
    let quoted = deleted.iter().map(|group| format!("'{group}'")).collect::<Vec<_>>().join(", ");
    if failed.is_empty() {
        return Ok(out.line(format_args!("Deletion of requested consumer groups ({quoted}) was successful."))?);
    }
    print_error(out, "Deletion of some consumer groups failed:")?;
    for (group, error) in failed {
        out.line(format_args!("* Group '{group}' could not be deleted due to: {error}"))?;
    }
    if !deleted.is_empty() {
        out.line(format_args!("\nThese consumer groups were deleted successfully: {quoted}"))?;
    }
    Ok(())
}

/// Deletes offsets of a group.
pub(super) async fn offsets(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let group = parsed.text("group")?;
    let mut results: BTreeMap<TopicPartition, Result<(), Exception>> = BTreeMap::new();
    let mut partitions = Vec::new();
    for text in parsed.all("topic") {
        if text.contains(':') {
            partitions.extend(reset::topic_partitions(text)?);
            continue;
        }
        let cluster = client.metadata(Some(&[text])).await?;
        match cluster.topic(text) {
            Some(topic) => {
                let of_topic = topic.partitions.iter();
                partitions.extend(of_topic.map(|partition| TopicPartition::new(text, partition.index)));
            }
            None => {
                let error = Exception::of_code(ErrorCode::UnknownTopicOrPartition, None);
                results.insert(TopicPartition::new(text, -1), Err(error));
            }
        }
    }
    let code = delete(client, group, &partitions, &mut results).await?;
    match code {
        ErrorCode::None => out.line(format_args!("Request succeeded for deleting offsets from group {group}."))?,
        ErrorCode::InvalidGroupId
        | ErrorCode::GroupIdNotFound
        | ErrorCode::GroupAuthorizationFailed
        | ErrorCode::NonEmptyGroup => print_error(out, code.message())?,
        ErrorCode::GroupSubscribedToTopic
        | ErrorCode::TopicAuthorizationFailed
        | ErrorCode::UnknownTopicOrPartition => {
            print_error(out, "Encountered some partition-level error, see the follow-up details.")?;
        }
        other => print_error(out, &format!("Encountered some unknown error: {}", other.name()))?,
    }
    let width = results.keys().map(|partition| partition.topic.len()).max().unwrap_or(0).max(15);
    out.text(format_args!("\n{:<width$} {:<10} {:<15}", "TOPIC", "PARTITION", "STATUS"))?;
    for (partition, result) in &results {
        let index = if partition.partition < 0 { MISSING.to_owned() } else { partition.partition.to_string() };
        let status = result.as_ref().map_or_else(|error| format!("Error: {error}"), |()| "Successful".to_owned());
        out.text(format_args!("\n{:<width$} {index:<10} {status:<15}", partition.topic))?;
    }
    out.line("")?;
    Ok(())
}

async fn delete(
    client: &Client,
    group: &str,
    partitions: &[TopicPartition],
    results: &mut BTreeMap<TopicPartition, Result<(), Exception>>,
) -> Result<ErrorCode, Exception> {
    let mut topics: Vec<OffsetDeleteRequestTopic> = Vec::new();
    for partition in partitions {
        let entry = OffsetDeleteRequestPartition { partition_index: partition.partition };
        match topics.iter_mut().find(|topic| topic.name == *partition.topic) {
            Some(topic) => topic.partitions.push(entry),
            None => {
                topics.push(OffsetDeleteRequestTopic { name: partition.topic.to_string(), partitions: vec![entry] })
            }
        }
    }
    let request = OffsetDeleteRequest { group_id: group.to_owned(), topics };
    let response = groups::ask(client, group, &request, |response| response.error_code).await?;
    let whole = ErrorCode::from_code(response.error_code);
    if whole.is_error() {
        for partition in partitions {
            results.insert(partition.clone(), Err(Exception::of_code(whole, None)));
        }
        return Ok(whole);
    }
    let mut first = ErrorCode::None;
    for topic in response.topics {
        for partition in topic.partitions {
            let code = ErrorCode::from_code(partition.error_code);
            if first == ErrorCode::None {
                first = code;
            }
            let result = Exception::check(partition.error_code, None);
            results.insert(TopicPartition::new(topic.name.as_str(), partition.partition_index), result);
        }
    }
    Ok(first)
}
