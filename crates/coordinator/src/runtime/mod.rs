//! What any coordinator needs around its state machine: what goes in and comes out, timeouts, writes in flight.
//! A coordinator of any kind is a [`StateMachine`] over the records of one partition of an internal topic; the broker's
//! shell runs one per partition that it leads.

pub(crate) mod effects;
pub(crate) mod pending;
pub(crate) mod timers;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use metadata::{ClusterImage, ImageDelta};
use protocol::ErrorCode;
use protocol::types::{Offset, ProducerId, TimestampMs};

use crate::error::ReplayError;
use effects::{Effects, WriteId};

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// What was written in it counts.
    Committed,
    /// What was written in it is forgotten.
    Aborted,
}

/// What calls of a state machine want done.
pub type EffectsOf<C> = Effects<<C as StateMachine>::Response, <C as StateMachine>::Action>;

/// A coordinator for the keys of one partition of an internal topic: a new one is told the partition's records, then
/// [`loaded`](Self::loaded), and serves from then on until it is [unloaded](Self::unload).
pub trait StateMachine: Sized + Send + 'static {
    /// Its settings.
    type Config: Clone + Debug + Send + Sync + 'static;
    /// What answers a request that was given with a [`ReplyToken`](crate::ReplyToken).
    type Response: Send + 'static;
    /// What it wants done beside answers and writes.
    type Action: Send + 'static;

    /// The internal topic.
    const TOPIC: &'static str;

    /// One that knows of nothing.
    #[must_use]
    fn new(config: Self::Config) -> Self;

    /// Takes over one record of the log, in the order of the log. `producer_id` is set if the record is part of a transaction.
    /// # Errors
    /// If the record cannot be read; the state is as if it were not there.
    fn replay(
        &mut self,
        now_ms: TimestampMs,
        offset: Offset,
        producer_id: Option<ProducerId>,
        record: (Option<&Bytes>, Option<&Bytes>),
    ) -> Result<(), ReplayError>;

    /// Takes over the end of a transaction that wrote to the partition.
    fn replay_transaction_end(&mut self, producer_id: ProducerId, outcome: TransactionOutcome);

    /// All records are there.
    fn loaded(&mut self, now_ms: TimestampMs, image: &Arc<ClusterImage>, out: &mut EffectsOf<Self>);

    /// The cluster changed from what it was when the machine was told last.
    fn metadata_changed(
        &mut self,
        now_ms: TimestampMs,
        image: &Arc<ClusterImage>,
        delta: &ImageDelta,
        out: &mut EffectsOf<Self>,
    );

    /// When [`StateMachine::tick`] has something to do.
    #[must_use]
    fn next_deadline(&self) -> Option<TimestampMs>;

    /// Does what is due.
    fn tick(&mut self, now_ms: TimestampMs, out: &mut EffectsOf<Self>);

    /// A write is committed, its first record being at the offset given, or the partition refused it with an error.
    fn complete_write(
        &mut self,
        now_ms: TimestampMs,
        id: WriteId,
        outcome: Result<Offset, ErrorCode>,
        out: &mut EffectsOf<Self>,
    );

    /// The partition goes to another broker, or is read again: everyone who waits is told to look for the coordinator.
    fn unload(self, out: &mut EffectsOf<Self>);
}
