//! Random members, times and failures against one shard, and what must hold whatever the order:
//! every request is answered exactly once, a generation has one leader, only members get an assignment and get the one
//! that the leader gave them, and a shard that is loaded from the log knows the same offsets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use coordinator::{
    CoordinatorRecord, GroupConfig, GroupEffects, GroupResponse, GroupShard, ReplyToken, RequestContext, Write,
};
use proptest::prelude::*;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest,
};
use protocol::{ErrorCode, Uuid};

const GROUP: &str = "g";
const CLIENTS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    Commit(usize, i64),
    Delete,
    TopicDeleted,
    Tick(i64),
    Complete,
    Refuse,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        6 => client.clone().prop_map(Step::Join),
        6 => client.clone().prop_map(Step::Sync),
        2 => client.clone().prop_map(Step::Heartbeat),
        1 => client.clone().prop_map(Step::Leave),
        3 => (client, 0_i64..100).prop_map(|(client, offset)| Step::Commit(client, offset)),
        1 => Just(Step::Delete),
        1 => Just(Step::TopicDeleted),
        4 => (0_i64..8_000).prop_map(Step::Tick),
        6 => Just(Step::Complete),
        1 => Just(Step::Refuse),
    ]
}

/// What a client knows of its membership. The last two clients are static members.
#[derive(Debug, Default, Clone)]
struct Client {
    member_id: String,
    generation: i32,
    /// The members, if it leads.
    members: Vec<String>,
}

enum Asked {
    Join(usize),
    Sync { member_id: String, generation: i32 },
    Other,
}

struct Model {
    shard: GroupShard,
    now_ms: i64,
    tokens: u64,
    clients: Vec<Client>,
    waiting: BTreeMap<ReplyToken, Asked>,
    writes: VecDeque<Write>,
    log: Vec<CoordinatorRecord>,
    /// The leaders that were named for each generation since the group was made.
    leaders: BTreeMap<i32, BTreeSet<String>>,
    /// What leaders gave, by generation and member.
    given: BTreeSet<(i32, String, Bytes)>,
}

impl Model {
    fn new() -> Self {
        Self {
            shard: GroupShard::new(GroupConfig::default()),
            now_ms: 0,
            tokens: 0,
            clients: vec![Client::default(); CLIENTS],
            waiting: BTreeMap::new(),
            writes: VecDeque::new(),
            log: Vec::new(),
            leaders: BTreeMap::new(),
            given: BTreeSet::new(),
        }
    }

    fn ask(&mut self, asked: Asked) -> ReplyToken {
        self.tokens += 1;
        let token = ReplyToken(self.tokens);
        self.waiting.insert(token, asked);
        token
    }

    fn context(&self) -> RequestContext {
        RequestContext {
            now_ms: self.now_ms,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            api_version: 5,
            fresh_id: Uuid::from_bytes(u128::from(self.tokens).to_be_bytes()),
        }
    }

    fn run(&mut self, step: &Step) {
        let mut out = GroupEffects::default();
        match *step {
            Step::Join(client) => self.join(client, &mut out),
            Step::Sync(client) => self.sync(client, &mut out),
            Step::Heartbeat(client) => self.heartbeat(client),
            Step::Leave(client) => self.leave(client, &mut out),
            Step::Commit(client, offset) => self.commit(client, offset, &mut out),
            Step::Delete => {
                let token = self.ask(Asked::Other);
                self.shard.delete_groups(self.now_ms, &[GROUP.to_owned()], token, &mut out);
            }
            Step::TopicDeleted => self.shard.topics_deleted(self.now_ms, &[("t".to_owned(), Uuid::ZERO)], &mut out),
            Step::Tick(elapsed) => {
                self.now_ms += elapsed;
                self.shard.tick(self.now_ms, &mut out);
            }
            Step::Complete => self.complete(None, &mut out),
            Step::Refuse => {
                for _ in 0..self.writes.len() {
                    self.complete(Some(ErrorCode::NotEnoughReplicas), &mut out);
                }
            }
        }
        self.take(out);
        if self.shard.describe_groups(&[GROUP.to_owned()], 5)[0].group_state == "Dead" {
            // The next group of that name counts its generations anew.
            self.leaders.clear();
        }
    }

