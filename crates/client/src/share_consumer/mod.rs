//! The share consumer (KIP-932): reads topics together with the other members of its share group, record by record
//! instead of partition by partition. [`ShareConsumer`] is owned by one task. Requests are made by tasks of its own, and
//! only its methods take in what comes of them: a `poll` that is cancelled loses nothing.

mod acknowledgements;
mod config;
mod delivery;
mod exchange;
mod membership;
mod session;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use protocol::types::{BrokerId, Offset};
use protocol::{TopicPartition, Uuid};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::warn;

use crate::consumer::ConsumerRecord;
use crate::{Client, ClientError};
use delivery::Deliveries;
use exchange::Answer;
use membership::{Membership, TopicIdPartition};
use session::{Pending, Session};

pub use acknowledgements::Acknowledgement;
pub use config::{AcknowledgementMode, AcquireMode, ShareConsumerConfig};

/// Results of acknowledgements that are kept until [`ShareConsumer::take_acknowledged`]; older ones are forgotten.
const MAX_RESULTS: usize = 10_000;

/// A record that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRecord {
    /// The record.
    pub record: ConsumerRecord,
    /// How often it was delivered, this time included.
    pub delivery_count: i16,
}

/// What the broker said to acknowledgements of one partition.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The partition.
    pub partition: TopicPartition,
    /// The records.
    pub offsets: Vec<Offset>,
    /// Why they are not acknowledged.
    pub error: Option<ClientError>,
}

/// Reads records as a member of a share group; see the module. Dropping it leaves its records locked until their locks time
/// out: [`ShareConsumer::close`] does not.
#[derive(Debug)]
pub struct ShareConsumer {
    client: Client,
    config: Arc<ShareConsumerConfig>,
    membership: Arc<Membership>,
    heartbeats: Option<JoinHandle<()>>,
    sessions: BTreeMap<BrokerId, Session>,
    /// Records that were acquired and not returned yet.
    buffered: VecDeque<(TopicIdPartition, ShareRecord)>,
    deliveries: Deliveries,
    /// Acknowledgements that were not sent yet.
    pending: Pending,
    acknowledged: VecDeque<Acknowledged>,
    lock_timeout: Option<Duration>,
    tasks: JoinSet<Answer>,
    busy: Vec<BrokerId>,
    failures: u32,
    retry_at: Option<Instant>,
}

impl ShareConsumer {
    /// A share consumer with connections of its own to the cluster of `client`.
    #[must_use]
    pub fn new(client: &Client, config: ShareConsumerConfig) -> Self {
        let member_id = random_uuid().to_string();
        Self {
            client: client.with_own_connections(&format!("consumer-{}", config.group_id)),
            membership: Membership::new(&config.group_id, member_id),
            config: Arc::new(config),
            heartbeats: None,
            sessions: BTreeMap::new(),
            buffered: VecDeque::new(),
            deliveries: Deliveries::default(),
            pending: Pending::new(),
            acknowledged: VecDeque::new(),
            lock_timeout: None,
            tasks: JoinSet::new(),
            busy: Vec::new(),
            failures: 0,
            retry_at: None,
        }
    }

    /// Id of the member.
    #[must_use]
    pub fn member_id(&self) -> &str {
        self.membership.member_id()
    }

    /// Reads `topics` from now on.
    pub fn subscribe<T: Into<String>>(&mut self, topics: impl IntoIterator<Item = T>) {
        self.membership.subscribe(topics.into_iter().map(Into::into).collect());
        if self.heartbeats.is_none() {
            let beating = Arc::clone(&self.membership).run(self.client.clone());
            self.heartbeats = Some(tokio::spawn(beating));
        }
    }

