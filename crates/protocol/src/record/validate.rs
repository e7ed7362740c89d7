//! What a leader checks of the records that a client or coordinator sends for one partition, before it appends them.
//! Nothing is copied where the batch can be appended as it came: [`ValidBatch::header`] then replaces its header.
//! Compressed records are streamed through their decoder, never held, unless they have to be compressed again.

use bytes::Bytes;

use super::batch::{self, Batch, BatchHeader, HEADER_SIZE, MAGIC_V2};
use super::builder::{BatchBuilder, BatchSettings, finish};
use super::compression::{DECOMPRESSED_LIMIT, Pieces, compress};
use super::entry::record_timestamp;
use super::walk::{Step, walk_pieces, walk_slice};
use super::{BatchError, Compression, NO_TIMESTAMP, TimestampType, batches};
use crate::ErrorCode;
use crate::types::{LeaderEpoch, Offset, TimestampMs, TopicPartition};

/// Records whose faults are named one by one in a response; the others only make the batch invalid.
const MAX_RECORD_ERRORS: usize = 1000;
/// Record errors that Kafka repeats in its message.
const SHOWN_RECORD_ERRORS: usize = 3;
/// First version of Produce that may carry Zstandard (KIP-110).
const ZSTD_PRODUCE_VERSION: i16 = 7;

/// Who sends the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A Produce request of this version.
    Client {
        /// The version.
        produce_version: i16,
    },
    /// A coordinator of this broker, which may write control records.
    Coordinator,
}

/// `compression.type` of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionTarget {
    /// Whatever the producer chose.
    Producer,
    /// This codec at this level, or its default.
    Codec(Compression, Option<i32>),
}

