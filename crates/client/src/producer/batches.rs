//! The records of one partition on their way to its leader: an open batch that collects, closed ones that wait to be
//! sent in order, and the sequences that let the broker tell repetitions (KIP-98). Callers of `send` and the sender
//! share it under one lock.
//! Batches of a partition are sent in the order of their ids. While one is repeated no other is in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use protocol::record::{
    Batch as RecordBatch, BatchBuilder, BatchSettings, Compression, HEADER_SIZE, increment_sequence, patch_producer,
};
use protocol::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use protocol::{ErrorCode, TopicPartition};
use tokio::time::Instant;

use super::Record;
use super::delivery::{Delivery, Outcome};
use crate::ClientError;

/// Id and epoch that the broker knows an idempotent producer by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) producer_id: ProducerId,
    pub(super) epoch: ProducerEpoch,
}

/// What a batch is stamped with when it is first sent, and keeps when it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    identity: Identity,
    base_sequence: Sequence,
}

impl Stamp {
    /// The stamp of the part that begins with the record `first`.
    fn after(self, first: i32) -> Self {
        Self { base_sequence: increment_sequence(self.base_sequence, first), ..self }
    }
}

/// A batch that takes no more records.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: u64,
    /// Index of its first record in the batch that it was split from.
    first: u32,
    pub(super) outcome: Arc<Outcome>,
    pub(super) bytes: Bytes,
    /// Permits of the buffer memory that it holds.
    pub(super) memory: usize,
    pub(super) created: Instant,
    records: i32,
    attempts: u32,
    not_before: Instant,
    stamp: Option<Stamp>,
    last_error: Option<ClientError>,
}

#[derive(Debug)]
struct OpenBatch {
    id: u64,
    outcome: Arc<Outcome>,
    builder: BatchBuilder,
    memory: usize,
    created: Instant,
}

/// How batches are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    pub(super) batch_size: usize,
    pub(super) linger: Duration,
    pub(super) delivery_timeout: Duration,
    pub(super) retries: u32,
    pub(super) compression: Compression,
    pub(super) compression_level: Option<i32>,
    pub(super) idempotence: bool,
}

/// One partition's batches.
#[derive(Debug)]
pub(super) struct PartitionQueue {
    pub(super) topic_partition: TopicPartition,
    limits: BatchLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<OpenBatch>,
    closed: VecDeque<Batch>,
    /// Whether the sender looks at this partition.
    scheduled: bool,
    in_flight: usize,
    repeating: bool,
    identity: Option<Identity>,
    next_sequence: Sequence,
    next_acknowledged: Sequence,
    /// A sequence was given up, so those after it can never be accepted: start again at 0 with a new epoch.
    restart: bool,
}

/// What [`PartitionQueue::append`] did.
#[derive(Debug)]
pub(super) enum Appended {
    /// The record is in a batch.
    Taken {
        delivery: Delivery,
        /// The record opened a batch.
        new_batch: bool,
        /// The sender has something new to look at.
        wake: Wake,
        size: usize,
    },
    /// A new batch is needed, and this much memory for it.
    NeedsMemory(usize),
}

/// What the sender has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// Nothing.
    No,
    /// There is a full batch in a partition it looks at.
    Yes,
    /// To look at this partition.
    Schedule,
}

/// What [`PartitionQueue::take`] found.
#[derive(Debug)]
pub(super) enum Taken {
    /// A batch to send.
    Batch(Batch),
    /// Nothing until then.
    Later(Instant),
    /// Nothing before a response comes, or room is made in the request.
    Blocked,
    /// Nothing at all: the partition is not looked at any more.
    Empty,
}

/// What the sender knows when it asks for a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct TakeContext {
    pub(super) now: Instant,
    /// Send open batches before their linger time is over.
    pub(super) force: bool,
    pub(super) identity: Option<Identity>,
    /// Bytes that the request still takes.
    pub(super) room: usize,
}

/// A batch that will not be sent again.
#[derive(Debug)]
pub(super) struct GivenUp {
    pub(super) batch: Batch,
    pub(super) error: ClientError,
    /// The identity of its sequence, which has to be left behind.
    pub(super) leave: Option<Identity>,
}

impl PartitionQueue {
    pub(super) fn new(topic_partition: TopicPartition, limits: BatchLimits) -> Self {
        Self { topic_partition, limits, state: Mutex::default() }
    }

