//! The consumer's settings.

use std::time::Duration;

use super::assignor::Assignor;
use crate::ClientError;
use crate::properties::Properties;

/// Where to start in a partition without a usable offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the oldest record.
    Earliest,
    /// After the newest record.
    Latest,
    /// At the oldest record that is younger than this.
    ByDuration(Duration),
    /// Nowhere: `poll` fails.
    None,
}

impl OffsetReset {
    /// Reads `earliest`, `latest`, `none` or `by_duration:` with an ISO-8601 duration.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "earliest" => Some(Self::Earliest),
            "latest" => Some(Self::Latest),
            "none" => Some(Self::None),
            other => Some(Self::ByDuration(parse_iso_duration(other.strip_prefix("by_duration:")?)?)),
        }
    }
}

/// Which records of transactions are returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// All.
    ReadUncommitted,
    /// Those of committed transactions.
    ReadCommitted,
}

impl IsolationLevel {
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// Settings of a [`super::Consumer`]; names and defaults are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// `group.id`; without one there is neither membership nor commit.
    pub group_id: Option<String>,
    /// `group.instance.id`: a member by this name may restart without a rebalance (KIP-345).
    pub group_instance_id: Option<String>,
    /// `auto.offset.reset`.
    pub auto_offset_reset: OffsetReset,
    /// `enable.auto.commit`.
    pub enable_auto_commit: bool,
    /// `auto.commit.interval.ms`.
    pub auto_commit_interval: Duration,
    /// `session.timeout.ms`: without heartbeats for so long a member is out of its group.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: without `poll` for so long a member leaves its group.
    pub max_poll_interval: Duration,
    /// `max.poll.records`.
    pub max_poll_records: usize,
    /// `fetch.min.bytes`.
    pub fetch_min_bytes: i32,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: i32,
    /// `fetch.max.wait.ms`.
    pub fetch_max_wait: Duration,
    /// `max.partition.fetch.bytes`.
    pub max_partition_fetch_bytes: i32,
    /// `isolation.level`.
    pub isolation_level: IsolationLevel,
    /// `partition.assignment.strategy`, most wanted first. Cooperative only if all of them are.
    pub assignors: Vec<Assignor>,
    /// `check.crcs`.
    pub check_crcs: bool,
    /// `allow.auto.create.topics`.
    pub allow_auto_create_topics: bool,
    /// `exclude.internal.topics`: patterns do not match them.
    pub exclude_internal_topics: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group_id: None,
            group_instance_id: None,
            auto_offset_reset: OffsetReset::Latest,
            enable_auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_bytes: 52_428_800,
            fetch_max_wait: Duration::from_millis(500),
            max_partition_fetch_bytes: 1_048_576,
            isolation_level: IsolationLevel::ReadUncommitted,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            check_crcs: true,
            allow_auto_create_topics: true,
            exclude_internal_topics: true,
        }
    }
}

