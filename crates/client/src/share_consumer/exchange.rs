//! What goes to the leaders and comes back: fetches with acknowledgements on them, and acknowledgements alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::messages::share_fetch_response::PartitionData;
use protocol::messages::{ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse};
use protocol::types::BrokerId;
use protocol::{ErrorCode, TopicPartition};
use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::acknowledgements::Acknowledgements;
use super::membership::TopicIdPartition;
use super::session::Pending;
use super::{Acknowledged, MAX_RESULTS, ShareConsumer, delivery};
use crate::cluster::{Lane, backoff};
use crate::{Client, ClientError};

/// A broker's answer.
#[derive(Debug)]
pub(super) enum Answer {
    Fetched { node: BrokerId, sent: Pending, answer: Result<ShareFetchResponse, ClientError> },
    Acknowledged { node: BrokerId, sent: Pending, answer: Result<ShareAcknowledgeResponse, ClientError> },
}

impl ShareConsumer {
    /// Asks every leader of assigned partitions that has nothing to answer.
    pub(super) async fn start_fetches(&mut self) -> Result<(), ClientError> {
        if self.retry_at.is_some_and(|retry_at| Instant::now() < retry_at) {
            return Ok(());
        }
        self.retry_at = None;
        let assigned = self.membership.assigned();
        let leaders = self.leaders(assigned).await?;
        // A session that has nothing left is told so once.
        let mut nodes: BTreeSet<BrokerId> = leaders.keys().copied().collect();
        nodes.extend(self.sessions.iter().filter(|(_, session)| !session.partitions().is_empty()).map(|(id, _)| *id));
        for node in nodes {
            if self.busy.contains(&node) {
                continue;
            }
            let partitions = leaders.get(&node).cloned().unwrap_or_default();
            let sent = self.take_pending(node, &partitions);
            let session = self.sessions.entry(node).or_default();
            let request = session.fetch(&self.config, self.membership.member_id(), partitions, &sent);
            let (client, wait) = (self.client.clone(), self.config.fetch_max_wait);
            self.busy.push(node);
            self.tasks.spawn(async move {
                let answer = fetch(&client, node, &request, wait).await;
                Answer::Fetched { node, sent, answer }
            });
        }
        Ok(())
    }

    /// Sends the acknowledgements that wait.
    pub(super) async fn start_acknowledgements(&mut self) -> Result<(), ClientError> {
        let pending: BTreeSet<TopicIdPartition> = self.pending.keys().copied().collect();
        for (node, partitions) in self.leaders(pending).await? {
            let sent = self.take_pending(node, &partitions);
            let session = self.sessions.entry(node).or_default();
            if sent.is_empty() {
                continue;
            }
            let request = session.acknowledge(&self.config.group_id, self.membership.member_id(), &sent);
            self.start_acknowledgement(node, sent, request);
        }
        Ok(())
    }

    /// Ends all sessions.
    pub(super) async fn start_closing(&mut self) -> Result<(), ClientError> {
        let pending: BTreeSet<TopicIdPartition> = self.pending.keys().copied().collect();
        let leaders = self.leaders(pending).await?;
        let open: Vec<BrokerId> =
            self.sessions.iter().filter(|(_, session)| session.is_open()).map(|(node, _)| *node).collect();
        for node in open {
            let partitions = leaders.get(&node).cloned().unwrap_or_default();
            let sent = self.take_pending(node, &partitions);
            let session = self.sessions.entry(node).or_default();
            let request = session.close(&self.config.group_id, self.membership.member_id(), &sent);
            self.start_acknowledgement(node, sent, request);
        }
        Ok(())
    }

    fn start_acknowledgement(&mut self, node: BrokerId, sent: Pending, request: ShareAcknowledgeRequest) {
        let client = self.client.clone();
        self.busy.push(node);
        self.tasks.spawn(async move {
            let answer = acknowledge(&client, node, &request).await;
            Answer::Acknowledged { node, sent, answer }
        });
    }

    /// Takes in what a broker has said.
    pub(super) async fn take_answer(&mut self, answer: Result<Answer, JoinError>) {
        match answer {
            Ok(Answer::Fetched { node, sent, answer }) => {
                self.busy.retain(|busy| *busy != node);
                match answer.and_then(|response| checked(response.error_code, response)) {
                    Ok(response) => self.fetched(node, sent, response),
                    Err(error) => self.session_failed(node, sent, error).await,
                }
            }
            Ok(Answer::Acknowledged { node, sent, answer }) => {
                self.busy.retain(|busy| *busy != node);
                match answer.and_then(|response| checked(response.error_code, response)) {
                    Ok(response) => self.acknowledgements_answered(node, sent, &response),
                    Err(error) => self.session_failed(node, sent, error).await,
                }
            }
            Err(error) => {
                warn!(%error, "a task of the share consumer ended");
                self.busy.clear();
            }
        }
    }

    fn fetched(&mut self, node: BrokerId, mut sent: Pending, response: ShareFetchResponse) {
        self.failures = 0;
        self.sessions.entry(node).or_default().advance();
        self.note_lock_timeout(response.acquisition_lock_timeout_ms);
        for topic in response.responses {
            for data in &topic.partitions {
                let partition = (topic.topic_id, data.partition_index);
                if let Some(sent) = sent.remove(&partition) {
                    self.note(partition, &sent, refusal(data.acknowledge_error_code, &data.acknowledge_error_message));
                }
                self.take_records(partition, data);
            }
        }
        // What the broker does not mention went well.
        for (partition, sent) in sent {
            self.note(partition, &sent, None);
        }
    }

