//! Writes batches of format v2.

use bytes::Bytes;

use super::batch::{
    self, BatchHeader, HEADER_SIZE, LOG_OVERHEAD, MAGIC_V2, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID,
    NO_SEQUENCE, NO_TIMESTAMP,
};
use super::compression::compress;
use super::entry::Header;
use super::varint::{put_varint, put_varlong, varlong_size};
use super::{Compression, TimestampType};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// What a batch is besides its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSettings {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Epoch of the leader.
    pub leader_epoch: LeaderEpoch,
    /// Codec.
    pub compression: Compression,
    /// Level of the codec, or its default in Kafka.
    pub level: Option<i32>,
    /// Whose clock the timestamps come from.
    pub timestamp_type: TimestampType,
    /// The append time, if the type is [`TimestampType::LogAppendTime`].
    pub log_append_time: TimestampMs,
    /// Idempotent producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record.
    pub base_sequence: Sequence,
    /// Part of a transaction.
    pub is_transactional: bool,
    /// Control records.
    pub is_control: bool,
    /// Time from which compaction may drop tombstones and markers (KIP-534).
    pub delete_horizon: Option<TimestampMs>,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            base_offset: 0,
            leader_epoch: NO_LEADER_EPOCH,
            compression: Compression::None,
            level: None,
            timestamp_type: TimestampType::CreateTime,
            log_append_time: NO_TIMESTAMP,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            is_transactional: false,
            is_control: false,
            delete_horizon: None,
        }
    }
}

/// Collects records to one batch.
#[derive(Debug)]
pub struct BatchBuilder {
    settings: BatchSettings,
    /// Room for the header, then the records, not compressed.
    bytes: Vec<u8>,
    count: i32,
    next_offset: Offset,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
}

impl BatchBuilder {
    /// Starts a batch without records.
    #[must_use]
    pub fn new(settings: BatchSettings) -> Self {
        let next_offset = settings.base_offset;
        Self {
            settings,
            bytes: vec![0; HEADER_SIZE],
            count: 0,
            next_offset,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
        }
    }

    /// Appends a record at the next offset, and returns the builder.
    pub fn append(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> &mut Self {
        self.append_at(self.next_offset, timestamp, key, value, headers)
    }

    /// Appends a record at `offset`, which is at least the next one: a batch that was compacted has gaps.
    pub fn append_at(
        &mut self,
        offset: Offset,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> &mut Self {
        debug_assert!(offset >= self.next_offset, "offsets of a batch go up");
        if self.count == 0 {
            self.base_timestamp = self.settings.delete_horizon.unwrap_or(timestamp);
        }
        let offset_delta = offset.wrapping_sub(self.settings.base_offset);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let body = body_size(offset_delta, timestamp_delta, key, value, headers);
        let out = &mut self.bytes;
        put_varlong(out, body as i64);
        out.push(0);
        put_varlong(out, timestamp_delta);
        put_varlong(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        put_varlong(out, headers.len() as i64);
        for (key, value) in headers {
            put_nullable(out, Some(key));
            put_nullable(out, value.as_deref());
        }
        self.count += 1;
        self.next_offset = offset + 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self
    }

    /// Makes room for `bytes` more, so that records are not moved while they are collected.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Number of records so far.
    #[must_use]
    pub fn records_count(&self) -> i32 {
        self.count
    }

    /// Whether there are no records yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Offset that the next record gets.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Size of the batch before compression, in bytes.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Size that one more record would add before compression, in bytes, at most.
    #[must_use]
    pub fn record_size_bound(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
        // The longest length, timestamp and offset.
        5 + body_size(i64::from(i32::MAX), i64::MIN, key, value, headers)
    }

    /// The batch, checksum included. Records stay as they are where the codec refuses its level, which
    /// configurations are validated against.
    #[must_use]
    pub fn build(mut self) -> Bytes {
        if self.settings.compression != Compression::None {
            let mut compressed = vec![0; HEADER_SIZE];
            let records = &self.bytes[HEADER_SIZE..];
            match compress(self.settings.compression, self.settings.level, records, &mut compressed) {
                Ok(()) => self.bytes = compressed,
                Err(_) => self.settings.compression = Compression::None,
            }
        }
        finish(self.header(), self.bytes)
    }

    fn header(&self) -> BatchHeader {
        let settings = &self.settings;
        let last_offset_delta = self.next_offset.wrapping_sub(1).wrapping_sub(settings.base_offset);
        let max_timestamp = match settings.timestamp_type {
            TimestampType::CreateTime => self.max_timestamp,
            TimestampType::LogAppendTime => settings.log_append_time,
        };
        BatchHeader {
            base_offset: settings.base_offset,
            batch_length: 0,
            partition_leader_epoch: settings.leader_epoch,
            magic: MAGIC_V2,
            crc: 0,
            attributes: batch::attributes(settings),
            last_offset_delta: i32::try_from(last_offset_delta).unwrap_or(i32::MAX),
            base_timestamp: self.base_timestamp,
            max_timestamp,
            producer_id: settings.producer_id,
            producer_epoch: settings.producer_epoch,
            base_sequence: settings.base_sequence,
            records_count: self.count,
        }
    }
}

/// Writes `header`, with length and checksum as `bytes` demands, over the first bytes of `bytes`.
pub(super) fn finish(mut header: BatchHeader, mut bytes: Vec<u8>) -> Bytes {
    // Kafka's length field is signed: `BatchBuilder`'s callers stay far below it by their batch and message limits.
    header.batch_length = i32::try_from(bytes.len() - LOG_OVERHEAD).unwrap_or(i32::MAX);
    bytes[..HEADER_SIZE].copy_from_slice(&header.to_bytes());
    batch::write_crc(&mut bytes);
    Bytes::from(bytes)
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varlong(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varlong_size(bytes.len() as i64) + bytes.len())
}

fn body_size(
    offset_delta: i64,
    timestamp_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header],
) -> usize {
    let headers_size: usize =
        headers.iter().map(|(key, value)| nullable_size(Some(key)) + nullable_size(value.as_deref())).sum();
    1 + varlong_size(timestamp_delta)
        + varlong_size(offset_delta)
        + nullable_size(key)
        + nullable_size(value)
        + varlong_size(headers.len() as i64)
        + headers_size
}
