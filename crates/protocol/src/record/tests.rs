//! Claims about batches that need more than one module.

use bytes::Bytes;

use super::*;
use crate::messages::EndTxnMarker;
use crate::types::TopicPartition;
use crate::{ErrorCode, Message};

const NOW: i64 = 1_700_000_000_000;

fn header(key: &str, value: Option<&str>) -> Header {
    (Bytes::copy_from_slice(key.as_bytes()), value.map(|value| Bytes::copy_from_slice(value.as_bytes())))
}

fn build(settings: BatchSettings, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(settings);
    for index in 0..count {
        let key = (index % 3 != 0).then(|| format!("key {index}"));
        let value = (index % 5 != 0).then(|| format!("value {index} ").repeat(20));
        let headers = match index % 4 {
            0 => vec![header("twice", Some("a")), header("twice", None), header("", Some(""))],
            _ => Vec::new(),
        };
        builder.append(
            NOW + index as i64,
            key.as_deref().map(str::as_bytes),
            value.as_deref().map(str::as_bytes),
            &headers,
        );
    }
    builder.build()
}

fn with_codec(compression: Compression) -> BatchSettings {
    BatchSettings { compression, producer_id: 7, producer_epoch: 1, base_sequence: 3, ..BatchSettings::default() }
}

fn rules(topic_partition: &TopicPartition) -> Rules<'_> {
    Rules {
        topic_partition,
        origin: Origin::Client { produce_version: 13 },
        max_message_bytes: 1 << 20,
        compression: CompressionTarget::Producer,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compacted: false,
        now_ms: NOW,
    }
}

fn place() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

fn collect(bytes: &Bytes) -> Vec<Record> {
    Batch::parse(bytes).unwrap().records().unwrap().map(Result::unwrap).collect()
}

#[test]
fn sequences_wrap_from_the_largest_to_zero() {
    assert_eq!(increment_sequence(i32::MAX, 1), 0);
    assert_eq!(increment_sequence(i32::MAX - 1, 3), 1);
    assert_eq!(increment_sequence(5, 10), 15);
}

#[test]
fn every_codec_gives_back_the_records() {
    let plain = collect(&build(with_codec(Compression::None), 2000));
    assert_eq!(plain.len(), 2000);
    assert_eq!(plain[4].headers.len(), 3);
    assert_eq!(plain[4].key.as_deref(), Some(&b"key 4"[..]));
    assert_eq!(plain[0].key, None);
    assert_eq!((plain[9].offset, plain[9].sequence, plain[9].timestamp), (9, 12, NOW + 9));
    for codec in Compression::ALL {
        let bytes = build(with_codec(codec), 2000);
        let batch = Batch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.header.compression(), Ok(codec));
        assert_eq!((batch.header.last_offset(), batch.header.records_count), (1999, 2000));
        assert_eq!((batch.header.base_timestamp, batch.header.max_timestamp), (NOW, NOW + 1999));
        assert_eq!(batch.header.last_sequence(), 2002);
        assert_eq!(collect(&bytes), plain, "{codec:?}");
    }
}

#[test]
fn a_valid_batch_stays_a_slice_of_the_request() {
    let place = place();
    for codec in Compression::ALL {
        let bytes = build(with_codec(codec), 5000);
        let valid = validate(&bytes, &rules(&place)).unwrap();
        assert_eq!(valid.bytes.as_ptr(), bytes.as_ptr(), "{codec:?}");
        assert_eq!(valid.header, BatchHeader::parse(&bytes).unwrap());
        let (header, rest) = valid.place(42, 5);
        let placed = Bytes::from([&header[..], &rest[..]].concat());
        Batch::parse(&placed).unwrap().verify_crc().unwrap();
        let records = collect(&placed);
        assert_eq!((records[0].offset, records[4999].offset), (42, 5041));
    }
}

#[test]
fn another_codec_of_the_topic_compresses_again() {
    let place = place();
    let plain = collect(&build(with_codec(Compression::None), 300));
    for source in Compression::ALL {
        for target in Compression::ALL {
            let rules = Rules { compression: CompressionTarget::Codec(target, None), ..rules(&place) };
            let valid = validate(&build(with_codec(source), 300), &rules).unwrap();
            let (header, rest) = valid.place(0, 1);
            let placed = Bytes::from([&header[..], &rest[..]].concat());
            let batch = Batch::parse(&placed).unwrap();
            batch.verify_crc().unwrap();
            assert_eq!(batch.header.compression(), Ok(target));
            assert_eq!(collect(&placed), plain);
        }
    }
}

