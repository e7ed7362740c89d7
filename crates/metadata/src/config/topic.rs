//! The configuration of one topic: its overrides over what it inherits from the broker (`LogConfig`).
//! A `TopicConfig` is immutable; topics without overrides share one.

use std::collections::BTreeMap;

use super::{BrokerConfig, ConfigDef, ConfigError, ConfigMap, Value};

/// What a broker does to the compression of produced batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionSetting {
    /// It keeps what the producer chose.
    Producer,
    /// None at all.
    Uncompressed,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd.
    Zstd,
}

/// The configuration of one topic, every value decided.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields are Kafka's topic configurations of the same names")]
pub struct TopicConfig {
    pub segment_bytes: i32,
    pub segment_ms: i64,
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: i32,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub retention_bytes: i64,
    pub retention_ms: i64,
    pub max_message_bytes: i32,
    pub index_interval_bytes: i32,
    pub file_delete_delay_ms: i64,
    pub delete_retention_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    pub min_cleanable_dirty_ratio: f64,
    /// Whether `cleanup.policy` has `compact`.
    pub compact: bool,
    /// Whether `cleanup.policy` has `delete`.
    pub delete: bool,
    pub unclean_leader_election_enable: bool,
    pub min_insync_replicas: i32,
    pub compression_type: CompressionSetting,
    pub compression_gzip_level: i32,
    pub compression_lz4_level: i32,
    pub compression_zstd_level: i32,
    pub preallocate: bool,
    /// Whether `message.timestamp.type` is `LogAppendTime`.
    pub log_append_time: bool,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_after_max_ms: i64,
}

impl TopicConfig {
    /// The configuration of a topic with these overrides. An override that is not valid any more is as if it were not set.
    #[must_use]
    pub fn resolve(broker: &BrokerConfig, overrides: &ConfigMap) -> Self {
        Self::from_values(&topic_values(broker, overrides))
    }

    fn from_values(values: &BTreeMap<&'static str, Value>) -> Self {
        let reader = Reader(values);
        let policies = match values.get("cleanup.policy") {
            Some(Value::List(policies)) => policies.as_slice(),
            _ => &[],
        };
        let has_policy = |name: &str| policies.iter().any(|policy| policy.eq_ignore_ascii_case(name));
        Self {
            segment_bytes: reader.optional_int("internal.segment.bytes").unwrap_or_else(|| reader.int("segment.bytes")),
            segment_ms: reader.long("segment.ms"),
            segment_jitter_ms: reader.long("segment.jitter.ms"),
            segment_index_bytes: reader.int("segment.index.bytes"),
            flush_messages: reader.long("flush.messages"),
            flush_ms: reader.long("flush.ms"),
            retention_bytes: reader.long("retention.bytes"),
            retention_ms: reader.long("retention.ms"),
            max_message_bytes: reader.int("max.message.bytes"),
            index_interval_bytes: reader.int("index.interval.bytes"),
            file_delete_delay_ms: reader.long("file.delete.delay.ms"),
            delete_retention_ms: reader.long("delete.retention.ms"),
            min_compaction_lag_ms: reader.long("min.compaction.lag.ms"),
            max_compaction_lag_ms: reader.long("max.compaction.lag.ms"),
            min_cleanable_dirty_ratio: reader.double("min.cleanable.dirty.ratio"),
            compact: has_policy("compact"),
            delete: has_policy("delete"),
            unclean_leader_election_enable: reader.boolean("unclean.leader.election.enable"),
            min_insync_replicas: reader.int("min.insync.replicas"),
            compression_type: compression_setting(reader.text("compression.type")),
            compression_gzip_level: reader.int("compression.gzip.level"),
            compression_lz4_level: reader.int("compression.lz4.level"),
            compression_zstd_level: reader.int("compression.zstd.level"),
            preallocate: reader.boolean("preallocate"),
            log_append_time: reader.text("message.timestamp.type") == "LogAppendTime",
            message_timestamp_before_max_ms: reader.long("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms: reader.long("message.timestamp.after.max.ms"),
        }
    }

    /// Time after which a segment rolls: compacted topics roll early enough for `max.compaction.lag.ms`.
    #[must_use]
    pub fn max_segment_ms(&self) -> i64 {
        if self.compact && self.max_compaction_lag_ms > 0 {
            self.max_compaction_lag_ms.min(self.segment_ms)
        } else {
            self.segment_ms
        }
    }
}

fn compression_setting(name: &str) -> CompressionSetting {
    match name {
        "uncompressed" => CompressionSetting::Uncompressed,
        "gzip" => CompressionSetting::Gzip,
        "snappy" => CompressionSetting::Snappy,
        "lz4" => CompressionSetting::Lz4,
        "zstd" => CompressionSetting::Zstd,
        _ => CompressionSetting::Producer,
    }
}

/// Typed reads; every name is defined with its type, so the fallbacks are never taken.
struct Reader<'a>(&'a BTreeMap<&'static str, Value>);

impl Reader<'_> {
    fn optional_int(&self, name: &str) -> Option<i32> {
        match self.0.get(name) {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        }
    }

    fn int(&self, name: &str) -> i32 {
        self.optional_int(name).unwrap_or_default()
    }

    fn long(&self, name: &str) -> i64 {
        match self.0.get(name) {
            Some(Value::Long(value)) => *value,
            _ => 0,
        }
    }

    fn double(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(Value::Double(value)) => *value,
            _ => 0.0,
        }
    }

    fn boolean(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Value::Boolean(true)))
    }

    fn text(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(Value::String(value)) => value,
            _ => "",
        }
    }
}

