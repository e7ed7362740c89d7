//! Streams groups through their heartbeats, with a log that takes everything and can be read again.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::metadata::{ClusterImage, ImageDelta, MetadataRecord};
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::streams_group_describe_response::DescribedGroup;
use protocol::messages::streams_group_heartbeat_request::{Subtopology, TaskIds, TopicInfo, Topology};
use protocol::messages::{PartitionRecord, StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse, TopicRecord};
use protocol::{ErrorCode, Uuid};

use crate::config::GroupConfig;
use crate::effects::{CoordinatorRecord, Effects, GroupResponse, ReplyToken, RequestContext};
use crate::shard::GroupShard;

const GROUP: &str = "app";
const HEARTBEAT_MS: i64 = 5_000;

/// A coordinator with a log that takes everything.
struct World {
    shard: GroupShard,
    image: Arc<ClusterImage>,
    now_ms: i64,
    log: Vec<CoordinatorRecord>,
}

impl World {
    fn new() -> Self {
        let mut world =
            Self { shard: GroupShard::new(GroupConfig::default()), image: Arc::default(), now_ms: 1, log: Vec::new() };
        world.reload();
        world
    }

    fn reload(&mut self) {
        self.shard = GroupShard::new(GroupConfig::default());
        for (offset, record) in (0..).zip(&self.log) {
            let pair = (Some(&record.key), record.value.as_ref());
            self.shard.replay(self.now_ms, offset, None, pair).expect("our own record");
        }
        self.shard.loaded(self.now_ms, &self.image, &mut Effects::default());
    }

    fn topic(&mut self, name: &str, partitions: i32) {
        let id = uuid(name);
        let topic = TopicRecord { name: name.to_owned(), topic_id: id, ..Default::default() };
        let mut records = vec![MetadataRecord::Topic(topic)];
        records.extend((0..partitions).map(|partition_id| {
            MetadataRecord::Partition(PartitionRecord { partition_id, topic_id: id, ..Default::default() })
        }));
        let mut image = ClusterImage::clone(&self.image);
        let mut delta = ImageDelta::default();
        for record in &records {
            image.apply(record, &mut delta).expect("a record that fits");
            image.provenance.last_offset += 1;
        }
        self.image = Arc::new(image);
        self.shard.metadata_changed(self.now_ms, &self.image, &delta, &mut Effects::default());
    }

    fn perform(&mut self, mut out: Effects) -> Option<GroupResponse> {
        let mut answer = None;
        while !out.writes.is_empty() || !out.replies.is_empty() {
            answer = out.replies.pop().map(|(_, response)| response).or(answer);
            let mut next = Effects::default();
            for write in std::mem::take(&mut out.writes) {
                let base_offset = i64::try_from(self.log.len()).expect("a short log");
                self.log.extend(write.records);
                self.shard.complete_write(self.now_ms, write.id, Ok(base_offset), &mut next);
            }
            out = next;
        }
        answer
    }

    fn pass(&mut self, milliseconds: i64) {
        self.now_ms += milliseconds;
        let mut out = Effects::default();
        self.shard.tick(self.now_ms, &mut out);
        self.perform(out);
    }

    fn send(&mut self, request: &StreamsGroupHeartbeatRequest) -> Answer {
        let context = RequestContext {
            now_ms: self.now_ms,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            api_version: 0,
            fresh_id: uuid("fresh"),
        };
        let mut out = Effects::default();
        self.shard.streams_group_heartbeat(&context, request, ReplyToken(1), &mut out);
        match self.perform(out) {
            Some(GroupResponse::StreamsGroupHeartbeat(response, missing)) => Answer { response, missing },
            other => panic!("not an answer to a heartbeat: {other:?}"),
        }
    }

    fn describe(&mut self) -> DescribedGroup {
        let mut out = Effects::default();
        self.shard.describe_streams_groups(&[GROUP.to_owned()], ReplyToken(2), &mut out);
        match self.perform(out) {
            Some(GroupResponse::StreamsGroupDescribe(mut response)) => response.groups.remove(0),
            other => panic!("not a description: {other:?}"),
        }
    }

