//! A shard with a log beside it, driven by lines of text. Writes are committed at once unless they are held.
//! Member ids are shown as `client#1`: the name they start with, and the number of the request that brought them.

mod consumer;
mod show;
mod show_consumer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use coordinator::{CoordinatorRecord, GroupConfig, GroupEffects, GroupShard, ReplyToken, RequestContext, Write};
use metadata::ClusterImage;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    SyncGroupRequest,
};
use protocol::{ErrorCode, Uuid};

/// A parsed line: the command, its plain words, its `key=value` words.
struct Line<'a> {
    words: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Self {
        let mut line = Self { words: Vec::new(), named: BTreeMap::new() };
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some((name, value)) if !name.contains('-') => {
                    line.named.insert(name, value);
                }
                _ => line.words.push(word),
            }
        }
        line
    }

    fn text(&self, name: &str, default: &str) -> String {
        show::long_id(self.named.get(name).copied().unwrap_or(default))
    }

    fn optional(&self, name: &str) -> Option<String> {
        self.named.get(name).map(|value| show::long_id(value))
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> T {
        self.named.get(name).map_or(default, |value| value.parse().ok().expect("a number"))
    }
}

/// A shard, the log that it is loaded from, and the time.
pub(crate) struct World {
    shard: GroupShard,
    config: GroupConfig,
    now_ms: i64,
    requests: u64,
    hold: bool,
    held: VecDeque<Write>,
    log: Vec<CoordinatorRecord>,
    image: Arc<ClusterImage>,
}

impl World {
    /// An empty log, loaded at the time 0.
    pub(crate) fn new(config: GroupConfig) -> Self {
        let mut world = Self {
            shard: GroupShard::new(config.clone()),
            config,
            now_ms: 0,
            requests: 0,
            hold: false,
            held: VecDeque::new(),
            log: Vec::new(),
            image: Arc::default(),
        };
        world.reload();
        world
    }

    /// Runs one command and tells what came of it.
    pub(crate) fn run(&mut self, text: &str) -> Vec<String> {
        let line = Line::parse(text);
        let group = line.words.get(1).copied().unwrap_or_default();
        let mut told = Vec::new();
        let mut out = GroupEffects::default();
        match line.words[0] {
            "join" => self.join(group, &line, &mut out),
            "sync" => self.sync(group, &line, &mut out),
            "heartbeat" => told.push(self.heartbeat(group, &line)),
            "leave" => self.leave(group, &line, &mut out),
            "commit" => self.commit(group, &line, &mut out),
            "fetch" => told.push(self.fetch(group, &line)),
            "delete-offsets" => self.delete_offsets(group, &line, &mut out),
            "delete" => {
                let groups: Vec<String> = line.words[1..].iter().map(|id| (*id).to_owned()).collect();
                let (now_ms, token) = (self.now_ms, self.token());
                self.shard.delete_groups(now_ms, &groups, token, &mut out);
            }
            "describe" => {
                let described = self.shard.describe_groups(&[group.to_owned()], line.number("v", 6));
                told.extend(described.iter().map(show::described));
            }
            "list" => told.extend(self.list(&line)),
            "topics-deleted" => {
                self.shard.topics_deleted(self.now_ms, &[(group.to_owned(), topic_id(group))], &mut out)
            }
            "tick" => {
                self.now_ms += line.words[1].parse::<i64>().expect("milliseconds");
                self.shard.tick(self.now_ms, &mut out);
            }
            "topic" => self.topic(group, line.words[2].parse().expect("partitions"), &mut out),
            "remove-topic" => self.remove_topic(group, &mut out),
            "beat" => self.beat(group, &line, &mut out),
            "describe-consumer" => {
                let token = self.token();
                self.shard.describe_consumer_groups(&[group.to_owned()], token, &mut out);
            }
            "hold" => self.hold = true,
            "release" => self.release(None, &mut out),
            "fail" => self.release(Some(code(group)), &mut out),
            "reload" => self.reload(),
            "unload" => {
                let fresh = GroupShard::new(self.config.clone());
                std::mem::replace(&mut self.shard, fresh).unload(&mut out);
            }
            other => panic!("unknown command {other}"),
        }
        self.perform(out, &mut told);
        told
    }

