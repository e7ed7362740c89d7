//! Share groups as their members and administrators see them. Writes are committed at once; what share state is asked for
//! is answered by the test.

#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::{
    CoordinatorRecord, GroupConfig, GroupEffects, GroupResponse, GroupShard, ReplyToken, RequestContext,
    SharePartitions, TypeSettings,
};
use metadata::{ClusterImage, ImageDelta, MetadataRecord};
use protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use protocol::messages::{
    AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest, InitializeShareGroupStateRequest, ListGroupsRequest,
    PartitionRecord, RemoveTopicRecord, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse, TopicRecord,
};
use protocol::{ErrorCode, Uuid};

const TOPIC: Uuid = Uuid::from_bytes([7; 16]);

/// A shard with the log that it is loaded from.
struct World {
    shard: GroupShard,
    config: GroupConfig,
    image: Arc<ClusterImage>,
    log: Vec<CoordinatorRecord>,
    now_ms: i64,
    token: u64,
}

impl World {
    fn new() -> Self {
        Self::with(GroupConfig::default())
    }

    fn with(config: GroupConfig) -> Self {
        let shard = GroupShard::new(config.clone());
        let mut world = Self { shard, config, image: Arc::default(), log: Vec::new(), now_ms: 1_000, token: 0 };
        world.load();
        let mut records = vec![MetadataRecord::Topic(TopicRecord {
            name: "orders".to_owned(),
            topic_id: TOPIC,
            ..Default::default()
        })];
        records.extend((0..3).map(|partition_id| {
            MetadataRecord::Partition(PartitionRecord {
                partition_id,
                topic_id: TOPIC,
                replicas: vec![0],
                isr: vec![0],
                ..Default::default()
            })
        }));
        world.change(&records);
        world
    }

    fn load(&mut self) {
        self.shard = GroupShard::new(self.config.clone());
        for (offset, record) in (0..).zip(&self.log) {
            self.shard.replay(self.now_ms, offset, None, (Some(&record.key), record.value.as_ref())).unwrap();
        }
        let mut out = GroupEffects::default();
        self.shard.loaded(self.now_ms, &self.image, &mut out);
        self.settle(out);
    }

    fn change(&mut self, records: &[MetadataRecord]) {
        let (mut image, mut delta) = (ClusterImage::clone(&self.image), ImageDelta::default());
        for record in records {
            image.apply(record, &mut delta).unwrap();
            image.provenance.last_offset += 1;
        }
        self.image = Arc::new(image);
        let mut out = GroupEffects::default();
        self.shard.metadata_changed(self.now_ms, &self.image, &delta, &mut out);
        self.settle(out);
    }

    fn tick(&mut self, ms: i64) {
        self.now_ms += ms;
        let mut out = GroupEffects::default();
        self.shard.tick(self.now_ms, &mut out);
        self.settle(out);
    }

    fn settle(&mut self, mut out: GroupEffects) -> Vec<GroupResponse> {
        let mut replies = Vec::new();
        loop {
            replies.extend(out.replies.drain(..).map(|(_, response)| response));
            let mut next = GroupEffects::default();
            for write in std::mem::take(&mut out.writes) {
                let base = i64::try_from(self.log.len()).unwrap();
                self.log.extend(write.records);
                self.shard.complete_write(self.now_ms, write.id, Ok(base), &mut next);
            }
            if next.replies.is_empty() && next.writes.is_empty() {
                return replies;
            }
            out = next;
        }
    }

    fn ask<T>(
        &mut self,
        request: impl FnOnce(&mut GroupShard, i64, ReplyToken, &mut GroupEffects) -> T,
    ) -> (GroupResponse, T) {
        self.token += 1;
        let mut out = GroupEffects::default();
        let given = request(&mut self.shard, self.now_ms, ReplyToken(self.token), &mut out);
        let mut replies = self.settle(out);
        assert_eq!(replies.len(), 1, "{replies:?}");
        (replies.remove(0), given)
    }

