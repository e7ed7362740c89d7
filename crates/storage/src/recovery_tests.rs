use platform::SimDisk;

use super::*;
use crate::log::tests::{append, batch, open, options};

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
