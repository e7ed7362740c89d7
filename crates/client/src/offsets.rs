//! Offsets as clusters keep them: at times, at the ends of logs, and committed by groups. Retries until
//! `default.api.timeout.ms` is over. Shared by the consumer and the admin operations.

use std::collections::BTreeMap;

use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse,
};
use protocol::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use protocol::{ErrorCode, TopicPartition};
use tokio::task::JoinSet;

use crate::consumer::{IsolationLevel, OffsetAndMetadata};
use crate::{Client, ClientError, CoordinatorType, Lane};

/// Last version of OffsetCommit and OffsetFetch that names topics by their names.
const NAMED_VERSION: i16 = 9;
/// First version of OffsetFetch that takes several groups.
const GROUPS_VERSION: i16 = 8;
/// First version of OffsetFetch that can wait for open transactions.
const STABLE_VERSION: i16 = 7;

/// An offset found by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset, or -1 if no record is as young.
    pub offset: Offset,
    /// Time of the record there, or -1 for an end of the log.
    pub timestamp: TimestampMs,
    /// Epoch of the leader that wrote it, if known.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// One result per partition.
pub type PerPartition<T> = BTreeMap<TopicPartition, Result<T, ClientError>>;

/// Offsets of the first records at or after the given times, or at special timestamps such as -1 (latest).
pub(crate) async fn list_offsets(
    client: &Client,
    times: BTreeMap<TopicPartition, TimestampMs>,
    isolation: IsolationLevel,
) -> Result<PerPartition<ListedOffset>, ClientError> {
    let mut retries = client.retries("list offsets");
    let mut found = PerPartition::new();
    let mut open = times;
    let mut refresh = false;
    while !open.is_empty() {
        let by_leader = group_by_leader(client, &open, refresh).await?;
        let mut requests = JoinSet::new();
        let mut failure = ClientError::broker(ErrorCode::LeaderNotAvailable);
        for (leader, times) in by_leader {
            match leader {
                Ok(leader) => {
                    let client = client.clone();
                    requests.spawn(async move { ask_leader(&client, leader, &times, isolation).await });
                }
                Err(error) if !error.is_retriable() => {
                    for (partition, _) in times {
                        open.remove(&partition);
                        found.insert(partition, Err(error.clone()));
                    }
                }
                Err(error) => failure = error,
            }
        }
        while let Some(answer) = requests.join_next().await {
            match answer.unwrap_or(Err(ClientError::Closed)) {
                Ok(response) => match take_answers(response, &mut open, &mut found) {
                    Some(error) => failure = error,
                    None => continue,
                },
                Err(error) if error.is_retriable() => failure = error,
                Err(error) => return Err(error),
            }
        }
        if open.is_empty() {
            break;
        }
        refresh = true;
        if let Err(error) = retries.pause(failure).await {
            found.extend(open.into_keys().map(|partition| (partition, Err(error.clone()))));
            break;
        }
    }
    Ok(found)
}

type LeaderGroups = Vec<(Result<BrokerId, ClientError>, Vec<(TopicPartition, TimestampMs)>)>;

async fn group_by_leader(
    client: &Client,
    times: &BTreeMap<TopicPartition, TimestampMs>,
    refresh: bool,
) -> Result<LeaderGroups, ClientError> {
    let mut cluster = client.cluster();
    let known = |partition: &TopicPartition| cluster.leader(&partition.topic, partition.partition).is_some();
    if refresh || !times.keys().all(known) {
        let mut topics: Vec<&str> = times.keys().map(|partition| &*partition.topic).collect();
        topics.dedup();
        cluster = client.metadata(Some(&topics)).await?;
    }
    let mut groups: BTreeMap<BrokerId, Vec<(TopicPartition, TimestampMs)>> = BTreeMap::new();
    let mut failed = LeaderGroups::new();
    for (partition, time) in times {
        let entry = (partition.clone(), *time);
        match cluster.leader(&partition.topic, partition.partition) {
            Some((leader, _)) => groups.entry(leader).or_default().push(entry),
            None => {
                let topic = cluster.topics.get(&partition.topic);
                let code = topic.map_or(ErrorCode::UnknownTopicOrPartition, |topic| topic.error);
                let exists =
                    topic.is_some_and(|topic| topic.partitions.iter().any(|known| known.index == partition.partition));
                let code = match code {
                    ErrorCode::None if exists => ErrorCode::LeaderNotAvailable,
                    ErrorCode::None => ErrorCode::UnknownTopicOrPartition,
                    code => code,
                };
                failed.push((Err(ClientError::broker(code)), vec![entry]));
            }
        }
    }
    failed.extend(groups.into_iter().map(|(leader, entries)| (Ok(leader), entries)));
    Ok(failed)
}

