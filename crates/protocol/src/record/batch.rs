//! The envelope of a batch: its header, its checksum, and walking a buffer from batch to batch without looking inside.
//! A header of format v0 or v1 is given in the terms of v2: its one offset is base and last offset.

use bytes::Bytes;

use super::{BatchError, BatchSettings, Compression, TimestampType};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Size of the header of a v2 batch, in bytes.
pub const HEADER_SIZE: usize = 61;
/// Size of the base offset and the length field, which precede what the length counts.
pub const LOG_OVERHEAD: usize = 12;
/// Message format of Kafka before 0.10: no timestamps.
pub const MAGIC_V0: i8 = 0;
/// Message format of Kafka 0.10: timestamps.
pub const MAGIC_V1: i8 = 1;
/// Message format since Kafka 0.11: batches.
pub const MAGIC_V2: i8 = 2;
/// Producer id of records that no idempotent producer sent.
pub const NO_PRODUCER_ID: ProducerId = -1;
/// Producer epoch of records that no idempotent producer sent.
pub const NO_PRODUCER_EPOCH: ProducerEpoch = -1;
/// Sequence of records that no idempotent producer sent.
pub const NO_SEQUENCE: Sequence = -1;
/// Timestamp of records that have none.
pub const NO_TIMESTAMP: TimestampMs = -1;
/// Leader epoch of batches that no leader has appended.
pub const NO_LEADER_EPOCH: LeaderEpoch = -1;

const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORDS_COUNT_AT: usize = 57;

/// Sizes of the smallest v0 and v1 messages, in bytes with the log overhead.
const MINIMUM_V0: usize = LOG_OVERHEAD + 14;
const MINIMUM_V1: usize = LOG_OVERHEAD + 22;
const LEGACY_CRC_AT: usize = 12;
const LEGACY_ATTRIBUTES_AT: usize = 17;
const LEGACY_TIMESTAMP_AT: usize = 18;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME_FLAG: i16 = 0x08;
const TRANSACTIONAL_FLAG: i16 = 0x10;
const CONTROL_FLAG: i16 = 0x20;
const DELETE_HORIZON_FLAG: i16 = 0x40;

/// The header of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; compaction may have removed that record.
    pub base_offset: Offset,
    /// Size of what follows the length field, in bytes.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch.
    pub partition_leader_epoch: LeaderEpoch,
    /// Message format.
    pub magic: i8,
    /// CRC-32C of everything after it (CRC-32 in formats v0 and v1).
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: i16,
    /// Offset of the last record, relative to the base offset.
    pub last_offset_delta: i32,
    /// Timestamp that the records' deltas add to, or the delete horizon if the batch has one.
    pub base_timestamp: TimestampMs,
    /// Largest timestamp, or the append time.
    pub max_timestamp: TimestampMs,
    /// Idempotent producer, or [`NO_PRODUCER_ID`].
    pub producer_id: ProducerId,
    /// Its epoch, or [`NO_PRODUCER_EPOCH`].
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: Sequence,
    /// Number of records; -1 in formats v0 and v1, where only a look inside can tell.
    pub records_count: i32,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(array(bytes, at))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array(bytes, at))
}

