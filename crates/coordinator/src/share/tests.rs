//! Claims about one shard of the share coordinator.

use std::sync::Arc;

use metadata::{ClusterImage, ImageDelta, VersionedRecord};
use protocol::messages::{PartitionRecord, RemoveTopicRecord, TopicRecord};
use protocol::types::Offset;
use protocol::{ErrorCode, Uuid};

use super::*;
use crate::runtime::StateMachine;
use crate::runtime::effects::{CoordinatorRecord, Effects, ReplyToken};

type Out = Effects<ShareResponse, ShareAction>;

const TOPIC: Uuid = Uuid::from_bytes([7; 16]);

fn key(group: &str) -> ShareKey {
    ShareKey { group_id: group.into(), topic_id: TOPIC, partition: 0 }
}

fn image() -> ClusterImage {
    let topic = TopicRecord { name: "t".to_owned(), topic_id: TOPIC, ..Default::default() };
    let partition = PartitionRecord {
        topic_id: TOPIC,
        partition_id: 0,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        ..Default::default()
    };
    let mut image = ClusterImage::default();
    for record in [VersionedRecord::new(topic, 0), VersionedRecord::new(partition, 2)] {
        image.apply(&record.record, &mut ImageDelta::default()).expect("applies");
    }
    image
}

struct World {
    shard: ShareShard,
    log: Vec<CoordinatorRecord>,
    actions: Vec<ShareAction>,
    now_ms: i64,
}

impl World {
    fn new() -> Self {
        let mut world = Self { shard: Self::shard(), log: Vec::new(), actions: Vec::new(), now_ms: 1_000 };
        world.load();
        world
    }

    fn shard() -> ShareShard {
        ShareShard::new(ShareConfig { updates_per_snapshot: 3, cold_snapshot_interval_ms: 500, prune_interval_ms: 700 })
    }

    fn load(&mut self) {
        self.shard = Self::shard();
        for (offset, record) in (0..).zip(&self.log) {
            self.shard.replay(0, offset, None, (Some(&record.key), record.value.as_ref())).expect("reads");
        }
        self.shard.loaded(self.now_ms, &Arc::new(image()), &mut Out::default());
    }

    /// Calls the shard, and commits what it writes.
    fn call(&mut self, act: impl FnOnce(&mut ShareShard, i64, &mut Out)) -> Option<ShareResponse> {
        let mut out = Out::default();
        act(&mut self.shard, self.now_ms, &mut out);
        for write in std::mem::take(&mut out.writes) {
            assert!(out.replies.is_empty(), "answered before it was written");
            let base_offset = self.log.len() as Offset;
            self.log.extend(write.records);
            self.shard.complete_write(self.now_ms, write.id, Ok(base_offset), &mut out);
        }
        self.actions.append(&mut out.actions);
        out.replies.pop().map(|(_, response)| response)
    }

    fn initialize(&mut self, key: &ShareKey, state_epoch: i32, start_offset: Offset) -> ShareResponse {
        let token = ReplyToken(1);
        self.call(|shard, now_ms, out| shard.initialize(now_ms, key, (state_epoch, start_offset), token, out))
            .expect("answers")
    }

    fn write(
        &mut self,
        key: &ShareKey,
        (first_offset, last_offset): (Offset, Offset),
        start_offset: Offset,
    ) -> ShareResponse {
        let batch = StateBatch { first_offset, last_offset, delivery_state: 2, delivery_count: 1 };
        let write = ShareWrite {
            state_epoch: 1,
            leader_epoch: 0,
            start_offset,
            delivery_complete_count: 0,
            state_batches: vec![batch],
        };
        self.call(|shard, now_ms, out| shard.write(now_ms, key, &write, ReplyToken(1), out)).expect("answers")
    }

    fn read(&mut self, key: &ShareKey, leader_epoch: i32) -> ShareResponse {
        self.call(|shard, now_ms, out| shard.read(now_ms, key, leader_epoch, ReplyToken(1), out)).expect("answers")
    }

    fn tick(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        self.call(|shard, now_ms, out| shard.tick(now_ms, out));
    }
}

#[test]
fn a_shard_that_is_loaded_again_knows_the_same() {
    let mut world = World::new();
    world.initialize(&key("g"), 1, 5).expect("initializes");
    for first in 0..10 {
        world.write(&key("g"), (10 + 2 * first, 10 + 2 * first), 5 + first).expect("writes");
    }
    let before = world.shard.state(&key("g")).cloned().expect("known");
    assert_eq!((before.start_offset, before.snapshot_epoch), (14, 2));
    assert_eq!(before.state_batches.first().map(|batch| batch.first_offset), Some(14));
    world.load();
    assert_eq!(world.shard.state(&key("g")), Some(&before));
}

