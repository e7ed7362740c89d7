//! The share coordinators: the settings of their shards, and the upkeep of their log.

use std::sync::Arc;

use coordinator::StateMachine;
use coordinator::share::{ShareAction, ShareConfig, ShareShard};
use metadata::config::BrokerConfig;
use protocol::record::Compression;
use tracing::{info, warn};

use super::{Coordinator, Coordinators, Hosted};
use crate::Broker;

impl Hosted for ShareShard {
    fn of(coordinators: &Coordinators) -> &Coordinator<Self> {
        coordinators.share()
    }

    fn config(config: &BrokerConfig) -> ShareConfig {
        ShareConfig {
            updates_per_snapshot: u32::try_from(config.share_coordinator_snapshot_update_records_per_snapshot())
                .unwrap_or(0),
            cold_snapshot_interval_ms: config.share_coordinator_cold_partition_snapshot_interval_ms().into(),
            prune_interval_ms: config.share_coordinator_state_topic_prune_interval_ms().into(),
        }
    }

    fn partitions(config: &BrokerConfig) -> i32 {
        config.share_coordinator_state_topic_num_partitions()
    }

    fn compression(config: &BrokerConfig) -> Compression {
        match config.share_coordinator_state_topic_compression_codec() {
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            _ => Compression::None,
        }
    }

    fn load_buffer_size(config: &BrokerConfig) -> i32 {
        config.share_coordinator_load_buffer_size()
    }

    fn act(broker: &Arc<Broker>, action: ShareAction) {
        let ShareAction::DeleteRecords { key, below } = action;
        let index = broker.coordinators().share().partition_of(&key.coordinator_key());
        let Some(partition) = broker.partitions().get(Self::TOPIC, index) else { return };
        match partition.delete_records(below) {
            Ok(log_start_offset) => info!(partition = index, log_start_offset, "pruned the states of share groups"),
            Err(code) => warn!(partition = index, %code, "could not prune the states of share groups"),
        }
    }
}
