//! What becomes of a record that was sent: one shared outcome per batch, so that a record costs no allocation.

use std::sync::{Arc, OnceLock};

use protocol::TopicPartition;
use protocol::types::{Offset, PartitionIndex, TimestampMs};
use tokio::sync::Notify;

use crate::ClientError;

/// Where a record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset, or -1 if the broker did not say: with `acks=0`, and for a batch that it had already.
    pub offset: Offset,
    /// Its time, which is the broker's where the topic says so.
    pub timestamp: TimestampMs,
}

/// A record on its way; see [`Delivery::delivered`]. Dropping it does not stop the record.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub(super) outcome: Arc<Outcome>,
    pub(super) index: u32,
    pub(super) timestamp: TimestampMs,
}

impl Delivery {
    /// Waits until the record is acknowledged as `acks` asks for.
    /// # Errors
    /// The last failure, after all retries.
    pub async fn delivered(self) -> Result<RecordMetadata, ClientError> {
        self.outcome.wait().await;
        self.result().unwrap_or(Err(ClientError::Closed))
    }

    /// Whether both records went into one batch, and so share their outcome.
    #[must_use]
    pub fn shares_batch(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.outcome, &other.outcome)
    }

    /// The result, if there is one already.
    #[must_use]
    pub fn result(&self) -> Option<Result<RecordMetadata, ClientError>> {
        let written = match self.outcome.result.get()? {
            Ok(written) => written,
            Err(error) => return Some(Err(error.clone())),
        };
        let offset = if written.base_offset < 0 { -1 } else { written.base_offset + Offset::from(self.index) };
        let topic_partition = &self.outcome.topic_partition;
        Some(Ok(RecordMetadata {
            topic: topic_partition.topic.clone(),
            partition: topic_partition.partition,
            offset,
            timestamp: if written.log_append_time < 0 { self.timestamp } else { written.log_append_time },
        }))
    }
}

/// Where a batch was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) base_offset: Offset,
    pub(super) log_append_time: TimestampMs,
}

/// The outcome of one batch; set once.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) topic_partition: TopicPartition,
    result: OnceLock<Result<Written, ClientError>>,
    done: Notify,
}

impl Outcome {
    pub(super) fn new(topic_partition: TopicPartition) -> Self {
        Self { topic_partition, result: OnceLock::new(), done: Notify::new() }
    }

    /// Sets the result; false if there was one.
    pub(super) fn complete(&self, result: Result<Written, ClientError>) -> bool {
        let first = self.result.set(result).is_ok();
        self.done.notify_waiters();
        first
    }

    async fn wait(&self) {
        loop {
            let done = self.done.notified();
            if self.result.get().is_some() {
                return;
            }
            done.await;
        }
    }
}
