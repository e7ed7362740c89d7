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
        loop {
            self.leaf().0.wait().await;
            if let Some(result) = self.result() {
                return result;
            }
        }
    }

    /// Whether both records are in one batch, and so share their outcome.
    #[must_use]
    pub fn shares_batch(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.leaf().0, other.leaf().0)
    }

    /// The result, if there is one already.
    #[must_use]
    pub fn result(&self) -> Option<Result<RecordMetadata, ClientError>> {
        let (outcome, index) = self.leaf();
        let written = match outcome.result.get()? {
            Settled::Written(written) => written,
            Settled::Failed(error) => return Some(Err(error.clone())),
            // It was split just now.
            Settled::Split(_) => return None,
        };
        let offset = if written.base_offset < 0 { -1 } else { written.base_offset + Offset::from(index) };
        Some(Ok(RecordMetadata {
            topic: outcome.topic_partition.topic.clone(),
            partition: outcome.topic_partition.partition,
            offset,
            timestamp: if written.log_append_time < 0 { self.timestamp } else { written.log_append_time },
        }))
    }

    /// The outcome of the batch that the record is in by now, and its index there.
    fn leaf(&self) -> (&Arc<Outcome>, u32) {
        let (mut outcome, mut index) = (&self.outcome, self.index);
        while let Some(Settled::Split(parts)) = outcome.result.get() {
            let Some((first, part)) = parts.iter().rev().find(|(first, _)| *first <= index) else { break };
            (outcome, index) = (part, index - first);
        }
        (outcome, index)
    }
}

/// Where a batch was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) base_offset: Offset,
    pub(super) log_append_time: TimestampMs,
}

/// What became of a batch.
#[derive(Debug)]
enum Settled {
    Written(Written),
    Failed(ClientError),
    /// It was too large: smaller ones went in its place, each beginning with the record of this index.
    Split(Vec<(u32, Arc<Outcome>)>),
}

/// The outcome of one batch; set once.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) topic_partition: TopicPartition,
    result: OnceLock<Settled>,
    done: Notify,
}

impl Outcome {
    pub(super) fn new(topic_partition: TopicPartition) -> Self {
        Self { topic_partition, result: OnceLock::new(), done: Notify::new() }
    }

    /// Sets the result, if there is none yet.
    pub(super) fn complete(&self, result: Result<Written, ClientError>) {
        self.settle(result.map_or_else(Settled::Failed, Settled::Written));
    }

    /// Leaves the result to the outcomes of smaller batches.
    pub(super) fn split(&self, parts: Vec<(u32, Arc<Self>)>) {
        self.settle(Settled::Split(parts));
    }

    fn settle(&self, settled: Settled) {
        // The first result stands: a batch that was given up may still be answered.
        let _ = self.result.set(settled);
        self.done.notify_waiters();
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
