//! What is known of one transactional id, and how each event changes it.

use std::collections::BTreeSet;

use protocol::types::{ProducerEpoch, ProducerId, TimestampMs};
use protocol::{ErrorCode, TopicPartition};

use super::{Producer, TransactionOutcome};

/// No producer.
pub(super) const NO_PRODUCER_ID: ProducerId = -1;
/// No epoch.
pub(super) const NO_EPOCH: ProducerEpoch = -1;
/// The level of `transaction.version` from which every end of a transaction raises the epoch (KIP-890).
pub(super) const EPOCH_BUMP_VERSION: i16 = 2;

/// Where a transactional id is in the life of its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum TransactionState {
    /// There was none yet.
    Empty = 0,
    /// It has partitions.
    Ongoing = 1,
    /// It is committed; markers are being written.
    PrepareCommit = 2,
    /// It is aborted; markers are being written.
    PrepareAbort = 3,
    /// All markers of the commit are written.
    CompleteCommit = 4,
    /// All markers of the abort are written.
    CompleteAbort = 5,
}

impl TransactionState {
    const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// The state that a record names.
    pub(super) fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i8 == code)
    }

    /// Its name in requests and responses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether a filter may name it. Kafka knows two more that no transactional id is ever in.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        Self::ALL.into_iter().any(|state| state.name() == name) || ["Dead", "PrepareEpochFence"].contains(&name)
    }

    /// How the transaction ends, if its markers are being written.
    pub(super) fn prepared(self) -> Option<TransactionOutcome> {
        match self {
            Self::PrepareCommit => Some(TransactionOutcome::Committed),
            Self::PrepareAbort => Some(TransactionOutcome::Aborted),
            Self::Empty | Self::Ongoing | Self::CompleteCommit | Self::CompleteAbort => None,
        }
    }

    /// How the last transaction ended, if there was one and none has begun since.
    pub(super) fn completed(self) -> Option<TransactionOutcome> {
        match self {
            Self::CompleteCommit => Some(TransactionOutcome::Committed),
            Self::CompleteAbort => Some(TransactionOutcome::Aborted),
            Self::Empty | Self::Ongoing | Self::PrepareCommit | Self::PrepareAbort => None,
        }
    }

    /// Whether nothing is open.
    pub(super) fn is_idle(self) -> bool {
        matches!(self, Self::Empty | Self::CompleteCommit | Self::CompleteAbort)
    }

    fn prepare(outcome: TransactionOutcome) -> Self {
        match outcome {
            TransactionOutcome::Committed => Self::PrepareCommit,
            TransactionOutcome::Aborted => Self::PrepareAbort,
        }
    }
}

/// What a record of `__transaction_state` says of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) state: TransactionState,
    pub(super) producer_id: ProducerId,
    /// The id of before the last change.
    pub(super) previous_producer_id: ProducerId,
    /// The id that follows once the end of this transaction is complete, because the epochs of this one are used up.
    pub(super) next_producer_id: ProducerId,
    pub(super) epoch: ProducerEpoch,
    /// The epoch of before a rise that its producer asked for: the same request may come again. Not in the log.
    pub(super) last_epoch: ProducerEpoch,
    pub(super) timeout_ms: i32,
    pub(super) partitions: BTreeSet<TopicPartition>,
    /// When the first partition was added; -1 if none was.
    pub(super) start_ms: TimestampMs,
    pub(super) last_update_ms: TimestampMs,
    /// The level of `transaction.version` that the client speaks.
    pub(super) client_version: i16,
}

impl Transaction {
    /// A transactional id that nobody has used.
    pub(super) fn new(producer_id: ProducerId, timeout_ms: i32, now_ms: TimestampMs) -> Self {
        Self {
            state: TransactionState::Empty,
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            epoch: NO_EPOCH,
            last_epoch: NO_EPOCH,
            timeout_ms,
            partitions: BTreeSet::new(),
            start_ms: -1,
            last_update_ms: now_ms,
            client_version: 0,
        }
    }

    pub(super) fn producer(&self) -> Producer {
        Producer { id: self.producer_id, epoch: self.epoch }
    }

    /// Whether its producer id has no epoch left to give: the last one is kept to fence with.
    pub(super) fn is_exhausted(&self) -> bool {
        is_exhausted(self.epoch)
    }

    /// Whether the producer ends it when it wants to: two-phase commits have no timeout.
    pub(super) fn is_two_phase(&self) -> bool {
        self.timeout_ms == i32::MAX
    }

