//! What a cleaning keeps and what it drops, case by case.

use std::sync::Arc;

use bytes::Bytes;
use platform::{Disk, SimDisk};
use protocol::messages::EndTxnMarker;
use protocol::record::{
    Batch, BatchBuilder, BatchHeader, BatchSettings, Compression, ControlRecord, ValidBatch, batches,
};
use protocol::types::{Offset, ProducerId, TimestampMs};

use super::{CleanError, Cleanable, CleanedLog, CleanerSettings, Pace, clean};
use crate::config::LogConfig;
use crate::log::tests::{DIR, open, options};
use crate::log::{AppendRequest, Log};
use crate::recovery::OpenOptions;

/// Goes as fast as it can.
pub(super) struct Unpaced;

impl Pace for Unpaced {
    fn moved(&mut self, _bytes: u64) -> Result<(), CleanError> {
        Ok(())
    }
}

pub(super) const SETTINGS: CleanerSettings =
    CleanerSettings { dedupe_bytes: 1 << 20, load_factor: 0.9, io_buffer_bytes: 4096, hash_key: [1, 2] };

pub(super) fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 4000,
        index_interval_bytes: 200,
        cleanup_compact: true,
        cleanup_delete: false,
        delete_retention_ms: 1000,
        ..LogConfig::default()
    }
}

/// What a record of a test says: a key, and a value unless it is a tombstone.
pub(super) type KeyValue<'a> = (&'a str, Option<&'a str>);