    fn take_records(&mut self, partition: TopicIdPartition, data: &PartitionData) {
        if let Some(error) = refusal(data.error_code, &data.error_message) {
            debug!(?partition, %error, "share fetch failed");
            self.pause();
            return;
        }
        let Some(named) = self.named(&partition) else { return };
        let mut gaps = Acknowledgements::default();
        match delivery::decode(&named, data, self.config.check_crcs, &mut gaps) {
            Ok(records) => self.buffered.extend(records.into_iter().map(|record| (partition, record))),
            Err(error) => warn!(%named, %error, "acquired records could not be read"),
        }
        if !gaps.is_empty() {
            self.pending.entry(partition).or_default().extend(gaps);
        }
    }

    fn acknowledgements_answered(&mut self, node: BrokerId, mut sent: Pending, response: &ShareAcknowledgeResponse) {
        self.sessions.entry(node).or_default().advance();
        self.note_lock_timeout(response.acquisition_lock_timeout_ms);
        for topic in &response.responses {
            for data in &topic.partitions {
                let partition = (topic.topic_id, data.partition_index);
                if let Some(sent) = sent.remove(&partition) {
                    self.note(partition, &sent, refusal(data.error_code, &data.error_message));
                }
            }
        }
        for (partition, sent) in sent {
            self.note(partition, &sent, None);
        }
    }

    async fn session_failed(&mut self, node: BrokerId, sent: Pending, error: ClientError) {
        debug!(node, %error, "share session failed");
        self.sessions.entry(node).or_default().reset();
        for (partition, sent) in sent {
            self.note(partition, &sent, Some(error.clone()));
        }
        self.pause();
    }

    /// Keeps what became of acknowledgements, and returns renewed records to the application.
    fn note(&mut self, partition: TopicIdPartition, sent: &Acknowledgements, error: Option<ClientError>) {
        let renewed = self.deliveries.renewed(partition, sent);
        if error.is_none() {
            self.buffered.extend(renewed.into_iter().map(|record| (partition, record)));
        }
        let Some(named) = self.named(&partition) else { return };
        let offsets: Vec<i64> = sent.offsets().collect();
        if offsets.is_empty() {
            return;
        }
        if self.acknowledged.len() >= MAX_RESULTS {
            self.acknowledged.pop_front();
        }
        self.acknowledged.push_back(Acknowledged { partition: named, offsets, error });
    }

    fn note_lock_timeout(&mut self, millis: i32) {
        if let Some(millis) = u64::try_from(millis).ok().filter(|millis| *millis > 0) {
            self.lock_timeout = Some(Duration::from_millis(millis));
        }
    }

    fn pause(&mut self) {
        self.failures += 1;
        let config = self.client.config();
        let pause = backoff(config.retry_backoff, config.retry_backoff_max, self.failures);
        self.retry_at = Some(Instant::now() + pause);
    }

    /// The acknowledgements for a leader; those that its session cannot take any more have failed.
    fn take_pending(&mut self, node: BrokerId, partitions: &BTreeSet<TopicIdPartition>) -> Pending {
        let session = self.sessions.entry(node).or_default();
        let is_open = session.is_open();
        let known: Vec<TopicIdPartition> = partitions.union(session.partitions()).copied().collect();
        let mut taken = Pending::new();
        for partition in known {
            if let Some(acknowledgements) = self.pending.remove(&partition) {
                taken.insert(partition, acknowledgements);
            }
        }
        if is_open {
            return taken;
        }
        for (partition, sent) in taken {
            let error = ClientError::broker(ErrorCode::InvalidShareSessionEpoch);
            self.note(partition, &sent, Some(error));
        }
        Pending::new()
    }

    /// Partitions by leader. Those that no leader is known of are left out, and asked for.
    async fn leaders(
        &mut self,
        partitions: BTreeSet<TopicIdPartition>,
    ) -> Result<BTreeMap<BrokerId, BTreeSet<TopicIdPartition>>, ClientError> {
        let leader = |consumer: &Self, partition: &TopicIdPartition| -> Option<BrokerId> {
            let TopicPartition { topic, partition } = consumer.named(partition)?;
            Some(consumer.client.cluster().leader(&topic, partition)?.0)
        };
        if self.failures > 0 || partitions.iter().any(|partition| leader(self, partition).is_none()) {
            let topics = self.membership.topics();
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            self.client.metadata(Some(&topics)).await?;
        }
        let mut leaders: BTreeMap<BrokerId, BTreeSet<TopicIdPartition>> = BTreeMap::new();
        let mut leaderless = false;
        for partition in partitions {
            match leader(self, &partition) {
                Some(node) => {
                    leaders.entry(node).or_default().insert(partition);
                }
                None => leaderless = true,
            }
        }
        if leaderless {
            self.pause();
        }
        Ok(leaders)
    }
}

fn checked<T>(code: i16, response: T) -> Result<T, ClientError> {
    ClientError::check(code, None).map(|()| response)
}

fn refusal(code: i16, message: &Option<String>) -> Option<ClientError> {
    ClientError::check(code, message.as_deref()).err()
}

async fn fetch(
    client: &Client,
    node: BrokerId,
    request: &ShareFetchRequest,
    wait: Duration,
) -> Result<ShareFetchResponse, ClientError> {
    let connection = client.broker(node, Lane::Fetch).await?;
    let version = connection.version::<ShareFetchRequest>(None)?;
    connection.send_timeout(request, version, client.config().request_timeout + wait).await
}

async fn acknowledge(
    client: &Client,
    node: BrokerId,
    request: &ShareAcknowledgeRequest,
) -> Result<ShareAcknowledgeResponse, ClientError> {
    // On the lane of fetches, since a session's requests have an order.
    let connection = client.broker(node, Lane::Fetch).await?;
    connection.send(request).await
}
