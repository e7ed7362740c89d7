//! Logs after a clean stop and after a crash.

use platform::{Fault, SimDisk};
use protocol::ErrorCode;
use protocol::messages::EndTxnMarker;
use protocol::record::{BatchBuilder, BatchHeader, BatchSettings, ControlRecord, ValidBatch};

use super::*;
use crate::log::AppendRequest;
use crate::log::tests::{append, batch, batch_with, open, options};

#[test]
fn a_closed_log_comes_back_without_a_scan() {
    let disk = SimDisk::new(1);
    let config = LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() };
    let mut log = open(&disk, OpenOptions { topic_id: Some(Uuid::from_bytes([1; 16])), ..options(config.clone()) });
    for at in 0..30 {
        append(&mut log, &batch(2, 10, at)).unwrap();
    }
    log.close().unwrap();
    disk.crash();
    let clean = OpenOptions { clean_shutdown: true, ..options(config) };
    let mut again = open(&disk, OpenOptions { topic_id: Some(Uuid::from_bytes([1; 16])), ..clean.clone() });
    assert_eq!((again.log_end_offset(), again.recovery_point(), again.latest_epoch()), (60, 60, Some(1)));
    assert_eq!(again.view().max_timestamp().unwrap().unwrap().offset, 59);
    append(&mut again, &batch(2, 10, 100)).unwrap();
    assert_eq!(
        again.view().read(60, 1, 62, true).unwrap().unwrap().read_all().unwrap().len(),
        batch(2, 10, 0).bytes.len()
    );
    let other = OpenOptions { topic_id: Some(Uuid::from_bytes([2; 16])), ..clean };
    assert!(matches!(Log::open(Arc::new(disk), other), Err(StorageError::InconsistentTopicId { .. })));
}

fn transactional(producer_id: i64, base_sequence: i32) -> ValidBatch {
    let settings = BatchSettings {
        producer_id,
        producer_epoch: 0,
        base_sequence,
        is_transactional: true,
        ..BatchSettings::default()
    };
    batch_with(settings, 2, 10, 5)
}

fn end(log: &mut Log, producer_id: i64, aborts: bool) {
    let end = EndTxnMarker { coordinator_epoch: 1 };
    let (key, value) = if aborts { ControlRecord::Abort(end) } else { ControlRecord::Commit(end) }.encode().unwrap();
    let mut builder = BatchBuilder::new(BatchSettings {
        producer_id,
        producer_epoch: 0,
        is_transactional: true,
        is_control: true,
        ..BatchSettings::default()
    });
    builder.append(9, Some(&key), Some(&value), &[]);
    let bytes = builder.build();
    let marker = ValidBatch { header: BatchHeader::parse(&bytes).unwrap(), bytes };
    log.append_as_coordinator(&AppendRequest { batch: &marker, leader_epoch: 1, now_ms: 0 }).unwrap();
}

/// Producer 1 aborts 0..2 at 4, producer 2 commits 2..4 at 5, producer 3 leaves 6..8 open.
fn with_transactions(disk: &SimDisk, config: &LogConfig) -> Log {
    let mut log = open(disk, options(config.clone()));
    append(&mut log, &transactional(1, 0)).unwrap();
    append(&mut log, &transactional(2, 0)).unwrap();
    end(&mut log, 1, true);
    end(&mut log, 2, false);
    append(&mut log, &transactional(3, 0)).unwrap();
    log
}

fn check_transactions(log: &mut Log) {
    log.set_high_watermark(8);
    let view = log.view();
    assert_eq!((view.high_watermark, view.last_stable_offset), (8, 6));
    let aborted = view.aborted_transactions(0, 6).unwrap();
    let [txn] = aborted.as_slice() else { panic!("{aborted:?}") };
    assert_eq!((txn.producer_id, txn.first_offset, txn.last_offset, txn.last_stable_offset), (1, 0, 4, 2));
    assert!(view.aborted_transactions(5, 6).unwrap().is_empty());
    let open: Vec<_> = log.producer_states().iter().map(|state| state.current_txn_first_offset).collect();
    assert_eq!(open, [None, None, Some(6)]);
}

#[test]
fn open_and_aborted_transactions_survive_a_crash_and_a_stop() {
    for segment_bytes in [1 << 20, 300] {
        let config = LogConfig { segment_bytes, ..LogConfig::default() };
        let disk = SimDisk::new(7);
        let mut log = with_transactions(&disk, &config);
        log.set_high_watermark(4);
        assert_eq!(log.view().last_stable_offset, 0, "a marker above the high watermark decides nothing yet");
        check_transactions(&mut log);
        for unsynced in log.flush_files().unwrap() {
            unsynced.sync_data().unwrap();
        }
        disk.crash();
        let mut recovered = open(&disk, options(config.clone()));
        check_transactions(&mut recovered);
        recovered.close().unwrap();
        let mut again = open(&disk, OpenOptions { clean_shutdown: true, ..options(config) });
        check_transactions(&mut again);
        end(&mut again, 3, true);
        again.set_high_watermark(9);
        assert_eq!(again.view().last_stable_offset, 9);
        assert_eq!(again.view().aborted_transactions(0, 9).unwrap().len(), 2);
        again.truncate_to(4).unwrap();
        assert_eq!(again.view().last_stable_offset, 0);
        assert!(again.view().aborted_transactions(0, 9).unwrap().is_empty());
    }
}

