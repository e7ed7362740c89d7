//! What brokers say of share groups and of where they start.

use client::{Client, CoordinatorType};
use protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use protocol::messages::share_group_describe_response::DescribedGroup;
use protocol::messages::{DescribeShareGroupOffsetsRequest, ShareGroupDescribeRequest};
use protocol::{ErrorCode, TopicPartition};

use crate::cli::consumer_groups::groups::ask;
use crate::cli::java::Exception;

/// Where a group starts in a partition.
#[derive(Debug)]
pub(super) struct StartOffset {
    pub(super) partition: TopicPartition,
    /// None before the first delivery.
    pub(super) offset: Option<i64>,
    pub(super) leader_epoch: i32,
    pub(super) lag: Option<i64>,
}

/// One group, and its coordinator as `host:port  (id)`.
/// # Errors
/// `GROUP_ID_NOT_FOUND`, and others of the coordinator.
pub(super) async fn group(client: &Client, id: &str) -> Result<(DescribedGroup, String), Exception> {
    let request = ShareGroupDescribeRequest { group_ids: vec![id.to_owned()], ..Default::default() };
    let response =
        ask(client, id, &request, |response| response.groups.first().map_or(0, |group| group.error_code)).await?;
    let missing = || Exception::of_code(ErrorCode::GroupIdNotFound, None);
    let group = response.groups.into_iter().next().ok_or_else(missing)?;
    Exception::check(group.error_code, group.error_message.as_deref())?;
    let node = client.find_coordinator(CoordinatorType::Group, id).await?;
    let cluster = client.cluster();
    let address =
        cluster.brokers.get(&node).map_or_else(String::new, |broker| format!("{}:{}", broker.host, broker.port));
    Ok((group, format!("{address}  ({node})")))
}

/// Where a group starts, sorted by partition.
/// # Errors
/// Those of the coordinator.
pub(super) async fn start_offsets(client: &Client, id: &str) -> Result<Vec<StartOffset>, Exception> {
    let group = DescribeShareGroupOffsetsRequestGroup { group_id: id.to_owned(), topics: None, ..Default::default() };
    let request = DescribeShareGroupOffsetsRequest { groups: vec![group], ..Default::default() };
    let response =
        ask(client, id, &request, |response| response.groups.first().map_or(0, |group| group.error_code)).await?;
    let mut offsets = Vec::new();
    for group in response.groups {
        Exception::check(group.error_code, group.error_message.as_deref())?;
        for topic in group.topics {
            for found in topic.partitions.into_iter().filter(|found| found.error_code == 0) {
                offsets.push(StartOffset {
                    partition: TopicPartition::new(topic.topic_name.as_str(), found.partition_index),
                    offset: (found.start_offset >= 0).then_some(found.start_offset),
                    leader_epoch: found.leader_epoch,
                    lag: (found.lag >= 0).then_some(found.lag),
                });
            }
        }
    }
    offsets.sort_by(|left, right| left.partition.cmp(&right.partition));
    Ok(offsets)
}