async fn ask_leader(
    client: &Client,
    leader: BrokerId,
    times: &[(TopicPartition, TimestampMs)],
    isolation: IsolationLevel,
) -> Result<ListOffsetsResponse, ClientError> {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    let cluster = client.cluster();
    for (partition, timestamp) in times {
        if topics.last().is_none_or(|topic| *topic.name != *partition.topic) {
            topics.push(ListOffsetsTopic { name: partition.topic.to_string(), ..ListOffsetsTopic::default() });
        }
        let epoch = cluster.leader(&partition.topic, partition.partition).map_or(-1, |(_, epoch)| epoch);
        let entry = ListOffsetsPartition {
            partition_index: partition.partition,
            current_leader_epoch: epoch,
            timestamp: *timestamp,
            ..ListOffsetsPartition::default()
        };
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(entry);
        }
    }
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation.code(),
        topics,
        timeout_ms: i32::try_from(client.config().request_timeout.as_millis()).unwrap_or(i32::MAX),
        ..ListOffsetsRequest::default()
    };
    client.send_to(leader, &request).await
}

/// Moves final results to `found`; returns an error that may pass, if there was one.
fn take_answers(
    response: ListOffsetsResponse,
    open: &mut BTreeMap<TopicPartition, TimestampMs>,
    found: &mut PerPartition<ListedOffset>,
) -> Option<ClientError> {
    let mut passing = None;
    for topic in response.topics {
        for partition in topic.partitions {
            let topic_partition = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            let result = ClientError::check(partition.error_code, None).map(|()| ListedOffset {
                offset: partition.offset,
                timestamp: partition.timestamp,
                leader_epoch: (partition.leader_epoch >= 0).then_some(partition.leader_epoch),
            });
            match result {
                Err(error) if error.is_retriable() => passing = Some(error),
                result => {
                    open.remove(&topic_partition);
                    found.insert(topic_partition, result);
                }
            }
        }
    }
    passing
}

/// Who commits: a member of a group, or nobody in particular.
#[derive(Debug, Clone, Default)]
pub(crate) struct Committer {
    pub(crate) group_id: String,
    pub(crate) generation: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

impl Committer {
    /// Somebody outside of the group's membership.
    pub(crate) fn outside(group_id: &str) -> Self {
        Self { group_id: group_id.to_owned(), generation: -1, ..Self::default() }
    }
}

/// Commits offsets of a group.
pub(crate) async fn commit(
    client: &Client,
    committer: &Committer,
    offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
) -> Result<PerPartition<()>, ClientError> {
    let request = commit_request(committer, offsets);
    let mut retries = client.retries("commit offsets");
    loop {
        let attempt = async {
            let connection = client.coordinator_on(Lane::Request, CoordinatorType::Group, &committer.group_id).await?;
            let version = connection.version::<OffsetCommitRequest>(Some(NAMED_VERSION))?;
            connection.send_version(&request, version).await
        };
        let error = match attempt.await {
            Err(error) => error,
            Ok(response) => {
                let results = response.topics.into_iter().flat_map(|topic| {
                    topic.partitions.into_iter().map(move |partition| {
                        let topic_partition = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                        (topic_partition, ClientError::check(partition.error_code, None))
                    })
                });
                let results: PerPartition<()> = results.collect();
                match results.values().find_map(|result| result.as_ref().err().filter(|error| may_pass(error))) {
                    Some(error) => error.clone(),
                    None => return Ok(results),
                }
            }
        };
        follow_coordinator(client, &committer.group_id, &error);
        retries.pause(error).await?;
    }
}

fn commit_request(committer: &Committer, offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>) -> OffsetCommitRequest {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for (partition, offset) in offsets {
        if topics.last().is_none_or(|topic| *topic.name != *partition.topic) {
            let name = partition.topic.to_string();
            topics.push(OffsetCommitRequestTopic { name, ..OffsetCommitRequestTopic::default() });
        }
        let entry = OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch.unwrap_or(-1),
            committed_metadata: Some(offset.metadata.clone()),
            ..OffsetCommitRequestPartition::default()
        };
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(entry);
        }
    }
    OffsetCommitRequest {
        group_id: committer.group_id.clone(),
        generation_id_or_member_epoch: committer.generation,
        member_id: committer.member_id.clone(),
        group_instance_id: committer.instance_id.clone(),
        topics,
        ..OffsetCommitRequest::default()
    }
}

