//! What compaction does to a batch: it looks at keys, keeps some of the records, and writes these anew in the batch's codec.
//! Records that stay are copied as bytes; only the timestamp in front of them follows the batch's base timestamp.

use bytes::Bytes;

use super::batch::{
    BatchHeader, HEADER_SIZE, MAGIC_V2, NO_TIMESTAMP, with_codec, with_delete_horizon, without_delete_horizon,
};
use super::builder::finish;
use super::compression::compress;
use super::entry::record_timestamp;
use super::varint::{Cursor, put_varlong, varlong_size};
use super::walk::{MISSIZED, REMAINING, skip_headers};
use super::{BatchError, Compression, TimestampType};
use crate::types::{Offset, TimestampMs};

/// A record as compaction sees it.
#[derive(Debug, Clone, Copy)]
pub struct KeyedRecord<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Whether it is no tombstone.
    pub has_value: bool,
}

/// A record that stays: what follows its timestamp is copied.
#[derive(Debug, Clone, Copy)]
struct Tail {
    timestamp: TimestampMs,
    start: usize,
    end: usize,
}

/// The records of a batch that stay. Reused from batch to batch.
#[derive(Debug, Default)]
pub struct Kept {
    tails: Vec<Tail>,
    /// Whether no record goes.
    pub all: bool,
    /// Whether a tombstone stays.
    pub tombstones: bool,
}

#[inline(always)]
fn next<'a>(header: &BatchHeader, records: &'a [u8], at: &mut usize) -> Result<(KeyedRecord<'a>, Tail), BatchError> {
    let mut cursor = Cursor { bytes: records, at: *at };
    let length = usize::try_from(cursor.varint()?).map_err(|_| MISSIZED)?;
    let body = cursor.skip(length)?;
    let end = cursor.at;
    *at = end;
    let mut cursor = Cursor { bytes: &records[..end], at: body };
    cursor.byte()?;
    let timestamp = record_timestamp(header, cursor.varlong()?);
    let start = cursor.at;
    let offset = header.base_offset.wrapping_add(i64::from(cursor.varint()?));
    let key = cursor.nullable()?.map(|(start, end)| &records[start..end]);
    let has_value = cursor.skip_nullable()?;
    let headers = cursor.varint()?;
    if headers != 0 {
        skip_headers(&mut cursor, headers)?;
    }
    if cursor.remaining() > 0 {
        return Err(MISSIZED);
    }
    Ok((KeyedRecord { offset, key, has_value }, Tail { timestamp, start, end }))
}

/// Shows `visit` the records of a v2 batch, decompressed, while it wants more. Whether it wanted all.
/// # Errors
/// If the bytes are not the records that the header announces.
pub fn visit_keys(
    header: &BatchHeader,
    records: &[u8],
    mut visit: impl FnMut(&KeyedRecord<'_>) -> bool,
) -> Result<bool, BatchError> {
    let mut at = 0;
    for _ in 0..header.records_count {
        if !visit(&next(header, records, &mut at)?.0) {
            return Ok(false);
        }
    }
    if at < records.len() { Err(REMAINING) } else { Ok(true) }
}

impl Kept {
    /// Asks `retain` which records of a v2 batch, decompressed, stay.
    /// # Errors
    /// If the bytes are not the records that the header announces.
    pub fn choose(
        &mut self,
        header: &BatchHeader,
        records: &[u8],
        mut retain: impl FnMut(&KeyedRecord<'_>) -> bool,
    ) -> Result<(), BatchError> {
        self.tails.clear();
        (self.all, self.tombstones) = (true, false);
        let mut at = 0;
        for _ in 0..header.records_count {
            let (record, tail) = next(header, records, &mut at)?;
            if retain(&record) {
                self.tombstones |= !record.has_value;
                self.tails.push(tail);
            } else {
                self.all = false;
            }
        }
        if at < records.len() { Err(REMAINING) } else { Ok(()) }
    }

    /// Number of records that stay.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tails.len()
    }

    /// Whether none stays.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }

    /// The batch with the records that stay, out of `records` again, at their offsets and in its codec. Base and last
    /// offset remain, and with them the producer's last sequence. Its tombstones go after `delete_horizon`, if it has one.
    /// # Errors
    /// If the codec refuses.
    pub fn rewrite(
        &self,
        header: &BatchHeader,
        records: &[u8],
        delete_horizon: Option<TimestampMs>,
    ) -> Result<Bytes, BatchError> {
        let first = self.tails.first().map_or(NO_TIMESTAMP, |tail| tail.timestamp);
        let base_timestamp = delete_horizon.unwrap_or(first);
        let room: usize = self.tails.iter().map(|tail| tail.end - tail.start + 16).sum();
        let mut bytes = Vec::with_capacity(HEADER_SIZE + room);
        bytes.resize(HEADER_SIZE, 0);
        for tail in &self.tails {
            let delta = tail.timestamp.wrapping_sub(base_timestamp);
            let rest = &records[tail.start..tail.end];
            put_varlong(&mut bytes, (1 + varlong_size(delta) + rest.len()) as i64);
            bytes.push(0);
            put_varlong(&mut bytes, delta);
            bytes.extend_from_slice(rest);
        }
        let codec = header.compression()?;
        if codec != Compression::None {
            let mut compressed = vec![0; HEADER_SIZE];
            compress(codec, None, &bytes[HEADER_SIZE..], &mut compressed)?;
            bytes = compressed;
        }
        let max_timestamp = match header.timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp,
            TimestampType::CreateTime => self.tails.iter().map(|tail| tail.timestamp).max().unwrap_or(NO_TIMESTAMP),
        };
        let attributes = match delete_horizon {
            Some(_) => with_delete_horizon(header.attributes),
            None => without_delete_horizon(header.attributes),
        };
        let records_count = i32::try_from(self.tails.len()).unwrap_or(i32::MAX);
        Ok(finish(BatchHeader { attributes, base_timestamp, max_timestamp, records_count, ..*header }, bytes))
    }
}