/// Every value of a topic by name: override, else the broker's, else the default.
#[must_use]
pub fn topic_values(broker: &BrokerConfig, overrides: &ConfigMap) -> BTreeMap<&'static str, Value> {
    let mut inherited = broker.topic_defaults();
    let values = ConfigDef::topic().keys().map(|key| {
        let set = overrides.get(key.name).and_then(|text| key.parse(text).ok());
        let value = set.or_else(|| inherited.remove(key.name)).or_else(|| key.default.clone());
        (key.name, value.unwrap_or(Value::Null))
    });
    values.collect()
}

/// Checks all overrides of a topic as they will be after a change (`LogConfig.validate`).
/// # Errors
/// An unknown name, a wrong value, or values that contradict each other.
pub fn validate_topic(broker: &BrokerConfig, overrides: &ConfigMap) -> Result<(), ConfigError> {
    let definition = ConfigDef::topic();
    if let Some(unknown) = overrides.keys().find(|name| definition.key(name).is_none()) {
        return Err(ConfigError::UnknownTopicConfig(unknown.clone()));
    }
    for (name, text) in overrides {
        if let Some(key) = definition.key(name) {
            key.parse(text)?;
        }
    }
    let values = topic_values(broker, overrides);
    let reader = Reader(&values);
    let (least, most) = (reader.long("min.compaction.lag.ms"), reader.long("max.compaction.lag.ms"));
    if least > most {
        let reason =
            format!("conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})");
        return Err(ConfigError::rule("min.compaction.lag.ms", reason));
    }
    if reader.boolean("remote.storage.enable") {
        let reason = "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.";
        return Err(ConfigError::rule("remote.storage.enable", reason));
    }
    Ok(())
}

/// Checks all configurations of a group as they will be after a change (`GroupConfig.validate`).
/// # Errors
/// An unknown name, a wrong value, or one outside of the broker's bounds.
pub fn validate_group(broker: &BrokerConfig, overrides: &ConfigMap) -> Result<(), ConfigError> {
    let definition = ConfigDef::group();
    if let Some(unknown) = overrides.keys().find(|name| definition.key(name).is_none()) {
        return Err(ConfigError::UnknownGroupConfig(unknown.clone()));
    }
    let mut given = BTreeMap::new();
    for (name, text) in overrides {
        if let Some(key) = definition.key(name) {
            given.insert(key.name, key.parse(text)?);
        }
    }
    for (name, value) in &given {
        check_group_bounds(broker, name, value)?;
    }
    for kind in ["consumer", "share", "streams"] {
        let number = |suffix: &str| {
            let name = format!("{kind}.{suffix}");
            given.get(name.as_str()).or_else(|| broker.value(&format!("group.{name}"))).and_then(Value::as_f64)
        };
        let (session, heartbeat) = (number("session.timeout.ms"), number("heartbeat.interval.ms"));
        if session.zip(heartbeat).is_some_and(|(session, heartbeat)| session <= heartbeat) {
            let reason = format!("{kind}.session.timeout.ms must be greater than {kind}.heartbeat.interval.ms");
            return Err(ConfigError::rule("consumer.session.timeout.ms", reason));
        }
    }
    Ok(())
}

/// A broker bounds `<kind>.<rest>` of its groups by `group.<kind>.min.<rest>` and `group.<kind>.max.<rest>`.
fn check_group_bounds(broker: &BrokerConfig, name: &'static str, value: &Value) -> Result<(), ConfigError> {
    let (Some((kind, rest)), Some(number)) = (name.split_once('.'), value.as_f64()) else {
        return Ok(());
    };
    let bound = |side: &str| {
        let bound_name = format!("group.{kind}.{side}.{rest}");
        broker.value(&bound_name).and_then(Value::as_f64).map(|bound| (bound_name, bound))
    };
    if let Some((bound_name, _)) = bound("min").filter(|(_, least)| number < *least) {
        return Err(ConfigError::rule(name, format!("{name} must be greater than or equal to {bound_name}")));
    }
    if let Some((bound_name, _)) = bound("max").filter(|(_, most)| number > *most) {
        return Err(ConfigError::rule(name, format!("{name} must be less than or equal to {bound_name}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::tests::broker;

    fn overrides(pairs: &[(&str, &str)]) -> ConfigMap {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn overrides_win_over_the_broker_and_the_broker_over_defaults() {
        let broker = broker(&[("log.retention.hours", "1"), ("message.max.bytes", "2000")]);
        let config = TopicConfig::resolve(
            &broker,
            &overrides(&[("max.message.bytes", "10"), ("cleanup.policy", "compact,delete")]),
        );
        assert_eq!((config.retention_ms, config.max_message_bytes), (3_600_000, 10));
        assert!(config.compact && config.delete);
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(TopicConfig::resolve(&broker, &ConfigMap::new()).max_message_bytes, 2000);
    }

    #[test]
    fn topic_values_are_validated_with_kafkas_text() {
        let broker = broker(&[]);
        let text =
            |pairs: &[(&str, &str)]| validate_topic(&broker, &overrides(pairs)).expect_err("invalid").to_string();
        assert_eq!(text(&[("retention", "1")]), "Unknown topic config name: retention");
        assert_eq!(
            text(&[("retention.ms", "-2")]),
            "Invalid value -2 for configuration retention.ms: Value must be at least -1"
        );
        assert_eq!(
            text(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "1")]),
            "conflict topic config setting min.compaction.lag.ms (5) > max.compaction.lag.ms (1)"
        );
        assert_eq!(validate_topic(&broker, &overrides(&[("retention.ms", "-1")])), Ok(()));
    }
}
