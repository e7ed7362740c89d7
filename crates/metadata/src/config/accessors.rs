//! The values of a node's configuration by their types, and those that follow from several of them.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::listeners::parse_bootstrap_server;
use super::{ConfigError, Endpoint, QuorumVoter, SecurityProtocol, Value, parse_listeners, parse_quorum_voters};
use crate::features::MetadataVersion;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessRole {
    /// It stores and serves partitions.
    Broker,
    /// It votes in the metadata quorum.
    Controller,
}

macro_rules! accessors {
    ($variant:ident -> $type:ty: $($accessor:ident = $name:literal,)*) => {
        impl BrokerConfig {
            $(
                #[doc = concat!("`", $name, "`.")]
                #[must_use]
                pub fn $accessor(&self) -> $type {
                    match self.value($name) {
                        Some(Value::$variant(value)) => *value,
                        other => unreachable!("{} is defined with its type, not {other:?}", $name),
                    }
                }
            )*
        }
    };
}

accessors! { Int -> i32:
    add_partitions_to_txn_retry_backoff_max_ms = "add.partitions.to.txn.retry.backoff.max.ms",
    add_partitions_to_txn_retry_backoff_ms = "add.partitions.to.txn.retry.backoff.ms",
    broker_heartbeat_interval_ms = "broker.heartbeat.interval.ms",
    broker_id = "broker.id",
    broker_session_timeout_ms = "broker.session.timeout.ms",
    controller_quorum_append_linger_ms = "controller.quorum.append.linger.ms",
    controller_quorum_election_timeout_ms = "controller.quorum.election.timeout.ms",
    controller_quorum_fetch_timeout_ms = "controller.quorum.fetch.timeout.ms",
    default_replication_factor = "default.replication.factor",
    fetch_max_bytes = "fetch.max.bytes",
    group_coordinator_append_linger_ms = "group.coordinator.append.linger.ms",
    group_initial_rebalance_delay_ms = "group.initial.rebalance.delay.ms",
    group_max_session_timeout_ms = "group.max.session.timeout.ms",
    group_max_size = "group.max.size",
    group_min_session_timeout_ms = "group.min.session.timeout.ms",
    group_share_delivery_count_limit = "group.share.delivery.count.limit",
    group_share_max_share_sessions = "group.share.max.share.sessions",
    group_share_partition_max_record_locks = "group.share.partition.max.record.locks",
    group_share_record_lock_duration_ms = "group.share.record.lock.duration.ms",
    log_cleaner_io_buffer_size = "log.cleaner.io.buffer.size",
    log_cleaner_threads = "log.cleaner.threads",
    log_flush_offset_checkpoint_interval_ms = "log.flush.offset.checkpoint.interval.ms",
    log_flush_start_offset_checkpoint_interval_ms = "log.flush.start.offset.checkpoint.interval.ms",
    log_index_interval_bytes = "log.index.interval.bytes",
    log_index_size_max_bytes = "log.index.size.max.bytes",
    log_segment_bytes = "log.segment.bytes",
    max_connection_creation_rate = "max.connection.creation.rate",
    max_connections = "max.connections",
    max_connections_per_ip = "max.connections.per.ip",
    max_incremental_fetch_session_cache_slots = "max.incremental.fetch.session.cache.slots",
    max_request_partition_size_limit = "max.request.partition.size.limit",
    message_max_bytes = "message.max.bytes",
    metadata_log_segment_bytes = "metadata.log.segment.bytes",
    metadata_max_idle_interval_ms = "metadata.max.idle.interval.ms",
    min_insync_replicas = "min.insync.replicas",
    node_id = "node.id",
    num_io_threads = "num.io.threads",
    num_network_threads = "num.network.threads",
    num_partitions = "num.partitions",
    num_recovery_threads_per_data_dir = "num.recovery.threads.per.data.dir",
    offset_metadata_max_bytes = "offset.metadata.max.bytes",
    offsets_commit_timeout_ms = "offsets.commit.timeout.ms",
    offsets_load_buffer_size = "offsets.load.buffer.size",
    offsets_retention_minutes = "offsets.retention.minutes",
    offsets_topic_compression_codec = "offsets.topic.compression.codec",
    offsets_topic_num_partitions = "offsets.topic.num.partitions",
    offsets_topic_segment_bytes = "offsets.topic.segment.bytes",
    producer_id_expiration_check_interval_ms = "producer.id.expiration.check.interval.ms",
    producer_id_expiration_ms = "producer.id.expiration.ms",
    queued_max_requests = "queued.max.requests",
    request_timeout_ms = "request.timeout.ms",
    share_coordinator_cold_partition_snapshot_interval_ms = "share.coordinator.cold.partition.snapshot.interval.ms",
    share_coordinator_load_buffer_size = "share.coordinator.load.buffer.size",
    share_coordinator_snapshot_update_records_per_snapshot = "share.coordinator.snapshot.update.records.per.snapshot",
    share_coordinator_state_topic_compression_codec = "share.coordinator.state.topic.compression.codec",
    share_coordinator_state_topic_num_partitions = "share.coordinator.state.topic.num.partitions",
    share_coordinator_state_topic_prune_interval_ms = "share.coordinator.state.topic.prune.interval.ms",
    share_coordinator_state_topic_segment_bytes = "share.coordinator.state.topic.segment.bytes",
    socket_listen_backlog_size = "socket.listen.backlog.size",
    socket_receive_buffer_bytes = "socket.receive.buffer.bytes",
    socket_request_max_bytes = "socket.request.max.bytes",
    socket_send_buffer_bytes = "socket.send.buffer.bytes",
    transaction_abort_timed_out_transaction_cleanup_interval_ms =
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
    transaction_max_timeout_ms = "transaction.max.timeout.ms",
    transaction_remove_expired_transaction_cleanup_interval_ms =
        "transaction.remove.expired.transaction.cleanup.interval.ms",
    transaction_state_log_load_buffer_size = "transaction.state.log.load.buffer.size",
    transaction_state_log_min_isr = "transaction.state.log.min.isr",
    transaction_state_log_num_partitions = "transaction.state.log.num.partitions",
    transaction_state_log_segment_bytes = "transaction.state.log.segment.bytes",
    transactional_id_expiration_ms = "transactional.id.expiration.ms",
}

