//! How much of a log there is to clean, and whether it is time (`LogCleanerManager`, `LogToClean`).

use std::collections::HashMap;
use std::sync::Arc;

use protocol::types::{Offset, ProducerId, TimestampMs};

use super::CleanError;
use crate::config::LogConfig;
use crate::log::Log;
use crate::log_view::LogView;
use crate::place::Place;
use crate::producer_state::LastRecord;
use crate::segment::Segment;

/// What could be cleaned of a log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleanable {
    /// Below it the log was cleaned before.
    pub first_dirty: Offset,
    /// From it on nothing may be cleaned: open transactions, the active segment, records within `min.compaction.lag.ms`.
    pub first_uncleanable: Offset,
    /// Bytes that were cleaned before.
    pub clean_bytes: u64,
    /// Bytes that were not, and may be.
    pub cleanable_bytes: u64,
    /// For how long `max.compaction.lag.ms` has been exceeded.
    pub delay_ms: i64,
    /// The checkpoint does not fit the log: `first_dirty` is to replace it.
    pub checkpoint_is_off: bool,
}

impl Cleanable {
    /// The part of the log that is dirty; 0 for an empty log.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        match self.clean_bytes + self.cleanable_bytes {
            0 => 0.0,
            total => self.cleanable_bytes as f64 / total as f64,
        }
    }

    /// Whether `min.cleanable.dirty.ratio` or `max.compaction.lag.ms` asks for a cleaning.
    #[must_use]
    pub fn is_due(&self, config: &LogConfig) -> bool {
        self.cleanable_bytes > 0 && self.delay_ms > 0 || self.ratio() > config.min_cleanable_dirty_ratio
    }
}

/// A cleaning of one log: all that it needs, so that the log's lock can be let go.
#[derive(Debug)]
pub struct Cleaning {
    pub(super) place: Arc<Place>,
    pub(super) config: Arc<LogConfig>,
    pub(super) view: Arc<LogView>,
    /// The segments below the first uncleanable offset.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) range: Cleanable,
    pub(super) producers: HashMap<ProducerId, LastRecord>,
    pub(super) now_ms: TimestampMs,
}

impl Log {
    /// What could be cleaned, given that all below `checkpoint` was.
    /// # Errors
    /// The disk's, or that of a damaged segment.
    pub fn cleanable(&self, checkpoint: Option<Offset>, now_ms: TimestampMs) -> Result<Cleanable, CleanError> {
        self.check_online()?;
        let checkpoint = checkpoint.unwrap_or(self.log_start_offset);
        let checkpoint_is_off = checkpoint < self.log_start_offset || checkpoint > self.log_end_offset;
        let first_dirty = if checkpoint_is_off { self.log_start_offset } else { checkpoint };
        let bound = self.first_uncleanable(first_dirty, now_ms)?.max(first_dirty);
        let uncleanable = self.segment_at(bound).min(self.segments.len() - 1);
        let first_uncleanable = self.segments[uncleanable].base_offset();
        let dirty = self.segment_at(first_dirty.min(first_uncleanable)).min(uncleanable);
        let size = |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.size()).sum();
        let clean = self.segments.partition_point(|segment| segment.base_offset() < first_dirty);
        Ok(Cleanable {
            first_dirty,
            first_uncleanable,
            clean_bytes: size(&self.segments[..clean]),
            cleanable_bytes: size(&self.segments[dirty..uncleanable]),
            delay_ms: self.compaction_delay(first_dirty, now_ms)?,
            checkpoint_is_off,
        })
    }

    /// Starts a cleaning of `range`, which is what [`Log::cleanable`] found just now.
    #[must_use]
    pub fn start_cleaning(&self, range: Cleanable, now_ms: TimestampMs) -> Cleaning {
        let count = self.segments.partition_point(|segment| segment.base_offset() < range.first_uncleanable);
        Cleaning {
            place: Arc::clone(&self.place),
            config: Arc::clone(&self.config),
            view: self.view(),
            segments: self.segments[..count].to_vec(),
            range,
            producers: self.producers.last_records(),
            now_ms,
        }
    }

    /// Index of the segment that holds `offset`.
    fn segment_at(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
    }

    fn first_uncleanable(&self, first_dirty: Offset, now_ms: TimestampMs) -> Result<Offset, CleanError> {
        let active = self.active_segment().base_offset();
        // What is not on disk yet cannot be replaced by what is.
        let bound = self.stable_offset().min(active).min(self.recovery_point);
        let lag_ms = self.config.min_compaction_lag_ms;
        if lag_ms > 0 {
            for segment in self.sealed_from(first_dirty) {
                if segment.largest_timestamp()?.timestamp > now_ms - lag_ms {
                    return Ok(bound.min(segment.base_offset()));
                }
            }
        }
        Ok(bound)
    }

    fn compaction_delay(&self, first_dirty: Offset, now_ms: TimestampMs) -> Result<i64, CleanError> {
        let until = now_ms.saturating_sub(self.config.max_compaction_lag_ms.max(0));
        if until <= 0 {
            return Ok(0);
        }
        let mut earliest = i64::MAX;
        for segment in self.sealed_from(first_dirty) {
            segment.scan(0, segment.size(), |header, _| {
                if header.max_timestamp > 0 {
                    earliest = earliest.min(header.max_timestamp);
                }
                false
            })?;
        }
        Ok((until.saturating_sub(earliest)).max(0))
    }

    fn sealed_from(&self, offset: Offset) -> &[Arc<Segment>] {
        let sealed = self.segments.len() - 1;
        &self.segments[self.segment_at(offset).min(sealed)..sealed]
    }
}