    /// Puts a record into the open batch, or into a new one if `reserve` grants the memory for it.
    pub(super) fn append(
        &self,
        record: &Record<'_>,
        timestamp: TimestampMs,
        reserve: impl FnOnce(usize) -> bool,
        next_id: impl FnOnce() -> u64,
    ) -> Appended {
        let size = BatchBuilder::record_size_bound(record.key, record.value, record.headers);
        let mut state = self.state.lock();
        let mut closed = false;
        if let Some(open) = &state.open
            && open.builder.size_in_bytes() + size > self.limits.batch_size
        {
            self.close(&mut state);
            closed = true;
        }
        let mut new_batch = false;
        if state.open.is_none() {
            let memory = self.limits.batch_size.max(HEADER_SIZE + size);
            if !reserve(memory) {
                return Appended::NeedsMemory(memory);
            }
            new_batch = true;
            state.open = Some(self.new_batch(next_id(), memory));
        }
        let open = state.open.as_mut().expect("there was one or one was just made");
        let index = open.builder.records_count().cast_unsigned();
        open.builder.append(timestamp, record.key, record.value, record.headers);
        let delivery = Delivery { outcome: open.outcome.clone(), index, timestamp };
        let full = open.builder.size_in_bytes() >= self.limits.batch_size;
        if full {
            self.close(&mut state);
        }
        let wake = match (state.scheduled, full || closed || new_batch) {
            (false, _) => Wake::Schedule,
            (true, true) => Wake::Yes,
            (true, false) => Wake::No,
        };
        state.scheduled = true;
        Appended::Taken { delivery, new_batch, wake, size }
    }

    /// The next batch to send, stamped and counted as in flight.
    pub(super) fn take(&self, context: TakeContext) -> Taken {
        let mut state = self.state.lock();
        if state.restart {
            if state.in_flight > 0 {
                return Taken::Blocked;
            }
            state.restart();
        }
        if state.closed.is_empty() {
            let Some(open) = &state.open else {
                state.scheduled = false;
                return Taken::Empty;
            };
            let due = open.created + self.limits.linger;
            if !context.force && due > context.now {
                return Taken::Later(due);
            }
            self.close(&mut state);
        }
        let Some(front) = state.closed.front() else { return Taken::Blocked };
        if front.not_before > context.now {
            return Taken::Later(front.not_before);
        }
        let is_repetition = front.attempts > 0;
        // A broker that knows nothing of a producer takes any sequence for its first: the second batch must not overtake.
        let is_unknown = self.limits.idempotence && state.next_acknowledged == 0;
        let alone = is_repetition || is_unknown;
        if front.bytes.len() > context.room || state.repeating || alone && state.in_flight > 0 {
            return Taken::Blocked;
        }
        if self.limits.idempotence && front.stamp.is_none() && !state.can_stamp(context.identity) {
            return Taken::Blocked;
        }
        let Some(mut batch) = state.closed.pop_front() else { return Taken::Blocked };
        if self.limits.idempotence {
            state.stamp(&mut batch);
        }
        state.repeating = is_repetition;
        state.in_flight += 1;
        Taken::Batch(batch)
    }

    /// Removes the batches that waited longer than `delivery.timeout.ms`.
    pub(super) fn expire(&self, now: Instant) -> Vec<GivenUp> {
        let mut state = self.state.lock();
        let mut expired = Vec::new();
        let too_old = |created: Instant| now.saturating_duration_since(created) >= self.limits.delivery_timeout;
        if state.open.as_ref().is_some_and(|open| too_old(open.created)) {
            self.close(&mut state);
        }
        while state.closed.front().is_some_and(|batch| too_old(batch.created)) {
            let Some(batch) = state.closed.pop_front() else { break };
            let what = format!("the delivery of {} record(s) to {}", batch.records, self.topic_partition);
            let timeout = ClientError::Timeout { what, after: self.limits.delivery_timeout };
            let error = batch.last_error.clone().filter(|error| !error.is_retriable()).unwrap_or(timeout);
            expired.push(state.give_up(batch, error));
        }
        expired
    }

    /// The broker has the batch.
    pub(super) fn acknowledged(&self, batch: &Batch) {
        let mut state = self.state.lock();
        state.landed();
        if let Some(stamp) = batch.stamp
            && state.identity == Some(stamp.identity)
        {
            state.next_acknowledged = increment_sequence(stamp.base_sequence, batch.records);
        }
    }

    /// The broker does not have the batch, or nobody knows. Queues it again in its place if that may help.
    pub(super) fn failed(
        &self,
        mut batch: Batch,
        error: ClientError,
        now: Instant,
        pause: Duration,
    ) -> Option<GivenUp> {
        let mut state = self.state.lock();
        state.landed();
        let in_time = now + pause < batch.created + self.limits.delivery_timeout;
        if !in_time || batch.attempts >= self.limits.retries || !state.may_repeat(&batch, &error) {
            return Some(state.give_up(batch, error));
        }
        batch.attempts += 1;
        batch.not_before = now + pause;
        batch.last_error = Some(error);
        state.requeue(batch);
        None
    }

    /// Replaces a batch that the broker finds too large by two halves, with its sequences; a single record is given back.
    pub(super) fn split(&self, batch: Batch) -> Option<Batch> {
        let Some((front, back)) = self.halves(&batch) else { return Some(batch) };
        let parts = [&front, &back].map(|part| (part.first - batch.first, part.outcome.clone()));
        let mut state = self.state.lock();
        state.landed();
        state.requeue(front);
        state.requeue(back);
        drop(state);
        batch.outcome.split(parts.into());
        None
    }