accessors! { Long -> i64:
    connections_max_idle_ms = "connections.max.idle.ms",
    log_cleaner_backoff_ms = "log.cleaner.backoff.ms",
    log_cleaner_dedupe_buffer_size = "log.cleaner.dedupe.buffer.size",
    log_cleaner_max_compaction_lag_ms = "log.cleaner.max.compaction.lag.ms",
    log_cleaner_min_compaction_lag_ms = "log.cleaner.min.compaction.lag.ms",
    log_flush_interval_messages = "log.flush.interval.messages",
    log_flush_scheduler_interval_ms = "log.flush.scheduler.interval.ms",
    log_initial_task_delay_ms = "log.initial.task.delay.ms",
    log_retention_bytes = "log.retention.bytes",
    log_retention_check_interval_ms = "log.retention.check.interval.ms",
    log_segment_delete_delay_ms = "log.segment.delete.delay.ms",
    metadata_log_max_record_bytes_between_snapshots = "metadata.log.max.record.bytes.between.snapshots",
    metadata_log_max_snapshot_interval_ms = "metadata.log.max.snapshot.interval.ms",
    metadata_log_segment_ms = "metadata.log.segment.ms",
    metadata_max_retention_bytes = "metadata.max.retention.bytes",
    metadata_max_retention_ms = "metadata.max.retention.ms",
    offsets_retention_check_interval_ms = "offsets.retention.check.interval.ms",
    queued_max_request_bytes = "queued.max.request.bytes",
    replica_high_watermark_checkpoint_interval_ms = "replica.high.watermark.checkpoint.interval.ms",
    replica_lag_time_max_ms = "replica.lag.time.max.ms",
}

accessors! { Double -> f64:
    log_cleaner_io_buffer_load_factor = "log.cleaner.io.buffer.load.factor",
    log_cleaner_io_max_bytes_per_second = "log.cleaner.io.max.bytes.per.second",
}

accessors! { Short -> i16:
    offsets_topic_replication_factor = "offsets.topic.replication.factor",
    share_coordinator_state_topic_min_isr = "share.coordinator.state.topic.min.isr",
    share_coordinator_state_topic_replication_factor = "share.coordinator.state.topic.replication.factor",
    transaction_state_log_replication_factor = "transaction.state.log.replication.factor",
}

accessors! { Boolean -> bool:
    auto_create_topics_enable = "auto.create.topics.enable",
    auto_leader_rebalance_enable = "auto.leader.rebalance.enable",
    controlled_shutdown_enable = "controlled.shutdown.enable",
    delete_topic_enable = "delete.topic.enable",
    log_cleaner_enable = "log.cleaner.enable",
    transaction_partition_verification_enable = "transaction.partition.verification.enable",
    transaction_two_phase_commit_enable = "transaction.two.phase.commit.enable",
    unstable_api_versions_enable = "unstable.api.versions.enable",
    unstable_feature_versions_enable = "unstable.feature.versions.enable",
}

const MS_PER_MINUTE: i64 = 60_000;
const MS_PER_HOUR: i64 = 60 * MS_PER_MINUTE;

