//! Settings of groups of one type: the broker's, which a group's own configuration overrides within the broker's bounds.

use metadata::config::ConfigMap;

/// A setting in milliseconds that a group may change within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded {
    /// For groups that do not say otherwise.
    pub default: i32,
    /// The least that a group gets.
    pub min: i32,
    /// The most that a group gets.
    pub max: i32,
}

impl Bounded {
    /// What holds for a group with these configurations.
    pub(crate) fn of(self, configs: Option<&ConfigMap>, name: &str) -> i32 {
        let own = configs.and_then(|configs| configs.get(name)).and_then(|text| text.trim().parse::<i32>().ok());
        own.map_or(self.default, |own| own.max(self.min).min(self.max))
    }
}

/// Settings that every type of group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeSettings {
    /// `group.<type>.session.timeout.ms`.
    pub session_timeout_ms: Bounded,
    /// `group.<type>.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: Bounded,
    /// `group.<type>.assignment.interval.ms`: how long a target assignment stands at least.
    pub assignment_interval_ms: Bounded,
    /// `group.<type>.max.size`.
    pub max_size: usize,
}

impl Default for TypeSettings {
    fn default() -> Self {
        Self {
            session_timeout_ms: Bounded { default: 45_000, min: 45_000, max: 60_000 },
            heartbeat_interval_ms: Bounded { default: 5_000, min: 5_000, max: 15_000 },
            assignment_interval_ms: Bounded { default: 1_000, min: 0, max: 15_000 },
            max_size: i32::MAX as usize,
        }
    }
}