    /// A producer has the transactional id from now on, with the next epoch. `expected` is the epoch that it had.
    /// # Errors
    /// `ProducerFenced` if another has had it since.
    pub(super) fn raise_epoch(
        &self,
        timeout_ms: i32,
        expected: Option<ProducerEpoch>,
        now_ms: TimestampMs,
    ) -> Result<Self, ErrorCode> {
        let mut next = self.emptied(timeout_ms, now_ms);
        match expected {
            None => (next.epoch, next.last_epoch) = (self.epoch.saturating_add(1), NO_EPOCH),
            Some(expected) if self.epoch == NO_EPOCH || expected == self.epoch => {
                (next.epoch, next.last_epoch) = (self.epoch.saturating_add(1), self.epoch);
            }
            // The answer to the request that raised it was lost.
            Some(expected) if expected == self.last_epoch => {}
            Some(_) => return Err(ErrorCode::ProducerFenced),
        }
        Ok(next)
    }

    /// As [`Transaction::raise_epoch`] when the epochs are used up: a new producer id.
    pub(super) fn rotate(
        &self,
        producer_id: ProducerId,
        timeout_ms: i32,
        keep_epoch: bool,
        now_ms: TimestampMs,
    ) -> Self {
        let mut next = self.emptied(timeout_ms, now_ms);
        next.producer_id = producer_id;
        next.epoch = 0;
        next.last_epoch = if keep_epoch { self.epoch } else { NO_EPOCH };
        next
    }

    /// The transaction wrote to more partitions.
    pub(super) fn add(&self, partitions: &BTreeSet<TopicPartition>, client_version: i16, now_ms: TimestampMs) -> Self {
        let mut next = self.changed(TransactionState::Ongoing, now_ms);
        if self.state.is_idle() {
            next.start_ms = now_ms;
        }
        next.partitions.extend(partitions.iter().cloned());
        next.client_version = client_version;
        next
    }

    /// The end is decided. `next_producer_id` follows if this one is used up.
    pub(super) fn prepare(
        &self,
        outcome: TransactionOutcome,
        client_version: i16,
        next_producer_id: ProducerId,
        now_ms: TimestampMs,
    ) -> Self {
        let mut next = self.changed(TransactionState::prepare(outcome), now_ms);
        if client_version >= EPOCH_BUMP_VERSION {
            next.epoch = self.epoch.saturating_add(1);
            next.last_epoch = self.epoch;
        }
        if self.state != TransactionState::Ongoing {
            // A client that does not know whether it has begun may abort what is not there.
            next.start_ms = now_ms;
        }
        next.next_producer_id = next_producer_id;
        next.client_version = client_version;
        next
    }

    /// The transaction is aborted against its producer's will, who is fenced by the next epoch.
    pub(super) fn fence(&self, server_version: i16, next_producer_id: ProducerId, now_ms: TimestampMs) -> Self {
        if server_version >= EPOCH_BUMP_VERSION {
            return self.prepare(TransactionOutcome::Aborted, server_version, next_producer_id, now_ms);
        }
        let mut next = self.prepare(TransactionOutcome::Aborted, 0, NO_PRODUCER_ID, now_ms);
        next.epoch = self.epoch.saturating_add(1);
        next.last_epoch = NO_EPOCH;
        next
    }

    /// All markers are written.
    pub(super) fn complete(&self, now_ms: TimestampMs) -> Self {
        let state = match self.state.prepared() {
            Some(TransactionOutcome::Committed) => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        let mut next = self.changed(state, now_ms);
        if self.client_version >= EPOCH_BUMP_VERSION && self.next_producer_id != NO_PRODUCER_ID {
            next.producer_id = self.next_producer_id;
            next.epoch = 0;
        }
        next.next_producer_id = NO_PRODUCER_ID;
        next.partitions.clear();
        next
    }

    fn changed(&self, state: TransactionState, now_ms: TimestampMs) -> Self {
        Self { state, previous_producer_id: self.producer_id, last_update_ms: now_ms, ..self.clone() }
    }

    fn emptied(&self, timeout_ms: i32, now_ms: TimestampMs) -> Self {
        let mut next = self.changed(TransactionState::Empty, now_ms);
        next.timeout_ms = timeout_ms;
        next.partitions.clear();
        next.start_ms = -1;
        next
    }
}

/// Whether an epoch is the last that a client may have.
pub(super) fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch >= ProducerEpoch::MAX - 1
}