impl BrokerConfig {
    /// The newest metadata version that the node supports.
    #[must_use]
    pub fn newest_metadata_version(&self) -> MetadataVersion {
        if self.unstable_feature_versions_enable() { MetadataVersion::UNSTABLE } else { MetadataVersion::LATEST }
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::String(text) | Value::Class(text) | Value::Password(text)) => Some(text),
            _ => None,
        }
    }

    fn items(&self, name: &str) -> Option<&[String]> {
        match self.value(name) {
            Some(Value::List(items)) => Some(items),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Some(Value::Int(value)) => Some(i64::from(*value)),
            Some(Value::Long(value)) => Some(*value),
            _ => None,
        }
    }

    fn hours(&self, name: &str) -> i64 {
        self.number(name).unwrap_or(0) * MS_PER_HOUR
    }

    /// `broker.rack`.
    #[must_use]
    pub fn rack(&self) -> Option<&str> {
        self.text("broker.rack")
    }

    /// Time after which a segment rolls, of `log.roll.ms` or `log.roll.hours`, in milliseconds.
    #[must_use]
    pub fn log_roll_ms(&self) -> i64 {
        self.number("log.roll.ms").unwrap_or_else(|| self.hours("log.roll.hours"))
    }

    /// Most that a roll is brought forward, of `log.roll.jitter.ms` or `log.roll.jitter.hours`, in milliseconds.
    #[must_use]
    pub fn log_roll_jitter_ms(&self) -> i64 {
        self.number("log.roll.jitter.ms").unwrap_or_else(|| self.hours("log.roll.jitter.hours"))
    }

    /// Retention of `log.retention.ms`, `.minutes` or `.hours` in milliseconds; -1 is for ever.
    #[must_use]
    pub fn log_retention_ms(&self) -> i64 {
        let minutes = || self.number("log.retention.minutes").map(|minutes| minutes * MS_PER_MINUTE);
        let retention =
            self.number("log.retention.ms").or_else(minutes).unwrap_or_else(|| self.hours("log.retention.hours"));
        retention.max(-1)
    }

    /// Longest time between flushes, of `log.flush.interval.ms` or `log.flush.scheduler.interval.ms`.
    #[must_use]
    pub fn log_flush_interval_ms(&self) -> i64 {
        self.number("log.flush.interval.ms").unwrap_or_else(|| self.log_flush_scheduler_interval_ms())
    }

    /// `log.dirs`, else `log.dir`.
    #[must_use]
    pub fn log_dirs(&self) -> &[String] {
        self.items("log.dirs").or_else(|| self.items("log.dir")).unwrap_or_default()
    }

    /// `metadata.log.dir`, else the first of the log directories.
    #[must_use]
    pub fn metadata_log_dir(&self) -> &str {
        let first = || self.log_dirs().first().map(String::as_str).unwrap_or_default();
        self.text("metadata.log.dir").unwrap_or_else(first)
    }

    /// `process.roles`.
    #[must_use]
    pub fn process_roles(&self) -> Vec<ProcessRole> {
        let roles = self.items("process.roles").unwrap_or_default();
        roles.iter().map(|role| if role == "broker" { ProcessRole::Broker } else { ProcessRole::Controller }).collect()
    }

    /// Whether the node stores and serves partitions.
    #[must_use]
    pub fn is_broker(&self) -> bool {
        self.process_roles().contains(&ProcessRole::Broker)
    }

    /// Whether the node votes in the metadata quorum.
    #[must_use]
    pub fn is_controller(&self) -> bool {
        self.process_roles().contains(&ProcessRole::Controller)
    }

    /// `controller.listener.names`.
    #[must_use]
    pub fn controller_listener_names(&self) -> &[String] {
        self.items("controller.listener.names").unwrap_or_default()
    }

    pub(crate) fn is_controller_listener(&self, listener: &str) -> bool {
        self.controller_listener_names().iter().any(|name| name == listener)
    }

    /// `controller.quorum.voters`.
    #[must_use]
    pub fn controller_quorum_voters(&self) -> Vec<QuorumVoter> {
        parse_quorum_voters(self.items("controller.quorum.voters").unwrap_or_default()).unwrap_or_default()
    }

    /// `controller.quorum.bootstrap.servers` as host and port.
    #[must_use]
    pub fn controller_quorum_bootstrap_servers(&self) -> Vec<(String, u16)> {
        let servers = self.items("controller.quorum.bootstrap.servers").unwrap_or_default();
        servers.iter().filter_map(|server| parse_bootstrap_server(server).ok()).collect()
    }

    /// Addresses to listen on, those of the controller included.
    #[must_use]
    pub fn listeners(&self) -> Vec<Endpoint> {
        self.parse_listeners().expect("the configuration was checked when it was read")
    }

    /// Addresses that clients and brokers are told, without those of the controller.
    #[must_use]
    pub fn advertised_broker_listeners(&self) -> Vec<Endpoint> {
        let mut endpoints = self.parse_advertised_listeners().expect("the configuration was checked when it was read");
        endpoints.retain(|endpoint| !self.is_controller_listener(&endpoint.listener));
        endpoints
    }

    /// Name of the listener between brokers.
    #[must_use]
    pub fn inter_broker_listener_name(&self) -> String {
        self.parse_inter_broker_listener_name().expect("the configuration was checked when it was read")
    }

    /// `group.consumer.assignors` and such: the items of a list configuration, empty if it is not set.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        self.items(name).unwrap_or_default().to_vec()
    }

    pub(crate) fn parse_listeners(&self) -> Result<Vec<Endpoint>, ConfigError> {
        let entries = self.items("listeners").unwrap_or_default();
        parse_listeners("listeners", entries, &self.security_protocols()?, true)
    }

    pub(crate) fn parse_advertised_listeners(&self) -> Result<Vec<Endpoint>, ConfigError> {
        match self.items("advertised.listeners") {
            Some(entries) => parse_listeners("advertised.listeners", entries, &self.security_protocols()?, false),
            None => self.parse_listeners(),
        }
    }

    pub(crate) fn parse_inter_broker_listener_name(&self) -> Result<String, ConfigError> {
        const NAME: &str = "inter.broker.listener.name";
        let protocol = self.text("security.inter.broker.protocol").unwrap_or("PLAINTEXT");
        let Some(name) = self.text(NAME) else {
            return Ok(protocol.to_owned());
        };
        if self.is_set("security.inter.broker.protocol") {
            return Err(ConfigError::rule(
                NAME,
                format!("Only one of {NAME} and security.inter.broker.protocol should be set."),
            ));
        }
        let name = name.to_uppercase();
        if self.security_protocols()?.contains_key(&name) {
            return Ok(name);
        }
        let reason =
            format!("Listener with name {name} defined in {NAME} not found in listener.security.protocol.map.");
        Err(ConfigError::rule(NAME, reason))
    }

    /// Listener names and their protocols; controller listeners default to PLAINTEXT as long as nothing is secured.
    fn security_protocols(&self) -> Result<BTreeMap<String, SecurityProtocol>, ConfigError> {
        const NAME: &str = "listener.security.protocol.map";
        let mut protocols = BTreeMap::new();
        for entry in self.text(NAME).unwrap_or_default().split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (listener, protocol) = entry.rsplit_once(':').ok_or_else(|| {
                ConfigError::rule(NAME, format!("Error parsing configuration property '{NAME}': {entry}"))
            })?;
            let parsed = SecurityProtocol::from_name(protocol.trim()).ok_or_else(|| {
                ConfigError::rule(NAME, format!("Invalid security protocol `{protocol}` defined in {NAME}"))
            })?;
            protocols.insert(listener.trim().to_uppercase(), parsed);
        }
        if !self.is_set(NAME) {
            let secured = |name: &str| matches!(name, "SSL" | "SASL_SSL" | "SASL_PLAINTEXT");
            let listener_name = |entry: &String| entry.split(':').next().unwrap_or_default().to_uppercase();
            let names = self.controller_listener_names();
            let listeners = self.items("listeners").unwrap_or_default();
            if !names.iter().any(|name| secured(name)) && !listeners.iter().any(|entry| secured(&listener_name(entry)))
            {
                protocols.extend(names.iter().map(|name| (name.clone(), SecurityProtocol::Plaintext)));
            }
        }
        Ok(protocols)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigDef, ConfigType};

    #[test]
    fn accessors_and_definitions_agree() {
        let source = include_str!("accessors.rs");
        let mut value_type = None;
        for line in source.lines() {
            if let Some(rest) = line.strip_prefix("accessors! { ") {
                value_type = match rest.split(' ').next() {
                    Some("Int") => Some(ConfigType::Int),
                    Some("Long") => Some(ConfigType::Long),
                    Some("Short") => Some(ConfigType::Short),
                    Some("Double") => Some(ConfigType::Double),
                    _ => Some(ConfigType::Boolean),
                };
            } else if let (Some(value_type), Some((_, rest))) = (value_type, line.split_once(" = \"")) {
                let name = rest.trim_end_matches("\",");
                let key = ConfigDef::broker().key(name).unwrap_or_else(|| panic!("{name} is not defined"));
                assert_eq!(key.value_type, value_type, "{name}");
                assert_ne!(key.default, Some(super::Value::Null), "{name}");
            } else if line == "}" {
                value_type = None;
            }
        }
    }
}