/// A rebalance ends only when the member itself rejoins, so waiting for its end here would be in vain.
fn may_pass(error: &ClientError) -> bool {
    error.is_retriable() && error.code() != ErrorCode::RebalanceInProgress
}

/// Looks the coordinator up again if `error` says that it is another one.
pub(crate) fn follow_coordinator(client: &Client, group_id: &str, error: &ClientError) {
    let gone = matches!(
        error.code(),
        ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NetworkException
            | ErrorCode::RequestTimedOut
            | ErrorCode::BrokerNotAvailable
    );
    if gone {
        client.forget_coordinator(CoordinatorType::Group, group_id);
    }
}

/// Offsets that a group has committed: for `partitions`, or for all that it has. Those without one are left out.
pub(crate) async fn fetch_committed(
    client: &Client,
    group_id: &str,
    partitions: Option<&[TopicPartition]>,
) -> Result<PerPartition<OffsetAndMetadata>, ClientError> {
    let mut retries = client.retries("fetch committed offsets");
    loop {
        let attempt = async {
            let connection = client.coordinator_on(Lane::Request, CoordinatorType::Group, group_id).await?;
            let version = connection.version::<OffsetFetchRequest>(Some(NAMED_VERSION))?;
            let request = committed_request(group_id, partitions, version);
            read_committed(connection.send_version(&request, version).await?)
        };
        let error = match attempt.await {
            Err(error) => error,
            Ok(offsets) => {
                let passing = offsets.values().find_map(|result| result.as_ref().err().filter(|e| e.is_retriable()));
                match passing {
                    Some(error) => error.clone(),
                    None => return Ok(offsets),
                }
            }
        };
        follow_coordinator(client, group_id, &error);
        retries.pause(error).await?;
    }
}

fn committed_request(group_id: &str, partitions: Option<&[TopicPartition]>, version: i16) -> OffsetFetchRequest {
    let by_topic = partitions.map(|partitions| {
        let mut topics: BTreeMap<&str, Vec<PartitionIndex>> = BTreeMap::new();
        for partition in partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        topics
    });
    let mut request = OffsetFetchRequest { require_stable: version >= STABLE_VERSION, ..OffsetFetchRequest::default() };
    if version >= GROUPS_VERSION {
        let topic = |(name, partition_indexes): (&str, Vec<PartitionIndex>)| OffsetFetchRequestTopics {
            name: name.to_owned(),
            partition_indexes,
            ..OffsetFetchRequestTopics::default()
        };
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: group_id.to_owned(),
            topics: by_topic.map(|topics| topics.into_iter().map(topic).collect()),
            ..OffsetFetchRequestGroup::default()
        }];
        return request;
    }
    let topic = |(name, partition_indexes): (&str, Vec<PartitionIndex>)| OffsetFetchRequestTopic {
        name: name.to_owned(),
        partition_indexes,
        ..OffsetFetchRequestTopic::default()
    };
    group_id.clone_into(&mut request.group_id);
    request.topics = by_topic.map(|topics| topics.into_iter().map(topic).collect());
    request
}

fn read_committed(response: OffsetFetchResponse) -> Result<PerPartition<OffsetAndMetadata>, ClientError> {
    ClientError::check(response.error_code, None)?;
    let mut offsets = PerPartition::new();
    let mut insert = |topic: &str, index, code, committed: (Offset, LeaderEpoch, Option<String>)| {
        let (offset, epoch, metadata) = committed;
        if code == 0 && offset < 0 {
            return;
        }
        let value = OffsetAndMetadata {
            offset,
            leader_epoch: (epoch >= 0).then_some(epoch),
            metadata: metadata.unwrap_or_default(),
        };
        offsets.insert(TopicPartition::new(topic, index), ClientError::check(code, None).map(|()| value));
    };
    for topic in response.topics {
        for part in topic.partitions {
            let committed = (part.committed_offset, part.committed_leader_epoch, part.metadata);
            insert(&topic.name, part.partition_index, part.error_code, committed);
        }
    }
    for group in response.groups {
        ClientError::check(group.error_code, None)?;
        for topic in group.topics {
            for part in topic.partitions {
                let committed = (part.committed_offset, part.committed_leader_epoch, part.metadata);
                insert(&topic.name, part.partition_index, part.error_code, committed);
            }
        }
    }
    Ok(offsets)
}
