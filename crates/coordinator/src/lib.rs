//! The coordinators. Of groups: which members a group has, what each is assigned, which offsets it committed. Of
//! transactions: who holds a transactional id, where its transaction wrote, how it ends.
//! Pure: time, ids and requests come in; replies and records go out ([`Effects`]); no I/O, no clock, no locks.
//! One [`GroupShard`] owns all groups whose `__consumer_offsets` partition it is, and is rebuilt from that partition's records;
//! one [`TransactionShard`] likewise the transactional ids of a partition of `__transaction_state`.

mod config;
mod effects;
mod error;
mod group;
mod partition;
mod record;
mod runtime;
mod shard;
pub mod share;
mod transaction;

pub use config::{GroupConfig, MigrationPolicy};
pub use effects::{Effects as GroupEffects, GroupResponse, RequestContext};
pub use error::{GroupError, Refusal, ReplayError, append_error_code};
pub use group::assignor::Assignor;
pub use group::modern::settings::{Bounded, TypeSettings};
pub use group::share::{ShareDeletion, SharePartitions};
pub use group::streams::settings::StreamsSettings;
pub use partition::partition_for;
pub use runtime::effects::{CoordinatorRecord, Effects, ReplyToken, TransactionalProducer, Write, WriteId};
pub use runtime::{EffectsOf, StateMachine, TransactionOutcome};
pub use shard::GroupShard;
pub use transaction::{
    EndTransaction, InitProducer, Markers, Producer, TransactionAction, TransactionConfig, TransactionEffects,
    TransactionResponse, TransactionShard, TransactionState,
};