/// What a topic demands of its records.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// Named in messages.
    pub topic_partition: &'a TopicPartition,
    /// Who sends the records.
    pub origin: Origin,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `compression.type`.
    pub compression: CompressionTarget,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy` contains `compact`: every record needs a key.
    pub compacted: bool,
    /// The time of the append.
    pub now_ms: TimestampMs,
}

/// A batch that may be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidBatch {
    /// The batch: as it came, a slice of the request, or compressed again. Its header is stale where `header` differs.
    pub bytes: Bytes,
    /// The header to append, which still lacks base offset and leader epoch.
    pub header: BatchHeader,
}

impl ValidBatch {
    /// The header with its place in the log, and the bytes that follow it.
    #[must_use]
    pub fn place(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> ([u8; HEADER_SIZE], Bytes) {
        let mut header = self.header;
        header.base_offset = base_offset;
        header.partition_leader_epoch = leader_epoch;
        (header.to_bytes(), self.bytes.slice(HEADER_SIZE..))
    }
}

/// Why a batch must not be appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RejectedBatch {
    /// The code that the producer is answered with.
    pub code: ErrorCode,
    /// Index in the batch and fault of each record to blame; empty where the batch as a whole is.
    pub record_errors: Vec<(i32, String)>,
    /// The reason in words.
    pub message: String,
}

impl RejectedBatch {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, record_errors: Vec::new(), message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRecord, message)
    }

    /// The message of a Produce response: Kafka gives one only where it blames single records.
    #[must_use]
    pub fn error_message(&self) -> Option<&str> {
        (!self.record_errors.is_empty()).then_some(&self.message)
    }
}

impl From<BatchError> for RejectedBatch {
    fn from(error: BatchError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Checks the records that were sent for one partition, and makes of them what is to be appended.
/// # Errors
/// With Kafka's code for the first fault found, in Kafka's order of checks.
pub fn validate(bytes: &Bytes, rules: &Rules<'_>) -> Result<ValidBatch, RejectedBatch> {
    let batch = single_batch(bytes, rules)?;
    let codec = batch.header.compression()?;
    check_envelope(&batch, rules)?;
    check_header(&batch.header, rules)?;
    let target = match rules.compression {
        CompressionTarget::Producer => (codec, None),
        // Kafka never compresses control records that were not.
        CompressionTarget::Codec(..) if batch.header.is_control() && codec == Compression::None => (codec, None),
        CompressionTarget::Codec(target, level) => (target, level),
    };
    let mut walk = Walk::new(&batch.header, rules);
    if target.0 == codec {
        let records = &batch.bytes[HEADER_SIZE..];
        match codec {
            Compression::None => walk_slice(records, batch.header.records_count, |step| walk.visit(step))?,
            codec => {
                let pieces = Pieces::new(codec, records, DECOMPRESSED_LIMIT)?;
                walk_pieces(pieces, batch.header.records_count, |step| walk.visit(step))?;
            }
        }
        walk.verdict()?;
        if walk.contiguous {
            return Ok(in_place(&batch, &walk));
        }
    }
    let records = batch.decompressed_up_to(DECOMPRESSED_LIMIT)?;
    if target.0 != codec {
        walk_slice(&records, batch.header.records_count, |step| walk.visit(step))?;
        walk.verdict()?;
    }
    // Records that have the batch's time are given it as their own.
    let rebuilt = if walk.contiguous && batch.header.timestamp_type() == TimestampType::CreateTime {
        recompress(&batch.header, &records, &walk, target)?
    } else {
        rewrite(&batch, target, rules)?
    };
    check_rebuilt_size(rebuilt, rules)
}

fn single_batch(bytes: &Bytes, rules: &Rules<'_>) -> Result<Batch, RejectedBatch> {
    let version = match rules.origin {
        Origin::Client { produce_version } => produce_version.to_string(),
        Origin::Coordinator => "of this broker".to_owned(),
    };
    let none = || {
        RejectedBatch::invalid(format!(
            "Produce requests with version {version} must have at least one record batch per partition"
        ))
    };
    let mut found = batches(bytes);
    let batch = match found.next() {
        None | Some(Err(BatchError::Truncated { .. })) => return Err(none()),
        Some(batch) => batch?,
    };
    if batch.header.magic != MAGIC_V2 {
        return Err(RejectedBatch::invalid(format!(
            "Produce requests with version {version} are only allowed to contain record batches with magic version 2"
        )));
    }
    if let Origin::Client { produce_version } = rules.origin
        && produce_version < ZSTD_PRODUCE_VERSION
        && batch.header.compression() == Ok(Compression::Zstd)
    {
        return Err(RejectedBatch::new(
            ErrorCode::UnsupportedCompressionType,
            format!("Produce requests with version {version} are not allowed to use ZStandard compression"),
        ));
    }
    match found.next() {
        // Kafka ignores a batch that is cut off at the end.
        None | Some(Err(BatchError::Truncated { .. })) => Ok(batch),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(_)) => Err(RejectedBatch::invalid(format!(
            "Produce requests with version {version} are only allowed to contain exactly one record batch per partition"
        ))),
    }
}

fn check_envelope(batch: &Batch, rules: &Rules<'_>) -> Result<(), RejectedBatch> {
    let header = &batch.header;
    let place = rules.topic_partition;
    if matches!(rules.origin, Origin::Client { .. }) && header.base_offset != 0 {
        return Err(RejectedBatch::invalid(format!(
            "The baseOffset of the record batch in the append to {place} should be 0, but it is {}",
            header.base_offset
        )));
    }
    let size = batch.bytes.len();
    if size > rules.max_message_bytes {
        return Err(RejectedBatch::new(
            ErrorCode::MessageTooLarge,
            format!(
                "The record batch size in the append to {place} is {size} bytes which exceeds the maximum configured \
                 value of {}).",
                rules.max_message_bytes
            ),
        ));
    }
    batch.verify_crc().map_err(|_| {
        RejectedBatch::new(
            ErrorCode::CorruptMessage,
            format!("Record is corrupt (stored crc = {}) in topic partition {place}.", header.crc),
        )
    })
}

fn check_header(header: &BatchHeader, rules: &Rules<'_>) -> Result<(), RejectedBatch> {
    let place = rules.topic_partition;
    let (first, last, count) = (header.base_offset, header.last_offset(), i64::from(header.records_count));
    let span = i64::from(header.last_offset_delta) + 1;
    if span <= 0 {
        return Err(RejectedBatch::invalid(format!(
            "Batch has an invalid offset range: [{first}, {last}] in topic partition {place}"
        )));
    }
    if count <= 0 {
        return Err(RejectedBatch::invalid(format!(
            "Invalid reported count for record batch: {count} in topic partition {place}"
        )));
    }
    if span != count {
        return Err(RejectedBatch::invalid(format!(
            "Inconsistent batch offset range [{first}, {last}] and count of records {count} in topic partition {place}"
        )));
    }
    if header.is_control() && rules.origin != Origin::Coordinator {
        return Err(RejectedBatch::invalid(format!(
            "Clients are not allowed to write control records in topic partition {place}"
        )));
    }
    // The markers of a transaction carry its producer's id, but no sequence.
    if header.has_producer_id() && header.base_sequence < 0 && rules.origin != Origin::Coordinator {
        return Err(RejectedBatch::invalid(format!(
            "Invalid sequence number {} in record batch with producerId {} in topic partition {place}",
            header.base_sequence, header.producer_id
        )));
    }
    Ok(())
}

/// What is learned from record to record.
struct Walk<'a> {
    header: &'a BatchHeader,
    rules: &'a Rules<'a>,
    earliest: TimestampMs,
    latest: TimestampMs,
    next_delta: i32,
    contiguous: bool,
    max_timestamp: TimestampMs,
    faults: usize,
    bad_timestamp: bool,
    record_errors: Vec<(i32, String)>,
}

impl<'a> Walk<'a> {
    fn new(header: &'a BatchHeader, rules: &'a Rules<'a>) -> Self {
        Self {
            header,
            rules,
            earliest: rules.now_ms.saturating_sub(rules.timestamp_before_max_ms),
            latest: rules.now_ms.saturating_add(rules.timestamp_after_max_ms),
            next_delta: 0,
            contiguous: true,
            max_timestamp: NO_TIMESTAMP,
            faults: 0,
            bad_timestamp: false,
            record_errors: Vec::new(),
        }
    }

    #[inline]
    fn visit(&mut self, step: Step) {
        let timestamp = record_timestamp(self.header, step.timestamp_delta);
        self.contiguous &= step.offset_delta == self.next_delta;
        self.next_delta = self.next_delta.wrapping_add(1);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let creates = self.rules.timestamp_type == TimestampType::CreateTime && timestamp != NO_TIMESTAMP;
        let out_of_range = creates && (timestamp < self.earliest || timestamp > self.latest);
        let wrong_type = !creates && self.header.timestamp_type() == TimestampType::LogAppendTime;
        if (self.rules.compacted && !step.has_key) || out_of_range || wrong_type {
            self.blame(step, timestamp, out_of_range);
        }
    }

    #[cold]
    fn blame(&mut self, step: Step, timestamp: TimestampMs, out_of_range: bool) {
        let index = self.next_delta.wrapping_sub(1);
        let keyless = self.rules.compacted && !step.has_key;
        self.faults += 1;
        self.bad_timestamp |= !keyless;
        if self.record_errors.len() == MAX_RECORD_ERRORS {
            return;
        }
        let place = self.rules.topic_partition;
        let offset = self.header.base_offset.wrapping_add(i64::from(step.offset_delta));
        let fault = if keyless {
            format!("Compacted topic cannot accept message without key in topic partition {place}")
        } else if out_of_range {
            format!(
                "Timestamp {timestamp} of message with offset {offset} is out of range. The timestamp should be within \
                 [{}, {}]",
                self.earliest, self.latest
            )
        } else {
            format!(
                "Invalid timestamp type in message with offset {offset}. Producer should not set timestamp type to \
                 LogAppendTime."
            )
        };
        self.record_errors.push((index, fault));
    }

    fn verdict(&mut self) -> Result<(), RejectedBatch> {
        if self.faults == 0 {
            return Ok(());
        }
        let record_errors = std::mem::take(&mut self.record_errors);
        if self.bad_timestamp {
            return Err(RejectedBatch {
                code: ErrorCode::InvalidTimestamp,
                record_errors,
                message: "One or more records have been rejected due to invalid timestamp".to_owned(),
            });
        }
        let shown: Vec<String> = record_errors
            .iter()
            .take(SHOWN_RECORD_ERRORS)
            .map(|(index, fault)| format!("RecordError(batchIndex={index}, message='{fault}')"))
            .collect();
        let message = format!(
            "One or more records have been rejected due to {} record errors in total, and only showing the first three \
             errors at most: [{}]",
            self.faults,
            shown.join(", ")
        );
        Err(RejectedBatch { code: ErrorCode::InvalidRecord, record_errors, message })
    }

    /// Timestamp type and maximum timestamp that the batch gets.
    fn stamp(&self) -> (TimestampType, TimestampMs) {
        match self.rules.timestamp_type {
            TimestampType::CreateTime => (TimestampType::CreateTime, self.max_timestamp),
            TimestampType::LogAppendTime => (TimestampType::LogAppendTime, self.rules.now_ms),
        }
    }
}

fn in_place(batch: &Batch, walk: &Walk<'_>) -> ValidBatch {
    let mut header = batch.header;
    let (kind, max_timestamp) = walk.stamp();
    header.set_max_timestamp(kind, max_timestamp, &batch.bytes[HEADER_SIZE..]);
    ValidBatch { bytes: batch.bytes.clone(), header }
}

/// The same records with another codec: their bytes do not depend on it.
fn recompress(
    header: &BatchHeader,
    records: &[u8],
    walk: &Walk<'_>,
    (codec, level): (Compression, Option<i32>),
) -> Result<Bytes, RejectedBatch> {
    let mut bytes = vec![0; HEADER_SIZE];
    compress(codec, level, records, &mut bytes)?;
    let mut header = *header;
    let (kind, max_timestamp) = walk.stamp();
    header.attributes = batch::with_codec(header.attributes, codec);
    header.set_max_timestamp(kind, max_timestamp, &[]);
    Ok(finish(header, bytes))
}

/// The same records with times and offsets of their own: some old clients number the records of a batch wrongly.
fn rewrite(
    batch: &Batch,
    (compression, level): (Compression, Option<i32>),
    rules: &Rules<'_>,
) -> Result<Bytes, RejectedBatch> {
    let header = &batch.header;
    let mut builder = BatchBuilder::new(BatchSettings {
        base_offset: header.base_offset,
        compression,
        level,
        timestamp_type: rules.timestamp_type,
        log_append_time: rules.now_ms,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        is_transactional: header.is_transactional(),
        is_control: header.is_control(),
        ..BatchSettings::default()
    });
    for record in batch.records()? {
        let record = record?;
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &record.headers);
    }
    Ok(builder.build())
}

fn check_rebuilt_size(bytes: Bytes, rules: &Rules<'_>) -> Result<ValidBatch, RejectedBatch> {
    let size = bytes.len();
    if size > rules.max_message_bytes {
        return Err(RejectedBatch::new(
            ErrorCode::MessageTooLarge,
            format!(
                "Message batch size is {size} bytes in append to partition {} which exceeds the maximum configured \
                 size of {}.",
                rules.topic_partition, rules.max_message_bytes
            ),
        ));
    }
    let header = BatchHeader::parse(&bytes)?;
    Ok(ValidBatch { bytes, header })
}