    fn halves(&self, batch: &Batch) -> Option<(Batch, Batch)> {
        let middle = batch.records / 2;
        if middle == 0 {
            return None;
        }
        let records = RecordBatch::parse(&batch.bytes).ok()?.records().ok()?;
        let mut builders = [0, middle].map(|first| (first, BatchBuilder::new(self.settings(batch.stamp, first))));
        for (at, record) in (0..).zip(records) {
            let record = record.ok()?;
            let builder = &mut builders[usize::from(at >= middle)].1;
            builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &record.headers);
        }
        let [front, back] = builders.map(|(first, builder)| Batch {
            id: batch.id,
            first: batch.first + first.cast_unsigned(),
            outcome: Arc::new(Outcome::new(self.topic_partition.clone())),
            records: builder.records_count(),
            bytes: builder.build(),
            // All of the memory goes back with the second half.
            memory: if first == 0 { 0 } else { batch.memory },
            created: batch.created,
            attempts: batch.attempts + 1,
            not_before: batch.created,
            stamp: batch.stamp.map(|stamp| stamp.after(first)),
            last_error: None,
        });
        Some((front, back))
    }

    /// Takes everything out, as the producer failed or is closed.
    pub(super) fn clear(&self) -> Vec<Batch> {
        let mut state = self.state.lock();
        self.close(&mut state);
        state.closed.drain(..).collect()
    }

    /// Asks that the sender looks at this partition; false if it does already.
    pub(super) fn schedule(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().scheduled, true)
    }

    /// Pause before the next attempt of a batch, from its failures so far.
    pub(super) fn pause(&self, batch: &Batch, first: Duration, max: Duration) -> Duration {
        crate::cluster::backoff(first, max, batch.attempts)
    }

    fn new_batch(&self, id: u64, memory: usize) -> OpenBatch {
        let mut builder = BatchBuilder::new(self.settings(None, 0));
        builder.reserve(memory);
        let outcome = Arc::new(Outcome::new(self.topic_partition.clone()));
        OpenBatch { id, outcome, builder, memory, created: Instant::now() }
    }

    /// Settings of a batch, with the sequences of the part from the record `first` on if there are any already.
    fn settings(&self, stamp: Option<Stamp>, first: i32) -> BatchSettings {
        let mut settings = BatchSettings {
            compression: self.limits.compression,
            level: self.limits.compression_level,
            ..BatchSettings::default()
        };
        if let Some(stamp) = stamp {
            settings.producer_id = stamp.identity.producer_id;
            settings.producer_epoch = stamp.identity.epoch;
            settings.base_sequence = stamp.after(first).base_sequence;
        }
        settings
    }

    fn close(&self, state: &mut State) {
        let Some(open) = state.open.take() else { return };
        state.closed.push_back(Batch {
            id: open.id,
            first: 0,
            outcome: open.outcome,
            records: open.builder.records_count(),
            bytes: open.builder.build(),
            memory: open.memory,
            created: open.created,
            attempts: 0,
            not_before: open.created,
            stamp: None,
            last_error: None,
        });
    }
}

impl State {
    /// Puts a batch back into its place.
    fn requeue(&mut self, batch: Batch) {
        let key = (batch.id, batch.first);
        let place = self.closed.partition_point(|other| (other.id, other.first) < key);
        self.closed.insert(place, batch);
    }

    fn landed(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 {
            self.repeating = false;
        }
    }

    /// Whether a batch can get a sequence now; a new identity starts only when nothing of the old one is under way.
    fn can_stamp(&mut self, current: Option<Identity>) -> bool {
        if self.identity == current {
            return current.is_some();
        }
        let stamped = self.in_flight > 0 || self.closed.iter().any(|batch| batch.stamp.is_some());
        if current.is_none() || stamped {
            return false;
        }
        self.identity = current;
        self.next_sequence = 0;
        self.next_acknowledged = 0;
        true
    }

    fn stamp(&mut self, batch: &mut Batch) {
        let (None, Some(identity)) = (batch.stamp, self.identity) else { return };
        let base_sequence = self.next_sequence;
        self.next_sequence = increment_sequence(base_sequence, batch.records);
        batch.stamp = Some(Stamp { identity, base_sequence });
        let mut bytes =
            std::mem::take(&mut batch.bytes).try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        patch_producer(&mut bytes, identity.producer_id, identity.epoch, base_sequence);
        batch.bytes = bytes.freeze();
    }

    fn restart(&mut self) {
        self.restart = false;
        self.identity = None;
        for batch in &mut self.closed {
            batch.stamp = None;
        }
    }

    fn may_repeat(&mut self, batch: &Batch, error: &ClientError) -> bool {
        let Some(stamp) = batch.stamp else { return error.is_retriable() };
        match error.code() {
            // A batch before it failed, so this one came too early; it is next in line only if the broker lost the others.
            ErrorCode::OutOfOrderSequenceNumber => self.restart || stamp.base_sequence != self.next_acknowledged,
            ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerEpoch => {
                self.restart = true;
                true
            }
            _ => error.is_retriable(),
        }
    }

    fn give_up(&mut self, batch: Batch, error: ClientError) -> GivenUp {
        let leave = batch.stamp.map(|stamp| stamp.identity);
        self.restart |= leave.is_some();
        GivenUp { batch, error, leave }
    }
}
