//! Timestamp to offset: the largest timestamp up to a batch, and the last offset of the batch that has it.

use protocol::types::{Offset, TimestampMs};

use crate::index_file::Entry;
use crate::place::FileKind;

/// A timestamp and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampAndOffset {
    /// In epoch milliseconds.
    pub timestamp: TimestampMs,
    /// Offset of the record, or of the last record of its batch.
    pub offset: Offset,
}

/// An entry of a `.timeindex` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// In epoch milliseconds.
    pub(crate) timestamp: TimestampMs,
    /// Last offset of the batch, less the base offset of the segment.
    pub(crate) relative_offset: u32,
}

impl Entry for TimeEntry {
    const SIZE: usize = 12;
    const KIND: FileKind = FileKind::TimeIndex;

    fn decode(bytes: &[u8]) -> Self {
        let mut timestamp = [0; 8];
        timestamp.copy_from_slice(&bytes[..8]);
        let relative_offset = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        Self { timestamp: i64::from_be_bytes(timestamp), relative_offset }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }
}
