//! The group coordinators: the settings of their shards, and what they are told of whoever sends a request.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use coordinator::{Assignor, Bounded, GroupConfig, GroupShard, MigrationPolicy, StreamsSettings, TypeSettings};
use metadata::config::{BrokerConfig, Value};
use protocol::record::Compression;
use tracing::warn;

use super::{Coordinator, Coordinators, Hosted};
use crate::Broker;
use crate::dispatch::RequestContext;

impl Hosted for GroupShard {
    fn of(coordinators: &Coordinators) -> &Coordinator<Self> {
        coordinators.groups()
    }

    fn config(config: &BrokerConfig) -> GroupConfig {
        GroupConfig {
            min_session_timeout_ms: config.group_min_session_timeout_ms(),
            max_session_timeout_ms: config.group_max_session_timeout_ms(),
            initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms(),
            max_size: usize::try_from(config.group_max_size()).unwrap_or(0),
            offset_metadata_max_size: usize::try_from(config.offset_metadata_max_bytes()).unwrap_or(0),
            offsets_retention_ms: i64::from(config.offsets_retention_minutes()) * 60_000,
            offsets_retention_check_interval_ms: config.offsets_retention_check_interval_ms(),
            consumer: type_settings(config, "consumer"),
            streams: StreamsSettings {
                common: type_settings(config, "streams"),
                standby_replicas: Bounded {
                    default: int(config, "group.streams.num.standby.replicas"),
                    min: 0,
                    max: int(config, "group.streams.max.standby.replicas"),
                },
                initial_rebalance_delay_ms: Bounded {
                    default: int(config, "group.streams.initial.rebalance.delay.ms"),
                    min: 0,
                    max: i32::MAX,
                },
            },
            consumer_assignors: assignors(config),
            consumer_migration_policy: text(config, "group.consumer.migration.policy")
                .and_then(MigrationPolicy::of_name)
                .unwrap_or_default(),
            regex_refresh_interval_ms: int(config, "group.consumer.regex.refresh.interval.ms"),
            share: type_settings(config, "share"),
            ..GroupConfig::default()
        }
    }

    fn partitions(config: &BrokerConfig) -> i32 {
        config.offsets_topic_num_partitions()
    }

    fn compression(config: &BrokerConfig) -> Compression {
        match config.offsets_topic_compression_codec() {
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            _ => Compression::None,
        }
    }

    fn load_buffer_size(config: &BrokerConfig) -> i32 {
        config.offsets_load_buffer_size()
    }

    fn act(_broker: &Arc<Broker>, action: Infallible) {
        match action {}
    }
}

/// `group.<kind>.*`, what every type of group has of it.
fn type_settings(config: &BrokerConfig, kind: &str) -> TypeSettings {
    let bounded = |name: &str| Bounded {
        default: int(config, &format!("group.{kind}.{name}")),
        min: int(config, &format!("group.{kind}.min.{name}")),
        max: int(config, &format!("group.{kind}.max.{name}")),
    };
    TypeSettings {
        session_timeout_ms: bounded("session.timeout.ms"),
        heartbeat_interval_ms: bounded("heartbeat.interval.ms"),
        assignment_interval_ms: bounded("assignment.interval.ms"),
        max_size: usize::try_from(int(config, &format!("group.{kind}.max.size"))).unwrap_or(0),
    }
}

fn assignors(config: &BrokerConfig) -> Vec<Assignor> {
    let names = config.list("group.consumer.assignors");
    let known = names.iter().filter_map(|name| {
        let assignor = Assignor::of_name(name);
        if assignor.is_none() {
            warn!(name, "left an assignor of group.consumer.assignors out: it is none of Kafka's own");
        }
        assignor
    });
    known.collect()
}

fn int(config: &BrokerConfig, name: &str) -> i32 {
    match config.value(name) {
        Some(Value::Int(value)) => *value,
        other => unreachable!("{name} is defined as an integer, not {other:?}"),
    }
}

fn text<'a>(config: &'a BrokerConfig, name: &str) -> Option<&'a str> {
    match config.value(name) {
        Some(Value::String(value)) => Some(value),
        _ => None,
    }
}

impl Broker {
    /// Whether the cluster's features and the node's configuration allow consumer groups.
    pub(crate) fn serves_consumer_groups(&self) -> bool {
        self.serves_groups("consumer", "group.version")
    }

    /// Whether the cluster's features and the node's configuration allow streams groups.
    pub(crate) fn serves_streams_groups(&self) -> bool {
        self.serves_groups("streams", "streams.version")
    }

    fn serves_groups(&self, protocol: &str, feature: &str) -> bool {
        let protocols = self.config().list("group.coordinator.rebalance.protocols");
        protocols.iter().any(|known| known.eq_ignore_ascii_case(protocol)) && self.image().feature_level(feature) >= 1
    }
}

/// What a coordinator is told of whoever sends a request.
pub(crate) fn coordinator_context(broker: &Arc<Broker>, context: &RequestContext) -> coordinator::RequestContext {
    coordinator::RequestContext {
        now_ms: broker.coordinators().now_ms(broker),
        client_id: context.client_id.clone(),
        client_host: java_address(context.connection.peer),
        api_version: context.version,
        fresh_id: broker.random_uuid(),
    }
}

/// An address as Java's `InetAddress` prints it: without a host name, and IPv6 in full.
fn java_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => format!("/{}", address.segments().map(|segment| format!("{segment:x}")).join(":")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_by_java() {
        let printed = |text: &str| java_address(text.parse().expect("an address"));
        assert_eq!(printed("127.0.0.1"), "/127.0.0.1");
        assert_eq!(printed("::ffff:10.0.0.1"), "/10.0.0.1");
        assert_eq!(printed("fe80::1"), "/fe80:0:0:0:0:0:0:1");
    }
}
