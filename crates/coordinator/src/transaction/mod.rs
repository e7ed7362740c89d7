//! The transaction coordinator: who holds a transactional id, which partitions its transaction wrote to, how it ends
//! (KIP-98, KIP-360, KIP-447, KIP-664, KIP-890). One [`TransactionShard`] owns all transactional ids whose
//! `__transaction_state` partition it is. A change is decided, written, and only then seen: until its write is committed,
//! a transactional id answers that transactions are concurrent.

mod add;
mod describe;
mod end;
mod expire;
mod init;
mod record;
mod shard;
mod state;

pub use end::EndTransaction;
pub use init::InitProducer;
pub use shard::TransactionShard;
pub use state::TransactionState;

use std::collections::BTreeSet;

use protocol::types::{ProducerEpoch, ProducerId};
use protocol::{ErrorCode, TopicPartition};

use crate::runtime::TransactionOutcome;
use crate::runtime::effects::Effects;

/// Settings of the coordinator, each named as in `server.properties`.
#[derive(Debug, Clone)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms`.
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expiry_interval_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub abort_interval_ms: i64,
    /// `transaction.two.phase.commit.enable`.
    pub two_phase_commit: bool,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            max_timeout_ms: 15 * 60 * 1_000,
            id_expiration_ms: 7 * 24 * 60 * 60 * 1_000,
            expiry_interval_ms: 60 * 60 * 1_000,
            abort_interval_ms: 10_000,
            two_phase_commit: false,
        }
    }
}

/// A producer's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

/// What answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionResponse {
    /// It is done. Where the request asks for it, this is the producer's identity from now on.
    Done(Option<Producer>),
    /// It is refused.
    Refused(ErrorCode),
    /// It cannot be decided without a producer id that was never used: ask again with one.
    NeedsProducerId,
}

/// What the coordinator wants done beside answers and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionAction {
    /// Write these markers; then call [`TransactionShard::markers_written`].
    WriteMarkers(Markers),
    /// Get a producer id that was never used for [`TransactionShard::give_producer_id`] of the shard of this transactional id.
    AllocateProducerId {
        /// The transactional id.
        transactional_id: String,
    },
}

/// The end of a transaction, to be written to all its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    /// Whose transaction it is.
    pub transactional_id: String,
    /// The producer in whose name the markers are written.
    pub producer: Producer,
    /// How it ends.
    pub outcome: TransactionOutcome,
    /// Where it wrote.
    pub partitions: BTreeSet<TopicPartition>,
    /// The level of `transaction.version` that the client speaks.
    pub transaction_version: i16,
}

/// What calls of a shard want done.
pub type TransactionEffects = Effects<TransactionResponse, TransactionAction>;
