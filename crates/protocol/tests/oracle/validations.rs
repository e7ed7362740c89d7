//! What a leader does with the records of a Produce request, sound and not, on topics of every kind.

use std::fmt::Write;

use bytes::Bytes;
use protocol::record::{
    Batch, BatchBuilder, BatchSettings, Compression, CompressionTarget, Origin, RejectedBatch, Rules, TimestampType,
    patch_max_timestamp, validate,
};
use protocol::types::TopicPartition;

use super::batches::describe;
use super::{hex, unhex};

const NOW: i64 = 1_700_000_000_000;
const FOREVER: i64 = i64::MAX;
const LEADER_EPOCH: i32 = 5;
/// Offset that the first record gets.
const BASE_OFFSET: i64 = 100;

/// A change of a sound batch, after which its checksum is put right again.
type Damage = fn(&mut Vec<u8>);

const DAMAGES: [(&str, Damage); 16] = [
    ("none", |_| {}),
    ("base offset", |bytes| bytes[7] = 1),
    ("negative length", |bytes| bytes[8] = 0xff),
    ("short length", |bytes| bytes[8..12].copy_from_slice(&40i32.to_be_bytes())),
    ("magic 1", |bytes| bytes[16] = 1),
    ("magic 7", |bytes| bytes[16] = 7),
    ("control", |bytes| bytes[22] |= 0x20),
    ("log append time", |bytes| bytes[22] |= 0x08),
    ("negative last delta", |bytes| bytes[23] = 0xff),
    ("large last delta", |bytes| bytes[26] = 200),
    ("no records", |bytes| bytes[57..61].fill(0)),
    ("one record less", |bytes| bytes[60] -= 1),
    ("sequence", |bytes| bytes[43..57].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0xff, 0xff, 0xff, 0xff])),
    ("cut off", |bytes| bytes.truncate(bytes.len() - 1)),
    ("twice", |bytes| bytes.extend_from_within(..)),
    ("half a batch more", |bytes| bytes.extend_from_within(..40)),
];

/// A question to both implementations.
pub(crate) struct Case {
    name: String,
    bytes: Bytes,
    version: i16,
    target: Option<Compression>,
    timestamp_type: TimestampType,
    after_ms: i64,
    before_ms: i64,
    compacted: bool,
    max_size: usize,
}

/// All questions.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for source in Compression::ALL {
        for (name, damage) in DAMAGES {
            let bytes = batch(source, damage, true);
            for target in std::iter::once(None).chain(Compression::ALL.map(Some)) {
                for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
                    let name = format!("{} {name} {target:?} {}", source.name(), timestamp_type.name());
                    cases.push(case(name, bytes.clone(), target, timestamp_type));
                }
            }
        }
        let sound = || case(source.name().to_owned(), batch(source, |_| {}, true), None, TimestampType::CreateTime);
        cases.push(Case { bytes: batch(source, |bytes| bytes[70] ^= 1, false), ..sound() });
        cases.push(Case { compacted: true, ..sound() });
        cases.push(Case { after_ms: 3, ..sound() });
        cases.push(Case { after_ms: 3, compacted: true, ..sound() });
        cases.push(Case { before_ms: 900, ..sound() });
        cases.push(Case { version: 6, ..sound() });
        cases.push(Case { max_size: 100, ..sound() });
    }
    cases
}

fn case(name: String, bytes: Bytes, target: Option<Compression>, timestamp_type: TimestampType) -> Case {
    Case {
        name,
        bytes,
        version: 13,
        target,
        timestamp_type,
        after_ms: 3_600_000,
        before_ms: FOREVER,
        compacted: false,
        max_size: 1 << 20,
    }
}

