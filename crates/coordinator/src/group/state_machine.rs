//! The group coordinator as the broker's shell sees it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use metadata::{ClusterImage, ImageDelta};
use protocol::ErrorCode;
use protocol::types::{Offset, ProducerId, TimestampMs};

use crate::config::GroupConfig;
use crate::effects::{Effects, GroupResponse, WriteId};
use crate::error::ReplayError;
use crate::runtime::{StateMachine, TransactionOutcome};
use crate::shard::GroupShard;

impl StateMachine for GroupShard {
    type Config = GroupConfig;
    type Response = GroupResponse;
    type Action = Infallible;

    const TOPIC: &'static str = "__consumer_offsets";

    fn new(config: GroupConfig) -> Self {
        Self::new(config)
    }

    fn replay(
        &mut self,
        now_ms: TimestampMs,
        offset: Offset,
        producer_id: Option<ProducerId>,
        record: (Option<&Bytes>, Option<&Bytes>),
    ) -> Result<(), ReplayError> {
        self.replay(now_ms, offset, producer_id, record)
    }

    fn replay_transaction_end(&mut self, producer_id: ProducerId, outcome: TransactionOutcome) {
        self.replay_transaction_end(producer_id, outcome);
    }

    fn loaded(&mut self, now_ms: TimestampMs, image: &Arc<ClusterImage>, out: &mut Effects) {
        self.loaded(now_ms, image, out);
    }

    fn metadata_changed(
        &mut self,
        now_ms: TimestampMs,
        image: &Arc<ClusterImage>,
        delta: &ImageDelta,
        out: &mut Effects,
    ) {
        self.metadata_changed(now_ms, image, delta, out);
    }

    fn next_deadline(&self) -> Option<TimestampMs> {
        self.next_deadline()
    }

    fn tick(&mut self, now_ms: TimestampMs, out: &mut Effects) {
        self.tick(now_ms, out);
    }

    fn complete_write(
        &mut self,
        now_ms: TimestampMs,
        id: WriteId,
        outcome: Result<Offset, ErrorCode>,
        out: &mut Effects,
    ) {
        self.complete_write(now_ms, id, outcome, out);
    }

    fn unload(self, out: &mut Effects) {
        self.unload(out);
    }
}