    fn beat(
        &mut self,
        member: &str,
        epoch: i32,
        topics: Option<&[&str]>,
    ) -> (ShareGroupHeartbeatResponse, Option<InitializeShareGroupStateRequest>) {
        let context = RequestContext {
            now_ms: self.now_ms,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            api_version: 1,
            fresh_id: Uuid::ZERO,
        };
        let request = ShareGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: member.to_owned(),
            member_epoch: epoch,
            subscribed_topic_names: topics.map(|topics| topics.iter().map(|topic| (*topic).to_owned()).collect()),
            ..Default::default()
        };
        let answer = self.ask(|shard, _, token, out| shard.share_group_heartbeat(&context, &request, token, out));
        match answer {
            (GroupResponse::ShareGroupHeartbeat(response), initialize) => (response, initialize),
            other => panic!("{other:?}"),
        }
    }

    fn initialized(&mut self, request: &InitializeShareGroupStateRequest) {
        let done: SharePartitions = request
            .topics
            .iter()
            .map(|topic| (topic.topic_id, topic.partitions.iter().map(|one| one.partition).collect()))
            .collect();
        self.ask(|shard, now_ms, token, out| shard.share_state_initialized(now_ms, "g", &Ok(done), token, out));
    }

    fn state(&self) -> Option<String> {
        let listed =
            self.shard.list_groups(&ListGroupsRequest { types_filter: vec!["Share".to_owned()], ..Default::default() });
        listed.first().map(|group| group.group_state.clone())
    }
}

fn assigned(response: &ShareGroupHeartbeatResponse) -> BTreeSet<i32> {
    let topics = response.assignment.iter().flat_map(|assignment| &assignment.topic_partitions);
    topics.flat_map(|topic| topic.partitions.iter().copied()).collect()
}

/// A member that has all partitions.
fn joined(world: &mut World) -> i32 {
    let (first, initialize) = world.beat("a", 0, Some(&["orders"]));
    assert_eq!((first.error_code, first.heartbeat_interval_ms), (0, 5_000));
    assert_eq!(assigned(&first), BTreeSet::new(), "nothing has share state yet");
    let initialize = initialize.expect("share state to set up");
    assert_eq!(initialize.topics[0].partitions.len(), 3);
    assert_eq!(initialize.topics[0].partitions[0].start_offset, -1);
    world.initialized(&initialize);
    world.tick(5_000);
    let (second, initialize) = world.beat("a", first.member_epoch, None);
    assert!(initialize.is_none());
    assert_eq!(assigned(&second), BTreeSet::from([0, 1, 2]));
    assert!(second.member_epoch > first.member_epoch);
    second.member_epoch
}

#[test]
fn a_member_gets_what_has_share_state_and_keeps_it_over_a_restart() {
    let mut world = World::new();
    let epoch = joined(&mut world);
    assert_eq!(world.state().as_deref(), Some("Stable"));
    world.load();
    let (again, initialize) = world.beat("a", epoch, Some(&["orders"]));
    assert_eq!((again.member_epoch, assigned(&again).len()), (epoch, 3));
    assert!(initialize.is_none(), "share state is there");
    let (response, ()) = world.ask(|shard, _, token, out| shard.describe_share_groups(&["g".to_owned()], token, out));
    let GroupResponse::ShareGroupDescribe(response) = response else { panic!("{response:?}") };
    let group = &response.groups[0];
    assert_eq!((group.group_state.as_str(), group.assignor_name.as_str()), ("Stable", "simple"));
    assert_eq!(group.members[0].assignment.topic_partitions[0].topic_name, "orders");
}

#[test]
fn silent_members_go_and_those_that_leave_too() {
    let mut world = World::new();
    let epoch = joined(&mut world);
    let (second, _) = world.beat("b", 0, Some(&["orders"]));
    assert_eq!(second.error_code, 0);
    let (left, _) = world.beat("b", -1, None);
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    let (unknown, _) = world.beat("b", -1, None);
    assert_eq!(unknown.error_code, ErrorCode::UnknownMemberId.code());
    world.tick(45_000);
    assert_eq!(world.state().as_deref(), Some("Empty"));
    let (gone, _) = world.beat("a", epoch, None);
    assert_eq!(gone.error_message.as_deref(), Some("Member a is not a member of group g."));
}