impl ConsumerConfig {
    /// Reads Kafka's names, with Kafka's defaults for those that are absent.
    /// # Errors
    /// [`ClientError::InvalidConfig`] for a value out of range.
    pub fn from_properties(properties: &Properties) -> Result<Self, ClientError> {
        if properties.value("group.protocol").is_some_and(|name| !name.eq_ignore_ascii_case("classic")) {
            return Err(properties.invalid("group.protocol", "this client speaks the classic protocol only"));
        }
        let default = Self::default();
        let name = |name| properties.value(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let bytes = |name: &str, default: i32| -> Result<i32, ClientError> {
            Ok(properties.optional_number(name, 0, i32::MAX)?.unwrap_or(default))
        };
        let isolation = |text: &str| match text {
            "read_uncommitted" => Some(IsolationLevel::ReadUncommitted),
            "read_committed" => Some(IsolationLevel::ReadCommitted),
            _ => None,
        };
        let group_id = name("group.id");
        let commits = properties.bool("enable.auto.commit", default.enable_auto_commit && group_id.is_some())?;
        Ok(Self {
            group_id,
            group_instance_id: name("group.instance.id"),
            auto_offset_reset: properties.choice(
                "auto.offset.reset",
                default.auto_offset_reset,
                OffsetReset::from_name,
            )?,
            enable_auto_commit: commits,
            auto_commit_interval: properties.millis("auto.commit.interval.ms", default.auto_commit_interval)?,
            session_timeout: properties.millis("session.timeout.ms", default.session_timeout)?,
            heartbeat_interval: properties.millis("heartbeat.interval.ms", default.heartbeat_interval)?,
            max_poll_interval: properties.millis("max.poll.interval.ms", default.max_poll_interval)?,
            max_poll_records: properties.size("max.poll.records", default.max_poll_records, 1, i32::MAX)?,
            fetch_min_bytes: bytes("fetch.min.bytes", default.fetch_min_bytes)?,
            fetch_max_bytes: bytes("fetch.max.bytes", default.fetch_max_bytes)?,
            fetch_max_wait: properties.millis("fetch.max.wait.ms", default.fetch_max_wait)?,
            max_partition_fetch_bytes: bytes("max.partition.fetch.bytes", default.max_partition_fetch_bytes)?,
            isolation_level: properties.choice("isolation.level", default.isolation_level, isolation)?,
            assignors: assignors(properties)?.unwrap_or(default.assignors),
            check_crcs: properties.bool("check.crcs", default.check_crcs)?,
            allow_auto_create_topics: properties.bool("allow.auto.create.topics", default.allow_auto_create_topics)?,
            exclude_internal_topics: properties.bool("exclude.internal.topics", default.exclude_internal_topics)?,
        })
    }

    /// Whether members keep their partitions during a rebalance.
    pub(crate) fn is_cooperative(&self) -> bool {
        !self.assignors.is_empty() && self.assignors.iter().all(|assignor| assignor.is_cooperative())
    }
}

fn assignors(properties: &Properties) -> Result<Option<Vec<Assignor>>, ClientError> {
    const NAME: &str = "partition.assignment.strategy";
    let Some(names) = properties.list(NAME) else { return Ok(None) };
    let assignors: Option<Vec<Assignor>> = names.iter().map(|name| Assignor::from_name(name)).collect();
    let assignors = assignors.filter(|assignors| !assignors.is_empty());
    assignors.map(Some).ok_or_else(|| properties.invalid(NAME, "no such assignor"))
}

/// Reads `PnDTnHnMn.nS`, each part being optional.
fn parse_iso_duration(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix('P')?;
    let (days, time) = text.split_once('T').unwrap_or((text, ""));
    let mut seconds = 0.0;
    for (part, units) in [(days, &[('D', 86_400.0)][..]), (time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)][..])] {
        let mut rest = part;
        for (unit, size) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                seconds += number.parse::<f64>().ok()? * size;
                rest = after;
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_by_duration_are_iso_8601() {
        let reset = |text: &str| OffsetReset::from_name(text);
        let seconds = |seconds| Some(OffsetReset::ByDuration(Duration::from_secs(seconds)));
        assert_eq!(reset("by_duration:P1DT2H3M4S"), seconds(93_784));
        assert_eq!(reset("by_duration:PT30M"), seconds(1_800));
        assert_eq!(reset("by_duration:P2D"), seconds(172_800));
        assert_eq!(reset("by_duration:soon"), None);
        assert_eq!(reset("LATEST"), Some(OffsetReset::Latest));
    }

    #[test]
    fn javas_class_names_are_assignors() {
        let names = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor, range";
        let properties: Properties = [("partition.assignment.strategy", names)].into_iter().collect();
        let config = ConsumerConfig::from_properties(&properties).unwrap();
        assert_eq!(config.assignors, [Assignor::CooperativeSticky, Assignor::Range]);
        assert!(!config.is_cooperative());
    }
}