impl BatchHeader {
    /// The header at the start of `bytes`, which may end before the batch does: see [`BatchHeader::size_in_bytes`].
    /// # Errors
    /// [`BatchError::Truncated`] if the header itself is cut off; [`BatchError::UnknownMagic`] and
    /// [`BatchError::TooSmall`] if this cannot be a batch.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        need(bytes, MAGIC_AT + 1)?;
        let magic = i8::from_be_bytes([bytes[MAGIC_AT]]);
        let minimum = match magic {
            MAGIC_V0 => MINIMUM_V0,
            MAGIC_V1 => MINIMUM_V1,
            MAGIC_V2 => HEADER_SIZE,
            _ => return Err(BatchError::UnknownMagic(magic)),
        };
        let size = i64::from(i32_at(bytes, LENGTH_AT)) + LOG_OVERHEAD as i64;
        if size < minimum as i64 {
            return Err(BatchError::TooSmall { size, minimum });
        }
        need(bytes, minimum)?;
        Ok(if magic == MAGIC_V2 { Self::parse_v2(bytes) } else { Self::parse_legacy(bytes, magic) })
    }

    fn parse_v2(bytes: &[u8]) -> Self {
        Self {
            base_offset: i64_at(bytes, 0),
            batch_length: i32_at(bytes, LENGTH_AT),
            partition_leader_epoch: i32_at(bytes, LEADER_EPOCH_AT),
            magic: MAGIC_V2,
            crc: u32_at(bytes, CRC_AT),
            attributes: i16_at(bytes, ATTRIBUTES_AT),
            last_offset_delta: i32_at(bytes, LAST_OFFSET_DELTA_AT),
            base_timestamp: i64_at(bytes, BASE_TIMESTAMP_AT),
            max_timestamp: i64_at(bytes, MAX_TIMESTAMP_AT),
            producer_id: i64_at(bytes, PRODUCER_ID_AT),
            producer_epoch: i16_at(bytes, PRODUCER_EPOCH_AT),
            base_sequence: i32_at(bytes, BASE_SEQUENCE_AT),
            records_count: i32_at(bytes, RECORDS_COUNT_AT),
        }
    }

    fn parse_legacy(bytes: &[u8], magic: i8) -> Self {
        let timestamp = if magic == MAGIC_V0 { NO_TIMESTAMP } else { i64_at(bytes, LEGACY_TIMESTAMP_AT) };
        // Only the codec and, in v1, the timestamp type have a meaning in the old formats.
        let known = if magic == MAGIC_V0 { COMPRESSION_MASK } else { COMPRESSION_MASK | LOG_APPEND_TIME_FLAG };
        Self {
            base_offset: i64_at(bytes, 0),
            batch_length: i32_at(bytes, LENGTH_AT),
            partition_leader_epoch: NO_LEADER_EPOCH,
            magic,
            crc: u32_at(bytes, LEGACY_CRC_AT),
            attributes: i16::from(bytes[LEGACY_ATTRIBUTES_AT]) & known,
            last_offset_delta: 0,
            base_timestamp: timestamp,
            max_timestamp: timestamp,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            records_count: -1,
        }
    }

    /// Size of the whole batch with its header, in bytes.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        // `parse` refuses lengths below the header's, so the length is positive.
        LOG_OVERHEAD + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// Offset of the last record the batch had when it was appended.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().wrapping_add(1)
    }

    /// Sequence of the last record, or [`NO_SEQUENCE`].
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        increment_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// Whether the records are transaction markers or other control records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_FLAG != 0
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_FLAG != 0
    }

    /// Whether the base timestamp is the time from which compaction may drop tombstones and markers.
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_FLAG != 0
    }

    /// That time, in epoch milliseconds (KIP-534).
    #[must_use]
    pub fn delete_horizon(&self) -> Option<TimestampMs> {
        self.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// The codec of the records.
    /// # Errors
    /// [`BatchError::UnknownCompression`] for a number that Kafka does not define.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let id = (self.attributes & COMPRESSION_MASK) as i8;
        Compression::from_id(id).ok_or(BatchError::UnknownCompression(id))
    }

    /// Whose clock the timestamps come from.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_FLAG != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether an idempotent producer sent the batch.
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// The header in format v2, with the checksum as it stands.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..LENGTH_AT].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        bytes[MAGIC_AT..CRC_AT].copy_from_slice(&self.magic.to_be_bytes());
        bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&self.crc.to_be_bytes());
        bytes[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&self.attributes.to_be_bytes());
        bytes[LAST_OFFSET_DELTA_AT..BASE_TIMESTAMP_AT].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT].copy_from_slice(&self.base_timestamp.to_be_bytes());
        bytes[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&self.max_timestamp.to_be_bytes());
        bytes[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[BASE_SEQUENCE_AT..RECORDS_COUNT_AT].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[RECORDS_COUNT_AT..HEADER_SIZE].copy_from_slice(&self.records_count.to_be_bytes());
        bytes
    }

    /// Compares the checksum with `bytes`, which are the whole batch.
    /// # Errors
    /// [`BatchError::Checksum`] if they differ.
    pub fn verify_crc(&self, bytes: &[u8]) -> Result<(), BatchError> {
        let computed = if self.magic == MAGIC_V2 {
            crc_fast::crc32_iscsi(&bytes[ATTRIBUTES_AT..])
        } else {
            crc_fast::crc32_iso_hdlc(&bytes[MAGIC_AT..])
        };
        if computed == self.crc {
            return Ok(());
        }
        Err(BatchError::Checksum { stored: self.crc, computed })
    }

    /// Sets timestamp type, maximum timestamp, and the checksum that these and `records`, the rest of the batch, make.
    pub(super) fn set_max_timestamp(&mut self, kind: TimestampType, max_timestamp: TimestampMs, records: &[u8]) {
        let attributes = with_timestamp_type(self.attributes, kind);
        if attributes == self.attributes && max_timestamp == self.max_timestamp {
            return;
        }
        self.attributes = attributes;
        self.max_timestamp = max_timestamp;
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        digest.update(&self.to_bytes()[ATTRIBUTES_AT..]);
        digest.update(records);
        // The algorithm yields 32 bits in a wider number.
        self.crc = digest.finalize() as u32;
    }
}

fn with_timestamp_type(attributes: i16, kind: TimestampType) -> i16 {
    match kind {
        TimestampType::CreateTime => attributes & !LOG_APPEND_TIME_FLAG,
        TimestampType::LogAppendTime => attributes | LOG_APPEND_TIME_FLAG,
    }
}

