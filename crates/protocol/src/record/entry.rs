//! The records inside a batch of format v2. Keys, values and headers are slices of the batch, or of the buffer it was
//! decompressed to.

use bytes::Bytes;

use super::batch::{Batch, BatchHeader, HEADER_SIZE, MAGIC_V2, NO_SEQUENCE, increment_sequence};
use super::compression::{DECOMPRESSED_LIMIT, decompress};
use super::varint::Cursor;
use super::{BatchError, Compression, TimestampType, legacy};
use crate::types::{Offset, Sequence, TimestampMs};

/// Key and value of one header of a record. Keys are UTF-8 and may repeat.
pub type Header = (Bytes, Option<Bytes>);

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: Offset,
    /// Its time, by the clock that the batch's timestamp type names.
    pub timestamp: TimestampMs,
    /// Its sequence, or [`NO_SEQUENCE`].
    pub sequence: Sequence,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers, in their order.
    pub headers: Vec<Header>,
}

/// Where the parts of a record are, relative to its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<(usize, usize)>,
    pub(super) value: Option<(usize, usize)>,
    pub(super) headers_at: usize,
    pub(super) headers_count: usize,
}

impl Layout {
    /// Reads a record without its length, which has to be exactly `body`.
    #[inline]
    pub(super) fn parse(body: &[u8]) -> Result<Self, BatchError> {
        let mut cursor = Cursor::new(body);
        cursor.byte()?;
        let timestamp_delta = cursor.varlong()?;
        let offset_delta = cursor.varint()?;
        let key = cursor.nullable()?;
        let value = cursor.nullable()?;
        let headers_count = header_count(cursor.varint()?, cursor.remaining())?;
        let headers_at = cursor.at;
        for _ in 0..headers_count {
            skip_header(&mut cursor)?;
        }
        if cursor.remaining() > 0 {
            return Err(BatchError::InvalidRecord("Invalid record size: bytes are left after the headers"));
        }
        Ok(Self { timestamp_delta, offset_delta, key, value, headers_at, headers_count })
    }
}

/// Checks a claimed number of headers: each takes two bytes at least.
pub(super) fn header_count(count: i32, remaining: usize) -> Result<usize, BatchError> {
    match usize::try_from(count) {
        Ok(count) if count <= remaining => Ok(count),
        _ => Err(BatchError::InvalidRecord("Found invalid number of record headers")),
    }
}

fn skip_header(cursor: &mut Cursor<'_>) -> Result<Option<(usize, usize)>, BatchError> {
    cursor.nullable()?.ok_or(BatchError::InvalidRecord("Invalid negative header key size"))?;
    cursor.nullable()
}

/// The records of one batch; ends after the first error.
#[derive(Debug)]
pub struct RecordIterator {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Batch { header: BatchHeader, records: Bytes, at: usize, left: i32 },
    Legacy(std::vec::IntoIter<Record>),
}

impl Batch {
    /// The records, decompressed to at most [`DECOMPRESSED_LIMIT`] bytes. The checksum is not verified.
    /// # Errors
    /// If the codec is unknown or refuses the bytes, or the records are larger than the limit.
    pub fn records(&self) -> Result<RecordIterator, BatchError> {
        self.records_up_to(DECOMPRESSED_LIMIT)
    }

    /// As [`Batch::records`], with a limit of the caller.
    /// # Errors
    /// As [`Batch::records`].
    pub fn records_up_to(&self, limit: usize) -> Result<RecordIterator, BatchError> {
        if self.header.magic != MAGIC_V2 {
            return Ok(RecordIterator { source: Source::Legacy(legacy::records(self, limit)?.into_iter()) });
        }
        let records = self.decompressed_up_to(limit)?;
        Ok(RecordIterator {
            source: Source::Batch { header: self.header, records, at: 0, left: self.header.records_count },
        })
    }

    /// The bytes of the records, decompressed; a slice of the batch if they were not compressed.
    pub(super) fn decompressed_up_to(&self, limit: usize) -> Result<Bytes, BatchError> {
        let records = self.bytes.slice(HEADER_SIZE..);
        Ok(match self.header.compression()? {
            Compression::None => records,
            codec => Bytes::from(decompress(codec, &records, limit)?),
        })
    }
}

impl Iterator for RecordIterator {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Legacy(records) => records.next().map(Ok),
            Source::Batch { left: 0, records, at, .. } if *at < records.len() => {
                *at = records.len();
                Some(Err(BatchError::InvalidRecord("Incorrect declared batch size, records still remaining in file")))
            }
            Source::Batch { left, .. } if *left <= 0 => None,
            Source::Batch { header, records, at, left } => {
                let record = next_record(header, records, at);
                *left -= 1;
                if record.is_err() {
                    *left = 0;
                    *at = records.len();
                }
                Some(record)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.source {
            Source::Legacy(records) => records.size_hint(),
            // Every record takes seven bytes at least, whatever the header claims.
            Source::Batch { records, at, left, .. } => {
                (0, Some(usize::try_from(*left).unwrap_or(0).min((records.len() - at) / 7 + 1)))
            }
        }
    }
}

fn next_record(header: &BatchHeader, records: &Bytes, at: &mut usize) -> Result<Record, BatchError> {
    let (body, layout) = next_layout(records, at)?;
    let slice = |span: Option<(usize, usize)>| span.map(|(start, end)| records.slice(body + start..body + end));
    Ok(Record {
        offset: header.base_offset.wrapping_add(i64::from(layout.offset_delta)),
        timestamp: record_timestamp(header, layout.timestamp_delta),
        sequence: record_sequence(header, layout.offset_delta),
        key: slice(layout.key),
        value: slice(layout.value),
        headers: read_headers(records, body + layout.headers_at, layout.headers_count)?,
    })
}

/// Reads the record at `at` of `records` and moves `at` behind it; also where its body starts.
#[inline]
pub(super) fn next_layout(records: &[u8], at: &mut usize) -> Result<(usize, Layout), BatchError> {
    let mut cursor = Cursor { bytes: records, at: *at };
    let length = usize::try_from(cursor.varint()?)
        .map_err(|_| BatchError::InvalidRecord("Found invalid record structure: the size is negative"))?;
    let body = cursor.skip(length)?;
    *at = cursor.at;
    Ok((body, Layout::parse(&records[body..body + length])?))
}

/// Time of the record with this delta.
#[inline]
pub(super) fn record_timestamp(header: &BatchHeader, timestamp_delta: i64) -> TimestampMs {
    match header.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp,
        TimestampType::CreateTime => header.base_timestamp.wrapping_add(timestamp_delta),
    }
}

fn record_sequence(header: &BatchHeader, offset_delta: i32) -> Sequence {
    if header.base_sequence >= 0 { increment_sequence(header.base_sequence, offset_delta) } else { NO_SEQUENCE }
}

fn read_headers(records: &Bytes, at: usize, count: usize) -> Result<Vec<Header>, BatchError> {
    let mut cursor = Cursor { bytes: records, at };
    let mut headers = Vec::new();
    for _ in 0..count {
        let key = cursor.nullable()?.ok_or(BatchError::InvalidRecord("Invalid negative header key size"))?;
        let value = cursor.nullable()?;
        headers.push((records.slice(key.0..key.1), value.map(|(start, end)| records.slice(start..end))));
    }
    Ok(headers)
}