fn batch(compression: Compression, damage: Damage, right_checksum: bool) -> Bytes {
    let mut builder = BatchBuilder::new(BatchSettings { compression, ..BatchSettings::default() });
    for index in 0i64..6 {
        let key = (index % 4 != 1).then_some(&b"key"[..]);
        let timestamp = if index == 2 { NOW - 1000 } else { NOW + index };
        builder.append(timestamp, key, Some(b"a value that is a value that is a value"), &[]);
    }
    let mut bytes = builder.build().to_vec();
    let size = bytes.len();
    damage(&mut bytes);
    if right_checksum && bytes.len() >= size && bytes[16] == 2 {
        // Changing the largest timestamp there and back makes the checksum anew.
        let kind = if bytes[22] & 8 == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime };
        patch_max_timestamp(&mut bytes[..size], kind, NOW - 1);
        patch_max_timestamp(&mut bytes[..size], kind, NOW + 5);
    }
    Bytes::from(bytes)
}

/// The questions as Java reads them.
pub(crate) fn ask(cases: &[Case]) -> String {
    let mut lines = String::new();
    for case in cases {
        let target = case.target.map_or("producer", Compression::name);
        let kind = case.timestamp_type.name();
        let (bytes, version, compacted) = (hex(&case.bytes), case.version, case.compacted);
        let (before, after, size) = (case.before_ms, case.after_ms, case.max_size);
        writeln!(lines, "{bytes}\t{version}\t{target}\t{kind}\t{before}\t{after}\t{compacted}\t{size}\t{NOW}")
            .expect("strings take everything");
    }
    lines
}

/// Compares Java's answers with those of this implementation.
pub(crate) fn check(cases: &[Case], answers: &str) {
    assert_eq!(cases.len(), answers.lines().count());
    let differences: Vec<String> =
        cases.iter().zip(answers.lines()).filter_map(|(case, answer)| difference(case, answer)).collect();
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

fn difference(case: &Case, answer: &str) -> Option<String> {
    let [code, faults, bytes] = answer.split('\t').collect::<Vec<_>>().try_into().expect("three columns");
    match outcome(case) {
        Ok(placed) => {
            let same = code == "NONE" && same_batch(&placed, &unhex(bytes), case.target);
            (!same).then(|| format!("{}: {code} {faults} {bytes}, here {}", case.name, hex(&placed)))
        }
        Err(rejected) => {
            let here = rejected.record_errors.iter().map(|(index, fault)| format!("{index}:{fault}"));
            let here = here.collect::<Vec<_>>().join("|");
            let same = rejected.code.name() == code && without_record(&here) == without_record(faults);
            (!same).then(|| format!("{}: {code} {faults}, here {:?} {here}", case.name, rejected))
        }
    }
}

fn outcome(case: &Case) -> Result<Bytes, RejectedBatch> {
    let topic_partition = TopicPartition::new("orders", 3);
    let valid = validate(
        &case.bytes,
        &Rules {
            topic_partition: &topic_partition,
            origin: Origin::Client { produce_version: case.version },
            max_message_bytes: case.max_size,
            compression: case.target.map_or(CompressionTarget::Producer, |codec| CompressionTarget::Codec(codec, None)),
            timestamp_type: case.timestamp_type,
            timestamp_before_max_ms: case.before_ms,
            timestamp_after_max_ms: case.after_ms,
            compacted: case.compacted,
            now_ms: NOW,
        },
    )?;
    let (header, rest) = valid.place(BASE_OFFSET, LEADER_EPOCH);
    Ok(Bytes::from([&header[..], &rest[..]].concat()))
}

/// The same bytes; or, where a codec was at work, the same header and records.
fn same_batch(here: &Bytes, java: &Bytes, target: Option<Compression>) -> bool {
    let header = |bytes: &Bytes| {
        let mut header = Batch::parse(bytes).expect("a valid batch").header;
        (header.crc, header.batch_length) = (0, 0);
        header
    };
    here == java || target.is_some() && header(here) == header(java) && describe(here) == describe(java)
}

/// Kafka prints a record in one of its messages as its class does.
fn without_record(faults: &str) -> String {
    let parts = faults.split('|').map(|fault| match fault.split_once(" in message ") {
        Some((start, rest)) => format!("{start} {}", rest.split_once(". ").map_or(rest, |(_, end)| end)),
        None => fault.to_owned(),
    });
    parts.collect::<Vec<_>>().join("|")
}