#[test]
fn log_append_time_stamps_the_header() {
    let place = place();
    for codec in Compression::ALL {
        let rules = Rules { timestamp_type: TimestampType::LogAppendTime, now_ms: NOW + 77, ..rules(&place) };
        let valid = validate(&build(with_codec(codec), 20), &rules).unwrap();
        let (header, rest) = valid.place(9, 1);
        let placed = Bytes::from([&header[..], &rest[..]].concat());
        let batch = Batch::parse(&placed).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.header.timestamp_type(), TimestampType::LogAppendTime);
        assert!(collect(&placed).iter().all(|record| record.timestamp == NOW + 77));
    }
}

fn rejected(bytes: &[u8], rules: &Rules<'_>) -> RejectedBatch {
    validate(&Bytes::copy_from_slice(bytes), rules).unwrap_err()
}

#[test]
fn faulty_records_are_named_one_by_one() {
    let place = place();
    for codec in Compression::ALL {
        let bytes = build(with_codec(codec), 10);
        let error = rejected(&bytes, &Rules { compacted: true, ..rules(&place) });
        assert_eq!(error.code, ErrorCode::InvalidRecord);
        let indexes: Vec<i32> = error.record_errors.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, [0, 3, 6, 9]);
        assert!(error.error_message().unwrap().contains("4 record errors in total"), "{error}");
        let late = Rules { timestamp_after_max_ms: 7, ..rules(&place) };
        let error = rejected(&bytes, &late);
        assert_eq!((error.code, error.record_errors.len()), (ErrorCode::InvalidTimestamp, 2));
        assert_eq!(error.record_errors[0].0, 8);
    }
}

#[test]
fn what_kafka_refuses_is_refused_with_its_code() {
    let place = place();
    let rules = rules(&place);
    let bytes = build(with_codec(Compression::None), 3);
    let code = |bytes: &[u8]| rejected(bytes, &rules).code;
    let patched = |at: usize, with: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        batch::write_crc(&mut bytes);
        bytes
    };
    assert_eq!(code(b""), ErrorCode::InvalidRecord);
    assert_eq!(code(&bytes[..bytes.len() - 1]), ErrorCode::InvalidRecord);
    assert_eq!(code(&[&bytes[..], &bytes[..]].concat()), ErrorCode::InvalidRecord);
    assert_eq!(code(&patched(0, &5i64.to_be_bytes())), ErrorCode::InvalidRecord);
    assert_eq!(code(&patched(23, &7i32.to_be_bytes())), ErrorCode::InvalidRecord);
    assert_eq!(code(&patched(57, &2i32.to_be_bytes())), ErrorCode::InvalidRecord);
    assert_eq!(code(&patched(53, &(-1i32).to_be_bytes())), ErrorCode::InvalidRecord);
    assert_eq!(code(&patched(21, &0x20i16.to_be_bytes())), ErrorCode::InvalidRecord);
    let mut flipped = bytes.to_vec();
    flipped[70] ^= 1;
    assert_eq!(code(&flipped), ErrorCode::CorruptMessage);
    let mut old = bytes.to_vec();
    old[16] = 1;
    assert_eq!(code(&old), ErrorCode::InvalidRecord);
    old[16] = 9;
    assert_eq!(code(&old), ErrorCode::CorruptMessage);
    let small = Rules { max_message_bytes: 100, ..rules.clone() };
    assert_eq!(rejected(&bytes, &small).code, ErrorCode::MessageTooLarge);
    let zstd = build(with_codec(Compression::Zstd), 3);
    let early = Rules { origin: Origin::Client { produce_version: 6 }, ..rules.clone() };
    assert_eq!(rejected(&zstd, &early).code, ErrorCode::UnsupportedCompressionType);
    // A further batch that is cut off is dropped, as Kafka drops it.
    validate(&Bytes::from([&bytes[..], &bytes[..30]].concat()), &rules).unwrap();
}

