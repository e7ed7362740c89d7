//! The records of a Produce request, or of a segment on disk: read in full, and validated with the checksum put right,
//! so that the checks behind it are reached. `cargo +nightly fuzz run record_batch`.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use protocol::TopicPartition;
use protocol::record::{
    Batch, Compression, CompressionTarget, ControlRecord, Origin, Rules, TimestampType, batches, patch_max_timestamp,
    validate,
};

const LIMIT: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    for batch in batches(&bytes).flatten() {
        let _ = batch.verify_crc();
        for record in batch.records_up_to(LIMIT).into_iter().flatten().flatten() {
            let _ = ControlRecord::decode(&record);
        }
    }
    let bytes = with_right_checksum(&bytes);
    check(&bytes, Origin::Client { produce_version: 13 }, CompressionTarget::Producer);
    check(&bytes, Origin::Coordinator, CompressionTarget::Codec(Compression::Lz4, None));
});

fn with_right_checksum(bytes: &Bytes) -> Bytes {
    let Ok(batch) = Batch::parse(bytes) else {
        return bytes.clone();
    };
    let mut patched = bytes.to_vec();
    if batch.header.magic == 2 {
        let time = batch.header.max_timestamp.wrapping_add(1);
        patch_max_timestamp(&mut patched[..batch.bytes.len()], TimestampType::CreateTime, time);
    }
    Bytes::from(patched)
}

fn check(bytes: &Bytes, origin: Origin, compression: CompressionTarget) {
    let topic_partition = TopicPartition::new("topic", 0);
    let rules = Rules {
        topic_partition: &topic_partition,
        origin,
        max_message_bytes: LIMIT,
        compression,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        compacted: false,
        now_ms: 0,
    };
    let Ok(valid) = validate(bytes, &rules) else {
        return;
    };
    let (header, rest) = valid.place(7, 1);
    let placed = Bytes::from([&header[..], &rest[..]].concat());
    let batch = Batch::parse(&placed).expect("a valid batch");
    batch.verify_crc().expect("with its checksum");
    let offsets: Vec<i64> =
        batch.records().expect("that decompresses").map(|it| it.expect("to records").offset).collect();
    assert!(offsets.iter().copied().eq(7..=batch.header.last_offset()), "with offsets one by one");
}
