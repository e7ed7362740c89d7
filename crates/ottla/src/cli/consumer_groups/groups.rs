//! What brokers say of groups, in one form for both of Kafka's group protocols.

use bytes::Bytes;
use client::{Client, ClientError, CoordinatorType};
use protocol::messages::consumer_group_describe_response::DescribedGroup as ConsumerGroup;
use protocol::messages::describe_groups_response::DescribedGroup as ClassicGroup;
use protocol::messages::list_groups_response::ListedGroup;
use protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DescribeGroupsRequest, ListGroupsRequest, Request,
};
use protocol::{ErrorCode, Message as _, TopicPartition};

use crate::cli::java::{DEFAULT_CAPACITY, Exception, hash_order};

/// States of a consumer group, as brokers and users write them.
pub(super) const STATES: [&str; 7] =
    ["PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty", "Assigning", "Reconciling"];

/// A member of a group.
#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) host: String,
    pub(super) client_id: String,
    pub(super) assignment: Vec<TopicPartition>,
    pub(super) target: Vec<TopicPartition>,
    pub(super) epoch: Option<i32>,
    pub(super) upgraded: Option<bool>,
}

/// A group.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) assignor: String,
    pub(super) epoch: Option<i32>,
    pub(super) target_epoch: Option<i32>,
    pub(super) members: Vec<Member>,
    /// Host, port and id.
    pub(super) coordinator: (String, i32, i32),
}

/// Sends to the coordinator of `group`; looks it up again where it moved.
/// # Errors
/// The last failure; `code` finds the code of a whole response.
pub(in crate::cli) async fn ask<R: Request>(
    client: &Client,
    group: &str,
    request: &R,
    code: impl Fn(&R::Response) -> i16,
) -> Result<R::Response, ClientError> {
    client
        .retry("coordinator", async || {
            let response = client.send_to_coordinator(group, request).await?;
            let error = ErrorCode::from_code(code(&response));
            if matches!(error, ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) {
                client.forget_coordinator(CoordinatorType::Group, group);
                return Err(ClientError::broker(error));
            }
            if error == ErrorCode::CoordinatorLoadInProgress {
                return Err(ClientError::broker(error));
            }
            Ok(response)
        })
        .await
}

/// Consumer groups of the whole cluster, in these states and of these types where any are given.
/// # Errors
/// The first broker's that has one.
pub(super) async fn list(client: &Client, states: &[String], types: &[String]) -> Result<Vec<ListedGroup>, Exception> {
    let brokers: Vec<i32> = client.metadata(Some(&[])).await?.brokers.keys().copied().collect();
    let mut groups: Vec<ListedGroup> = Vec::new();
    for broker in brokers {
        let request = ListGroupsRequest {
            states_filter: states.to_vec(),
            types_filter: types.to_vec(),
            ..ListGroupsRequest::default()
        };
        let response = client.retry("listGroups", async || client.send_to(broker, &request).await).await?;
        Exception::check(response.error_code, None)?;
        let is_consumers =
            |group: &ListedGroup| matches!(group.protocol_type.as_str(), "" | "consumer") && is_consumer_type(group);
        groups.extend(response.groups.into_iter().filter(is_consumers));
    }
    hash_order(&mut groups, DEFAULT_CAPACITY, |group| &group.group_id);
    Ok(groups)
}

fn is_consumer_type(group: &ListedGroup) -> bool {
    ["", "classic", "consumer"].iter().any(|kind| group.group_type.eq_ignore_ascii_case(kind))
}