/// The codes are Apache Kafka 4.3.1's, asked with these very bytes.
#[test]
fn records_that_a_codec_refuses_get_kafkas_codes() {
    use ErrorCode::{InvalidRecord, UnknownServerError};
    let cases: [(&str, i16, &[u8], ErrorCode); 15] = [
        ("gzip", 1, b"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", UnknownServerError),
        ("snappy", 2, b"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", UnknownServerError),
        ("lz4", 3, b"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", UnknownServerError),
        ("zstd", 4, b"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", UnknownServerError),
        ("a gzip stream that is cut off", 1, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xe3\x63\x60\x60\x60\x64", UnknownServerError),
        ("no gzip stream at all", 1, b"", UnknownServerError),
        ("a gzip stream of no record", 1, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x67\x64\x02\x00\x12\xa6\xf9\x57\x03\x00\x00\x00", InvalidRecord),
        ("a gzip stream of two records", 1, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xe3\x63\x60\x60\x60\x64\xaa\x60\xe0\x83\xd2\x00\xfb\xdf\x3a\xa3\x10\x00\x00\x00", InvalidRecord),
        ("a snappy stream with a bad block", 2, b"\x82\x53\x4e\x41\x50\x50\x59\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05\x61\x62\x63\x64\x65", UnknownServerError),
        ("a snappy block of no record", 2, b"\x05\x10\x61\x62\x63\x64\x65", InvalidRecord),
        ("an lz4 frame with a bad block", 3, b"\x04\x22\x4d\x18\x60\x40\x82\x05\x00\x00\x00\x61\x62\x63\x64\x65", UnknownServerError),
        ("a bad zstd frame", 4, b"\x28\xb5\x2f\xfd\x04\x04\x04\x04\x04\x04\x04\x04\x04\x04", UnknownServerError),
        ("codec 5", 5, b"\x0e\x00\x00\x00\x01\x02\x78\x00", UnknownServerError),
        ("codec 7", 7, b"\x0e\x00\x00\x00\x01\x02\x78\x00", UnknownServerError),
        ("no record", 0, b"\x7f\x01\x02", InvalidRecord),
    ];
    let place = place();
    let head = &build(with_codec(Compression::None), 1)[..HEADER_SIZE];
    for (name, attributes, payload, expected) in cases {
        let mut bytes = [head, payload].concat();
        let length = i32::try_from(bytes.len() - LOG_OVERHEAD).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        batch::write_crc(&mut bytes);
        assert_eq!(rejected(&bytes, &rules(&place)).code, expected, "{name}");
    }
}

#[test]
fn bombs_are_refused_without_being_held() {
    let zeros = vec![0; 8 << 20];
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut bomb = Vec::new();
        compress(codec, None, &zeros, &mut bomb).unwrap();
        let error = decompress(codec, &bomb, 1 << 20).unwrap_err();
        assert!(matches!(error, BatchError::LimitExceeded { .. }), "{codec:?}: {error}");
    }
    // One raw Snappy block that claims 4 GiB.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert!(decompress(Compression::Snappy, &claim, usize::MAX).is_err());
}

#[test]
fn records_of_any_size_stream_over_the_ends_of_pieces() {
    let place = place();
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(with_codec(codec));
        for size in [0, 1, 100_000, 63, 64, 65_536, 300_000, 8191, 8192] {
            let value: Vec<u8> = (0..size).map(|at: u32| (at * 31 % 251) as u8).collect();
            builder.append(NOW, Some(b"k"), Some(&value), &[header("h", Some(&"x".repeat(size as usize / 3)))]);
        }
        validate(&builder.build(), &rules(&place)).unwrap();
    }
}

#[test]
fn wrong_offset_deltas_are_numbered_anew() {
    let place = place();
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(with_codec(codec));
        builder.append_at(0, NOW, None, Some(b"a"), &[]).append_at(5, NOW, None, Some(b"b"), &[]);
        let mut bytes = builder.build().to_vec();
        bytes[23..27].copy_from_slice(&1i32.to_be_bytes());
        batch::write_crc(&mut bytes);
        let valid = validate(&Bytes::from(bytes), &rules(&place)).unwrap();
        let offsets: Vec<i64> = collect(&valid.bytes).iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [0, 1]);
    }
}

#[test]
fn control_records_say_what_they_said() {
    let marker = ControlRecord::Commit(EndTxnMarker { coordinator_epoch: 9 });
    let (key, value) = marker.encode().unwrap();
    assert_eq!((&key[..], &value[..]), (&[0, 0, 0, 1][..], &[0, 0, 0, 0, 0, 9][..]));
    let settings = BatchSettings { is_control: true, is_transactional: true, ..with_codec(Compression::None) };
    let mut builder = BatchBuilder::new(settings);
    builder.append(NOW, Some(&key), Some(&value), &[]);
    let bytes = builder.build();
    assert!(BatchHeader::parse(&bytes).unwrap().is_control());
    assert_eq!(ControlRecord::decode(&collect(&bytes)[0]), Ok(marker));
    assert_eq!(ControlRecordType::parse(&[0, 0, 0, 99]), Ok(ControlRecordType::Unknown));
    let place = place();
    validate(&bytes, &Rules { origin: Origin::Coordinator, ..rules(&place) }).unwrap();
    assert_eq!(EndTxnMarker::MAX_VERSION, 0);
}

#[test]
fn patches_keep_the_checksum_right() {
    let mut bytes = build(with_codec(Compression::None), 3).to_vec();
    patch_base_offset(&mut bytes, 99);
    patch_leader_epoch(&mut bytes, 4);
    patch_max_timestamp(&mut bytes, TimestampType::LogAppendTime, NOW + 5);
    let batch = Batch::parse(&Bytes::from(bytes)).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!((batch.header.base_offset, batch.header.partition_leader_epoch), (99, 4));
    assert_eq!((batch.header.max_timestamp, batch.header.timestamp_type()), (NOW + 5, TimestampType::LogAppendTime));
}