    /// Lets each member send heartbeats, owning what it was told to, until nothing changes. Returns what each has.
    fn settle(&mut self, members: &mut [Member]) -> Vec<Vec<i32>> {
        for _ in 0..20 {
            self.pass(HEARTBEAT_MS);
            for member in members.iter_mut() {
                member.beat(self);
            }
        }
        assert_eq!(self.describe().group_state, "Stable");
        members.iter().map(|member| member.active.clone()).collect()
    }
}

struct Answer {
    response: StreamsGroupHeartbeatResponse,
    missing: BTreeMap<String, CreatableTopic>,
}

impl Answer {
    fn statuses(&self) -> Vec<i8> {
        self.response.status.iter().flatten().map(|status| status.status_code).collect()
    }

    fn refusal(&self) -> (ErrorCode, &str) {
        let message = self.response.error_message.as_deref().unwrap_or_default();
        (ErrorCode::from_code(self.response.error_code), message)
    }
}

/// A client that does what it is told.
struct Member {
    id: String,
    epoch: i32,
    active: Vec<i32>,
}

impl Member {
    fn join(world: &mut World, id: &str) -> Self {
        let answer = world.send(&join(id));
        assert_eq!(answer.response.error_code, 0, "{:?}", answer.response);
        let mut member = Self { id: id.to_owned(), epoch: 0, active: Vec::new() };
        member.take(&answer);
        member
    }

    fn beat(&mut self, world: &mut World) -> Answer {
        let answer = world.send(&heartbeat(&self.id, self.epoch, &self.active));
        assert_eq!(answer.response.error_code, 0, "{:?}", answer.response);
        self.take(&answer);
        answer
    }

    fn take(&mut self, answer: &Answer) {
        self.epoch = answer.response.member_epoch;
        if let Some(tasks) = &answer.response.active_tasks {
            self.active = tasks.iter().flat_map(|ids| ids.partitions.clone()).collect();
        }
    }
}

/// An id that follows from a name.
fn uuid(name: &str) -> Uuid {
    let hash = name.bytes().fold(7_u128, |hash, byte| hash.wrapping_mul(131).wrapping_add(u128::from(byte)));
    Uuid::from_bytes(hash.to_be_bytes())
}

fn topology() -> Topology {
    let changelog = TopicInfo { name: "app-changelog".to_owned(), ..Default::default() };
    let subtopology = Subtopology {
        subtopology_id: "0".to_owned(),
        source_topics: vec!["source".to_owned()],
        state_changelog_topics: vec![changelog],
        ..Default::default()
    };
    Topology { epoch: 1, subtopologies: vec![subtopology], ..Default::default() }
}

fn join(member_id: &str) -> StreamsGroupHeartbeatRequest {
    StreamsGroupHeartbeatRequest {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        rebalance_timeout_ms: 60_000,
        topology: Some(topology()),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process_id: Some(format!("process-{member_id}")),
        ..Default::default()
    }
}

fn heartbeat(member_id: &str, member_epoch: i32, active: &[i32]) -> StreamsGroupHeartbeatRequest {
    let tasks = TaskIds { subtopology_id: "0".to_owned(), partitions: active.to_vec(), ..Default::default() };
    StreamsGroupHeartbeatRequest {
        group_id: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        member_epoch,
        active_tasks: Some(if active.is_empty() { Vec::new() } else { vec![tasks] }),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        ..Default::default()
    }
}

/// A group of one member that has all tasks of four partitions.
fn stable_group() -> (World, Vec<Member>) {
    let mut world = World::new();
    world.topic("source", 4);
    world.topic("app-changelog", 4);
    let mut members = vec![Member::join(&mut world, "one")];
    assert_eq!(world.settle(&mut members), [[0, 1, 2, 3]]);
    (world, members)
}

