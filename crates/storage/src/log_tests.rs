//! Appends, rolls, reads and retention of one log.

use std::path::PathBuf;

use platform::{Disk, Fault, SimDisk};
use protocol::ErrorCode;
use protocol::record::{BatchBuilder, BatchSettings};

use super::*;
use crate::recovery::OpenOptions;

pub(crate) const DIR: &str = "/data/t-0";

/// A batch of `count` records of `size` bytes with this timestamp.
pub(crate) fn batch(count: i32, size: usize, timestamp: TimestampMs) -> ValidBatch {
    batch_with(BatchSettings::default(), count, size, timestamp)
}

pub(crate) fn batch_with(settings: BatchSettings, count: i32, size: usize, timestamp: TimestampMs) -> ValidBatch {
    let mut builder = BatchBuilder::new(settings);
    for at in 0..count {
        builder.append(timestamp + i64::from(at), None, Some(&vec![b'x'; size]), &[]);
    }
    let bytes = builder.build();
    let header = BatchHeader::parse(&bytes).unwrap();
    ValidBatch { bytes, header }
}

pub(crate) fn options(config: LogConfig) -> OpenOptions {
    OpenOptions { config: Arc::new(config), ..OpenOptions::new(PathBuf::from(DIR), TopicPartition::new("t", 0)) }
}

pub(crate) fn open(disk: &SimDisk, options: OpenOptions) -> Log {
    Log::open(Arc::new(disk.clone()), options).unwrap()
}

pub(crate) fn append(log: &mut Log, batch: &ValidBatch) -> Result<AppendResult, AppendError> {
    log.append_as_leader(&AppendRequest { batch, leader_epoch: 1, now_ms: 0 })
}

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() }
}

/// A log of 50 batches of two records with timestamps 0, 10, 20 ..., a few in each segment.
fn filled(disk: &SimDisk) -> Log {
    let mut log = open(disk, options(small_segments()));
    for at in 0..50 {
        append(&mut log, &batch(2, 10, at * 10)).unwrap();
    }
    log.set_high_watermark(100);
    log
}

fn offsets(slice: &crate::FileSlice) -> Vec<Offset> {
    batches(&slice.read_all().unwrap()).map_while(Result::ok).map(|batch| batch.header.base_offset).collect()
}

#[test]
fn every_offset_is_read_from_the_batch_that_holds_it() {
    let log = filled(&SimDisk::new(1));
    let view = log.view();
    assert!(view.segments().len() > 3);
    for offset in 0..100 {
        let slice = view.read(offset, 1, 100, true).unwrap().unwrap();
        assert_eq!(offsets(&slice), [offset / 2 * 2]);
    }
    assert!(view.read(100, 1000, 100, true).unwrap().is_none());
    for outside in [-1, 101] {
        assert_eq!(view.read(outside, 1000, 100, true).unwrap_err().code(), ErrorCode::OffsetOutOfRange);
    }
}

#[test]
fn a_read_stays_below_its_bound_and_size() {
    let log = filled(&SimDisk::new(1));
    let view = log.view();
    let first = view.segments()[1].base_offset();
    assert_eq!(offsets(&view.read(0, u32::MAX, 5, true).unwrap().unwrap()), [0, 2]);
    assert_eq!(offsets(&view.read(0, u32::MAX, first, true).unwrap().unwrap()).last(), Some(&(first - 2)));
    assert!(view.read(4, u32::MAX, 4, true).unwrap().is_none());
    assert!(view.read(0, 0, 100, false).unwrap().is_none());
    assert_eq!(view.read(0, 20, 100, false).unwrap().unwrap().len, 20);
    let last = view.segments().last().unwrap().base_offset();
    let slice = view.read(last, 250, 100, true).unwrap().unwrap();
    assert!(slice.len <= 250 && offsets(&slice).len() as u32 * slice.len / 2 > 0);
}

#[test]
fn the_newest_batches_are_read_without_a_scan_of_headers() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options(LogConfig::default()));
    for _ in 0..200 {
        append(&mut log, &batch(1, 10, 0)).unwrap();
    }
    log.set_high_watermark(150);
    let view = log.view();
    assert_eq!(
        offsets(&view.read(140, u32::MAX, view.high_watermark, true).unwrap().unwrap()),
        (140..150).collect::<Vec<_>>()
    );
    assert_eq!(offsets(&view.read(3, 1, view.high_watermark, true).unwrap().unwrap()), [3]);
}

#[test]
fn an_old_view_does_not_see_what_came_later() {
    let disk = SimDisk::new(1);
    let mut log = filled(&disk);
    let view = log.view();
    append(&mut log, &batch(3, 10, 0)).unwrap();
    assert!(view.read(100, 1000, Offset::MAX, true).unwrap().is_none());
    assert_eq!(
        log.view().read(100, 1000, Offset::MAX, true).unwrap().unwrap().len as usize,
        batch(3, 10, 0).bytes.len()
    );
}

