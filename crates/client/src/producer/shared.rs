//! What the callers of a producer, its sender task and the responses share.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use protocol::ErrorCode;
use protocol::types::PartitionIndex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::ProducerConfig;
use super::batches::{Batch, BatchLimits, GivenUp, Identity, PartitionQueue};
use super::delivery::Written;
use super::topics::{TopicQueues, Topics};
use crate::{Client, ClientError};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) config: ProducerConfig,
    pub(super) topics: Topics,
    /// Wakes the sender.
    pub(super) wake: Notify,
    pub(super) closed: AtomicBool,
    pub(super) identity: Mutex<IdentityState>,
    pub(super) refresh_wanted: AtomicBool,
    limits: BatchLimits,
    memory: Semaphore,
    waiting_for_memory: AtomicUsize,
    flushing: AtomicUsize,
    scheduled: Mutex<Vec<Arc<PartitionQueue>>>,
    next_batch_id: AtomicU64,
    /// Ids of batches without a result, and into how many each is split.
    incomplete: Mutex<BTreeMap<u64, usize>>,
    completed: Notify,
    fatal: Mutex<Option<ClientError>>,
}

#[derive(Debug, Default)]
pub(super) struct IdentityState {
    pub(super) current: Option<Identity>,
    pub(super) requesting: bool,
}

impl Shared {
    pub(super) fn new(client: Client, config: ProducerConfig) -> Self {
        let limits = BatchLimits {
            batch_size: config.batch_size,
            linger: config.linger,
            delivery_timeout: config.delivery_timeout,
            retries: config.retries,
            compression: config.compression,
            compression_level: config.compression_level,
            idempotence: config.idempotence,
        };
        let memory = Semaphore::new(config.buffer_memory.min(Semaphore::MAX_PERMITS));
        Self {
            client,
            config,
            topics: Topics::default(),
            wake: Notify::new(),
            closed: AtomicBool::new(false),
            identity: Mutex::default(),
            refresh_wanted: AtomicBool::new(false),
            limits,
            memory,
            waiting_for_memory: AtomicUsize::new(0),
            flushing: AtomicUsize::new(0),
            scheduled: Mutex::default(),
            next_batch_id: AtomicU64::new(1),
            incomplete: Mutex::default(),
            completed: Notify::new(),
            fatal: Mutex::default(),
        }
    }

