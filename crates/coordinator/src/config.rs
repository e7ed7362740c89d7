//! The settings of the group coordinator, with Kafka's defaults.

use crate::group::assignor::Assignor;
use crate::group::modern::settings::TypeSettings;
use crate::group::streams::settings::StreamsSettings;

/// Which groups may become groups of the other protocol while they have members (`group.consumer.migration.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MigrationPolicy {
    /// None.
    Disabled,
    /// Classic groups may become consumer groups.
    Upgrade,
    /// Consumer groups may become classic groups.
    Downgrade,
    /// Both.
    #[default]
    Bidirectional,
}

impl MigrationPolicy {
    /// The policy of a name, in any case.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let policies = [
            ("disabled", Self::Disabled),
            ("upgrade", Self::Upgrade),
            ("downgrade", Self::Downgrade),
            ("bidirectional", Self::Bidirectional),
        ];
        policies.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, policy)| policy)
    }

    pub(crate) fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub(crate) fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// Settings of the coordinator, each named as in `server.properties`.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`.
    pub max_size: usize,
    /// How long a new member's JoinGroup is kept while it cannot send heartbeats. Not configurable in Kafka.
    pub new_member_join_timeout_ms: i32,
    /// `offset.metadata.max.bytes`, counted by Kafka in UTF-16 units.
    pub offset_metadata_max_size: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: i64,
    /// `group.consumer.*`.
    pub consumer: TypeSettings,
    /// `group.streams.*`.
    pub streams: StreamsSettings,
    /// `group.consumer.assignors`; the first one is for groups whose members do not ask for one.
    pub consumer_assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub consumer_migration_policy: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub regex_refresh_interval_ms: i32,
    /// `group.share.*`.
    pub share: TypeSettings,
    /// How long share state may take to be set up before it is asked for again. Not configurable in Kafka.
    pub share_initialize_retry_interval_ms: i64,
}

impl GroupConfig {
    /// The assignor of consumer groups whose members do not ask for one.
    pub(crate) fn consumer_default_assignor(&self) -> Assignor {
        self.consumer_assignors.first().copied().unwrap_or(Assignor::Uniform)
    }
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX as usize,
            new_member_join_timeout_ms: 5 * 60 * 1_000,
            offset_metadata_max_size: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_interval_ms: 600_000,
            consumer: TypeSettings::default(),
            streams: StreamsSettings::default(),
            consumer_assignors: vec![Assignor::Uniform, Assignor::Range],
            consumer_migration_policy: MigrationPolicy::default(),
            regex_refresh_interval_ms: 600_000,
            share: TypeSettings { max_size: 200, ..TypeSettings::default() },
            share_initialize_retry_interval_ms: 30_000,
        }
    }
}
