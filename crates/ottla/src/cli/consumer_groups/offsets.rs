//! Offsets that groups committed.

use std::collections::BTreeMap;

use client::{Client, ClientError, CoordinatorType};
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use protocol::messages::{OffsetCommitRequest, OffsetFetchRequest, Request};
use protocol::types::{LeaderEpoch, Offset};
use protocol::{ErrorCode, TopicPartition};

use crate::cli::java::Exception;

/// Last version of OffsetCommit and OffsetFetch that names topics by their names.
const NAMED_VERSION: i16 = 9;
/// First version of OffsetFetch that takes several groups.
const GROUPS_VERSION: i16 = 8;

/// Committed offsets and the leader epochs committed with them.
pub(super) type Committed = BTreeMap<TopicPartition, (Offset, Option<LeaderEpoch>)>;

async fn ask<R: Request>(
    client: &Client,
    group: &str,
    request: impl Fn(i16) -> R,
    code: impl Fn(&R::Response) -> i16,
) -> Result<R::Response, ClientError> {
    client
        .retry("coordinator", async || {
            let connection = client.coordinator(CoordinatorType::Group, group).await?;
            let version = connection.version::<R>(Some(NAMED_VERSION))?;
            let response = connection.send_version(&request(version), version).await?;
            let error = ErrorCode::from_code(code(&response));
            if matches!(error, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
                client.forget_coordinator(CoordinatorType::Group, group);
                return Err(ClientError::broker(error));
            }
            Ok(response)
        })
        .await
}

/// Everything that a group committed.
/// # Errors
/// The coordinator's.
pub(super) async fn committed(client: &Client, group: &str) -> Result<Committed, Exception> {
    let request = |version: i16| {
        let mut request = OffsetFetchRequest { require_stable: false, ..Default::default() };
        if version >= GROUPS_VERSION {
            let asked = OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..Default::default() };
            request.groups = vec![asked];
        } else {
            group.clone_into(&mut request.group_id);
            request.topics = None;
        }
        request
    };
    let response = ask(client, group, request, |response| {
        response.groups.first().map_or(response.error_code, |group| group.error_code)
    })
    .await?;
    let mut offsets = Committed::new();
    let mut add = |topic: &str, partition: i32, offset: Offset, epoch: LeaderEpoch| {
        if offset >= 0 {
            offsets.insert(TopicPartition::new(topic, partition), (offset, (epoch >= 0).then_some(epoch)));
        }
    };
    Exception::check(response.error_code, None)?;
    for topic in &response.topics {
        for found in &topic.partitions {
            add(&topic.name, found.partition_index, found.committed_offset, found.committed_leader_epoch);
        }
    }
    for group in &response.groups {
        Exception::check(group.error_code, None)?;
        for topic in &group.topics {
            for found in &topic.partitions {
                add(&topic.name, found.partition_index, found.committed_offset, found.committed_leader_epoch);
            }
        }
    }
    Ok(offsets)
}

/// Commits for a group without members.
/// # Errors
/// The coordinator's.
pub(super) async fn commit(
    client: &Client,
    group: &str,
    offsets: &[(TopicPartition, Offset)],
) -> Result<(), Exception> {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for (partition, offset) in offsets {
        let entry = OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: *offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(String::new()),
            ..Default::default()
        };
        match topics.iter_mut().find(|topic| topic.name == *partition.topic) {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(OffsetCommitRequestTopic {
                name: partition.topic.to_string(),
                partitions: vec![entry],
                ..Default::default()
            }),
        }
    }
    let request = |_: i16| OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        retention_time_ms: -1,
        topics: topics.clone(),
        ..Default::default()
    };
    let response = ask(client, group, request, |response| {
        let first = response.topics.first().and_then(|topic| topic.partitions.first());
        first.map_or(0, |partition| partition.error_code)
    })
    .await?;
    for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
        Exception::check(partition.error_code, None)?;
    }
    Ok(())
}
