//! The producer: collects records to batches per partition and sends them to the leaders.
//! [`Producer::send`] runs on the caller's task up to the batch; one sender task takes it from there. Records wait in at
//! most `buffer.memory` bytes, beyond which `send` waits, too.

mod batches;
mod config;
mod delivery;
mod partitioner;
mod request;
mod sender;
mod settle;
mod shared;
#[cfg(test)]
mod tests;
mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use protocol::record::{BatchBuilder, HEADER_SIZE, Header};
use protocol::types::{PartitionIndex, TimestampMs};
use tokio::task::JoinHandle;

use crate::{Client, ClientError, clock};
use batches::{Appended, PartitionQueue, Wake};
use shared::Shared;
use topics::TopicQueues;

pub use config::{Acks, ProducerConfig};
pub use delivery::{Delivery, RecordMetadata};
pub use partitioner::{murmur2, partition_for_key};

/// A record to send; it is copied into a batch, so it may borrow everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition, or `None` to choose by the key, or evenly without one.
    pub partition: Option<PartitionIndex>,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [Header],
    /// Time, or `None` for now.
    pub timestamp: Option<TimestampMs>,
}

/// Sends records. Dropping it gives up what was not sent yet: [`Producer::close`] does not.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    sender: JoinHandle<()>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.sender.abort();
        self.shared.abandon(&ClientError::Closed);
    }
}

impl Producer {
    /// Starts a producer with connections of its own to the cluster of `client`.
    /// # Errors
    /// [`ClientError::InvalidConfig`] if settings exclude each other.
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(client: Client, config: ProducerConfig) -> Result<Self, ClientError> {
        config.check()?;
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("producer-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let shared = Arc::new(Shared::new(client.with_own_connections(&name), config));
        let sender = tokio::spawn(sender::run(shared.clone()));
        Ok(Self { shared, sender })
    }

    /// Puts a record into a batch of its partition. Waits for metadata of the topic when it is first used, and for memory
    /// when `buffer.memory` is used up, for at most `max.block.ms`. Records of one task go to a partition in order of
    /// the calls.
    /// # Errors
    /// [`ClientError::RecordTooLarge`], [`ClientError::Timeout`], [`ClientError::Closed`], or the topic's error.
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery, ClientError> {
        let timestamp = record.timestamp.unwrap_or_else(clock::wall_ms);
        self.check_size(&record)?;
        loop {
            self.shared.check_open()?;
            let topic = match self.shared.topics.existing(record.topic) {
                Some(topic) => topic,
                None => self.shared.await_topic(record.topic).await?,
            };
            let chosen = self.choose(&topic, &record);
            let Some(queue) = topic.queue(chosen) else {
                self.shared.await_partition(record.topic, chosen).await?;
                continue;
            };
            match self.append(&topic, &queue, &record, timestamp) {
                Ok(delivery) => return Ok(delivery),
                Err(memory) => self.shared.await_memory(memory).await?,
            }
        }
    }

    /// Sends everything that was handed to [`Producer::send`] before, without waiting for `linger.ms`, and waits for the
    /// outcome; each record's own is with its [`Delivery`].
    pub async fn flush(&self) {
        self.shared.flush().await;
    }

    /// Flushes and ends the producer; later sends fail.
    pub async fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.flush().await;
        self.sender.abort();
    }

    fn append(
        &self,
        topic: &TopicQueues,
        queue: &Arc<PartitionQueue>,
        record: &Record<'_>,
        timestamp: TimestampMs,
    ) -> Result<Delivery, usize> {
        let shared = &self.shared;
        match queue.append(record, timestamp, |memory| shared.reserve(memory), || shared.new_batch_id()) {
            Appended::NeedsMemory(memory) => Err(memory),
            Appended::Taken { delivery, new_batch, wake, size } => {
                if record.partition.is_none() && (record.key.is_none() || shared.config.ignore_keys) {
                    let share = shared.config.batch_size.max(1);
                    topic.sticky.appended(queue.topic_partition.partition, size, new_batch, share);
                }
                match wake {
                    Wake::No => {}
                    Wake::Yes => shared.wake.notify_one(),
                    Wake::Schedule => shared.schedule(queue),
                }
                Ok(delivery)
            }
        }
    }

    fn choose(&self, topic: &TopicQueues, record: &Record<'_>) -> PartitionIndex {
        if let Some(partition) = record.partition {
            return partition;
        }
        match record.key.filter(|_| !self.shared.config.ignore_keys) {
            Some(key) => partition_for_key(key, topic.partitions()),
            None => topic.sticky.current(|random| self.shared.available_partition(topic, random)),
        }
    }

    fn check_size(&self, record: &Record<'_>) -> Result<(), ClientError> {
        let size = HEADER_SIZE + BatchBuilder::record_size_bound(record.key, record.value, record.headers);
        let config = &self.shared.config;
        let limits = [("max.request.size", config.max_request_size), ("buffer.memory", config.buffer_memory)];
        match limits.into_iter().find(|(_, limit)| size > *limit) {
            Some((setting, limit)) => Err(ClientError::RecordTooLarge { size, limit, setting }),
            None => Ok(()),
        }
    }
}