pub(super) fn keyed(settings: BatchSettings, records: &[KeyValue<'_>], timestamp: TimestampMs) -> ValidBatch {
    let mut builder = BatchBuilder::new(settings);
    for (key, value) in records {
        builder.append(timestamp, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    valid(builder.build())
}

pub(super) fn marker(
    producer_id: ProducerId,
    producer_epoch: i16,
    commits: bool,
    timestamp: TimestampMs,
) -> ValidBatch {
    let end = EndTxnMarker { coordinator_epoch: 0 };
    let record = if commits { ControlRecord::Commit(end) } else { ControlRecord::Abort(end) };
    let (key, value) = record.encode().unwrap();
    let settings = BatchSettings {
        producer_id,
        producer_epoch,
        is_transactional: true,
        is_control: true,
        ..BatchSettings::default()
    };
    let mut builder = BatchBuilder::new(settings);
    builder.append(timestamp, Some(&key), Some(&value), &[]);
    valid(builder.build())
}

fn valid(bytes: Bytes) -> ValidBatch {
    let header = BatchHeader::parse(&bytes).unwrap();
    ValidBatch { bytes, header }
}

pub(super) fn append(log: &mut Log, batch: &ValidBatch) -> Result<(), crate::AppendError> {
    let request = AppendRequest { batch, leader_epoch: 1, now_ms: 0 };
    if batch.header.is_control() {
        log.append_as_coordinator(&request)?
    } else {
        log.append_as_leader(&request)?
    };
    log.set_high_watermark(log.log_end_offset());
    Ok(())
}

pub(super) fn put(log: &mut Log, records: &[KeyValue<'_>]) {
    append(log, &keyed(BatchSettings::default(), records, 0)).unwrap();
}

pub(super) fn flush(log: &mut Log) -> Result<(), crate::StorageError> {
    let end = log.log_end_offset();
    for unsynced in log.flush_files()? {
        unsynced.sync_data()?;
    }
    log.flushed(end);
    Ok(())
}

/// Seals what was written, and cleans all of it that is not clean.
pub(super) fn compact(log: &mut Log, checkpoint: &mut Offset, now_ms: TimestampMs) -> Result<CleanedLog, CleanError> {
    compact_with(log, checkpoint, now_ms, &SETTINGS)
}

pub(super) fn compact_with(
    log: &mut Log,
    checkpoint: &mut Offset,
    now_ms: TimestampMs,
    settings: &CleanerSettings,
) -> Result<CleanedLog, CleanError> {
    log.roll(now_ms)?;
    flush(log)?;
    let range = log.cleanable(Some(*checkpoint), now_ms)?;
    let cleaning = log.start_cleaning(range, now_ms);
    let done = clean(&cleaning, settings, &mut Unpaced, &mut |cleaned| Ok(log.swap_in(cleaned)?.remove_now()?))?;
    *checkpoint = done.end_offset;
    Ok(done)
}

/// Every batch of the log.
pub(super) fn all_batches(log: &Log) -> Vec<Batch> {
    let view = log.view();
    let (mut at, mut found) = (view.log_start_offset, Vec::new());
    while at < view.log_end_offset {
        let Some(slice) = view.read(at, 1 << 20, view.log_end_offset, true).unwrap() else { break };
        for batch in batches(&slice.read_all().unwrap()).map(Result::unwrap) {
            batch.verify_crc().unwrap();
            assert!(batch.header.next_offset() > at);
            at = batch.header.next_offset();
            found.push(batch);
        }
    }
    found
}

/// Offset, key and value of every record that is no marker, as `offset:key=value`.
pub(super) fn records(log: &Log) -> Vec<String> {
    let data = all_batches(log).into_iter().filter(|batch| !batch.header.is_control());
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    data.flat_map(|batch| batch.records().unwrap().map(Result::unwrap).collect::<Vec<_>>())
        .map(|record| {
            let key = record.key.as_ref().map_or("?".to_owned(), text);
            format!("{}:{key}={}", record.offset, record.value.as_ref().map_or("-".to_owned(), text))
        })
        .collect()
}

#[test]
fn the_last_record_of_every_key_stays_at_its_offset() {
    for compression in Compression::ALL {
        let mut log = open(&SimDisk::new(1), options(compacted()));
        let settings = || BatchSettings { compression, ..BatchSettings::default() };
        append(&mut log, &keyed(settings(), &[("a", Some("1")), ("b", Some("2"))], 5)).unwrap();
        append(&mut log, &keyed(settings(), &[("a", Some("3"))], 6)).unwrap();
        append(&mut log, &keyed(settings(), &[("c", Some("4")), ("a", Some("5")), ("d", Some("6"))], 7)).unwrap();
        let mut checkpoint = 0;
        compact(&mut log, &mut checkpoint, 0).unwrap();
        assert_eq!(records(&log), ["1:b=2", "3:c=4", "4:a=5", "5:d=6"]);
        assert_eq!(all_batches(&log)[0].header.compression().unwrap(), compression);
        put(&mut log, &[("b", Some("7"))]);
        put(&mut log, &[("e", None)]);
        compact(&mut log, &mut checkpoint, 0).unwrap();
        assert_eq!(records(&log), ["3:c=4", "4:a=5", "5:d=6", "6:b=7", "7:e=-"]);
        assert_eq!(checkpoint, 8);
    }
}

#[test]
fn a_tombstone_stays_until_its_horizon() {
    let mut log = open(&SimDisk::new(1), options(compacted()));
    put(&mut log, &[("a", Some("1"))]);
    put(&mut log, &[("a", None), ("b", Some("2"))]);
    put(&mut log, &[("c", Some("3"))]);
    let mut checkpoint = 0;
    compact(&mut log, &mut checkpoint, 5000).unwrap();
    assert_eq!(records(&log), ["1:a=-", "2:b=2", "3:c=3"]);
    assert_eq!(all_batches(&log)[0].header.delete_horizon(), Some(6000));
    let expected_timestamps: Vec<i64> = all_batches(&log)
        .iter()
        .flat_map(|batch| batch.records().unwrap().map(|record| record.unwrap().timestamp))
        .collect();
    assert_eq!(expected_timestamps, [0, 0, 0]);
    for (now_ms, left) in [(5999, vec!["1:a=-", "2:b=2"]), (6000, vec!["2:b=2"])] {
        put(&mut log, &[("c", Some("4"))]);
        compact(&mut log, &mut checkpoint, now_ms).unwrap();
        assert_eq!(records(&log)[..left.len()], left);
    }
}

#[test]
fn aborted_records_go_at_once_and_markers_after_them() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options(compacted()));
    let txn = |producer_id, base_sequence| BatchSettings {
        producer_id,
        producer_epoch: 0,
        base_sequence,
        is_transactional: true,
        ..BatchSettings::default()
    };
    put(&mut log, &[("a", Some("old"))]);
    append(&mut log, &keyed(txn(1, 0), &[("a", Some("aborted"))], 0)).unwrap();
    append(&mut log, &keyed(txn(2, 0), &[("b", Some("kept"))], 0)).unwrap();
    append(&mut log, &marker(1, 0, false, 0)).unwrap();
    append(&mut log, &marker(2, 0, true, 0)).unwrap();
    // Later batches of both producers: nothing has to be kept of the earlier ones for their sequences.
    append(&mut log, &keyed(txn(1, 1), &[("x", Some("1"))], 0)).unwrap();
    append(&mut log, &marker(1, 0, true, 0)).unwrap();
    append(&mut log, &keyed(txn(2, 1), &[("y", Some("1"))], 0)).unwrap();
    append(&mut log, &marker(2, 0, true, 0)).unwrap();
    let mut checkpoint = 0;
    compact(&mut log, &mut checkpoint, 0).unwrap();
    assert_eq!(records(&log), ["0:a=old", "2:b=kept", "5:x=1", "7:y=1"]);
    let markers = |log: &Log| -> Vec<Offset> {
        let batches = all_batches(log).into_iter().filter(|batch| batch.header.is_control());
        batches.map(|batch| batch.header.base_offset).collect()
    };
    // The abort marker was needed to see the abort; the cleaning that comes after finds nothing that it ends.
    assert_eq!(markers(&log), [3, 4, 6, 8]);
    assert_eq!(log.view().aborted_transactions(0, 9).unwrap().len(), 1);
    for (now_ms, left) in [(0, vec![3, 4, 6, 8]), (2000, vec![4, 6, 8])] {
        put(&mut log, &[("z", Some("1"))]);
        compact(&mut log, &mut checkpoint, now_ms).unwrap();
        assert_eq!(markers(&log), left, "at {now_ms}");
        assert_eq!(log.view().aborted_transactions(0, 20).unwrap().len(), 0);
    }
}

#[test]
fn nothing_of_an_open_transaction_is_cleaned() {
    let mut log = open(&SimDisk::new(1), options(compacted()));
    put(&mut log, &[("a", Some("1"))]);
    put(&mut log, &[("a", Some("2"))]);
    log.roll(0).unwrap();
    let settings = BatchSettings {
        producer_id: 1,
        producer_epoch: 0,
        base_sequence: 0,
        is_transactional: true,
        ..BatchSettings::default()
    };
    append(&mut log, &keyed(settings, &[("a", Some("open"))], 0)).unwrap();
    let mut checkpoint = 0;
    compact(&mut log, &mut checkpoint, 0).unwrap();
    assert_eq!((records(&log), checkpoint), (vec!["1:a=2".to_owned(), "2:a=open".to_owned()], 2));
}

#[test]
fn the_last_batch_of_a_producer_stays_without_its_records() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options(compacted()));
    let sent = |base_sequence| {
        let settings = BatchSettings { producer_id: 1, producer_epoch: 0, base_sequence, ..BatchSettings::default() };
        keyed(settings, &[("a", Some("1")), ("a", Some("2"))], 0)
    };
    append(&mut log, &sent(0)).unwrap();
    append(&mut log, &sent(2)).unwrap();
    put(&mut log, &[("a", Some("3"))]);
    let mut checkpoint = 0;
    compact(&mut log, &mut checkpoint, 0).unwrap();
    assert_eq!(records(&log), ["4:a=3"]);
    assert_eq!(all_batches(&log).len(), 2);
    drop(log);
    disk.remove_file(&std::path::Path::new(DIR).join("00000000000000000005.snapshot")).unwrap();
    let mut again = open(&disk, options(compacted()));
    assert_eq!(again.producer_states()[0].last_sequence, 3);
    append(&mut again, &sent(4)).unwrap();
}