/// A message of format v1, as Kafka 0.10 wrote it.
fn message_v1(offset: i64, timestamp: i64, value: &[u8]) -> Vec<u8> {
    let mut body = vec![1, 0];
    body.extend_from_slice(&timestamp.to_be_bytes());
    body.extend_from_slice(&(-1i32).to_be_bytes());
    body.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
    body.extend_from_slice(value);
    let mut message = offset.to_be_bytes().to_vec();
    message.extend_from_slice(&i32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend_from_slice(&crc_fast::crc32_iso_hdlc(&body).to_be_bytes());
    message.extend_from_slice(&body);
    message
}

#[test]
fn messages_of_an_old_format_are_read_and_left_as_they_are() {
    let disk = SimDisk::new(1);
    let written: Vec<u8> = (0..40).flat_map(|offset| message_v1(offset, 100 + offset, b"old")).collect();
    let path = PathBuf::from("/data/t-0/00000000000000000000.log");
    disk.create_dir(path.parent().unwrap()).unwrap();
    disk.write_atomically(&path, &written).unwrap();
    let mut log = open(&disk, options(LogConfig { index_interval_bytes: 100, ..LogConfig::default() }));
    assert_eq!(log.log_end_offset(), 40);
    append(&mut log, &batch(1, 10, 500)).unwrap();
    let view = log.view();
    assert_eq!(view.offset_for_timestamp(117).unwrap().unwrap().offset, 17);
    let slice = view.read(17, 1, 41, true).unwrap().unwrap();
    assert_eq!(slice.read_all().unwrap(), message_v1(17, 117, b"old"));
    log.close().unwrap();
    assert!(disk.read(&path).unwrap().starts_with(&written));
}

#[test]
fn a_failed_sync_takes_the_log_offline_and_leaves_it_readable() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options(LogConfig { flush_interval_messages: 1, ..LogConfig::default() }));
    append(&mut log, &batch(1, 10, 0)).unwrap();
    assert!(log.is_flush_due());
    disk.set_fault(Fault::Broken);
    assert!(log.flush_files().unwrap().iter().any(|unsynced| unsynced.sync_data().is_err()));
    log.fail();
    disk.set_fault(Fault::None);
    assert_eq!(append(&mut log, &batch(1, 10, 0)).unwrap_err().code(), ErrorCode::KafkaStorageError);
    assert!(log.view().read(0, 1, 1, true).unwrap().is_some());
}

#[test]
fn a_disk_with_room_again_takes_appends_again() {
    let disk = SimDisk::new(1);
    let mut log = open(&disk, options(LogConfig::default()));
    append(&mut log, &batch(1, 10, 0)).unwrap();
    disk.set_fault(Fault::Full);
    assert_eq!(append(&mut log, &batch(1, 10, 0)).unwrap_err().code(), ErrorCode::KafkaStorageError);
    disk.set_fault(Fault::None);
    assert_eq!(append(&mut log, &batch(1, 10, 0)).unwrap().first_offset, 1);
}

#[test]
fn a_rotten_batch_ends_the_log_and_a_lost_index_is_made_again() {
    let disk = SimDisk::new(1);
    let config = LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() };
    let mut log = open(&disk, options(config.clone()));
    for at in 0..50 {
        append(&mut log, &batch(2, 10, at * 10)).unwrap();
    }
    log.close().unwrap();
    let bases: Vec<i64> = log.view().segments().iter().map(|segment| segment.base_offset()).collect();
    let name = |base: i64, suffix: &str| PathBuf::from(format!("/data/t-0/{base:020}{suffix}"));
    let kept = disk.read(&name(bases[1], ".index")).unwrap();
    disk.remove_file(&name(bases[1], ".index")).unwrap();
    let clean = OpenOptions { clean_shutdown: true, ..options(config.clone()) };
    assert_eq!(open(&disk, clean).log_end_offset(), 100);
    assert_eq!(disk.read(&name(bases[1], ".index")).unwrap(), kept);
    disk.flip_bit(&name(bases[2], ".log"), 150, 1).unwrap();
    let recovered = open(&disk, options(config));
    assert!((bases[2]..bases[3]).contains(&recovered.log_end_offset()));
    assert_eq!(recovered.view().segments().len(), 3);
    assert!(!disk.exists(&name(bases[3], ".log")));
}