    pub(super) fn check_open(&self) -> Result<(), ClientError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(ClientError::Closed);
        }
        self.fatal.lock().clone().map_or(Ok(()), Err)
    }

    /// Takes memory for a batch if there is enough.
    pub(super) fn reserve(&self, memory: usize) -> bool {
        let permits = u32::try_from(memory).ok().and_then(|permits| self.memory.try_acquire_many(permits).ok());
        permits.map(tokio::sync::SemaphorePermit::forget).is_some()
    }

    /// Waits until there are `memory` bytes for a batch.
    pub(super) async fn await_memory(&self, memory: usize) -> Result<(), ClientError> {
        let permits = u32::try_from(memory.min(self.config.buffer_memory)).unwrap_or(u32::MAX);
        self.waiting_for_memory.fetch_add(1, Ordering::AcqRel);
        self.wake.notify_one();
        let waited = tokio::time::timeout(self.config.max_block, self.memory.acquire_many(permits)).await;
        self.waiting_for_memory.fetch_sub(1, Ordering::AcqRel);
        match waited {
            Ok(permit) => permit.map(drop).map_err(|_| ClientError::Closed),
            Err(_) => {
                let what = "the allocation of memory for a batch".to_owned();
                Err(ClientError::Timeout { what, after: self.config.max_block })
            }
        }
    }

    /// Waits for metadata of a topic that was not sent to before, which the broker may create.
    pub(super) async fn await_topic(&self, name: &str) -> Result<Arc<TopicQueues>, ClientError> {
        let deadline = Instant::now() + self.config.max_block;
        loop {
            self.check_open()?;
            let error = match self.fetch_topic(name).await {
                Ok(topic) => return Ok(topic),
                Err(error) => error,
            };
            let pause = self.client.config().retry_backoff;
            if Instant::now() + pause >= deadline {
                let what = format!("Topic {name} not present in metadata: waiting for it");
                return Err(ClientError::Timeout { what, after: self.config.max_block });
            }
            if !error.is_retriable() {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn fetch_topic(&self, name: &str) -> Result<Arc<TopicQueues>, ClientError> {
        let cluster = self.client.metadata_creating(Some(&[name]), true).await?;
        let topic = cluster.topics.get(name).ok_or(ClientError::broker(ErrorCode::UnknownTopicOrPartition))?;
        ClientError::check(topic.error.code(), None)?;
        if topic.partitions.is_empty() {
            return Err(ClientError::broker(ErrorCode::LeaderNotAvailable));
        }
        Ok(self.topics.ensure(&topic.name, topic.partitions.len(), self.limits))
    }

    /// Waits until the topic has `partition`.
    pub(super) async fn await_partition(&self, topic: &str, partition: PartitionIndex) -> Result<(), ClientError> {
        if partition < 0 {
            return Err(ClientError::InvalidArgument("a partition is never negative"));
        }
        let deadline = Instant::now() + self.config.max_block;
        loop {
            if self.fetch_topic(topic).await.is_ok_and(|topic| topic.queue(partition).is_some()) {
                return Ok(());
            }
            let pause = self.client.config().retry_backoff;
            if Instant::now() + pause >= deadline {
                let what = format!("Partition {partition} of topic {topic} not present in metadata: waiting for it");
                return Err(ClientError::Timeout { what, after: self.config.max_block });
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Adds queues for partitions that the metadata has by now.
    pub(super) fn grow_topics(&self) {
        let cluster = self.client.cluster();
        for name in self.topics.names() {
            if let Some(topic) = cluster.topic(&name) {
                self.topics.ensure(&name, topic.partitions.len(), self.limits);
            }
        }
    }

    /// The partition at a random number, of those with a leader if any has one.
    pub(super) fn available_partition(&self, topic: &TopicQueues, random: u64) -> PartitionIndex {
        let pick = |count: usize| usize::try_from(random % count.max(1) as u64).unwrap_or(0);
        let cluster = self.client.cluster();
        let name = topic.name();
        let known = cluster.topic(name).map(|topic| topic.partitions.as_slice()).unwrap_or_default();
        let queues = topic.partitions();
        let led: Vec<PartitionIndex> = known
            .iter()
            .take(queues)
            .filter(|partition| partition.leader.is_some())
            .map(|partition| partition.index)
            .collect();
        let any = PartitionIndex::try_from(pick(queues)).unwrap_or(0);
        led.get(pick(led.len())).copied().unwrap_or(any)
    }

    pub(super) fn new_batch_id(&self) -> u64 {
        let id = self.next_batch_id.fetch_add(1, Ordering::Relaxed);
        self.incomplete.lock().insert(id, 1);
        id
    }

    pub(super) fn schedule(&self, queue: &Arc<PartitionQueue>) {
        self.scheduled.lock().push(queue.clone());
        self.wake.notify_one();
    }

    pub(super) fn take_scheduled(&self, into: &mut Vec<Arc<PartitionQueue>>) {
        into.append(&mut self.scheduled.lock());
    }

    /// Whether open batches are to be sent before their time.
    pub(super) fn is_pressed(&self) -> bool {
        self.flushing.load(Ordering::Acquire) > 0 || self.waiting_for_memory.load(Ordering::Acquire) > 0
    }

    pub(super) async fn flush(&self) {
        self.flushing.fetch_add(1, Ordering::AcqRel);
        self.wake.notify_one();
        let until = self.next_batch_id.load(Ordering::Acquire);
        loop {
            let completed = self.completed.notified();
            if self.incomplete.lock().first_key_value().is_none_or(|(oldest, _)| *oldest >= until) {
                break;
            }
            completed.await;
        }
        self.flushing.fetch_sub(1, Ordering::AcqRel);
    }

    /// Tells everybody who waits for the batch, and gives its memory back.
    pub(super) fn complete(&self, batch: &Batch, result: Result<Written, ClientError>) {
        batch.outcome.complete(result);
        self.memory.add_permits(batch.memory);
        if let Entry::Occupied(mut left) = self.incomplete.lock().entry(batch.id) {
            *left.get_mut() -= 1;
            if *left.get() == 0 {
                left.remove();
            }
        }
        self.completed.notify_waiters();
    }

    /// A batch became two, which both have to be completed.
    pub(super) fn note_split(&self, id: u64) {
        self.incomplete.lock().entry(id).and_modify(|parts| *parts += 1);
    }

    /// Completes a batch that was given up, and leaves its epoch behind.
    pub(super) fn follow_up(&self, given_up: GivenUp) {
        let GivenUp { batch, error, leave } = given_up;
        if let Some(left) = leave {
            let mut identity = self.identity.lock();
            if identity.current == Some(left) {
                // At the last epoch a new producer id is asked for.
                identity.current = left.epoch.checked_add(1).map(|epoch| Identity { epoch, ..left });
            }
        }
        self.complete(&batch, Err(error));
    }

    /// Fails everything that waits, and everything sent from now on.
    pub(super) fn abandon(&self, error: &ClientError) {
        self.fatal.lock().get_or_insert_with(|| error.clone());
        for queue in self.topics.queues() {
            for batch in queue.clear() {
                self.complete(&batch, Err(error.clone()));
            }
        }
    }
}