#[test]
fn readers_of_an_older_view_read_on() {
    let mut log = open(&SimDisk::new(1), options(compacted()));
    for round in 0..200 {
        put(&mut log, &[("a", Some(&format!("{round}")))]);
    }
    let before = log.view();
    let mut checkpoint = 0;
    let done = compact(&mut log, &mut checkpoint, 0).unwrap();
    assert!(done.bytes_written < done.bytes_read / 50 && done.keys == 1);
    for offset in 0..200 {
        let slice = before.read(offset, 1, 200, true).unwrap().unwrap();
        let found = batches(&slice.read_all().unwrap()).next().unwrap().unwrap();
        assert_eq!(found.header.base_offset, offset);
        let found = log.view().read(offset, 1, 200, true).unwrap().unwrap();
        assert_eq!(batches(&found.read_all().unwrap()).next().unwrap().unwrap().header.base_offset, 199);
    }
    // What became small is put together the next time.
    put(&mut log, &[("a", Some("last"))]);
    compact(&mut log, &mut checkpoint, 0).unwrap();
    assert_eq!((log.view().segments().len(), records(&log)), (2, vec!["200:a=last".to_owned()]));
}

#[test]
fn a_batch_larger_than_the_buffer_is_cleaned() {
    let large = "x".repeat(50_000);
    let config = LogConfig { segment_bytes: 1 << 20, ..compacted() };
    let mut log = open(&SimDisk::new(1), options(config));
    put(&mut log, &[("a", Some("1")), ("b", Some(&large))]);
    put(&mut log, &[("a", Some("2"))]);
    let mut checkpoint = 0;
    compact(&mut log, &mut checkpoint, 0).unwrap();
    assert_eq!(records(&log), [format!("1:b={large}"), "2:a=2".to_owned()]);
}

