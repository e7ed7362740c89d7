//! Settings of streams groups.

use ::metadata::config::ConfigMap;

use crate::group::modern::settings::{Bounded, TypeSettings};

/// `group.streams.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamsSettings {
    /// What every type of group has.
    pub common: TypeSettings,
    /// `group.streams.num.standby.replicas`, up to `group.streams.max.standby.replicas`.
    pub standby_replicas: Bounded,
    /// `group.streams.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: Bounded,
}

impl Default for StreamsSettings {
    fn default() -> Self {
        Self {
            common: TypeSettings::default(),
            standby_replicas: Bounded { default: 0, min: 0, max: 2 },
            initial_rebalance_delay_ms: Bounded { default: 3_000, min: 0, max: i32::MAX },
        }
    }
}

/// What holds for one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    pub(crate) session_timeout_ms: i32,
    pub(crate) heartbeat_interval_ms: i32,
    pub(crate) standby_replicas: usize,
    pub(crate) initial_rebalance_delay_ms: i32,
    pub(crate) assignment_interval_ms: i32,
    pub(crate) max_size: usize,
}

impl StreamsSettings {
    /// What holds for a group with these configurations.
    pub(crate) fn of(&self, configs: Option<&ConfigMap>) -> GroupSettings {
        GroupSettings {
            session_timeout_ms: self.common.session_timeout_ms.of(configs, "streams.session.timeout.ms"),
            heartbeat_interval_ms: self.common.heartbeat_interval_ms.of(configs, "streams.heartbeat.interval.ms"),
            standby_replicas: usize::try_from(self.standby_replicas.of(configs, "streams.num.standby.replicas"))
                .unwrap_or_default(),
            initial_rebalance_delay_ms: self
                .initial_rebalance_delay_ms
                .of(configs, "streams.initial.rebalance.delay.ms"),
            assignment_interval_ms: self.common.assignment_interval_ms.of(configs, "streams.assignment.interval.ms"),
            max_size: self.common.max_size,
        }
    }
}
