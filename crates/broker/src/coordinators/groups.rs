//! The group coordinators: the settings of their shards, and what they are told of whoever sends a request.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use coordinator::{GroupConfig, GroupShard};
use metadata::config::BrokerConfig;
use protocol::record::Compression;

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