#[test]
fn a_small_dedupe_buffer_takes_several_cleanings() {
    let mut log = open(&SimDisk::new(1), options(compacted()));
    for round in 0..300 {
        put(&mut log, &[(&format!("{}", round % 100), Some(&format!("{round}")))]);
    }
    let (mut checkpoint, mut cleanings) = (0, 0);
    let settings = CleanerSettings { dedupe_bytes: 12 * 40, ..SETTINGS };
    while checkpoint < 300 {
        let done = compact_with(&mut log, &mut checkpoint, 0, &settings).unwrap();
        assert!(done.keys <= 36);
        cleanings += 1;
    }
    assert!(cleanings > 3);
    let expected: Vec<String> = (200..300).map(|round| format!("{round}:{}={round}", round - 200)).collect();
    assert_eq!(records(&log), expected);
}

#[test]
fn a_damaged_batch_ends_the_cleaning_and_leaves_the_log() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options(compacted()));
    for _ in 0..100 {
        put(&mut log, &[("a", Some("1"))]);
    }
    log.roll(0).unwrap();
    disk.flip_bit(&std::path::Path::new(DIR).join("00000000000000000000.log"), 1000, 3).unwrap();
    let size = log.size();
    let mut checkpoint = 0;
    assert!(matches!(compact(&mut log, &mut checkpoint, 0), Err(CleanError::Corrupt { base_offset: 0, .. })));
    assert_eq!(log.size(), size);
    let left = disk.list(std::path::Path::new(DIR)).unwrap();
    assert!(left.iter().all(|entry| !entry.name.ends_with(".cleaned")));
}

#[test]
fn a_log_that_was_deleted_meanwhile_is_left_alone() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options(LogConfig { cleanup_delete: true, retention_ms: 0, ..compacted() }));
    for _ in 0..100 {
        put(&mut log, &[("a", Some("1"))]);
    }
    flush(&mut log).unwrap();
    let range = log.cleanable(None, 0).unwrap();
    let cleaning = log.start_cleaning(range, 0);
    log.delete_retention(1_000_000).unwrap();
    let cleaned = clean(&cleaning, &SETTINGS, &mut Unpaced, &mut |cleaned| log.swap_in(cleaned).map(drop));
    assert!(matches!(cleaned, Err(CleanError::Aborted)));
    assert_eq!((log.log_start_offset(), log.size()), (100, 0));
}