#[test]
fn records_are_found_by_time() {
    let log = filled(&SimDisk::new(1));
    let view = log.view();
    for (timestamp, offset) in [(-5, 0), (0, 0), (1, 1), (2, 2), (250, 50), (251, 51), (252, 52), (491, 99)] {
        assert_eq!(
            view.offset_for_timestamp(timestamp).unwrap().map(|found| found.offset),
            Some(offset),
            "{timestamp}"
        );
    }
    assert_eq!(view.offset_for_timestamp(492).unwrap(), None);
    assert_eq!(view.max_timestamp().unwrap().map(|found| (found.timestamp, found.offset)), Some((491, 99)));
    let empty = open(&SimDisk::new(1), options(small_segments()));
    assert_eq!(empty.view().max_timestamp().unwrap(), None);
}

#[test]
fn base_offset_and_epoch_are_set_and_the_checksum_stays_good() {
    let disk = SimDisk::new(1);
    let mut log = filled(&disk);
    let result = log.append_as_leader(&AppendRequest { batch: &batch(3, 10, 7), leader_epoch: 5, now_ms: 0 }).unwrap();
    assert_eq!((result.first_offset, result.last_offset, result.log_append_time), (100, 102, -1));
    let bytes = log.view().read(100, 1000, 103, true).unwrap().unwrap().read_all().unwrap();
    let written = Batch::parse(&bytes).unwrap();
    written.verify_crc().unwrap();
    assert_eq!((written.header.base_offset, written.header.partition_leader_epoch), (100, 5));
    assert_eq!(log.end_offset_for_epoch(1), Some((1, 100)));
    assert_eq!(log.epoch_for_offset(100), Some(5));
    assert!(matches!(append(&mut log, &batch(1, 1, 0)), Err(AppendError::StaleLeaderEpoch { got: 1, current: 5 })));
}

#[test]
fn a_repeated_batch_is_answered_with_its_first_offsets() {
    let disk = SimDisk::new(1);
    let mut log = filled(&disk);
    let settings = BatchSettings { producer_id: 9, producer_epoch: 0, base_sequence: 0, ..BatchSettings::default() };
    let sent = batch_with(settings, 3, 10, 0);
    let first = append(&mut log, &sent).unwrap();
    append(&mut log, &batch(1, 1, 0)).unwrap();
    let again = append(&mut log, &sent).unwrap();
    assert_eq!((again.first_offset, again.last_offset, again.duplicate), (first.first_offset, first.last_offset, true));
    assert_eq!(log.log_end_offset(), 104);
    assert_eq!(log.producer_states()[0].last_sequence, 2);
}

#[test]
fn a_follower_takes_over_what_its_leader_has() {
    let leader = filled(&SimDisk::new(1));
    let mut follower = open(&SimDisk::new(2), options(LogConfig::default()));
    let mut bytes = leader.view().read(0, u32::MAX, 100, true).unwrap().unwrap().read_all().unwrap();
    bytes.truncate(bytes.len() - 1);
    let result = follower.append_as_follower(&bytes, 0).unwrap();
    assert_eq!(result.first_offset, 0);
    let end = follower.log_end_offset();
    let rest = leader.view().read(end, u32::MAX, 100, true).unwrap().unwrap().read_all().unwrap();
    follower.append_as_follower(&rest, 0).unwrap();
    assert!(matches!(follower.append_as_follower(&rest, 0), Err(AppendError::UnexpectedOffset { .. })));
    assert_eq!(follower.end_offset_for_epoch(1), Some((1, follower.log_end_offset())));
}

#[test]
fn a_full_disk_refuses_appends_and_serves_reads() {
    let disk = SimDisk::new(1);
    let mut log = filled(&disk);
    disk.set_fault(Fault::Full);
    assert_eq!(append(&mut log, &batch(1, 10, 0)).unwrap_err().code(), ErrorCode::KafkaStorageError);
    assert_eq!(offsets(&log.view().read(98, 1000, 100, true).unwrap().unwrap()), [98]);
    assert_eq!(log.log_end_offset(), 100);
}

