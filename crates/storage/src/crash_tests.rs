//! Whatever the moment of a crash: everything synced is there, what else is there was appended there, and the indexes
//! agree with the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use platform::{Disk, Random, SimDisk};
use protocol::record::{BatchSettings, batches};
use protocol::types::Offset;

use crate::config::LogConfig;
use crate::index_file::MemoryIndex;
use crate::log::tests::{batch_with, open, options};
use crate::log::{AppendRequest, Log};
use crate::offset_index::OffsetEntry;
use crate::recovery::OpenOptions;
use crate::time_index::TimeEntry;

const STEPS: u64 = 60;

/// What a log should hold.
#[derive(Default)]
struct Model {
    /// Batches by base offset as they are now.
    now: BTreeMap<Offset, Bytes>,
    /// Every batch that ever was at an offset.
    ever: Vec<(Offset, Bytes)>,
    /// All below is synced.
    synced: Offset,
    sequence: i32,
    timestamp: i64,
    epoch: i32,
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 2000, index_interval_bytes: 200, ..LogConfig::default() }
}

fn content(log: &Log) -> BTreeMap<Offset, Bytes> {
    let view = log.view();
    let mut found = BTreeMap::new();
    let mut at = view.log_start_offset;
    while at < view.log_end_offset {
        let slice = view.read(at, 1 << 20, view.log_end_offset, true).unwrap().unwrap();
        for batch in batches(&slice.read_all().unwrap()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            at = batch.header.next_offset();
            found.insert(batch.header.base_offset, batch.bytes);
        }
    }
    found
}

impl Model {
    /// One random step; an error if the disk has stopped.
    fn step(&mut self, log: &mut Log, random: &mut Random) -> Result<(), ()> {
        match random.below(20) {
            0..=12 => self.append(log, random),
            13..=15 => self.flush(log),
            16 => log.roll(0).map_err(drop),
            17 => {
                // Followers cut where an epoch starts, which is where a batch starts.
                let at = random.below(self.now.len() as u64 + 1);
                let Some(target) = self.now.keys().nth(usize::try_from(at).unwrap()).copied() else { return Ok(()) };
                // A truncation that fails half way has happened or has not.
                self.synced = self.synced.min(target);
                log.truncate_to(target).map_err(drop)?;
                self.now.split_off(&target);
                self.epoch += 1;
                Ok(())
            }
            18 => {
                log.set_high_watermark(log.log_end_offset());
                log.delete_records(log.log_start_offset() + 3).map_err(drop)
            }
            _ => log.delete_retention(0).and_then(crate::Removed::remove_now).map_err(drop),
        }
    }

    fn append(&mut self, log: &mut Log, random: &mut Random) -> Result<(), ()> {
        let count = i32::try_from(random.below(4)).unwrap() + 1;
        let settings = BatchSettings {
            producer_id: 5,
            producer_epoch: 0,
            base_sequence: self.sequence,
            ..BatchSettings::default()
        };
        let settings = if random.one_in(2) { settings } else { BatchSettings::default() };
        self.timestamp += random.below(9).cast_signed() - 2;
        let size = usize::try_from(random.below(300)).unwrap();
        let batch = batch_with(settings, count, size, self.timestamp);
        let base_offset = log.log_end_offset();
        let bytes: Bytes = {
            let (head, rest) = batch.place(base_offset, self.epoch);
            [&head, &rest[..]].concat().into()
        };
        // It may reach the disk even if the append fails.
        self.ever.push((base_offset, bytes.clone()));
        let request = AppendRequest { batch: &batch, leader_epoch: self.epoch, now_ms: 0 };
        match log.append_as_leader(&request) {
            Ok(result) if result.duplicate => Ok(()),
            Ok(result) => {
                assert_eq!(result.first_offset, base_offset);
                if batch.header.has_producer_id() {
                    self.sequence += count;
                }
                self.now.insert(base_offset, bytes);
                Ok(())
            }
            // After a truncation the log knows less of the producer than the producer does.
            Err(crate::AppendError::OutOfOrderSequence { last, .. }) => {
                self.sequence = last + 1;
                Ok(())
            }
            Err(_) => Err(()),
        }
    }

    fn flush(&mut self, log: &mut Log) -> Result<(), ()> {
        let end = log.log_end_offset();
        for unsynced in log.flush_files().map_err(drop)? {
            unsynced.sync_data().map_err(drop)?;
        }
        log.flushed(end);
        self.synced = end;
        Ok(())
    }

    fn check(&self, log: &Log) {
        let found = content(log);
        let start = log.log_start_offset();
        assert!(log.log_end_offset() >= self.synced, "{} of {} synced", log.log_end_offset(), self.synced);
        for (offset, bytes) in self.now.range(start.min(self.synced)..self.synced) {
            assert_eq!(found.get(offset), Some(bytes), "a synced batch at {offset}");
        }
        let mut expected = found.keys().next().copied().unwrap_or(start);
        for (offset, bytes) in &found {
            assert!(*offset == expected || *offset < start, "a hole before {offset}, {expected} expected");
            assert!(self.ever.contains(&(*offset, bytes.clone())), "a batch at {offset} that nobody appended");
            expected = batches(bytes).next().unwrap().unwrap().header.next_offset();
        }
    }
}