/// The batch without any record: what is left of it says which sequence its producer sent last, or where the log ends.
#[must_use]
pub fn emptied(header: &BatchHeader) -> Bytes {
    let attributes = with_codec(without_delete_horizon(header.attributes), Compression::None);
    let emptied =
        BatchHeader { magic: MAGIC_V2, attributes, base_timestamp: NO_TIMESTAMP, records_count: 0, ..*header };
    finish(emptied, vec![0; HEADER_SIZE])
}

#[cfg(test)]
mod tests {
    use super::super::{Batch, BatchBuilder, BatchSettings, decompress};
    use super::*;

    fn batch(settings: BatchSettings) -> Batch {
        let mut builder = BatchBuilder::new(settings);
        for at in 0..4u8 {
            let value = [at; 3];
            builder.append(
                1000 + i64::from(at) * 200,
                Some(&[at]),
                Some(&value).filter(|_| at != 2).map(|v| &v[..]),
                &[],
            );
        }
        Batch::parse(&builder.build()).unwrap()
    }

    fn records(batch: &Batch) -> Vec<u8> {
        decompress(batch.header.compression().unwrap(), &batch.bytes[HEADER_SIZE..], 1 << 20).unwrap()
    }

    #[test]
    fn what_stays_is_what_a_builder_writes() {
        for compression in Compression::ALL {
            for horizon in [None, Some(77_000)] {
                let settings = BatchSettings {
                    base_offset: 50,
                    leader_epoch: 3,
                    compression,
                    producer_id: 9,
                    producer_epoch: 1,
                    base_sequence: 5,
                    is_transactional: true,
                    ..BatchSettings::default()
                };
                let original = batch(settings.clone());
                let content = records(&original);
                let mut kept = Kept::default();
                kept.choose(&original.header, &content, |record| record.offset != 50).unwrap();
                assert!(!kept.all && kept.tombstones && kept.len() == 3);
                let written = Batch::parse(&kept.rewrite(&original.header, &content, horizon).unwrap()).unwrap();
                written.verify_crc().unwrap();
                let mut expected = BatchBuilder::new(BatchSettings { delete_horizon: horizon, ..settings });
                for record in original.records().unwrap().map(Result::unwrap).skip(1) {
                    expected.append_at(
                        record.offset,
                        record.timestamp,
                        record.key.as_deref(),
                        record.value.as_deref(),
                        &[],
                    );
                }
                assert_eq!(written.bytes, expected.build());
                assert_eq!(written.header.delete_horizon(), horizon);
            }
        }
    }

    #[test]
    fn an_emptied_batch_keeps_offsets_and_sequences() {
        let original =
            batch(BatchSettings { base_sequence: 5, producer_id: 1, producer_epoch: 0, ..Default::default() });
        let left = Batch::parse(&emptied(&original.header)).unwrap();
        left.verify_crc().unwrap();
        assert_eq!(left.bytes.len(), HEADER_SIZE);
        assert_eq!((left.header.last_offset(), left.header.last_sequence(), left.header.max_timestamp), (3, 8, 1600));
        assert_eq!(left.records().unwrap().count(), 0);
    }

    #[test]
    fn damaged_records_are_refused() {
        let original = batch(BatchSettings::default());
        let content = records(&original);
        for cut in 0..content.len() {
            assert!(visit_keys(&original.header, &content[..cut], |_| true).is_err());
        }
        assert!(!visit_keys(&original.header, &content, |record| record.offset < 1).unwrap());
    }
}
