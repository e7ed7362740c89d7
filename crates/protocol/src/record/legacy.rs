//! Message formats v0 and v1, which are read from old segments and never written. A compressed message holds a set of
//! messages in its value: with absolute offsets in v0, with offsets relative to the last in v1.

use bytes::{Buf, Bytes};

use super::batch::{Batch, LOG_OVERHEAD, MAGIC_V0, MAGIC_V1, NO_SEQUENCE, NO_TIMESTAMP};
use super::compression::{decompress, decompress_format_v0};
use super::entry::Record;
use super::{BatchError, Compression, TimestampType};

/// CRC, magic and attributes, which the timestamp of v1 follows.
const FIXED_SIZE: usize = 6;
const CUT_OFF: BatchError = BatchError::InvalidRecord("Found invalid record structure: the message is cut off");

/// The records that the message `batch` is or holds.
pub(super) fn records(batch: &Batch, limit: usize) -> Result<Vec<Record>, BatchError> {
    let header = &batch.header;
    let outer = message(header.base_offset, header.magic, batch.bytes.slice(LOG_OVERHEAD..))?;
    let codec = header.compression()?;
    if codec == Compression::None {
        return Ok(vec![outer]);
    }
    let set = outer.value.ok_or(BatchError::InvalidRecord("Found invalid compressed record set with null value"))?;
    let set = Bytes::from(match header.magic {
        MAGIC_V0 => decompress_format_v0(codec, &set, limit)?,
        _ => decompress(codec, &set, limit)?,
    });
    let mut records = inner_records(set, header.magic)?;
    if header.magic == MAGIC_V1 {
        let last = records.last().map_or(0, |record| record.offset);
        for record in &mut records {
            record.offset = record.offset.wrapping_sub(last).wrapping_add(header.base_offset);
            if header.timestamp_type() == TimestampType::LogAppendTime {
                record.timestamp = header.max_timestamp;
            }
        }
    }
    Ok(records)
}

fn inner_records(mut set: Bytes, outer_magic: i8) -> Result<Vec<Record>, BatchError> {
    let mut records = Vec::new();
    while !set.is_empty() {
        let inner = Batch::parse(&set).map_err(|error| match error {
            BatchError::Truncated { .. } => CUT_OFF,
            error => error,
        })?;
        set.advance(inner.bytes.len());
        if inner.header.magic > outer_magic || inner.header.compression()? != Compression::None {
            return Err(BatchError::InvalidRecord(
                "Inner messages must have the outer magic and must not be compressed",
            ));
        }
        records.push(message(inner.header.base_offset, inner.header.magic, inner.bytes.slice(LOG_OVERHEAD..))?);
    }
    if records.is_empty() {
        return Err(BatchError::InvalidRecord("Found invalid compressed record set with no inner records"));
    }
    Ok(records)
}

/// Reads one message without offset and size.
fn message(offset: i64, magic: i8, mut bytes: Bytes) -> Result<Record, BatchError> {
    // `Batch::parse` has checked the size against the magic's least.
    bytes.advance(FIXED_SIZE);
    let timestamp = if magic == MAGIC_V1 { bytes.get_i64() } else { NO_TIMESTAMP };
    let key = nullable(&mut bytes)?;
    let value = nullable(&mut bytes)?;
    Ok(Record { offset, timestamp, sequence: NO_SEQUENCE, key, value, headers: Vec::new() })
}

fn nullable(bytes: &mut Bytes) -> Result<Option<Bytes>, BatchError> {
    if bytes.len() < 4 {
        return Err(CUT_OFF);
    }
    let Ok(length) = usize::try_from(bytes.get_i32()) else {
        return Ok(None);
    };
    if bytes.len() < length {
        return Err(CUT_OFF);
    }
    Ok(Some(bytes.split_to(length)))
}