/// Every way to find a record finds it.
fn check_indexes(log: &Log) {
    let view = log.view();
    let mut largest = -1;
    for (base_offset, bytes) in content(log) {
        let header = batches(&bytes).next().unwrap().unwrap().header;
        for offset in base_offset.max(view.log_start_offset)..header.next_offset() {
            let slice = view.read(offset, 1, view.log_end_offset, true).unwrap().unwrap();
            assert_eq!(slice.read_all().unwrap(), bytes, "offset {offset}");
        }
        if header.max_timestamp > largest && base_offset >= view.log_start_offset {
            largest = header.max_timestamp;
            let found = view.offset_for_timestamp(largest).unwrap().unwrap();
            assert!(
                found.offset >= base_offset && found.offset < header.next_offset(),
                "timestamp {largest}: {found:?} {header:?}"
            );
        }
    }
}

/// The entries in the files name batches where they say.
fn check_index_files(log: &Log) {
    for segment in log.view().segments() {
        let mut positions = BTreeMap::new();
        let mut timestamps = BTreeMap::new();
        let visit = |header: &protocol::record::BatchHeader, position| {
            positions.insert(header.last_offset() - segment.base_offset(), position);
            timestamps.insert(header.last_offset() - segment.base_offset(), header.max_timestamp);
            true
        };
        segment.scan(0, segment.size(), visit).unwrap();
        let offsets = MemoryIndex::<OffsetEntry>::load(&log.place, segment.base_offset()).unwrap();
        for entry in offsets.entries() {
            assert_eq!(positions.get(&i64::from(entry.relative_offset)), Some(&u64::from(entry.position)));
        }
        let times = MemoryIndex::<TimeEntry>::load(&log.place, segment.base_offset()).unwrap();
        for entry in times.entries() {
            assert_eq!(timestamps.get(&i64::from(entry.relative_offset)), Some(&entry.timestamp));
        }
        assert!(times.entries().is_sorted_by(|one, two| one.timestamp < two.timestamp));
        let newest = times.entries().last().map(|entry| entry.timestamp);
        assert_eq!(newest, timestamps.values().max().copied(), "segment {}", segment.base_offset());
    }
}

fn crash_and_recover(seed: u64) {
    let mut random = Random::new(seed);
    let disk = SimDisk::new(seed);
    let mut model = Model { timestamp: 1000, ..Model::default() };
    // Two crashes: the second one meets what the first one left.
    for _ in 0..2 {
        let opened = OpenOptions { recovery_point: model.synced, ..options(config()) };
        let mut log = open(&disk, opened.clone());
        model.check(&log);
        model.now = content(&log);
        model.epoch = log.latest_epoch().unwrap_or(0).max(model.epoch) + 1;
        let mut steps = 0;
        disk.stop_after(random.below(150));
        while steps < STEPS && model.step(&mut log, &mut random).is_ok() {
            steps += 1;
        }
        drop(log);
        disk.crash();
    }
    let mut log = open(&disk, OpenOptions { recovery_point: model.synced, ..options(config()) });
    model.check(&log);
    check_indexes(&log);
    model.epoch += 1;
    model.append(&mut log, &mut random).unwrap();
    log.close().unwrap();
    check_index_files(&log);
    let (kept, producers, epoch) = (content(&log), log.producer_states(), log.latest_epoch());
    drop(log);
    disk.crash();
    let again = open(&disk, OpenOptions { clean_shutdown: true, ..options(config()) });
    // Without a checkpoint of the start offset the log starts with its first segment.
    assert!(kept.iter().all(|(offset, bytes)| content(&again).get(offset) == Some(bytes)));
    assert_eq!((again.producer_states(), again.latest_epoch()), (producers, epoch));
    check_indexes(&again);
}

#[test]
fn a_log_recovers_from_a_crash_at_any_write() {
    for seed in 0..1000 {
        let crashed = std::panic::catch_unwind(|| crash_and_recover(seed));
        assert!(crashed.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_crash_after_a_sync_loses_no_acknowledged_record() {
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let mut model = Model { timestamp: 1000, ..Model::default() };
        let mut random = Random::new(seed);
        let mut log = open(&disk, options(config()));
        disk.stop_after(seed);
        while model.append(&mut log, &mut random).is_ok() && model.flush(&mut log).is_ok() {}
        disk.crash();
        let log = open(&disk, OpenOptions { recovery_point: model.synced, ..options(config()) });
        model.check(&log);
        check_indexes(&log);
    }
}

#[test]
fn rotten_files_are_survived_and_never_served_after_a_crash() {
    for seed in 0..600 {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(seed);
        let mut model = Model { timestamp: 1000, ..Model::default() };
        let mut log = open(&disk, options(config()));
        for _ in 0..40 {
            model.append(&mut log, &mut random).unwrap();
        }
        log.close().unwrap();
        let dir = log.dir().to_owned();
        drop(log);
        let entries = disk.list(&dir).unwrap();
        for _ in 0..random.below(4) + 1 {
            let at = usize::try_from(random.below(entries.len() as u64)).unwrap();
            let path = dir.join(&entries[at].name);
            let len = disk.stat(&path).unwrap().len;
            let position = usize::try_from(random.below(len)).unwrap();
            disk.flip_bit(&path, position, u8::try_from(random.below(8)).unwrap()).unwrap();
        }
        let clean_shutdown = seed % 2 == 0;
        let opened = OpenOptions { clean_shutdown, ..options(config()) };
        let mut log = match Log::open(Arc::new(disk.clone()), opened) {
            Ok(log) => log,
            Err(error) => {
                assert_eq!(error.code(), protocol::ErrorCode::KafkaStorageError);
                continue;
            }
        };
        let view = log.view();
        for offset in 0..100 {
            drop(view.read(offset, 1000, view.log_end_offset, true));
            drop(view.offset_for_timestamp(1000 + offset));
        }
        if !clean_shutdown {
            check_indexes(&log);
            model.epoch = log.latest_epoch().unwrap_or(0).max(0);
            model.append(&mut log, &mut random).unwrap_or(());
        }
    }
}