#[test]
fn a_segment_rolls_by_size_time_and_index() {
    let count = |config: LogConfig, step: i64| {
        let mut log = open(&SimDisk::new(1), options(config));
        for at in 0..10 {
            append(&mut log, &batch(1, 100, at * step)).unwrap();
        }
        log.view().segments().len()
    };
    assert_eq!(count(LogConfig::default(), 1), 1);
    assert_eq!(count(LogConfig { segment_bytes: 400, ..LogConfig::default() }, 1), 5);
    assert_eq!(count(LogConfig { segment_ms: 100, ..LogConfig::default() }, 50), 4);
    let full = LogConfig { index_interval_bytes: 0, segment_index_bytes: 24, ..LogConfig::default() };
    assert!(count(full, 1) > 2);
    let mut log = open(&SimDisk::new(1), options(LogConfig { segment_bytes: 400, ..LogConfig::default() }));
    assert_eq!(append(&mut log, &batch(1, 400, 0)).unwrap_err().code(), ErrorCode::RecordListTooLarge);
}

#[test]
fn truncation_leaves_a_log_that_goes_on() {
    for cut in [1, 13, 50, 98, 99] {
        let disk = SimDisk::new(1);
        let mut log = filled(&disk);
        log.truncate_to(cut).unwrap();
        assert_eq!((log.log_end_offset(), log.high_watermark()), (cut, cut));
        let found = log.view().max_timestamp().unwrap().map(|found| found.timestamp);
        assert_eq!(found, (cut / 2 * 10 - 9 >= 0).then_some(cut / 2 * 10 - 9), "cut {cut}");
        append(&mut log, &batch(1, 10, 5)).unwrap();
        log.set_high_watermark(cut + 1);
        assert_eq!(offsets(&log.view().read(cut, 1000, cut + 1, true).unwrap().unwrap()), [cut]);
        log.close().unwrap();
        drop(log);
        let again = open(&disk, OpenOptions { clean_shutdown: true, ..options(small_segments()) });
        assert_eq!(again.log_end_offset(), cut + 1);
    }
    let mut log = filled(&SimDisk::new(1));
    log.truncate_fully_and_start_at(500).unwrap();
    append(&mut log, &batch(1, 10, 5)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.view().segments().len()), (500, 501, 1));
}

#[test]
fn segments_go_by_time_size_and_start_offset() {
    let disk = SimDisk::new(1);
    let remaining = |config: LogConfig, now_ms: i64, start: Offset| {
        let disk = disk.clone();
        disk.remove_dir_all(std::path::Path::new("/data")).ok();
        let mut log = filled(&disk);
        log.set_config(Arc::new(config));
        log.delete_records(start).unwrap();
        let removed = log.delete_retention(now_ms).unwrap();
        assert!(removed.into_iter().all(|path| path.to_str().unwrap().ends_with(".deleted") && disk.exists(&path)));
        (log.log_start_offset(), log.size(), log.view().read(99, 1, 100, true).is_ok())
    };
    let all = filled(&SimDisk::new(1)).size();
    let keep = LogConfig { retention_ms: -1, ..LogConfig::default() };
    assert_eq!(remaining(keep.clone(), i64::MAX, 0), (0, all, true));
    assert_eq!(remaining(LogConfig { retention_ms: 100, ..LogConfig::default() }, 10_000, 0), (100, 0, false));
    let (start, size, _) = remaining(LogConfig { retention_bytes: 2000, ..keep.clone() }, 0, 0);
    assert!(start > 0 && (2000..3000).contains(&size));
    let (start, size, _) = remaining(keep, 0, 33);
    assert!(start == 33 && size < all);
}

#[test]
fn records_that_are_not_committed_outlive_retention() {
    let mut log = filled(&SimDisk::new(1));
    log.set_high_watermark(10);
    log.set_config(Arc::new(LogConfig { retention_ms: 0, ..LogConfig::default() }));
    log.delete_retention(100_000).unwrap();
    assert!(log.log_start_offset() <= 10);
    assert!(log.view().read(10, 1000, 100, true).unwrap().is_some());
}

#[test]
fn a_deleted_log_is_still_read_by_those_who_have_it() {
    let disk = SimDisk::new(1);
    let mut log = filled(&disk);
    let view = log.view();
    log.move_to(std::path::Path::new("/data/t-0.1-delete")).unwrap();
    assert_eq!(offsets(&view.read(0, 1, 100, true).unwrap().unwrap()), [0]);
    assert!(append(&mut log, &batch(1, 1, 0)).is_err());
    assert!(!disk.exists(std::path::Path::new(DIR)));
}

#[test]
fn a_failed_disk_takes_the_log_offline() {
    for fault in [Fault::Broken, Fault::ReadOnly] {
        let disk = SimDisk::new(1);
        let mut log = filled(&disk);
        disk.set_fault(fault);
        assert_eq!(append(&mut log, &batch(1, 10, 0)).unwrap_err().code(), ErrorCode::KafkaStorageError);
        assert!(log.is_offline());
        disk.set_fault(Fault::None);
        assert!(matches!(append(&mut log, &batch(1, 10, 0)), Err(AppendError::Storage(StorageError::Offline))));
    }
}
