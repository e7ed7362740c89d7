//! Fetches from the leaders: one request at a time to each broker, over its session, for the partitions that have
//! nothing left to return.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::types::{BrokerId, Offset};
use protocol::{TopicPartition, Uuid};

use super::ConsumerConfig;
use super::session::{FetchSession, FetchTarget, SessionRequest};
use crate::cluster::Lane;
use crate::{Client, ClientError};

/// First version that names topics by their ids.
const TOPIC_ID_VERSION: i16 = 13;

/// What was asked of a partition: the offset, and the version of the position that it comes from.
pub(super) type Asked = BTreeMap<TopicPartition, (Offset, u64)>;

/// A broker's answer to one fetch.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) node: BrokerId,
    pub(super) asked: Asked,
    pub(super) response: Result<FetchResponse, ClientError>,
}

/// The sessions with the brokers.
#[derive(Debug, Default)]
pub(super) struct Fetcher {
    nodes: HashMap<BrokerId, Node>,
}

#[derive(Debug, Default)]
struct Node {
    session: FetchSession,
    in_flight: bool,
}

impl Fetcher {
    /// Whether a broker has no fetch to answer.
    pub(super) fn is_idle(&self, node: BrokerId) -> bool {
        self.nodes.get(&node).is_none_or(|node| !node.in_flight)
    }

    /// The request for the next fetch from a broker.
    pub(super) fn start(&mut self, node: BrokerId, targets: BTreeMap<TopicPartition, FetchTarget>) -> SessionRequest {
        let node = self.nodes.entry(node).or_default();
        node.in_flight = true;
        node.session.request(targets)
    }

    /// Notes an answer.
    pub(super) fn finish(&mut self, fetched: &Fetched) {
        let Some(node) = self.nodes.get_mut(&fetched.node) else { return };
        node.in_flight = false;
        match &fetched.response {
            Ok(response) => node.session.answered(response),
            Err(_) => node.session.restart(),
        }
    }
}

/// Sends one fetch and waits for the answer.
pub(super) async fn fetch(
    client: &Client,
    config: &ConsumerConfig,
    node: BrokerId,
    session: &SessionRequest,
) -> Result<FetchResponse, ClientError> {
    let connection = client.broker(node, Lane::Fetch).await?;
    let cap = if session.by_id { None } else { Some(TOPIC_ID_VERSION - 1) };
    let version = connection.version::<FetchRequest>(cap)?;
    let by_id = version >= TOPIC_ID_VERSION;
    let request = FetchRequest {
        max_wait_ms: millis(config.fetch_max_wait),
        min_bytes: config.fetch_min_bytes,
        max_bytes: config.fetch_max_bytes,
        isolation_level: config.isolation_level.code(),
        session_id: session.session_id,
        session_epoch: session.epoch,
        topics: topics(session, by_id),
        forgotten_topics_data: forgotten(session, by_id),
        rack_id: client.config().rack.clone(),
        ..FetchRequest::default()
    };
    connection.send_timeout(&request, version, client.config().request_timeout + config.fetch_max_wait).await
}

fn topics(session: &SessionRequest, by_id: bool) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    let mut last: Option<&str> = None;
    for (partition, target) in &session.targets {
        if last != Some(&partition.topic) {
            last = Some(&partition.topic);
            let (topic, topic_id) = named(partition, target.topic_id, by_id);
            topics.push(FetchTopic { topic, topic_id, ..FetchTopic::default() });
        }
        let entry = FetchPartition {
            partition: partition.partition,
            current_leader_epoch: target.leader_epoch,
            fetch_offset: target.offset,
            partition_max_bytes: target.max_bytes,
            ..FetchPartition::default()
        };
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(entry);
        }
    }
    topics
}

fn forgotten(session: &SessionRequest, by_id: bool) -> Vec<ForgottenTopic> {
    let mut topics: BTreeMap<(&str, Uuid), Vec<i32>> = BTreeMap::new();
    for (partition, id) in &session.forgotten {
        topics.entry((&partition.topic, *id)).or_default().push(partition.partition);
    }
    let topics = topics.into_iter().map(|((name, id), partitions)| {
        let (topic, topic_id) = if by_id { (String::new(), id) } else { (name.to_owned(), Uuid::ZERO) };
        ForgottenTopic { topic, topic_id, partitions, ..ForgottenTopic::default() }
    });
    topics.collect()
}

fn named(partition: &TopicPartition, id: Uuid, by_id: bool) -> (String, Uuid) {
    if by_id { (String::new(), id) } else { (partition.topic.to_string(), Uuid::ZERO) }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
