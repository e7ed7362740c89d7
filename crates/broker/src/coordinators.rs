//! The group coordinators that this broker runs: one shard per partition of `__consumer_offsets` that it leads.

use std::sync::Arc;

use metadata::ImageDelta;
use metadata::config::BrokerConfig;
use protocol::types::TimestampMs;

use crate::Broker;

/// All shards.
pub struct Coordinators {}

impl Coordinators {
    pub(crate) fn new(_config: &BrokerConfig) -> Self {
        Self {}
    }

    /// Takes over and gives up shards as the leaders of `__consumer_offsets` change.
    pub(crate) fn metadata_changed(&self, _broker: &Arc<Broker>, _delta: &ImageDelta) {}

    /// Forgets the offsets of a topic that is about to be deleted.
    pub(crate) fn topic_deleted(&self, _broker: &Arc<Broker>, _topic: &str) {}

    /// Expires what is due.
    pub(crate) fn tick(&self, _broker: &Arc<Broker>, _now_ms: TimestampMs) {}
}
