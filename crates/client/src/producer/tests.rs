//! The order, the sequences and the repetition of one partition's batches.

use std::time::Duration;

use bytes::Bytes;
use protocol::record::{Batch as RecordBatch, Compression};
use protocol::{ErrorCode, TopicPartition};
use tokio::time::Instant;

use super::batches::{Appended, Batch, BatchLimits, Identity, PartitionQueue, TakeContext, Taken, Wake};
use super::delivery::Written;
use super::{Delivery, Record};
use crate::ClientError;

const IDENTITY: Identity = Identity { producer_id: 7, epoch: 0 };

fn queue(batch_size: usize) -> PartitionQueue {
    let limits = BatchLimits {
        batch_size,
        linger: Duration::from_millis(5),
        delivery_timeout: Duration::from_secs(120),
        retries: 10,
        compression: Compression::None,
        compression_level: None,
        idempotence: true,
    };
    PartitionQueue::new(TopicPartition::new("t", 0), limits)
}

fn append_record(queue: &PartitionQueue, id: u64, value: &[u8]) -> (Delivery, Wake) {
    let record = Record { topic: "t", value: Some(value), ..Record::default() };
    match queue.append(&record, 1000, |_| true, || id) {
        Appended::Taken { delivery, wake, .. } => (delivery, wake),
        Appended::NeedsMemory(_) => panic!("there is memory"),
    }
}

fn append(queue: &PartitionQueue, id: u64, value: &[u8]) -> Wake {
    append_record(queue, id, value).1
}

fn deliver(queue: &PartitionQueue, id: u64, value: &[u8]) -> Delivery {
    append_record(queue, id, value).0
}

/// Three batches of one record each.
fn three_batches() -> PartitionQueue {
    let queue = queue(0);
    for id in 1..=3 {
        append(&queue, id, b"value");
    }
    queue
}

/// Three more after one that the broker has.
fn acknowledged_once() -> PartitionQueue {
    let queue = queue(0);
    append(&queue, 0, b"value");
    queue.acknowledged(&take(&queue));
    for id in 1..=3 {
        append(&queue, id, b"value");
    }
    queue
}

fn take_as(queue: &PartitionQueue, identity: Identity) -> Taken {
    let now = Instant::now() + Duration::from_secs(1);
    queue.take(TakeContext { now, force: false, identity: Some(identity), room: usize::MAX })
}

fn take(queue: &PartitionQueue) -> Batch {
    match take_as(queue, IDENTITY) {
        Taken::Batch(batch) => batch,
        other => panic!("no batch but {other:?}"),
    }
}

fn sequence(batch: &Batch) -> (i16, i32) {
    let parsed = RecordBatch::parse(&Bytes::copy_from_slice(&batch.bytes)).unwrap();
    parsed.verify_crc().unwrap();
    (parsed.header.producer_epoch, parsed.header.base_sequence)
}

fn fail(queue: &PartitionQueue, batch: Batch, code: ErrorCode) -> bool {
    queue.failed(batch, ClientError::broker(code), Instant::now(), Duration::ZERO).is_some()
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_its_linger_time_unless_it_is_full() {
    let queue = queue(1000);
    assert_eq!(append(&queue, 1, b"small"), Wake::Schedule);
    assert_eq!(append(&queue, 1, b"small"), Wake::No);
    let context = TakeContext { now: Instant::now(), force: false, identity: Some(IDENTITY), room: usize::MAX };
    assert!(matches!(queue.take(context), Taken::Later(_)));
    assert_eq!(append(&queue, 2, &[0; 900]), Wake::Yes);
    let Taken::Batch(batch) = queue.take(context) else { panic!("the first batch is closed") };
    assert_eq!(batch.id, 1);
    queue.acknowledged(&batch);
    assert!(matches!(queue.take(context), Taken::Later(_)));
    let forced = TakeContext { force: true, ..context };
    assert!(matches!(queue.take(forced), Taken::Batch(_)));
    assert!(matches!(queue.take(context), Taken::Empty));
    assert_eq!(append(&queue, 3, b"small"), Wake::Schedule);
}

#[tokio::test(start_paused = true)]
async fn failed_batches_are_repeated_one_by_one_in_order_with_their_sequences() {
    let queue = acknowledged_once();
    let (first, second) = (take(&queue), take(&queue));
    assert_eq!((sequence(&first), sequence(&second)), ((0, 1), (0, 2)));
    assert!(!fail(&queue, first, ErrorCode::NotLeaderOrFollower));
    assert!(matches!(take_as(&queue, IDENTITY), Taken::Blocked));
    assert!(!fail(&queue, second, ErrorCode::OutOfOrderSequenceNumber));
    let first = take(&queue);
    assert_eq!((first.id, sequence(&first)), (1, (0, 1)));
    assert!(matches!(take_as(&queue, IDENTITY), Taken::Blocked));
    queue.acknowledged(&first);
    let second = take(&queue);
    assert_eq!((second.id, sequence(&second)), (2, (0, 2)));
    queue.acknowledged(&second);
    assert_eq!(sequence(&take(&queue)), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_batch_given_up_restarts_the_sequences_in_the_next_epoch() {
    let queue = acknowledged_once();
    let (first, second) = (take(&queue), take(&queue));
    assert!(fail(&queue, first, ErrorCode::MessageTooLarge));
    let next = Identity { epoch: 1, ..IDENTITY };
    assert!(matches!(take_as(&queue, next), Taken::Blocked));
    assert!(!fail(&queue, second, ErrorCode::OutOfOrderSequenceNumber));
    let Taken::Batch(second) = take_as(&queue, next) else { panic!("the second batch is due") };
    assert_eq!((second.id, sequence(&second)), (2, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn nothing_overtakes_the_first_batch_of_a_producer() {
    let queue = three_batches();
    let first = take(&queue);
    assert!(matches!(take_as(&queue, IDENTITY), Taken::Blocked));
    queue.acknowledged(&first);
    assert_eq!(sequence(&take(&queue)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_sequence_refused_with_none_before_it_outstanding_is_given_up() {
    let queue = three_batches();
    let first = take(&queue);
    assert!(fail(&queue, first, ErrorCode::OutOfOrderSequenceNumber));
}

#[tokio::test(start_paused = true)]
async fn old_batches_expire() {
    let queue = three_batches();
    assert!(queue.expire(Instant::now()).is_empty());
    assert_eq!(queue.expire(Instant::now() + Duration::from_secs(121)).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_goes_in_halves_with_the_same_sequences() {
    let queue = queue(1000);
    let deliveries: Vec<Delivery> = (0..5u8).map(|value| deliver(&queue, 1, &[value])).collect();
    assert!(queue.split(take(&queue)).is_none());
    let mut base_offset = 100;
    for (first, count) in [(0, 2), (2, 3)] {
        let half = take(&queue);
        let parsed = RecordBatch::parse(&half.bytes).unwrap();
        let values: Vec<u8> = parsed.records().unwrap().map(|record| record.unwrap().value.unwrap()[0]).collect();
        assert_eq!((values, sequence(&half)), ((first..first + count).collect(), (0, i32::from(first))));
        assert!(!matches!(take_as(&queue, IDENTITY), Taken::Batch(_)), "halves go one by one");
        queue.acknowledged(&half);
        half.outcome.complete(Ok(Written { base_offset, log_append_time: -1 }));
        base_offset += 10;
    }
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.delivered().await.unwrap().offset);
    }
    assert_eq!(offsets, [100, 101, 110, 111, 112]);
    deliver(&queue, 2, b"alone");
    assert!(queue.split(take(&queue)).is_some());
}