#[test]
fn what_nobody_initialized_is_neither_read_nor_written() {
    let mut world = World::new();
    assert_eq!(world.read(&key("g"), 0), Err(ShareError::ReadUninitialized));
    assert_eq!(world.write(&key("g"), (0, 1), 0), Err(ShareError::WriteUninitialized));
    let elsewhere = ShareKey { partition: 1, ..key("g") };
    assert_eq!(world.initialize(&elsewhere, 1, 0), Err(ShareError::UnknownPartition));
    let nowhere = ShareKey { partition: -1, ..key("g") };
    assert_eq!(world.initialize(&nowhere, 1, 0), Err(ShareError::NegativePartition));
}

#[test]
fn later_leaders_and_states_fence_earlier_ones() {
    let mut world = World::new();
    world.initialize(&key("g"), 1, 0).expect("initializes");
    world.read(&key("g"), 3).expect("reads");
    assert_eq!(world.read(&key("g"), 2), Err(ShareError::FencedLeaderEpoch));
    assert_eq!(world.write(&key("g"), (0, 1), 0), Err(ShareError::FencedLeaderEpoch));
    world.initialize(&key("g"), 4, 0).expect("initializes again");
    assert_eq!(world.initialize(&key("g"), 3, 0), Err(ShareError::FencedStateEpoch));
    world.load();
    assert_eq!(world.initialize(&key("g"), 3, 0), Err(ShareError::FencedStateEpoch));
    assert_eq!(world.read(&key("g"), 2), Err(ShareError::FencedLeaderEpoch));
}

#[test]
fn a_deleted_share_partition_is_as_if_it_had_never_been() {
    let mut world = World::new();
    world.initialize(&key("g"), 1, 0).expect("initializes");
    let deleted = world.call(|shard, _, out| shard.delete(&key("g"), ReplyToken(1), out));
    assert_eq!(deleted, Some(Ok(ShareAnswer::Done)));
    assert_eq!(world.read(&key("g"), 0), Err(ShareError::ReadUninitialized));
    let summary = world.call(|shard, _, out| shard.summarize(&key("g"), ReplyToken(1), out));
    let nothing = ShareSummary { state_epoch: 0, leader_epoch: 0, start_offset: -1, delivery_complete_count: -1 };
    assert_eq!(summary, Some(Ok(ShareAnswer::Summary(nothing))));
}

#[test]
fn share_partitions_go_with_their_topic() {
    let mut world = World::new();
    world.initialize(&key("g"), 1, 0).expect("initializes");
    let (mut image, mut delta) = (image(), ImageDelta::default());
    let removed = VersionedRecord::new(RemoveTopicRecord { topic_id: TOPIC, ..Default::default() }, 0);
    image.apply(&removed.record, &mut delta).expect("applies");
    world.call(|shard, now_ms, out| shard.metadata_changed(now_ms, &Arc::new(image), &delta, out));
    assert_eq!(world.shard.state(&key("g")), None);
    assert_eq!(world.log.last().map(|record| record.value.is_none()), Some(true));
}

#[test]
fn old_snapshots_are_written_again_so_that_the_log_can_be_cut() {
    let mut world = World::new();
    world.initialize(&key("cold"), 1, 0).expect("initializes");
    world.initialize(&key("hot"), 1, 0).expect("initializes");
    for first in 0..8 {
        world.write(&key("hot"), (first, first), first).expect("writes");
    }
    assert_eq!(world.log.len(), 10);
    world.tick(1_500);
    assert_eq!(world.log.len(), 12);
    world.tick(1_700);
    assert!(matches!(world.actions.as_slice(), [ShareAction::DeleteRecords { below: 10, .. }]));
    world.tick(2_400);
    assert_eq!(world.actions.len(), 1);
}

#[test]
fn a_refused_write_refuses_those_behind_it_and_reloads() {
    let mut world = World::new();
    world.initialize(&key("g"), 1, 0).expect("initializes");
    let write = ShareWrite {
        state_epoch: 1,
        leader_epoch: 0,
        start_offset: 3,
        delivery_complete_count: 0,
        state_batches: Vec::new(),
    };
    let mut out = Out::default();
    world.shard.write(0, &key("g"), &write, ReplyToken(1), &mut out);
    world.shard.summarize(&key("g"), ReplyToken(2), &mut out);
    assert!(out.replies.is_empty());
    let id = out.writes[0].id;
    world.shard.complete_write(0, id, Err(ErrorCode::NotEnoughReplicas), &mut out);
    let refused = Err(ShareError::Refused(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(out.replies, [(ReplyToken(1), refused.clone()), (ReplyToken(2), refused)]);
    assert!(out.reload);
}