/// One group.
/// # Errors
/// `GROUP_ID_NOT_FOUND`, and others of the coordinator.
pub(super) async fn describe(client: &Client, id: &str) -> Result<Group, Exception> {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![id.to_owned()], ..Default::default() };
    let first = |groups: &[ConsumerGroup]| groups.first().map_or(0, |group| group.error_code);
    let answer = ask(client, id, &request, |response| first(&response.groups)).await;
    let mut group = match answer {
        Ok(response) => match response.groups.into_iter().next() {
            Some(group) if group.error_code == 0 => of_consumer(group),
            Some(group)
                if !matches!(
                    ErrorCode::from_code(group.error_code),
                    ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion
                ) =>
            {
                return Err(Exception::of_code(ErrorCode::from_code(group.error_code), group.error_message.as_deref()));
            }
            _ => classic(client, id).await?,
        },
        Err(error) if error.code() == ErrorCode::UnsupportedVersion => classic(client, id).await?,
        Err(error) => return Err(error.into()),
    };
    let node = client.find_coordinator(CoordinatorType::Group, id).await?;
    let cluster = client.cluster();
    let (host, port) =
        cluster.brokers.get(&node).map_or((String::new(), -1), |broker| (broker.host.clone(), broker.port));
    group.coordinator = (host, port, node);
    Ok(group)
}

async fn classic(client: &Client, id: &str) -> Result<Group, Exception> {
    let request = DescribeGroupsRequest { groups: vec![id.to_owned()], ..Default::default() };
    let first = |groups: &[ClassicGroup]| groups.first().map_or(0, |group| group.error_code);
    let response = ask(client, id, &request, |response| first(&response.groups)).await?;
    let group = response.groups.into_iter().next();
    let group = group.ok_or_else(|| Exception::of_code(ErrorCode::GroupIdNotFound, None))?;
    Exception::check(group.error_code, group.error_message.as_deref())?;
    if !matches!(group.protocol_type.as_str(), "" | "consumer") {
        let message = format!("GroupId {id} is not a consumer group ({}).", group.protocol_type);
        return Err(Exception::illegal_argument(message));
    }
    let members = group.members.into_iter().map(|member| Member {
        id: member.member_id,
        instance_id: member.group_instance_id,
        host: member.client_host,
        client_id: member.client_id,
        assignment: assignment(&member.member_assignment),
        ..Member::default()
    });
    Ok(Group {
        id: group.group_id,
        state: group.group_state,
        assignor: group.protocol_data,
        members: members.collect(),
        ..Group::default()
    })
}

fn assignment(bytes: &Bytes) -> Vec<TopicPartition> {
    let Some((head, _)) = bytes.split_first_chunk::<2>() else { return Vec::new() };
    let version = i16::from_be_bytes(*head).min(ConsumerProtocolAssignment::MAX_VERSION);
    let Ok(assignment) = ConsumerProtocolAssignment::decode_from(&bytes.slice(2..), version) else { return Vec::new() };
    let of_topic = assignment.assigned_partitions.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |partition| TopicPartition::new(topic.topic.as_str(), partition))
    });
    of_topic.collect()
}

fn of_consumer(group: ConsumerGroup) -> Group {
    let members = group.members.into_iter().map(|member| {
        let of = |topics: Vec<protocol::messages::consumer_group_describe_response::TopicPartitions>| {
            let of_topic = topics.into_iter().flat_map(|topic| {
                let name = topic.topic_name;
                topic.partitions.into_iter().map(move |partition| TopicPartition::new(name.as_str(), partition))
            });
            of_topic.collect::<Vec<_>>()
        };
        Member {
            id: member.member_id,
            instance_id: member.instance_id,
            host: member.client_host,
            client_id: member.client_id,
            assignment: of(member.assignment.topic_partitions),
            target: of(member.target_assignment.topic_partitions),
            epoch: Some(member.member_epoch),
            upgraded: match member.member_type {
                -1 => None,
                kind => Some(kind == 1),
            },
        }
    });
    Group {
        id: group.group_id,
        state: group.group_state,
        assignor: group.assignor_name,
        epoch: Some(group.group_epoch),
        target_epoch: Some(group.assignment_epoch),
        members: members.collect(),
        ..Group::default()
    }
}