#[test]
fn lags_and_the_dirty_ratio_decide_when_it_is_due() {
    let config = LogConfig {
        min_compaction_lag_ms: 100,
        max_compaction_lag_ms: 500,
        min_cleanable_dirty_ratio: 0.5,
        segment_bytes: 200,
        ..compacted()
    };
    let mut log = open(&SimDisk::new(1), options(config.clone()));
    for at in 0..10 {
        append(&mut log, &keyed(BatchSettings::default(), &[("a", Some("1"))], 1000 + at * 10)).unwrap();
    }
    flush(&mut log).unwrap();
    let at = |checkpoint, now_ms| log.cleanable(Some(checkpoint), now_ms).unwrap();
    let due = |cleanable: Cleanable| cleanable.is_due(&config);
    assert_eq!(at(0, 1100).first_uncleanable, 0);
    assert!(!due(at(0, 1100)));
    let some = at(0, 1145);
    assert!(some.first_uncleanable > 2 && some.first_uncleanable < 8 && due(some));
    assert!(at(6, 1300).ratio() < 0.5 && !due(at(6, 1300)));
    assert!(at(6, 1600).delay_ms > 0 && due(at(6, 1600)));
    assert!(at(99, 1600).checkpoint_is_off && at(99, 1600).first_dirty == 0);
}

#[test]
fn an_unfinished_swap_is_undone_or_completed() {
    for name in ["00000000000000000000.log", "00000000000000000000.index"] {
        let disk = SimDisk::new(1);
        let dir = std::path::Path::new(DIR);
        let mut log = open(&disk, options(compacted()));
        for round in 0..100 {
            put(&mut log, &[("a", Some(&format!("{round}")))]);
        }
        let mut checkpoint = 0;
        compact(&mut log, &mut checkpoint, 0).unwrap();
        let kept = records(&log);
        log.close().unwrap();
        drop(log);
        // As if it had stopped between the last renames.
        disk.rename(&dir.join(name), &dir.join(format!("{name}.swap"))).unwrap();
        let again = open(&disk, OpenOptions { clean_shutdown: true, ..options(compacted()) });
        assert_eq!(records(&again), kept);
        drop(again);
        disk.write_atomically(&dir.join("00000000000000000000.index.cleaned"), b"").unwrap();
        disk.write_atomically(&dir.join("00000000000000000000.log.swap"), b"half").unwrap();
        let again = open(&disk, OpenOptions { clean_shutdown: true, ..options(compacted()) });
        assert_eq!(records(&again), kept);
        let names = disk.list(dir).unwrap();
        assert!(names.iter().all(|entry| !entry.name.ends_with(".cleaned") && !entry.name.ends_with(".swap")));
    }
}

#[test]
fn keys_in_old_formats_are_converted() {
    // A v1 message: offset, size, crc, magic, attributes, timestamp, key, value.
    let message = |offset: i64, key: &[u8], value: &[u8]| {
        let mut body = vec![1, 0];
        body.extend_from_slice(&7i64.to_be_bytes());
        for part in [key, value] {
            body.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            body.extend_from_slice(part);
        }
        let crc = crc_fast::crc32_iso_hdlc(&body);
        let mut bytes = offset.to_be_bytes().to_vec();
        bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    };
    let disk = SimDisk::new(1);
    disk.create_dir(std::path::Path::new(DIR)).unwrap();
    let content = [message(0, b"a", b"1"), message(1, b"b", b"2"), message(2, b"a", b"3")].concat();
    disk.write_atomically(&std::path::Path::new(DIR).join("00000000000000000000.log"), &content).unwrap();
    let mut log = open(&disk, options(compacted()));
    log.set_high_watermark(3);
    let mut checkpoint = 0;
    compact(&mut log, &mut checkpoint, 0).unwrap();
    assert_eq!(records(&log), ["1:b=2", "2:a=3"]);
    assert!(all_batches(&log).iter().all(|batch| batch.header.magic == 2));
    let disk: Arc<dyn Disk> = Arc::new(disk);
    drop(log);
    assert_eq!(Log::open(disk, options(compacted())).unwrap().log_end_offset(), 3);
}