#[test]
fn a_group_waits_for_its_topics_and_tells_which_are_missing() {
    let mut world = World::new();
    let answer = world.send(&join("one"));
    assert_eq!(answer.statuses(), [5, 1], "delayed, and the source topic is missing");
    assert!(answer.missing.is_empty());
    world.topic("source", 4);
    let mut member = Member { id: "one".to_owned(), epoch: answer.response.member_epoch, active: Vec::new() };
    let answer = member.beat(&mut world);
    assert_eq!(answer.statuses(), [5, 3]);
    assert_eq!(answer.missing["app-changelog"].num_partitions, 4);
    assert_eq!(world.describe().group_state, "NotReady");
    world.topic("app-changelog", 4);
    assert_eq!(world.settle(&mut [member]), [[0, 1, 2, 3]]);
}

#[test]
fn tasks_move_only_when_they_were_given_up() {
    let (mut world, mut members) = stable_group();
    let mut second = Member::join(&mut world, "two");
    world.pass(HEARTBEAT_MS);
    assert!(second.beat(&mut world).response.active_tasks.is_none(), "all tasks are still at the first member");
    let kept = members[0].beat(&mut world).response.active_tasks.expect("what it keeps");
    assert_eq!(kept[0].partitions, [0, 1]);
    assert!(second.active.is_empty(), "the first member has not confirmed");
    members.push(second);
    assert_eq!(world.settle(&mut members), [[0, 1], [2, 3]]);
}

#[test]
fn a_loaded_group_is_the_group_that_was_written() {
    let (mut world, mut members) = stable_group();
    let two = Member::join(&mut world, "two");
    members.push(two);
    world.settle(&mut members);
    let before = world.describe();
    world.reload();
    // The topology is put on the topics that exist with the first heartbeat.
    let DescribedGroup { group_state, members: described, group_epoch, .. } = world.describe();
    assert_eq!(
        (group_state, described, group_epoch),
        ("Stable".to_owned(), before.members.clone(), before.group_epoch)
    );
    let answer = members[0].beat(&mut world);
    assert_eq!(answer.statuses(), [] as [i8; 0]);
    assert_eq!(world.describe(), before, "a heartbeat after loading changes nothing");
}

#[test]
fn who_is_silent_or_leaves_gives_its_tasks_to_the_others() {
    let (mut world, mut members) = stable_group();
    let two = Member::join(&mut world, "two");
    members.push(two);
    world.settle(&mut members);
    members.pop();
    for _ in 0..10 {
        world.pass(HEARTBEAT_MS);
        members[0].beat(&mut world);
    }
    assert_eq!(world.settle(&mut members), [[0, 1, 2, 3]]);
    let answer = world.send(&heartbeat("one", -1, &[]));
    assert_eq!((answer.response.error_code, answer.response.member_epoch), (0, -1));
    let described = world.describe();
    assert_eq!((described.group_state.as_str(), described.members.len()), ("Empty", 0));
}

#[test]
fn who_does_not_give_up_its_tasks_in_time_is_fenced() {
    let (mut world, members) = stable_group();
    let mut second = Member::join(&mut world, "two");
    world.pass(HEARTBEAT_MS);
    second.beat(&mut world);
    let stuck = world.send(&heartbeat("one", members[0].epoch, &[0, 1, 2, 3]));
    let epoch = stuck.response.member_epoch;
    for _ in 0..13 {
        world.pass(HEARTBEAT_MS);
        second.beat(&mut world);
        world.send(&heartbeat("one", epoch, &[0, 1, 2, 3]));
    }
    let (code, _) = world.send(&heartbeat("one", epoch, &[0, 1, 2, 3])).refusal();
    assert_eq!(code, ErrorCode::UnknownMemberId);
    assert_eq!(world.settle(&mut [second]), [[0, 1, 2, 3]]);
}

