//! A topic's configuration in the form that the append path and the log want.

use std::sync::Arc;

use metadata::config::{CompressionSetting, TopicConfig};
use protocol::TopicPartition;
use protocol::record::{Compression, CompressionTarget, Origin, Rules, TimestampType};
use protocol::types::TimestampMs;
use storage::LogConfig;

/// Topics that only coordinators write to (`org.apache.kafka.common.internals.Topic`).
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Whether clients may not write to `topic`.
#[must_use]
pub(crate) fn is_internal(topic: &str) -> bool {
    INTERNAL.contains(&topic)
}

/// The settings of a topic.
#[derive(Debug, Clone)]
pub struct TopicSettings {
    /// For the log.
    pub log: Arc<LogConfig>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    max_message_bytes: usize,
    compression: CompressionTarget,
    timestamp_before_max_ms: i64,
    timestamp_after_max_ms: i64,
    compacted: bool,
}

impl TopicSettings {
    /// The settings that follow from `config`.
    #[must_use]
    pub fn new(config: &TopicConfig) -> Self {
        let codec = |codec: Compression, level: Option<i32>| CompressionTarget::Codec(codec, level);
        let timestamp_type =
            if config.log_append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        Self {
            log: Arc::new(log_config(config)),
            min_insync_replicas: config.min_insync_replicas,
            timestamp_type,
            max_message_bytes: usize::try_from(config.max_message_bytes).unwrap_or(0),
            compression: match config.compression_type {
                CompressionSetting::Producer => CompressionTarget::Producer,
                CompressionSetting::Uncompressed => codec(Compression::None, None),
                CompressionSetting::Gzip => codec(Compression::Gzip, Some(config.compression_gzip_level)),
                CompressionSetting::Snappy => codec(Compression::Snappy, None),
                CompressionSetting::Lz4 => codec(Compression::Lz4, Some(config.compression_lz4_level)),
                CompressionSetting::Zstd => codec(Compression::Zstd, Some(config.compression_zstd_level)),
            },
            timestamp_before_max_ms: config.message_timestamp_before_max_ms,
            timestamp_after_max_ms: config.message_timestamp_after_max_ms,
            compacted: config.compact,
        }
    }

    /// What a Produce request of `produce_version` must fulfil at `now_ms`.
    pub(crate) fn rules<'a>(
        &self,
        topic_partition: &'a TopicPartition,
        now_ms: TimestampMs,
        produce_version: i16,
    ) -> Rules<'a> {
        Rules {
            topic_partition,
            origin: Origin::Client { produce_version },
            max_message_bytes: self.max_message_bytes,
            compression: self.compression,
            timestamp_type: self.timestamp_type,
            timestamp_before_max_ms: self.timestamp_before_max_ms,
            timestamp_after_max_ms: self.timestamp_after_max_ms,
            compacted: self.compacted,
            now_ms,
        }
    }
}

fn log_config(config: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: u32::try_from(config.segment_bytes).unwrap_or(u32::MAX),
        segment_ms: config.max_segment_ms(),
        segment_jitter_ms: config.segment_jitter_ms,
        segment_index_bytes: u32::try_from(config.segment_index_bytes).unwrap_or(u32::MAX),
        index_interval_bytes: u32::try_from(config.index_interval_bytes).unwrap_or(u32::MAX),
        retention_bytes: config.retention_bytes,
        retention_ms: config.retention_ms,
        flush_interval_messages: config.flush_messages,
        max_message_bytes: u32::try_from(config.max_message_bytes).unwrap_or(u32::MAX),
        cleanup_delete: config.delete,
        cleanup_compact: config.compact,
        min_cleanable_dirty_ratio: config.min_cleanable_dirty_ratio,
        min_compaction_lag_ms: config.min_compaction_lag_ms,
        max_compaction_lag_ms: config.max_compaction_lag_ms,
        delete_retention_ms: config.delete_retention_ms,
        file_delete_delay_ms: config.file_delete_delay_ms,
        preallocate: config.preallocate,
    }
}