    /// The partitions that are read now, as far as their topics are known.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.membership.assigned().iter().filter_map(|partition| self.named(partition)).collect()
    }

    /// How long a delivered record is locked for this consumer; none before the first delivery.
    #[must_use]
    pub fn acquisition_lock_timeout(&self) -> Option<Duration> {
        self.lock_timeout
    }

    /// The next records, about `max.poll.records`; none when `timeout` is over. With implicit acknowledgement, those of
    /// the `poll` before are accepted.
    /// # Errors
    /// [`ClientError::InvalidArgument`] while there is no subscription, or where a record has to be acknowledged before;
    /// what ended the membership.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ShareRecord>, ClientError> {
        if self.heartbeats.is_none() {
            return Err(ClientError::InvalidArgument("Consumer is not subscribed to any topics."));
        }
        self.settle_deliveries()?;
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(failure) = self.membership.failure() {
                return Err(failure);
            }
            if !self.buffered.is_empty() {
                return Ok(self.deliver());
            }
            self.start_fetches().await?;
            let wake_at = self.retry_at.map_or(deadline, |retry_at| retry_at.min(deadline));
            let membership = Arc::clone(&self.membership);
            tokio::select! {
                Some(answer) = self.tasks.join_next() => self.take_answer(answer).await,
                () = membership.updated.notified() => {}
                () = tokio::time::sleep_until(wake_at) => {}
            }
            if Instant::now() >= deadline && self.buffered.is_empty() {
                return Ok(Vec::new());
            }
        }
    }

    /// Says what is to become of a record of the last `poll`.
    /// # Errors
    /// [`ClientError::InvalidArgument`] with implicit acknowledgement, and for a record that was not delivered.
    pub fn acknowledge(&mut self, record: &ShareRecord, with: Acknowledgement) -> Result<(), ClientError> {
        let partition = TopicPartition::new(Arc::clone(&record.record.topic), record.record.partition);
        self.acknowledge_offset(&partition, record.record.offset, with)
    }

    /// As [`ShareConsumer::acknowledge`].
    /// # Errors
    /// As [`ShareConsumer::acknowledge`].
    pub fn acknowledge_offset(
        &mut self,
        partition: &TopicPartition,
        offset: Offset,
        with: Acknowledgement,
    ) -> Result<(), ClientError> {
        if self.config.acknowledgement_mode == AcknowledgementMode::Implicit {
            return Err(ClientError::InvalidArgument("Implicit acknowledgement of delivery is being used."));
        }
        if self.deliveries.acknowledge(partition, offset, with) {
            return Ok(());
        }
        Err(ClientError::InvalidArgument("The record cannot be acknowledged."))
    }

    /// Sends all acknowledgements and waits for what the brokers say to them. With implicit acknowledgement, everything
    /// that was delivered is accepted.
    /// # Errors
    /// If a leader cannot be found; what a broker refuses is in the results.
    pub async fn commit(&mut self) -> Result<Vec<Acknowledged>, ClientError> {
        self.drain_deliveries();
        // A session's requests have an order, so a fetch has to end before.
        while let Some(answer) = self.tasks.join_next().await {
            self.take_answer(answer).await;
        }
        let before: Vec<Acknowledged> = self.acknowledged.drain(..).collect();
        self.start_acknowledgements().await?;
        while let Some(answer) = self.tasks.join_next().await {
            self.take_answer(answer).await;
        }
        let results: Vec<Acknowledged> = self.acknowledged.drain(..).collect();
        self.acknowledged.extend(before);
        Ok(results)
    }

    /// Sends all acknowledgements with the next fetch, without waiting for it.
    pub fn commit_later(&mut self) {
        self.drain_deliveries();
    }

    /// What brokers have said to acknowledgements since the last call.
    pub fn take_acknowledged(&mut self) -> Vec<Acknowledged> {
        self.acknowledged.drain(..).collect()
    }

    /// Sends all acknowledgements, gives back what was not acknowledged, and leaves the group; all for at most `timeout`.
    /// # Errors
    /// The failure of leaving.
    pub async fn close(&mut self, timeout: Duration) -> Result<(), ClientError> {
        let closed = tokio::time::timeout(timeout, self.close_sessions()).await;
        if let Some(beating) = self.heartbeats.take() {
            beating.abort();
        }
        closed.unwrap_or_else(|_| {
            Err(ClientError::Timeout { what: "closing the share consumer".to_owned(), after: timeout })
        })
    }

    async fn close_sessions(&mut self) -> Result<(), ClientError> {
        self.drain_deliveries();
        while let Some(answer) = self.tasks.join_next().await {
            self.take_answer(answer).await;
        }
        if let Err(error) = self.start_closing().await {
            warn!(%error, "share sessions could not be closed");
        }
        while let Some(answer) = self.tasks.join_next().await {
            self.take_answer(answer).await;
        }
        if let Some(beating) = self.heartbeats.take() {
            beating.abort();
        }
        self.membership.leave(&self.client).await
    }

    /// Takes back the records of the last `poll`.
    fn settle_deliveries(&mut self) -> Result<(), ClientError> {
        if self.config.acknowledgement_mode == AcknowledgementMode::Explicit && self.deliveries.has_open() {
            return Err(ClientError::InvalidArgument(
                "All records must be acknowledged in explicit acknowledgement mode.",
            ));
        }
        self.drain_deliveries();
        Ok(())
    }

    fn drain_deliveries(&mut self) {
        if self.config.acknowledgement_mode == AcknowledgementMode::Implicit {
            self.deliveries.accept_all();
        }
        self.deliveries.drain_into(&mut self.pending);
    }

    fn deliver(&mut self) -> Vec<ShareRecord> {
        let count = self.buffered.len().min(self.config.max_poll_records);
        let delivered: Vec<(TopicIdPartition, ShareRecord)> = self.buffered.drain(..count).collect();
        let mut records = Vec::with_capacity(count);
        for (partition, record) in delivered {
            self.deliveries.add(partition, record.clone());
            records.push(record);
        }
        records
    }

    fn named(&self, (topic_id, partition): &TopicIdPartition) -> Option<TopicPartition> {
        let cluster = self.client.cluster();
        let name = cluster.topic_names.get(topic_id)?;
        Some(TopicPartition::new(Arc::clone(name), *partition))
    }
}

/// A random id of version 4. The hasher of maps is seeded by the system; nothing here has to be hard to guess.
fn random_uuid() -> Uuid {
    let random = |salt: u64| RandomState::new().hash_one(salt).to_be_bytes();
    let (high, low) = (random(1), random(2));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high);
    bytes[8..].copy_from_slice(&low);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}
