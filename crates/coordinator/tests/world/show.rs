//! What came of a command, as text.

use bytes::Bytes;
use coordinator::{CoordinatorRecord, GroupResponse, ReplyToken};
use protocol::messages::describe_groups_response::DescribedGroup;
use protocol::messages::list_groups_response::ListedGroup;
use protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use protocol::messages::{
    GroupMetadataKey, GroupMetadataValue, JoinGroupResponse, OffsetCommitKey, OffsetCommitValue, SyncGroupResponse,
};
use protocol::{ErrorCode, Message, Reader};

use super::show_consumer;

const UUID_START: &str = "-00000000-0000-4000-8000-";
const UUID_END: usize = 12;

/// `client#1` -> the member id that it stands for.
pub(crate) fn long_id(text: &str) -> String {
    match text.split_once('#') {
        Some((name, number)) => format!("{name}{UUID_START}{:012x}", number.parse::<u64>().expect("a number")),
        None => text.to_owned(),
    }
}

/// All member ids in `text` -> `client#1`.
fn short_ids(text: &str) -> String {
    let mut short = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(UUID_START) {
        let number = u64::from_str_radix(&after[..UUID_END], 16).expect("hexadecimal");
        short.push_str(&format!("{before}#{number}"));
        rest = &after[UUID_END..];
    }
    short + rest
}

pub(crate) fn name(code: i16) -> &'static str {
    ErrorCode::from_code(code).name()
}

fn text(bytes: &Bytes) -> String {
    format!("'{}'", String::from_utf8_lossy(bytes))
}

/// The kind of an answer.
pub(crate) fn kind(response: &GroupResponse) -> &'static str {
    match response {
        GroupResponse::JoinGroup(_) => "JoinGroup",
        GroupResponse::SyncGroup(_) => "SyncGroup",
        GroupResponse::LeaveGroup(_) => "LeaveGroup",
        GroupResponse::OffsetCommit(_) => "OffsetCommit",
        GroupResponse::OffsetDelete(_) => "OffsetDelete",
        GroupResponse::DeleteGroups(_) => "DeleteGroups",
        GroupResponse::ConsumerGroupHeartbeat(_) => "ConsumerGroupHeartbeat",
        GroupResponse::ConsumerGroupDescribe(_) => "ConsumerGroupDescribe",
        GroupResponse::TxnOffsetCommit(_) => "TxnOffsetCommit",
        other => unreachable!("{other:?} is tested elsewhere"),
    }
}

/// An answer.
pub(crate) fn response(token: ReplyToken, response: &GroupResponse) -> String {
    let told = match response {
        GroupResponse::JoinGroup(join) => join_response(join),
        GroupResponse::SyncGroup(sync) => sync_response(sync),
        GroupResponse::LeaveGroup(leave) => {
            let members = leave.members.iter().map(|member| {
                let instance = member.group_instance_id.as_deref().map(|id| format!("@{id}")).unwrap_or_default();
                format!(" {}{instance}:{}", member.member_id, name(member.error_code))
            });
            name(leave.error_code).to_owned() + &members.collect::<String>()
        }
        GroupResponse::OffsetCommit(commit) => {
            let partitions = commit.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    format!("{}-{}:{}", topic.name, partition.partition_index, name(partition.error_code))
                })
            });
            partitions.collect::<Vec<_>>().join(" ")
        }
        GroupResponse::TxnOffsetCommit(commit) => {
            let partitions = commit.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    format!("{}-{}:{}", topic.name, partition.partition_index, name(partition.error_code))
                })
            });
            partitions.collect::<Vec<_>>().join(" ")
        }
        GroupResponse::OffsetDelete(delete) => {
            let partitions = delete.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    format!(" {}-{}:{}", topic.name, partition.partition_index, name(partition.error_code))
                })
            });
            name(delete.error_code).to_owned() + &partitions.collect::<String>()
        }
        GroupResponse::DeleteGroups(delete) => {
            let results =
                delete.results.iter().map(|result| format!("{}:{}", result.group_id, name(result.error_code)));
            results.collect::<Vec<_>>().join(" ")
        }
        GroupResponse::ConsumerGroupHeartbeat(heartbeat) => show_consumer::heartbeat(heartbeat),
        GroupResponse::ConsumerGroupDescribe(describe) => {
            describe.groups.iter().map(show_consumer::described).collect::<Vec<_>>().join(" ")
        }
        other => unreachable!("{other:?} is tested elsewhere"),
    };
    short_ids(&format!("{} to {}: {told}", kind(response), token.0))
}