#[test]
fn heartbeats_that_do_not_fit_are_refused_in_kafkas_words() {
    let mut world = World::with(GroupConfig {
        share: TypeSettings { max_size: 1, ..TypeSettings::default() },
        ..GroupConfig::default()
    });
    let refused = |world: &mut World, member: &str, epoch: i32, topics: Option<&[&str]>| {
        let (response, _) = world.beat(member, epoch, topics);
        (ErrorCode::from_code(response.error_code), response.error_message.unwrap_or_default())
    };
    let long = "x".repeat(37);
    for (member, epoch, topics, message) in [
        ("", 0, Some(&["t"][..]), "Invalid member id in the request."),
        (long.as_str(), 0, Some(&["t"][..]), "Invalid member id in the request."),
        ("a", 0, None, "SubscribedTopicNames must be set in first request."),
        ("a", -2, None, "MemberEpoch is invalid."),
    ] {
        assert_eq!(refused(&mut world, member, epoch, topics), (ErrorCode::InvalidRequest, message.to_owned()));
    }
    let (code, message) = refused(&mut world, "a", 3, None);
    assert_eq!((code, message.as_str()), (ErrorCode::GroupIdNotFound, "Share group g not found."));
    let epoch = joined(&mut world);
    let (code, message) = refused(&mut world, "a", epoch + 1, None);
    assert_eq!(code, ErrorCode::FencedMemberEpoch);
    assert!(message.starts_with("The share group member has a greater member epoch"), "{message}");
    assert_eq!(refused(&mut world, "a", epoch - 1, None).0, ErrorCode::None, "the answer before may be lost");
    let (code, message) = refused(&mut world, "b", 0, Some(&["orders"]));
    assert_eq!(code, ErrorCode::GroupMaxSizeReached);
    assert_eq!(message, "The share group has reached its maximum capacity of 1 members.");
}

#[test]
fn offsets_are_altered_and_deleted_while_nobody_reads() {
    let mut world = World::new();
    let partitions = [0, 9].map(|partition_index| AlterShareGroupOffsetsRequestPartition {
        partition_index,
        start_offset: 5,
        ..Default::default()
    });
    let topic = AlterShareGroupOffsetsRequestTopic {
        topic_name: "orders".to_owned(),
        partitions: partitions.to_vec(),
        ..Default::default()
    };
    let alter = AlterShareGroupOffsetsRequest { group_id: "g".to_owned(), topics: vec![topic], ..Default::default() };
    let (response, state) =
        world.ask(|shard, now_ms, token, out| shard.alter_share_group_offsets(now_ms, &alter, token, out));
    let GroupResponse::AlterShareGroupOffsets(response) = response else { panic!("{response:?}") };
    let codes: Vec<i16> = response.responses[0].partitions.iter().map(|partition| partition.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicOrPartition.code()]);
    let state = state.expect("share state to set");
    assert_eq!((state.topics[0].partitions.len(), state.topics[0].partitions[0].start_offset), (1, 5));
    world.initialized(&state);
    assert_eq!(world.shard.initialized_share_partitions("g"), SharePartitions::from([(TOPIC, [0].into())]));

    let named = |name: &str| DeleteShareGroupOffsetsRequestTopic { topic_name: name.to_owned(), ..Default::default() };
    let delete = DeleteShareGroupOffsetsRequest {
        group_id: "g".to_owned(),
        topics: vec![named("orders"), named("nowhere")],
        ..Default::default()
    };
    let (response, state) =
        world.ask(|shard, now_ms, token, out| shard.delete_share_group_offsets(now_ms, &delete, token, out));
    let GroupResponse::DeleteShareGroupOffsets(response) = response else { panic!("{response:?}") };
    assert_eq!(response.responses.len(), 1, "the topic that exists is answered when its state is gone");
    assert_eq!(state.expect("share state to delete").topics[0].topic_id, TOPIC);
    let gone = BTreeSet::from([TOPIC]);
    world.ask(|shard, now_ms, token, out| shard.share_offsets_deleted(now_ms, "g", &gone, token, out));
    assert!(world.shard.initialized_share_partitions("g").is_empty());
}

#[test]
fn a_group_is_deleted_with_its_state_and_only_without_members() {
    let mut world = World::new();
    joined(&mut world);
    let ids = ["g".to_owned()];
    let (_, deletions) = world.ask(|shard, now_ms, token, out| shard.delete_share_states(now_ms, &ids, token, out));
    assert_eq!(deletions[0].outcome.as_ref().unwrap_err(), &ErrorCode::NonEmptyGroup);
    world.beat("a", -1, None);
    let (_, deletions) = world.ask(|shard, now_ms, token, out| shard.delete_share_states(now_ms, &ids, token, out));
    assert_eq!(deletions[0].outcome.as_ref().unwrap().topics[0].partitions.len(), 3);
    world.ask(|shard, now_ms, token, out| shard.delete_groups(now_ms, &ids, token, out));
    assert_eq!(world.state(), None);
    world.load();
    assert_eq!(world.state(), None, "the log says so too");
}

#[test]
fn topics_that_are_deleted_are_forgotten() {
    let mut world = World::new();
    joined(&mut world);
    world.change(&[MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: TOPIC, ..Default::default() })]);
    assert!(world.shard.initialized_share_partitions("g").is_empty());
}
