//! The share consumer's settings.

use std::time::Duration;

use crate::ClientError;
use crate::properties::Properties;

/// Whether records are acknowledged one by one (`share.acknowledgement.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcknowledgementMode {
    /// The next `poll`, or a commit, accepts everything that was delivered.
    Implicit,
    /// Every record has to be acknowledged before the next `poll`.
    Explicit,
}

/// How many records are acquired at once (`share.acquire.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcquireMode {
    /// Whole batches, even if that is more than `max.poll.records`.
    BatchOptimized,
    /// At most `max.poll.records`.
    RecordLimit,
}

impl AcquireMode {
    pub(super) fn code(self) -> i8 {
        match self {
            Self::BatchOptimized => 0,
            Self::RecordLimit => 1,
        }
    }
}

/// Settings of a [`super::ShareConsumer`]; names and defaults are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareConsumerConfig {
    /// `group.id`.
    pub group_id: String,
    /// `share.acknowledgement.mode`.
    pub acknowledgement_mode: AcknowledgementMode,
    /// `share.acquire.mode`.
    pub acquire_mode: AcquireMode,
    /// `max.poll.records`.
    pub max_poll_records: usize,
    /// `fetch.min.bytes`.
    pub fetch_min_bytes: i32,
    /// `fetch.max.bytes`.
    pub fetch_max_bytes: i32,
    /// `fetch.max.wait.ms`.
    pub fetch_max_wait: Duration,
    /// `check.crcs`.
    pub check_crcs: bool,
}

impl ShareConsumerConfig {
    /// The defaults, in this group.
    #[must_use]
    pub fn new(group_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            acknowledgement_mode: AcknowledgementMode::Implicit,
            acquire_mode: AcquireMode::BatchOptimized,
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_bytes: 52_428_800,
            fetch_max_wait: Duration::from_millis(500),
            check_crcs: true,
        }
    }

    /// Reads Kafka's names, with Kafka's defaults for those that are absent.
    /// # Errors
    /// [`ClientError::InvalidConfig`] for a value out of range.
    pub fn from_properties(properties: &Properties) -> Result<Self, ClientError> {
        let group_id = properties.value("group.id").filter(|group| !group.is_empty());
        let default = Self::new(group_id.ok_or(ClientError::InvalidArgument("there is no group.id"))?);
        let bytes = |name: &str, default: i32| -> Result<i32, ClientError> {
            Ok(properties.optional_number(name, 0, i32::MAX)?.unwrap_or(default))
        };
        let mode = |text: &str| match text.to_ascii_lowercase().as_str() {
            "implicit" => Some(AcknowledgementMode::Implicit),
            "explicit" => Some(AcknowledgementMode::Explicit),
            _ => None,
        };
        let acquire = |text: &str| match text.to_ascii_lowercase().as_str() {
            "batch_optimized" => Some(AcquireMode::BatchOptimized),
            "record_limit" => Some(AcquireMode::RecordLimit),
            _ => None,
        };
        Ok(Self {
            acknowledgement_mode: properties.choice(
                "share.acknowledgement.mode",
                default.acknowledgement_mode,
                mode,
            )?,
            acquire_mode: properties.choice("share.acquire.mode", default.acquire_mode, acquire)?,
            max_poll_records: properties.size("max.poll.records", default.max_poll_records, 1, i32::MAX)?,
            fetch_min_bytes: bytes("fetch.min.bytes", default.fetch_min_bytes)?,
            fetch_max_bytes: bytes("fetch.max.bytes", default.fetch_max_bytes)?,
            fetch_max_wait: properties.millis("fetch.max.wait.ms", default.fetch_max_wait)?,
            check_crcs: properties.bool("check.crcs", default.check_crcs)?,
            ..default
        })
    }
}
