//! Record batches of every format and codec, in both directions.

use std::fmt::Write;

use bytes::Bytes;
use protocol::record::{
    BatchBuilder, BatchSettings, Compression, Header, Record, TimestampType, batches, increment_sequence,
};

use super::random::Random;
use super::{hex, unhex};

const TIME: i64 = 1_700_000_000_000;

/// Lines of a name, bytes, and the records in the form of [`describe`].
pub(crate) fn check(lines: &str) {
    assert!(!lines.is_empty());
    for line in lines.lines() {
        let parts: Vec<&str> = line.splitn(3, '\t').collect();
        assert_eq!(describe(&unhex(parts[1])), parts[2], "{}", parts[0]);
    }
}

/// Batches of random records, for Java to read.
pub(crate) fn ask() -> String {
    let mut random = Random::new(7);
    let mut lines = String::new();
    for compression in Compression::ALL {
        for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
            for count in [1, 2, 100] {
                let settings = BatchSettings {
                    base_offset: 1000,
                    leader_epoch: 3,
                    compression,
                    timestamp_type,
                    log_append_time: TIME + 5,
                    producer_id: 9,
                    producer_epoch: 2,
                    base_sequence: increment_sequence(i32::MAX, -3),
                    ..BatchSettings::default()
                };
                let bytes = build(&mut random, settings, count);
                let name = format!("{} {} {count}", compression.name(), timestamp_type.name());
                writeln!(lines, "{name}\t{}\t{}", hex(&bytes), describe(&bytes)).expect("strings take everything");
            }
        }
    }
    lines
}

fn build(random: &mut Random, settings: BatchSettings, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(settings);
    for _ in 0..count {
        let key = (random.below(3) > 0).then(|| random.text());
        let value = (random.below(3) > 0).then(|| random.text().repeat(1 + random.below(30) as usize));
        let headers: Vec<Header> = (0..random.below(3))
            .map(|_| (Bytes::from(random.text()), (random.below(3) > 0).then(|| Bytes::from(random.text()))))
            .collect();
        let timestamp = TIME + random.below(100_000).cast_signed();
        builder.append(timestamp, key.as_deref().map(str::as_bytes), value.as_deref().map(str::as_bytes), &headers);
    }
    builder.build()
}

/// Offset, timestamp, sequence, key, value and headers of each record.
pub(crate) fn describe(bytes: &Bytes) -> String {
    let mut records = Vec::new();
    for batch in batches(bytes) {
        let batch = batch.expect("whole batches");
        batch.verify_crc().expect("the checksum is right");
        records.extend(batch.records().expect("they decompress").map(|record| describe_one(&record.expect("sound"))));
    }
    records.join(";")
}

fn describe_one(record: &Record) -> String {
    let nullable = |bytes: &Option<Bytes>| bytes.as_ref().map_or("null".to_owned(), |bytes| hex(bytes));
    let mut parts = vec![
        record.offset.to_string(),
        record.timestamp.to_string(),
        record.sequence.to_string(),
        nullable(&record.key),
        nullable(&record.value),
    ];
    parts.extend(record.headers.iter().map(|(key, value)| format!("{}={}", hex(key), nullable(value))));
    parts.join(",")
}