/// `sequence` plus `increment`, wrapping from the largest to 0 as Kafka's producers do.
#[must_use]
pub fn increment_sequence(sequence: Sequence, increment: i32) -> Sequence {
    if sequence > i32::MAX - increment.max(0) {
        return increment - (i32::MAX - sequence) - 1;
    }
    sequence.wrapping_add(increment)
}

/// One whole batch: a slice of the buffer it was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// All of its bytes, header included.
    pub bytes: Bytes,
    /// Its header.
    pub header: BatchHeader,
}

impl Batch {
    /// The batch at the start of `bytes`.
    /// # Errors
    /// Those of [`BatchHeader::parse`], and [`BatchError::Truncated`] if the buffer ends before the batch.
    pub fn parse(bytes: &Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let size = header.size_in_bytes();
        need(bytes, size)?;
        Ok(Self { bytes: bytes.slice(..size), header })
    }

    /// Compares the checksum with the bytes.
    /// # Errors
    /// [`BatchError::Checksum`] if they differ.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        self.header.verify_crc(&self.bytes)
    }
}

/// Walks from batch to batch; see [`batches`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// What has not been walked: after an error, the bytes from the faulty batch on.
    #[must_use]
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }
}

/// The batches in `bytes`, each a slice of it, neither decompressed nor checked against its checksum. Ends after the
/// first error, which is [`BatchError::Truncated`] where the buffer ends inside a batch.
#[must_use]
pub fn batches(bytes: &Bytes) -> Batches {
    Batches { rest: bytes.clone() }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = Batch::parse(&self.rest);
        self.rest = match &batch {
            Ok(batch) => self.rest.slice(batch.bytes.len()..),
            Err(_) => Bytes::new(),
        };
        Some(batch)
    }
}

fn need(bytes: &[u8], wanted: usize) -> Result<(), BatchError> {
    if bytes.len() < wanted {
        return Err(BatchError::Truncated { wanted, left: bytes.len() });
    }
    Ok(())
}

/// Gives the batch at the start of `bytes` another base offset. The checksum does not cover it.
pub fn patch_base_offset(bytes: &mut [u8], base_offset: Offset) {
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
}

/// Stamps the v2 batch at the start of `bytes` with the epoch of its leader. The checksum does not cover it.
pub fn patch_leader_epoch(bytes: &mut [u8], leader_epoch: LeaderEpoch) {
    bytes[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Says which idempotent producer sent the v2 batch that `bytes` is, and writes its checksum.
pub fn patch_producer(
    bytes: &mut [u8],
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: Sequence,
) {
    bytes[PRODUCER_ID_AT..PRODUCER_ID_AT + 8].copy_from_slice(&producer_id.to_be_bytes());
    bytes[PRODUCER_EPOCH_AT..PRODUCER_EPOCH_AT + 2].copy_from_slice(&producer_epoch.to_be_bytes());
    bytes[BASE_SEQUENCE_AT..BASE_SEQUENCE_AT + 4].copy_from_slice(&base_sequence.to_be_bytes());
    write_crc(bytes);
}

/// Sets timestamp type and maximum timestamp of the v2 batch that `bytes` is, and its checksum if either is new.
pub fn patch_max_timestamp(bytes: &mut [u8], timestamp_type: TimestampType, max_timestamp: TimestampMs) {
    let attributes = i16_at(bytes, ATTRIBUTES_AT);
    let patched = with_timestamp_type(attributes, timestamp_type);
    if patched == attributes && i64_at(bytes, MAX_TIMESTAMP_AT) == max_timestamp {
        return;
    }
    bytes[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&patched.to_be_bytes());
    bytes[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&max_timestamp.to_be_bytes());
    write_crc(bytes);
}

/// Writes the checksum of the v2 batch that `bytes` is into its header.
pub(super) fn write_crc(bytes: &mut [u8]) {
    let crc = crc_fast::crc32_iscsi(&bytes[ATTRIBUTES_AT..]);
    bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// The attributes of a v2 batch with these settings.
pub(super) fn attributes(settings: &BatchSettings) -> i16 {
    let flags = [
        (settings.timestamp_type == TimestampType::LogAppendTime, LOG_APPEND_TIME_FLAG),
        (settings.is_transactional, TRANSACTIONAL_FLAG),
        (settings.is_control, CONTROL_FLAG),
        (settings.delete_horizon.is_some(), DELETE_HORIZON_FLAG),
    ];
    flags
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(i16::from(settings.compression.id()), |attributes, (_, flag)| attributes | flag)
}

/// `attributes` with another codec.
pub(super) fn with_codec(attributes: i16, codec: Compression) -> i16 {
    attributes & !COMPRESSION_MASK | i16::from(codec.id())
}

/// `attributes` that say the base timestamp is a delete horizon.
pub(super) fn with_delete_horizon(attributes: i16) -> i16 {
    attributes | DELETE_HORIZON_FLAG
}

/// `attributes` of a batch without a delete horizon.
pub(super) fn without_delete_horizon(attributes: i16) -> i16 {
    attributes & !DELETE_HORIZON_FLAG
}