    fn perform(&mut self, mut out: GroupEffects, told: &mut Vec<String>) {
        loop {
            told.extend(out.replies.drain(..).map(|(token, response)| show::response(token, &response)));
            let mut next = GroupEffects::default();
            for write in out.writes.drain(..) {
                told.extend(write.records.iter().map(show::record));
                if self.hold {
                    self.held.push_back(write);
                } else {
                    self.complete(write, None, &mut next);
                }
            }
            next.reload |= out.reload;
            if next.replies.is_empty() && next.writes.is_empty() {
                if next.reload {
                    told.push("reload".to_owned());
                    self.held.clear();
                    self.reload();
                }
                return;
            }
            out = next;
        }
    }

    fn complete(&mut self, write: Write, failed: Option<ErrorCode>, out: &mut GroupEffects) {
        let base_offset = i64::try_from(self.log.len()).expect("a short log");
        if failed.is_none() {
            self.log.extend(write.records);
        }
        self.shard.complete_write(self.now_ms, write.id, failed.map_or(Ok(base_offset), Err), out);
    }

    fn release(&mut self, failed: Option<ErrorCode>, out: &mut GroupEffects) {
        self.hold = false;
        while let Some(write) = self.held.pop_front() {
            self.complete(write, failed, out);
        }
    }

    fn reload(&mut self) {
        self.shard = GroupShard::new(self.config.clone());
        for (offset, record) in self.log.iter().enumerate() {
            let offset = i64::try_from(offset).expect("a short log");
            let pair = (Some(&record.key), record.value.as_ref());
            self.shard.replay(self.now_ms, offset, None, pair).expect("our own record");
        }
        let mut out = GroupEffects::default();
        self.shard.loaded(self.now_ms, &self.image, &mut out);
        assert!(out.replies.is_empty() && out.writes.is_empty());
    }

    fn token(&mut self) -> ReplyToken {
        self.requests += 1;
        ReplyToken(self.requests)
    }

    fn context(&self, line: &Line<'_>, newest: i16) -> RequestContext {
        RequestContext {
            now_ms: self.now_ms,
            client_id: line.text("client", "c"),
            client_host: "/127.0.0.1".to_owned(),
            api_version: line.number("v", newest),
            fresh_id: Uuid::from_bytes(u128::from(self.requests).to_be_bytes()),
        }
    }

