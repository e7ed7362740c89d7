//! The group coordinator as the broker's shell sees it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use metadata::{ClusterImage, ImageDelta};
use protocol::types::{Offset, ProducerId, TimestampMs};
use protocol::{ErrorCode, Uuid};

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

    fn loaded(&mut self, now_ms: TimestampMs, _image: &Arc<ClusterImage>, out: &mut Effects) {
        self.loaded(now_ms, out);
    }

    fn metadata_changed(
        &mut self,
        now_ms: TimestampMs,
        _image: &Arc<ClusterImage>,
        delta: &ImageDelta,
        out: &mut Effects,
    ) {
        let deleted: Vec<(String, Uuid)> =
            delta.deleted_topics.iter().map(|(id, topic)| (topic.name.to_string(), *id)).collect();
        if !deleted.is_empty() {
            self.topics_deleted(now_ms, &deleted, out);
        }
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
