//! Apache Kafka's own tool reads every file that a log consists of, and complains about none.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use platform::{OsDisk, Random};
use protocol::messages::EndTxnMarker;
use protocol::record::{BatchBuilder, BatchHeader, BatchSettings, Compression, ControlRecord, ValidBatch};
use protocol::types::{ProducerId, Sequence};
use protocol::{TopicPartition, Uuid};
use storage::{AppendRequest, Log, LogConfig, OpenOptions};

/// What the tool prints where it finds a fault.
const COMPLAINTS: [&str; 7] =
    ["ismatch", "is followed by", "isvalid: false", "out of order", "Exception", "corrupt", "Could not open"];
/// It takes the first record of every segment but the first for one that follows on none.
const NO_COMPLAINT: &str = "  -1 is followed by";

const RECORDS: usize = 6 * 100 * 3;

/// Where `cargo xtask apache-kafka fetch` puts the jars.
fn class_path() -> Option<String> {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let libs = target.join("apache-kafka/libs");
    libs.exists().then(|| format!("{}/*", libs.display()))
}

fn valid(builder: BatchBuilder) -> ValidBatch {
    let bytes = builder.build();
    let header = BatchHeader::parse(&bytes).expect("the builder makes batches");
    ValidBatch { bytes, header }
}

fn batch(settings: BatchSettings, timestamp: i64) -> ValidBatch {
    let mut builder = BatchBuilder::new(settings);
    for at in 0..3 {
        builder.append(timestamp + at, Some(b"key"), Some(&[b'v'; 50]), &[]);
    }
    valid(builder)
}

fn transactional(producer_id: ProducerId, base_sequence: Sequence) -> BatchSettings {
    BatchSettings { producer_id, producer_epoch: 0, base_sequence, is_transactional: true, ..BatchSettings::default() }
}

fn marker(producer_id: ProducerId, aborts: bool) -> ValidBatch {
    let end = EndTxnMarker { coordinator_epoch: 1 };
    let record = if aborts { ControlRecord::Abort(end) } else { ControlRecord::Commit(end) };
    let (key, value) = record.encode().expect("a marker is small");
    let mut builder = BatchBuilder::new(BatchSettings { is_control: true, ..transactional(producer_id, -1) });
    builder.append(1000, Some(&key), Some(&value), &[]);
    valid(builder)
}

fn write_log(dir: &Path) -> Log {
    let config = LogConfig { segment_bytes: 8000, index_interval_bytes: 300, ..LogConfig::default() };
    let options = OpenOptions {
        topic_id: Some(Uuid::from_bytes([7; 16])),
        config: Arc::new(config),
        ..OpenOptions::new(dir.to_owned(), TopicPartition::new("oracle", 0))
    };
    let mut log = Log::open(Arc::new(OsDisk::new()), options).expect("the directory is ours");
    let mut append = |batch: &ValidBatch| {
        let request = AppendRequest { batch, leader_epoch: 3, now_ms: 0 };
        if batch.header.is_control() { log.append_as_coordinator(&request) } else { log.append_as_leader(&request) }
            .expect("the disk has room");
    };
    let mut timestamp = 1_000_000;
    for round in 0..100 {
        for compression in Compression::ALL {
            timestamp += 7 - i64::from(round % 3) * 5;
            append(&batch(BatchSettings { compression, ..BatchSettings::default() }, timestamp));
        }
        append(&batch(transactional(1 + i64::from(round) % 4, round / 4 * 3), timestamp));
        if round % 10 == 9 {
            (1..=4).for_each(|producer_id| append(&marker(producer_id, round % 20 == 9)));
        }
    }
    log.set_high_watermark(log.log_end_offset());
    log.close().expect("the disk has room");
    log
}

fn files(dir: &Path, suffix: &str) -> String {
    let entries = fs::read_dir(dir).expect("the log is there");
    let mut paths: Vec<String> = entries
        .map(|entry| entry.expect("listed").path().display().to_string())
        .filter(|path| path.ends_with(suffix))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no {suffix} file");
    paths.join(",")
}

fn dump(class_path: &str, arguments: &[&str]) -> String {
    let output = Command::new("java")
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", class_path])
        .arg("org.apache.kafka.tools.DumpLogSegments")
        .args(arguments)
        .output()
        .expect("java is installed where the jars are");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}");
    let mut lines = text.lines().filter(|line| !line.starts_with(NO_COMPLAINT));
    let complaint = lines.find(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
    assert_eq!(complaint, None, "{arguments:?}");
    text
}

#[test]
fn kafka_dump_log_reads_every_file_with_no_complaint() {
    let Some(class_path) = class_path() else {
        assert!(env::var("CI").is_err(), "`cargo xtask apache-kafka fetch` has to come first");
        eprintln!("skipped: no jars of Apache Kafka in target/apache-kafka/libs");
        return;
    };
    let dir = env::temp_dir().join(format!("ottla-storage-{:016x}", Random::from_os().next_u64())).join("oracle-0");
    let log = write_log(&dir);
    assert!(log.view().segments().len() > 10);
    let records = dump(&class_path, &["--deep-iteration", "--print-data-log", "--files", &files(&dir, ".log")]);
    assert_eq!(records.matches("payload: vvv").count(), RECORDS);
    assert_eq!(records.matches("endTxnMarker: ABORT").count(), 20);
    let indexes = files(&dir, ".index") + "," + &files(&dir, ".timeindex");
    dump(&class_path, &["--index-sanity-check", "--files", &indexes]);
    let entries = dump(&class_path, &["--files", &indexes]);
    assert!(entries.matches("position: ").count() > 100 && entries.matches("timestamp: ").count() > 20);
    let aborted = dump(&class_path, &["--files", &files(&dir, ".txnindex")]);
    assert_eq!(aborted.matches("producerId: ").count(), 20);
    let snapshots = files(&dir, ".snapshot");
    let newest = snapshots.rsplit(',').next().expect("there is one");
    assert_eq!(dump(&class_path, &["--files", newest]).matches("producerId: ").count(), 4);
    let told = log.view().aborted_transactions(0, log.log_end_offset()).expect("the index is readable");
    assert_eq!(told.len(), 20);
    fs::remove_dir_all(dir.parent().expect("made above")).expect("the directory is ours");
}