    fn join(&mut self, group: &str, line: &Line<'_>, out: &mut GroupEffects) {
        let token = self.token();
        let protocols = line.text("protocols", "range:t");
        let protocols = protocols.split(',').filter(|text| !text.is_empty()).map(|text| {
            let (name, topics) = text.split_once(':').unwrap_or((text, ""));
            JoinGroupRequestProtocol { name: name.to_owned(), metadata: subscription(topics), ..Default::default() }
        });
        let request = JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: line.number("session", 10_000),
            rebalance_timeout_ms: line.number("rebalance", 60_000),
            member_id: line.text("member", ""),
            group_instance_id: line.optional("instance"),
            protocol_type: line.text("type", "consumer"),
            protocols: protocols.collect(),
            ..Default::default()
        };
        let context = self.context(line, 9);
        self.shard.join_group(&context, request, token, out);
    }

    fn sync(&mut self, group: &str, line: &Line<'_>, out: &mut GroupEffects) {
        let token = self.token();
        let given = line.named.get("assign").copied().unwrap_or_default();
        let assignments = given.split(',').filter_map(|text| text.split_once(':')).map(|(member, assignment)| {
            let (member_id, assignment) = (show::long_id(member), Bytes::copy_from_slice(assignment.as_bytes()));
            SyncGroupRequestAssignment { member_id, assignment, ..Default::default() }
        });
        let request = SyncGroupRequest {
            group_id: group.to_owned(),
            generation_id: line.number("gen", 1),
            member_id: line.text("member", ""),
            group_instance_id: line.optional("instance"),
            protocol_type: line.optional("type"),
            protocol_name: line.optional("name"),
            assignments: assignments.collect(),
            ..Default::default()
        };
        let context = self.context(line, 5);
        self.shard.sync_group(&context, &request, token, out);
    }

    fn heartbeat(&mut self, group: &str, line: &Line<'_>) -> String {
        let request = HeartbeatRequest {
            group_id: group.to_owned(),
            generation_id: line.number("gen", 1),
            member_id: line.text("member", ""),
            group_instance_id: line.optional("instance"),
            ..Default::default()
        };
        let context = self.context(line, 4);
        format!("Heartbeat {}", ErrorCode::from_code(self.shard.heartbeat(&context, &request).error_code))
    }

    fn leave(&mut self, group: &str, line: &Line<'_>, out: &mut GroupEffects) {
        let token = self.token();
        let members = line.words[2..].iter().map(|word| {
            let (member, instance) = word.split_once('@').map_or((*word, None), |(id, instance)| (id, Some(instance)));
            MemberIdentity {
                member_id: show::long_id(member),
                group_instance_id: instance.map(str::to_owned),
                ..Default::default()
            }
        });
        let request = LeaveGroupRequest {
            group_id: group.to_owned(),
            member_id: line.text("member", ""),
            members: members.collect(),
            ..Default::default()
        };
        let context = self.context(line, 5);
        self.shard.leave_group(&context, request, token, out);
    }

    fn commit(&mut self, group: &str, line: &Line<'_>, out: &mut GroupEffects) {
        let token = self.token();
        let topics = line.words[2..].iter().map(|word| {
            let (partition, committed) = word.split_once('=').expect("topic-partition=offset");
            let (topic, index) = partition.rsplit_once('-').expect("topic-partition");
            let (offset, metadata) = committed.split_once(':').unwrap_or((committed, ""));
            let partition = OffsetCommitRequestPartition {
                partition_index: index.parse().expect("a partition"),
                committed_offset: offset.parse().expect("an offset"),
                committed_metadata: Some(metadata.to_owned()),
                ..Default::default()
            };
            OffsetCommitRequestTopic {
                name: topic.to_owned(),
                topic_id: topic_id(topic),
                partitions: vec![partition],
                ..Default::default()
            }
        });
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: line.number("gen", -1),
            member_id: line.text("member", ""),
            group_instance_id: line.optional("instance"),
            retention_time_ms: line.number("retention", -1),
            topics: topics.collect(),
            ..Default::default()
        };
        let context = self.context(line, 10);
        self.shard.commit_offsets(&context, &request, token, out);
    }

    fn fetch(&self, group: &str, line: &Line<'_>) -> String {
        let topics = line.words[2..].iter().map(|word| {
            let (topic, index) = word.rsplit_once('-').expect("topic-partition");
            OffsetFetchRequestTopics {
                name: topic.to_owned(),
                topic_id: topic_id(&line.text("id", topic)),
                partition_indexes: vec![index.parse().expect("a partition")],
                ..Default::default()
            }
        });
        let topics: Vec<_> = topics.collect();
        let request = OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: (!topics.is_empty()).then_some(topics),
            member_id: line.optional("member"),
            member_epoch: line.number("epoch", -1),
            ..Default::default()
        };
        show::fetched(&self.shard.fetch_offsets(&request, line.number("stable", false)))
    }

    fn delete_offsets(&mut self, group: &str, line: &Line<'_>, out: &mut GroupEffects) {
        let token = self.token();
        let topics = line.words[2..].iter().map(|word| {
            let (topic, index) = word.rsplit_once('-').expect("topic-partition");
            let partition_index = index.parse().expect("a partition");
            OffsetDeleteRequestTopic {
                name: topic.to_owned(),
                partitions: vec![OffsetDeleteRequestPartition { partition_index }],
            }
        });
        let request = OffsetDeleteRequest { group_id: group.to_owned(), topics: topics.collect() };
        self.shard.delete_offsets(self.now_ms, &request, token, out);
    }

    fn list(&self, line: &Line<'_>) -> Vec<String> {
        let words = |name: &str| line.named.get(name).map(|text| text.split(',').map(str::to_owned).collect());
        let request = ListGroupsRequest {
            states_filter: words("states").unwrap_or_default(),
            types_filter: words("types").unwrap_or_default(),
            ..Default::default()
        };
        self.shard.list_groups(&request).iter().map(show::listed).collect()
    }
}

fn code(name: &str) -> ErrorCode {
    (0..200).map(ErrorCode::from_code).find(|code| code.name() == name).expect("an error code")
}

/// Every topic has an id that is made of its name.
fn topic_id(topic: &str) -> Uuid {
    let mut bytes = [0; 16];
    let length = topic.len().min(16);
    bytes[..length].copy_from_slice(&topic.as_bytes()[..length]);
    Uuid::from_bytes(bytes)
}

/// A consumer's subscription to `a+b` in version 0; anything that starts with `!` is passed as it is.
fn subscription(topics: &str) -> Bytes {
    if let Some(raw) = topics.strip_prefix('!') {
        return Bytes::copy_from_slice(raw.as_bytes());
    }
    let names: Vec<&str> = topics.split('+').filter(|name| !name.is_empty()).collect();
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(i32::try_from(names.len()).expect("few topics"));
    for name in names {
        bytes.put_i16(i16::try_from(name.len()).expect("a short name"));
        bytes.put_slice(name.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}