#[test]
fn members_of_other_epochs_and_groups_are_refused() {
    let (mut world, members) = stable_group();
    let epoch = members[0].epoch;
    let ahead = world.send(&heartbeat("one", epoch + 1, &[]));
    assert_eq!(ahead.refusal().0, ErrorCode::FencedMemberEpoch);
    assert!(ahead.refusal().1.starts_with("The streams group member has a greater member epoch"));
    let stranger = world.send(&heartbeat("stranger", 3, &[]));
    assert_eq!(stranger.refusal(), (ErrorCode::UnknownMemberId, "Member stranger is not a member of group app."));
    let tasks = world.send(&heartbeat("one", epoch, &[0, 9]));
    let text = "Task 9 for subtopology 0 is invalid. Number of tasks for this subtopology: 4";
    assert_eq!(tasks.refusal(), (ErrorCode::InvalidRequest, text));
    let mut elsewhere = heartbeat("one", epoch, &[]);
    elsewhere.group_id = "other".to_owned();
    assert_eq!(world.send(&elsewhere).refusal(), (ErrorCode::GroupIdNotFound, "Streams group other not found."));
}

#[test]
fn bad_joins_get_kafkas_words() {
    let mut world = World::new();
    world.topic("source", 4);
    let mut refused = |change: &dyn Fn(&mut StreamsGroupHeartbeatRequest)| {
        let mut request = join("one");
        change(&mut request);
        let answer = world.send(&request);
        let (code, message) = answer.refusal();
        (code, message.to_owned())
    };
    let invalid = |text: &str| (ErrorCode::InvalidRequest, text.to_owned());
    assert_eq!(
        refused(&|request| request.instance_id = Some("i".to_owned())),
        invalid("Static membership is not yet supported.")
    );
    assert_eq!(refused(&|request| request.topology = None), invalid("Topology must be non-null when (re-)joining."));
    assert_eq!(
        refused(&|request| request.active_tasks = None),
        invalid("ActiveTasks must be empty when (re-)joining.")
    );
    assert_eq!(refused(&|request| request.member_id = " ".to_owned()), invalid("MemberId can't be empty."));
    assert_eq!(
        refused(&|request| request.member_epoch = -3),
        invalid("MemberEpoch is -3, but must be greater than or equal to -2.")
    );
    let with_changelog = |request: &mut StreamsGroupHeartbeatRequest| {
        request.topology.as_mut().expect("a topology").subtopologies[0].state_changelog_topics[0].partitions = 2;
    };
    let text = "Changelog topic app-changelog must have an undefined partition count, but it is set to 2.";
    assert_eq!(refused(&with_changelog), (ErrorCode::StreamsInvalidTopology, text.to_owned()));
}

#[test]
fn a_topology_is_not_replaced_and_an_old_one_is_told() {
    let (mut world, _) = stable_group();
    let mut newer = join("two");
    newer.topology.as_mut().expect("a topology").epoch = 2;
    let answer = world.send(&newer);
    assert_eq!(answer.refusal(), (ErrorCode::InvalidRequest, "Topology updates are not supported yet."));
    let mut older = join("two");
    older.topology.as_mut().expect("a topology").epoch = 0;
    assert_eq!(world.send(&older).statuses()[0], 0, "stale topology");
}

#[test]
fn a_shutdown_is_told_to_everyone_until_the_group_is_empty() {
    let (mut world, mut members) = stable_group();
    let mut request = heartbeat("one", members[0].epoch, &members[0].active);
    request.shutdown_application = true;
    assert_eq!(world.send(&request).statuses(), [4]);
    let mut second = Member::join(&mut world, "two");
    assert!(second.beat(&mut world).statuses().contains(&4));
    world.send(&heartbeat("one", -1, &[]));
    world.send(&heartbeat("two", -1, &[]));
    members[0] = Member::join(&mut world, "one");
    assert_eq!(members[0].beat(&mut world).statuses(), [5], "only delayed");
}