    fn complete(&mut self, refused: Option<ErrorCode>, out: &mut GroupEffects) {
        let Some(write) = self.writes.pop_front() else { return };
        let base_offset = i64::try_from(self.log.len()).expect("a short log");
        if refused.is_none() {
            self.log.extend(write.records);
        }
        self.shard.complete_write(self.now_ms, write.id, refused.map_or(Ok(base_offset), Err), out);
    }

    fn instance(client: usize) -> Option<String> {
        (client >= CLIENTS - 2).then(|| format!("instance-{client}"))
    }

    fn join(&mut self, client: usize, out: &mut GroupEffects) {
        let token = self.ask(Asked::Join(client));
        let request = JoinGroupRequest {
            group_id: GROUP.to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 12_000,
            member_id: self.clients[client].member_id.clone(),
            group_instance_id: Self::instance(client),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), ..Default::default() }],
            ..Default::default()
        };
        let context = self.context();
        self.shard.join_group(&context, request, token, out);
    }

    fn sync(&mut self, client: usize, out: &mut GroupEffects) {
        let known = self.clients[client].clone();
        let asked = Asked::Sync { member_id: known.member_id.clone(), generation: known.generation };
        let token = self.ask(asked);
        let mut assignments = Vec::new();
        for member_id in known.members {
            let assignment = Bytes::from(format!("{} to {member_id} by {}", known.generation, self.tokens));
            self.given.insert((known.generation, member_id.clone(), assignment.clone()));
            assignments.push(SyncGroupRequestAssignment { member_id, assignment, ..Default::default() });
        }
        let request = SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: known.generation,
            member_id: known.member_id,
            group_instance_id: Self::instance(client),
            assignments,
            ..Default::default()
        };
        let context = self.context();
        self.shard.sync_group(&context, &request, token, out);
    }

    fn heartbeat(&mut self, client: usize) {
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: self.clients[client].generation,
            member_id: self.clients[client].member_id.clone(),
            ..Default::default()
        };
        let context = self.context();
        let response = self.shard.heartbeat(&context, &request);
        if response.error_code == ErrorCode::UnknownMemberId.code() {
            self.clients[client] = Client::default();
        }
    }

    fn leave(&mut self, client: usize, out: &mut GroupEffects) {
        let token = self.ask(Asked::Other);
        let left = std::mem::take(&mut self.clients[client]);
        let member = MemberIdentity { member_id: left.member_id, ..Default::default() };
        let request = LeaveGroupRequest { group_id: GROUP.to_owned(), members: vec![member], ..Default::default() };
        let context = self.context();
        self.shard.leave_group(&context, request, token, out);
    }

    fn commit(&mut self, client: usize, offset: i64, out: &mut GroupEffects) {
        let token = self.ask(Asked::Other);
        let known = &self.clients[client];
        let partition = OffsetCommitRequestPartition {
            partition_index: i32::try_from(client).expect("few clients"),
            committed_offset: offset,
            ..Default::default()
        };
        let topic =
            OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition], ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: GROUP.to_owned(),
            generation_id_or_member_epoch: if known.member_id.is_empty() { -1 } else { known.generation },
            member_id: known.member_id.clone(),
            topics: vec![topic],
            ..Default::default()
        };
        let context = self.context();
        self.shard.commit_offsets(&context, &request, token, out);
    }

    fn take(&mut self, out: GroupEffects) {
        self.writes.extend(out.writes);
        for (token, response) in out.replies {
            let asked = self.waiting.remove(&token).expect("a token is answered once, and only after it was given");
            match (asked, response) {
                (Asked::Join(client), GroupResponse::JoinGroup(join)) => self.joined(client, join),
                (Asked::Sync { member_id, generation }, GroupResponse::SyncGroup(sync)) if sync.error_code == 0 => {
                    let given = (generation, member_id, sync.assignment);
                    assert!(given.2.is_empty() || self.given.contains(&given), "nobody gave {given:?}");
                }
                (Asked::Sync { .. }, GroupResponse::SyncGroup(_)) => {}
                (Asked::Other, GroupResponse::JoinGroup(_) | GroupResponse::SyncGroup(_)) => panic!("a wrong answer"),
                (Asked::Other, _) => {}
                (Asked::Join(_) | Asked::Sync { .. }, other) => panic!("a wrong answer: {other:?}"),
            }
        }
    }

    fn joined(&mut self, client: usize, join: JoinGroupResponse) {
        let known = &mut self.clients[client];
        match ErrorCode::from_code(join.error_code) {
            ErrorCode::None => {
                let ids: Vec<String> = join.members.into_iter().map(|member| member.member_id).collect();
                assert_eq!(
                    !ids.is_empty(),
                    join.leader == join.member_id,
                    "the leader, and nobody else, gets the members"
                );
                assert!(ids.is_empty() || ids.contains(&join.member_id));
                self.leaders.entry(join.generation_id).or_default().insert(join.leader);
                *known = Client { member_id: join.member_id, generation: join.generation_id, members: ids };
            }
            ErrorCode::MemberIdRequired => known.member_id = join.member_id,
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => *known = Client::default(),
            _ => {}
        }
    }

    fn fetch_all(shard: &GroupShard) -> OffsetFetchResponseGroup {
        let request = OffsetFetchRequestGroup { group_id: GROUP.to_owned(), topics: None, ..Default::default() };
        shard.fetch_offsets(&request, false)
    }

    fn finish(mut self) {
        while !self.writes.is_empty() {
            self.run(&Step::Complete);
        }
        for (generation, leaders) in &self.leaders {
            // A static leader that comes back has a new id in the same generation.
            let names: BTreeSet<&str> = leaders.iter().map(|id| id.split("-0000").next().unwrap_or(id)).collect();
            assert_eq!(names.len(), 1, "leaders of generation {generation}: {leaders:?}");
        }
        let mut loaded = GroupShard::new(GroupConfig::default());
        for (offset, record) in (0_i64..).zip(&self.log) {
            loaded
                .replay(self.now_ms, offset, None, (Some(&record.key), record.value.as_ref()))
                .expect("our own record");
        }
        assert_eq!(Self::fetch_all(&loaded), Self::fetch_all(&self.shard), "the log says something else");
        let describe = |shard: &GroupShard| shard.describe_groups(&[GROUP.to_owned()], 5);
        let (before, after) = (describe(&self.shard), describe(&loaded));
        assert!(before[0].group_state != "Dead" || after[0].group_state == "Dead", "the log knows more groups");
        if before[0].group_state == "Stable" {
            assert_eq!(before, after, "the log knows other members");
        }
        let mut out = GroupEffects::default();
        let shard = std::mem::replace(&mut self.shard, loaded);
        shard.unload(&mut out);
        self.take(out);
        assert!(self.waiting.is_empty(), "{} requests were never answered", self.waiting.len());
    }
}

/// A group is deleted and made again while the assignment of the one before is still being written.
#[test]
fn an_assignment_does_not_reach_the_next_group_of_that_name() {
    let mut model = Model::new();
    for step in
        [Step::Join(2), Step::Tick(3000), Step::Sync(2), Step::Leave(2), Step::Delete, Step::Join(2), Step::Tick(3000)]
    {
        model.run(&step);
    }
    model.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_order_of_events_breaks_a_group(steps in proptest::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in &steps {
            model.run(step);
        }
        model.finish();
    }
}