fn join_response(join: &JoinGroupResponse) -> String {
    if join.error_code != 0 {
        return format!("{} member={}", name(join.error_code), join.member_id);
    }
    let members: Vec<String> = join
        .members
        .iter()
        .map(|member| match &member.group_instance_id {
            Some(instance) => format!("{}@{instance}", member.member_id),
            None => member.member_id.clone(),
        })
        .collect();
    let skip = if join.skip_assignment { " skip-assignment" } else { "" };
    format!(
        "gen={} protocol={} leader={} member={} members=[{}]{skip}",
        join.generation_id,
        join.protocol_name.as_deref().unwrap_or("null"),
        join.leader,
        join.member_id,
        members.join(" ")
    )
}

fn sync_response(sync: &SyncGroupResponse) -> String {
    if sync.error_code != 0 {
        return name(sync.error_code).to_owned();
    }
    format!("protocol={} assignment={}", sync.protocol_name.as_deref().unwrap_or("null"), text(&sync.assignment))
}

/// A record that was given out.
pub(crate) fn record(record: &CoordinatorRecord) -> String {
    let mut key = Reader::new(record.key.clone());
    let record_type = key.i16().expect("a record type");
    let value = record.value.as_ref().map(|value| {
        let mut reader = Reader::new(value.clone());
        let version = reader.i16().expect("a version");
        (version, reader)
    });
    let told = match record_type {
        OffsetCommitKey::API_KEY_CODE => {
            let key = OffsetCommitKey::decode(&mut key, 0).expect("a key");
            let place = format!("offset of {} in {}-{}", key.group, key.topic, key.partition);
            match value {
                None => format!("{place}: tombstone"),
                Some((version, mut reader)) => {
                    let value = OffsetCommitValue::decode(&mut reader, version).expect("a value");
                    let expires = if value.expire_timestamp == -1 {
                        String::new()
                    } else {
                        format!(" expires={}", value.expire_timestamp)
                    };
                    format!("{place}: v{version} {} at={}{expires}", value.offset, value.commit_timestamp)
                }
            }
        }
        GroupMetadataKey::API_KEY_CODE => {
            let key = GroupMetadataKey::decode(&mut key, 0).expect("a key");
            match value {
                None => format!("group {}: tombstone", key.group),
                Some((version, mut reader)) => {
                    let value = GroupMetadataValue::decode(&mut reader, version).expect("a value");
                    format!("group {}: v{version} {}", key.group, group_value(&value))
                }
            }
        }
        other => show_consumer::record(record).unwrap_or_else(|| format!("record of type {other}")),
    };
    short_ids(&format!("write {told}"))
}

fn group_value(value: &GroupMetadataValue) -> String {
    let members: Vec<String> =
        value.members.iter().map(|member| format!("{}:{}", member.member_id, text(&member.assignment))).collect();
    format!(
        "gen={} type={} protocol={} leader={} members=[{}]",
        value.generation,
        value.protocol_type,
        value.protocol.as_deref().unwrap_or("null"),
        value.leader.as_deref().unwrap_or("null"),
        members.join(" ")
    )
}

/// A described group.
pub(crate) fn described(group: &DescribedGroup) -> String {
    let members: Vec<String> = group
        .members
        .iter()
        .map(|member| {
            let instance = member.group_instance_id.as_deref().map(|id| format!("@{id}")).unwrap_or_default();
            let metadata = member.member_metadata.len();
            format!("{}{instance}:{}:{metadata}", member.member_id, text(&member.member_assignment))
        })
        .collect();
    let error = match group.error_code {
        0 => String::new(),
        code => format!(" {} {:?}", name(code), group.error_message.as_deref().unwrap_or_default()),
    };
    short_ids(&format!(
        "{} {} type={} protocol={} members=[{}]{error}",
        group.group_id,
        group.group_state,
        group.protocol_type,
        group.protocol_data,
        members.join(" ")
    ))
}

/// A listed group.
pub(crate) fn listed(group: &ListedGroup) -> String {
    format!("{} {} type={} {}", group.group_id, group.group_state, group.protocol_type, group.group_type)
}

/// Fetched offsets.
pub(crate) fn fetched(group: &OffsetFetchResponseGroup) -> String {
    let partitions = group.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let error =
                if partition.error_code == 0 { String::new() } else { format!(":{}", name(partition.error_code)) };
            let metadata = partition.metadata.as_deref().unwrap_or("null");
            let metadata = if metadata.is_empty() { String::new() } else { format!(":{metadata}") };
            format!(" {}-{}={}{metadata}{error}", topic.name, partition.partition_index, partition.committed_offset)
        })
    });
    if group.error_code != 0 {
        return format!("OffsetFetch {} {}", group.group_id, name(group.error_code));
    }
    format!("OffsetFetch {}{}", group.group_id, partitions.collect::<String>())
}
