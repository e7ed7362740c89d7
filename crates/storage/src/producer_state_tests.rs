//! Sequences, epochs and snapshots of producers.

use std::path::PathBuf;
use std::sync::Arc;

use platform::SimDisk;
use protocol::record::{BatchBuilder, BatchSettings};

use super::*;

fn header(producer_epoch: ProducerEpoch, base_sequence: Sequence, base_offset: Offset, count: i32) -> BatchHeader {
    let settings =
        BatchSettings { producer_id: 7, producer_epoch, base_sequence, base_offset, ..BatchSettings::default() };
    let mut builder = BatchBuilder::new(settings);
    for _ in 0..count {
        builder.append(5, None, Some(b"x"), &[]);
    }
    BatchHeader::parse(&builder.build()).unwrap()
}

fn transactional(base_sequence: Sequence, base_offset: Offset) -> BatchHeader {
    let mut header = header(0, base_sequence, base_offset, 1);
    header.attributes |= 0x10;
    header
}

fn append(producers: &mut Producers, header: &BatchHeader) -> Result<Option<Appended>, AppendError> {
    match producers.check(header, None, Origin::Client)? {
        Checked::Nothing => Ok(None),
        Checked::Duplicate(before) => Ok(Some(before)),
        Checked::Change(change) => {
            producers.apply(change);
            producers.set_end_offset(header.next_offset());
            Ok(None)
        }
    }
}

#[test]
fn a_repeated_batch_is_found_among_the_last_five() {
    let mut producers = Producers::default();
    for at in 0..6 {
        assert_eq!(append(&mut producers, &header(0, at * 2, i64::from(at) * 2, 2)).unwrap(), None);
    }
    let before = append(&mut producers, &header(0, 2, 99, 2)).unwrap().unwrap();
    assert_eq!((before.first_offset(), before.last_offset), (2, 3));
    let error = append(&mut producers, &header(0, 0, 99, 2)).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrderSequence { got: 0, last: 11, .. }));
}

#[test]
fn gaps_and_old_epochs_are_refused() {
    let mut producers = Producers::default();
    append(&mut producers, &header(3, 40, 0, 2)).unwrap();
    let gap = append(&mut producers, &header(3, 43, 2, 1)).unwrap_err();
    assert_eq!(gap.code(), protocol::ErrorCode::OutOfOrderSequenceNumber);
    let fenced = append(&mut producers, &header(2, 42, 2, 1)).unwrap_err();
    assert_eq!(fenced.code(), protocol::ErrorCode::InvalidProducerEpoch);
    assert!(append(&mut producers, &header(4, 1, 2, 1)).is_err(), "a new epoch starts at 0");
    append(&mut producers, &header(4, 0, 2, 1)).unwrap();
}

#[test]
fn sequences_wrap_to_zero() {
    let mut producers = Producers::default();
    append(&mut producers, &header(0, i32::MAX - 1, 0, 3)).unwrap();
    assert!(append(&mut producers, &header(0, i32::MAX - 1, 9, 3)).unwrap().is_some());
    append(&mut producers, &header(0, 1, 3, 1)).unwrap();
}

#[test]
fn a_transaction_is_unstable_until_its_marker_is_replicated() {
    let mut producers = Producers::default();
    append(&mut producers, &transactional(0, 10)).unwrap();
    append(&mut producers, &transactional(1, 11)).unwrap();
    assert_eq!(producers.first_unstable_offset(), Some(10));
    assert!(matches!(append(&mut producers, &header(0, 2, 12, 1)), Err(AppendError::InvalidTxnState { .. })));
    let mut end = transactional(-1, 12);
    end.attributes |= 0x20;
    let marker = Marker { aborts: true, coordinator_epoch: 4, timestamp: 6, raised: false };
    let Checked::Change(change) = producers.check(&end, Some(marker), Origin::Coordinator).unwrap() else { panic!() };
    let txn = producers.apply(change).unwrap();
    assert_eq!(txn, CompletedTxn { producer_id: 7, first_offset: 10, last_offset: 12, aborted: true });
    assert_eq!(producers.stable_after(&txn), 13);
    producers.complete(&txn);
    assert_eq!(producers.first_unstable_offset(), Some(10));
    producers.set_high_watermark(13);
    assert_eq!(producers.first_unstable_offset(), None);
    assert_eq!(producers.states()[0].coordinator_epoch, 4);
}

#[test]
fn a_snapshot_brings_the_state_back_and_a_damaged_one_is_passed_over() {
    let disk = SimDisk::new(1);
    let place = Place::new(Arc::new(disk.clone()), PathBuf::from("/"));
    let mut producers = Producers::default();
    append(&mut producers, &transactional(0, 10)).unwrap();
    producers.take_snapshot(&place).unwrap();
    append(&mut producers, &transactional(1, 11)).unwrap();
    producers.take_snapshot(&place).unwrap();
    let mut loaded = Producers::new(vec![11, 12]);
    loaded.load(&place, 0, 100).unwrap();
    assert_eq!((loaded.states(), loaded.end_offset()), (producers.states(), 12));
    assert_eq!(loaded.first_unstable_offset(), Some(10));
    disk.flip_bit(&place.path(FileKind::Snapshot, 12), 20, 3).unwrap();
    loaded.load(&place, 0, 100).unwrap();
    assert_eq!((loaded.end_offset(), loaded.states()[0].last_sequence), (11, 0));
    loaded.load(&place, 11, 100).unwrap();
    assert_eq!((loaded.end_offset(), loaded.states().len()), (11, 0));
}
