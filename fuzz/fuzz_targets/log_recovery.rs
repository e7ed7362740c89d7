//! The files of a log after a bad day: made up, or sound and then overwritten here and there. A log that opens after a
//! crash has only whole batches, and takes more. `cargo +nightly fuzz run log_recovery`.
#![no_main]

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use platform::{Disk, OpenMode, SimDisk};
use protocol::TopicPartition;
use protocol::record::{BatchBuilder, BatchHeader, BatchSettings, ValidBatch, batches};
use storage::{AppendRequest, Log, LogConfig, OpenOptions};

const DIR: &str = "/data/topic-0";
const OVERWRITE_SOUND: u8 = 1;
const AFTER_CRASH: u8 = 2;
const PIECE: u32 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    let disk = SimDisk::new(1);
    if mode & OVERWRITE_SOUND != 0 {
        fill(&disk);
        overwrite(&disk, data);
    } else {
        disk.create_dir(Path::new(DIR)).expect("a simulated disk");
        write(&disk, &Path::new(DIR).join("00000000000000000000.log"), data, 0);
    }
    let after_crash = mode & AFTER_CRASH != 0;
    let options = OpenOptions { clean_shutdown: !after_crash, ..options() };
    let Ok(mut log) = Log::open(Arc::new(disk), options) else {
        return;
    };
    let whole = read(&log);
    let end = log.log_end_offset();
    if after_crash {
        assert!(whole, "the log has damaged batches");
        let request = AppendRequest { batch: &batch(9, 0), leader_epoch: log.latest_epoch().unwrap_or(0), now_ms: 0 };
        if let Ok(appended) = log.append_as_leader(&request) {
            assert_eq!(appended.first_offset, end);
            assert!(read(&log));
        }
    }
});

fn options() -> OpenOptions {
    let config = LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() };
    OpenOptions { config: Arc::new(config), ..OpenOptions::new(PathBuf::from(DIR), TopicPartition::new("topic", 0)) }
}

fn batch(producer_id: i64, sequence: i32) -> ValidBatch {
    let settings =
        BatchSettings { producer_id, producer_epoch: 0, base_sequence: sequence, ..BatchSettings::default() };
    let mut builder = BatchBuilder::new(settings);
    builder.append(1000, None, Some(b"one"), &[]).append(1010, Some(b"key"), None, &[]);
    let bytes = builder.build();
    let header = BatchHeader::parse(&bytes).expect("it was built");
    ValidBatch { bytes, header }
}

/// Writes a log of several segments, as a broker that is killed leaves it.
fn fill(disk: &SimDisk) {
    let mut log = Log::open(Arc::new(disk.clone()), options()).expect("an empty directory");
    for at in 0..30 {
        let request = AppendRequest { batch: &batch(7, at * 2), leader_epoch: at / 10, now_ms: 0 };
        log.append_as_leader(&request).expect("sound batches");
    }
}

/// Each five bytes are a file, a position of two bytes, a byte for it, and whether the file is cut off there.
fn overwrite(disk: &SimDisk, data: &[u8]) {
    let mut files: Vec<PathBuf> = disk
        .list(Path::new(DIR))
        .expect("it was filled")
        .into_iter()
        .map(|entry| Path::new(DIR).join(entry.name))
        .collect();
    files.sort();
    for edit in data.chunks_exact(5).take(100) {
        let path = &files[usize::from(edit[0]) % files.len()];
        let position = u64::from(u16::from_be_bytes([edit[1], edit[2]])) % 1100;
        write(disk, path, &edit[3..4], position);
        if edit[4] == 0 {
            disk.open(path, OpenMode::Create).expect("it is there").truncate(position).expect("a simulated disk");
        }
    }
}

fn write(disk: &SimDisk, path: &Path, bytes: &[u8], position: u64) {
    let file = disk.open(path, OpenMode::Create).expect("a simulated disk");
    file.pwrite(&mut [IoSlice::new(bytes)], position).expect("a simulated disk");
}

/// Reads all, and tells whether all of it is whole and in order.
fn read(log: &Log) -> bool {
    let view = log.view();
    let mut offset = log.log_start_offset();
    while let Ok(Some(slice)) = view.read(offset, PIECE, i64::MAX, true) {
        let Ok(bytes) = slice.read_all() else {
            return false;
        };
        let before = offset;
        for batch in batches(&bytes) {
            let Ok(batch) = batch else {
                return false;
            };
            if batch.verify_crc().is_err() || batch.header.next_offset() <= offset {
                return false;
            }
            offset = batch.header.next_offset();
        }
        if offset == before {
            return false;
        }
    }
    offset == log.log_end_offset()
}
