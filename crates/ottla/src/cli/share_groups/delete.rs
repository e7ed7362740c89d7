//! `kafka-share-groups.sh --delete` and `--delete-offsets`.

use std::collections::BTreeMap;

use client::Client;
use protocol::ErrorCode;
use protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use protocol::messages::{DeleteGroupsRequest, DeleteShareGroupOffsetsRequest};

use super::{listed, print_error};
use crate::cli::consumer_groups::groups::ask;
use crate::cli::java::{DEFAULT_CAPACITY, Exception, Failure, hash_order};
use crate::cli::options::Parsed;
use crate::cli::out::Out;

/// Deletes groups.
pub(super) async fn groups(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let known = listed(client, Vec::new()).await?;
    let mut ids: Vec<String> = match parsed.has("all-groups") {
        true => known.iter().map(|group| group.group_id.clone()).collect(),
        false => parsed.all("group").into_iter().map(str::to_owned).collect(),
    };
    let mut seen = std::collections::BTreeSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        let state = known.iter().find(|group| group.group_id == id).map(|group| group.group_state.as_str());
        let result = match state {
            None => Err(Exception::illegal_argument(format!("Group '{id}' is not a share group."))),
            Some("Dead") => Err(Exception::new(
                "java.lang.IllegalStateException",
                format!("Share group '{id}' group state is DEAD."),
            )),
            Some("Empty") => delete(client, &id).await,
            Some(_) => {
                let message = format!("Share group '{id}' is not EMPTY.");
                Err(Exception::of_code(ErrorCode::NonEmptyGroup, Some(&message)))
            }
        };
        match result {
            Ok(()) => deleted.push(id),
            Err(error) => failed.push((id, error)),
        }
    }
    hash_order(&mut deleted, DEFAULT_CAPACITY, |id| id);
    hash_order(&mut failed, DEFAULT_CAPACITY, |(id, _)| id);
    let quoted = deleted.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
    if failed.is_empty() {
        return Ok(out.line(format_args!("Deletion of requested share groups ({quoted}) was successful."))?);
    }
    print_error(out, "Deletion of some share groups failed:")?;
    for (id, error) in failed {
        out.line(format_args!("* Group '{id}' could not be deleted due to: {error}"))?;
    }
    if !deleted.is_empty() {
        out.line(format_args!("\nThese share groups were deleted successfully: {quoted}"))?;
    }
    Ok(())
}

async fn delete(client: &Client, id: &str) -> Result<(), Exception> {
    let request = DeleteGroupsRequest { groups_names: vec![id.to_owned()], ..Default::default() };
    let response =
        ask(client, id, &request, |response| response.results.first().map_or(0, |result| result.error_code)).await?;
    response.results.iter().try_for_each(|result| Exception::check(result.error_code, None))
}

/// Deletes where a group starts in topics.
pub(super) async fn offsets(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let group = parsed.text("group")?;
    let mut results: BTreeMap<&str, Option<Exception>> = BTreeMap::new();
    let topics = parsed.all("topic");
    let named = topics
        .iter()
        .map(|topic| DeleteShareGroupOffsetsRequestTopic { topic_name: (*topic).to_owned(), ..Default::default() });
    let request =
        DeleteShareGroupOffsetsRequest { group_id: group.to_owned(), topics: named.collect(), ..Default::default() };
    let response = ask(client, group, &request, |response| response.error_code).await;
    let answer = response.map_err(Exception::from).and_then(|response| {
        Exception::check(response.error_code, response.error_message.as_deref()).map(|()| response)
    });
    match answer {
        Ok(response) => {
            for topic in &topics {
                let found = response.responses.iter().find(|found| found.topic_name == *topic);
                let error =
                    found.and_then(|found| Exception::check(found.error_code, found.error_message.as_deref()).err());
                results.insert(topic, error);
            }
        }
        Err(error) => {
            match error.code {
                ErrorCode::InvalidGroupId
                | ErrorCode::GroupIdNotFound
                | ErrorCode::GroupAuthorizationFailed
                | ErrorCode::NonEmptyGroup => print_error(out, &error.message)?,
                ErrorCode::TopicAuthorizationFailed | ErrorCode::UnknownTopicOrPartition => {}
                _ => print_error(out, &format!("Encounter some unknown error: {error}"))?,
            }
            results.extend(topics.iter().map(|topic| (*topic, Some(error.clone()))));
        }
    }
    let width = results.keys().map(|topic| topic.chars().count()).max().unwrap_or(0).max(15);
    out.text(format_args!("\n{:<width$} STATUS", "TOPIC"))?;
    for (topic, error) in results {
        let status = error.map_or_else(|| "Successful".to_owned(), |error| format!("Error: {}", error.message));
        out.text(format_args!("\n{topic:<width$} {status}"))?;
    }
    Ok(out.line("")?)
}
