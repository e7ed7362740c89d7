//! Whatever bytes come in, the decoders answer with an error or a value: no panic, and no memory that only a claimed
//! length asks for.

use std::fs;

use bytes::Bytes;
use proptest::prelude::*;
use protocol::TopicPartition;
use protocol::json;
use protocol::messages::ALL;
use protocol::record::{
    Batch, BatchBuilder, BatchSettings, Compression, CompressionTarget, Origin, Rules, TimestampType, batches,
    decompress, patch_max_timestamp, validate,
};

/// What the decoders may hold at once in these tests, in bytes: their inputs are below 1 KiB.
const MEMORY_LIMIT: usize = 100 << 20;
const LIMIT: usize = 1 << 20;

fn decode_everywhere(index: usize, bytes: &Bytes) {
    let entry = &ALL[index % ALL.len()];
    for version in entry.versions.clone() {
        let recoded = (entry.recode)(bytes, version);
        let read = json::decode(entry.name, version, bytes);
        if let (Ok(_), Ok(value)) = (recoded, read) {
            json::encode(entry.name, version, &value).expect("what was read can be written");
        }
    }
}

fn read_batches(bytes: &Bytes) {
    for batch in batches(bytes).flatten() {
        let _ = batch.verify_crc();
        if let Ok(records) = batch.records_up_to(LIMIT) {
            let count = records.filter(Result::is_ok).count();
            assert!(count <= LIMIT, "records take more than a byte");
        }
    }
}

/// Validates bytes with their checksum put right, so that the checks behind it are reached.
fn validate_everywhere(bytes: &Bytes) {
    let topic_partition = TopicPartition::new("topic", 0);
    let mut bytes = bytes.to_vec();
    if let Ok(batch) = Batch::parse(&Bytes::copy_from_slice(&bytes))
        && batch.header.magic == 2
    {
        let max_timestamp = batch.header.max_timestamp.wrapping_add(1);
        patch_max_timestamp(&mut bytes[..batch.bytes.len()], TimestampType::CreateTime, max_timestamp);
    }
    let bytes = Bytes::from(bytes);
    for compression in [CompressionTarget::Producer, CompressionTarget::Codec(Compression::Lz4, None)] {
        for origin in [Origin::Client { produce_version: 13 }, Origin::Coordinator] {
            let rules = Rules {
                topic_partition: &topic_partition,
                origin,
                max_message_bytes: LIMIT,
                compression,
                timestamp_type: TimestampType::CreateTime,
                timestamp_before_max_ms: i64::MAX,
                timestamp_after_max_ms: i64::MAX,
                compacted: true,
                now_ms: 0,
            };
            if let Ok(valid) = validate(&bytes, &rules) {
                let (header, rest) = valid.place(7, 1);
                let placed = Bytes::from([&header[..], &rest[..]].concat());
                Batch::parse(&placed).expect("a valid batch").verify_crc().expect("with its checksum");
            }
        }
    }
}

fn sound_batch(codec: Compression, values: &[Vec<u8>]) -> Vec<u8> {
    let settings = BatchSettings { compression: codec, ..BatchSettings::default() };
    let mut builder = BatchBuilder::new(settings);
    for value in values {
        builder.append(1, Some(b"key"), Some(value), &[(Bytes::from_static(b"h"), None)]);
    }
    builder.build().to_vec()
}

fn codec() -> impl Strategy<Value = Compression> {
    (0i8..5).prop_map(|id| Compression::from_id(id).expect("five codecs"))
}

/// Places to overwrite, and with what.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
}

fn apply(damage: &[(prop::sample::Index, u8)], bytes: &mut [u8]) {
    for (index, byte) in damage {
        if !bytes.is_empty() {
            let at = index.index(bytes.len());
            bytes[at] = *byte;
        }
    }
}

/// Apache Kafka's own bytes of every message.
fn sample() -> Vec<(usize, Vec<u8>)> {
    let lines = include_str!("golden/messages.tsv").lines();
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            let index = ALL.iter().position(|entry| entry.name == parts[0]).expect("a known message");
            let digits = parts[2];
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
            (index, (0..digits.len()).step_by(2).map(byte).collect())
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn random_bytes_are_a_message_or_an_error(index in 0..ALL.len(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode_everywhere(index, &Bytes::from(bytes));
    }

    #[test]
    fn damaged_messages_are_a_message_or_an_error(
        at in any::<prop::sample::Index>(), damage in damage(), cut in any::<prop::sample::Index>(),
    ) {
        let sample = sample();
        let (index, mut bytes) = sample[at.index(sample.len())].clone();
        apply(&damage, &mut bytes);
        decode_everywhere(index, &Bytes::copy_from_slice(&bytes));
        bytes.truncate(cut.index(bytes.len() + 1));
        decode_everywhere(index, &Bytes::from(bytes));
    }

    #[test]
    fn random_bytes_are_batches_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0u8..3) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.get_mut(16) {
            *byte = magic;
        }
        if bytes.len() > 12 {
            let length = u32::try_from(bytes.len() - 12).expect("short");
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
        }
        let bytes = Bytes::from(bytes);
        read_batches(&bytes);
        validate_everywhere(&bytes);
    }

    #[test]
    fn damaged_batches_are_batches_or_an_error(
        codec in codec(), values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20), damage in damage(),
    ) {
        let mut bytes = sound_batch(codec, &values);
        apply(&damage, &mut bytes);
        let bytes = Bytes::from(bytes);
        read_batches(&bytes);
        validate_everywhere(&bytes);
    }

    #[test]
    fn random_bytes_decompress_within_the_limit_or_fail(codec in codec(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(out) = decompress(codec, &bytes, LIMIT) {
            prop_assert!(out.len() <= LIMIT);
        }
    }

    #[test]
    fn every_batch_gives_back_its_records(
        codec in codec(), values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..40),
    ) {
        let bytes = Bytes::from(sound_batch(codec, &values));
        let batch = Batch::parse(&bytes).expect("it was built");
        batch.verify_crc().expect("it was built");
        let read: Vec<Vec<u8>> = batch
            .records()
            .expect("it was built")
            .map(|record| record.expect("it was built").value.expect("it has one").to_vec())
            .collect();
        prop_assert_eq!(read, values);
    }
}

/// Largest memory of this process so far, in bytes.
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("tests run on Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says so");
    let kibibytes: usize = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kibibytes * 1024
}

#[test]
fn claimed_lengths_take_no_memory() {
    let before = peak_memory();
    for length in
        [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xff, 0x07], &[0x00, 0x0f, 0xff, 0xff], &[0xff, 0x7f]]
    {
        for prefix in 0..24 {
            let mut bytes = vec![0; prefix];
            bytes.extend(length.iter().copied().cycle().take(900));
            let bytes = Bytes::from(bytes);
            (0..ALL.len()).for_each(|index| decode_everywhere(index, &bytes));
        }
    }
    let grown = peak_memory() - before;
    assert!(grown < MEMORY_LIMIT, "{grown} bytes");
}
